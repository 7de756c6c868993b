/* What people may be called, what rooms may be called, and what may be said.
 *
 * The text has come through a JSON parser, so it is UTF-8. Here it is held to lengths, in
 * characters, and to what can be shown on one line without turning the line round: no controls, no
 * marks of direction, nothing invisible. That it is shown as text and never as markup is the page's
 * part.
 *
 * SPDX-License-Identifier: MIT */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    NAME_CHARACTERS = 32,
    NAME_BYTES = 4 * NAME_CHARACTERS + 1,
    ROOM_BYTES = 33,
    SAID_CHARACTERS = 1000,
};

/* 1 to 32 characters, without the spaces around them, which name does not get. */
bool words_name(const char *text, char name[NAME_BYTES]);

/* 1 to 32 letters, digits, "-" and "_": it becomes part of the name of a channel. */
bool words_room(const char *text, char room[ROOM_BYTES]);

/* 1 to 1,000 characters, not all of them spaces; of the controls, tabs and new lines alone. */
bool words_said(const char *text);

#endif
