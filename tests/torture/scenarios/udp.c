/* Datagrams: queued one by one, tried, many at once, cut into segments by the kernel, received
 * in batches; and the options of senders and of groups. What the network drops is its own
 * affair, so no more is sent than a socket holds. The scenario counts what the library says was
 * sent, and the receiver waits for as many; a datagram that was neither refused nor sent would
 * be missed here.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

enum { COUNT = 8, SEGMENTS = 4, SEGMENT = 100 };

static struct loop_udp sender, receiver;
static struct loop_udp_send sends[COUNT], cut;
static char bytes[SEGMENT * SEGMENTS];
static int expected, received, acknowledged;

static void on_send(struct loop_udp_send *send, int status)
{
    (void)send;
    ended();
    acknowledged += ok(status);
}

static void send_many(const struct loop_address *to)
{
    struct loop_buf buf = {bytes, 20};
    struct loop_datagram datagrams[4];
    for (int i = 0; i < 4; i++)
        datagrams[i] = (struct loop_datagram){&buf, 1, to};
    ssize_t sent = loop_udp_try_send_many(&sender, datagrams, 4);
    if (ok(sent))
        expected += (int)sent;
    if (ok(sent) && sent < 4 && ok(loop_udp_try_send(&sender, &buf, 1, to)))
        expected++;
}

static void send_all(const struct loop_address *to)
{
    struct loop_buf bufs[6];
    for (int i = 0; i < 6; i++)
        bufs[i] = (struct loop_buf){bytes, 10};
    for (int i = 0; i < COUNT; i++)
        expected += began(loop_udp_send(&sender, &sends[i], bufs, i % 2 ? 6 : 1, to, on_send));
    if (began(loop_udp_send_segments(&sender, &cut, bytes, sizeof(bytes), SEGMENT, to, on_send)))
        expected += SEGMENTS;
    send_many(to);
}

static void on_recv(struct loop_udp *udp, ssize_t size, void *got, const struct loop_address *from,
                    unsigned flags)
{
    (void)got;
    (void)from;
    (void)flags;
    if (!ok(size))
        return;
    received++;
    if (received == 2)
        ok(loop_udp_set_batch(udp, 1024));
    if (received == expected && acknowledged == COUNT + 1) {
        shut(&sender.handle);
        shut(&receiver.handle);
    }
}

static void start(struct loop *loop)
{
    struct loop_address address;
    expected = received = acknowledged = 0;
    struct loop_address group;
    loop_udp_init(loop, &sender);
    loop_udp_init(loop, &receiver);
    ok(loop_address_parse(&address, "127.0.0.1", 0));
    ok(loop_address_parse(&group, "239.1.2.3", 0));
    ok(loop_udp_set_batch(&receiver, 2048));
    if (ok(loop_udp_bind(&receiver, &address, LOOP_UDP_REUSE_ADDRESS)) &&
        ok(loop_udp_local(&receiver, &address)) && ok(loop_udp_recv_start(&receiver, on_recv)) &&
        ok(loop_udp_connect(&sender, &address)) && ok(loop_udp_broadcast(&sender, true)) &&
        ok(loop_udp_ttl(&sender, 5)) && ok(loop_udp_multicast_interface(&sender, "lo")) &&
        ok(loop_udp_join(&receiver, &group, NULL, "lo")))
        send_all(NULL);
}

static bool done(void)
{
    return received == expected && acknowledged == COUNT + 1;
}

const struct scenario udp_scenario = {.name = "udp",
                                      .clock = LOOP_CLOCK_MONOTONIC,
                                      .start = start,
                                      .done = done};
