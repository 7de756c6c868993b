/* Datagrams that have to wait: of a pair of unix-domain sockets, which hold but a few, so that most
 * are queued and leave in batches once the other end reads. Beside it sockets of both families that
 * are bound, shared, connected, connected anew and disconnected, and groups with one source. Each
 * datagram must arrive, unless it was said that it did not leave; a socket that was made for a call
 * that failed must be gone. Where the machine has no IPv6 its part is played by IPv4.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <sys/socket.h>
#include <unistd.h>

enum { COUNT = 24 };

static struct loop_udp from, to, fresh, six, shared;
static struct loop_udp_send sends[COUNT];
static int ends[2];
static bool from_ours, to_ours; /* and not the library's */
static int sent, received;
static bool has_ip6;

static void finish(void)
{
    if (sent == COUNT && received == COUNT) {
        shut(&from.handle);
        shut(&to.handle);
    }
}

static void on_send(struct loop_udp_send *send, int status)
{
    (void)send;
    ended();
    sent += ok(status);
    finish();
}

static void on_recv(struct loop_udp *udp, ssize_t size, void *bytes,
                    const struct loop_address *peer, unsigned flags)
{
    (void)udp;
    (void)bytes;
    (void)peer;
    (void)flags;
    received += ok(size);
    finish();
}

static void send_all(struct loop *loop)
{
    struct loop_buf buf = {"datagram", 8};
    loop_udp_init(loop, &from);
    loop_udp_init(loop, &to);
    from_ours = !ok(loop_udp_open(&from, ends[0]));
    to_ours = !ok(loop_udp_open(&to, ends[1]));
    if (from_ours || to_ours || !ok(loop_udp_recv_start(&to, on_recv)))
        return;
    for (int i = 0; i < COUNT; i++)
        began(loop_udp_send(&from, &sends[i], &buf, 1, NULL, on_send));
}

static bool machine_has_ip6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static void connect_all(struct loop *loop)
{
    struct loop_address here, other, group, source;
    loop_udp_init(loop, &fresh);
    loop_udp_init(loop, &six);
    loop_udp_init(loop, &shared);
    const char *text = has_ip6 ? "::1" : "127.0.0.1";
    ok(loop_address_parse(&here, text, 9));
    ok(loop_address_parse(&other, text, 10));
    if (ok(loop_udp_connect(&fresh, &here)) && ok(loop_udp_connect(&fresh, &other)))
        ok(loop_udp_connect(&fresh, NULL));
    ok(loop_address_parse(&here, text, 0));
    ok(loop_udp_bind(&six, &here, (has_ip6 ? LOOP_UDP_IPV6_ONLY : 0) | LOOP_UDP_REUSE_PORT));
    ok(loop_address_parse(&here, "127.0.0.1", 0));
    ok(loop_address_parse(&group, "232.1.2.3", 0));
    ok(loop_address_parse(&source, "127.0.0.1", 0));
    if (ok(loop_udp_bind(&shared, &here, LOOP_UDP_REUSE_PORT)) &&
        ok(loop_udp_join(&shared, &group, &source, "lo")))
        ok(loop_udp_leave(&shared, &group, &source, "lo"));
    shut(&fresh.handle);
    shut(&six.handle);
    shut(&shared.handle);
}

static void start(struct loop *loop)
{
    sent = received = 0;
    has_ip6 = machine_has_ip6();
    must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    send_all(loop);
    connect_all(loop);
}

static bool done(void)
{
    return sent == COUNT && received == COUNT;
}

static void clean(void)
{
    if (from_ours)
        close(ends[0]);
    if (to_ours)
        close(ends[1]);
}

const struct scenario datagrams_scenario = {.name = "datagrams",
                                            .clock = LOOP_CLOCK_MONOTONIC,
                                            .start = start,
                                            .done = done,
                                            .clean = clean};
