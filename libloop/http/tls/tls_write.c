/* What goes: plain bytes, encrypted at once, and the word that no more come.
 *
 * What OpenSSL writes is gathered and given to the stream as it is: the stream's queue is the only
 * one, so its marks and its cap are those of TLS. The cap is a promise, so a write is refused
 * before it is encrypted, by the largest size that it can have then: what is encrypted must leave,
 * or the peer finds a hole. 64 KiB at a time are encrypted, so that a large write needs no second
 * large piece of memory.
 *
 * When the stream takes no more for good, that is remembered, and reading goes on: the peer may
 * have said something before it went.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE = 64 * 1024,
    RECORD_EXTRA = 128, /* header, nonce, padding and tag of a record: less with every cipher */
};

/* A shutdown under way: memory of its own, since the stream may outlive the struct loop_tls. */
struct loop_tls_ending {
    struct loop_shutdown request;
    struct loop_tls *tls; /* NULL: closed */
    loop_tls_shutdown_cb cb;
};

int tls_push(struct loop_tls *tls)
{
    if (tls->out_size == 0)
        return tls->lost;
    char *out = tls->out;
    size_t size = tls->out_size;
    tls->out = NULL;
    tls->out_size = tls->out_capacity = 0;
    int status = tls->lost ? tls->lost : loop_write_copy(tls->stream, out, size);
    free(out);
    if (status < 0 && !tls->lost)
        tls_error_say(tls_why_of(tls), status, "the connection: %s", loop_strerror(status));
    if (status < 0)
        tls->lost = status;
    return status;
}

void tls_on_drain(struct loop_stream *stream)
{
    struct loop_tls *tls = stream->handle.data;
    if (tls->drain_cb)
        tls->drain_cb(tls);
}

int loop_tls_set_marks(struct loop_tls *tls, size_t low, size_t high, size_t max, loop_tls_cb cb)
{
    if (!tls || !tls->ssl)
        return -EINVAL;
    if (tls->closing)
        return -ECANCELED;
    int status = loop_stream_set_marks(tls->stream, low, high, max, tls_on_drain);
    if (status < 0)
        return status;
    tls->low = low;
    tls->high = high;
    tls->max = max ? max : LOOP_WRITE_MAX;
    tls->drain_cb = cb;
    return 0;
}

/* --- plain bytes --- */

static int refused(const struct loop_tls *tls, const void *bytes, size_t size)
{
    if (!tls || (!bytes && size > 0))
        return -EINVAL;
    if (tls->closing)
        return -ECANCELED;
    if (!tls->established)
        return -ENOTCONN;
    if (tls->shut)
        return -EPIPE;
    if (tls->lost)
        return tls->lost;
    size_t queued = tls->stream->queued;
    size_t room = queued < tls->max ? tls->max - queued : 0;
    if (size > room || size + (size / SSL3_RT_MAX_PLAIN_LENGTH + 2) * RECORD_EXTRA > room)
        return -ENOBUFS;
    return 0;
}

/* After a failure OpenSSL's state is not one to go on with. */
static int encrypt(struct loop_tls *tls, const char *bytes, size_t size)
{
    ERR_clear_error();
    int written = SSL_write(tls->ssl, bytes, (int)size);
    if (written <= 0)
        tls->lost = tls_error_of_ssl(tls, SSL_get_error(tls->ssl, written));
    return tls_push(tls);
}

int loop_tls_write(struct loop_tls *tls, const void *bytes, size_t size)
{
    int status = refused(tls, bytes, size);
    const char *next = bytes;
    while (size > 0 && status >= 0) {
        size_t piece = size < PIECE ? size : PIECE;
        status = encrypt(tls, next, piece);
        next += piece;
        size -= piece;
    }
    return status;
}

/* --- the end --- */

/* Into tls->out. OpenSSL says it once, and not after a fatal error. */
static void notify(struct loop_tls *tls)
{
    bool broken = tls->ended && tls->ended != LOOP_EOF && tls->ended != LOOP_TLS_TRUNCATED;
    if (!tls->established || tls->shut || broken)
        return;
    ERR_clear_error();
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
    tls->shut = true;
}

void tls_say_goodbye(struct loop_tls *tls)
{
    notify(tls);
    tls_push(tls);
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    struct loop_tls_ending *ending = loop_container_of(shutdown, struct loop_tls_ending, request);
    struct loop_tls *tls = ending->tls;
    loop_tls_shutdown_cb cb = ending->cb;
    free(ending);
    if (!tls)
        return;
    tls->ending = NULL;
    if (cb)
        cb(tls, status);
}

/* The stream goes on with it; the user is told now. */
void tls_ending_let_go(struct loop_tls *tls)
{
    struct loop_tls_ending *ending = tls->ending;
    if (!ending)
        return;
    ending->tls = NULL;
    tls->ending = NULL;
    if (ending->cb)
        ending->cb(tls, -ECANCELED);
}

static int may_shut(const struct loop_tls *tls)
{
    if (!tls)
        return -EINVAL;
    if (tls->closing)
        return -ECANCELED;
    if (!tls->established)
        return -ENOTCONN;
    return tls->shut ? -EALREADY : tls->lost;
}

int loop_tls_shutdown(struct loop_tls *tls, loop_tls_shutdown_cb cb)
{
    int status = may_shut(tls);
    if (status < 0)
        return status;
    struct loop_tls_ending *ending = calloc(1, sizeof(*ending));
    if (!ending)
        return -ENOMEM;
    *ending = (struct loop_tls_ending){.tls = tls, .cb = cb};
    tls_say_goodbye(tls);
    status = tls->lost ? tls->lost : loop_shutdown(tls->stream, &ending->request, on_shutdown);
    if (status < 0)
        free(ending);
    else
        tls->ending = ending;
    return status;
}
