/* A response that comes from a stream: read into one buffer, a piece at a time, and given to the
 * link; while the link has enough, nothing is read.
 *
 * The response is the library's from the call on; what the program still owns is the stream, and
 * the callback says when it may close that. A peer that goes ends the read under way first.
 * loop_stream_pipe() would do for a plain connection with a known length, but not for chunks and
 * not for TLS; one way that does for all is easier to trust.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>

enum { PIECE = 64 * 1024 };

static void finish(struct exchange *exchange, int status)
{
    struct loop_stream *from = exchange->from;
    loop_http_sent_cb cb = exchange->sent_cb;
    exchange->from = NULL;
    if (status < 0)
        loop_http_end_error(&exchange->res, 500, NULL);
    else
        status = response_finish(exchange);
    cb(from, status);
}

static void on_piece(struct loop_read *read, int status);

static int read_on(struct exchange *exchange)
{
    size_t max = exchange->left >= 0 && exchange->left < PIECE ? (size_t)exchange->left : PIECE;
    return loop_read_into(exchange->from, &exchange->read, exchange->piece, 1, max, on_piece);
}

static void on_room(struct loop_http_response *res)
{
    struct exchange *exchange = exchange_of_response(res);
    int error = read_on(exchange);
    if (error < 0)
        finish(exchange, error);
}

/* -1: there is more to come. */
static int take(struct exchange *exchange, size_t size)
{
    int status = response_write(exchange, exchange->piece, size);
    if (status < 0)
        return status;
    if (exchange->left > 0)
        exchange->left -= (int64_t)size;
    if (exchange->left == 0)
        return 0;
    if (status == 1)
        loop_http_on_drain(&exchange->res, on_room);
    else
        status = read_on(exchange);
    return status < 0 ? status : 1;
}

static void on_piece(struct loop_read *read, int status)
{
    struct exchange *exchange = loop_container_of(read, struct exchange, read);
    if (status == LOOP_EOF)
        status = 0; /* one byte is enough for a piece, so none is left */
    else if (status == 0)
        status = take(exchange, read->size);
    if (!exchange->conn)
        status = -EPIPE;
    if (status <= 0)
        finish(exchange, status);
}

/* The peer has gone, and nothing is read for it any more. */
void response_stream_cancel(struct exchange *exchange)
{
    if (exchange->drain_cb)
        finish(exchange, -EPIPE);
    else
        loop_request_cancel(&exchange->read.request);
}

static void on_nothing(struct loop_task *task)
{
    struct exchange *exchange = loop_container_of(task, struct exchange, decided);
    finish(exchange, response_write(exchange, NULL, 0));
}

static int begin(struct exchange *exchange)
{
    if (exchange->left != 0 && exchange->conn)
        return read_on(exchange);
    loop_task_cancel(&exchange->decided); /* of a reader, who hears no more */
    loop_next_tick(exchange->req.server->loop, &exchange->decided, on_nothing);
    return 0;
}

int loop_http_end_stream(struct loop_http_response *res, struct loop_stream *from, int64_t size,
                         loop_http_sent_cb cb)
{
    struct exchange *exchange = exchange_of_response(res);
    if (!from || !cb || size < -1)
        return -EINVAL;
    exchange->piece = malloc(PIECE);
    if (!exchange->piece)
        return -ENOMEM;
    exchange->from = from;
    exchange->left = size;
    exchange->drain_cb = NULL;
    int error = begin(exchange);
    if (error < 0) {
        free(exchange->piece);
        exchange->piece = NULL;
        exchange->from = NULL;
        return error;
    }
    if (size >= 0 && !res->head_sent)
        exchange->length = size;
    exchange->sent_cb = cb;
    exchange->ended = true;
    return 0;
}
