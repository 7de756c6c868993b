/* The parsing side of a connection: one message after another, one event at a time.
 *
 * connection_parse() goes on as long as there is input and somebody wants it. Whatever the program
 * does in a callback, ending the response, pausing, closing the server, changes the phase, and the
 * next round looks at that. What cannot be parsed yet, because the response before it has not ended
 * or not left, or the program does not read, is kept, and the link paused: a peer can make a server
 * remember one read's worth and no more, nor answers that it does not take.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- the phases of a message --- */

static bool begin_head(struct loop_http_connection *conn)
{
    conn->exchange = exchange_new(conn);
    if (!conn->exchange) {
        connection_lose(conn);
        return false;
    }
    conn->message.head = conn->exchange->head;
    connection_enter(conn, CONNECTION_HEAD);
    return true;
}

static void on_head(struct loop_http_connection *conn)
{
    struct exchange *exchange = conn->exchange;
    conn->requests++;
    if (conn->requests >= conn->server->options.limits.requests || conn->server->closing)
        conn->last = true;
    connection_enter(conn, CONNECTION_BODY);
    exchange_begin(exchange);
}

static void on_piece(struct loop_http_connection *conn)
{
    const struct input piece = conn->message.piece;
    conn->window_bytes += piece.size;
    if (conn->phase == CONNECTION_BODY) {
        exchange_body(conn->exchange, (ssize_t)piece.size, piece.bytes);
        return;
    }
    conn->discarded += piece.size;
    if (conn->discarded > DISCARD_MAX)
        connection_linger(conn);
}

static void on_message_end(struct loop_http_connection *conn)
{
    if (conn->phase == CONNECTION_DISCARD) {
        connection_enter(conn, CONNECTION_IDLE); /* the last would not have been thrown away */
        return;
    }
    connection_enter(conn, CONNECTION_DONE);
    exchange_body(conn->exchange, LOOP_EOF, NULL);
}

/* What is not HTTP is answered in the name of a request that the program never sees, or, in the
 * middle of a body, told to who reads it. */
static void on_error(struct loop_http_connection *conn)
{
    conn->last = true;
    conn->server->stats.refused++;
    conn->input.size = 0;
    if (conn->phase == CONNECTION_HEAD)
        exchange_refuse(conn->exchange, conn->message.status);
    else if (conn->phase == CONNECTION_BODY)
        exchange_body(conn->exchange, -EPROTO, NULL);
    else
        connection_linger(conn);
}

/* Whether somebody wants what comes next. */
static bool wanted(const struct loop_http_connection *conn)
{
    if (!link_is_open(conn->wire) || conn->taken)
        return false;
    switch (conn->phase) {
    case CONNECTION_IDLE:
        return conn->input.size > 0 && !conn->last && !conn->wire->crowded;
    case CONNECTION_HEAD:
    case CONNECTION_DISCARD:
        return true;
    case CONNECTION_BODY:
        return conn->exchange->body == BODY_READING || conn->exchange->req.body_size == 0;
    case CONNECTION_DONE:
    case CONNECTION_LINGER:
        break;
    }
    return false;
}

/* One event; false: the input is used up. */
static bool step(struct loop_http_connection *conn)
{
    if (conn->phase == CONNECTION_IDLE && !begin_head(conn))
        return false;
    switch (message_next(&conn->message, &conn->input)) {
    case MESSAGE_HEAD:
        on_head(conn);
        return true;
    case MESSAGE_BODY:
        on_piece(conn);
        return true;
    case MESSAGE_END:
        on_message_end(conn);
        return true;
    case MESSAGE_ERROR:
        on_error(conn);
        return false;
    case MESSAGE_MORE:
        break;
    }
    return false;
}

/* --- input --- */

/* What is left of the input must outlive the read that brought it. */
static bool keep(struct loop_http_connection *conn)
{
    if (conn->input.size == 0) {
        free(conn->kept);
        conn->kept = NULL;
        return true;
    }
    if (conn->kept)
        return true; /* it is in there */
    conn->kept = malloc(conn->input.size);
    if (!conn->kept)
        return false;
    memcpy(conn->kept, conn->input.bytes, conn->input.size);
    conn->input.bytes = conn->kept;
    return true;
}

/* After whatever has happened: on the right list, reading if it may, and watched. */
void connection_settle(struct loop_http_connection *conn)
{
    struct loop_http_server *server = conn->server;
    bool idle = conn->phase == CONNECTION_IDLE && !conn->wire->closing;
    if (idle != conn->idle) { /* mostly not: its neighbours' memory is cold */
        conn->idle = idle;
        list_remove(&conn->link);
        list_append(idle ? &server->idle : &server->busy, &conn->link);
    }
    connection_watch(conn);
    if (!link_is_open(conn->wire))
        return;
    if (!keep(conn))
        connection_lose(conn);
    else if (conn->eof && conn->input.size == 0 && conn->phase != CONNECTION_DONE)
        connection_cut_short(conn);
    else if (conn->input.size > 0)
        link_pause(conn->wire);
    else if (link_read(conn->wire) < 0)
        connection_lose(conn);
}

void connection_parse(struct loop_http_connection *conn)
{
    conn->advancing = true;
    while (wanted(conn) && step(conn))
        ;
    conn->advancing = false;
    if (conn->taken)
        connection_destroy(conn);
    else
        connection_settle(conn);
}

static void go_on(struct loop_task *task)
{
    struct loop_http_connection *conn = loop_container_of(task, struct loop_http_connection, tick);
    conn->ticking = false;
    connection_parse(conn);
}

/* From a user's call, which must not call the user back. */
void connection_go_on(struct loop_http_connection *conn)
{
    if (conn->advancing || conn->ticking)
        return;
    conn->ticking = true;
    loop_next_tick(conn->server->loop, &conn->tick, go_on);
}

void connection_expect_body(struct loop_http_connection *conn)
{
    conn->since_ns = loop_now(conn->server->loop);
    conn->window_bytes = 0;
    connection_go_on(conn);
}
