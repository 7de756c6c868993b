/* The body of a response, and its end.
 *
 * A body of one piece is sent with its length. One of several is sent as it comes: with the length
 * that was announced, to which it is held, in chunks, or, to clients of HTTP/1.0, until the
 * connection closes. A response that turns out shorter than announced cannot be mended: the
 * connection closes, which is how the client can tell.
 *
 * SPDX-License-Identifier: MIT */
#include "server/compress.h"
#include "server/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_chunk(struct link *wire, const void *bytes, size_t size)
{
    char *room = link_room(wire, 24);
    if (!room)
        return -EPIPE;
    link_wrote(wire, (size_t)snprintf(room, 24, "%zx\r\n", size));
    int status = link_write(wire, bytes, size);
    return status < 0 ? status : link_write(wire, "\r\n", 2);
}

int response_frame(struct exchange *exchange, const void *bytes, size_t size)
{
    if (exchange->framing == FRAMING_CHUNKED)
        return write_chunk(exchange->conn->wire, bytes, size);
    return link_write(exchange->conn->wire, bytes, size);
}

static int write_body(struct exchange *exchange, const void *bytes, size_t size)
{
    struct loop_http_response *res = &exchange->res;
    if (exchange->framing != FRAMING_NONE && exchange->length >= 0 &&
        size > (uint64_t)exchange->length - res->written)
        return -EMSGSIZE;
    res->written += size;
    if (size == 0 || exchange->framing == FRAMING_NONE)
        return 0;
    if (exchange->compressor)
        return compress_write(exchange, bytes, size);
    return response_frame(exchange, bytes, size);
}

int response_write(struct exchange *exchange, const void *bytes, size_t size)
{
    if (!exchange->conn || exchange->answered)
        return -EPIPE;
    int error = exchange->res.head_sent ? 0 : response_send_head(exchange);
    int status = error ? error : write_body(exchange, bytes, size);
    if (status == -ENOBUFS)
        link_reset(exchange->conn->wire);
    else
        connection_watch(exchange->conn);
    connection_count_out(exchange->conn);
    return status;
}

int loop_http_write(struct loop_http_response *res, const void *bytes, size_t size)
{
    if (!bytes && size > 0)
        return -EINVAL;
    return response_write(exchange_of_response(res), bytes, size);
}

void loop_http_on_drain(struct loop_http_response *res, loop_http_response_cb cb)
{
    exchange_of_response(res)->drain_cb = cb;
}

void loop_http_on_close(struct loop_http_response *res, loop_http_response_cb cb)
{
    exchange_of_response(res)->close_cb = cb;
}

/* --- the end --- */

static int write_end(struct exchange *exchange)
{
    struct link *wire = exchange->conn->wire;
    bool held =
        exchange->framing == FRAMING_LENGTH || (exchange->compressor && exchange->length >= 0);
    if (held && exchange->res.written < (uint64_t)exchange->length)
        return -EMSGSIZE;
    if (exchange->compressor && compress_end(exchange) < 0)
        return -EPIPE;
    if (exchange->framing != FRAMING_CHUNKED)
        return wire->failed;
    link_write(wire, "0\r\n", 3);
    link_write(wire, exchange->trailers, exchange->trailers_size);
    int status = link_write(wire, "\r\n", 2);
    return status < 0 ? status : 0;
}

/* Nothing may touch it after this. */
int response_finish(struct exchange *exchange)
{
    int error = -EPIPE;
    exchange->ended = true;
    if (exchange->answered)
        error = 0;
    else if (exchange->conn)
        error = write_end(exchange);
    if (!exchange->telling)
        exchange_over(exchange, error);
    return error;
}

/* A length that nobody announced is known now, but for answers that have none: to HEAD, which may
 * have been ended without the body that GET would get, and 304. */
static void announce(struct exchange *exchange, size_t size)
{
    bool bodiless = exchange->res.status == 304 || strcmp(exchange->req.method, "HEAD") == 0;
    if (!exchange->res.head_sent && exchange->length < 0 && !exchange->trailers &&
        (size > 0 || !bodiless))
        exchange->length = (int64_t)size;
}

int loop_http_end(struct loop_http_response *res, const void *bytes, size_t size)
{
    struct exchange *exchange = exchange_of_response(res);
    bool compress = res->request->server->options.compress;
    char *packed = compress ? compress_whole(exchange, &bytes, &size) : NULL;
    announce(exchange, size);
    int status = response_write(exchange, bytes, size);
    free(packed);
    int error = response_finish(exchange);
    return status < 0 ? status : error;
}

int loop_http_end_text(struct loop_http_response *res, const char *text)
{
    struct exchange *exchange = exchange_of_response(res);
    if (!exchange->typed && !res->head_sent)
        loop_http_set_header(res, "Content-Type", "text/plain; charset=utf-8");
    return loop_http_end(res, text, strlen(text));
}

static void forget_headers(struct exchange *exchange)
{
    exchange->lines_size = 0;
    exchange->length = -1;
    exchange->typed = exchange->encoded = false;
}

int loop_http_end_error(struct loop_http_response *res, int status, const char *message)
{
    struct exchange *exchange = exchange_of_response(res);
    char line[64];
    if (res->head_sent) {
        if (exchange->conn && !exchange->answered)
            exchange->conn->last = true;
        exchange->length = INT64_MAX; /* it is not whole, and must not look so */
        exchange->framing = FRAMING_LENGTH;
        return response_finish(exchange);
    }
    forget_headers(exchange);
    res->status = status;
    if (!message) {
        snprintf(line, sizeof(line), "%s\n", loop_http_status_name(status));
        message = line;
    }
    return loop_http_end_text(res, message);
}

/* The answer leaves now, and the exchange stays the program's. */
void response_answer(struct exchange *exchange, int status)
{
    char line[64];
    int size = snprintf(line, sizeof(line), "%s\n", loop_http_status_name(status));
    forget_headers(exchange);
    exchange->res.status = status;
    loop_http_set_header(&exchange->res, "Content-Type", "text/plain; charset=utf-8");
    announce(exchange, (size_t)size);
    response_write(exchange, line, (size_t)size);
    exchange->answered = true;
}
