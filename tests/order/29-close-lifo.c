/* A deliberate difference: close callbacks come in the order of the close calls, 1 2 3, each with
 * its ticks behind it.
 *
 * libuv, and so Node, calls them last closed first, by how its list is built. 29-close-lifo.ours is
 * what this program prints.
 *
 * SPDX-License-Identifier: MIT */
#include "net.h"

struct sock {
    struct loop_tcp tcp;
    struct loop_connect connect;
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
    struct sock *sock = loop_container_of(handle, struct sock, tcp.handle);
    printf("close %d\n", sock->k);
    loop_process_next_tick(&loop, tick, sock);
}

static void immediate(void *arg)
{
    (void)arg;
    puts("immediate");
    close_srv();
}

static void on_connect(struct loop_connect *connect, int status)
{
    static int up;
    (void)connect;
    must(status, "connect");
    if (++up < 3)
        return;
    for (int k = 1; k <= 3; k++)
        loop_close(&socks[k].tcp.handle, on_close);
    loop_set_immediate(&loop, immediate, NULL);
}

int main(void)
{
    begin_script(NULL);
    listen_on_loopback();
    for (int k = 1; k <= 3; k++) {
        socks[k].k = k;
        connect_to_srv(&socks[k].tcp, &socks[k].connect, on_connect);
    }
    run_loop();
    return end_script();
}
