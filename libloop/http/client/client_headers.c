/* The headers of a program, as text that is sent as it is.
 *
 * What frames a message or speaks of its connection is the library's own. A name is a token and a
 * value has no controls (RFC 9110 5.5): nothing that a program passes on from somewhere can become
 * a second header, or a second request. All of it is made into text when the call is started, so
 * that what is wrong with it is refused before anything is sent; a redirect may leave lines out.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINES_MAX = 64 * 1024 };

static bool has_controls(const char *value)
{
    for (const unsigned char *at = (const unsigned char *)value; *at; at++)
        if ((*at < ' ' && *at != '\t') || *at == 0x7f)
            return true;
    return false;
}

static bool is_ours(const char *name, bool decode)
{
    static const char *const names[] = {
        "host", "content-length", "transfer-encoding", "connection",      "keep-alive", "expect",
        "te",   "trailer",        "upgrade",           "proxy-connection"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return decode && strcasecmp(name, "accept-encoding") == 0;
}

static bool is_valid(const struct loop_http_header *header, bool decode)
{
    return is_token(header->name) && header->value && !has_controls(header->value) &&
           !is_ours(header->name, decode);
}

static char *put(char *at, const char *text)
{
    size_t size = strlen(text);
    memcpy(at, text, size);
    return at + size;
}

int headers_to_lines(const struct loop_http_call_options *options, char **lines, size_t *size)
{
    const struct loop_http_header *header = options->headers;
    size_t needed = 0;
    for (; header && header->name; header++) {
        if (!is_valid(header, options->decode))
            return -EINVAL;
        needed += strlen(header->name) + strlen(header->value) + 4;
        if (needed > LINES_MAX)
            return -E2BIG;
    }
    char *at = *lines = malloc(needed + 1);
    if (!at)
        return -ENOMEM;
    for (header = options->headers; header && header->name; header++)
        at = put(put(put(put(at, header->name), ": "), header->value), "\r\n");
    *at = '\0';
    *size = needed;
    return 0;
}
