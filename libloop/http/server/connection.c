/* A connection of a server: its beginning, what its link tells, and the ways in which it ends.
 *
 * It ends by closing when all was said and nothing is unread; by lingering, half closed, when the
 * peer may still be sending, since a reset would overtake what it was told; by being lost, when the
 * peer has gone or must go; or by giving its link to another protocol. Whichever it is, the memory
 * goes when the link has closed, so that nothing on the stack loses it.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <stdlib.h>

void connection_enter(struct loop_http_connection *conn, enum connection_phase phase)
{
    conn->phase = phase;
    conn->since_ns = loop_now(conn->server->loop);
    conn->window_bytes = 0;
}

/* --- its end --- */

/* The program keeps its exchange, and learns that nobody listens. */
void connection_lose(struct loop_http_connection *conn)
{
    struct exchange *exchange = conn->exchange;
    link_reset(conn->wire);
    if (!exchange)
        return;
    conn->exchange = NULL;
    if (conn->phase == CONNECTION_HEAD)
        exchange_free(exchange);
    else
        exchange_lost(exchange);
}

/* No more will come, and what has come is not enough. */
void connection_cut_short(struct loop_http_connection *conn)
{
    if (conn->exchange)
        connection_lose(conn);
    else
        link_close(conn->wire);
}

void connection_count_out(struct loop_http_connection *conn)
{
    conn->server->stats.bytes_out += conn->wire->bytes_out - conn->counted_out;
    conn->counted_out = conn->wire->bytes_out;
}

void connection_linger(struct loop_http_connection *conn)
{
    conn->input.size = 0;
    connection_enter(conn, CONNECTION_LINGER);
    if (conn->eof || link_shutdown(conn->wire) < 0)
        link_close(conn->wire);
    else
        link_read(conn->wire);
}

/* Closing a socket with unread input makes a reset of it, which may overtake what was said. */
void connection_finish(struct loop_http_connection *conn)
{
    if (conn->input.size == 0 && conn->phase == CONNECTION_IDLE)
        link_close(conn->wire);
    else
        connection_linger(conn);
}

void connection_destroy(struct loop_http_connection *conn)
{
    struct loop_http_server *server = conn->server;
    bool upgraded = conn->taken && conn->wire->server; /* and counts until upgrade_over() */
    loop_timer_stop(&conn->timer);
    loop_task_cancel(&conn->tick);
    list_remove(&conn->link);
    free(conn->kept);
    free(conn);
    if (!upgraded)
        server_connection_closed(server);
}

/* The link is another's from now on. */
void connection_give(struct loop_http_connection *conn)
{
    conn->taken = true;
    conn->wire->user = NULL;
    conn->wire->owner = NULL;
    connection_go_on(conn);
}

void connection_exchange_over(struct loop_http_connection *conn, bool whole)
{
    conn->exchange = NULL;
    connection_count_out(conn);
    if (conn->taken)
        return;
    enum connection_phase phase = conn->phase;
    bool close = !whole || (phase == CONNECTION_HEAD);
    if (phase == CONNECTION_DONE) {
        connection_enter(conn, CONNECTION_IDLE);
    } else {
        connection_enter(conn, CONNECTION_DISCARD);
        conn->discarded = 0;
        close = close || conn->last;
    }
    if (!whole)
        link_close(conn->wire);
    else if (close || conn->last)
        connection_finish(conn);
    connection_go_on(conn);
}

/* --- what the link tells --- */

static struct loop_http_connection *of_wire(struct link *wire)
{
    return wire->owner;
}

static void on_bytes(struct link *wire, const char *bytes, size_t size)
{
    struct loop_http_connection *conn = of_wire(wire);
    conn->server->stats.bytes_in += size;
    if (conn->phase == CONNECTION_LINGER)
        return;
    conn->input = (struct input){bytes, size};
    connection_parse(conn);
}

/* A peer may have sent all its requests, and wait for their responses. */
static void on_ended(struct link *wire, int status)
{
    struct loop_http_connection *conn = of_wire(wire);
    conn->eof = true;
    bool endless = conn->exchange && conn->exchange->endless;
    bool waits = conn->phase == CONNECTION_DONE || conn->input.size > 0;
    if (status == LOOP_EOF && waits && !endless)
        return;
    connection_cut_short(conn);
}

static void on_drained(struct link *wire)
{
    struct loop_http_connection *conn = of_wire(wire);
    struct exchange *exchange = conn->exchange;
    connection_watch(conn);
    if (conn->phase == CONNECTION_IDLE && conn->input.size > 0)
        connection_go_on(conn);
    if (!exchange || !exchange->drain_cb)
        return;
    loop_http_response_cb drain_cb = exchange->drain_cb;
    exchange->drain_cb = NULL;
    drain_cb(&exchange->res);
}

static void on_closed(struct link *wire)
{
    struct loop_http_connection *conn = of_wire(wire);
    connection_count_out(conn);
    struct exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    if (exchange && conn->phase == CONNECTION_HEAD)
        exchange_free(exchange);
    else if (exchange)
        exchange_lost(exchange);
    connection_destroy(conn);
}

static const struct link_user user = {on_bytes, on_ended, on_drained, on_closed};

const struct loop_address *connection_peer(struct loop_http_connection *conn)
{
    struct loop_address *peer = &conn->peer;
    bool known = peer->size > 0 || loop_tcp_peer(&conn->wire->tcp, peer) == 0;
    if (!known || peer->any.sa_family == AF_UNIX) /* whose address says nothing */
        peer->size = 0;
    return &conn->peer;
}

void connection_open(struct loop_http_server *server, struct link *wire)
{
    struct loop_http_connection *conn = calloc(1, sizeof(*conn));
    if (!conn) {
        link_reset(wire);
        return;
    }
    server->stats.accepted++;
    server->stats.connections++;
    conn->server = server;
    conn->wire = wire;
    message_init(&conn->message, true);
    loop_timer_init(server->loop, &conn->timer);
    list_append(&server->busy, &conn->link);
    connection_enter(conn, CONNECTION_IDLE);
    if (server->options.on_log) /* which may want to say whom it lost */
        connection_peer(conn);
    if (link_open(wire, &user, conn, server->options.tls, NULL) < 0)
        link_reset(wire);
    else
        connection_settle(conn);
}
