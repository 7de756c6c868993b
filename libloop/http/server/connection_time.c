/* The times in the limits: one timer for all of them.
 *
 * Each phase has at most one deadline, and whatever waits to be taken by the peer has another; the
 * timer is started for the earlier. If it runs for a time before that it is left alone: it finds
 * nothing due and is started anew, once in seconds and not with each request.
 *
 * A head has an absolute deadline, which a byte now and then does not move (the attack called
 * Slowloris); a body is measured in windows, so that a peer that is slow for long is seen however
 * fast it began. While the program does not read, nobody waits for the peer.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <errno.h>

static void on_timer(struct loop_timer *timer);

/* LOOP_NEVER, which a limit may be, stays that. */
static uint64_t later(uint64_t ns, uint64_t after_ns)
{
    return after_ns > LOOP_NEVER - ns ? LOOP_NEVER : ns + after_ns;
}

/* A server that closes waits a little: a request may be on its way, and would be lost. */
static uint64_t idle_due(const struct loop_http_connection *conn)
{
    const struct loop_http_limits *limits = &conn->server->options.limits;
    uint64_t due_ns =
        later(conn->since_ns, conn->requests ? limits->keep_alive_ns : limits->head_ns);
    uint64_t last_ns = later(conn->server->closed_ns, limits->last_call_ns);
    return conn->server->closing && last_ns < due_ns ? last_ns : due_ns;
}

static uint64_t due(const struct loop_http_connection *conn)
{
    const struct loop_http_limits *limits = &conn->server->options.limits;
    switch (conn->phase) {
    case CONNECTION_IDLE:
        if (conn->input.size > 0) /* it waits for room in the link */
            return LOOP_NEVER;
        return idle_due(conn);
    case CONNECTION_HEAD:
        return later(conn->since_ns, limits->head_ns);
    case CONNECTION_BODY:
        return conn->exchange && conn->exchange->body == BODY_READING
                   ? later(conn->since_ns, limits->body_grace_ns)
                   : LOOP_NEVER;
    case CONNECTION_DISCARD:
        return later(conn->since_ns, limits->body_grace_ns);
    case CONNECTION_LINGER:
        return conn->since_ns + LINGER_NS;
    case CONNECTION_DONE:
        break;
    }
    return LOOP_NEVER;
}

/* When what waits will have waited too long. What is gathered begins to wait now, or leaves. */
static uint64_t stalled_due(const struct loop_http_connection *conn)
{
    bool waits = conn->wire->stream.queued > 0;
    uint64_t since_ns = waits ? link_moved_ns(conn->wire) : loop_now(conn->server->loop);
    return later(since_ns, conn->server->options.limits.write_stall_ns);
}

void connection_watch(struct loop_http_connection *conn)
{
    uint64_t due_ns = due(conn), now_ns = loop_now(conn->server->loop);
    if (link_waiting(conn->wire) > 0) {
        uint64_t stalled_ns = stalled_due(conn);
        due_ns = stalled_ns < due_ns ? stalled_ns : due_ns;
    }
    if (due_ns == LOOP_NEVER)
        return;
    uint64_t after_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    if (after_ns < loop_timer_due_in(&conn->timer))
        loop_timer_start(&conn->timer, after_ns, 0, on_timer);
}

static void time_out(struct loop_http_connection *conn)
{
    conn->server->stats.timed_out += conn->phase != CONNECTION_IDLE;
    conn->last = true;
    if (conn->phase == CONNECTION_HEAD)
        exchange_refuse(conn->exchange, 408);
    else if (conn->phase == CONNECTION_BODY)
        exchange_body(conn->exchange, -ETIMEDOUT, NULL);
    else if (conn->phase == CONNECTION_DISCARD)
        connection_linger(conn);
    else
        link_close(conn->wire);
}

/* A body that came fast enough is watched anew. */
static bool body_is_slow(struct loop_http_connection *conn)
{
    const struct loop_http_limits *limits = &conn->server->options.limits;
    if (conn->phase != CONNECTION_BODY && conn->phase != CONNECTION_DISCARD)
        return true;
    double wanted_bytes = (double)limits->body_rate * (double)limits->body_grace_ns / 1e9;
    if ((double)conn->window_bytes < wanted_bytes)
        return true;
    conn->since_ns = loop_now(conn->server->loop);
    conn->window_bytes = 0;
    return false;
}

static void on_timer(struct loop_timer *timer)
{
    struct loop_http_connection *conn =
        loop_container_of(timer, struct loop_http_connection, timer);
    uint64_t now_ns = loop_now(conn->server->loop);
    if (link_waiting(conn->wire) > 0 && now_ns >= stalled_due(conn)) {
        conn->server->stats.timed_out++;
        connection_lose(conn);
        return;
    }
    if (link_is_open(conn->wire) && now_ns >= due(conn) && body_is_slow(conn))
        time_out(conn);
    connection_parse(conn);
}
