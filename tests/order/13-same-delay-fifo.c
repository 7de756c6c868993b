/* Equal delays run in the order in which they were set, and many delays are equal: whatever is
 * under 1 ms or over 2147483647 ms is 1 ms, and fractions are cut off.
 *
 * That is a rule of setTimeout, which loop/node.h keeps; loop_timer_start() takes any number of
 * nanoseconds as it is. Delays have no sign and no NaN here: what a negative number becomes when it
 * is converted is far too large, and LOOP_NEVER stands for the one that is no number.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_set_timeout(&loop, 1 * LOOP_MS, print, line("a 1"));
    loop_set_timeout(&loop, 0, print, line("b 0"));
    loop_set_timeout(&loop, 0 - 5 * LOOP_MS, print, line("c -5"));
    loop_set_timeout(&loop, LOOP_NEVER, print, line("d NaN"));
    loop_set_timeout(&loop, 400 * LOOP_US, print, line("e 0.4"));
    loop_set_timeout(&loop, 1900 * LOOP_US, print, line("f 1.9"));
    loop_set_timeout(&loop, 0, print, line("g undefined"));
    loop_set_timeout(&loop, (UINT64_C(1) << 31) * LOOP_MS, print, line("h 2**31"));
    busy(5);
    run_loop();
    return end_script();
}
