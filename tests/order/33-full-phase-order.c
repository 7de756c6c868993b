/* One callback of the poll phase schedules everything, and the lines come out in the order of the
 * diagram.
 *
 * The callback itself, its ticks, its microtasks; then check, close callbacks, timers, each with
 * its own drain; then the next turn. Nothing depends on the order of the calls in on_connect(),
 * which is another one.
 *
 * SPDX-License-Identifier: MIT */
#include "net.h"

static struct loop_tcp c;

static void next_immediate(void *arg)
{
    (void)arg;
    puts("6 next-iteration immediate");
    close_srv();
}

static void timer(void *arg)
{
    (void)arg;
    puts("5 timer");
    loop_set_immediate(&loop, next_immediate, NULL);
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

static void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    must(status, "connect");
    loop_set_timeout(&loop, 1 * LOOP_MS, timer, NULL);
    loop_set_immediate(&loop, immediate, NULL);
    loop_close(&c.handle, on_close);
    loop_queue_microtask(&loop, print, line("2 micro"));
    loop_process_next_tick(&loop, print, line("1 tick"));
    busy(4);
    puts("0 io");
}

int main(void)
{
    struct loop_connect connect = {.cb = NULL};
    begin_script(NULL);
    listen_on_loopback();
    connect_to_srv(&c, &connect, on_connect);
    run_loop();
    return end_script();
}
