/* An immediate queued by an immediate runs in the next turn: a close callback of this turn comes
 * between.
 *
 * The phase takes its list and then runs it, so that a turn is over at some time. The socket of the
 * script is an async handle here: something that calls back in the poll phase and can be closed.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static struct loop_async c;

static void on_close(struct loop_handle *handle)
{
    (void)handle;
    puts("close callback");
}

static void a(void *arg)
{
    (void)arg;
    puts("A");
    loop_close(&c.handle, on_close);
    loop_set_immediate(&loop, print, line("C (queued by A)"));
}

static void on_connect(struct loop_async *async)
{
    (void)async;
    loop_set_immediate(&loop, a, NULL);
    loop_set_immediate(&loop, print, line("B"));
}

int main(void)
{
    begin_script(NULL);
    must(loop_async_init(&loop, &c, on_connect), "loop_async_init");
    must(loop_async_send(&c), "loop_async_send");
    run_loop();
    return end_script();
}
