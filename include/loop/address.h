/* Public. Internet addresses: numbers and ports, as text and as the kernel has them.
 *
 * Nothing here looks up a name: see loop/dns.h. Any thread may call these.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_ADDRESS_H
#define LOOP_ADDRESS_H

#include "core.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { LOOP_ADDRESS_TEXT_SIZE = 72 }; /* "[", 45 of numbers, "%", 15 of interface, "]:65535", 0 */

/* An address and its size, in the forms that the kernel takes: no casts. */
struct loop_address {
    union {
        struct sockaddr any; /* any.sa_family says which of the others it is */
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    };
    socklen_t size; /* 0: none */
};

/* Reads "127.0.0.1", "::1", "fe80::1%eth0" (RFC 4007: the zone is an interface's name or number).
 * "" is every address of this machine, "::", on which a server hears IPv4 too. Errors, with the
 * address untouched: -EINVAL (not an address, or NULL), -ENAMETOOLONG, -ENODEV (no such interface),
 * and what socket(2) met when a zone's name was looked up, such as -EMFILE. */
LOOP_API int loop_address_parse(struct loop_address *address, const char *text, uint16_t port);

/* Writes "127.0.0.1:80" or "[::1]:80", and returns text: always whole, "?" for what is neither. */
LOOP_API const char *loop_address_text(const struct loop_address *address,
                                       char text[LOOP_ADDRESS_TEXT_SIZE]);

/* 0 if it has none. */
LOOP_API uint16_t loop_address_port(const struct loop_address *address);

/* Same family, number, zone and port. */
LOOP_API bool loop_address_equal(const struct loop_address *a, const struct loop_address *b);

#endif
