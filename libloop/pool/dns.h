/* Internal. What the files of name look-ups have for each other.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POOL_DNS_H
#define LOOP_POOL_DNS_H

#include "internal.h"

/* dns_query.c */

struct dns_query {
    const char *host;    /* the caller's, as service is; NULL: none */
    const char *service; /* NULL: none */
    struct loop_dns_hints hints;
    struct loop_address literal; /* the answer, if no resolver is needed; size 0: one is */
};

/* Errors as loop_getaddrinfo(). */
int dns_query_init(struct dns_query *query, const char *host, const char *service,
                   const struct loop_dns_hints *hints);

/* dns_answer.c */

struct dns_answer {
    int status;
    int code;
    struct loop_address *addresses; /* count of them, and behind them the canonical name; or NULL */
    size_t count;
    size_t size; /* of all that, in bytes; more than the addresses have: there is a name */
};

/* Asks the resolver, which may take long. As for all three: what is allocated is the answer's, and
 * out of memory is a status. */
struct dns_answer dns_answer_ask(const struct loop_allocator *allocator, const char *host,
                                 const char *service, const struct loop_dns_hints *hints);
struct dns_answer dns_answer_make(const struct loop_allocator *allocator,
                                  const struct loop_address *address, const char *name);
struct dns_answer dns_answer_copy(const struct loop_allocator *allocator,
                                  const struct dns_answer *answer);

const char *dns_answer_name(const struct dns_answer *answer); /* NULL: none */

/* dns_error.c */

int dns_status(int code, int error); /* for an EAI_ code; error: what came with EAI_SYSTEM */

#endif
