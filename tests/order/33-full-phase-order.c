/* One callback of the poll phase schedules everything, and the lines come out in the order of the
 * diagram.
 *
 * The callback itself, its ticks, its microtasks; then check, close callbacks, timers, each with
 * its own drain; then the next turn. Nothing depends on the order of the calls in on_connect(),
 * which is another one. The socket of the script is an async handle here: something that calls back
 * in the poll phase and can be closed.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static void timer(void *arg)
{
    (void)arg;
    puts("5 timer");
    loop_set_immediate(&loop, print, line("6 next-iteration immediate"));
}

static void immediate(void *arg)
{
    (void)arg;
    puts("3 immediate");
    loop_process_next_tick(&loop, print, line("3a tick"));
}

static void on_close(struct loop_handle *handle)
{
    (void)handle;
    puts("4 close");
    loop_process_next_tick(&loop, print, line("4a tick"));
}

static void on_connect(struct loop_async *c)
{
    loop_set_timeout(&loop, 1 * LOOP_MS, timer, NULL);
    loop_set_immediate(&loop, immediate, NULL);
    loop_close(&c->handle, on_close);
    loop_queue_microtask(&loop, print, line("2 micro"));
    loop_process_next_tick(&loop, print, line("1 tick"));
    busy(4);
    puts("0 io");
}

int main(void)
{
    struct loop_async c;
    begin_script(NULL);
    must(loop_async_init(&loop, &c, on_connect), "loop_async_init");
    must(loop_async_send(&c), "loop_async_send");
    run_loop();
    return end_script();
}
