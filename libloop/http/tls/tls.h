/* Internal. What the files of TLS share.
 *
 * tls_context.c: contexts, their references, reloading. tls_load.c: files to OpenSSL's objects.
 * tls_session.c: what clients resume. tls_hello.c: what a server decides by the client's hello.
 * tls_error.c: OpenSSL's errors to ours. tls_bio.c: bytes into OpenSSL and out of it. tls.c: one
 * end's life. tls_read.c, tls_write.c: its work. tls_peer.c: who the other end is.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_TLS_H
#define LOOP_HTTP_TLS_H

#include "loop/tls.h"

#include <openssl/ssl.h>
#include <pthread.h>

/* Where a sentence about an error goes; text may be NULL. */
struct tls_why {
    char *text;
    size_t size;
};

/* A certificate, and the OpenSSL context that it is in. */
struct tls_host {
    char *name; /* NULL: for all others; the first, and only the first, is that */
    char *certificate_file;
    char *key_file;
    SSL_CTX *ctx; /* under the lock */
};

struct tls_session {
    char *name; /* NULL: a free place */
    SSL_SESSION *session;
};

struct loop_tls_context {
    unsigned refs; /* atomic */
    bool server, insecure, no_resumption;
    unsigned min_version;
    uint64_t handshake_ns;
    char *ca_file;
    char *alpn; /* names, each with a 0 behind it, and one more 0 at the end; NULL: none */
    unsigned char *alpn_wire; /* the same with lengths before them */
    unsigned alpn_wire_size;
    struct tls_host *hosts;
    size_t host_count;
    pthread_mutex_t lock; /* of what reloading changes, and of sessions */
    struct tls_session sessions[LOOP_TLS_SESSIONS];
    unsigned next_session; /* the place that is overwritten next */
};

/* tls_context.c */
SSL *tls_context_ssl(struct loop_tls_context *context);
const char *tls_context_alpn(const struct loop_tls_context *context, const unsigned char *name,
                             size_t size);
int tls_context_copy(struct loop_tls_context *context, const struct loop_tls_options *options,
                     struct tls_why why);
void tls_context_release(struct loop_tls_context *context);

/* tls_load.c: the OpenSSL context of one host; NULL with *status. */
SSL_CTX *tls_load(const struct loop_tls_context *context, const struct tls_host *host,
                  struct tls_why why, int *status);

/* tls_session.c */
void tls_session_remember(SSL_CTX *ctx);
void tls_session_offer(struct loop_tls_context *context, SSL *ssl, const char *name);
void tls_session_forget_all(struct loop_tls_context *context);

/* tls_hello.c */
void tls_hello_listen(SSL_CTX *ctx);

/* tls_error.c: each empties OpenSSL's queue of errors. */
int tls_error_of_file(struct tls_why why, const char *file);
int tls_error_of_ssl(struct loop_tls *tls, int kind);
int tls_error_say(struct tls_why why, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* tls_bio.c: gives the SSL a BIO that reads tls->in and appends to tls->out. */
int tls_bio_attach(struct loop_tls *tls, SSL *ssl);

/* tls_read.c */
void tls_on_read(struct loop_stream *stream, ssize_t size, void *bytes);
void tls_on_late(struct loop_timer *timer);
int tls_pull(struct loop_tls *tls); /* reads the stream, or not, as is wanted now */

/* tls_write.c: gives to the stream what OpenSSL has written. */
int tls_push(struct loop_tls *tls);
void tls_say_goodbye(struct loop_tls *tls);
void tls_on_drain(struct loop_stream *stream);
void tls_ending_let_go(struct loop_tls *tls);

static inline struct tls_why tls_why_of(struct loop_tls *tls)
{
    return (struct tls_why){tls->text, sizeof(tls->text)};
}

#endif
