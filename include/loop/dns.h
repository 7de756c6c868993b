/* Public. Names and addresses of the net: getaddrinfo(3) and getnameinfo(3) on the thread pool.
 *
 * The system's resolver answers, with all that a machine's owner has set up for it: /etc/hosts,
 * search domains, the order of RFC 6724. It may take seconds, so it runs on a thread; look-ups
 * occupy at most half of a pool's threads. What needs no resolver, an address with the number of a
 * port, is answered without a thread.
 *
 * Each look-up is one request: the caller's memory, all zero before its first use, lent until the
 * callback. Names are copied. loop_request_cancel() has the callback come with -ECANCELED,
 * loop_request_deadline() with -ETIMEDOUT; either way at once, though a thread be stuck for longer:
 * its late answer is dropped.
 *
 * A status is 0 or a negative errno, and code is what the resolver said:
 *
 *     EAI_NONAME, EAI_NODATA                   -ENOENT
 *     EAI_AGAIN                                -EAGAIN       (no server has answered: try later)
 *     EAI_FAIL                                 -EIO
 *     EAI_MEMORY                               -ENOMEM
 *     EAI_FAMILY, EAI_ADDRFAMILY               -EAFNOSUPPORT
 *     EAI_SERVICE, EAI_SOCKTYPE, EAI_BADFLAGS  -EINVAL
 *     EAI_OVERFLOW                             -EOVERFLOW
 *     EAI_SYSTEM                               the errno that came with it, or -EIO
 *     anything else                            -EIO
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_DNS_H
#define LOOP_DNS_H

#include "address.h"
#include "core.h"
#include "pool.h"
#include "request.h"

#include <netdb.h>

struct loop_getaddrinfo;
struct loop_getnameinfo;
struct loop_lookup;

enum {
    LOOP_DNS_NAME_MAX = 253,    /* bytes of a host, without a closing dot: RFC 1035, 2.3.4 */
    LOOP_DNS_LABEL_MAX = 63,    /* between two dots: the same */
    LOOP_DNS_SERVICE_MAX = 31,  /* twice what RFC 6335 allows */
    LOOP_DNS_HOST_SIZE = 1025,  /* for what getnameinfo(3) says: NI_MAXHOST */
    LOOP_DNS_SERVICE_SIZE = 32, /* NI_MAXSERV */
};

/* Comes once: in the poll phase with the resolver's answer, in the pending phase if no resolver was
 * needed, or with -ECANCELED or -ETIMEDOUT. The request may be used again or freed in it. */
typedef void (*loop_getaddrinfo_cb)(struct loop_getaddrinfo *req);
typedef void (*loop_getnameinfo_cb)(struct loop_getnameinfo *req);

/* What is wanted. All zero: addresses of either family, for any type of socket. */
struct loop_dns_hints {
    int family;      /* AF_UNSPEC, AF_INET or AF_INET6 */
    int socket_type; /* 0, SOCK_STREAM, SOCK_DGRAM or SOCK_RAW: of which the service is */
    int flags;       /* AI_PASSIVE, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV, AI_V4MAPPED,
                        AI_ALL, AI_ADDRCONFIG: see getaddrinfo(3) */
};

struct loop_getaddrinfo {
    struct loop_request request; /* request.data is yours */

    /* read-only, in the callback */
    int status;                           /* 0 or a negative errno */
    int code;                             /* what the resolver said: an EAI_ code, or 0 */
    const struct loop_address *addresses; /* none twice, best first */
    size_t count;                         /* of addresses: at least 1, or 0 with an error */
    const char *canonical_name;           /* with AI_CANONNAME, or NULL */

    /* private */
    struct loop_lookup *lookup;  /* the pool's half, shared by equal queries */
    struct loop_link link;       /* among those who wait for it */
    struct loop_address *memory; /* addresses, then the canonical name */
    struct loop_address **owner; /* of memory, in the callback */
    struct loop_job_deadline deadline;
    loop_getaddrinfo_cb cb;
};

/* Looks up the addresses of a host, each with the port of a service.
 *
 * host: a name, or an address as text (loop_address_parse()), or NULL: this machine, or with
 * AI_PASSIVE every address of it. Names are ASCII: encode others by IDNA first. service: the number
 * of a port, a name of /etc/services, or NULL: port 0. One of the two at least is given. hints may
 * be NULL. Equal queries in flight on one loop share one look-up; each has its callback and may be
 * cancelled by itself.
 *
 * Errors, with nothing started: -ENAMETOOLONG (host over 253 bytes, not counting a closing dot, a
 * label of it over 63, service over 31: nothing is ever cut), -EINVAL (an empty host, label or
 * service, bytes that are not visible ASCII, a port over 65535, unknown hints, AI_CANONNAME without
 * a host, loop or cb NULL), -ENODEV (the zone of an address is no interface), -EAGAIN (the pool is
 * full), -ENOMEM. Starting a request in flight panics. */
LOOP_API int loop_getaddrinfo(struct loop *loop, struct loop_getaddrinfo *req, const char *host,
                              const char *service, const struct loop_dns_hints *hints,
                              loop_getaddrinfo_cb cb);

/* In the callback: req->addresses, and req->canonical_name with them, in one piece of memory that
 * now belongs to the caller, to be freed with free(), or with the loop's allocator if it has one.
 * NULL if there are none. */
LOOP_API struct loop_address *loop_getaddrinfo_take(struct loop_getaddrinfo *req);

struct loop_getnameinfo {
    struct loop_request request; /* request.data is yours */

    /* read-only, in the callback */
    int status;                          /* 0 or a negative errno */
    int code;                            /* what the resolver said: an EAI_ code, or 0 */
    char host[LOOP_DNS_HOST_SIZE];       /* empty with an error */
    char service[LOOP_DNS_SERVICE_SIZE]; /* the same */

    /* private */
    struct loop_job *job; /* the pool's half */
    struct loop_job_deadline deadline;
    loop_getnameinfo_cb cb;
};

/* Looks up the names of an address and of its port. flags: NI_NUMERICHOST, NI_NUMERICSERV (with
 * both no thread is needed), NI_NAMEREQD, NI_NOFQDN, NI_DGRAM: see getnameinfo(3). Errors, with
 * nothing started: -EINVAL (unknown flags, address neither IPv4 nor IPv6, or an argument NULL),
 * -EAGAIN (the pool is full), -ENOMEM. Starting a request in flight panics. */
LOOP_API int loop_getnameinfo(struct loop *loop, struct loop_getnameinfo *req,
                              const struct loop_address *address, int flags,
                              loop_getnameinfo_cb cb);

/* A sentence for an EAI_ code, "no error" for 0, "unknown error" for what is none. A constant: any
 * thread may ask and nobody frees it. */
LOOP_API const char *loop_dns_strerror(int code);

#endif
