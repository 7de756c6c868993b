/* Internal. The server's side: connections, exchanges and the server itself, and what they ask of
 * each other, grouped by file.
 *
 * A connection is one peer and its link. It reads one message after another and holds at most one
 * exchange, from the first byte of a head until the response is ended. An exchange is the request
 * and the response that the program sees; it outlives its connection if the peer goes first.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_CONNECTION_H
#define LOOP_HTTP_CONNECTION_H

#include "wire/link.h"
#include "list.h"
#include "wire/message.h"

enum {
    DISCARD_MAX = 64 * 1024, /* of a body that nobody wants; more is dearer than a new connection */
    SPARES_MAX = 64,         /* exchanges whose memory is kept */
};

#define LINGER_NS (2 * LOOP_SEC) /* for a peer to read what it was told before it is cut off */

enum connection_phase {
    CONNECTION_IDLE,    /* between messages */
    CONNECTION_HEAD,    /* some of a head has come */
    CONNECTION_BODY,    /* the program has the request; its body has not ended */
    CONNECTION_DONE,    /* the message has ended, the response has not */
    CONNECTION_DISCARD, /* the response has ended, the body has not */
    CONNECTION_LINGER,  /* all was said; what still comes is not read */
};

struct loop_http_connection {
    struct loop_link link; /* on server->idle or server->busy */
    struct loop_http_server *server;
    struct link *wire;
    struct exchange *exchange; /* NULL: there is none */
    struct message message;
    struct input input; /* not parsed yet: of the read under way, or kept */
    char *kept;         /* what could not be parsed when it came */
    struct loop_timer timer;
    struct loop_task tick; /* goes on parsing */
    uint64_t since_ns;     /* when its phase began, or the time in which a body is watched */
    uint64_t window_bytes; /* of the body, in that time */
    uint64_t counted_out;  /* bytes that the statistics have */
    uint64_t discarded;    /* of a body that nobody wants */
    struct loop_address peer;
    uint32_t requests;
    enum connection_phase phase;
    bool advancing; /* parse() is on the stack */
    bool ticking;
    bool idle;  /* it is on server->idle */
    bool last;  /* no request after this one */
    bool eof;   /* the peer sends no more */
    bool taken; /* the link has another user; free it when parse() returns */
};

/* What the program does with the body of the request. */
enum body_state {
    BODY_UNASKED,
    BODY_READING,
    BODY_PAUSED,
    BODY_OVER, /* its end or an error was told, or there is none */
};

/* Somebody who has to know when an exchange is over, or its server closes. Its own memory. */
struct exchange_hook {
    struct exchange_hook *next;
    /* The exchange goes, and so does the hook: the last call. The request can still be read. */
    void (*gone)(struct exchange_hook *hook);
    /* The server closes: ends the response, if that has no end of its own. May be NULL. */
    void (*leave)(struct exchange_hook *hook);
};

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct exchange {
    struct loop_http_request req;
    struct loop_http_response res;
    struct loop_link link;             /* on server->gone or server->spares, or alone */
    struct loop_http_connection *conn; /* NULL: the peer has gone */
    struct head *head;

    enum body_state body;
    loop_http_body_cb body_cb;
    uint64_t body_limit;
    loop_http_collect_cb collect_cb;
    char *collected;
    size_t collected_size, collected_capacity;
    struct loop_task decided; /* tells the reader what was known when it asked */
    int decided_status;

    char *lines; /* the headers that were set, as they are sent */
    size_t lines_size, lines_capacity;
    char *trailers;
    size_t trailers_size, trailers_capacity;
    char *found;    /* what loop_http_get_header() lent */
    int64_t length; /* announced by the program; -1: not */
    enum framing framing;
    loop_http_response_cb drain_cb;
    loop_http_response_cb close_cb;
    struct loop_stream *from; /* loop_http_end_stream() */
    struct loop_read read;
    char *piece;
    int64_t left;
    int from_status;
    loop_http_sent_cb sent_cb;
    struct exchange_hook *hooks;
    struct compressor *compressor; /* NULL: the body goes as it is */
    struct loop_address peer;      /* once the connection has gone */
    bool answered;                 /* by the library: what the program says is dropped */
    bool typed;                    /* "content-type" was set */
    bool encoded;                  /* "content-encoding" was set */
    bool ended;                    /* by the program */
    bool endless;                  /* a peer that has sent its last byte has gone */
    bool telling;                  /* a callback of its end is on the stack: do not free */
};

static inline struct exchange *exchange_of(const struct loop_http_request *req)
{
    return loop_container_of(req->response, struct exchange, res);
}

static inline struct exchange *exchange_of_response(const struct loop_http_response *res)
{
    return exchange_of(res->request);
}

/* server.c */
const char *server_date(struct loop_http_server *server);
void server_connection_closed(struct loop_http_server *server);
void server_end_if_done(struct loop_http_server *server);

/* connection.c: its life */
void connection_open(struct loop_http_server *server, struct link *wire);
void connection_enter(struct loop_http_connection *conn, enum connection_phase phase);
void connection_finish(struct loop_http_connection *conn);    /* all was said */
void connection_linger(struct loop_http_connection *conn);    /* and the peer has yet to read it */
void connection_lose(struct loop_http_connection *conn);      /* the peer has gone, or must go */
void connection_cut_short(struct loop_http_connection *conn); /* the peer sends no more of it */
void connection_give(struct loop_http_connection *conn);      /* its link has another user */
void connection_destroy(struct loop_http_connection *conn);
void connection_exchange_over(struct loop_http_connection *conn, bool whole);
const struct loop_address *connection_peer(struct loop_http_connection *conn);

/* connection_parse.c: its input */
void connection_parse(struct loop_http_connection *conn);
void connection_go_on(struct loop_http_connection *conn); /* the same from a tick */
void connection_expect_body(struct loop_http_connection *conn);
void connection_settle(struct loop_http_connection *conn);

/* connection_time.c: its limits in time */
void connection_watch(struct loop_http_connection *conn);
void connection_count_out(struct loop_http_connection *conn); /* what has gone, in the statistics */

/* exchange.c */
struct exchange *exchange_new(struct loop_http_connection *conn);
void exchange_begin(struct exchange *exchange); /* its head is complete */
void exchange_body(struct exchange *exchange, ssize_t size, const void *bytes);
void exchange_refuse(struct exchange *exchange, int status); /* the library answers */
void exchange_lost(struct exchange *exchange);               /* the peer has gone */
void exchange_over(struct exchange *exchange, int error);    /* frees it */
void exchange_free(struct exchange *exchange);
void exchange_hook(struct exchange *exchange, struct exchange_hook *hook);
void exchange_unhook(struct exchange *exchange, struct exchange_hook *hook);
void exchange_leave(struct exchange *exchange); /* the server closes */

/* response.c, response_write.c */
int response_send_head(struct exchange *exchange);
int response_write(struct exchange *exchange, const void *bytes, size_t size);
int response_finish(struct exchange *exchange);
void response_answer(struct exchange *exchange, int status); /* in the program's place */

/* response_stream.c */
void response_stream_cancel(struct exchange *exchange);

/* upgrade.c: answers 101 with the headers set on res and extra lines, ends the exchange, and hands
 * out the link, to be opened anew by link_take(), with what has come behind the head, which is
 * valid until the callback under way returns. In the request callback, for requests without a body.
 * Errors: -EPIPE, -EALREADY, -EINVAL (a body). */
int http_upgrade(struct loop_http_response *res, const char *extra, struct link **link,
                 const char **rest, size_t *rest_size);

/* The server has an eye on a link that has got its new user: when it closes it calls leave, which
 * says goodbye, or, now, goes at once, and calls nobody back. It waits for upgrade_over(), which
 * the user calls for every link of its, when that has closed. */
void upgrade_watch(struct loop_http_server *server, struct link *wire,
                   void (*leave)(struct link *wire, bool now));
void upgrade_over(struct link *wire);
void upgrade_leave(struct loop_http_server *server, bool now);

#endif
