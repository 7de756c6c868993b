/* immediate_turn, the limit: a list of callbacks, and epoll asked once for each time it is emptied.
 *
 * The list is taken whole and then run, so that what a callback queues waits for the next turn, as
 * in bench/core/immediate_turn.c. The poll in between is what a chain of immediates is for: work
 * cut in pieces that lets descriptors have their turn.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "fifo.h"

#include <sys/epoll.h>

enum { TURNS = 2000000, EVENTS = 16 };

static struct fifo immediates;
static uint32_t ran;

static void on_immediate(struct fifo_task *task)
{
    if (++ran < TURNS)
        fifo_push(&immediates, task);
}

static void turn(int epoll_fd)
{
    struct epoll_event events[EVENTS];
    bench_require(epoll_wait(epoll_fd, events, EVENTS, 0) == 0, "epoll_wait");
    struct fifo taken = immediates;
    immediates = (struct fifo){0};
    fifo_drain(&taken);
}

int main(void)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bench_require(epoll_fd >= 0, "epoll_create1");
    struct fifo_task task = {.cb = on_immediate};
    fifo_push(&immediates, &task);
    const uint64_t start_ns = bench_cpu_ns();
    while (immediates.oldest != NULL)
        turn(epoll_fd);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, ran);
    return EXIT_SUCCESS;
}
