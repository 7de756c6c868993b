/* Readings out of texts that anybody may send: see reading.h.
 *
 * The text is copied with a 0 behind it, and each step takes what it knows from the front, or says
 * no; nothing is passed over, so that there is one way to read what is taken. sscanf(3) would take
 * more than is meant: blanks anywhere, numbers too large, hexadecimal, "nan".
 *
 * SPDX-License-Identifier: MIT */
#include "reading.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char name_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
static const char digits[] = "0123456789";

static bool take_name(const char **at, char *name, size_t capacity)
{
    size_t size = strspn(*at, name_bytes);
    if (size == 0 || size >= capacity)
        return false;
    memset(name, 0, capacity);
    memcpy(name, *at, size);
    *at += size;
    return true;
}

static bool take_byte(const char **at, char byte)
{
    if (**at != byte)
        return false;
    ++*at;
    return true;
}

static bool take_number(const char **at, uint32_t *number)
{
    size_t size = strspn(*at, digits);
    unsigned long long all = strtoull(*at, NULL, 10); /* too many digits: its largest */
    if (size == 0 || all > UINT32_MAX)
        return false;
    *number = (uint32_t)all;
    *at += size;
    return true;
}

static bool take_value(const char **at, double *value)
{
    size_t size = strspn(*at, "0123456789+-.eE");
    char *end;
    *value = strtod(*at, &end);
    if (size == 0 || end != *at + size || !(fabs(*value) <= 1e100))
        return false;
    *at = end;
    return true;
}

/* "NUMBER VALUE", and the end. */
static bool take_rest(const char *at, const char *end, struct reading *reading)
{
    if (!take_number(&at, &reading->number) || !take_byte(&at, ' ') ||
        !take_value(&at, &reading->value))
        return false;
    take_byte(&at, '\n');
    return at == end;
}

static bool copy(char text[READING_SIZE], const char *bytes, size_t size)
{
    if (size >= READING_SIZE)
        return false;
    if (size > 0)
        memcpy(text, bytes, size);
    text[size] = '\0';
    return true;
}

bool reading_of_line(struct reading *reading, const char *line, size_t size)
{
    char text[READING_SIZE];
    const char *at = text;
    return copy(text, line, size) && take_name(&at, reading->device, DEVICE_SIZE) &&
           take_byte(&at, ' ') && take_name(&at, reading->kind, KIND_SIZE) && take_byte(&at, ' ') &&
           take_rest(at, text + size, reading);
}

bool reading_of_message(struct reading *reading, const char *topic, const char *message,
                        size_t size)
{
    static const char root[] = "iot/";
    char text[READING_SIZE];
    if (strncmp(topic, root, strlen(root)) != 0)
        return false;
    topic += strlen(root);
    return take_name(&topic, reading->device, DEVICE_SIZE) && take_byte(&topic, '/') &&
           take_name(&topic, reading->kind, KIND_SIZE) && *topic == '\0' &&
           copy(text, message, size) && take_rest(text, text + size, reading);
}

bool reading_names(const char *device)
{
    char name[DEVICE_SIZE];
    return take_name(&device, name, sizeof(name)) && *device == '\0';
}
