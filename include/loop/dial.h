/* Public. Connecting to a host by its name: to all of its addresses, one shortly after the other,
 * and the first that answers wins ("happy eyeballs", RFC 8305).
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_DIAL_H
#define LOOP_DIAL_H

#include "tcp.h"

struct loop_dial;
struct loop_dial_race;

/* Comes once, in the pending phase. 0: tcp is connected, and loop_tcp_peer() says to which address.
 * Otherwise what the resolver (loop/dns.h) or the last attempt met. */
typedef void (*loop_dial_cb)(struct loop_dial *dial, int status);

struct loop_dial {
    union {
        struct loop_request request; /* request.data is yours */
        struct loop_stream_request common;
    };

    /* private */
    struct loop_dial_race *race;
    loop_dial_cb cb;
};

/* Looks host up and connects tcp, which has no socket yet, to the service (a number or a name of
 * /etc/services). The families take turns, beginning with that of the first address; each attempt
 * has 250 ms to itself before the next joins in, or until it fails. Host and service are copied.
 * Cancelled, late, or with tcp closed, all attempts end. Writing has to wait for cb. Errors, with
 * nothing started: those of loop_getaddrinfo(), -EINVAL (service or cb NULL), -EBUSY (tcp has a
 * socket, or is connecting), -ECANCELED. */
LOOP_API int loop_dial(struct loop_tcp *tcp, struct loop_dial *dial, const char *host,
                       const char *service, loop_dial_cb cb);

#endif
