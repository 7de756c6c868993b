/* The server on libev.
 *
 * libev watches and its user reads and writes: an ev_io for each connection, recv() into one buffer
 * for all, send() at once. What the kernel does not take is kept with the connection, which then
 * waits for EV_WRITE instead of EV_READ. A source is always waiting for EV_WRITE.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <ev.h>
#include <unistd.h>

struct connection {
    ev_io io;
    size_t left; /* bytes that wait to be written */
    char *rest;  /* they, at the end of it */
    size_t rest_size;
};

static char piece[SERVER_PIECE];
static enum server_role role;

static void wait_for(struct ev_loop *loop, struct connection *connection, int events)
{
    ev_io_stop(loop, &connection->io);
    ev_io_set(&connection->io, connection->io.fd, events);
    ev_io_start(loop, &connection->io);
}

static void end(struct ev_loop *loop, struct connection *connection)
{
    ev_io_stop(loop, &connection->io);
    close(connection->io.fd);
    free(connection->rest);
    free(connection);
}

static void keep(struct ev_loop *loop, struct connection *connection, const char *bytes,
                 size_t size)
{
    connection->rest = bench_array(1, size);
    memcpy(connection->rest, bytes, size);
    connection->rest_size = connection->left = size;
    wait_for(loop, connection, EV_WRITE);
}

static void answer(struct ev_loop *loop, struct connection *connection, size_t size)
{
    ssize_t sent = send(connection->io.fd, piece, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        end(loop, connection);
    else if (sent < (ssize_t)size)
        keep(loop, connection, piece + (sent > 0 ? sent : 0), size - (size_t)(sent > 0 ? sent : 0));
}

static void answer_rest(struct ev_loop *loop, struct connection *connection)
{
    const char *bytes = connection->rest + connection->rest_size - connection->left;
    ssize_t sent = send(connection->io.fd, bytes, connection->left, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        end(loop, connection);
        return;
    }
    connection->left -= sent > 0 ? (size_t)sent : 0;
    if (connection->left > 0)
        return;
    free(connection->rest);
    connection->rest = NULL;
    wait_for(loop, connection, EV_READ);
}

static void on_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *connection = bench_container_of(io, struct connection, io);
    if (events & EV_WRITE) {
        answer_rest(loop, connection);
        return;
    }
    ssize_t size = recv(io->fd, piece, sizeof piece, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN))
        end(loop, connection);
    else if (size > 0 && role == ROLE_ECHO)
        answer(loop, connection, (size_t)size);
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    ssize_t sent = send(io->fd, piece, sizeof piece, MSG_NOSIGNAL);
    bench_require(sent > 0 || errno == EAGAIN, "the client has gone");
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN)
        return;
    bench_require(fd >= 0, "accept4");
    struct connection *connection = bench_array(1, sizeof *connection);
    if (role == ROLE_SOURCE)
        ev_io_init(&connection->io, on_writable, fd, EV_WRITE);
    else
        ev_io_init(&connection->io, on_ready, fd, EV_READ);
    ev_io_start(loop, &connection->io);
}

int main(int argc, char **argv)
{
    struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL);
    ev_io listener;
    role = server_role(argc, argv);
    int fd = server_listen();
    ev_io_init(&listener, on_connection, fd, EV_READ);
    ev_io_start(loop, &listener);
    server_announce(server_port(fd), sizeof(struct connection));
    ev_run(loop, 0);
    return EXIT_SUCCESS;
}
