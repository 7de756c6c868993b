/* chain on libevent.
 *
 * One EV_PERSIST event for each pair, with a timeout, which libevent puts off by itself whenever
 * the event is active.
 *
 * SPDX-License-Identifier: MIT */
#include "chain.h"

#include <event2/event.h>
#include <event2/event_struct.h>

static struct event_base *base;
static struct chain chain;
static struct event events[CHAIN_PAIRS];

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    const struct event *event = arg;
    const uint32_t index = (uint32_t)(event - events);
    (void)fd;
    bench_require(what == EV_READ, "a pair was idle");
    chain_read(&chain, index);
    if (!chain_pass(&chain, index))
        event_base_loopbreak(base);
}

static void run(void)
{
    bench_require(event_base_dispatch(base) >= 0, "event_base_dispatch");
}

int main(void)
{
    const struct timeval idle = {.tv_sec = CHAIN_IDLE_S};
    base = event_base_new();
    bench_require(base != NULL, "event_base_new");
    chain_open(&chain);
    for (uint32_t i = 0; i < CHAIN_PAIRS; i++) {
        int error = event_assign(&events[i], base, chain.pairs[i][0], EV_READ | EV_PERSIST,
                                 on_event, &events[i]);
        bench_require(error == 0, "event_assign");
        bench_require(event_add(&events[i], &idle) == 0, "event_add");
    }
    chain_measure(&chain, run);
    return EXIT_SUCCESS;
}
