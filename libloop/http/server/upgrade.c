/* Another protocol on the same connection (RFC 9110 7.8): the link gets a new user, and the
 * connection that had it goes.
 *
 * A request to upgrade has no body, so that what comes behind its head belongs to the new protocol.
 * The parser has stopped at the head; one more pull must bring the end of the message. The new user
 * gets the link as it is, TLS and all, and the old connection is freed when nothing of it is on the
 * stack. The server keeps a list of such links, for its end.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <errno.h>
#include <string.h>

static int check(struct exchange *exchange)
{
    if (!exchange->conn || !link_is_open(exchange->conn->wire) || exchange->conn->eof)
        return -EPIPE; /* also if the peer has sent its last byte: the new user would not be told */
    if (exchange->res.head_sent || exchange->ended)
        return -EALREADY;
    return exchange->req.body_size == 0 ? 0 : -EINVAL;
}

static int send_head(struct exchange *exchange, const char *extra)
{
    static const char first[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    struct link *wire = exchange->conn->wire;
    exchange->res.status = 101;
    exchange->res.head_sent = true;
    link_write(wire, first, sizeof(first) - 1);
    link_write(wire, extra, strlen(extra));
    link_write(wire, exchange->lines, exchange->lines_size);
    int status = link_write(wire, "\r\n", 2);
    return status < 0 ? status : 0;
}

int http_upgrade(struct loop_http_response *res, const char *extra, struct link **link,
                 const char **rest, size_t *rest_size)
{
    struct exchange *exchange = exchange_of_response(res);
    int error = check(exchange);
    if (error)
        return error;
    struct loop_http_connection *conn = exchange->conn;
    if (conn->phase == CONNECTION_BODY && message_next(&conn->message, &conn->input) != MESSAGE_END)
        return -EINVAL; /* unreachable: what has no body ends behind its head */
    error = send_head(exchange, extra);
    if (error)
        return error;
    *link = conn->wire;
    *rest = conn->input.bytes;
    *rest_size = conn->input.size;
    exchange->ended = true;
    connection_give(conn);
    exchange_over(exchange, 0);
    return 0;
}

/* --- the end of the server --- */

void upgrade_watch(struct loop_http_server *server, struct link *wire,
                   void (*leave)(struct link *wire, bool now))
{
    wire->server = server;
    wire->leave = leave;
    list_append(&server->upgraded, &wire->upgraded);
    if (server->closing)
        leave(wire, false);
}

void upgrade_over(struct link *wire)
{
    struct loop_http_server *server = wire->server;
    if (!server)
        return;
    wire->server = NULL;
    list_remove(&wire->upgraded);
    server_connection_closed(server);
}

/* Each leaves the list only in the closing phase, so the walk is safe. */
void upgrade_leave(struct loop_http_server *server, bool now)
{
    struct loop_link *link = server->upgraded.next;
    for (; link != &server->upgraded; link = link->next) {
        struct link *wire = loop_container_of(link, struct link, upgraded);
        wire->leave(wire, now);
    }
}
