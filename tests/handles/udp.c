/* UDP handles: datagrams between sockets of this machine.
 *
 * Each datagram arrives whole, with the address of its sender, over IPv4, IPv6, or IPv4 on a socket
 * of IPv6. One of 0 bytes is a datagram, and so is the largest; a larger one is refused. Only in a
 * batch may one be cut, and then it says so. The callback may stop, start, close, detach and free
 * the handle; without a batch nothing is lost by that.
 *
 * What the kernel has no room for waits, is sent in order, and can be cancelled, have a deadline,
 * or go down with the handle. The queue has a cap. Sockets of the internet never lack room on this
 * machine, so these tests adopt pairs of unix-domain sockets, which do.
 *
 * What the network says of a datagram is told once, to who receives or sends next, ends nothing,
 * and keeps no loop awake.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILLS_MAX = 100000 };

struct peer {
    struct loop_udp udp;
    const char *name;
    struct peer *other;
    struct loop_address address;
    struct loop_address from; /* of the last datagram */
    int heard;                /* callbacks */
    ssize_t size;             /* of the last one */
    char last;                /* its first byte */
};

/* Callbacks. */

static struct peer *peer_of(struct loop_udp *udp)
{
    return loop_container_of(udp, struct peer, udp);
}

static void on_datagram(struct loop_udp *udp, ssize_t size, void *bytes,
                        const struct loop_address *from, unsigned flags)
{
    struct peer *peer = peer_of(udp);
    peer->heard++;
    peer->size = size;
    peer->last = size > 0 ? *(const char *)bytes : 0;
    peer->from = from ? *from : (struct loop_address){.size = 0};
    if (size < 0)
        say("%s:%s", peer->name, loop_error_name((int)size));
    else
        say("%s:%.*s%s", peer->name, size < 100 ? (int)size : 1, (char *)bytes,
            flags & LOOP_UDP_TRUNCATED ? "(cut)" : "");
}

static void on_close(struct loop_handle *handle)
{
    say("close-%s", loop_container_of(handle, struct peer, udp.handle)->name);
}

static void on_sent(struct loop_udp_send *send, int status)
{
    say("%s=%s", (const char *)send->request.data, loop_error_name(status));
}

/* Tools. */

static struct loop_address address_of(const char *text, uint16_t port)
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, text, port));
    return address;
}

static void init(struct loop *loop, struct peer *peer, const char *name)
{
    *peer = (struct peer){.name = name};
    loop_udp_init(loop, &peer->udp);
}

static void bind_to(struct loop *loop, struct peer *peer, const char *name, const char *text)
{
    struct loop_address address = address_of(text, 0);
    init(loop, peer, name);
    assert_int_equal(0, loop_udp_bind(&peer->udp, &address, 0));
    assert_int_equal(0, loop_udp_local(&peer->udp, &peer->address));
}

/* Bound to this machine's IPv4 address, and receiving. */
static void open_peer(struct loop *loop, struct peer *peer, const char *name)
{
    bind_to(loop, peer, name, "127.0.0.1");
    assert_int_equal(0, loop_udp_recv_start(&peer->udp, on_datagram));
}

static bool has_ip6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    struct loop_address address = address_of("::1", 0);
    bool has = fd >= 0 && bind(fd, &address.any, address.size) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static ssize_t try_text(struct peer *from, const struct loop_address *to, const char *text)
{
    struct loop_buf buf = {text, strlen(text)};
    return loop_udp_try_send(&from->udp, &buf, 1, to);
}

static void send_text(struct peer *from, const struct peer *to, const char *text)
{
    assert_int_equal(strlen(text), try_text(from, to ? &to->address : NULL, text));
}

static int begin_send(struct peer *peer, struct loop_udp_send *send, const char *text)
{
    struct loop_buf buf = {text, strlen(text)};
    send->request.data = (void *)(uintptr_t)text;
    return loop_udp_send(&peer->udp, send, &buf, 1, NULL, on_sent);
}

static void run_until_heard(struct peer *peer, int count)
{
    while (peer->heard < count)
        loop_run(peer->udp.handle.loop, LOOP_RUN_ONCE);
}

/* Until it is there, and nobody has been told: the network may take a moment. */

static void await_datagram(const struct peer *peer)
{
    struct pollfd datagram = {.fd = loop_udp_fd(&peer->udp), .events = POLLIN};
    assert_int_equal(1, poll(&datagram, 1, -1));
}

static void await_error(const struct peer *peer)
{
    struct pollfd error = {.fd = loop_udp_fd(&peer->udp)};
    assert_int_equal(1, poll(&error, 1, -1));
}

static void run_one_turn(struct loop *loop)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void close_peer(struct peer *peer)
{
    loop_close(&peer->udp.handle, NULL);
}

static void close_both(struct peer *a, struct peer *b)
{
    close_peer(a);
    close_peer(b);
    run(a->udp.handle.loop);
}

static int option(const struct peer *peer, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    assert_int_equal(0, getsockopt(loop_udp_fd(&peer->udp), level, name, &value, &size));
    return value;
}

static void set_option(const struct peer *peer, int level, int name, int value)
{
    assert_int_equal(0, setsockopt(loop_udp_fd(&peer->udp), level, name, &value, sizeof(value)));
}

/* A port of this machine at which nobody hears others: its socket is connected to itself. */
static struct {
    int fd;
    struct loop_address address;
} deaf;

static int open_deaf(void **state)
{
    (void)state;
    deaf.address = address_of("127.0.0.1", 0);
    deaf.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr *address = &deaf.address.any;
    return bind(deaf.fd, address, deaf.address.size) < 0 ||
           getsockname(deaf.fd, address, &deaf.address.size) < 0 ||
           connect(deaf.fd, address, deaf.address.size) < 0;
}

static int close_deaf(void **state)
{
    (void)state;
    return close(deaf.fd);
}

static struct loop_address closed_port(void)
{
    return deaf.address;
}

/* A pair of unix-domain sockets, of which the peer has adopted one; returns the other. */
static int open_pair(struct loop *loop, struct peer *peer, const char *name)
{
    int ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    init(loop, peer, name);
    assert_int_equal(0, loop_udp_open(&peer->udp, ends[0]));
    return ends[1];
}

/* The kernel takes no more after this; returns how many it took. */
static int fill(struct peer *peer)
{
    int count = 0;
    while (count < FILLS_MAX && try_text(peer, NULL, "x") == 1)
        count++;
    assert_in_range(count, 1, FILLS_MAX - 1);
    assert_int_equal(-EAGAIN, try_text(peer, NULL, "x"));
    return count;
}

/* All there is at the other end, but for what filled it. */
static void say_rest(int fd)
{
    char bytes[256];
    ssize_t size;
    while ((size = recv(fd, bytes, sizeof(bytes), 0)) >= 0)
        if (size != 1 || bytes[0] != 'x')
            say("got:%.*s", (int)size, bytes);
}

static void run_and_say_until_sent(struct peer *peer, int fd)
{
    while (peer->udp.queued_count > 0) {
        say_rest(fd);
        loop_run(peer->udp.handle.loop, LOOP_RUN_ONCE);
    }
    say_rest(fd);
}

/* There and back. */

static void on_datagram_answer(struct loop_udp *udp, ssize_t size, void *bytes,
                               const struct loop_address *from, unsigned flags)
{
    struct loop_buf buf = {bytes, (size_t)size};
    on_datagram(udp, size, bytes, from, flags);
    assert_int_equal(size, loop_udp_try_send(udp, &buf, 1, from));
}

static void there_and_back(struct loop *loop, const char *server_text, const char *client_text)
{
    struct peer server, client;
    bind_to(loop, &server, "server", server_text);
    bind_to(loop, &client, "client", client_text);
    assert_int_equal(0, loop_udp_recv_start(&server.udp, on_datagram_answer));
    assert_int_equal(0, loop_udp_recv_start(&client.udp, on_datagram));
    struct loop_address to = address_of(client_text, loop_address_port(&server.address));
    assert_int_equal(5, try_text(&client, &to, "hello"));
    run_until_heard(&client, 1);
    assert_said("server:hello client:hello");
    assert_true(loop_address_equal(&to, &client.from));
    assert_int_equal(loop_address_port(&client.address), loop_address_port(&server.from));
    close_both(&server, &client);
}

static void a_datagram_goes_there_and_back_over_ipv4(void **state)
{
    there_and_back(*state, "127.0.0.1", "127.0.0.1");
}

static void a_datagram_goes_there_and_back_over_ipv6(void **state)
{
    if (!has_ip6())
        skip();
    there_and_back(*state, "::1", "::1");
}

static void an_ipv6_address_hears_ipv4_and_answers_it(void **state)
{
    if (!has_ip6())
        skip();
    there_and_back(*state, "::", "127.0.0.1");
    there_and_back(*state, "::", "::1");
}

static void an_ipv6_address_that_is_told_so_hears_no_ipv4(void **state)
{
    struct peer server;
    struct loop_address address = address_of("::", 0);
    if (!has_ip6())
        skip();
    init(*state, &server, "server");
    assert_int_equal(0, loop_udp_bind(&server.udp, &address, LOOP_UDP_IPV6_ONLY));
    assert_int_equal(1, option(&server, IPPROTO_IPV6, IPV6_V6ONLY));
    close_peer(&server);
    run(*state);
}

static void an_ipv6_socket_sends_to_ipv4(void **state)
{
    struct peer server, client;
    if (!has_ip6())
        skip();
    open_peer(*state, &server, "server");
    bind_to(*state, &client, "client", "::");
    send_text(&client, &server, "hello");
    run_until_heard(&server, 1);
    assert_said("server:hello");
    close_both(&server, &client);
}

static void the_first_send_opens_a_socket_of_the_right_family(void **state)
{
    struct peer server, client;
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    assert_int_equal(-1, loop_udp_fd(&client.udp));
    send_text(&client, &server, "hello");
    assert_int_equal(AF_INET, option(&client, SOL_SOCKET, SO_DOMAIN));
    run_until_heard(&server, 1);
    assert_said("server:hello");
    close_both(&server, &client);
}

static void two_handles_of_one_turn_are_told_apart(void **state)
{
    struct peer a, b, client;
    open_peer(*state, &a, "a");
    open_peer(*state, &b, "b");
    init(*state, &client, "client");
    send_text(&client, &a, "1");
    run_until_heard(&a, 1);
    send_text(&client, &b, "2");
    run_until_heard(&b, 1);
    assert_said("a:1 b:2");
    close_peer(&client);
    close_both(&a, &b);
}

static void a_handle_is_active_while_it_receives(void **state)
{
    struct peer peer;
    bind_to(*state, &peer, "peer", "127.0.0.1");
    assert_false(loop_is_active(&peer.udp.handle));
    assert_false(loop_alive(*state));
    assert_int_equal(-EBUSY, loop_fini(*state)); /* it owns a descriptor */
    assert_int_equal(0, loop_udp_recv_start(&peer.udp, on_datagram));
    assert_int_equal(-EALREADY, loop_udp_recv_start(&peer.udp, on_datagram));
    assert_true(loop_alive(*state));
    loop_udp_recv_stop(&peer.udp);
    loop_udp_recv_stop(&peer.udp);
    assert_false(loop_alive(*state));
    close_peer(&peer);
    run(*state);
}

/* Sizes. */

static void a_datagram_of_no_bytes_is_a_datagram(void **state)
{
    struct peer server, client;
    struct loop_udp_send send = {.request.data = (void *)(uintptr_t) "empty"};
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    assert_int_equal(0, loop_udp_try_send(&client.udp, NULL, 0, &server.address));
    assert_int_equal(0, loop_udp_send(&client.udp, &send, NULL, 0, &server.address, on_sent));
    run_until_heard(&server, 2);
    run_one_turn(*state);
    assert_said("empty=OK server: server:");
    assert_int_equal(0, server.size);
    close_both(&server, &client);
}

static void the_largest_datagram_arrives_whole(void **state)
{
    static char bytes[LOOP_UDP_SIZE_MAX] = "a";
    struct loop_buf buf = {bytes, sizeof(bytes)};
    struct peer server, client;
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    assert_int_equal(sizeof(bytes), loop_udp_try_send(&client.udp, &buf, 1, &server.address));
    run_until_heard(&server, 1);
    assert_int_equal(sizeof(bytes), server.size);
    assert_said("server:a"); /* not cut */
    close_both(&server, &client);
}

static void a_datagram_that_is_too_large_is_refused(void **state)
{
    static char bytes[2 * LOOP_UDP_SIZE_MAX];
    struct loop_udp_send send = {0};
    struct peer server, client;
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    for (size_t size = LOOP_UDP_SIZE_MAX + 1; size <= sizeof(bytes);
         size += LOOP_UDP_SIZE_MAX - 1) {
        struct loop_buf halves[] = {{bytes, size / 2}, {bytes, size - size / 2}};
        assert_int_equal(-EMSGSIZE, loop_udp_try_send(&client.udp, halves, 2, &server.address));
        assert_int_equal(-EMSGSIZE,
                         loop_udp_send(&client.udp, &send, halves, 2, &server.address, on_sent));
    }
    send_text(&client, &server, "next");
    run_until_heard(&server, 1);
    assert_said("server:next");
    close_both(&server, &client);
}

static void buffers_are_gathered_up_to_the_kernels_limit(void **state)
{
    enum { COUNT = 1024 };
    struct loop_buf bufs[COUNT + 1];
    struct peer server, client;
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    for (size_t i = 0; i <= COUNT; i++)
        bufs[i] = (struct loop_buf){&"abcdefgh"[i % 8], 1};
    assert_int_equal(9, loop_udp_try_send(&client.udp, bufs, 9, &server.address));
    assert_int_equal(COUNT, loop_udp_try_send(&client.udp, bufs, COUNT, &server.address));
    assert_int_equal(-EINVAL, loop_udp_try_send(&client.udp, bufs, COUNT + 1, &server.address));
    run_until_heard(&server, 2);
    assert_said("server:abcdefgha server:a");
    assert_int_equal(COUNT, server.size);
    close_both(&server, &client);
}

/* Connecting. */

static void a_connected_handle_hears_its_peer_alone_and_needs_no_address(void **state)
{
    struct peer server, client, stranger;
    struct loop_address peer;
    open_peer(*state, &server, "server");
    open_peer(*state, &client, "client");
    init(*state, &stranger, "stranger");
    assert_int_equal(-ENOTCONN, loop_udp_peer(&client.udp, &peer));
    assert_int_equal(-EDESTADDRREQ, try_text(&client, NULL, "hello"));
    assert_int_equal(0, loop_udp_connect(&client.udp, &server.address));
    assert_int_equal(0, loop_udp_peer(&client.udp, &peer));
    assert_true(loop_address_equal(&peer, &server.address));
    send_text(&stranger, &client, "strange");
    send_text(&client, NULL, "hello");
    run_until_heard(&server, 1);
    send_text(&server, &client, "known");
    run_until_heard(&client, 1);
    assert_said("server:hello client:known");
    close_peer(&stranger);
    close_both(&server, &client);
}

static void a_peer_can_be_changed_and_given_up(void **state)
{
    struct peer a, b, client;
    open_peer(*state, &a, "a");
    open_peer(*state, &b, "b");
    init(*state, &client, "client");
    assert_int_equal(-ENOTCONN, loop_udp_connect(&client.udp, NULL));
    assert_int_equal(0, loop_udp_connect(&client.udp, &a.address));
    send_text(&client, NULL, "1");
    run_until_heard(&a, 1);
    assert_int_equal(0, loop_udp_connect(&client.udp, &b.address));
    send_text(&client, NULL, "2");
    run_until_heard(&b, 1);
    assert_int_equal(0, loop_udp_connect(&client.udp, NULL));
    assert_int_equal(-ENOTCONN, loop_udp_connect(&client.udp, NULL));
    assert_int_equal(-EDESTADDRREQ, try_text(&client, NULL, "3"));
    send_text(&client, &a, "4");
    run_until_heard(&a, 2);
    assert_said("a:1 b:2 a:4");
    close_peer(&client);
    close_both(&a, &b);
}

static void a_connect_that_fails_leaves_the_handle_as_it_was(void **state)
{
    struct peer client;
    struct loop_address broadcast = address_of("127.255.255.255", 9);
    init(*state, &client, "client");
    assert_int_equal(-EACCES, loop_udp_connect(&client.udp, &broadcast));
    assert_int_equal(-1, loop_udp_fd(&client.udp));
    assert_false(loop_alive(*state)); /* and needs no close */
}

/* Errors of the network. */

static void connect_to_nobody(struct loop *loop, struct peer *client)
{
    struct loop_address nobody = closed_port();
    open_peer(loop, client, "client");
    assert_int_equal(0, loop_udp_connect(&client->udp, &nobody));
}

static void a_refusal_is_told_once_and_receiving_goes_on(void **state)
{
    struct peer server, client;
    connect_to_nobody(*state, &client);
    open_peer(*state, &server, "server");
    send_text(&client, NULL, "anybody?");
    run_until_heard(&client, 1);
    run_one_turn(*state);
    assert_said("client:ECONNREFUSED");
    assert_int_equal(0, loop_udp_connect(&client.udp, &server.address));
    send_text(&server, &client, "here");
    run_until_heard(&client, 2);
    assert_said("client:here");
    close_both(&client, &server);
}

static void a_refusal_is_told_to_a_send_if_that_is_first(void **state)
{
    struct peer client;
    struct loop_udp_send send = {0};
    connect_to_nobody(*state, &client);
    send_text(&client, NULL, "anybody?");
    await_error(&client);
    assert_int_equal(-ECONNREFUSED, begin_send(&client, &send, "send"));
    assert_int_equal(0, begin_send(&client, &send, "send"));
    run_until_heard(&client, 1);
    run_one_turn(*state);
    assert_said("send=OK client:ECONNREFUSED");
    close_peer(&client);
    run(*state);
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

/* Runs until all is quiet and a timer has fired: that takes a few turns, or else it spins. */
static void assert_does_not_spin(struct loop *loop)
{
    struct loop_timer timer;
    uint64_t before = loop_turn(loop);
    loop_timer_init(loop, &timer);
    assert_int_equal(0, loop_timer_start(&timer, 20 * LOOP_MS, 0, on_timer));
    while (loop_is_active(&timer.handle) && loop_turn(loop) - before < 1000)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_in_range(loop_turn(loop) - before, 1, 20);
    loop_timer_stop(&timer);
}

static void an_error_that_nobody_asked_for_keeps_no_loop_awake(void **state)
{
    struct peer client;
    connect_to_nobody(*state, &client);
    loop_udp_recv_stop(&client.udp);
    send_text(&client, NULL, "anybody?");
    assert_does_not_spin(*state);
    assert_said("timer");
    assert_int_equal(0, loop_udp_recv_start(&client.udp, on_datagram));
    assert_does_not_spin(*state);
    assert_said("client:ECONNREFUSED timer");
    close_peer(&client);
    run(*state);
}

/* With IP_RECVERR, which is the program's own wish. */
static void an_error_of_the_error_queue_says_whom_it_is_about(void **state)
{
    struct peer server, client;
    struct loop_address nobody = closed_port();
    open_peer(*state, &server, "server");
    open_peer(*state, &client, "client");
    set_option(&client, IPPROTO_IP, IP_RECVERR, 1);
    assert_int_equal(8, try_text(&client, &nobody, "anybody?"));
    assert_does_not_spin(*state);
    assert_said("client:ECONNREFUSED timer");
    assert_true(loop_address_equal(&nobody, &client.from));
    send_text(&server, &client, "here");
    run_until_heard(&client, 2);
    assert_said("client:here");
    close_both(&server, &client);
}

static void on_datagram_close(struct loop_udp *udp, ssize_t size, void *bytes,
                              const struct loop_address *from, unsigned flags)
{
    on_datagram(udp, size, bytes, from, flags);
    loop_close(&udp->handle, on_close);
}

static void a_handle_may_be_closed_in_the_callback_of_an_error(void **state)
{
    struct peer client;
    struct loop_address nobody = closed_port();
    bind_to(*state, &client, "client", "127.0.0.1");
    set_option(&client, IPPROTO_IP, IP_RECVERR, 1);
    assert_int_equal(8, try_text(&client, &nobody, "anybody?"));
    await_error(&client);
    assert_int_equal(-ECONNREFUSED, try_text(&client, &nobody, "anybody?"));
    assert_int_equal(8, try_text(&client, &nobody, "anybody?"));
    assert_int_equal(0, loop_udp_recv_start(&client.udp, on_datagram_close));
    run(*state);
    assert_said("client:ECONNREFUSED close-client");
}

static void on_datagram_stop_other(struct loop_udp *udp, ssize_t size, void *bytes,
                                   const struct loop_address *from, unsigned flags)
{
    on_datagram(udp, size, bytes, from, flags);
    loop_udp_recv_stop(&peer_of(udp)->other->udp);
}

/* Both have one in the same batch of poll, and the first that hears stops the other. */
static void an_error_is_kept_for_a_handle_that_was_stopped_in_that_turn(void **state)
{
    struct peer peers[2];
    struct loop_address nobody = closed_port();
    for (size_t i = 0; i < 2; i++) {
        bind_to(*state, &peers[i], "peer", "127.0.0.1");
        peers[i].other = &peers[1 - i];
        set_option(&peers[i], IPPROTO_IP, IP_RECVERR, 1);
        assert_int_equal(0, loop_udp_recv_start(&peers[i].udp, on_datagram_stop_other));
        assert_int_equal(8, try_text(&peers[i], &nobody, "anybody?"));
        await_error(&peers[i]);
    }
    run_one_turn(*state);
    assert_said("peer:ECONNREFUSED");
    struct peer *late = peers[0].heard > 0 ? &peers[1] : &peers[0];
    assert_int_equal(0, loop_udp_recv_start(&late->udp, on_datagram));
    run_until_heard(late, 1);
    assert_said("peer:ECONNREFUSED");
    assert_true(loop_address_equal(&nobody, &late->from));
    close_both(&peers[0], &peers[1]);
}

static void time_stamps_in_the_error_queue_keep_no_loop_awake(void **state)
{
    struct peer server, client;
    open_peer(*state, &server, "server");
    open_peer(*state, &client, "client");
    set_option(&client, SOL_SOCKET, SO_TIMESTAMPING,
               SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
    send_text(&client, &server, "hello");
    run_until_heard(&server, 1);
    assert_does_not_spin(*state);
    assert_said("server:hello timer");
    close_both(&server, &client);
}

static void a_socket_that_was_shut_down_says_so_once(void **state)
{
    struct peer server, client;
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    send_text(&client, &server, "last");
    await_datagram(&server); /* once connected it hears itself alone */
    assert_int_equal(0, loop_udp_connect(&server.udp, &server.address));
    assert_int_equal(0, shutdown(loop_udp_fd(&server.udp), SHUT_RD));
    run_until_heard(&server, 2);
    assert_does_not_spin(*state);
    assert_said("server:last server:EOF timer");
    assert_false(loop_is_active(&server.udp.handle));
    close_both(&server, &client);
}

/* The number of the descriptor stays open for somebody else: the handle is told, and keeps off it.
 * */
static void a_descriptor_closed_behind_the_handle_is_told(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[2] = {0};
    int other = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &sends[0], "a"));
    assert_int_equal(0, begin_send(&peer, &sends[1], "b"));
    run_one_turn(*state);
    close(loop_udp_fd(&peer.udp));
    assert_int_equal(0, loop_udp_recv_start(&peer.udp, on_datagram));
    run(*state);
    assert_said("peer:EBADF a=EBADF b=EBADF");
    assert_int_equal(-1, loop_udp_fd(&peer.udp));
    close(other);
}

/* What the callback may do. */

static void send_numbers(struct loop *loop, struct peer *client, struct peer *server, int count)
{
    char text[16];
    init(loop, client, "client");
    for (int i = 1; i <= count; i++) {
        snprintf(text, sizeof(text), "%d", i);
        send_text(client, server, text);
    }
}

static void one_readiness_brings_a_bounded_number(void **state)
{
    struct peer server, client;
    open_peer(*state, &server, "server");
    send_numbers(*state, &client, &server, 40);
    loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(32, server.heard);
    loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(40, server.heard);
    close_both(&server, &client);
}

static void on_datagram_stop(struct loop_udp *udp, ssize_t size, void *bytes,
                             const struct loop_address *from, unsigned flags)
{
    on_datagram(udp, size, bytes, from, flags);
    loop_udp_recv_stop(udp);
}

static void stopping_in_the_callback_leaves_the_rest_in_the_kernel(void **state)
{
    struct peer server, client;
    bind_to(*state, &server, "server", "127.0.0.1");
    send_numbers(*state, &client, &server, 3);
    assert_int_equal(0, loop_udp_recv_start(&server.udp, on_datagram_stop));
    run(*state);
    assert_said("server:1");
    assert_int_equal(0, loop_udp_recv_start(&server.udp, on_datagram));
    run_until_heard(&server, 3);
    assert_said("server:2 server:3");
    close_both(&server, &client);
}

static void closing_in_the_callback_is_the_end(void **state)
{
    struct peer server, client;
    for (size_t batch = 0; batch <= 100; batch += 100) {
        bind_to(*state, &server, "server", "127.0.0.1");
        send_numbers(*state, &client, &server, 3);
        assert_int_equal(0, loop_udp_set_batch(&server.udp, batch));
        assert_int_equal(0, loop_udp_recv_start(&server.udp, on_datagram_close));
        run(*state);
        assert_said("server:1 close-server");
        close_peer(&client);
        run(*state);
    }
}

static int detached_fd;

static void on_datagram_detach(struct loop_udp *udp, ssize_t size, void *bytes,
                               const struct loop_address *from, unsigned flags)
{
    on_datagram(udp, size, bytes, from, flags);
    detached_fd = loop_udp_detach(udp);
    assert_true(detached_fd >= 0);
    free(peer_of(udp));
}

static void a_handle_may_be_detached_and_freed_in_the_callback(void **state)
{
    char bytes[16];
    for (size_t batch = 0; batch <= 100; batch += 100) {
        struct peer client, *server = malloc(sizeof(*server));
        assert_non_null(server);
        bind_to(*state, server, "server", "127.0.0.1");
        send_numbers(*state, &client, server, 3);
        assert_int_equal(0, loop_udp_set_batch(&server->udp, batch));
        assert_int_equal(0, loop_udp_recv_start(&server->udp, on_datagram_detach));
        run(*state);
        assert_said("server:1");
        ssize_t size = recv(detached_fd, bytes, sizeof(bytes), 0);
        assert_int_equal(batch > 0 ? -1 : 1, size); /* of a batch the rest is lost */
        close(detached_fd);
        close_peer(&client);
        run(*state);
    }
}

static void a_handle_may_be_detached_and_freed_in_the_callback_of_an_error(void **state)
{
    struct loop_address nobody = closed_port();
    for (int in_the_queue = 0; in_the_queue < 2; in_the_queue++) {
        struct peer *client = malloc(sizeof(*client));
        assert_non_null(client);
        bind_to(*state, client, "client", "127.0.0.1");
        if (in_the_queue)
            set_option(client, IPPROTO_IP, IP_RECVERR, 1);
        else
            assert_int_equal(0, loop_udp_connect(&client->udp, &nobody));
        assert_int_equal(0, loop_udp_recv_start(&client->udp, on_datagram_detach));
        assert_int_equal(8, try_text(client, &nobody, "anybody?"));
        run(*state);
        assert_said("client:ECONNREFUSED");
        close(detached_fd);
    }
}

static void what_was_detached_can_be_opened_again(void **state)
{
    struct peer first, second, client;
    open_peer(*state, &first, "first");
    send_numbers(*state, &client, &first, 2);
    int fd = loop_udp_detach(&first.udp);
    assert_true(fd >= 0);
    assert_int_equal(-1, loop_udp_fd(&first.udp));
    assert_int_equal(-ENOTCONN, loop_udp_detach(&first.udp));
    assert_false(loop_is_active(&first.udp.handle));
    init(*state, &second, "second");
    assert_int_equal(0, loop_udp_open(&second.udp, fd));
    assert_int_equal(0, loop_udp_recv_start(&second.udp, on_datagram));
    run_until_heard(&second, 2);
    assert_said("second:1 second:2");
    close_both(&second, &client);
}

static void on_datagram_close_other(struct loop_udp *udp, ssize_t size, void *bytes,
                                    const struct loop_address *from, unsigned flags)
{
    on_datagram(udp, size, bytes, from, flags);
    loop_close(&peer_of(udp)->other->udp.handle, on_close);
}

/* Whichever the kernel names first closes the other, whose event is in the same batch of poll. */
static void a_handle_closed_by_another_of_its_turn_is_not_called(void **state)
{
    struct peer peers[2], client;
    init(*state, &client, "client");
    for (size_t i = 0; i < 2; i++) {
        bind_to(*state, &peers[i], "peer", "127.0.0.1");
        peers[i].other = &peers[1 - i];
        assert_int_equal(0, loop_udp_recv_start(&peers[i].udp, on_datagram_close_other));
        send_text(&client, &peers[i], "1");
    }
    run_one_turn(*state);
    assert_said("peer:1 close-peer");
    close_peer(loop_is_closing(&peers[0].udp.handle) ? &peers[1] : &peers[0]);
    close_peer(&client);
    run(*state);
}

/* Batches. */

static void a_batch_arrives_in_order(void **state)
{
    struct peer server, client;
    open_peer(*state, &server, "s");
    assert_int_equal(0, loop_udp_set_batch(&server.udp, 1500));
    send_numbers(*state, &client, &server, 12);
    loop_run(*state, LOOP_RUN_ONCE);
    assert_said("s:1 s:2 s:3 s:4 s:5 s:6 s:7 s:8 s:9 s:10 s:11 s:12");
    close_both(&server, &client);
}

static void a_batch_is_as_large_as_the_buffer_allows(void **state)
{
    static const struct {
        size_t size_max;
        int count;
    } cases[] = {{1, 64}, {1024, 64}, {1500, 43}, {40000, 1}, {65536, 1}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct peer server, client;
        open_peer(*state, &server, "server");
        assert_int_equal(0, loop_udp_set_batch(&server.udp, cases[i].size_max));
        send_numbers(*state, &client, &server, 70);
        loop_run(*state, LOOP_RUN_ONCE);
        assert_int_equal(cases[i].count, server.heard);
        run_until_heard(&server, 70);
        close_both(&server, &client);
    }
}

static void a_datagram_longer_than_a_slot_says_that_it_was_cut(void **state)
{
    struct peer server, client;
    open_peer(*state, &server, "server");
    assert_int_equal(0, loop_udp_set_batch(&server.udp, 4));
    init(*state, &client, "client");
    send_text(&client, &server, "four");
    send_text(&client, &server, "fiver");
    send_text(&client, &server, "six");
    run_until_heard(&server, 3);
    assert_said("server:four server:five(cut) server:six");
    assert_int_equal(0, loop_udp_set_batch(&server.udp, 0));
    send_text(&client, &server, "fiver");
    run_until_heard(&server, 4);
    assert_said("server:fiver");
    close_both(&server, &client);
}

static void stopping_in_a_batch_counts_what_is_lost(void **state)
{
    struct peer server, client;
    bind_to(*state, &server, "server", "127.0.0.1");
    send_numbers(*state, &client, &server, 5);
    assert_int_equal(0, loop_udp_set_batch(&server.udp, 100));
    assert_int_equal(0, loop_udp_recv_start(&server.udp, on_datagram_stop));
    run(*state);
    assert_said("server:1");
    assert_int_equal(4, server.udp.dropped);
    assert_int_equal(0, loop_udp_recv_start(&server.udp, on_datagram));
    send_text(&client, &server, "6");
    run_until_heard(&server, 2);
    assert_said("server:6");
    close_both(&server, &client);
}

static void on_datagram_restart(struct loop_udp *udp, ssize_t size, void *bytes,
                                const struct loop_address *from, unsigned flags)
{
    on_datagram_stop(udp, size, bytes, from, flags);
    assert_int_equal(0, loop_udp_recv_start(udp, on_datagram));
}

static void stopping_and_starting_in_the_callback_loses_nothing(void **state)
{
    for (size_t batch = 0; batch <= 100; batch += 100) {
        struct peer server, client;
        bind_to(*state, &server, "server", "127.0.0.1");
        send_numbers(*state, &client, &server, 3);
        assert_int_equal(0, loop_udp_set_batch(&server.udp, batch));
        assert_int_equal(0, loop_udp_recv_start(&server.udp, on_datagram_restart));
        loop_run(*state, LOOP_RUN_ONCE);
        assert_said("server:1 server:2 server:3");
        assert_int_equal(0, server.udp.dropped);
        close_both(&server, &client);
    }
}

/* The queue. */

static void a_send_never_calls_back_from_inside(void **state)
{
    struct peer server, client;
    struct loop_udp_send send = {0};
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    assert_int_equal(0, loop_udp_connect(&client.udp, &server.address));
    assert_int_equal(0, begin_send(&client, &send, "a"));
    assert_int_equal(1, send.sent);
    assert_said("");
    assert_int_equal(-EALREADY, loop_request_cancel(&send.request));
    assert_true(loop_alive(*state));
    await_datagram(&server);
    run_one_turn(*state);
    assert_said("a=OK server:a");
    close_both(&server, &client);
}

static void what_the_kernel_has_no_room_for_is_sent_later_in_order(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[5] = {0};
    static const char *const texts[] = {"a", "bb", "", "cc", "d"};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    for (size_t i = 0; i < ARRAY_LENGTH(sends); i++)
        assert_int_equal(0, begin_send(&peer, &sends[i], texts[i]));
    assert_int_equal(6, peer.udp.queued);
    assert_int_equal(5, peer.udp.queued_count);
    run_one_turn(*state);
    assert_said("");
    assert_int_equal(-EBUSY, loop_udp_detach(&peer.udp));
    run_and_say_until_sent(&peer, fd);
    assert_said("a=OK bb=OK =OK cc=OK d=OK got:a got:bb got: got:cc got:d");
    assert_int_equal(0, peer.udp.queued);
    close(fd);
    close_peer(&peer);
    run(*state);
}

/* More than one sendmmsg takes, and of more buffers than a request holds itself. */
static void a_long_queue_is_sent_in_order(void **state)
{
    enum { COUNT = 200 };
    static struct loop_udp_send sends[COUNT];
    static unsigned char numbers[COUNT][6];
    unsigned char bytes[16];
    struct peer peer;
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    for (size_t i = 0; i < COUNT; i++) {
        struct loop_buf bufs[6];
        for (size_t k = 0; k < 6; k++) {
            numbers[i][k] = (unsigned char)i;
            bufs[k] = (struct loop_buf){&numbers[i][k], 1};
        }
        assert_int_equal(0, loop_udp_send(&peer.udp, &sends[i], bufs, 6, NULL, NULL));
        memset(bufs, 0, sizeof(bufs)); /* they are ours again */
    }
    for (int next = 0; next < COUNT;) {
        while (recv(fd, bytes, sizeof(bytes), 0) > 0)
            if (bytes[0] != 'x' || bytes[1] == 'x')
                assert_int_equal(next++, bytes[5]);
        loop_run(*state, LOOP_RUN_NOWAIT);
        bytes[1] = 0;
    }
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void nobody_overtakes_the_queue(void **state)
{
    struct peer peer;
    struct loop_udp_send first = {0}, second = {0};
    struct loop_datagram late = {.bufs = &(struct loop_buf){"late", 4}, .count = 1};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &first, "a"));
    say_rest(fd); /* now there is room */
    assert_int_equal(0, begin_send(&peer, &second, "b"));
    assert_int_equal(-EAGAIN, try_text(&peer, NULL, "late"));
    assert_int_equal(-EAGAIN, loop_udp_try_send_many(&peer.udp, &late, 1));
    run_and_say_until_sent(&peer, fd);
    assert_said("a=OK b=OK got:a got:b");
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void segments_wait_behind_datagrams_and_others_behind_them(void **state)
{
    struct peer peer;
    struct loop_udp_send first = {0}, last = {0};
    struct loop_udp_send segments = {.request.data = (void *)(uintptr_t) "segments"};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &first, "a"));
    assert_int_equal(0, loop_udp_send_segments(&peer.udp, &segments, "bbcc", 4, 2, NULL, on_sent));
    assert_int_equal(0, begin_send(&peer, &last, "d"));
    run_and_say_until_sent(&peer, fd);
    assert_said("a=OK segments=OK d=OK got:a got:bb got:cc got:d");
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void each_that_waited_for_a_peer_that_has_gone_is_told(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[2] = {0};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &sends[0], "a"));
    assert_int_equal(0, begin_send(&peer, &sends[1], "b"));
    close(fd);
    run(*state);
    const char *words = said();
    assert_non_null(strstr(words, "a=E"));
    assert_non_null(strstr(words, "b=E"));
    close_peer(&peer);
    run(*state);
}

static void on_poll(struct loop_poll *poll, int status, uint32_t events)
{
    (void)poll;
    (void)status;
    (void)events;
}

/* Its number was given out again; there is no callback but those of the sends. */
static void a_descriptor_closed_behind_a_handle_that_only_sends_is_told_to_the_sends(void **state)
{
    struct peer peer;
    struct loop_poll poll;
    struct loop_udp_send send = {0};
    int ends[2], other = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &send, "a"));
    assert_int_equal(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    int fd = loop_udp_fd(&peer.udp);
    assert_int_equal(fd, dup3(ends[0], fd, O_CLOEXEC));
    loop_poll_init(*state, &poll, fd);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE, on_poll));
    run_one_turn(*state);
    run_one_turn(*state);
    assert_said("a=EBADF");
    assert_int_equal(-1, loop_udp_fd(&peer.udp));
    loop_close(&poll.handle, NULL);
    run(*state);
    close(fd);
    close(ends[0]);
    close(ends[1]);
    close(other);
}

static void a_send_without_a_callback_is_free_when_the_kernel_has_taken_it(void **state)
{
    struct peer peer;
    struct loop_udp_send send = {0};
    struct loop_buf buf = {"a", 1};
    int fd = open_pair(*state, &peer, "peer");
    for (int i = 0; i < 3; i++)
        assert_int_equal(0, loop_udp_send(&peer.udp, &send, &buf, 1, NULL, NULL));
    assert_false(loop_alive(*state));
    fill(&peer);
    assert_int_equal(0, loop_udp_send(&peer.udp, &send, &buf, 1, NULL, NULL));
    assert_true(loop_alive(*state));
    run_and_say_until_sent(&peer, fd);
    run_one_turn(*state);
    assert_said("got:a got:a got:a got:a");
    assert_false(loop_alive(*state));
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void a_queued_send_can_be_cancelled_once(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[3] = {0};
    static const char *const texts[] = {"a", "b", "c"};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    for (size_t i = 0; i < ARRAY_LENGTH(sends); i++)
        assert_int_equal(0, begin_send(&peer, &sends[i], texts[i]));
    assert_int_equal(0, loop_request_cancel(&sends[1].request));
    assert_int_equal(-EALREADY, loop_request_cancel(&sends[1].request));
    assert_int_equal(2, peer.udp.queued);
    assert_said("");
    run_one_turn(*state);
    assert_said("b=ECANCELED");
    run_and_say_until_sent(&peer, fd);
    assert_said("a=OK c=OK got:a got:c");
    close(fd);
    close_peer(&peer);
    run(*state);
}

/* And nothing is watched any more. */
static void cancelling_the_last_of_the_queue_lets_the_loop_end(void **state)
{
    struct peer peer;
    struct loop_udp_send send = {0};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &send, "a"));
    assert_int_equal(0, loop_request_cancel(&send.request));
    run(*state);
    assert_said("a=ECANCELED");
    say_rest(fd);
    assert_does_not_spin(*state);
    assert_said("timer");
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void on_sent_when(struct loop_udp_send *send, int status)
{
    say("%s=%s@%ds", (const char *)send->request.data, loop_error_name(status),
        (int)(loop_now(send->request.loop) / LOOP_SEC));
}

static void a_queued_send_that_is_too_late_is_dropped(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[4] = {0};
    static const char *const texts[] = {"a", "b", "c", "d"};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    for (size_t i = 0; i < ARRAY_LENGTH(sends); i++) {
        struct loop_buf buf = {texts[i], 1};
        sends[i].request.data = (void *)(uintptr_t)texts[i];
        assert_int_equal(0, loop_udp_send(&peer.udp, &sends[i], &buf, 1, NULL, on_sent_when));
    }
    assert_int_equal(0, loop_request_deadline(&sends[0].request, 5 * LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&sends[1].request, 2 * LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&sends[2].request, 1 * LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&sends[2].request, LOOP_NEVER));
    assert_int_equal(0, loop_request_deadline(&sends[3].request, 1 * LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&sends[3].request, 3 * LOOP_SEC));
    while (peer.udp.queued_count > 1)
        loop_run(*state, LOOP_RUN_ONCE);
    run_and_say_until_sent(&peer, fd);
    assert_said("b=ETIMEDOUT@2s d=ETIMEDOUT@3s a=ETIMEDOUT@5s c=OK@5s got:c");
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void closing_cancels_the_queue_in_order_and_then_calls_back(void **state)
{
    struct peer peer;
    struct loop_udp_send sent = {0}, queued[3] = {0};
    int fd = open_pair(*state, &peer, "peer");
    assert_int_equal(0, begin_send(&peer, &sent, "sent"));
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &queued[0], "a"));
    assert_int_equal(0, begin_send(&peer, &queued[1], "b"));
    assert_int_equal(0, begin_send(&peer, &queued[2], "c"));
    assert_int_equal(0, loop_request_cancel(&queued[1].request));
    loop_close(&peer.udp.handle, on_close);
    assert_said("");
    assert_int_equal(-EALREADY, loop_request_cancel(&queued[0].request));
    run(*state);
    assert_said("sent=OK b=ECANCELED a=ECANCELED c=ECANCELED close-peer");
    close(fd);
}

static void on_check_close(struct loop_hook *hook)
{
    struct peer *peer = hook->handle.data;
    loop_hook_stop(hook);
    loop_close(&peer->udp.handle, on_close);
}

/* Behind check comes the closing phase, and no pending phase in between. */
static void requests_are_told_before_the_close_callback_in_any_phase(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[2] = {0};
    struct loop_hook check = {.handle.data = &peer};
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &sends[0], "a"));
    assert_int_equal(0, begin_send(&peer, &sends[1], "b"));
    loop_check_init(*state, &check);
    loop_hook_start(&check, on_check_close);
    run_one_turn(*state);
    assert_said("a=ECANCELED b=ECANCELED close-peer");
    assert_false(loop_alive(*state));
    close(fd);
}

static void on_sent_close(struct loop_udp_send *send, int status)
{
    on_sent(send, status);
    loop_close(&send->udp->handle, on_close);
}

static void a_handle_may_be_closed_in_the_callback_of_a_send(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[2] = {0};
    struct loop_buf buf = {"a", 1};
    int fd = open_pair(*state, &peer, "peer");
    sends[0].request.data = (void *)(uintptr_t) "first";
    fill(&peer);
    assert_int_equal(0, loop_udp_send(&peer.udp, &sends[0], &buf, 1, NULL, on_sent_close));
    assert_int_equal(0, begin_send(&peer, &sends[1], "b"));
    say_rest(fd);
    run(*state);
    assert_said("first=OK b=OK close-peer"); /* one call to the kernel took both */
    close(fd);
}

static int rounds;

static void on_sent_again(struct loop_udp_send *send, int status)
{
    struct loop_buf buf = {"a", 1};
    on_sent(send, status);
    if (++rounds < 3)
        assert_int_equal(0, loop_udp_send(send->udp, send, &buf, 1, NULL, on_sent_again));
    else
        free(send);
}

static void a_request_may_be_used_again_or_freed_in_its_callback(void **state)
{
    struct peer peer;
    struct loop_buf buf = {"a", 1};
    struct loop_udp_send *send = calloc(1, sizeof(*send));
    int fd = open_pair(*state, &peer, "peer");
    assert_non_null(send);
    send->request.data = (void *)(uintptr_t) "a";
    rounds = 0;
    assert_int_equal(0, loop_udp_send(&peer.udp, send, &buf, 1, NULL, on_sent_again));
    run(*state);
    assert_said("a=OK a=OK a=OK");
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void above_its_cap_the_queue_takes_nothing(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[4] = {0};
    int fd = open_pair(*state, &peer, "peer");
    assert_int_equal(0, loop_udp_set_queue_max(&peer.udp, 5));
    assert_int_equal(-ENOBUFS, begin_send(&peer, &sends[0], "sixsix"));
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &sends[0], "abc"));
    assert_int_equal(-ENOBUFS, begin_send(&peer, &sends[1], "def"));
    assert_int_equal(0, begin_send(&peer, &sends[1], "de"));
    assert_int_equal(0, begin_send(&peer, &sends[2], ""));
    assert_int_equal(0, loop_udp_set_queue_max(&peer.udp, 1));
    assert_int_equal(-ENOBUFS, begin_send(&peer, &sends[3], ""));
    assert_int_equal(0, loop_udp_set_queue_max(&peer.udp, 0));
    assert_int_equal(0, begin_send(&peer, &sends[3], "any"));
    run_and_say_until_sent(&peer, fd);
    assert_said("abc=OK de=OK =OK any=OK got:abc got:de got: got:any");
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void by_default_16_mib_may_wait_and_not_a_byte_more(void **state)
{
    enum { SIZE = 65536, COUNT = LOOP_UDP_QUEUE_MAX / SIZE };
    static char bytes[SIZE];
    static struct loop_udp_send sends[COUNT];
    struct loop_udp_send last = {0};
    struct loop_buf buf = {bytes, SIZE};
    struct peer peer;
    int fd = open_pair(*state, &peer, "peer");
    memset(sends, 0, sizeof(sends));
    fill(&peer);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(0, loop_udp_send(&peer.udp, &sends[i], &buf, 1, NULL, NULL));
    assert_int_equal(LOOP_UDP_QUEUE_MAX, peer.udp.queued);
    assert_int_equal(-ENOBUFS, begin_send(&peer, &last, "x"));
    assert_int_equal(0, begin_send(&peer, &last, ""));
    assert_int_equal(COUNT + 1, peer.udp.queued_count);
    close_peer(&peer);
    run(*state);
    assert_said("=ECANCELED");
    close(fd);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static void without_memory_nothing_is_started(void **state)
{
    struct loop *loop = *state;
    struct loop_allocator before = loop->options.allocator;
    struct loop_buf bufs[5] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}};
    struct loop_udp_send send = {0};
    struct peer peer;
    int fd = open_pair(loop, &peer, "peer");
    fill(&peer);
    loop->options.allocator.resize = no_memory;
    assert_int_equal(-ENOMEM, loop_udp_recv_start(&peer.udp, on_datagram));
    assert_int_equal(-ENOMEM, loop_udp_send(&peer.udp, &send, bufs, 5, NULL, on_sent));
    loop->options.allocator = before;
    assert_false(loop_alive(loop));
    assert_int_equal(0, peer.udp.queued_count);
    close(fd);
    close_peer(&peer);
    run(loop);
}

static struct loop *misused;

static void use_a_request_twice(void)
{
    struct peer peer;
    struct loop_udp_send send = {0};
    open_pair(misused, &peer, "peer");
    begin_send(&peer, &send, "a");
    begin_send(&peer, &send, "b");
}

static void a_request_in_flight_is_not_started_again(void **state)
{
    misused = *state;
    assert_panics(use_a_request_twice, "the udp send request was started again");
}

/* Many at once. */

static void many_are_tried_at_once_up_to_the_first_that_fails(void **state)
{
    static const char large[LOOP_UDP_SIZE_MAX + 1];
    struct peer a, b, client;
    struct loop_buf texts[] = {{"1", 1}, {"2", 1}, {large, sizeof(large)}, {"4", 1}};
    struct loop_datagram datagrams[4];
    open_peer(*state, &a, "a");
    open_peer(*state, &b, "b");
    init(*state, &client, "client");
    for (size_t i = 0; i < 4; i++)
        datagrams[i] = (struct loop_datagram){&texts[i], 1, i % 2 ? &b.address : &a.address};
    assert_int_equal(2, loop_udp_try_send_many(&client.udp, datagrams, 4));
    assert_int_equal(-EMSGSIZE, loop_udp_try_send_many(&client.udp, datagrams + 2, 2));
    assert_int_equal(1, loop_udp_try_send_many(&client.udp, datagrams + 3, 1));
    run_until_heard(&a, 1);
    run_until_heard(&b, 2);
    assert_int_equal('4', b.last);
    close_peer(&client);
    close_both(&a, &b);
}

static void many_are_more_than_one_call_takes(void **state)
{
    enum { COUNT = 150 };
    struct peer server, client;
    struct loop_datagram datagrams[COUNT];
    struct loop_buf buf = {"a", 1};
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    for (size_t i = 0; i < COUNT; i++)
        datagrams[i] = (struct loop_datagram){&buf, 1, &server.address};
    assert_int_equal(COUNT, loop_udp_try_send_many(&client.udp, datagrams, COUNT));
    run_until_heard(&server, COUNT);
    datagrams[100].to = &(struct loop_address){.size = 0};
    assert_int_equal(100, loop_udp_try_send_many(&client.udp, datagrams, COUNT));
    assert_int_equal(-EINVAL, loop_udp_try_send_many(&client.udp, datagrams + 100, 50));
    close_both(&server, &client);
}

/* Segments. */

static void send_segments(struct loop *loop, bool kernel_refuses)
{
    static const char text[] = "aaabbbcccdd";
    struct peer server, client;
    struct loop_udp_send send = {.request.data = (void *)(uintptr_t) "sent"};
    open_peer(loop, &server, "server");
    bind_to(loop, &client, "client", "127.0.0.1");
    if (kernel_refuses)
        set_option(&client, SOL_SOCKET, SO_NO_CHECK, 1); /* UDP_SEGMENT is then -EINVAL */
    assert_int_equal(0, loop_udp_send_segments(&client.udp, &send, text, 11, 3, &server.address,
                                               on_sent));
    assert_int_equal(11, send.sent);
    run_until_heard(&server, 4);
    run_one_turn(loop);
    assert_said("sent=OK server:aaa server:bbb server:ccc server:dd");
    close_both(&server, &client);
}

static void a_buffer_is_cut_into_segments(void **state)
{
    send_segments(*state, false);
}

static void a_buffer_is_cut_also_where_the_kernel_will_not(void **state)
{
    send_segments(*state, true);
}

static void segments_may_be_more_than_one_call_takes(void **state)
{
    static char bytes[200 * 100 + 1];
    struct peer server, client;
    struct loop_udp_send send = {0};
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    set_option(&server, SOL_SOCKET, SO_RCVBUF, 1 << 20);
    assert_int_equal(0, loop_udp_send_segments(&client.udp, &send, bytes, sizeof(bytes), 100,
                                               &server.address, NULL));
    assert_int_equal(sizeof(bytes), send.sent);
    run_until_heard(&server, 201);
    assert_int_equal(1, server.size);
    close_both(&server, &client);
}

static void the_size_of_a_segment_has_its_limits(void **state)
{
    static char bytes[4 * LOOP_UDP_SIZE_MAX];
    struct peer server, client;
    struct loop_udp_send send = {0};
    open_peer(*state, &server, "server");
    init(*state, &client, "client");
    assert_int_equal(0, loop_udp_send_segments(&client.udp, &send, bytes, LOOP_UDP_SIZE_MAX + 1,
                                               LOOP_UDP_SIZE_MAX, &server.address, NULL));
    run_until_heard(&server, 2);
    assert_int_equal(1, server.size);
    for (size_t size = LOOP_UDP_SIZE_MAX + 1; size <= sizeof(bytes); size *= 2)
        assert_int_equal(-EMSGSIZE, loop_udp_send_segments(&client.udp, &send, bytes, sizeof(bytes),
                                                           size, &server.address, NULL));
    assert_int_equal(0, send.sent);
    close_both(&server, &client);
}

/* A socket of the unix domain, where the library cuts. */
static void segments_go_on_where_the_kernel_had_no_more_room(void **state)
{
    static char bytes[10000];
    char byte;
    struct peer peer;
    struct loop_udp_send segments = {.request.data = (void *)(uintptr_t) "segments"}, next = {0};
    int fd = open_pair(*state, &peer, "peer");
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i % 20);
    assert_int_equal(0, loop_udp_send_segments(&peer.udp, &segments, bytes, sizeof(bytes), 1, NULL,
                                               on_sent));
    assert_in_range(segments.sent, 1, sizeof(bytes) - 1);
    assert_int_equal(sizeof(bytes) - segments.sent, peer.udp.queued);
    assert_int_equal(0, begin_send(&peer, &next, "z"));
    for (size_t i = 0; i < sizeof(bytes);) {
        while (i < sizeof(bytes) && recv(fd, &byte, 1, 0) == 1)
            assert_int_equal(bytes[i++], byte);
        loop_run(*state, LOOP_RUN_NOWAIT);
    }
    run_and_say_until_sent(&peer, fd);
    assert_said("segments=OK z=OK got:z");
    assert_int_equal(0, peer.udp.queued);
    assert_int_equal(sizeof(bytes), segments.sent);
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void segments_that_are_cancelled_say_how_far_they_came(void **state)
{
    static char bytes[10000];
    struct peer peer;
    struct loop_udp_send send = {.request.data = (void *)(uintptr_t) "segments"};
    int fd = open_pair(*state, &peer, "peer");
    assert_int_equal(0, loop_udp_send_segments(&peer.udp, &send, bytes, sizeof(bytes), 1, NULL,
                                               on_sent));
    loop_close(&peer.udp.handle, on_close);
    run(*state);
    assert_said("segments=ECANCELED close-peer");
    assert_in_range(send.sent, 1, sizeof(bytes) - 1);
    assert_int_equal(0, peer.udp.queued);
    close(fd);
}

/* Groups and options. */

static int join_by_text(struct peer *peer, const char *group_text, const char *source_text,
                        const char *interface)
{
    struct loop_address group = address_of(group_text, 0);
    struct loop_address source = address_of(source_text ? source_text : "", 0);
    return loop_udp_join(&peer->udp, &group, source_text ? &source : NULL, interface);
}

static int leave_by_text(struct peer *peer, const char *group_text, const char *source_text,
                         const char *interface)
{
    struct loop_address group = address_of(group_text, 0);
    struct loop_address source = address_of(source_text ? source_text : "", 0);
    return loop_udp_leave(&peer->udp, &group, source_text ? &source : NULL, interface);
}

/* What is sent to the group, and then to the member itself: the latter is always heard. */
static void send_to_group(struct peer *sender, struct peer *member, const char *group_text,
                          const char *text)
{
    uint16_t port = loop_address_port(&member->address);
    struct loop_address group = address_of(group_text, port);
    struct loop_address alone = address_of(strchr(group_text, ':') ? "::1" : "127.0.0.1", port);
    int before = member->heard;
    assert_int_equal(strlen(text), try_text(sender, &group, text));
    assert_int_equal(1, try_text(sender, &alone, "."));
    do
        run_until_heard(member, ++before);
    while (member->last != '.');
}

/* Whether what is sent to the group gets there: there may be a firewall in between. */
static bool hears_group(struct peer *sender, struct peer *member, const char *group_text)
{
    int before = member->heard;
    struct loop_address group = address_of(group_text, loop_address_port(&member->address));
    if (try_text(sender, &group, "?") != 1)
        return false;
    send_to_group(sender, member, group_text, "?");
    said();
    return member->heard == before + 3;
}

/* Joins on the first interface that can do it both ways. Nothing leaves this machine: groups of
 * IPv4 are sent to with a TTL of 0, and those of IPv6 are of the smallest scope. */
static bool find_interface(struct peer *member, struct peer *sender, const char *group_text,
                           char found[IF_NAMESIZE])
{
    struct if_nameindex *all = if_nameindex();
    *found = '\0';
    assert_int_equal(0, loop_udp_multicast_ttl(&sender->udp, 0));
    for (size_t i = 0; all && all[i].if_index > 0 && !*found; i++) {
        if (strcmp(all[i].if_name, "lo") == 0 ||
            join_by_text(member, group_text, NULL, all[i].if_name) < 0)
            continue;
        if (loop_udp_multicast_interface(&sender->udp, all[i].if_name) == 0 &&
            hears_group(sender, member, group_text))
            snprintf(found, IF_NAMESIZE, "%s", all[i].if_name);
        else
            assert_int_equal(0, leave_by_text(member, group_text, NULL, all[i].if_name));
    }
    if_freenameindex(all);
    return *found;
}

static void group_test(struct loop *loop, const char *any, const char *group, const char *not_ours)
{
    struct peer member, sender;
    char interface[IF_NAMESIZE];
    bind_to(loop, &member, "m", any);
    bind_to(loop, &sender, "sender", any);
    assert_int_equal(0, loop_udp_recv_start(&member.udp, on_datagram));
    bool possible = find_interface(&member, &sender, group, interface);
    if (possible) {
        assert_int_equal(-EADDRINUSE, join_by_text(&member, group, NULL, interface));
        assert_int_equal(0, join_by_text(&sender, not_ours, NULL, interface));
        send_to_group(&sender, &member, group, "in");
        send_to_group(&sender, &member, not_ours, "not ours");
        assert_int_equal(0, loop_udp_multicast_loop(&sender.udp, false));
        send_to_group(&sender, &member, group, "not here");
        assert_int_equal(0, loop_udp_multicast_loop(&sender.udp, true));
        assert_int_equal(0, leave_by_text(&member, group, NULL, interface));
        assert_int_equal(-EADDRNOTAVAIL, leave_by_text(&member, group, NULL, interface));
        send_to_group(&sender, &member, group, "out");
        assert_said("m:in m:. m:. m:. m:.");
    }
    close_both(&member, &sender);
    if (!possible)
        skip();
}

static void a_group_is_heard_from_joining_to_leaving(void **state)
{
    group_test(*state, "0.0.0.0", "239.255.77.1", "239.255.77.2");
}

static void a_group_of_ipv6_is_heard_from_joining_to_leaving(void **state)
{
    if (!has_ip6())
        skip();
    group_test(*state, "::", "ff11::77:1", "ff11::77:2");
}

static void a_socket_of_ipv6_may_join_a_group_of_ipv4(void **state)
{
    struct peer member, sender;
    if (!has_ip6())
        skip();
    bind_to(*state, &member, "m", "::");
    bind_to(*state, &sender, "sender", "127.0.0.1");
    assert_int_equal(0, loop_udp_recv_start(&member.udp, on_datagram));
    assert_int_equal(0, loop_udp_multicast_interface(&sender.udp, "lo"));
    bool possible = join_by_text(&member, "239.255.77.1", NULL, "lo") == 0;
    if (possible)
        send_to_group(&sender, &member, "239.255.77.1", "in");
    close_both(&member, &sender);
    if (!possible)
        skip();
    assert_said("m:in m:.");
}

static void a_group_may_be_heard_from_one_source_alone(void **state)
{
    static const char group[] = "232.1.77.1", source[] = "127.0.0.2";
    struct peer member, wanted, unwanted;
    bind_to(*state, &member, "m", "0.0.0.0");
    bind_to(*state, &wanted, "wanted", source);
    bind_to(*state, &unwanted, "unwanted", "127.0.0.3");
    assert_int_equal(0, loop_udp_recv_start(&member.udp, on_datagram));
    assert_int_equal(0, loop_udp_multicast_interface(&wanted.udp, "lo"));
    assert_int_equal(0, loop_udp_multicast_interface(&unwanted.udp, "lo"));
    bool possible = join_by_text(&member, group, source, "lo") == 0;
    if (possible) {
        send_to_group(&wanted, &member, group, "wanted");
        send_to_group(&unwanted, &member, group, "unwanted");
        assert_int_equal(0, leave_by_text(&member, group, source, "lo"));
        assert_int_equal(-EINVAL, leave_by_text(&member, group, source, "lo"));
        send_to_group(&wanted, &member, group, "late");
        assert_said("m:wanted m:. m:. m:.");
    }
    close_peer(&unwanted);
    close_both(&member, &wanted);
    if (!possible)
        skip();
}

static void two_handles_may_share_the_port_of_a_group(void **state)
{
    struct peer a, b, sender;
    struct loop_address any = address_of("0.0.0.0", 0);
    init(*state, &a, "a");
    init(*state, &b, "b");
    assert_int_equal(0, loop_udp_bind(&a.udp, &any, LOOP_UDP_REUSE_ADDRESS));
    assert_int_equal(0, loop_udp_local(&a.udp, &a.address));
    assert_int_equal(-EADDRINUSE, loop_udp_bind(&b.udp, &a.address, 0));
    assert_int_equal(-1, loop_udp_fd(&b.udp));
    assert_int_equal(0, loop_udp_bind(&b.udp, &a.address, LOOP_UDP_REUSE_ADDRESS));
    b.address = a.address;
    bind_to(*state, &sender, "sender", "127.0.0.1");
    assert_int_equal(0, loop_udp_multicast_interface(&sender.udp, "lo"));
    assert_int_equal(0, loop_udp_recv_start(&a.udp, on_datagram));
    assert_int_equal(0, loop_udp_recv_start(&b.udp, on_datagram));
    bool possible = join_by_text(&a, "239.255.77.1", NULL, "lo") == 0 &&
                    join_by_text(&b, "239.255.77.1", NULL, "lo") == 0;
    struct loop_address group = address_of("239.255.77.1", loop_address_port(&a.address));
    if (possible) {
        assert_int_equal(4, try_text(&sender, &group, "both"));
        run_until_heard(&a, 1);
        run_until_heard(&b, 1);
    }
    close_peer(&sender);
    close_both(&a, &b);
    if (!possible)
        skip();
}

static void a_broadcast_needs_leave(void **state)
{
    struct peer peer;
    struct loop_address broadcast = address_of("127.255.255.255", 9);
    bind_to(*state, &peer, "peer", "127.0.0.1");
    assert_int_equal(-EACCES, try_text(&peer, &broadcast, "all"));
    assert_int_equal(0, loop_udp_broadcast(&peer.udp, true));
    assert_int_equal(3, try_text(&peer, &broadcast, "all"));
    assert_int_equal(0, loop_udp_broadcast(&peer.udp, false));
    assert_int_equal(-EACCES, try_text(&peer, &broadcast, "all"));
    close_peer(&peer);
    run(*state);
}

static void options_hold_for_both_families(void **state)
{
    struct peer peer;
    if (!has_ip6())
        skip();
    bind_to(*state, &peer, "peer", "::");
    assert_int_equal(0, loop_udp_ttl(&peer.udp, 7));
    assert_int_equal(7, option(&peer, IPPROTO_IP, IP_TTL));
    assert_int_equal(7, option(&peer, IPPROTO_IPV6, IPV6_UNICAST_HOPS));
    assert_int_equal(0, loop_udp_multicast_ttl(&peer.udp, 0));
    assert_int_equal(0, option(&peer, IPPROTO_IP, IP_MULTICAST_TTL));
    assert_int_equal(0, option(&peer, IPPROTO_IPV6, IPV6_MULTICAST_HOPS));
    assert_int_equal(0, loop_udp_multicast_loop(&peer.udp, false));
    assert_int_equal(0, option(&peer, IPPROTO_IP, IP_MULTICAST_LOOP));
    assert_int_equal(0, option(&peer, IPPROTO_IPV6, IPV6_MULTICAST_LOOP));
    assert_int_equal(0, loop_udp_multicast_interface(&peer.udp, "lo"));
    assert_int_equal(if_nametoindex("lo"), option(&peer, IPPROTO_IPV6, IPV6_MULTICAST_IF));
    assert_int_equal(0, loop_udp_multicast_interface(&peer.udp, NULL));
    assert_int_equal(0, option(&peer, IPPROTO_IPV6, IPV6_MULTICAST_IF));
    assert_int_equal(-ENODEV, loop_udp_multicast_interface(&peer.udp, "none0"));
    close_peer(&peer);
    run(*state);
}

/* Wrong arguments. */

static void descriptors_that_are_no_datagram_sockets_are_refused(void **state)
{
    struct peer peer;
    int ends[2];
    int stream = socket(AF_INET, SOCK_STREAM, 0);
    init(*state, &peer, "peer");
    assert_int_equal(0, pipe(ends));
    assert_int_equal(-EBADF, loop_udp_open(&peer.udp, -1));
    assert_int_equal(-ENOTSOCK, loop_udp_open(&peer.udp, ends[0]));
    assert_int_equal(-EPROTOTYPE, loop_udp_open(&peer.udp, stream));
    assert_int_equal(0, fcntl(stream, F_GETFL) & O_NONBLOCK);
    assert_int_equal(-1, loop_udp_fd(&peer.udp));
    close(ends[0]);
    close(ends[1]);
    close(stream);
}

static void an_open_handle_is_not_opened_again(void **state)
{
    struct peer peer;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    open_peer(*state, &peer, "peer");
    assert_int_equal(-EBUSY, loop_udp_bind(&peer.udp, &peer.address, 0));
    assert_int_equal(-EBUSY, loop_udp_open(&peer.udp, fd));
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void a_unix_domain_socket_has_no_internet_address(void **state)
{
    struct peer peer;
    struct loop_address address;
    int fd = open_pair(*state, &peer, "peer");
    assert_int_equal(0, loop_udp_recv_start(&peer.udp, on_datagram));
    assert_int_equal(-EAFNOSUPPORT, loop_udp_local(&peer.udp, &address));
    assert_int_equal(-EAFNOSUPPORT, loop_udp_peer(&peer.udp, &address));
    assert_int_equal(5, send(fd, "hello", 5, 0));
    run_until_heard(&peer, 1);
    assert_int_equal(0, peer.from.size);
    assert_said("peer:hello");
    close(fd);
    close_peer(&peer);
    run(*state);
}

static void connecting_is_refused_while_the_queue_waits(void **state)
{
    struct peer peer;
    struct loop_udp_send send = {0};
    struct loop_address address = address_of("127.0.0.1", 9);
    int fd = open_pair(*state, &peer, "peer");
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &send, "a"));
    assert_int_equal(-EBUSY, loop_udp_connect(&peer.udp, &address));
    assert_int_equal(-EBUSY, loop_udp_connect(&peer.udp, NULL));
    close(fd);
    close_peer(&peer);
    run(*state);
    assert_said("a=ECANCELED");
}

/* What each function says of the handle, which is not open, or is closing, or is NULL. */
static void assert_all_say(int error, struct loop_udp *udp)
{
    struct loop_udp_send send = {0};
    struct loop_buf buf = {"a", 1};
    struct loop_datagram datagram = {&buf, 1, NULL};
    struct loop_address address = address_of("127.0.0.1", 9), group = address_of("239.1.1.1", 9);
    int sending = error == -ENOTCONN ? -EDESTADDRREQ : error;
    assert_int_equal(sending, loop_udp_send(udp, &send, &buf, 1, NULL, on_sent));
    assert_int_equal(sending, loop_udp_send_segments(udp, &send, "a", 1, 1, NULL, on_sent));
    assert_int_equal(sending, loop_udp_try_send(udp, &buf, 1, NULL));
    assert_int_equal(sending, loop_udp_try_send_many(udp, &datagram, 1));
    assert_int_equal(error, loop_udp_connect(udp, NULL));
    assert_int_equal(error, loop_udp_detach(udp));
    assert_int_equal(error, loop_udp_recv_start(udp, on_datagram));
    assert_int_equal(error, loop_udp_local(udp, &address));
    assert_int_equal(error, loop_udp_peer(udp, &address));
    assert_int_equal(error, loop_udp_join(udp, &group, NULL, NULL));
    assert_int_equal(error, loop_udp_leave(udp, &group, NULL, NULL));
    assert_int_equal(error, loop_udp_multicast_loop(udp, true));
    assert_int_equal(error, loop_udp_multicast_ttl(udp, 1));
    assert_int_equal(error, loop_udp_multicast_interface(udp, NULL));
    assert_int_equal(error, loop_udp_broadcast(udp, true));
    assert_int_equal(error, loop_udp_ttl(udp, 1));
    if (error == -ENOTCONN)
        return;
    assert_int_equal(error, loop_udp_bind(udp, &address, 0));
    assert_int_equal(error, loop_udp_connect(udp, &address));
    assert_int_equal(error, loop_udp_open(udp, 0));
    assert_int_equal(error, loop_udp_set_batch(udp, 1));
    assert_int_equal(error, loop_udp_set_queue_max(udp, 1));
}

static void what_cannot_be_done_is_said_and_changes_nothing(void **state)
{
    struct peer peer;
    init(*state, &peer, "peer");
    assert_all_say(-EINVAL, NULL);
    assert_all_say(-ENOTCONN, &peer.udp);
    assert_false(loop_alive(*state));
    assert_int_equal(-1, loop_udp_fd(&peer.udp));
    loop_close(&peer.udp.handle, on_close);
    assert_all_say(-ECANCELED, &peer.udp);
    loop_udp_recv_stop(&peer.udp);
    run(*state);
    assert_said("close-peer");
}

static void arguments_out_of_range_are_refused(void **state)
{
    struct peer peer;
    struct loop_udp_send send = {0};
    struct loop_buf hollow = {NULL, 1};
    struct loop_address none = {.size = 0}, ok = address_of("127.0.0.1", 9);
    struct loop_address short_one = ok, ip6 = address_of("::1", 9);
    short_one.size = 2;
    open_peer(*state, &peer, "peer");
    assert_int_equal(-EINVAL, loop_udp_bind(&peer.udp, NULL, 0));
    assert_int_equal(-EINVAL, loop_udp_bind(&peer.udp, &none, 0));
    assert_int_equal(-EINVAL, loop_udp_bind(&peer.udp, &short_one, 0));
    assert_int_equal(-EINVAL, loop_udp_bind(&peer.udp, &ok, 8));
    assert_int_equal(-EINVAL, loop_udp_connect(&peer.udp, &none));
    assert_int_equal(-EINVAL, loop_udp_local(&peer.udp, NULL));
    assert_int_equal(-EINVAL, loop_udp_send(&peer.udp, NULL, &hollow, 0, &ok, on_sent));
    assert_int_equal(-EINVAL, loop_udp_send(&peer.udp, &send, NULL, 1, &ok, on_sent));
    assert_int_equal(-EINVAL, loop_udp_send(&peer.udp, &send, &hollow, 1, &ok, on_sent));
    assert_int_equal(-EINVAL, loop_udp_send(&peer.udp, &send, NULL, 0, &none, on_sent));
    assert_int_equal(-EINVAL, loop_udp_send_segments(&peer.udp, &send, NULL, 1, 1, &ok, on_sent));
    assert_int_equal(-EINVAL, loop_udp_send_segments(&peer.udp, &send, "a", 0, 1, &ok, on_sent));
    assert_int_equal(-EINVAL, loop_udp_send_segments(&peer.udp, &send, "a", 1, 0, &ok, on_sent));
    assert_int_equal(-EINVAL, loop_udp_try_send_many(&peer.udp, NULL, 1));
    assert_int_equal(-EINVAL, loop_udp_recv_start(&peer.udp, NULL));
    assert_int_equal(-EINVAL, loop_udp_set_batch(&peer.udp, LOOP_LENT_SIZE + 1));
    assert_int_equal(-EINVAL, loop_udp_ttl(&peer.udp, 0));
    assert_int_equal(-EINVAL, loop_udp_ttl(&peer.udp, 256));
    assert_int_equal(-EINVAL, loop_udp_multicast_ttl(&peer.udp, 256));
    assert_int_equal(-EINVAL, loop_udp_join(&peer.udp, NULL, NULL, NULL));
    assert_int_equal(-EINVAL, loop_udp_join(&peer.udp, &ok, NULL, "lo"));
    assert_int_equal(-EINVAL, loop_udp_join(&peer.udp, &ok, &ip6, NULL));
    assert_int_equal(-ENODEV, loop_udp_join(&peer.udp, &ok, NULL, "none0"));
    close_peer(&peer);
    run(*state);
}

/* Fork. */

struct family {
    struct peer *peer;
    int fd;
};

static int send_the_queue_in_the_child(void *arg)
{
    struct family *family = arg;
    struct loop *loop = family->peer->udp.handle.loop;
    if (loop_run(loop, LOOP_RUN_NOWAIT) != -ECHILD || loop_after_fork(loop) != 0)
        return 1;
    run_and_say_until_sent(family->peer, family->fd);
    run_one_turn(loop);
    return strcmp(said(), "a=OK b=OK got:a got:b") != 0;
}

/* Both have it, and both send it: who does not want that closes the handle in the child. */
static void a_forked_child_sends_what_waited(void **state)
{
    struct peer peer;
    struct loop_udp_send sends[2] = {0};
    struct family family = {&peer, open_pair(*state, &peer, "peer")};
    fill(&peer);
    assert_int_equal(0, begin_send(&peer, &sends[0], "a"));
    assert_int_equal(0, begin_send(&peer, &sends[1], "b"));
    in_child(send_the_queue_in_the_child, &family);
    run_and_say_until_sent(&peer, family.fd);
    assert_said("a=OK b=OK got:a got:b");
    close(family.fd);
    close_peer(&peer);
    run(*state);
}

static const struct CMUnitTest tests[] = {
    virtual_test(a_datagram_goes_there_and_back_over_ipv4),
    virtual_test(a_datagram_goes_there_and_back_over_ipv6),
    virtual_test(an_ipv6_address_hears_ipv4_and_answers_it),
    virtual_test(an_ipv6_address_that_is_told_so_hears_no_ipv4),
    virtual_test(an_ipv6_socket_sends_to_ipv4),
    virtual_test(the_first_send_opens_a_socket_of_the_right_family),
    virtual_test(two_handles_of_one_turn_are_told_apart),
    virtual_test(a_handle_is_active_while_it_receives),
    virtual_test(a_datagram_of_no_bytes_is_a_datagram),
    virtual_test(the_largest_datagram_arrives_whole),
    virtual_test(a_datagram_that_is_too_large_is_refused),
    virtual_test(buffers_are_gathered_up_to_the_kernels_limit),
    virtual_test(a_connected_handle_hears_its_peer_alone_and_needs_no_address),
    virtual_test(a_peer_can_be_changed_and_given_up),
    virtual_test(a_connect_that_fails_leaves_the_handle_as_it_was),
    virtual_test(a_refusal_is_told_once_and_receiving_goes_on),
    virtual_test(a_refusal_is_told_to_a_send_if_that_is_first),
    real_test(an_error_that_nobody_asked_for_keeps_no_loop_awake),
    real_test(an_error_of_the_error_queue_says_whom_it_is_about),
    virtual_test(a_handle_may_be_closed_in_the_callback_of_an_error),
    virtual_test(an_error_is_kept_for_a_handle_that_was_stopped_in_that_turn),
    real_test(time_stamps_in_the_error_queue_keep_no_loop_awake),
    real_test(a_socket_that_was_shut_down_says_so_once),
    virtual_test(a_descriptor_closed_behind_the_handle_is_told),
    virtual_test(one_readiness_brings_a_bounded_number),
    virtual_test(stopping_in_the_callback_leaves_the_rest_in_the_kernel),
    virtual_test(closing_in_the_callback_is_the_end),
    virtual_test(a_handle_may_be_detached_and_freed_in_the_callback),
    virtual_test(a_handle_may_be_detached_and_freed_in_the_callback_of_an_error),
    virtual_test(what_was_detached_can_be_opened_again),
    virtual_test(a_handle_closed_by_another_of_its_turn_is_not_called),
    virtual_test(a_batch_arrives_in_order),
    virtual_test(a_batch_is_as_large_as_the_buffer_allows),
    virtual_test(a_datagram_longer_than_a_slot_says_that_it_was_cut),
    virtual_test(stopping_in_a_batch_counts_what_is_lost),
    virtual_test(stopping_and_starting_in_the_callback_loses_nothing),
    virtual_test(a_send_never_calls_back_from_inside),
    virtual_test(what_the_kernel_has_no_room_for_is_sent_later_in_order),
    virtual_test(a_long_queue_is_sent_in_order),
    virtual_test(nobody_overtakes_the_queue),
    virtual_test(segments_wait_behind_datagrams_and_others_behind_them),
    virtual_test(each_that_waited_for_a_peer_that_has_gone_is_told),
    virtual_test(a_descriptor_closed_behind_a_handle_that_only_sends_is_told_to_the_sends),
    virtual_test(a_send_without_a_callback_is_free_when_the_kernel_has_taken_it),
    virtual_test(a_queued_send_can_be_cancelled_once),
    real_test(cancelling_the_last_of_the_queue_lets_the_loop_end),
    virtual_test(a_queued_send_that_is_too_late_is_dropped),
    virtual_test(closing_cancels_the_queue_in_order_and_then_calls_back),
    virtual_test(requests_are_told_before_the_close_callback_in_any_phase),
    virtual_test(a_handle_may_be_closed_in_the_callback_of_a_send),
    virtual_test(a_request_may_be_used_again_or_freed_in_its_callback),
    virtual_test(above_its_cap_the_queue_takes_nothing),
    real_test(by_default_16_mib_may_wait_and_not_a_byte_more),
    virtual_test(without_memory_nothing_is_started),
    virtual_test(a_request_in_flight_is_not_started_again),
    virtual_test(many_are_tried_at_once_up_to_the_first_that_fails),
    virtual_test(many_are_more_than_one_call_takes),
    virtual_test(a_buffer_is_cut_into_segments),
    virtual_test(a_buffer_is_cut_also_where_the_kernel_will_not),
    virtual_test(segments_may_be_more_than_one_call_takes),
    virtual_test(the_size_of_a_segment_has_its_limits),
    virtual_test(segments_go_on_where_the_kernel_had_no_more_room),
    virtual_test(segments_that_are_cancelled_say_how_far_they_came),
    virtual_test(a_group_is_heard_from_joining_to_leaving),
    virtual_test(a_group_of_ipv6_is_heard_from_joining_to_leaving),
    virtual_test(a_socket_of_ipv6_may_join_a_group_of_ipv4),
    virtual_test(a_group_may_be_heard_from_one_source_alone),
    virtual_test(two_handles_may_share_the_port_of_a_group),
    virtual_test(a_broadcast_needs_leave),
    virtual_test(options_hold_for_both_families),
    virtual_test(descriptors_that_are_no_datagram_sockets_are_refused),
    virtual_test(an_open_handle_is_not_opened_again),
    virtual_test(a_unix_domain_socket_has_no_internet_address),
    virtual_test(connecting_is_refused_while_the_queue_waits),
    virtual_test(what_cannot_be_done_is_said_and_changes_nothing),
    virtual_test(arguments_out_of_range_are_refused),
    virtual_test(a_forked_child_sends_what_waited),
};

int main(void)
{
    return cmocka_run_group_tests(tests, open_deaf, close_deaf);
}
