/* A connection of a client: opened for a call, kept when its response was read, and closed.
 *
 * A kept connection goes on reading, so that its end is noticed at once; whatever else comes on it
 * nobody has asked for, and it is closed. What has come and is not yet seen when it is to be used
 * again, an end or the beginning of somebody's answer, is looked for: one recv(2) with MSG_PEEK. It
 * keeps requests that must not be sent twice off connections that the server has closed, and an
 * answer that came too early from being taken for that of the next request. With TLS bytes may be
 * the protocol's own, so there only an end counts.
 *
 * The memory of a connection goes when its link has closed, so nothing on the stack loses it.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* --- its end --- */

static void destroy(struct client_conn *conn)
{
    struct origin *origin = conn->origin;
    struct loop_http_client *client = origin->client;
    loop_task_cancel(&conn->tick);
    free(conn->held);
    free(conn);
    client->leaving--;
    client->stats.connections--;
    origin->connections--;
    pool_release_origin(origin);
    pool_dispatch(client);
    client_end_if_done(client);
}

static void on_never_opened(struct loop_handle *handle)
{
    struct link *wire = loop_container_of(handle, struct link, stream.handle);
    struct client_conn *conn = wire->owner;
    link_free(wire);
    destroy(conn);
}

/* What waits to be written is of a request whose call is over. */
static void close_wire(struct client_conn *conn)
{
    if (!conn->open)
        loop_close(&conn->wire->stream.handle, on_never_opened);
    else if (link_waiting(conn->wire) > 0)
        link_reset(conn->wire);
    else
        link_close(conn->wire);
}

void conn_leave(struct client_conn *conn)
{
    if (conn->leaving)
        return; /* unreachable: who leaves has no call, is not kept and hears nothing */
    conn->leaving = true;
    conn->origin->client->leaving++;
    pool_unkeep(conn);
    if (conn->fetch)
        conn->fetch->conn = NULL;
    conn->fetch = NULL;
    loop_task_cancel(&conn->tick);
    close_wire(conn);
}

/* --- between two calls --- */

static bool may_be_kept(const struct client_conn *conn, const struct fetch *fetch)
{
    return conn->keep_alive && fetch->sent_all && link_waiting(conn->wire) == 0 && !conn->ended &&
           conn->input.size == 0 && !fetch->unpacking && !fetch->client->closing;
}

void conn_release(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    bool kept = may_be_kept(conn, fetch);
    conn->responses++;
    conn->fetch = NULL;
    fetch->conn = NULL;
    if (kept && link_read(conn->wire) == 0)
        pool_keep(conn);
    else
        conn_leave(conn);
    pool_dispatch(fetch->client);
}

bool conn_is_fresh(const struct client_conn *conn)
{
    char byte;
    ssize_t size = recv(loop_stream_fd(&conn->wire->stream), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return size < 0 ? errno == EAGAIN : size > 0 && conn->wire->tls;
}

/* --- what the link tells --- */

static void on_bytes(struct link *wire, const char *bytes, size_t size)
{
    struct client_conn *conn = wire->owner;
    if (!conn->fetch) {
        conn_leave(conn);
        return;
    }
    conn->heard = true;
    conn->input = (struct input){bytes, size};
    conn_parse(conn);
}

static void on_ended(struct link *wire, int status)
{
    struct client_conn *conn = wire->owner;
    if (conn->ended == 0) /* what came before it is whole, whatever comes of the request */
        conn->ended = status;
    if (conn->fetch)
        conn_parse(conn);
    else
        conn_leave(conn);
}

static void on_drained(struct link *wire)
{
    struct client_conn *conn = wire->owner;
    if (conn->fetch)
        fetch_drained(conn->fetch);
}

static void on_closed(struct link *wire)
{
    destroy(wire->owner);
}

/* --- its beginning --- */

void conn_begin(struct client_conn *conn, struct fetch *fetch)
{
    conn->fetch = fetch;
    fetch->conn = conn;
    conn->heard = conn->keep_alive = false;
    message_init(&conn->message, false);
    conn->message.head = fetch->head;
    fetch_enter(fetch, FETCH_ASKED);
    int status = link_read(conn->wire);
    if (status == 0)
        status = fetch_send(fetch);
    if (status < 0)
        fetch_fail(fetch, status);
}

static void connected(struct client_conn *conn, int status)
{
    static const struct link_user user = {on_bytes, on_ended, on_drained, on_closed};
    if (conn->leaving)
        return;
    struct origin *origin = conn->origin;
    if (status == 0)
        status = loop_tcp_nodelay(&conn->wire->tcp, true);
    if (status == 0) {
        conn->open = true;
        status = link_open(conn->wire, &user, conn,
                           origin->secure ? origin->client->options.tls : NULL, origin->host);
    }
    if (status < 0)
        fetch_fail(conn->fetch, status);
    else
        conn_begin(conn, conn->fetch);
}

static void on_dialled(struct loop_dial *dial, int status)
{
    connected(loop_container_of(dial, struct client_conn, dial), status);
}

static void on_connected(struct loop_connect *connect, int status)
{
    connected(loop_container_of(connect, struct client_conn, connect), status);
}

static struct client_conn *conn_new(struct origin *origin)
{
    struct client_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return NULL;
    conn->wire = link_new(origin->client->loop, true);
    if (!conn->wire) {
        free(conn);
        return NULL;
    }
    conn->wire->owner = conn;
    conn->origin = origin;
    list_init(&conn->link);
    list_init(&conn->kept);
    return conn;
}

/* An address needs no look-up, and so no thread. */
static int dial(struct client_conn *conn)
{
    struct loop_address address;
    const struct origin *origin = conn->origin;
    struct loop_tcp *tcp = &conn->wire->tcp;
    if (loop_address_parse(&address, origin->host, (uint16_t)atoi(origin->service)) == 0)
        return loop_tcp_connect(tcp, &conn->connect, &address, on_connected);
    return loop_dial(tcp, &conn->dial, origin->host, origin->service, on_dialled);
}

int conn_dial(struct origin *origin, struct fetch *fetch)
{
    struct client_conn *conn = conn_new(origin);
    if (!conn)
        return -ENOMEM;
    int error = dial(conn);
    if (error) {
        link_free(conn->wire);
        free(conn);
        return error;
    }
    origin->connections++;
    origin->client->stats.connections++;
    origin->client->stats.opened++;
    pool_unqueue(fetch);
    conn->fetch = fetch;
    fetch->conn = conn;
    fetch_enter(fetch, FETCH_CONNECTING);
    return 0;
}
