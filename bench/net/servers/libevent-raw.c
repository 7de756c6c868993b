/* The server on libevent's plain events, without bufferevents.
 *
 * An EV_PERSIST event for each connection, recv() into one buffer for all, send() at once. This
 * shows what the loop costs; a program of this kind would have to keep what the kernel does not
 * take, as servers/libev.c does, and with messages so small that never happens here.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <unistd.h>

struct connection {
    struct event event;
};

static char piece[SERVER_PIECE];
static enum server_role role;
static struct event_base *base;

static void end(struct connection *connection)
{
    int fd = event_get_fd(&connection->event);
    event_del(&connection->event);
    close(fd);
    free(connection);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    (void)what;
    ssize_t size = recv(fd, piece, sizeof piece, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN))
        end(connection);
    else if (size > 0 && role == ROLE_ECHO)
        bench_require(send(fd, piece, (size_t)size, MSG_NOSIGNAL) == size, "send");
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)arg;
    ssize_t sent = send(fd, piece, sizeof piece, MSG_NOSIGNAL);
    bench_require(sent > 0 || errno == EAGAIN, "the client has gone");
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
    (void)what;
    (void)arg;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN)
        return;
    bench_require(fd >= 0, "accept4");
    const bool writes = role == ROLE_SOURCE;
    struct connection *connection = bench_array(1, sizeof *connection);
    int error = event_assign(&connection->event, base, fd,
                             (short)((writes ? EV_WRITE : EV_READ) | EV_PERSIST),
                             writes ? on_writable : on_readable, connection);
    bench_require(error == 0, "event_assign");
    bench_require(event_add(&connection->event, NULL) == 0, "event_add");
}

int main(int argc, char **argv)
{
    struct event listener;
    role = server_role(argc, argv);
    base = event_base_new();
    bench_require(base != NULL, "event_base_new");
    int fd = server_listen();
    int error = event_assign(&listener, base, fd, EV_READ | EV_PERSIST, on_connection, NULL);
    bench_require(error == 0, "event_assign");
    bench_require(event_add(&listener, NULL) == 0, "event_add");
    server_announce(server_port(fd), sizeof(struct connection));
    return event_base_dispatch(base);
}
