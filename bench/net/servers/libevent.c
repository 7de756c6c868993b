/* The server on libevent's bufferevents.
 *
 * An evconnlistener accepts. An echo moves what came from the input buffer to the output buffer,
 * without a copy; a sink drains it; a source adds a reference to its one piece whenever the output
 * has run empty. Reads and writes of up to 64 KiB at a time are allowed, where 16 are the default.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

static char piece[SERVER_PIECE];
static enum server_role role;

static void on_read(struct bufferevent *connection, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(connection);
    (void)arg;
    int error = role == ROLE_ECHO ? evbuffer_add_buffer(bufferevent_get_output(connection), input)
                                  : evbuffer_drain(input, evbuffer_get_length(input));
    bench_require(error == 0, "evbuffer");
}

static void on_drained(struct bufferevent *connection, void *arg)
{
    (void)arg;
    int error =
        evbuffer_add_reference(bufferevent_get_output(connection), piece, sizeof piece, NULL, NULL);
    bench_require(error == 0, "evbuffer_add_reference");
}

static void on_end(struct bufferevent *connection, short what, void *arg)
{
    (void)arg;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(connection);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
                          struct sockaddr *address, int size, void *arg)
{
    struct event_base *base = evconnlistener_get_base(listener);
    struct bufferevent *connection = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    (void)address;
    (void)size;
    (void)arg;
    bench_require(connection != NULL, "bufferevent_socket_new");
    bufferevent_set_max_single_read(connection, SERVER_PIECE);
    bufferevent_set_max_single_write(connection, SERVER_PIECE);
    if (role == ROLE_SOURCE) {
        bufferevent_setcb(connection, NULL, on_drained, on_end, NULL);
        on_drained(connection, NULL);
    } else {
        bufferevent_setcb(connection, on_read, NULL, on_end, NULL);
    }
    bench_require(bufferevent_enable(connection, EV_READ | EV_WRITE) == 0, "bufferevent_enable");
}

int main(int argc, char **argv)
{
    const struct sockaddr_in address = server_address();
    struct event_base *base = event_base_new();
    role = server_role(argc, argv);
    bench_require(base != NULL, "event_base_new");
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, on_connection, NULL,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, SERVER_BACKLOG,
                                (const struct sockaddr *)&address, sizeof address);
    bench_require(listener != NULL, "evconnlistener_new_bind");
    int fd = evconnlistener_get_fd(listener);
    server_set_nodelay(fd);
    server_announce(server_port(fd), 0); /* a bufferevent is the library's */
    return event_base_dispatch(base);
}
