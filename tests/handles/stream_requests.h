/* Internal. What the tests of the life of streams share: requests that say what became of them, and
 * listeners in the test's own hands.
 *
 * There is one pair of ends, which each test opens as it needs them. Time is virtual: it passes at
 * once if nothing is to be done, and a descriptor that is always ready would not let it pass.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TESTS_STREAM_REQUESTS_H
#define LOOP_TESTS_STREAM_REQUESTS_H

#include "stream_pair.h"

#include <stdio.h>
#include <sys/un.h>

enum { SMALL = 4096 };

static struct pair pair;

static inline void begin_pair(void **state)
{
    memset(&pair, 0, sizeof(pair));
    open_pair_with(&pair, *state, SMALL);
}

static inline void begin_reader(void **state)
{
    memset(&pair, 0, sizeof(pair));
    open_reader(&pair, *state);
}

static const char text[100] = "0123456789";

static inline void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

/* Time passes at once, if nothing is to be done. */
static inline void pass(struct loop *loop, uint64_t ns)
{
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    uint64_t until_ns = loop_now(loop) + ns, turns = loop_turn(loop);
    assert_int_equal(0, loop_timer_start(&timer, ns, 0, on_timer));
    while (loop_now(loop) < until_ns && loop_turn(loop) - turns < 100)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_true(loop_turn(loop) - turns < 100); /* nothing spins */
}

/* Requests that say what becomes of them. */

static inline void on_written(struct loop_write *write, int status)
{
    say("write-%s:%s", (const char *)write->request.data, loop_error_name(status));
}

static inline void on_shut(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    say("shutdown:%s", loop_error_name(status));
}

static inline void on_into(struct loop_read *read, int status)
{
    say("read:%s:%zu", loop_error_name(status), read->size);
}

static inline void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    say("connect:%s", loop_error_name(status));
}

static inline void put(struct end *end, struct loop_write *write, const char *name, size_t size)
{
    struct loop_buf buf = {text, size};
    *write = (struct loop_write){.request.data = (void *)(uintptr_t)name};
    assert_true(loop_write(&end->stream, write, &buf, 1, on_written) >= 0);
}

/* All that may be under way on one stream. */
struct dial {
    struct loop_connect connect;
    struct loop_read read;
    struct loop_write a, b;
    struct loop_shutdown shutdown;
    char bytes[16];
};

/* A listener in the test's own hands. */
struct server {
    int fd;
    struct loop_address address;
    char path[32];
};

static inline void open_server(struct server *server, int backlog)
{
    server->address = (struct loop_address){.size = sizeof(server->address.ip4)};
    if (kind == TCP) {
        assert_int_equal(0, loop_address_parse(&server->address, "127.0.0.1", 0));
        server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int on = 1;
        assert_int_equal(0, setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
        assert_int_equal(0, bind(server->fd, &server->address.any, server->address.size));
        assert_int_equal(0, getsockname(server->fd, &server->address.any, &server->address.size));
    } else {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(server->path, sizeof(server->path), "%cstream-life-%d", 0, (int)getpid());
        memcpy(address.sun_path, server->path, sizeof(server->path));
        server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = offsetof(struct sockaddr_un, sun_path) + sizeof(server->path);
        assert_int_equal(0, bind(server->fd, (struct sockaddr *)&address, size));
    }
    if (backlog >= 0)
        assert_int_equal(0, listen(server->fd, backlog));
}

static inline void start_connect(struct end *end, const struct server *server, struct dial *dial)
{
    int error = kind == TCP
                    ? loop_tcp_connect(&end->tcp, &dial->connect, &server->address, on_connect)
                    : loop_pipe_connect(&end->pipe, &dial->connect, server->path,
                                        sizeof(server->path), on_connect);
    assert_int_equal(0, error);
}

static inline void start_all(struct end *end, struct dial *dial)
{
    assert_int_equal(0, loop_read_into(&end->stream, &dial->read, dial->bytes, 1,
                                       sizeof(dial->bytes), on_into));
    put(end, &dial->a, "a", 10);
    put(end, &dial->b, "b", 10);
    assert_int_equal(0, loop_shutdown(&end->stream, &dial->shutdown, on_shut));
}

static inline void begin_dial(void **state, struct server *server, int backlog)
{
    memset(&pair, 0, sizeof(pair));
    pair.loop = *state;
    pair.raw = -1;
    open_server(server, backlog);
    init_end(*state, &pair.writer, "w");
}

#endif
