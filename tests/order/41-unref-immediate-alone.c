/* An immediate without a reference, and nothing else: the loop is not alive, and it never runs.
 *
 * The counterpart of 21, where other work takes it along. loop_run() looks whether anything is left
 * before it begins a turn, finds nothing, and returns; the immediate is still queued and is let go
 * of with the loop.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_id_unref(&loop, loop_set_immediate(&loop, print, line("WRONG")));
    run_loop();
    puts("exit");
    return end_script();
}
