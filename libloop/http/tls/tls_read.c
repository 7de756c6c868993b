/* What comes: the handshake first, plain bytes then, and the end.
 *
 * The stream is read while somebody waits for what it brings: the handshake, or the user. If the
 * user stops in the midst of what has come, the rest is copied and kept, and given when he reads
 * again, by a tick: never inside his call. At most one read's worth, 64 KiB, is ever kept, and
 * nothing is read behind it.
 *
 * There are two ends. The proper one is the peer's close_notify; a stream that ends without is
 * truncated, as is one that ends in the handshake. What fails is told once, to the handshake
 * callback or the read callback, whichever is waited for; if none is, to the next that is.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH }; /* so that OpenSSL never keeps a part of one */

/* What follows from what is under way. */
static bool wants_bytes(const struct loop_tls *tls)
{
    if (tls->closing || tls->ended)
        return false;
    return !tls->established || (tls->reading && !tls->kept);
}

int tls_pull(struct loop_tls *tls)
{
    bool wanted = wants_bytes(tls);
    if (wanted == tls->pulling)
        return 0;
    int status = 0;
    if (wanted)
        status = loop_read_start(tls->stream, tls_on_read);
    else
        loop_read_stop(tls->stream);
    tls->pulling = wanted && status == 0;
    return status;
}

static void end(struct loop_tls *tls, int status)
{
    if (tls->ended)
        return;
    tls->ended = status;
    tls->in_size = 0;
    loop_timer_stop(&tls->deadline);
    tls_pull(tls);
}

/* Tells whoever waits that there is no more. */
static void tell_end(struct loop_tls *tls)
{
    if (!tls->ended || tls->closing)
        return;
    loop_tls_handshake_cb handshake_cb = tls->handshake_cb;
    tls->handshake_cb = NULL;
    if (handshake_cb) {
        handshake_cb(tls, tls->ended);
    } else if (tls->reading) {
        tls->reading = false;
        tls->read_cb(tls, tls->ended, NULL);
    }
}

/* --- the handshake --- */

/* What the user may want to know; false: a protocol that we did not offer. */
static bool learn(struct loop_tls *tls)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_size = 0;
    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_size);
    if (alpn_size > 0)
        tls->alpn = tls_context_alpn(tls->context, alpn, alpn_size);
    tls->version = SSL_get_version(tls->ssl);
    tls->cipher = SSL_get_cipher_name(tls->ssl);
    tls->resumed = SSL_session_reused(tls->ssl) == 1;
    if (tls->server)
        tls->server_name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    else if (!tls->context->insecure)
        tls->peer = tls->name;
    return tls->alpn != NULL;
}

static void establish(struct loop_tls *tls)
{
    loop_tls_handshake_cb cb = tls->handshake_cb;
    if (!learn(tls)) {
        tls->alpn = "";
        end(tls, tls_error_say(tls_why_of(tls), -EPROTO,
                               "the peer chose a protocol that was not "
                               "offered"));
        return;
    }
    tls->established = true;
    tls->handshake_cb = NULL;
    loop_timer_stop(&tls->deadline);
    cb(tls, 0);
}

/* A part of a flight, or all of it. What was written leaves in any case: it may be the alert that
 * tells the peer what we do not like. */
static void shake(struct loop_tls *tls)
{
    ERR_clear_error();
    int done = SSL_do_handshake(tls->ssl);
    int kind = SSL_get_error(tls->ssl, done);
    bool failed = kind != SSL_ERROR_NONE && kind != SSL_ERROR_WANT_READ;
    int error = failed ? tls_error_of_ssl(tls, kind) : 0;
    int pushed = tls_push(tls);
    if (failed)
        end(tls, error);
    else if (kind == SSL_ERROR_NONE)
        establish(tls);
    else if (pushed < 0)
        end(tls, pushed);
}

void tls_on_late(struct loop_timer *timer)
{
    struct loop_tls *tls = loop_container_of(timer, struct loop_tls, deadline);
    end(tls, tls_error_say(tls_why_of(tls), -ETIMEDOUT, "the handshake took too long"));
    tell_end(tls);
}

/* --- plain bytes --- */

/* Nothing more now, the end, or an error. */
static void take_none(struct loop_tls *tls, int kind)
{
    if (kind == SSL_ERROR_ZERO_RETURN)
        end(tls, LOOP_EOF);
    else if (kind != SSL_ERROR_WANT_READ)
        end(tls, tls_error_of_ssl(tls, kind));
}

/* After each callback he may have stopped, or closed. */
static void give(struct loop_tls *tls)
{
    char plain[RECORD_MAX];
    while (tls->established && tls->reading && !tls->closing && !tls->ended) {
        ERR_clear_error();
        int size = SSL_read(tls->ssl, plain, sizeof(plain));
        if (size > 0)
            tls->read_cb(tls, size, plain);
        else
            take_none(tls, SSL_get_error(tls->ssl, size));
        if (size <= 0)
            return;
    }
}

/* OpenSSL may have answered something, to a change of keys or with an alert. If that cannot be
 * written, what the peer has sent is read all the same. */
static void advance(struct loop_tls *tls)
{
    if (!tls->established && !tls->ended)
        shake(tls);
    give(tls);
    if (!tls->closing)
        tls_push(tls);
    tell_end(tls);
}

/* --- what came before it was wanted --- */

/* The lent bytes that were not read go where they last. */
static void keep(struct loop_tls *tls)
{
    if (tls->in_size == 0 || tls->closing)
        return;
    tls->kept = malloc(tls->in_size);
    if (tls->kept)
        tls->in = memcpy(tls->kept, tls->in, tls->in_size);
    else
        end(tls, tls_error_say(tls_why_of(tls), -ENOMEM, "out of memory"));
}

/* Lets go of what was kept when all of it is read. */
static void drop(struct loop_tls *tls)
{
    if (tls->in_size > 0 || tls->closing)
        return;
    free(tls->kept);
    tls->kept = NULL;
    int status = tls_pull(tls);
    if (status < 0) {
        end(tls, status);
        tell_end(tls);
    }
}

static void on_resume(struct loop_task *task)
{
    struct loop_tls *tls = loop_container_of(task, struct loop_tls, resume);
    advance(tls);
    drop(tls);
}

/* The stream's end is not ours, unless close_notify came before it. */
static int end_of_stream(struct loop_tls *tls, int size)
{
    struct tls_why why = tls_why_of(tls);
    if (size != LOOP_EOF)
        return tls_error_say(why, size, "the connection: %s", loop_strerror(size));
    return tls_error_say(why, LOOP_TLS_TRUNCATED, "the peer closed the connection %s",
                         tls->established ? "without a close_notify" : "during the handshake");
}

void tls_on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct loop_tls *tls = stream->handle.data;
    if (size <= 0) {
        tls->pulling = false; /* the stream has stopped itself */
        end(tls, end_of_stream(tls, (int)size));
        tell_end(tls);
        return;
    }
    tls->in = bytes;
    tls->in_size = (size_t)size;
    advance(tls);
    keep(tls);
    tls_pull(tls);
}

int loop_tls_read_start(struct loop_tls *tls, loop_tls_read_cb cb)
{
    if (!tls || !cb)
        return -EINVAL;
    if (tls->closing)
        return -ECANCELED;
    if (!tls->established)
        return -ENOTCONN;
    if (tls->reading)
        return -EALREADY;
    tls->reading = true;
    int status = tls_pull(tls);
    if (status < 0) {
        tls->reading = false;
        return status;
    }
    tls->read_cb = cb;
    loop_task_cancel(&tls->resume);
    if (tls->kept || tls->ended)
        loop_next_tick(tls->stream->handle.loop, &tls->resume, on_resume);
    return 0;
}

void loop_tls_read_stop(struct loop_tls *tls)
{
    if (!tls || tls->closing || !tls->established)
        return;
    tls->reading = false;
    tls_pull(tls);
}
