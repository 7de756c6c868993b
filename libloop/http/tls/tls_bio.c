/* The way into OpenSSL and out of it: a BIO, which reads what the stream has brought from where it
 * lies, and gathers what is to be written.
 *
 * OpenSSL's own memory BIO would do the same, but it copies all that comes in, and keeps the
 * largest size that it ever had: after one read of 64 KiB an idle connection would hold 64 KiB.
 * This one holds nothing between two reads: what is incomplete at the end of one lies in OpenSSL's
 * buffer for records, which it gives back when the record is complete (SSL_MODE_RELEASE_BUFFERS).
 *
 * The end of the stream is never told to OpenSSL: whether it was proper is seen in tls_read.c.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <openssl/bio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_FIRST = 4096 }; /* a hello, or a small record */

static BIO_METHOD *method; /* made once, for the life of the process */
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int take(BIO *bio, char *bytes, int size)
{
    struct loop_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->in_size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t taken = tls->in_size < (size_t)size ? tls->in_size : (size_t)size;
    memcpy(bytes, tls->in, taken);
    tls->in += taken;
    tls->in_size -= taken;
    return (int)taken;
}

static bool make_room(struct loop_tls *tls, size_t size)
{
    size_t needed = tls->out_size + size;
    if (needed <= tls->out_capacity)
        return true;
    size_t capacity = tls->out_capacity ? 2 * tls->out_capacity : OUT_FIRST;
    capacity = capacity < needed ? needed : capacity;
    char *out = realloc(tls->out, capacity);
    if (!out)
        return false;
    tls->out = out;
    tls->out_capacity = capacity;
    return true;
}

static int gather(BIO *bio, const char *bytes, int size)
{
    struct loop_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0; /* unreachable: BIO_write(3) has done so already */
    if (!make_room(tls, (size_t)size)) {
        tls->no_memory = true;
        return -1;
    }
    memcpy(tls->out + tls->out_size, bytes, (size_t)size);
    tls->out_size += (size_t)size;
    return size;
}

/* Flushing is tls_push()'s, after OpenSSL has returned; of all else a BIO may decline. */
static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop stream");
    if (!method)
        return;
    BIO_meth_set_read(method, take);
    BIO_meth_set_write(method, gather);
    BIO_meth_set_ctrl(method, control);
}

int tls_bio_attach(struct loop_tls *tls, SSL *ssl)
{
    pthread_once(&method_once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return -ENOMEM;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return 0;
}
