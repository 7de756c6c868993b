/* What a gateway tells of itself, on a port of its own that is never one for clients:
 * /metrics in the text format of Prometheus, and /health, 200 if there is anybody to ask.
 *
 * It is a second server in the same loop.
 *
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_H
#define ADMIN_H

#include "upstreams.h"

struct admin {
    struct loop_http_server server;
    const struct upstreams *upstreams;
    const struct loop_http_server *front; /* where clients come */
    bool open;
};

/* port NULL: none, and nothing is done. */
int admin_open(struct admin *admin, const struct upstreams *upstreams,
               const struct loop_http_server *front, const char *port);

/* Harmless if it is closed, or was not opened. */
void admin_close(struct admin *admin);

#endif
