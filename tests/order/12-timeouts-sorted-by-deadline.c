/* Timers that are overdue together run by deadline, not in the order in which they were made.
 *
 * The main program is busy until all three are late. How late each of them is does not matter, nor
 * which was set first: a program that was held up sees its timers in the order in which it would
 * have seen them in time.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_set_timeout(&loop, 400 * LOOP_MS, print, line("400"));
    loop_set_timeout(&loop, 100 * LOOP_MS, print, line("100"));
    loop_set_timeout(&loop, 250 * LOOP_MS, print, line("250"));
    busy(600);
    run_loop();
    return end_script();
}
