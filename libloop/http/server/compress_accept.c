/* What encodings a client takes (RFC 9110 12.5.3), with the weights that it gives them.
 *
 * Of an encoding that is named twice the first counts, "*" stands for those that are not named, and
 * "identity", the thing as it is, is taken unless it is said not to be. Without the header anything
 * would do, but whoever says nothing is mostly a program that cannot unpack. A weight that is none
 * is taken for 0: what cannot be read is not consent.
 *
 * SPDX-License-Identifier: MIT */
#include "server/compress.h"

#include <string.h>
#include <strings.h>

enum { WEIGHT_FULL = 1000, ENCODING_UNNAMED = -1 };

/* "0.5", with at most three digits behind the point; 0 if it is none. */
static int read_weight(const char *text, size_t size)
{
    int weight = 0, unit = WEIGHT_FULL;
    if (size == 0 || size > 5 || (text[0] != '0' && text[0] != '1') || (size > 1 && text[1] != '.'))
        return 0;
    for (size_t i = 0; i < size; i += i == 0 ? 2 : 1) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        weight += (text[i] - '0') * unit;
        unit /= 10;
    }
    return weight > WEIGHT_FULL ? 0 : weight;
}

/* Of "gzip ; q=0.5", from the semicolon to the comma. */
static int weight_of(const char *at)
{
    at += strspn(at, " \t");
    if (*at != ';')
        return *at == ',' || *at == '\0' ? WEIGHT_FULL : 0;
    at += 1 + strspn(at + 1, " \t");
    if (strncasecmp(at, "q=", 2) != 0)
        return 0;
    size_t size = strcspn(at + 2, " \t,;");
    return read_weight(at + 2, size);
}

static int find_weight(const char *value, const char *encoding)
{
    size_t wanted = strlen(encoding);
    for (const char *at = value; at && *at;) {
        at += strspn(at, " \t,");
        size_t size = strcspn(at, " \t,;");
        if (size == wanted && strncasecmp(at, encoding, size) == 0)
            return weight_of(at + size);
        at = strchr(at, ',');
    }
    return ENCODING_UNNAMED;
}

int encoding_weight(const char *value, const char *encoding)
{
    if (!value)
        return 0;
    int weight = find_weight(value, encoding);
    if (weight == ENCODING_UNNAMED)
        weight = find_weight(value, "*");
    return weight == ENCODING_UNNAMED ? 0 : weight;
}

/* A list may come in several lines, which are one (RFC 9110 5.3): NULL: it does not come, or is
 * longer than any that is meant. */
static const char *join_lines(const struct loop_http_request *req, char *room, size_t size)
{
    const char *value = NULL;
    size_t used = 0;
    for (size_t i = 0; i < req->header_count; i++) {
        const char *line = req->headers[i].value;
        if (strcmp(req->headers[i].name, "accept-encoding") != 0)
            continue;
        size_t length = strlen(line);
        if (used + length + 2 > size)
            return NULL;
        memcpy(room + used, line, length);
        memcpy(room + used + length, ",", 2);
        used += length + 1;
        value = room;
    }
    return value;
}

bool accepts_encoding(const struct loop_http_request *req, const char *encoding)
{
    char room[1024];
    const char *value = join_lines(req, room, sizeof(room));
    int weight = encoding_weight(value, encoding);
    int plain = value ? find_weight(value, "identity") : ENCODING_UNNAMED;
    return weight > 0 && weight >= plain;
}
