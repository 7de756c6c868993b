/* What a client resumes: the latest session of each of the latest hosts.
 *
 * Servers give sessions away after the handshake (a TLS 1.3 server: as tickets, among the first
 * bytes that it sends), each is put in the place of that host's last. A session of TLS 1.3 is taken
 * out when it is used, so that nobody can tell by it that two connections are of the same client
 * (RFC 8446, appendix C.4).
 *
 * A session stands for the verification that was done when it was made, so it is offered to the
 * host of that name only, and all are forgotten when the context is loaded again.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>

static void forget(struct tls_session *place)
{
    SSL_SESSION_free(place->session);
    free(place->name);
    *place = (struct tls_session){.name = NULL};
}

/* NULL: there is none. */
static struct tls_session *find(struct loop_tls_context *context, const char *name)
{
    for (unsigned i = 0; i < LOOP_TLS_SESSIONS; i++) {
        struct tls_session *place = &context->sessions[i];
        if (place->name && strcmp(place->name, name) == 0)
            return place;
    }
    return NULL;
}

/* Takes the session over; false: no memory, and it does not. */
static bool put(struct loop_tls_context *context, const char *name, SSL_SESSION *session)
{
    struct tls_session *place = find(context, name);
    char *copy = strdup(name);
    if (!copy)
        return false;
    if (!place) {
        place = &context->sessions[context->next_session];
        context->next_session = (context->next_session + 1) % LOOP_TLS_SESSIONS;
    }
    forget(place);
    *place = (struct tls_session){.name = copy, .session = session};
    return true;
}

/* OpenSSL's answer to "does it keep the reference?". A connection that began before a reload does
 * not leave a session to those after it. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct loop_tls *tls = SSL_get_app_data(ssl);
    struct loop_tls_context *context = tls->context;
    bool kept = false;
    pthread_mutex_lock(&context->lock);
    if (tls->name && SSL_get_SSL_CTX(ssl) == context->hosts[0].ctx)
        kept = put(context, tls->name, session);
    pthread_mutex_unlock(&context->lock);
    return kept;
}

void tls_session_remember(SSL_CTX *ctx)
{
    SSL_CTX_sess_set_new_cb(ctx, on_session);
}

/* One that OpenSSL does not take is no loss: the handshake is a full one. */
void tls_session_offer(struct loop_tls_context *context, SSL *ssl, const char *name)
{
    pthread_mutex_lock(&context->lock);
    struct tls_session *place = find(context, name);
    if (place && SSL_get_SSL_CTX(ssl) == context->hosts[0].ctx) {
        SSL_set_session(ssl, place->session);
        if (SSL_SESSION_get_protocol_version(place->session) >= TLS1_3_VERSION)
            forget(place);
    }
    pthread_mutex_unlock(&context->lock);
}

/* Under the lock, or by the last who has the context. */
void tls_session_forget_all(struct loop_tls_context *context)
{
    for (unsigned i = 0; i < LOOP_TLS_SESSIONS; i++)
        forget(&context->sessions[i]);
}
