/* empty_turn, the limit: ask epoll, without sleeping, and find nothing.
 *
 * The one timer, an hour away as in bench/core/empty_turn.c, is a timerfd in the epoll set, so that
 * not even the clock is read. What is left is the system call: a loop that asks the kernel once a
 * turn cannot take less, and one that does not ask starves its descriptors.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

enum { TURNS = 2000000, HOUR_S = 3600, EVENTS = 16 };

static int watched_timer(void)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bench_require(epoll_fd >= 0, "epoll_create1");
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    bench_require(timer_fd >= 0, "timerfd_create");
    const struct itimerspec hour = {.it_value = {.tv_sec = HOUR_S}};
    bench_require(timerfd_settime(timer_fd, 0, &hour, NULL) == 0, "timerfd_settime");
    struct epoll_event event = {.events = EPOLLIN};
    bench_require(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event) == 0, "epoll_ctl");
    return epoll_fd;
}

int main(void)
{
    struct epoll_event events[EVENTS];
    int epoll_fd = watched_timer();
    const uint64_t start_ns = bench_cpu_ns();
    for (uint32_t i = 0; i < TURNS; i++)
        bench_require(epoll_wait(epoll_fd, events, EVENTS, 0) == 0, "epoll_wait");
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, TURNS);
    return EXIT_SUCCESS;
}
