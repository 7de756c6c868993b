/* What a program asks of a request: its headers, its peer, its body.
 *
 * A body is not read before somebody asks, so that a program which refuses an upload by its head
 * never receives it. Collecting is one more reader of the body, with memory that grows as the bytes
 * come, not as the peer announces. What is known when a program asks, that there is no body or too
 * much of it, is told from a tick: no callback comes from inside the call that it was given to.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *loop_http_header(const struct loop_http_request *req, const char *name)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (strcasecmp(req->headers[i].name, name) == 0)
            return req->headers[i].value;
    return NULL;
}

const struct loop_address *loop_http_peer(const struct loop_http_request *req)
{
    const struct exchange *exchange = exchange_of(req);
    return exchange->conn ? connection_peer(exchange->conn) : &exchange->peer;
}

void loop_http_limit_body(struct loop_http_request *req, uint64_t bytes)
{
    exchange_of(req)->body_limit = bytes;
}

/* RFC 9110 10.1.1: who expects it waits with the body until it is told. */
static void say_continue(struct exchange *exchange)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (exchange->req.version == 11 && !exchange->res.head_sent && exchange->body != BODY_OVER &&
        list_has(loop_http_header(&exchange->req, "expect"), "100-continue"))
        link_write(exchange->conn->wire, line, sizeof(line) - 1);
}

/* Tells from a tick what was decided already: there is no body, or there is too much of it. */
static void on_decided(struct loop_task *task)
{
    struct exchange *exchange = loop_container_of(task, struct exchange, decided);
    int status = exchange->decided_status;
    exchange->decided_status = 0;
    exchange->body = BODY_OVER;
    exchange->body_cb(&exchange->req, status, NULL);
}

static void decide(struct exchange *exchange, int status)
{
    exchange->decided_status = status;
    loop_next_tick(exchange->req.server->loop, &exchange->decided, on_decided);
}

int loop_http_read_body(struct loop_http_request *req, loop_http_body_cb cb)
{
    struct exchange *exchange = exchange_of(req);
    if (!cb || exchange->body_cb)
        return cb ? -EALREADY : -EINVAL;
    exchange->body_cb = cb;
    if (!exchange->conn || exchange->body == BODY_OVER) {
        decide(exchange, exchange->conn ? LOOP_EOF : -EPIPE);
    } else if (req->body_size > 0 && (uint64_t)req->body_size > exchange->body_limit) {
        exchange->conn->last = true;
        exchange->body = BODY_OVER;
        decide(exchange, -EFBIG);
    } else {
        say_continue(exchange);
        exchange->body = BODY_READING;
        connection_expect_body(exchange->conn);
    }
    return 0;
}

void loop_http_pause_body(struct loop_http_request *req)
{
    struct exchange *exchange = exchange_of(req);
    if (exchange->body == BODY_READING)
        exchange->body = BODY_PAUSED;
}

void loop_http_resume_body(struct loop_http_request *req)
{
    struct exchange *exchange = exchange_of(req);
    if (exchange->body != BODY_PAUSED)
        return;
    exchange->body = BODY_READING;
    connection_expect_body(exchange->conn);
}

/* --- the whole body --- */

static bool collect(struct exchange *exchange, const void *bytes, size_t size)
{
    size_t needed = exchange->collected_size + size + 1;
    if (needed > exchange->collected_capacity) {
        size_t capacity = 2 * exchange->collected_capacity;
        capacity = capacity < needed ? needed : capacity;
        char *grown = realloc(exchange->collected, capacity);
        if (!grown)
            return false;
        exchange->collected = grown;
        exchange->collected_capacity = capacity;
    }
    memcpy(exchange->collected + exchange->collected_size, bytes, size);
    exchange->collected_size += size;
    exchange->collected[exchange->collected_size] = '\0';
    return true;
}

static int status_of(int error)
{
    switch (error) {
    case -EFBIG:
        return 413;
    case -ETIMEDOUT:
        return 408;
    case -ENOMEM:
        return 503;
    default:
        return 400;
    }
}

/* The library's answer; the program's own goes nowhere. */
static void answer(struct exchange *exchange, int error)
{
    if (!exchange->conn || exchange->res.head_sent)
        return;
    exchange->conn->last = true;
    response_answer(exchange, status_of(error));
}

static void on_collected(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    struct exchange *exchange = exchange_of(req);
    int error = (int)size;
    if (size > 0) {
        if (collect(exchange, bytes, (size_t)size))
            return;
        exchange->body = BODY_OVER;
        error = -ENOMEM;
    }
    if (error == LOOP_EOF)
        error = exchange->collected || collect(exchange, "", 0) ? 0 : -ENOMEM;
    if (error < 0)
        answer(exchange, error);
    exchange->collect_cb(req, error, error ? NULL : exchange->collected,
                         error ? 0 : exchange->collected_size);
}

int loop_http_collect_body(struct loop_http_request *req, size_t max, loop_http_collect_cb cb)
{
    struct exchange *exchange = exchange_of(req);
    if (!cb || exchange->body_cb)
        return cb ? -EALREADY : -EINVAL;
    if (max)
        exchange->body_limit = max;
    exchange->collect_cb = cb;
    return loop_http_read_body(req, on_collected);
}
