/* Public. UDP: datagrams between machines. Each arrives whole, in any order, perhaps twice, or not
 * at all.
 *
 * Sending tries at once. What the kernel has no room for waits in a queue, bounded in bytes, whose
 * order is kept; the bytes are the caller's, lent until the callback. Receiving lends the callback
 * one buffer of the loop's, large enough for any datagram. No SIGPIPE is ever raised.
 *
 * A handle owns a descriptor from open, bind, connect or its first send on, and must be closed.
 * Closing completes its requests with -ECANCELED, in order, and then calls back. Every request may
 * be cancelled by loop_request_cancel() and have a deadline by loop_request_deadline(). A function
 * that returns an error has sent nothing (but see loop_udp_send_segments()), started nothing, and
 * calls nobody back.
 *
 * What the network answers later, that nobody listens there or the host is not to be reached, is
 * told by the kernel only to connected handles, once: to the receive callback or to a send,
 * whichever is first. A send with such an error has not sent its own datagram.
 *
 * Errors common to all: -EINVAL (an argument NULL or out of range, unknown flags), -ECANCELED
 * (closing), -ENOTCONN (the handle has no descriptor yet).
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_UDP_H
#define LOOP_UDP_H

#include "address.h"
#include "stream.h"

struct loop_udp;
struct loop_udp_send;

enum loop_udp_flag {
    LOOP_UDP_IPV6_ONLY = 1,     /* an IPv6 address hears no IPv4: IPV6_V6ONLY of ipv6(7) */
    LOOP_UDP_REUSE_ADDRESS = 2, /* more sockets may bind it: each hears what is sent to a group */
    LOOP_UDP_REUSE_PORT = 4,    /* more sockets of one user may bind it, and share what comes */
};

/* Of a datagram that was received. */
enum { LOOP_UDP_TRUNCATED = 1 }; /* it was longer, and the rest is lost */

enum {
    LOOP_UDP_QUEUE_MAX = 16 * 1024 * 1024, /* the default cap of the queue, in bytes */
    LOOP_UDP_BATCH_MAX = 64,               /* datagrams taken from the kernel in one call */
    LOOP_UDP_SIZE_MAX = 65507,             /* the largest datagram over IPv4; over IPv6 20 more */
};

/* A datagram for loop_udp_try_send_many(). */
struct loop_datagram {
    const struct loop_buf *bufs; /* may be NULL if count is 0: a datagram of 0 bytes */
    size_t count;
    const struct loop_address *to; /* NULL: the peer */
};

/* Comes in the poll phase, once for each datagram. size >= 0: so many bytes, yours to change until
 * the callback returns, came from there; from is NULL if the sender has no internet address. flags:
 * LOOP_UDP_TRUNCATED or 0. size < 0: an error, after which receiving goes on: what the network said
 * of a datagram sent earlier (-ECONNREFUSED, -EHOSTUNREACH…; from is whom it was sent to if the
 * kernel knows, otherwise NULL), or what recvmsg(2) said. Two errors end the receiving: LOOP_EOF
 * (somebody has shut the socket down) and -EBADF (somebody has closed it). The callback may stop,
 * close or detach the handle. */
typedef void (*loop_udp_recv_cb)(struct loop_udp *udp, ssize_t size, void *bytes,
                                 const struct loop_address *from, unsigned flags);

/* Comes in the poll or the pending phase, once; send->sent says how many bytes the kernel has
 * taken, whatever the status. */
typedef void (*loop_udp_send_cb)(struct loop_udp_send *send, int status);

struct loop_udp {
    struct loop_handle handle;

    /* read-only */
    size_t queued;         /* bytes that wait to be sent */
    uint32_t queued_count; /* requests that wait to be sent */
    uint64_t dropped;      /* datagrams lost by stopping in the middle of a batch */

    /* private */
    struct loop_watcher watcher;
    struct loop_link sending; /* requests that wait, in order */
    struct loop_link sent;    /* requests whose outcome is decided but not told */
    loop_udp_recv_cb recv_cb; /* NULL: it does not receive */
    size_t max;               /* of queued */
    uint32_t slot_size;       /* of a batch; 0: one datagram at a time */
    uint16_t family;
    uint16_t segments;          /* whether the kernel cuts them; 0: not asked */
    struct loop_timer deadline; /* the earliest of all requests', or earlier */
};

struct loop_udp_send {
    struct loop_request request; /* request.data is yours */

    /* read-only */
    struct loop_udp *udp;
    size_t size; /* bytes of the datagram, or of all segments */
    size_t sent; /* bytes that the kernel has taken */

    /* private */
    struct loop_link link; /* on udp->sending or udp->sent */
    loop_udp_send_cb cb;
    uint64_t due_ns;
    struct loop_address to; /* size 0: the peer */
    struct loop_buf *bufs;  /* few, or allocated */
    struct loop_buf few[4];
    struct loop_buf *allocated; /* or NULL */
    uint32_t count;             /* of bufs */
    uint32_t segment_size;      /* 0: it is one datagram */
    int status;
};

/* Makes a UDP handle in the caller's memory; opens nothing. */
LOOP_API void loop_udp_init(struct loop *loop, struct loop_udp *udp);

/* Opens a socket and binds it; port 0 lets the kernel choose (loop_udp_local()). An IPv6 address
 * hears IPv4 too, from addresses like ::ffff:192.0.2.1. Errors: -EINVAL (not an internet address),
 * -EBUSY (open already), -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE and others of bind(2). */
LOOP_API int loop_udp_bind(struct loop_udp *udp, const struct loop_address *address,
                           unsigned flags);

/* Names the peer, for sends without an address: from now on only what it sends is received. Opens a
 * socket if there is none. Again: the new peer replaces the old. NULL: no peer any more, and, if
 * the handle was not bound, no port either, until it sends again. Errors: -ENOTCONN (NULL, and
 * there is no peer), -EBUSY (a send is in flight that may be for the old peer), -EMFILE,
 * -ENETUNREACH and others of connect(2). */
LOOP_API int loop_udp_connect(struct loop_udp *udp, const struct loop_address *address);

/* Adopts a datagram socket, of the internet or a unix-domain one; the latter must be connected to
 * send. It becomes non-blocking, and is the handle's to close. Errors, with the descriptor still
 * the caller's: -EBUSY (open already), -EBADF, -ENOTSOCK, -EPROTOTYPE (not a datagram socket of
 * such a kind). */
LOOP_API int loop_udp_open(struct loop_udp *udp, int fd);

/* Takes the descriptor out and returns it: it is the caller's, non-blocking, and no more watched;
 * the handle is as after its init but for its settings. In the middle of a batch the rest of it is
 * lost, as with loop_udp_recv_stop(). Errors: -EBUSY (a request is in flight). */
LOOP_API int loop_udp_detach(struct loop_udp *udp);

/* The descriptor, which stays the handle's: for setsockopt(2) and the like. -1: none. */
LOOP_API int loop_udp_fd(const struct loop_udp *udp);

/* The addresses of the two ends. Errors: -ENOTCONN (there is no such end), -EAFNOSUPPORT (it is
 * not of the internet). */
LOOP_API int loop_udp_local(const struct loop_udp *udp, struct loop_address *address);
LOOP_API int loop_udp_peer(const struct loop_udp *udp, struct loop_address *address);

/* Sends one datagram, gathered from count buffers, at most 1024; none is a datagram of 0 bytes. to
 * NULL: to the peer. Without a socket, opens one of the family of to. bufs and to are the caller's
 * again when the call returns, the bytes are lent until cb. cb may be NULL if you need no word of
 * it; if the kernel took it at once the request is then free already. Errors: -ENOBUFS (it would
 * not fit under the cap of the queue, or the network's queue is full), -EMSGSIZE, -EDESTADDRREQ (no
 * address, and no peer), -EACCES (a broadcast address, see loop_udp_broadcast()), -ENETUNREACH,
 * -ECONNREFUSED and others of sendmsg(2), -ENOMEM (more than 4 buffers to queue). */
LOOP_API int loop_udp_send(struct loop_udp *udp, struct loop_udp_send *send,
                           const struct loop_buf *bufs, size_t count, const struct loop_address *to,
                           loop_udp_send_cb cb);

/* Sends one buffer as many datagrams, each of segment_size bytes but for the last: the kernel cuts
 * them (UDP_SEGMENT of udp(7)), at a fraction of the cost of sending each; where it cannot, or may
 * not (an interface without checksums, segments above its MTU), the library does. send->sent says
 * how far it came, also when an error is returned. A send in flight is otherwise like
 * loop_udp_send()'s, and so are the errors; -EMSGSIZE if a segment is too large. */
LOOP_API int loop_udp_send_segments(struct loop_udp *udp, struct loop_udp_send *send,
                                    const void *bytes, size_t size, size_t segment_size,
                                    const struct loop_address *to, loop_udp_send_cb cb);

/* Sends one datagram now or not at all, and returns its size. -EAGAIN: the kernel has no room, or
 * others wait already. Other errors as loop_udp_send(). */
LOOP_API ssize_t loop_udp_try_send(struct loop_udp *udp, const struct loop_buf *bufs, size_t count,
                                   const struct loop_address *to);

/* The same for many, by as few calls to the kernel as can be; returns how many were sent, in order.
 * An error is that of the first; one of a later datagram comes when you try again from there. */
LOOP_API ssize_t loop_udp_try_send_many(struct loop_udp *udp, const struct loop_datagram *datagrams,
                                        size_t count);

/* The cap of the queue, in bytes; 0: LOOP_UDP_QUEUE_MAX. What waits already stays. */
LOOP_API int loop_udp_set_queue_max(struct loop_udp *udp, size_t size_max);

/* Calls cb for each datagram that arrives. The handle is active while it receives. Errors:
 * -EALREADY (it receives), -ENOMEM, and those of epoll_ctl(2). */
LOOP_API int loop_udp_recv_start(struct loop_udp *udp, loop_udp_recv_cb cb);

/* No callback comes any more; what arrives waits in the kernel, as far as that has room. Only in
 * the callback of a batch something is lost: the rest of that batch, which udp->dropped counts; it
 * is not if the callback starts receiving again. Harmless if the handle does not receive. */
LOOP_API void loop_udp_recv_stop(struct loop_udp *udp);

/* Takes datagrams from the kernel by many at once: LOOP_LENT_SIZE / size_max of them, at most
 * LOOP_UDP_BATCH_MAX. One that is longer than size_max is cut there, and says LOOP_UDP_TRUNCATED.
 * 0: one at a time, and none is ever cut. From the next poll on. -EINVAL: above LOOP_LENT_SIZE. */
LOOP_API int loop_udp_set_batch(struct loop_udp *udp, size_t size_max);

/* Joins a group: what is sent to it arrives here too, if the handle is bound to its port. source
 * NULL: whoever sends it; otherwise only from there, and further calls add sources. interface: the
 * name of one, "eth0"; NULL: the kernel chooses by its routes. From the first call on the handle
 * hears only groups that it has joined itself, where Linux gives every socket those that any has.
 * The ports of group and source do not matter. Errors: -EADDRINUSE (joined already), -ENODEV (no
 * such interface, or no route), -EINVAL (not a group), -EADDRNOTAVAIL or -EINVAL (leaving: not
 * joined), -ENOBUFS (too many) and others of setsockopt(2). */
LOOP_API int loop_udp_join(struct loop_udp *udp, const struct loop_address *group,
                           const struct loop_address *source, const char *interface);
LOOP_API int loop_udp_leave(struct loop_udp *udp, const struct loop_address *group,
                            const struct loop_address *source, const char *interface);

/* Of what is sent to groups: whether this machine hears it too (it does), how many routers may pass
 * it on plus one (1; 0 to 255), and the interface that it leaves by (NULL: by the routes). */
LOOP_API int loop_udp_multicast_loop(struct loop_udp *udp, bool on);
LOOP_API int loop_udp_multicast_ttl(struct loop_udp *udp, unsigned ttl);
LOOP_API int loop_udp_multicast_interface(struct loop_udp *udp, const char *interface);

/* Lets it send to broadcast addresses, which is -EACCES otherwise. */
LOOP_API int loop_udp_broadcast(struct loop_udp *udp, bool on);

/* How many routers may pass on what is sent to single machines, plus one: 1 to 255. */
LOOP_API int loop_udp_ttl(struct loop_udp *udp, unsigned ttl);

#endif
