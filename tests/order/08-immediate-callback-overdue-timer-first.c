/* From an immediate: a timeout of 0 that is overdue runs at the end of this turn, before an
 * immediate queued beside it, which waits for the next check phase.
 *
 * Seen from check, the timers phase is ahead in the same turn, and check itself is a turn away.
 * From poll it is the other way round: see 06.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static void immediate(void *arg)
{
    (void)arg;
    puts("immediate");
    loop_set_immediate(&loop, print, line("nested immediate"));
    loop_set_timeout(&loop, 0, print, line("timer"));
    busy(5);
}

int main(void)
{
    begin_script(NULL);
    loop_set_immediate(&loop, immediate, NULL);
    run_loop();
    return end_script();
}
