/* A timer without a reference does not keep the loop alive; a reference given back does.
 *
 * The loop ends when nothing referenced is left, so the timer of 24 days, which is the longest that
 * Node has, never runs, and the program does not wait for it. Node's exit event comes when its loop
 * is over: in C that is the line behind loop_run().
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_id wrong = loop_set_timeout(&loop, INT32_MAX * LOOP_MS, print, line("WRONG"));
    loop_id_unref(&loop, wrong);
    loop_id t = loop_set_timeout(&loop, 10 * LOOP_MS, print, line("re-referenced"));
    loop_id_unref(&loop, t);
    loop_id_ref(&loop, t);
    run_loop();
    puts("exit");
    return end_script();
}
