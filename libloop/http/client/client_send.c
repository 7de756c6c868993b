/* The request on its way: its head, and its body, from memory or streamed.
 *
 * The head is formatted in place, behind nothing, so that it leaves together with the beginning of
 * the body. A body from memory is given to the link in pieces, and no more while the link has
 * enough: the hard cap on what waits cannot be met. A streamed body that comes before it may be
 * sent, because there is no connection yet or the server was asked first, is gathered framed as it
 * will be sent, and is held to the same cap.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    PIECE = 64 * 1024,
    CHUNK_FRAME = 24, /* a size in hexadecimal, and two line ends */
    FIXED = 256,      /* all of a head that is not the program's, at its longest */
};

/* --- the head --- */

static char *put(char *at, const char *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static char *put_text(char *at, const char *text)
{
    return put(at, text, strlen(text));
}

static char *put_piece(char *at, struct loop_text text)
{
    return text.size > 0 ? put(at, text.bytes, text.size) : at;
}

static bool has_body(const struct fetch *fetch)
{
    return !fetch->bodiless && (fetch->options.streamed || fetch->options.body_size > 0);
}

static bool line_is(const char *line, const char *name)
{
    size_t size = strlen(name);
    return strncasecmp(line, name, size) == 0 && line[size] == ':';
}

/* What spoke of a body that is not sent any more, or was meant for somebody else. */
static bool is_dropped(const struct fetch *fetch, const char *line)
{
    if (fetch->nameless && (line_is(line, "authorization") || line_is(line, "cookie") ||
                            line_is(line, "proxy-authorization")))
        return true;
    return fetch->bodiless && strncasecmp(line, "content-", 8) == 0;
}

static char *put_lines(char *at, const struct fetch *fetch)
{
    const char *end = fetch->lines + fetch->lines_size;
    for (const char *line = fetch->lines; line < end;) {
        const char *next = strchr(line, '\n') + 1;
        if (!is_dropped(fetch, line))
            at = put(at, line, (size_t)(next - line));
        line = next;
    }
    return at;
}

static char *put_host(char *at, const struct loop_url *url)
{
    at = put_text(at, url->ip6 ? "Host: [" : "Host: ");
    at = put_piece(at, url->host);
    if (url->ip6)
        *at++ = ']';
    if (url->port != (url->scheme.size == 5 ? 443 : 80))
        at += sprintf(at, ":%d", (int)url->port);
    return put_text(at, "\r\n");
}

static bool means_a_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

static char *put_framing(char *at, const struct fetch *fetch)
{
    const struct loop_http_call_options *options = &fetch->options;
    uint64_t size = options->streamed ? options->stream_size : options->body_size;
    if (!has_body(fetch))
        return means_a_body(fetch->method) ? put_text(at, "Content-Length: 0\r\n") : at;
    if (options->streamed && size == 0)
        at = put_text(at, "Transfer-Encoding: chunked\r\n");
    else
        at += sprintf(at, "Content-Length: %llu\r\n", (unsigned long long)size);
    return options->expect_continue ? put_text(at, "Expect: 100-continue\r\n") : at;
}

static int send_head(struct fetch *fetch)
{
    struct loop_url url;
    int error = loop_url_parse_http(&url, loop_text_of(fetch->url));
    if (error)
        return error; /* unreachable: fetch->url was parsed before it was taken */
    size_t bound = strlen(fetch->method) + strlen(fetch->url) + url.host.size + fetch->lines_size;
    char *room = link_room(fetch->conn->wire, bound + FIXED);
    if (!room)
        return -ENOMEM;
    char *at = put_text(put_text(room, fetch->method), " ");
    if (url.path.size == 0)
        *at++ = '/';
    at = put_piece(at, url.path);
    if (url.query.bytes)
        at = put_piece(put_text(at, "?"), url.query);
    at = put_host(put_text(at, " HTTP/1.1\r\n"), &url);
    at = put_lines(at, fetch);
    if (fetch->options.decode)
        at = put_text(at, "Accept-Encoding: gzip\r\n");
    at = put_text(put_framing(at, fetch), "\r\n");
    link_wrote(fetch->conn->wire, (size_t)(at - room));
    return 0;
}

/* --- the body --- */

/* A link that fails says so by itself. */
static void pump(struct fetch *fetch)
{
    const char *bytes = fetch->options.body;
    size_t left = fetch->options.body_size - fetch->sent;
    int status = 0;
    while (left > 0 && status == 0) {
        size_t size = left < PIECE ? left : PIECE;
        status = link_write(fetch->conn->wire, bytes + fetch->sent, size);
        fetch->sent += size;
        left -= size;
    }
    fetch->sent_all = left == 0;
}

static void tell_drained(struct fetch *fetch)
{
    fetch->crowded = false;
    if (!fetch->ended && fetch->options.on_drain)
        fetch->options.on_drain(fetch->call);
}

static void send_early(struct fetch *fetch)
{
    int status = 0;
    if (fetch->early_size > 0) {
        fetch->body_begun = true;
        status = link_write(fetch->conn->wire, fetch->early, fetch->early_size);
    }
    free(fetch->early);
    fetch->early = NULL;
    fetch->early_size = fetch->early_capacity = 0;
    fetch->sent_all = fetch->ended;
    if (status == 0 && fetch->crowded)
        tell_drained(fetch);
}

void fetch_send_body(struct fetch *fetch)
{
    fetch->expecting = false;
    fetch->body_open = true;
    fetch->since_ns = loop_now(fetch->client->loop);
    if (fetch->options.streamed)
        send_early(fetch);
    else
        pump(fetch);
    if (fetch->phase == FETCH_ASKED)
        fetch_watch(fetch);
}

void fetch_drained(struct fetch *fetch)
{
    if (!fetch->body_open)
        return;
    if (!fetch->options.streamed)
        pump(fetch);
    else if (fetch->crowded)
        tell_drained(fetch);
}

int fetch_send(struct fetch *fetch)
{
    fetch->sent = 0;
    fetch->body_open = false;
    fetch->sent_all = !has_body(fetch);
    int error = send_head(fetch);
    if (error)
        return error;
    fetch->expecting = has_body(fetch) && fetch->options.expect_continue;
    if (fetch->expecting || fetch->sent_all)
        fetch_watch(fetch);
    else
        fetch_send_body(fetch);
    return 0;
}

/* --- what the program streams --- */

static bool reserve(struct fetch *fetch, size_t size)
{
    size_t needed = fetch->early_size + size;
    if (needed <= fetch->early_capacity)
        return true;
    size_t capacity = 2 * fetch->early_capacity;
    capacity = capacity < needed ? needed : capacity;
    char *grown = realloc(fetch->early, capacity);
    if (!grown)
        return false;
    fetch->early = grown;
    fetch->early_capacity = capacity;
    return true;
}

static int out(struct fetch *fetch, const void *bytes, size_t size)
{
    if (fetch->body_open) {
        fetch->body_begun = true;
        return link_write(fetch->conn->wire, bytes, size);
    }
    put(fetch->early + fetch->early_size, bytes, size);
    fetch->early_size += size;
    return fetch->early_size > LOOP_WRITE_HIGH;
}

static int out_framed(struct fetch *fetch, const void *bytes, size_t size)
{
    char line[CHUNK_FRAME];
    if (fetch->options.stream_size > 0)
        return out(fetch, bytes, size);
    int length = snprintf(line, sizeof(line), "%zx\r\n", size);
    int status = out(fetch, line, (size_t)length);
    if (status >= 0)
        status = out(fetch, bytes, size);
    return status < 0 ? status : out(fetch, "\r\n", 2);
}

/* The streamed body that still wants bytes; or why there is none. */
static int streaming(const struct loop_http_call *call, size_t size)
{
    const struct fetch *fetch = call->fetch;
    if (!fetch || fetch->phase == FETCH_DECIDED)
        return -EPIPE;
    if (!fetch->options.streamed)
        return -EINVAL;
    if (fetch->ended || fetch->bodiless || fetch->next_url)
        return -EPIPE;
    if (fetch->options.stream_size > 0 && size > fetch->options.stream_size - fetch->written)
        return -EMSGSIZE;
    size_t waits = fetch->body_open ? link_waiting(fetch->conn->wire) : fetch->early_size;
    return size > LOOP_WRITE_MAX - CHUNK_FRAME || waits > LOOP_WRITE_MAX - CHUNK_FRAME - size
               ? -ENOBUFS
               : 0;
}

int loop_http_call_write(struct loop_http_call *call, const void *bytes, size_t size)
{
    if (!bytes && size > 0)
        return -EINVAL;
    int error = streaming(call, size);
    if (error || size == 0)
        return error;
    struct fetch *fetch = call->fetch;
    if (!fetch->body_open && !reserve(fetch, size + CHUNK_FRAME))
        return -ENOMEM;
    if (fetch->body_open && link_waiting(fetch->conn->wire) == 0)
        fetch->since_ns = loop_now(fetch->client->loop); /* until now the server had to wait */
    fetch->written += size;
    int status = out_framed(fetch, bytes, size);
    fetch->crowded = fetch->crowded || status == 1;
    fetch_watch(fetch);
    return status < 0 ? -EPIPE : status;
}

int loop_http_call_end(struct loop_http_call *call, const void *bytes, size_t size)
{
    if (!bytes && size > 0)
        return -EINVAL;
    int error = streaming(call, size);
    if (error)
        return error;
    struct fetch *fetch = call->fetch;
    uint64_t announced = fetch->options.stream_size;
    if (announced > 0 && fetch->written + size < announced)
        return -EMSGSIZE;
    if (!fetch->body_open && !reserve(fetch, size + 2 * CHUNK_FRAME))
        return -ENOMEM;
    int status = loop_http_call_write(call, bytes, size);
    if (status >= 0 && announced == 0)
        status = out(fetch, "0\r\n\r\n", 5);
    fetch->ended = true;
    fetch->sent_all = fetch->body_open;
    fetch_watch(fetch); /* now it is the server's turn */
    return status < 0 ? -EPIPE : 0;
}
