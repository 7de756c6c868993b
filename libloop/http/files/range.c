/* The Range header (RFC 9110 14.2): one range of bytes.
 *
 * A server may pass any Range over and send the whole, and so this does with what is no range, with
 * other units, and with several: a client that asks for a thousand overlapping parts gets the file
 * once. Numbers that do not fit are the largest that do, which is beyond every file. An integer
 * that wraps here shows memory or other files, as it has elsewhere, so nothing is added or taken
 * away before it is compared.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <string.h>
#include <strings.h>

/* Digits from the front of text; false: there are none. */
static bool take_number(const char **text, uint64_t *number)
{
    const char *at = *text;
    *number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        bool fits = *number <= (UINT64_MAX - digit) / 10;
        *number = fits ? *number * 10 + digit : UINT64_MAX;
        if (!fits)
            at += strspn(at, "0123456789") - 1;
    }
    bool any = at > *text;
    *text = at;
    return any;
}

static bool ends(const char *at)
{
    return at[strspn(at, " \t")] == '\0';
}

/* "-500": the last 500. */
static enum range parse_suffix(const char *at, uint64_t size, uint64_t *first, uint64_t *last)
{
    uint64_t count;
    if (!take_number(&at, &count) || !ends(at))
        return RANGE_ALL;
    if (count == 0 || size == 0)
        return RANGE_NONE;
    *first = count < size ? size - count : 0;
    *last = size - 1;
    return RANGE_PART;
}

enum range range_parse(const char *value, uint64_t size, uint64_t *first, uint64_t *last)
{
    static const char unit[] = "bytes=";
    if (!value || strncasecmp(value, unit, sizeof(unit) - 1) != 0)
        return RANGE_ALL;
    const char *at = value + sizeof(unit) - 1;
    at += strspn(at, " \t");
    if (*at == '-')
        return parse_suffix(at + 1, size, first, last);
    uint64_t from, to;
    if (!take_number(&at, &from) || *at++ != '-')
        return RANGE_ALL;
    bool closed = take_number(&at, &to);
    if (!ends(at) || (closed && to < from))
        return RANGE_ALL;
    if (from >= size)
        return RANGE_NONE;
    *first = from;
    *last = closed && to < size ? to : size - 1;
    return RANGE_PART;
}
