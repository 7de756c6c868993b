/* What a gateway passes on of a message's headers, and what it adds (RFC 9110, 7.6).
 *
 * Headers that are about one connection stay on it: those that RFC 9110 names, and those that the
 * Connection header names. The length and the chunks of a body are made anew by the library, from
 * what its parser has read, so no two servers can read the same bytes in two ways. What says where
 * a request came from (Forwarded, X-Forwarded-…) is believed from nobody unless the program is told
 * to: it is dropped, and told anew.
 *
 * SPDX-License-Identifier: MIT */
#ifndef HEADERS_H
#define HEADERS_H

#include <loop/http.h>
#include <loop/http/client.h>

enum {
    HEADERS_MAX = 100, /* of a request */
    HEADERS_ADDED = 6, /* and the end of the list */
    HEADERS_HOST_SIZE = 256,
};

/* The headers of a request to an upstream; the strings are the request's, or stand in here. */
struct headers {
    struct loop_http_header list[HEADERS_MAX + HEADERS_ADDED]; /* ends in a name NULL */
    size_t count;
    char peer[LOOP_ADDRESS_TEXT_SIZE];
    char forwarded[LOOP_ADDRESS_TEXT_SIZE + HEADERS_HOST_SIZE + 64];
};

/* Errors: -EINVAL (a Host that is no host), -E2BIG. */
int headers_for_upstream(struct headers *headers, const struct loop_http_request *req,
                         bool trust_client);

/* Sets the status and the headers of an answer on a response. Errors as loop_http_add_header(). */
int headers_for_client(struct loop_http_response *res, const struct loop_http_call *call);

/* Whether the client wants to go on in another protocol. */
bool headers_ask_upgrade(const struct loop_http_request *req);

#endif
