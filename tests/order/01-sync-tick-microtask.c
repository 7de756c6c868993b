/* Main script: what is said at once, then the ticks, then the microtasks, in whatever order they
 * were queued.
 *
 * Outside the loop nothing can run "after the callback", so what main() queues waits until the loop
 * is entered, and runs before the first timers. Promise.resolve().then(f) is queueMicrotask(f): a
 * promise that is settled has nothing to wait for.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_queue_microtask(&loop, print, line("micro1"));
    loop_queue_microtask(&loop, print, line("micro2"));
    loop_process_next_tick(&loop, print, line("tick1"));
    loop_process_next_tick(&loop, print, line("tick2"));
    puts("sync");
    run_loop();
    return end_script();
}
