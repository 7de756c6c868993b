/* A deliberate difference: the close callback of a listener comes in the close phase, as that of
 * every handle does.
 *
 * In Node the 'close' event of a server is no close callback: JavaScript queues a tick when close()
 * is called, and libuv closes the listener without a word. A tick here, in the place of that one,
 * would print the same and say nothing of loop_close(), which is what a server in C calls.
 * 37-server-close-is-a-tick.ours is what this program prints.
 *
 * SPDX-License-Identifier: MIT */
#include "net.h"

static void on_server_close(struct loop_handle *handle)
{
    (void)handle;
    puts("server close");
}

static void immediate(void *arg)
{
    (void)arg;
    loop_close(&srv.handle, on_server_close);
    loop_process_next_tick(&loop, print, line("tick"));
    loop_set_immediate(&loop, print, line("nested immediate"));
    puts("immediate");
}

int main(void)
{
    begin_script(NULL);
    listen_on_loopback();
    loop_set_immediate(&loop, immediate, NULL);
    run_loop();
    return end_script();
}
