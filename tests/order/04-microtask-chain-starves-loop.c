/* A chain of 1000 microtasks, each queued by the one before, is over before an immediate that was
 * queued first, and even before a tick that the chain queues on its way.
 *
 * Microtasks are run until there is none; only then does the loop look whether they have queued
 * ticks, and only when both queues are empty does it go on.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static int n;

static void immediate(void *arg)
{
    (void)arg;
    printf("immediate after %d\n", n);
}

static void tick(void *arg)
{
    (void)arg;
    printf("tick after %d\n", n);
}

static void f(void *arg)
{
    (void)arg;
    if (++n == 500)
        loop_process_next_tick(&loop, tick, NULL);
    if (n < 1000)
        loop_queue_microtask(&loop, f, NULL);
}

int main(void)
{
    begin_script(NULL);
    loop_set_immediate(&loop, immediate, NULL);
    loop_queue_microtask(&loop, f, NULL);
    run_loop();
    return end_script();
}
