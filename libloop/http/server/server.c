/* A server: its listeners, its limits, and its end.
 *
 * At its limit of connections a server does not accept: whoever comes waits in the kernel, and is
 * taken when another goes. Closing it is a sequence that other parts carry out: listeners close at
 * once, idle connections after a last call, busy ones after their response; the grace timer cuts
 * the rest off. When the last of all that is gone, the timer's own close callback is the server's
 * last word.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct listener {
    union {
        struct loop_stream stream;
        struct loop_tcp tcp;
        struct loop_pipe pipe;
    };
    struct loop_link link; /* on server->listeners */
    struct loop_http_server *server;
    bool is_tcp;
    bool waits; /* a connection that was not accepted, at the limit */
};

static void set_defaults(struct loop_http_limits *limits)
{
    const struct loop_http_limits defaults = {
        .head_bytes = 16 * 1024,
        .headers = 100,
        .target_bytes = 8 * 1024,
        .body_bytes = 1024 * 1024,
        .head_ns = 10 * LOOP_SEC,
        .keep_alive_ns = 5 * LOOP_SEC,
        .last_call_ns = 500 * LOOP_MS,
        .body_rate = 256,
        .body_grace_ns = 10 * LOOP_SEC,
        .write_stall_ns = 30 * LOOP_SEC,
        .connections = 10000,
        .requests = UINT32_MAX,
    };
    limits->head_bytes = limits->head_bytes ? limits->head_bytes : defaults.head_bytes;
    limits->headers = limits->headers ? limits->headers : defaults.headers;
    limits->target_bytes = limits->target_bytes ? limits->target_bytes : defaults.target_bytes;
    limits->body_bytes = limits->body_bytes ? limits->body_bytes : defaults.body_bytes;
    limits->head_ns = limits->head_ns ? limits->head_ns : defaults.head_ns;
    limits->keep_alive_ns = limits->keep_alive_ns ? limits->keep_alive_ns : defaults.keep_alive_ns;
    limits->last_call_ns = limits->last_call_ns ? limits->last_call_ns : defaults.last_call_ns;
    limits->body_rate = limits->body_rate ? limits->body_rate : defaults.body_rate;
    limits->body_grace_ns = limits->body_grace_ns ? limits->body_grace_ns : defaults.body_grace_ns;
    limits->write_stall_ns =
        limits->write_stall_ns ? limits->write_stall_ns : defaults.write_stall_ns;
    limits->connections = limits->connections ? limits->connections : defaults.connections;
    limits->requests = limits->requests ? limits->requests : defaults.requests;
}

int loop_http_server_init(struct loop *loop, struct loop_http_server *server,
                          const struct loop_http_options *options)
{
    if (!loop || !server || !options || !options->on_request)
        return -EINVAL;
    *server = (struct loop_http_server){.data = server->data, .loop = loop, .options = *options};
    server->grace_due_ns = LOOP_NEVER;
    set_defaults(&server->options.limits);
    list_init(&server->listeners);
    list_init(&server->idle);
    list_init(&server->busy);
    list_init(&server->upgraded);
    list_init(&server->gone);
    list_init(&server->spares);
    loop_timer_init(loop, &server->grace);
    return 0;
}

/* RFC 9110 5.6.7. The cached clock says when a second may have passed. */
const char *server_date(struct loop_http_server *server)
{
    uint64_t second = loop_now(server->loop) / LOOP_SEC + 1;
    if (server->date_s == second)
        return server->date;
    server->date_s = second;
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(server->date, sizeof(server->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    return server->date;
}

/* --- listeners --- */

static struct listener *of_link(struct loop_link *link)
{
    return loop_container_of(link, struct listener, link);
}

static bool full(const struct loop_http_server *server)
{
    return server->stats.connections >= server->options.limits.connections;
}

static void take(struct listener *listener)
{
    struct link *wire = link_new(listener->server->loop, listener->is_tcp);
    if (!wire) {
        loop_refuse(&listener->stream);
        return;
    }
    if (loop_accept(&listener->stream, &wire->stream) < 0)
        link_free(wire);
    else
        connection_open(listener->server, wire);
}

/* Errors, such as a lack of descriptors, end by themselves. */
static void on_connection(struct loop_stream *stream, int status)
{
    struct listener *listener = loop_container_of(stream, struct listener, stream);
    if (status < 0)
        return;
    listener->waits = full(listener->server);
    if (!listener->waits)
        take(listener);
}

static void on_listener_closed(struct loop_handle *handle)
{
    struct listener *listener = loop_container_of(handle, struct listener, stream.handle);
    struct loop_http_server *server = listener->server;
    list_remove(&listener->link);
    free(listener);
    server_end_if_done(server);
}

static struct listener *listener_new(struct loop_http_server *server, bool is_tcp)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return NULL;
    listener->server = server;
    listener->is_tcp = is_tcp;
    if (is_tcp)
        loop_tcp_init(server->loop, &listener->tcp);
    else
        loop_pipe_init(server->loop, &listener->pipe);
    return listener;
}

/* error: of what came before, with the listener still ours to free. */
static int start(struct listener *listener, int error)
{
    struct loop_http_server *server = listener->server;
    if (error) {
        free(listener);
        return error;
    }
    list_append(&server->listeners, &listener->link);
    error = loop_listen(&listener->stream, LOOP_BACKLOG, on_connection);
    if (error)
        loop_close(&listener->stream.handle, on_listener_closed);
    return error;
}

int loop_http_listen(struct loop_http_server *server, const char *address, uint16_t port,
                     unsigned flags)
{
    struct loop_address parsed;
    int error = server && address ? loop_address_parse(&parsed, address, port) : -EINVAL;
    if (error || server->closing)
        return error ? error : -ECANCELED;
    struct listener *listener = listener_new(server, true);
    if (!listener)
        return -ENOMEM;
    error = loop_tcp_bind(&listener->tcp, &parsed, flags);
    if (error == 0)
        loop_tcp_nodelay(&listener->tcp, true);
    return start(listener, error);
}

int loop_http_listen_path(struct loop_http_server *server, const char *path)
{
    if (!server || !path || server->closing)
        return server && path ? -ECANCELED : -EINVAL;
    struct listener *listener = listener_new(server, false);
    return listener ? start(listener, loop_pipe_bind(&listener->pipe, path, strlen(path)))
                    : -ENOMEM;
}

int loop_http_listen_fd(struct loop_http_server *server, int fd)
{
    if (!server || server->closing)
        return server ? -ECANCELED : -EINVAL;
    int domain;
    socklen_t size = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
        return -errno;
    struct listener *listener = listener_new(server, domain != AF_UNIX);
    if (!listener)
        return -ENOMEM;
    int error =
        listener->is_tcp ? loop_tcp_open(&listener->tcp, fd) : loop_pipe_open(&listener->pipe, fd);
    if (error == 0 && listener->is_tcp)
        loop_tcp_nodelay(&listener->tcp, true);
    return start(listener, error);
}

uint16_t loop_http_server_port(const struct loop_http_server *server)
{
    struct loop_address address;
    if (list_empty(&server->listeners))
        return 0;
    const struct listener *first = of_link(server->listeners.next);
    if (!first->is_tcp || loop_tcp_local(&first->tcp, &address) < 0)
        return 0;
    return loop_address_port(&address);
}

void server_connection_closed(struct loop_http_server *server)
{
    server->stats.connections--;
    struct loop_link *link = server->listeners.next;
    for (; link != &server->listeners && !full(server); link = link->next) {
        struct listener *listener = of_link(link);
        if (!listener->waits || server->closing)
            continue;
        listener->waits = false;
        take(listener);
    }
    server_end_if_done(server);
}

/* --- the end --- */

static void free_spares(struct loop_http_server *server)
{
    for (struct loop_link *link; (link = list_pop(&server->spares));)
        exchange_free(loop_container_of(link, struct exchange, link));
    server->spare_count = 0;
}

static void on_end(struct loop_handle *handle)
{
    struct loop_http_server *server =
        loop_container_of(handle, struct loop_http_server, grace.handle);
    free_spares(server);
    if (server->close_cb)
        server->close_cb(server);
}

void server_end_if_done(struct loop_http_server *server)
{
    if (server->closing && list_empty(&server->listeners) && list_empty(&server->idle) &&
        list_empty(&server->busy) && list_empty(&server->gone) && list_empty(&server->upgraded) &&
        !loop_is_closing(&server->grace.handle))
        loop_close(&server->grace.handle, on_end);
}

/* Each connection leaves its list only in the closing phase, so the walk is safe. */
static void reset_all(struct loop_link *list)
{
    for (struct loop_link *link = list->next; link != list; link = link->next)
        link_reset(loop_container_of(link, struct loop_http_connection, link)->wire);
}

static void on_grace(struct loop_timer *timer)
{
    struct loop_http_server *server = loop_container_of(timer, struct loop_http_server, grace);
    upgrade_leave(server, true);
    reset_all(&server->busy);
    reset_all(&server->idle);
}

static void close_listeners(struct loop_http_server *server)
{
    struct loop_link *link = server->listeners.next;
    for (; link != &server->listeners; link = link->next)
        if (!loop_is_closing(&of_link(link)->stream.handle))
            loop_close(&of_link(link)->stream.handle, on_listener_closed);
}

/* They have a last call: a request that is on its way is answered. */
static void hurry_idle(struct loop_http_server *server)
{
    struct loop_link *link = server->idle.next;
    for (; link != &server->idle; link = link->next)
        connection_watch(loop_container_of(link, struct loop_http_connection, link));
}

/* What has just ended a response is idle, and not yet on that list. */
static void end_busy(struct loop_http_server *server)
{
    for (struct loop_link *link = server->busy.next; link != &server->busy; link = link->next) {
        struct loop_http_connection *conn =
            loop_container_of(link, struct loop_http_connection, link);
        if (conn->exchange)
            exchange_leave(conn->exchange);
        else if (conn->phase == CONNECTION_IDLE && link_is_open(conn->wire))
            connection_watch(conn);
    }
}

void loop_http_server_close(struct loop_http_server *server, uint64_t grace_ns,
                            loop_http_close_cb cb)
{
    if (loop_is_closing(&server->grace.handle))
        return;
    if (!server->closing) {
        server->closing = true;
        server->close_cb = cb;
        server->closed_ns = loop_now(server->loop);
        close_listeners(server);
        end_busy(server);
        hurry_idle(server);
        upgrade_leave(server, false);
    }
    uint64_t now_ns = loop_now(server->loop);
    uint64_t due_ns = grace_ns > LOOP_NEVER - now_ns ? LOOP_NEVER : now_ns + grace_ns;
    if (due_ns < server->grace_due_ns) {
        server->grace_due_ns = due_ns;
        loop_timer_start(&server->grace, grace_ns, 0, on_grace);
    }
    server_end_if_done(server);
}
