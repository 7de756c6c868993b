/* An immediate queued by an immediate runs in the next turn: a close callback of this turn comes
 * between.
 *
 * The phase takes its list and then runs it, so that a turn is over at some time.
 *
 * SPDX-License-Identifier: MIT */
#include "net.h"

static struct loop_tcp c;

static void on_close(struct loop_handle *handle)
{
    (void)handle;
    puts("close callback");
}

static void queued_by_a(void *arg)
{
    (void)arg;
    puts("C (queued by A)");
    close_srv();
}

static void a(void *arg)
{
    (void)arg;
    puts("A");
    loop_close(&c.handle, on_close);
    loop_set_immediate(&loop, queued_by_a, NULL);
}

static void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    must(status, "connect");
    loop_set_immediate(&loop, a, NULL);
    loop_set_immediate(&loop, print, line("B"));
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
