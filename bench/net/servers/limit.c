/* The limit: the server as one would write it by hand for this alone, on bare epoll.
 *
 * Level-triggered, one recv() and one send() for an event, the descriptor in the event itself, so
 * that there is no memory for a connection at all. A sink and a source go on as long as the kernel
 * does. An echo ends when the kernel does not take an answer at once: that one case is what a
 * library has most of its code for. A connection is closed without leaving the epoll set first, as
 * nobody else has its descriptor.
 *
 * Variant "spin": it polls without sleeping for 50 us after the last event.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 1024 };

static const uint64_t spin_ns = 50000;

static char piece[SERVER_PIECE];
static enum server_role role;

static void watch(int epoll_fd, int fd, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.fd = fd};
    bench_require(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void accept_one(int epoll_fd, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    bench_require(fd >= 0, "accept4");
    watch(epoll_fd, fd, role == ROLE_SOURCE ? EPOLLOUT : EPOLLIN);
}

/* A piece that went whole may not be the last: another is tried, without a turn between. */
static void send_all(int fd)
{
    ssize_t size;
    do
        size = send(fd, piece, sizeof piece, MSG_NOSIGNAL);
    while (size == sizeof piece);
    bench_require(size > 0 || errno == EAGAIN, "send");
}

static void serve(int fd)
{
    ssize_t size;
    do
        size = recv(fd, piece, sizeof piece, 0);
    while (size == sizeof piece && role == ROLE_SINK);
    if (size == 0 || (size < 0 && errno != EAGAIN))
        close(fd);
    else if (size > 0 && role == ROLE_ECHO)
        bench_require(send(fd, piece, (size_t)size, MSG_NOSIGNAL) == size, "send");
}

/* Without spinning a turn reads no clock. */
static int wait_for_events(int epoll_fd, struct epoll_event *events, bool spin)
{
    int count = 0;
    if (spin) {
        const uint64_t until_ns = bench_wall_ns() + spin_ns;
        do
            count = epoll_wait(epoll_fd, events, EVENTS, 0);
        while (count == 0 && bench_wall_ns() < until_ns);
    }
    if (count == 0)
        count = epoll_wait(epoll_fd, events, EVENTS, -1);
    bench_require(count > 0, "epoll_wait");
    return count;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    const bool spin = server_variant(argc, argv, "spin");
    role = server_role(argc, argv);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bench_require(epoll_fd >= 0, "epoll_create1");
    int listener = server_listen();
    watch(epoll_fd, listener, EPOLLIN);
    server_announce(server_port(listener), 0);
    for (;;) {
        int count = wait_for_events(epoll_fd, events, spin);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_one(epoll_fd, listener);
            else if (role == ROLE_SOURCE)
                send_all(fd);
            else
                serve(fd);
        }
    }
}
