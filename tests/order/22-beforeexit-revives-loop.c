/* A loop that has ended may be given new work and run again; what is queued behind the last run
 * never runs.
 *
 * Node's beforeExit comes when its loop is over, and again if a listener has added something. In C
 * that is a loop around loop_run(). Its exit comes once, and there is a deliberate difference: Node
 * still runs a microtask that was queued there, but nothing else. Here all that is left is let go
 * of by loop_fini(). 22-beforeexit-revives-loop.ours is what this program prints.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static int n;

static void work(void *arg)
{
    (void)arg;
    printf("work %d\n", n);
}

static void before_exit(void)
{
    printf("beforeExit %d\n", ++n);
    if (n < 3)
        loop_set_immediate(&loop, work, NULL);
}

static void at_exit(void)
{
    puts("exit");
    loop_process_next_tick(&loop, print, line("WRONG tick"));
    loop_set_immediate(&loop, print, line("WRONG immediate"));
    loop_set_timeout(&loop, 0, print, line("WRONG timer"));
    loop_queue_microtask(&loop, print, line("WRONG here: micro queued in exit handler"));
}

int main(void)
{
    begin_script(NULL);
    do {
        run_loop();
        before_exit();
    } while (loop_alive(&loop));
    at_exit();
    return end_script();
}
