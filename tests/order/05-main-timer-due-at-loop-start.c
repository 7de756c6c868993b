/* A timeout that is due already when the loop is entered comes before the immediate.
 *
 * The loop runs the timers once on its way in, before the first turn, and the check phase comes in
 * that turn. Were the main program not busy for longer than the timeout, the immediate would come
 * first: that is the race which the documentation of Node warns of.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_set_immediate(&loop, print, line("immediate"));
    loop_set_timeout(&loop, 0, print, line("timeout"));
    busy(5);
    puts("main end");
    run_loop();
    return end_script();
}
