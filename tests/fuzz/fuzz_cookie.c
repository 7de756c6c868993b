/* Fuzzing cookies, both ways.
 *
 * The input is read as a Cookie header: names are tokens, and what is found by name is the first of
 * that name. Then its lines are a cookie's name, value, path and domain: what can be built has no
 * control byte, as many attributes as were asked for, and begins with the same name and value. So
 * no value, path or domain can add an attribute, or a header.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop/http/url.h"

#include <string.h>

enum { ROOM = 4096 };

static void check_header(char *header)
{
    struct loop_text text = loop_text_of(header);
    struct loop_text name, value;
    char string[ROOM];
    while (loop_cookie_next(&text, &name, &value)) {
        demand(name.size > 0 && name.size + value.size < strlen(header));
        demand(!memchr(value.bytes, ';', value.size));
        memcpy(string, name.bytes, name.size);
        string[name.size] = '\0';
        struct loop_text first = loop_cookie_get(header, string);
        demand(first.bytes && first.bytes <= value.bytes);
    }
}

/* The next line, ended by a 0; NULL if it is empty or there is none. */
static char *take_line(char **rest)
{
    char *line = *rest;
    size_t length = strcspn(line, "\n");
    *rest = line + length + (line[length] == '\n');
    line[length] = '\0';
    return length > 0 ? line : NULL;
}

static void check_set(char *lines)
{
    char text[LOOP_COOKIE_TEXT_SIZE];
    struct loop_cookie cookie = {.secure = true, .same_site = LOOP_SAME_SITE_NONE};
    cookie.name = take_line(&lines);
    cookie.value = take_line(&lines);
    cookie.path = take_line(&lines);
    cookie.domain = take_line(&lines);
    ssize_t size = loop_cookie_build(&cookie, text, sizeof(text));
    if (size < 0)
        return;
    struct loop_text name, value, rest = {text, (size_t)size};
    int semicolons = 0;
    for (ssize_t i = 0; i < size; i++) {
        demand(text[i] >= ' ' && text[i] <= '~');
        semicolons += text[i] == ';';
    }
    demand(semicolons == 2 + (cookie.path != NULL) + (cookie.domain != NULL));
    demand(loop_cookie_next(&rest, &name, &value));
    demand(loop_text_equal(name, cookie.name));
    demand(loop_text_equal(value, cookie.value ? cookie.value : ""));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char string[ROOM];
    if (size >= sizeof(string))
        return 0;
    if (size > 0)
        memcpy(string, bytes, size);
    string[size] = '\0';
    check_header(string);
    check_set(string);
    return 0;
}
