/* Internal. A link that speaks TLS: what link.c leaves to tls_link.c, and the other way round. A
 * link without TLS never comes here.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_TLS_LINK_H
#define LOOP_HTTP_TLS_LINK_H

#include "wire/link.h"

/* tls_link.c. Begins the handshake; with an error the link is one without TLS. */
int tls_link_open(struct link *link, struct loop_tls_context *context, const char *name);

/* Whether the handshake is not over: what is written waits. */
bool tls_link_waits(const struct link *link);

int tls_link_read(struct link *link);
void tls_link_pause(struct link *link);
int tls_link_write(struct link *link, const void *bytes, size_t size);

/* close_notify. */
void tls_link_notify(struct link *link);

/* Ends TLS; the stream stays, to be closed. */
void tls_link_close(struct link *link, bool kindly);

/* link.c. Bytes, or the end, have come; there is room again; the handshake is over. */
void link_came(struct link *link, ssize_t size, const void *bytes);
void link_drained(struct link *link);
void link_secured(struct link *link, int status);

#endif
