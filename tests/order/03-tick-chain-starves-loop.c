/* A chain of 1000 ticks, each queued by the one before, is over before an immediate that was queued
 * first.
 *
 * Ticks are the exception to "what a callback adds waits for the next turn": the loop does not go
 * on before there is none. A chain that does not end therefore stops the loop for ever, in Node as
 * here.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static int n;

static void immediate(void *arg)
{
    (void)arg;
    printf("immediate after %d\n", n);
}

static void f(void *arg)
{
    (void)arg;
    if (++n < 1000)
        loop_process_next_tick(&loop, f, NULL);
}

int main(void)
{
    begin_script(NULL);
    loop_set_immediate(&loop, immediate, NULL);
    loop_process_next_tick(&loop, f, NULL);
    run_loop();
    return end_script();
}
