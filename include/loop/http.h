/* Public. HTTP/1.1 servers, in Node's words: a request and a response come to one callback. Part of
 * libloop-http (pkg-config: loop-http), which is built on the public interface of the loop alone.
 *
 * The exchange, a request and its response, is yours from the request callback until you end the
 * response, in that callback or any time later: loop_http_end() must be called exactly once for
 * each. If the peer goes before that, both stay valid all the same, what you write is dropped
 * (-EPIPE), and the close callback tells you so if you asked for it. So an answer that comes from a
 * thread, a timer or a database never finds its request freed.
 *
 * What is parsed is parsed strictly, by llhttp (RFC 9112): what two servers might read in two ways
 * is answered with 400, and the connection closed. Limits hold for everything that a peer sends,
 * and for the time that it takes; each has a default, in struct loop_http_limits.
 *
 * Requests of one connection come one after another: the next is not looked at before the response
 * is ended. All callbacks come on the loop's thread, in the poll phase but where said otherwise.
 * Output is gathered until the callback that makes it has returned, and leaves in one piece.
 *
 * Functions that return int: 0, or a negative errno with nothing done. Strings given are copied.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_H
#define LOOP_HTTP_H

#include "address.h"
#include "core.h"
#include "stream.h"
#include "timer.h"

struct loop_http_connection;
struct loop_http_request;
struct loop_http_response;
struct loop_http_server;
struct loop_tls_context;

/* A request has come: its head is complete, its body may follow (loop_http_read_body()). */
typedef void (*loop_http_request_cb)(struct loop_http_request *req, struct loop_http_response *res);

/* size > 0: so many bytes of the body, valid until the callback returns. LOOP_EOF: that was all.
 * Another negative errno: there will be no more: -EFBIG (over the limit), -ETIMEDOUT (too slow),
 * -EPROTO (not HTTP), -EPIPE (the peer has gone). Those two come once, and last. */
typedef void (*loop_http_body_cb)(struct loop_http_request *req, ssize_t size, const void *bytes);

/* Comes once. status 0: bytes holds the whole body, with a 0 behind it, until the response ends. */
typedef void (*loop_http_collect_cb)(struct loop_http_request *req, int status, const char *bytes,
                                     size_t size);

/* Something has happened to a response. */
typedef void (*loop_http_response_cb)(struct loop_http_response *res);

/* Comes in the closing phase, once: the server and its memory are yours again. */
typedef void (*loop_http_close_cb)(struct loop_http_server *server);

/* Comes when an exchange is over, just before its memory is freed; req is read-only by then. error
 * is 0 if the response was written whole. A request that could not be read has method "". */
typedef void (*loop_http_log_cb)(struct loop_http_server *server,
                                 const struct loop_http_request *req, int error);

struct loop_http_header {
    const char *name; /* lower case */
    const char *value;
};

/* What a peer may take: 0 stands for the default. */
struct loop_http_limits {
    uint32_t head_bytes;     /* request line and headers, and again trailers; 16 KiB, then 431 */
    uint32_t headers;        /* 100, then 431 */
    uint32_t target_bytes;   /* 8 KiB, then 414 */
    uint64_t body_bytes;     /* 1 MiB, then 413: loop_http_limit_body() for one request */
    uint64_t head_ns;        /* from the first byte of a head to its end: 10 s, then 408 */
    uint64_t keep_alive_ns;  /* between two requests: 5 s, then the connection is closed */
    uint64_t last_call_ns;   /* the same once the server closes: 0.5 s */
    uint64_t body_rate;      /* bytes a second that a body must bring on average: 256 */
    uint64_t body_grace_ns;  /* before that is asked: 10 s */
    uint64_t write_stall_ns; /* without the peer taking a byte: 30 s, then a reset */
    uint32_t connections;    /* 10,000, WebSockets included; more wait in the kernel */
    uint32_t requests;       /* of one connection, which is then closed; 0: any number */
};

/* All zero but on_request means all defaults. */
struct loop_http_options {
    loop_http_request_cb on_request;
    loop_http_log_cb on_log;      /* NULL: no log */
    struct loop_tls_context *tls; /* loop/tls.h: HTTPS; lent until the server is closed */
    struct loop_http_limits limits;
    bool compress; /* by gzip what is text and worth it, if the client takes that */
};

/* Since the server was made. */
struct loop_http_stats {
    uint64_t accepted;     /* connections */
    uint64_t connections;  /* open now */
    uint64_t requests;     /* whose head was read */
    uint64_t active;       /* not ended yet */
    uint64_t bytes_in;     /* as they come from the stream */
    uint64_t bytes_out;    /* as they go to it */
    uint64_t responses[6]; /* by the first digit of the status; [0]: none was sent */
    uint64_t refused;      /* requests that could not be read or broke a limit */
    uint64_t timed_out;    /* connections closed for one of the times in the limits */
    uint64_t duration_ns;  /* of all exchanges that are over, from the head read to the end */
    uint64_t buckets[24];  /* exchanges over in less than 2^i * 64 us, the last: all others */
};

struct loop_http_server {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    struct loop_http_stats stats;
    struct loop_http_options options; /* with the defaults filled in */

    /* private */
    struct loop_link listeners;
    struct loop_link idle;     /* connections between two requests */
    struct loop_link busy;     /* all others */
    struct loop_link upgraded; /* links that speak another protocol by now */
    struct loop_link gone;     /* exchanges whose connection has gone and which are not ended yet */
    struct loop_link spares;   /* memory of exchanges, for the next */
    uint32_t spare_count;
    bool closing;
    uint64_t closed_ns; /* when that began */
    uint64_t date_s;    /* of date, or 0 */
    char date[64];      /* the Date header, made once a second */
    struct loop_timer grace;
    uint64_t grace_due_ns;
    loop_http_close_cb close_cb;
};

struct loop_http_request {
    void *data; /* yours */

    /* read-only, valid until the response is ended */
    struct loop_http_server *server;
    struct loop_http_response *response;
    const char *method; /* "GET" */
    const char *target; /* as it was sent: "/a%20b?c=d" */
    const char *path;   /* the part before the "?", as it was sent */
    const char *query;  /* the part behind it; "" if there is none */
    const struct loop_http_header *headers;
    size_t header_count;
    const struct loop_http_header *trailers; /* with LOOP_EOF of the body */
    size_t trailer_count;
    int64_t body_size;   /* as announced; -1: chunked, of unknown size */
    uint64_t body_read;  /* bytes of it that have come */
    uint64_t started_ns; /* loop_now() when the head was complete */
    unsigned version;    /* 10 or 11 */
    bool secure;         /* came by TLS */
    bool keep_alive;     /* another request may follow on its connection */

    /* for the router (loop/http/router.h) and what runs before handlers */
    const void *route;
    void *session;
};

struct loop_http_response {
    /* read-only */
    struct loop_http_request *request;
    int status;       /* 200 if you set none */
    bool head_sent;   /* no header can be set any more */
    uint64_t written; /* bytes of the body, before compression */
};

/* Makes a server in the caller's memory. options is copied. Errors: -EINVAL (no on_request). */
LOOP_API int loop_http_server_init(struct loop *loop, struct loop_http_server *server,
                                   const struct loop_http_options *options);

/* Listens on an address ("127.0.0.1", 0: a free port, which loop_http_server_port() tells; "" is
 * every address), with flags of enum loop_tcp_flag; on a path; or on a socket that listens already
 * or is bound, which is then the server's to close. A server may listen in several places, and
 * keeps the loop alive while it does. Errors: as loop_address_parse(), loop_tcp_bind(),
 * loop_pipe_bind() and loop_listen(), -ECANCELED (closing). */
LOOP_API int loop_http_listen(struct loop_http_server *server, const char *address, uint16_t port,
                              unsigned flags);
LOOP_API int loop_http_listen_path(struct loop_http_server *server, const char *path);
LOOP_API int loop_http_listen_fd(struct loop_http_server *server, int fd);

/* The port of the first listener; 0: none, or it has no port. */
LOOP_API uint16_t loop_http_server_port(const struct loop_http_server *server);

/* Listens no more, lets what is under way end, and says "Connection: close" in the responses.
 * Connections that wait for a request are closed after last_call_ns more, since one may be on its
 * way, and would be lost. Event streams (loop/http/events.h) end at once, and WebSockets are closed
 * with 1001. What is left after grace_ns is reset. cb (may be NULL) comes when all connections are
 * closed, all responses ended, and all WebSockets told. Called again, it can only shorten the time
 * (cb of the first call counts). grace_ns 0: at once; LOOP_NEVER: however long. */
LOOP_API void loop_http_server_close(struct loop_http_server *server, uint64_t grace_ns,
                                     loop_http_close_cb cb);

/* --- the request --- */

/* The value of a header, whatever the case of name; the first if there are several; NULL: none. */
LOOP_API const char *loop_http_header(const struct loop_http_request *req, const char *name);

/* Who sent it: size 0 if that is not known, as on a unix-domain socket. */
LOOP_API const struct loop_address *loop_http_peer(const struct loop_http_request *req);

/* Calls cb for the body, piece by piece, in the poll phase, and never inside this call. Until it is
 * called nothing is read beyond what has come, so the client has to wait; "100 Continue" is sent
 * now to who expects it. A body that nobody has asked for is thrown away when the response ends, or
 * the connection closed if it is large. Errors: -EALREADY. */
LOOP_API int loop_http_read_body(struct loop_http_request *req, loop_http_body_cb cb);

/* Between these no piece comes, and soon the client has to wait. */
LOOP_API void loop_http_pause_body(struct loop_http_request *req);
LOOP_API void loop_http_resume_body(struct loop_http_request *req);

/* Reads the whole body, of at most max bytes (0: the limit of the server), and then calls cb. If
 * that fails for a reason that HTTP has a status for (too large, too slow) and no response has
 * begun, the library answers it: cb still comes, and still ends the response, to no effect. Errors:
 * -EALREADY. */
LOOP_API int loop_http_collect_body(struct loop_http_request *req, size_t max,
                                    loop_http_collect_cb cb);

/* How many bytes this one body may have; UINT64_MAX: any number. In the request callback. */
LOOP_API void loop_http_limit_body(struct loop_http_request *req, uint64_t bytes);

/* --- the response --- */

/* 100 to 999, but not 1xx, which the library sends itself. Errors: -EINVAL, -EALREADY (sent). */
LOOP_API int loop_http_set_status(struct loop_http_response *res, int status);

/* Sets a header, in place of any of that name, or adds one more. Errors: -EINVAL (a name that is no
 * token of RFC 9110, a value with CR, LF, NUL or other controls: nothing that would make another
 * header of it), -EALREADY (the head is sent), -E2BIG (over 64 KiB of headers), -ENOMEM.
 * "content-length" is held to what is written; "transfer-encoding" and "connection" are the
 * library's own: -EINVAL. Date is added by itself. */
LOOP_API int loop_http_set_header(struct loop_http_response *res, const char *name,
                                  const char *value);
LOOP_API int loop_http_add_header(struct loop_http_response *res, const char *name,
                                  const char *value);

/* What was set; NULL: nothing. Lent until the next header is set. */
LOOP_API const char *loop_http_get_header(const struct loop_http_response *res, const char *name);

/* Headers behind a chunked body; name them in a "trailer" header first. Errors as above; -EALREADY
 * if the response has a length or a version without trailers. */
LOOP_API int loop_http_add_trailer(struct loop_http_response *res, const char *name,
                                   const char *value);

/* A piece of the body, copied if it cannot leave at once. The first sends the head: with the
 * "content-length" that you have set, else chunked. Returns 1 if more than LOOP_WRITE_HIGH bytes
 * wait: better wait for the drain callback. Errors: -EPIPE (the peer has gone), -EMSGSIZE (more
 * than announced), -ENOBUFS (a peer that takes nothing, and more than LOOP_WRITE_MAX waits: the
 * connection is reset), -ENOMEM. */
LOOP_API int loop_http_write(struct loop_http_response *res, const void *bytes, size_t size);

/* Called once, when few bytes wait again, after a write that returned 1. In the poll phase. */
LOOP_API void loop_http_on_drain(struct loop_http_response *res, loop_http_response_cb cb);

/* Called if the peer goes before the response is ended, which is still yours to do. */
LOOP_API void loop_http_on_close(struct loop_http_response *res, loop_http_response_cb cb);

/* The last piece, of size 0 if there is none, and the end: req and res must not be touched any
 * more, whatever this returns. Without an earlier loop_http_write() the length is known and sent.
 * Less than was announced: the connection is closed, so that the client can see it. */
LOOP_API int loop_http_end(struct loop_http_response *res, const void *bytes, size_t size);

/* The same for text; "content-type: text/plain; charset=utf-8" if you have set none. */
LOOP_API int loop_http_end_text(struct loop_http_response *res, const char *text);

/* Ends with a status and a sentence (NULL: the status' own name), whatever was set before. If the
 * head was sent already the connection is closed. */
LOOP_API int loop_http_end_error(struct loop_http_response *res, int status, const char *message);

/* Ends with what a stream brings, such as a struct loop_file, as fast as the client takes it: size
 * bytes, or -1: until its end. from is yours and must stay open until cb, which comes once when no
 * more is read of it (status 0, or a negative errno of either side); by then the response is
 * ended. Errors: -EBUSY (from is read by somebody else), -EINVAL. */
typedef void (*loop_http_sent_cb)(struct loop_stream *from, int status);
LOOP_API int loop_http_end_stream(struct loop_http_response *res, struct loop_stream *from,
                                  int64_t size, loop_http_sent_cb cb);

/* The name of a status: "Not Found". "Unknown" for others. A constant. */
LOOP_API const char *loop_http_status_name(int status);

/* --- helpers --- */

/* One line of the combined log format, without its newline, of an exchange that is over: for
 * on_log. Returns its length as snprintf(3) does. Control bytes and quotes are escaped. */
LOOP_API size_t loop_http_log_line(char *line, size_t size, const struct loop_http_request *req,
                                   int error);

/* The statistics in the text format of Prometheus, every name beginning with prefix ("app"): ends
 * the response with them. */
LOOP_API int loop_http_end_metrics(struct loop_http_response *res, const char *prefix);

#endif
