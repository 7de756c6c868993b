/* An immediate without a reference does run as long as something else keeps the loop going.
 *
 * A reference decides whether the loop goes on for its sake, and nothing else: not when it runs,
 * nor in which order. Both immediates wait in one queue, and the second one, which has a reference,
 * keeps the loop alive for the check phase of both.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

int main(void)
{
    begin_script(NULL);
    loop_id_unref(&loop, loop_set_immediate(&loop, print, line("unref immediate")));
    loop_set_immediate(&loop, print, line("ref immediate"));
    run_loop();
    puts("exit");
    return end_script();
}
