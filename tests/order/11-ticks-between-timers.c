/* After every single timer the ticks run, and then the microtasks, before the next timer.
 *
 * All three timers are due in the same pass, and still none sees what another has left undone: the
 * drain belongs to the callback, not to the phase. Before version 11 Node drained once, behind all
 * timers of a list.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static void micro(void *arg)
{
    const int *i = arg;
    printf("  micro%d\n", *i);
}

static void tick(void *arg)
{
    const int *i = arg;
    printf("  tick%d\n", *i);
}

static void timer(void *arg)
{
    const int *i = arg;
    printf("timer%d\n", *i);
    loop_queue_microtask(&loop, micro, arg);
    loop_process_next_tick(&loop, tick, arg);
}

int main(void)
{
    static int numbers[] = {1, 2, 3};
    static const uint64_t delays_ms[] = {1, 1, 2};
    begin_script(NULL);
    for (int i = 0; i < 3; i++)
        loop_set_timeout(&loop, delays_ms[i] * LOOP_MS, timer, &numbers[i]);
    busy(6);
    run_loop();
    return end_script();
}
