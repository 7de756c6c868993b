/* chain on libuv.
 *
 * uv_poll_t and uv_timer_t for each pair. The timer repeats, so that uv_timer_again() puts it off,
 * as the manual has it for timeouts.
 *
 * SPDX-License-Identifier: MIT */
#include "chain.h"

#include <uv.h>

struct pair {
    uv_poll_t poll;
    uv_timer_t idle;
};

static uv_loop_t *loop;
static struct chain chain;
static struct pair pairs[CHAIN_PAIRS];

static void on_idle(uv_timer_t *timer)
{
    (void)timer;
    bench_require(false, "a pair was idle");
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct pair *pair = bench_container_of(poll, struct pair, poll);
    const uint32_t index = (uint32_t)(pair - pairs);
    (void)events;
    bench_require(status == 0, "a poll handle");
    bench_require(uv_timer_again(&pair->idle) == 0, "uv_timer_again");
    chain_read(&chain, index);
    if (!chain_pass(&chain, index))
        uv_stop(loop);
}

static void run(void)
{
    uv_run(loop, UV_RUN_DEFAULT);
}

static void init_pair(struct pair *pair, int fd)
{
    const uint64_t idle_ms = CHAIN_IDLE_S * UINT64_C(1000);
    bench_require(uv_poll_init(loop, &pair->poll, fd) == 0, "uv_poll_init");
    bench_require(uv_timer_init(loop, &pair->idle) == 0, "uv_timer_init");
    bench_require(uv_poll_start(&pair->poll, UV_READABLE, on_readable) == 0, "uv_poll_start");
    bench_require(uv_timer_start(&pair->idle, on_idle, idle_ms, idle_ms) == 0, "uv_timer_start");
}

int main(void)
{
    loop = uv_default_loop();
    chain_open(&chain);
    for (uint32_t i = 0; i < CHAIN_PAIRS; i++)
        init_pair(&pairs[i], chain.pairs[i][0]);
    chain_measure(&chain, run);
    return EXIT_SUCCESS;
}
