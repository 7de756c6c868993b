/* A deliberate difference: three timers that are overdue together run by deadline, A C B.
 *
 * Node keeps a list for each duration and drains one list of all that is due before it turns to the
 * next. So B, of A's duration, runs before C, though C was due 6 ms earlier. We keep one order of
 * deadlines for all timers. 14-node-list-batching.ours is what this program prints.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_set_timeout(&loop, 20 * LOOP_MS, print, line("A 20ms"));
    loop_set_timeout(&loop, 24 * LOOP_MS, print, line("C 24ms"));
    busy(10);
    loop_set_timeout(&loop, 20 * LOOP_MS, print, line("B 20ms, created 10 ms later"));
    busy(60);
    run_loop();
    return end_script();
}
