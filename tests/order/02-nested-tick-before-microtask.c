/* A tick queued by a tick runs before the microtasks that wait already; a tick queued by a
 * microtask runs when all microtasks are done.
 *
 * The two queues are drained in turn, each until it is empty, with what is added meanwhile. So the
 * last line is tick-from-micro, though it was queued before micro-from-micro: once the microtasks
 * have their turn, they are all run before anybody looks at the ticks again.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static void micro1(void *arg)
{
    (void)arg;
    puts("micro1");
    loop_process_next_tick(&loop, print, line("tick-from-micro"));
    loop_queue_microtask(&loop, print, line("micro-from-micro"));
}

static void tick1(void *arg)
{
    (void)arg;
    puts("tick1");
    loop_process_next_tick(&loop, print, line("tick-from-tick"));
    loop_queue_microtask(&loop, print, line("micro-from-tick"));
}

int main(void)
{
    begin_script(NULL);
    loop_queue_microtask(&loop, micro1, NULL);
    loop_queue_microtask(&loop, print, line("micro2"));
    loop_process_next_tick(&loop, tick1, NULL);
    loop_process_next_tick(&loop, print, line("tick2"));
    run_loop();
    return end_script();
}
