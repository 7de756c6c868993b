/* Public. An HTTP/1.1 client: calls, each a request and its response, over connections that are
 * kept for the next. Part of libloop-http.
 *
 * A client is what calls share: the pool of connections to each origin (scheme, host and port), the
 * limits, whom to trust. A call that finds no connection free, and may open none, waits for its
 * turn: whoever waits longest of those that can go is next.
 *
 * A call is the caller's memory, all zero at first but for data. It is lent from
 * loop_http_call_start() until on_end, which comes exactly once, with 0 if a whole response was
 * read, whatever its status: 404 is an answer. Other callbacks come before that, never after. All
 * come on the loop's thread, in the poll phase or in a tick, and never inside a function of this
 * header; in each of them any function may be called. A call in flight keeps the loop alive, a
 * connection that is merely kept does not.
 *
 * What a server sends is held to limits and parsed strictly, as by the server of this library: a
 * response that could be read in two ways is an error. A connection is used again only if the
 * response on it was read exactly to its end and nothing came behind it.
 *
 * There are no proxies, no jar for cookies and no cache.
 *
 * Functions that return int: 0, or a negative errno with nothing done.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_CLIENT_H
#define LOOP_HTTP_CLIENT_H

#include "../http.h"
#include "../task.h"

struct fetch;
struct loop_http_call;
struct loop_http_client;

/* The head of the response is there: status, headers, body_size. Or there is room again, after a
 * write that returned 1. */
typedef void (*loop_http_call_cb)(struct loop_http_call *call);

/* So many bytes of the body, valid until the callback returns. */
typedef void (*loop_http_call_body_cb)(struct loop_http_call *call, const void *bytes, size_t size);

/* Comes once and last, in a tick. 0: the response is complete, and what the call tells of it is
 * valid until this returns; the call may be freed, or started again, in it. Otherwise:
 * -ECANCELED, -ETIMEDOUT; what the resolver or connect(2) said; with TLS what loop/tls.h says;
 * -ECONNRESET (the connection ended before the response did), -EPROTO (no response of HTTP/1.1, or
 * one that can be read in two ways), -EMSGSIZE (a head over the limits), -EFBIG (a body over the
 * limit), -EBADMSG (a body that is not gzip, though it said so), -ELOOP (too many redirects),
 * -ENOMEM. */
typedef void (*loop_http_call_end_cb)(struct loop_http_call *call, int status);

/* In the closing phase, once: the client and its memory are yours again. */
typedef void (*loop_http_client_cb)(struct loop_http_client *client);

/* All zero means all defaults. */
struct loop_http_client_options {
    struct loop_tls_context *tls; /* loop/tls.h: for https; lent until the client is closed */
    uint32_t origin_connections;  /* to one origin: 6, as browsers */
    uint32_t connections;         /* in all: 100 */
    uint32_t waiting;             /* calls that wait for one: 10,000, then -ENOBUFS */
    uint32_t head_bytes;          /* of a response, and again of its trailers: 16 KiB */
    uint32_t headers;             /* 100 */
    uint64_t idle_ns;             /* a connection is kept for 4 s: servers often close after 5 */
    uint64_t connect_ns;          /* look-up and connect: 10 s */
    uint64_t head_ns;             /* from the request sent to the response's head: 30 s */
    uint64_t stall_ns;            /* in a body, without a byte moving: 30 s */
};

/* What to ask: all zero but url and on_end is a GET. Copied, but for body. */
struct loop_http_call_options {
    const char *url;                        /* "http:" or "https:" */
    const char *method;                     /* NULL: "GET" */
    const struct loop_http_header *headers; /* more to send, ending in a name NULL; or NULL */
    const void *body;                       /* lent until on_end */
    size_t body_size;
    uint64_t stream_size; /* of a streamed body, announced; 0: in chunks */
    bool streamed;        /* the body comes by loop_http_call_write() */
    bool expect_continue; /* sends the body when the server says so, or after a second */
    bool decode;          /* asks for gzip, and decodes it */
    bool collect;         /* gathers the body: call->body in on_end */
    bool insecure;        /* follows redirects from https to http, too */
    int redirects;        /* that are followed: 0: 5; -1: none */
    uint64_t body_bytes;  /* of a response, decoded; 0: 1 MiB if collected, else any number */
    uint64_t total_ns;    /* from the start to the end; 0: no such deadline */

    loop_http_call_cb on_head;      /* may be NULL, as may be the next two */
    loop_http_call_body_cb on_body; /* not if the body is collected */
    loop_http_call_cb on_drain;
    loop_http_call_end_cb on_end;
};

struct loop_http_call {
    void *data; /* yours */

    /* read-only, from on_head until on_end returns, or as far as it came */
    struct loop_http_client *client;
    const char *url; /* which answered: the last, after redirects */
    int status;      /* 0: no head has come */
    const char *reason;
    const struct loop_http_header *headers;
    size_t header_count;
    const struct loop_http_header *trailers; /* in on_end */
    size_t trailer_count;
    int64_t body_size;  /* as announced; -1: not known */
    uint64_t body_read; /* bytes of it, decoded, that have come */
    const char *body;   /* in on_end, if it was collected: body_read bytes and a 0 */
    int redirects;      /* that were followed */

    /* private */
    struct fetch *fetch; /* NULL: not in flight */
};

/* Since the client was made, and now. */
struct loop_http_client_stats {
    uint64_t calls;       /* started */
    uint64_t active;      /* in flight now */
    uint64_t waiting;     /* of those, for a connection */
    uint64_t opened;      /* connections */
    uint64_t connections; /* now: in use, kept, or being opened or closed */
    uint64_t idle;        /* now: kept */
    uint64_t reused;      /* requests that went over a kept one */
    uint64_t retried;     /* that met one which had been closed, and went over a new one */
};

struct loop_http_client {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    struct loop_http_client_stats stats;
    struct loop_http_client_options options; /* with the defaults filled in */

    /* private */
    struct loop_link origins;
    struct loop_link fetches;  /* all, in the order of their start */
    struct loop_link idle;     /* connections that are kept, the oldest first */
    struct loop_timer timer;   /* lets go of those; its closing is that of the client */
    struct loop_task dispatch; /* gives connections to those who wait */
    uint64_t seq;              /* of the last call */
    uint32_t leaving;          /* connections that are being closed */
    bool dispatching;          /* the task is queued */
    bool closing;
    loop_http_client_cb close_cb;
};

/* Makes a client in the caller's memory; options may be NULL. It owns nothing until its first
 * call. Errors: -EINVAL (an argument NULL). */
LOOP_API int loop_http_client_init(struct loop *loop, struct loop_http_client *client,
                                   const struct loop_http_client_options *options);

/* Ends all calls with -ECANCELED, in the order of their start, closes all connections, and then
 * calls cb (may be NULL). Closing twice does nothing. */
LOOP_API void loop_http_client_close(struct loop_http_client *client, loop_http_client_cb cb);

/* Starts a call. The host is looked up, connected to and, for https, asked to prove its name.
 * Redirects (301, 302, 303, 307 and 308) are followed as RFC 9110 15.4 says: POST becomes GET on
 * the first two, everything but HEAD on the third. Authorization, Cookie and Proxy-Authorization
 * do not go to another origin. A redirect that cannot be followed, from https to http, to what is
 * no URL of HTTP, or because the body was streamed and would have to be sent again, is the
 * response.
 *
 * A request that meets a kept connection which the server was closing, and gets no byte of an
 * answer, is sent once more on a new one, if its method is idempotent and its body still there.
 *
 * Errors: -EINVAL (a URL, method or header that is none; a header that is the library's own: host,
 * content-length, transfer-encoding, connection, keep-alive, expect, te, trailer, upgrade, and with
 * decode accept-encoding; options that contradict each other), -ENAMETOOLONG (a URL over
 * LOOP_URL_MAX), -E2BIG (over 64 KiB of headers), -EPROTONOSUPPORT (https without a context for
 * TLS), -EALREADY (in flight), -ENOBUFS (too many wait), -ECANCELED (the client is closing),
 * -ENOMEM. */
LOOP_API int loop_http_call_start(struct loop_http_client *client, struct loop_http_call *call,
                                  const struct loop_http_call_options *options);

/* The whole body of a URL, of at most 1 MiB, and with 30 s for all of it. What on_end finds is in
 * call->status and call->body. Errors as above. */
LOOP_API int loop_http_get(struct loop_http_client *client, struct loop_http_call *call,
                           const char *url, loop_http_call_end_cb on_end);

/* Ends it with -ECANCELED. Errors: -EALREADY (not in flight, or its outcome is decided). */
LOOP_API int loop_http_call_cancel(struct loop_http_call *call);

/* Ends it with -ETIMEDOUT if it has not ended after_ns from loop_now(), in place of total_ns.
 * LOOP_NEVER: no such deadline. Errors: -EALREADY. */
LOOP_API int loop_http_call_deadline(struct loop_http_call *call, uint64_t after_ns);

/* A piece of a streamed body, copied if it cannot leave at once. Returns 1 if more than
 * LOOP_WRITE_HIGH bytes wait: better wait for on_drain. Errors: -EINVAL (not streamed), -EPIPE
 * (ended, or nobody wants it any more: on_end will say why), -EMSGSIZE (more than announced),
 * -ENOBUFS (more than LOOP_WRITE_MAX would wait), -ENOMEM. */
LOOP_API int loop_http_call_write(struct loop_http_call *call, const void *bytes, size_t size);

/* The last piece, of size 0 if there is none. Errors as above; -EMSGSIZE also if that is less than
 * was announced. */
LOOP_API int loop_http_call_end(struct loop_http_call *call, const void *bytes, size_t size);

/* Between these no piece of the body comes, and soon the server has to wait. Deadlines but the
 * total one wait, too. */
LOOP_API void loop_http_call_pause(struct loop_http_call *call);
LOOP_API void loop_http_call_resume(struct loop_http_call *call);

/* The value of a header of the response, whatever the case of name; the first if there are several;
 * NULL: none. */
LOOP_API const char *loop_http_call_header(const struct loop_http_call *call, const char *name);

#endif
