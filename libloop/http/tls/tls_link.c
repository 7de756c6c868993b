/* Links that speak TLS: a struct loop_tls between a link and its stream.
 *
 * A link is open as soon as its stream is, and may be written to: what is written before the
 * handshake is over stays gathered, as what is written in a callback does. So a tick's worth of
 * output is encrypted in one go, and its records leave in one send(2).
 *
 * The end of a link is LOOP_EOF only if the peer has said close_notify, and LOOP_TLS_TRUNCATED if
 * the stream just ended. A message that says how long it is can tell by itself whether it is
 * whole; a body that ends with the connection cannot, and must take the second for an error.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls_link.h"

#include "tls/tls.h"

#include <stdlib.h>

static void on_plain(struct loop_tls *tls, ssize_t size, void *bytes)
{
    link_came(tls->data, size, bytes);
}

static void on_drain(struct loop_tls *tls)
{
    link_drained(tls->data);
}

static void on_handshake(struct loop_tls *tls, int status)
{
    if (status != -ECANCELED)
        link_secured(tls->data, status);
}

static void on_closed(struct loop_tls *tls)
{
    free(tls);
}

int tls_link_open(struct link *link, struct loop_tls_context *context, const char *name)
{
    struct loop_tls *tls = calloc(1, sizeof(*tls));
    if (!tls)
        return -ENOMEM;
    tls->data = link;
    int status = loop_tls_start(tls, &link->stream, context, name, on_handshake);
    if (status < 0) {
        free(tls);
        return status;
    }
    link->tls = tls;
    return loop_tls_set_marks(tls, 0, 0, 0, on_drain);
}

bool tls_link_waits(const struct link *link)
{
    return link->tls && !link->tls->established;
}

int tls_link_read(struct link *link)
{
    return tls_link_waits(link) ? 0 : loop_tls_read_start(link->tls, on_plain);
}

void tls_link_pause(struct link *link)
{
    loop_tls_read_stop(link->tls);
}

int tls_link_write(struct link *link, const void *bytes, size_t size)
{
    return loop_tls_write(link->tls, bytes, size);
}

void tls_link_notify(struct link *link)
{
    tls_say_goodbye(link->tls);
}

void tls_link_close(struct link *link, bool kindly)
{
    struct loop_tls *tls = link->tls;
    link->tls = NULL;
    if (kindly)
        loop_tls_close(tls, on_closed);
    else
        loop_tls_abandon(tls, on_closed);
}
