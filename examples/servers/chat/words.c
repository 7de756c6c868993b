/* Names and messages: see words.h.
 *
 * Two names that look alike (a Cyrillic "a", say) are two names here: to tell them apart takes the
 * tables of Unicode's report 39, and still the page shows who is who by its own ids.
 *
 * SPDX-License-Identifier: MIT */
#include "words.h"

#include <stdint.h>
#include <string.h>

/* The next character of valid UTF-8, and moves on behind it. */
static uint32_t next(const char **text)
{
    static const uint32_t first_bits[] = {0x7f, 0x1f, 0x0f, 0x07};
    uint32_t byte = (unsigned char)*(*text)++;
    unsigned more = byte < 0xc0 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    uint32_t character = byte & first_bits[more];
    for (; more > 0; more--)
        character = character << 6 | ((unsigned char)*(*text)++ & 0x3f);
    return character;
}

static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

/* Marks of direction, separators of lines, and what has no width. */
static bool is_hidden(uint32_t character)
{
    return character == 0xad || (character >= 0x200b && character <= 0x200f) ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2060 && character <= 0x206f) || character == 0xfeff;
}

bool words_name(const char *text, char name[NAME_BYTES])
{
    text += strspn(text, " ");
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == ' ')
        size--;
    if (size == 0 || size >= NAME_BYTES)
        return false;
    memcpy(name, text, size);
    name[size] = '\0';
    size_t characters = 0;
    for (const char *at = name; *at; characters++) {
        uint32_t character = next(&at);
        if (is_control(character) || is_hidden(character))
            return false;
    }
    return characters <= NAME_CHARACTERS;
}

bool words_room(const char *text, char room[ROOM_BYTES])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t size = strlen(text);
    if (size == 0 || size >= ROOM_BYTES || strspn(text, allowed) != size)
        return false;
    memcpy(room, text, size + 1);
    return true;
}

bool words_said(const char *text)
{
    bool seen = false;
    size_t characters = 0;
    for (; *text; characters++) {
        uint32_t character = next(&text);
        if (is_control(character) && character != '\t' && character != '\n')
            return false;
        seen = seen || (character > ' ' && character != 0xa0);
    }
    return seen && characters <= SAID_CHARACTERS;
}
