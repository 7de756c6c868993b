/* Public. TLS, by OpenSSL 3, over any stream: TCP, a unix-domain socket, one end of a pair. Part of
 * libloop-http (pkg-config: loop-http).
 *
 * A context is what many connections share: certificates, whom to trust, what to resume. It is made
 * by reading files, on the thread that calls, belongs to no loop, and may be used by several
 * threads at once. A struct loop_tls is one end of one connection: it takes a connected stream on
 * loan, reads and writes it, and gives plain bytes in its place.
 *
 * Of the stream, from loop_tls_start() until loop_tls_close(): handle.data, reading, writing and
 * the marks are the TLS end's. Its idle deadline and its options stay yours. Close the TLS end
 * first, and then the stream, which may be at once: the close callbacks come in this order.
 *
 * TLS 1.2 and 1.3 are spoken, nothing older. There is no renegotiation, no compression and no data
 * before the handshake is over. A client verifies the certificate and the name in it, unless told
 * otherwise.
 *
 * The operations of a handshake that use keys run on the loop's thread: docs/22_tls.md says what
 * they cost.
 *
 * Errors: -EPROTO (what the peer sent is not TLS, or either side does not accept the other),
 * -EKEYREJECTED (the certificate of the peer is not one to trust), LOOP_TLS_TRUNCATED, -ETIMEDOUT,
 * -ENOMEM, and those of the stream. loop_tls_error_text() says more.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TLS_H
#define LOOP_TLS_H

#include "core.h"
#include "stream.h"
#include "task.h"
#include "timer.h"

#include <errno.h>

struct loop_tls;
struct loop_tls_context;
struct loop_tls_ending;

/* The stream ended, and the peer had not said that it would: what came before may be a part of what
 * was sent, for anybody on the way can cut a connection. */
#define LOOP_TLS_TRUNCATED (-ECONNABORTED)

enum { LOOP_TLS_SESSIONS = 64 }; /* that a client's context remembers, of the latest hosts */

/* A certificate for one host ("example.org", or "*.example.org": any one label in its place). */
struct loop_tls_host {
    const char *name;
    const char *certificate_file; /* PEM: the certificate and, behind it, the chain */
    const char *key_file;         /* PEM, without a passphrase; NULL: in certificate_file */
};

/* All zero: a client that trusts whom the system trusts. */
struct loop_tls_options {
    bool server;
    bool insecure;                /* of a client: believes whoever answers */
    bool no_resumption;           /* each handshake is a full one */
    unsigned min_version;         /* 0 or 12: TLS 1.2; 13: TLS 1.3 */
    const char *certificate_file; /* as in struct loop_tls_host; a server must have one */
    const char *key_file;
    const struct loop_tls_host *hosts; /* of a server: more, by the name that the client asks for */
    size_t host_count;
    const char *ca_file;   /* PEM: trusted in place of the system's; on a server: clients have to
                              show a certificate that one of these has signed */
    const char *alpn;      /* protocols, the best first: "http/1.1"; NULL: none is spoken of */
    uint64_t handshake_ns; /* from the start to the end of a handshake; 0: 10 s */
};

/* Comes once, in the poll phase, or in the timers phase (-ETIMEDOUT). 0: plain bytes may be written
 * and read. Negative: close it. */
typedef void (*loop_tls_handshake_cb)(struct loop_tls *tls, int status);

/* Comes in the poll phase, or by a tick for what had come before loop_tls_read_start(). size > 0:
 * so many bytes, valid, and yours to change, until the callback returns; at most 16 KiB. LOOP_EOF:
 * the peer has said that it sends no more. LOOP_TLS_TRUNCATED or another error: there is no more.
 * Both come once, and reading has stopped. */
typedef void (*loop_tls_read_cb)(struct loop_tls *tls, ssize_t size, void *bytes);

/* Comes once, in the poll, the pending or the closing phase. */
typedef void (*loop_tls_shutdown_cb)(struct loop_tls *tls, int status);

/* Room to write again (poll phase), or closed (closing phase). */
typedef void (*loop_tls_cb)(struct loop_tls *tls);

struct loop_tls {
    void *data; /* yours */

    /* read-only, valid from the handshake callback until the close callback */
    struct loop_stream *stream;
    const char *version;     /* "TLSv1.3" */
    const char *cipher;      /* "TLS_AES_256_GCM_SHA384" */
    const char *alpn;        /* the protocol agreed on; "": none */
    const char *peer;        /* of a client: the name that was verified; NULL: none was */
    const char *server_name; /* of a server: the host that the client asked for; NULL: none */
    bool resumed;            /* by an earlier session: no certificate was sent */

    /* private */
    bool server;
    bool established; /* the handshake is over */
    bool reading;     /* the user wants plain bytes */
    bool pulling;     /* the stream is read */
    bool shut;        /* close_notify was sent */
    bool closing;
    bool no_memory; /* met by OpenSSL, which says so in no way of its own */
    int ended;      /* why no plain bytes come any more; or 0 */
    int lost;       /* why nothing can be written any more; or 0 */
    struct loop_tls_context *context;
    void *ssl;      /* OpenSSL's SSL; NULL: never started, or closed */
    char *name;     /* whom a client expects */
    const char *in; /* came, and is not yet read by OpenSSL */
    size_t in_size;
    char *kept; /* where that is, if it had to wait */
    char *out;  /* from OpenSSL, on its way to the stream */
    size_t out_size, out_capacity;
    size_t low, high, max;          /* the marks of the stream */
    void *stream_data;              /* the stream's handle.data, to be put back */
    struct loop_tls_ending *ending; /* a shutdown under way */
    struct loop_timer deadline;     /* of the handshake; its closing is that of the whole */
    struct loop_task resume;
    loop_tls_handshake_cb handshake_cb;
    loop_tls_read_cb read_cb;
    loop_tls_cb drain_cb;
    loop_tls_cb close_cb;
    char text[128]; /* loop_tls_error_text() */
};

/* --- contexts: any thread --- */

/* Makes a context, with one reference. Reads the files, which blocks; options and all that it names
 * are copied. With an error *context is NULL and why (of why_size bytes; or NULL) holds a sentence.
 * Errors: -EINVAL (options that make no sense, a file that is not what it should be, a key of
 * another certificate), -ENOENT, -EACCES and others of open(2), -ENOMEM. */
LOOP_API int loop_tls_context_new(struct loop_tls_context **context,
                                  const struct loop_tls_options *options, char *why,
                                  size_t why_size);

/* One reference more, and one less (NULL is harmless): the last frees it. Each struct loop_tls has
 * one of its own. */
LOOP_API struct loop_tls_context *loop_tls_context_ref(struct loop_tls_context *context);
LOOP_API void loop_tls_context_unref(struct loop_tls_context *context);

/* Reads all files again. Connections that start from now on have what is in them; others are not
 * disturbed. Sessions of before are not resumed: the keys of tickets are new, too. With an error,
 * as above, nothing has changed. */
LOOP_API int loop_tls_context_reload(struct loop_tls_context *context, char *why, size_t why_size);

/* --- one end of a connection: the loop's thread --- */

/* Begins the handshake on a connected stream that is not read. tls: the caller's memory, all zero
 * but for data, and lent until the close callback. name: whom a client expects, a host or an
 * address, copied; a server gives NULL. Errors, with the stream as it was: -EINVAL (also a client
 * that verifies and has no name), -EALREADY (tls is in use), -ENOMEM, and those of
 * loop_read_start() and loop_write_copy(). */
LOOP_API int loop_tls_start(struct loop_tls *tls, struct loop_stream *stream,
                            struct loop_tls_context *context, const char *name,
                            loop_tls_handshake_cb cb);

/* As loop_read_start() and loop_read_stop(), for plain bytes. Errors: -EINVAL, -ENOTCONN (before
 * the handshake callback), -EALREADY, -ECANCELED (closing), those of loop_read_start(). */
LOOP_API int loop_tls_read_start(struct loop_tls *tls, loop_tls_read_cb cb);
LOOP_API void loop_tls_read_stop(struct loop_tls *tls);

/* As loop_write_copy(): encrypts, and writes what the kernel takes; the rest is queued in the
 * stream. Returns 0, or 1 if more than the high mark now waits there. What one call writes leaves
 * in pieces of 64 KiB, so gather what is small. Errors: -EINVAL, -ENOTCONN (before the handshake
 * callback), -EPIPE (after loop_tls_shutdown()), -ENOBUFS (it would not fit under the hard cap:
 * nothing was done), -ECANCELED (closing), -ENOMEM and those of the stream, after which nothing can
 * be written any more. */
LOOP_API int loop_tls_write(struct loop_tls *tls, const void *bytes, size_t size);

/* As loop_stream_set_marks(), of the stream's queue of encrypted bytes. */
LOOP_API int loop_tls_set_marks(struct loop_tls *tls, size_t low, size_t high, size_t max,
                                loop_tls_cb cb);

/* Half-close: tells the peer that no more comes (close_notify), and shuts the stream down when that
 * is written. Reading goes on. cb may be NULL. Errors: -ENOTCONN, -EALREADY, -ECANCELED, -ENOMEM,
 * and those of the stream. */
LOOP_API int loop_tls_shutdown(struct loop_tls *tls, loop_tls_shutdown_cb cb);

/* Says close_notify, if it still can, and gives the stream back, to be closed by you: not read,
 * with the handle.data that it had, and no drain callback. The handshake and the shutdown callback
 * come with -ECANCELED if they have not come yet, then cb (may be NULL), in the closing phase: the
 * memory is yours then. Closing twice panics. */
LOOP_API void loop_tls_close(struct loop_tls *tls, loop_tls_cb cb);

/* The same without a word to the peer: it sees that the stream was cut. */
LOOP_API void loop_tls_abandon(struct loop_tls *tls, loop_tls_cb cb);

/* What went wrong, in a sentence, with OpenSSL's own words; "" if nothing did. Lent until the close
 * callback. */
LOOP_API const char *loop_tls_error_text(const struct loop_tls *tls);

/* The names in the peer's certificate: DNS names and addresses, one for each index from 0 on.
 * Errors: -ENOENT (there are no more, or there is no certificate), -ENAMETOOLONG, -ENOMEM. */
LOOP_API int loop_tls_peer_name(const struct loop_tls *tls, size_t index, char *name, size_t size);

/* Its subject: "CN=alice,O=Example". Errors as above. */
LOOP_API int loop_tls_peer_subject(const struct loop_tls *tls, char *subject, size_t size);

#endif
