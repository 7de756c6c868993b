/* A timer that is refreshed moves behind its peers of the same delay.
 *
 * To start again is to start later: the order among equal deadlines is the order of the last start,
 * not of the first. Both timers are due when the loop is entered, so the deadline alone would not
 * tell.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_id a = loop_set_timeout(&loop, 5 * LOOP_MS, print, line("a"));
    loop_set_timeout(&loop, 5 * LOOP_MS, print, line("b"));
    loop_refresh(&loop, a);
    busy(12);
    run_loop();
    return end_script();
}
