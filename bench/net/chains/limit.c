/* chain, the limit: bare epoll, level-triggered, with a timestamp for each pair.
 *
 * To put off an idle timeout is to note when the pair was last active; the clock is read once a
 * turn. A sweep over all pairs every second would find those that were idle, and would cost next to
 * nothing; there is none here.
 *
 * SPDX-License-Identifier: MIT */
#include "chain.h"

#include <sys/epoll.h>

enum { EVENTS = 1024 };

static struct chain chain;
static uint64_t active_ns[CHAIN_PAIRS];
static int epoll_fd;

static void run(void)
{
    static struct epoll_event events[EVENTS];
    bool more = true;
    while (more) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        bench_require(count > 0, "epoll_wait");
        const uint64_t now_ns = bench_wall_ns();
        for (int i = 0; i < count; i++) {
            const uint32_t index = events[i].data.u32;
            active_ns[index] = now_ns;
            chain_read(&chain, index);
            more = chain_pass(&chain, index);
        }
    }
}

int main(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bench_require(epoll_fd >= 0, "epoll_create1");
    chain_open(&chain);
    for (uint32_t i = 0; i < CHAIN_PAIRS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        int error = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, chain.pairs[i][0], &event);
        bench_require(error == 0, "epoll_ctl");
    }
    chain_measure(&chain, run);
    return EXIT_SUCCESS;
}
