/* chain on libev.
 *
 * ev_io and ev_timer for each pair. ev_timer_again() puts the timer off: the second of the manual's
 * four ways to do timeouts, "use a timer and reschedule with ev_timer_again on activity".
 *
 * SPDX-License-Identifier: MIT */
#include "chain.h"

#include <ev.h>

struct pair {
    ev_io io;
    ev_timer idle;
};

static struct chain chain;
static struct pair pairs[CHAIN_PAIRS];

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    bench_require(false, "a pair was idle");
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct pair *pair = bench_container_of(io, struct pair, io);
    const uint32_t index = (uint32_t)(pair - pairs);
    (void)events;
    ev_timer_again(loop, &pair->idle);
    chain_read(&chain, index);
    if (!chain_pass(&chain, index))
        ev_break(loop, EVBREAK_ALL);
}

static void run(void)
{
    ev_run(EV_DEFAULT_UC_ 0);
}

int main(void)
{
    struct ev_loop *loop = ev_default_loop(EVBACKEND_EPOLL);
    chain_open(&chain);
    for (uint32_t i = 0; i < CHAIN_PAIRS; i++) {
        ev_io_init(&pairs[i].io, on_readable, chain.pairs[i][0], EV_READ);
        ev_timer_init(&pairs[i].idle, on_idle, 0., CHAIN_IDLE_S);
        ev_io_start(loop, &pairs[i].io);
        ev_timer_again(loop, &pairs[i].idle);
    }
    chain_measure(&chain, run);
    return EXIT_SUCCESS;
}
