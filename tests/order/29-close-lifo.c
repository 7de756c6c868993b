/* A deliberate difference: close callbacks come in the order of the close calls, 1 2 3, each with
 * its ticks behind it.
 *
 * libuv, and so Node, calls them last closed first, by how its list is built. The sockets of the
 * script are async handles here, closed in the callback of the third. 29-close-lifo.ours is what
 * this program prints.
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

struct sock {
    struct loop_async async;
    int k;
};

static struct sock socks[4];

static void tick(void *arg)
{
    const struct sock *sock = arg;
    printf("  tick %d\n", sock->k);
}

static void on_close(struct loop_handle *handle)
{
    struct sock *sock = loop_container_of(handle, struct sock, async.handle);
    printf("close %d\n", sock->k);
    loop_process_next_tick(&loop, tick, sock);
}

static void on_connect(struct loop_async *async)
{
    static int up;
    (void)async;
    if (++up < 3)
        return;
    for (int k = 1; k <= 3; k++)
        loop_close(&socks[k].async.handle, on_close);
    loop_set_immediate(&loop, print, line("immediate"));
}

int main(void)
{
    begin_script(NULL);
    for (int k = 1; k <= 3; k++) {
        socks[k].k = k;
        must(loop_async_init(&loop, &socks[k].async, on_connect), "loop_async_init");
        must(loop_async_send(&socks[k].async), "loop_async_send");
    }
    run_loop();
    return end_script();
}
