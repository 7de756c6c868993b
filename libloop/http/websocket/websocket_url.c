/* The URLs of WebSockets: "ws://host:port/path?query", and wss (RFC 6455, 3).
 *
 * What is not certain to mean one thing is refused: users and passwords, which would not be sent;
 * fragments, which the RFC rules out; spaces, controls and what is not ASCII, which would become a
 * part of the request's head and of another header at worst. Whoever has names in other alphabets
 * gives them in their ASCII form.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The parts of a URL, in its own text. */
struct parts {
    const char *authority, *host, *port, *target;
    size_t authority_size, host_size, port_size;
};

static bool printable(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f || strchr("\\\"<>^`{|}#", *text))
            return false;
    return true;
}

/* 1 to 65535, without leading zeros or signs. */
static bool port_valid(const char *port, size_t size)
{
    unsigned value = 0;
    if (size == 0 || size > 5 || port[0] == '0')
        return false;
    for (size_t i = 0; i < size; i++) {
        if (port[i] < '0' || port[i] > '9')
            return false;
        value = 10 * value + (unsigned)(port[i] - '0');
    }
    return value <= UINT16_MAX;
}

/* Where the host ends: behind its bracket, or before the colon. NULL: it does not. */
static const char *host_end(struct parts *parts)
{
    const char *end = parts->authority + parts->authority_size;
    parts->host = parts->authority;
    if (*parts->host == '[') {
        const char *bracket = memchr(parts->host, ']', parts->authority_size);
        parts->host++;
        parts->host_size = bracket ? (size_t)(bracket - parts->host) : 0;
        return bracket ? bracket + 1 : NULL;
    }
    const char *colon = memchr(parts->host, ':', parts->authority_size);
    parts->host_size = (size_t)((colon ? colon : end) - parts->host);
    return colon ? colon : end;
}

static bool split(const char *text, bool secure, struct parts *parts)
{
    parts->authority = text;
    parts->authority_size = strcspn(text, "/?");
    parts->target = text + parts->authority_size;
    if (memchr(text, '@', parts->authority_size))
        return false;
    const char *behind = host_end(parts);
    if (!behind || parts->host_size == 0)
        return false;
    parts->port = secure ? "443" : "80";
    parts->port_size = strlen(parts->port);
    if (behind == parts->target)
        return true;
    parts->port = behind + 1;
    parts->port_size = (size_t)(parts->target - parts->port);
    return *behind == ':' && port_valid(parts->port, parts->port_size);
}

static const char *append(char **at, const char *bytes, size_t size)
{
    char *start = *at;
    memcpy(start, bytes, size);
    start[size] = '\0';
    *at += size + 1;
    return start;
}

static struct websocket_url *build(const struct parts *parts, bool secure)
{
    size_t target_size = strlen(parts->target);
    size_t size = parts->authority_size + parts->host_size + parts->port_size + target_size + 6;
    struct websocket_url *url = malloc(sizeof(*url) + size);
    if (!url)
        return NULL;
    char *at = url->text;
    url->secure = secure;
    url->host = append(&at, parts->host, parts->host_size);
    url->authority = append(&at, parts->authority, parts->authority_size);
    url->port = append(&at, parts->port, parts->port_size);
    url->target = at;
    if (*parts->target != '/')
        *at++ = '/';
    append(&at, parts->target, target_size);
    return url;
}

int websocket_url_parse(const char *text, struct websocket_url **url)
{
    struct parts parts = {0};
    if (!text || !printable(text))
        return -EINVAL;
    bool secure = strncasecmp(text, "wss://", 6) == 0;
    if (!secure && strncasecmp(text, "ws://", 5) != 0)
        return -EINVAL;
    if (!split(text + (secure ? 6 : 5), secure, &parts))
        return -EINVAL;
    *url = build(&parts, secure);
    return *url ? 0 : -ENOMEM;
}
