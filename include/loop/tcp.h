/* Public. TCP: streams between machines. See loop/stream.h for all that streams do.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TCP_H
#define LOOP_TCP_H

#include "address.h"
#include "stream.h"

struct loop_tcp {
    union {
        struct loop_handle handle;
        struct loop_stream stream;
    };
};

enum loop_tcp_flag {
    LOOP_TCP_IPV6_ONLY = 1,  /* an IPv6 address hears no IPv4: IPV6_V6ONLY of ipv6(7) */
    LOOP_TCP_REUSE_PORT = 2, /* more sockets may bind it, and share the connections: socket(7) */
};

/* Makes a TCP handle in the caller's memory; opens nothing. */
LOOP_API void loop_tcp_init(struct loop *loop, struct loop_tcp *tcp);

/* Opens a socket and binds it; port 0 lets the kernel choose (loop_tcp_local()). The address may
 * be reused at once after a server has gone (SO_REUSEADDR). Errors: -EINVAL (unknown flags, not an
 * internet address), -EBUSY (open already), -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE and
 * others of bind(2). */
LOOP_API int loop_tcp_bind(struct loop_tcp *tcp, const struct loop_address *address,
                           unsigned flags);

/* Connects; cb comes when it is done, in the poll or the pending phase. Writes may be queued at
 * once. Whatever fails but the arguments and the socket itself is told to cb; the handle is then as
 * after its init (or its bind is lost), and may connect again. Errors: -EBUSY (connected or
 * connecting), -EMFILE and others of socket(2). */
LOOP_API int loop_tcp_connect(struct loop_tcp *tcp, struct loop_connect *connect,
                              const struct loop_address *address, loop_connect_cb cb);

/* Adopts a stream socket of the internet: connected, listening or fresh. It becomes non-blocking,
 * and is the handle's to close. Errors, with the descriptor still the caller's: -EBUSY, -EBADF,
 * -ENOTSOCK, -EPROTOTYPE (not a TCP socket). */
LOOP_API int loop_tcp_open(struct loop_tcp *tcp, int fd);

/* The addresses of the two ends. -ENOTCONN: there is no such end. */
LOOP_API int loop_tcp_local(const struct loop_tcp *tcp, struct loop_address *address);
LOOP_API int loop_tcp_peer(const struct loop_tcp *tcp, struct loop_address *address);

/* Small writes go out at once instead of waiting for an acknowledgement of those before: Nagle's
 * algorithm off. Connections inherit it from their listener. */
LOOP_API int loop_tcp_nodelay(struct loop_tcp *tcp, bool on);

/* Asks a silent peer whether it is there: first after idle_s seconds, then every interval_s, and
 * gives up (-ETIMEDOUT) after count without an answer. idle_s 0: off. -EINVAL: out of the kernel's
 * range (1 to 32767, count 1 to 127). */
LOOP_API int loop_tcp_keepalive(struct loop_tcp *tcp, unsigned idle_s, unsigned interval_s,
                                unsigned count);

/* TCP Fast Open (RFC 7413), where the kernel has it on (/proc/sys/net/ipv4/tcp_fastopen). On a
 * bound handle: at most queue connections may carry data in their first packet; 0: none. On a
 * handle without a socket, queue 1: the next loop_tcp_connect() to a server that has met us before
 * succeeds at once, the first write goes with its first packet, and what is wrong is told by that
 * write or by a read. Before that write the server hears nothing: it is for clients that speak
 * first. -EBUSY: connected or listening. */
LOOP_API int loop_tcp_fast_open(struct loop_tcp *tcp, unsigned queue);

#endif
