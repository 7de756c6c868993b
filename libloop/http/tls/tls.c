/* One end of a TLS connection: its life, from the loan of a stream until it is given back.
 *
 * Bytes that the stream brings are OpenSSL's to read (tls_bio.c) until the callback in which they
 * came returns; what OpenSSL writes is gathered, and leaves in one piece before we return to the
 * loop. So a flight of a handshake is one send(2), whatever it consists of.
 *
 * Closing may happen in any callback of ours, with OpenSSL's functions and our own still on the
 * stack; so it only says goodbye and marks the end, and all memory is given back in the closing
 * phase, by the close callback of the deadline's timer. That also gives the user's callbacks of
 * what had not completed the phase in which those of every handle come.
 *
 * Alternatives not taken: OpenSSL's own BIO for sockets (two system calls a record and none of the
 * stream's queue, marks, deadlines); a stream type of its own, which would let TLS be put where TCP
 * is, but needs the inside of the loop's streams.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* As it was before the start, but for data. */
static void wipe(struct loop_tls *tls)
{
    SSL_free(tls->ssl);
    free(tls->name);
    free(tls->kept);
    free(tls->out);
    loop_tls_context_unref(tls->context);
    *tls = (struct loop_tls){.data = tls->data};
}

/* --- start --- */

/* Whom a client expects, and asks for; addresses are not asked for by name (RFC 6066). */
static bool expect(SSL *ssl, char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
        return true;
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static int prepare_client(struct loop_tls *tls, SSL *ssl, const char *name)
{
    SSL_set_connect_state(ssl);
    if (!name)
        return 0;
    tls->name = strdup(name);
    if (!tls->name)
        return -ENOMEM;
    if (!expect(ssl, tls->name))
        return -EINVAL;
    if (!tls->context->no_resumption)
        tls_session_offer(tls->context, ssl, name);
    return 0;
}

static int prepare(struct loop_tls *tls, const char *name)
{
    SSL *ssl = tls_context_ssl(tls->context);
    tls->ssl = ssl;
    if (!ssl || tls_bio_attach(tls, ssl) < 0)
        return -ENOMEM;
    SSL_set_app_data(ssl, tls);
    if (!tls->server)
        return prepare_client(tls, ssl, name);
    SSL_set_accept_state(ssl);
    return 0;
}

/* A client speaks first. */
static int hello(struct loop_tls *tls)
{
    ERR_clear_error();
    int done = tls->server ? -1 : SSL_do_handshake(tls->ssl);
    int kind = tls->server ? SSL_ERROR_WANT_READ : SSL_get_error(tls->ssl, done);
    if (kind != SSL_ERROR_WANT_READ)
        return tls_error_of_ssl(tls, kind);
    int status = loop_stream_set_marks(tls->stream, tls->low, tls->high, tls->max, tls_on_drain);
    if (status == 0)
        status = tls_pull(tls);
    if (status == 0)
        status = tls_push(tls);
    if (status < 0)
        loop_read_stop(tls->stream);
    return status < 0 ? status : 0;
}

static bool start_is_sound(const struct loop_tls *tls, const struct loop_stream *stream,
                           const struct loop_tls_context *context, const char *name,
                           loop_tls_handshake_cb cb)
{
    if (!tls || !stream || !context || !cb)
        return false;
    return context->server ? !name : name || context->insecure;
}

int loop_tls_start(struct loop_tls *tls, struct loop_stream *stream,
                   struct loop_tls_context *context, const char *name, loop_tls_handshake_cb cb)
{
    if (!start_is_sound(tls, stream, context, name, cb))
        return -EINVAL;
    if (tls->ssl)
        return -EALREADY;
    void *stream_data = stream->handle.data;
    *tls = (struct loop_tls){.data = tls->data,
                             .stream = stream,
                             .alpn = "",
                             .server = context->server,
                             .low = LOOP_WRITE_LOW,
                             .high = LOOP_WRITE_HIGH,
                             .max = LOOP_WRITE_MAX,
                             .context = loop_tls_context_ref(context),
                             .stream_data = stream_data,
                             .handshake_cb = cb};
    stream->handle.data = tls;
    int status = prepare(tls, name);
    if (status == 0)
        status = hello(tls);
    if (status < 0) {
        stream->handle.data = stream_data;
        wipe(tls);
        return status;
    }
    loop_timer_init(stream->handle.loop, &tls->deadline);
    loop_unref(&tls->deadline.handle);
    return loop_timer_start(&tls->deadline, context->handshake_ns, 0, tls_on_late);
}

/* --- close --- */

static void on_closed(struct loop_handle *handle)
{
    struct loop_tls *tls = loop_container_of(handle, struct loop_tls, deadline.handle);
    loop_tls_cb cb = tls->close_cb;
    if (tls->handshake_cb)
        tls->handshake_cb(tls, -ECANCELED);
    tls_ending_let_go(tls);
    wipe(tls);
    if (cb)
        cb(tls);
}

static void give_back(struct loop_tls *tls, loop_tls_cb cb)
{
    tls->closing = true;
    tls->close_cb = cb;
    tls->in_size = 0;
    tls_pull(tls);
    loop_stream_set_marks(tls->stream, tls->low, tls->high, tls->max, NULL);
    loop_task_cancel(&tls->resume);
    tls->stream->handle.data = tls->stream_data;
    loop_close(&tls->deadline.handle, on_closed);
}

void loop_tls_close(struct loop_tls *tls, loop_tls_cb cb)
{
    if (!tls->closing)
        tls_say_goodbye(tls);
    loop_tls_abandon(tls, cb);
}

void loop_tls_abandon(struct loop_tls *tls, loop_tls_cb cb)
{
    if (tls->closing)
        loop_close(&tls->deadline.handle, NULL); /* which panics, and says what was done */
    else
        give_back(tls, cb);
}

const char *loop_tls_error_text(const struct loop_tls *tls)
{
    return tls->text;
}
