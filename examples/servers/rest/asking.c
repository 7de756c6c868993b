/* What a request asks for: see asking.h.
 *
 * Numbers are digits alone and short enough not to overflow: no sign, no space, no "0x". Nothing is
 * guessed: a parameter that is there and is not what it should be is a fault that is named.
 *
 * SPDX-License-Identifier: MIT */
#include "asking.h"

#include <errno.h>
#include <loop/http/router.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS_MAX = 18 };

static bool number_of(const char *text, ssize_t size, int64_t *number)
{
    if (size <= 0 || strspn(text, "0123456789") != (size_t)size)
        return false;
    *number = strtoll(text, NULL, 10);
    return true;
}

bool asking_id(const struct loop_http_request *req, int64_t *id)
{
    char text[DIGITS_MAX + 1];
    return number_of(text, loop_http_param(req, "id", text, sizeof(text)), id);
}

bool asking_names_version(const char *list, int64_t version, bool weak)
{
    char tag[32];
    size_t size = (size_t)snprintf(tag, sizeof(tag), "\"%lld\"", (long long)version);
    if (list[strspn(list, " \t")] == '*')
        return true;
    for (const char *at = strchr(list, '"'); at;) {
        const char *end = strchr(at + 1, '"');
        bool marked = at - list >= 2 && at[-1] == '/' && at[-2] == 'W';
        if (strncmp(at, tag, size) == 0 && (weak || !marked))
            return true;
        at = end ? strchr(end + 1, '"') : NULL;
    }
    return false;
}

/* A number in the query that is at least 0, or what is there if none was given. */
static bool read_number(struct loop_text query, const char *name, int64_t *number)
{
    char text[DIGITS_MAX + 1];
    ssize_t size = loop_query_get(query, name, text, sizeof(text));
    return size == -ENOENT || number_of(text, size, number);
}

static bool read_done(struct loop_text query, int *done)
{
    char text[8];
    ssize_t size = loop_query_get(query, "done", text, sizeof(text));
    *done = size == -ENOENT ? -1 : size > 0 && strcmp(text, "true") == 0;
    return *done != 0 || (size > 0 && strcmp(text, "false") == 0);
}

/* A query of any length can be asked for, and only so much of it is text to search for. */
static bool read_search(struct loop_text query, char *search)
{
    ssize_t size = loop_query_get(query, "q", search, NOTE_SEARCH_SIZE);
    if (size < 0)
        *search = '\0';
    return (size == -ENOENT || size >= 0) && (size < 0 || !memchr(search, '\0', (size_t)size));
}

const char *asking_filter(const char *text, struct note_filter *filter, const char **message)
{
    struct loop_text query = loop_text_of(text);
    filter->limit = NOTES_LIMIT;
    *message = "must be a number from 1 to 100";
    if (!read_number(query, "limit", &filter->limit) || filter->limit < 1 ||
        filter->limit > NOTES_LIMIT_MAX)
        return "limit";
    *message = "must be an id";
    if (!read_number(query, "after", &filter->after))
        return "after";
    *message = "must be true or false";
    if (!read_done(query, &filter->done))
        return "done";
    *message = "must have less than 200 bytes";
    return read_search(query, filter->search) ? NULL : "q";
}
