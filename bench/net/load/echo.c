/* echo_100, echo_1, idle_10k: messages of 64 bytes, there and back.
 *
 * On each of 100 connections, or on one, the client sends a message, waits for all of it to come
 * back, and sends the next: as many messages are under way as there are connections. One operation
 * is one message.
 *
 * idle_10k is echo_100 beside 10,000 more connections, or as many as the limit of descriptors
 * allows, which have each sent one message and are silent then. Its rss_bytes is the growth of the
 * server's resident memory by these, for one of them, and handle_bytes what of it the server's
 * author has allocated himself: the rest is the library's.
 *
 * SPDX-License-Identifier: MIT */
#include "load.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
    MESSAGE = 64,
    ACTIVE = 100,
    IDLE = 10000,
    DESCRIPTORS_SPARED = 300, /* for the active connections, and what a server opens besides */
    EVENTS = 128,
};

struct connection {
    int fd;
    size_t heard; /* bytes of the answer that is under way */
};

struct echo {
    struct window *window;
    int epoll_fd;
    uint64_t asked;
    uint64_t answered;
};

static const char message[MESSAGE] = "a message, of which the other bytes are zero";

static void ask(struct echo *echo, struct connection *connection)
{
    ssize_t size = send(connection->fd, message, MESSAGE, MSG_NOSIGNAL);
    bench_require(size == MESSAGE, "send");
    connection->heard = 0;
    echo->asked++;
}

static bool may_ask(const struct echo *echo)
{
    const uint64_t max = echo->window->operations_max;
    return max == 0 || echo->asked < max;
}

static void hear(struct echo *echo, struct connection *connection)
{
    char answer[MESSAGE];
    ssize_t size = recv(connection->fd, answer, MESSAGE, 0);
    bench_require(size > 0, "recv");
    connection->heard += (size_t)size;
    if (connection->heard < MESSAGE)
        return;
    echo->answered++;
    if (may_ask(echo))
        ask(echo, connection);
}

static void open_connection(struct echo *echo, struct connection *connection)
{
    connection->fd = subject_connect(echo->window->subject);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int error = epoll_ctl(echo->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event);
    bench_require(error == 0, "epoll_ctl");
}

static void play(struct echo *echo, struct connection *connections, size_t count)
{
    struct epoll_event events[EVENTS];
    for (size_t i = 0; i < count && may_ask(echo); i++)
        ask(echo, &connections[i]);
    while (window_goes_on(echo->window, echo->answered)) {
        int ready = epoll_wait(echo->epoll_fd, events, EVENTS, -1);
        bench_require(ready > 0, "epoll_wait");
        for (int i = 0; i < ready; i++)
            hear(echo, events[i].data.ptr);
    }
}

static void print_figures(const struct window *window)
{
    if (window->operations_max > 0)
        return;
    bench_print("cpu_ns", window->cpu_ns, window->operations);
    bench_print("messages_per_s", window->operations * bench_second_ns, window->wall_ns);
}

static void run(struct window *window, size_t count)
{
    struct connection connections[ACTIVE];
    struct echo echo = {.window = window, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    bench_require(echo.epoll_fd >= 0, "epoll_create1");
    for (size_t i = 0; i < count; i++)
        open_connection(&echo, &connections[i]);
    play(&echo, connections, count);
    print_figures(window);
}

void load_echo_100(struct window *window)
{
    run(window, ACTIVE);
}

void load_echo_1(struct window *window)
{
    run(window, 1);
}

static size_t idle_count(void)
{
    struct rlimit limit;
    bench_require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    bench_require(limit.rlim_cur > DESCRIPTORS_SPARED, "more descriptors, please: ulimit -n");
    const size_t most = (size_t)limit.rlim_cur - DESCRIPTORS_SPARED;
    return most < IDLE ? most : IDLE;
}

/* The answer says that the server has accepted it, and done all that it does for a connection. */
static void open_and_use(struct window *window)
{
    char answer[MESSAGE];
    int fd = subject_connect(window->subject);
    bench_require(send(fd, message, MESSAGE, MSG_NOSIGNAL) == MESSAGE, "send");
    bench_require(recv(fd, answer, MESSAGE, MSG_WAITALL) == MESSAGE, "recv");
}

void load_idle_10k(struct window *window)
{
    const size_t count = idle_count();
    for (size_t i = 0; i < ACTIVE; i++) /* what only the first connections cost */
        open_and_use(window);
    const uint64_t before_bytes = subject_rss_bytes(window->subject);
    for (size_t i = 0; i < count; i++)
        open_and_use(window);
    const uint64_t grown_bytes = subject_rss_bytes(window->subject) - before_bytes;
    run(window, ACTIVE);
    if (window->operations_max > 0)
        return;
    bench_print("rss_bytes", grown_bytes, count);
    bench_print("handle_bytes", window->subject->handle_bytes, 1);
    bench_print("connections", count, 1);
}
