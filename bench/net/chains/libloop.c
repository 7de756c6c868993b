/* chain on libloop, as for descriptors that belong to somebody else.
 *
 * A poll handle watches each pair, and a timer beside it is restarted at every event: its deadline
 * moves to a later one, which costs two stores.
 *
 * SPDX-License-Identifier: MIT */
#include "chain.h"

#include <loop/core.h>
#include <loop/poll.h>
#include <loop/timer.h>

struct pair {
    struct loop_poll poll;
    struct loop_timer idle;
};

static struct loop loop;
static struct chain chain;
static struct pair pairs[CHAIN_PAIRS];

static void on_idle(struct loop_timer *timer)
{
    (void)timer;
    bench_require(false, "a pair was idle");
}

static void put_off(struct pair *pair)
{
    int error = loop_timer_start(&pair->idle, CHAIN_IDLE_S * LOOP_SEC, 0, on_idle);
    bench_require(error == 0, "loop_timer_start");
}

static void on_readable(struct loop_poll *poll, int status, uint32_t events)
{
    struct pair *pair = loop_container_of(poll, struct pair, poll);
    const uint32_t index = (uint32_t)(pair - pairs);
    (void)events;
    bench_require(status == 0, "a poll handle");
    put_off(pair);
    chain_read(&chain, index);
    if (!chain_pass(&chain, index))
        loop_stop(&loop);
}

static void run(void)
{
    bench_require(loop_run(&loop, LOOP_RUN_DEFAULT) >= 0, "loop_run");
}

int main(void)
{
    bench_require(loop_init(&loop, NULL) == 0, "loop_init");
    chain_open(&chain);
    for (uint32_t i = 0; i < CHAIN_PAIRS; i++) {
        loop_poll_init(&loop, &pairs[i].poll, chain.pairs[i][0]);
        loop_timer_init(&loop, &pairs[i].idle);
        int error = loop_poll_start(&pairs[i].poll, LOOP_READABLE, on_readable);
        bench_require(error == 0, "loop_poll_start");
        put_off(&pairs[i]);
    }
    chain_measure(&chain, run);
    return EXIT_SUCCESS;
}
