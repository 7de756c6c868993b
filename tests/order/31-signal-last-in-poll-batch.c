/* In one batch of the poll phase a signal is told last.
 *
 * The message is a task posted to the loop: it comes after the signal was raised, and is delivered
 * before it, in the same poll phase. The immediate queued by the immediate runs in the check phase
 * behind both.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

#include <signal.h>

static struct loop_task message;
static struct loop_signal sigusr2;

static void on_message(struct loop_task *task)
{
    (void)task;
    puts("message x");
}

static void on_signal(struct loop_signal *signal, int number)
{
    (void)number;
    puts("signal");
    loop_signal_stop(signal);
}

static void immediate(void *arg)
{
    (void)arg;
    must(raise(SIGUSR2), "raise");
    must(loop_post(&loop, &message, on_message), "loop_post");
    busy(20);
    loop_set_immediate(&loop, print, line("nested immediate"));
    puts("immediate");
}

int main(void)
{
    begin_script(NULL);
    loop_signal_init(&loop, &sigusr2);
    must(loop_signal_start(&sigusr2, SIGUSR2, on_signal), "loop_signal_start");
    loop_set_immediate(&loop, immediate, NULL);
    run_loop();
    return end_script();
}
