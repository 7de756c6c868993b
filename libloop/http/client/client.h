/* Internal. The client's side: calls under way, connections and the pool, and what they ask of each
 * other, grouped by file.
 *
 * A fetch is what the library knows of a call in flight. It is on client->fetches from its start
 * until its program was told the end, and meanwhile either waits in the queue of an origin, or has
 * a connection, or is decided. A connection has a fetch, or is kept (on two lists, its origin's and
 * the client's), or is leaving. Whatever ends a fetch goes through fetch_decide(), and the program
 * hears of it from a tick: so a fetch that has met its end stays valid for what is on the stack.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_CLIENT_INTERNAL_H
#define LOOP_HTTP_CLIENT_INTERNAL_H

#include "wire/link.h"
#include "list.h"
#include "wire/message.h"

#include "loop/dial.h"
#include "loop/http/client.h"
#include "loop/http/url.h"

enum {
    COLLECT_BYTES = 1024 * 1024,
    REDIRECTS = 5,
    INTERIM_MAX = 16,              /* responses of 1xx to one request */
    REDIRECT_BODY_MAX = 64 * 1024, /* more is dearer than a new connection */
};

#define GET_NS      (30 * LOOP_SEC)
#define CONTINUE_NS LOOP_SEC /* who does not know "Expect" says nothing: RFC 9110 10.1.1 */

/* Where requests of one scheme, host and port go. It goes when nobody waits and nothing is open. */
struct origin {
    struct loop_link link; /* on client->origins */
    struct loop_http_client *client;
    struct loop_link waiting; /* fetches, by age */
    struct loop_link idle;    /* connections that are kept, the latest used last */
    uint32_t connections;     /* of any kind */
    bool secure;
    char service[8]; /* the port */
    char host[];     /* lower case; an IPv6 address without brackets */
};

struct client_conn {
    struct loop_link link; /* on origin->idle, or alone */
    struct loop_link kept; /* on client->idle, or alone */
    struct origin *origin;
    struct fetch *fetch; /* NULL: it is kept, or leaving */
    struct link *wire;
    union {
        struct loop_dial dial;
        struct loop_connect connect;
    };
    struct loop_task tick; /* goes on parsing */
    struct message message;
    struct input input; /* not parsed yet: of the read under way, or held */
    char *held;         /* what could not be parsed when it came */
    uint64_t since_ns;  /* when it began to be kept */
    uint32_t responses; /* that were read on it */
    int ended;          /* how its input ended; 0: it has not */
    bool open;          /* the link is */
    bool heard;         /* bytes have come since the request under way was begun */
    bool keep_alive;    /* the server lets it be used again, once the response is read */
    bool ticking;
    bool leaving;
};

enum fetch_phase {
    FETCH_WAITING,    /* in its origin's queue */
    FETCH_CONNECTING, /* has a connection, which is being opened */
    FETCH_ASKED,      /* the request goes out; no head has come */
    FETCH_BODY,       /* the head has come */
    FETCH_DECIDED,    /* the program is told by the next tick */
};

struct fetch {
    struct loop_link link;  /* on client->fetches */
    struct loop_link queue; /* on origin->waiting, or alone */
    struct loop_http_call *call;
    struct loop_http_client *client;
    struct origin *origin;                 /* while it waits */
    struct client_conn *conn;              /* or NULL */
    struct loop_timer timer;               /* active all the time: it keeps the loop alive */
    struct loop_task tick;                 /* tells its end */
    struct loop_http_call_options options; /* but for what is copied: */
    char *method, *url;
    char *lines; /* the program's headers, as they are sent */
    size_t lines_size;
    uint64_t seq;      /* grows with every start */
    uint64_t due_ns;   /* of the whole; LOOP_NEVER: none */
    uint64_t since_ns; /* when the server's turn began, or a byte of the body last came */
    enum fetch_phase phase;
    int status; /* once it is decided */

    size_t sent;      /* of options.body */
    uint64_t written; /* of a streamed body */
    char *early;      /* of it, framed, before it may be sent */
    size_t early_size, early_capacity;
    bool ended;      /* the program has streamed all */
    bool bodiless;   /* a redirect has taken the body away */
    bool nameless;   /* and this one the credentials */
    bool expecting;  /* "100 Continue" */
    bool body_open;  /* the body may be sent */
    bool body_begun; /* some of it was given to a link */
    bool sent_all;   /* the request is complete */
    bool crowded;    /* the program was told to wait */
    bool retried;    /* has met a connection that had been closed: needs a new one */

    struct head *head;
    uint32_t interim; /* responses that have come before the real one */
    bool paused;
    bool unpacking;          /* packed, or what the decoder holds, is not delivered */
    struct input packed;     /* of the body, to be decoded: ends before conn->input */
    struct decoder *decoder; /* NULL: the body is as it comes */
    char *next_url;          /* where a redirect leads, while its body is thrown away; or NULL */
    uint64_t discarded;      /* bytes of that */
    char *collected;
    size_t collected_size, collected_capacity;
};

static inline uint64_t ns_later(uint64_t ns, uint64_t after_ns)
{
    return after_ns > LOOP_NEVER - ns ? LOOP_NEVER : ns + after_ns;
}

/* client.c */
void client_end_if_done(struct loop_http_client *client);

/* client_pool.c: origins, and who goes next */
int pool_queue(struct fetch *fetch); /* anew or again: by its age */
void pool_unqueue(struct fetch *fetch);
void pool_dispatch(struct loop_http_client *client); /* from a tick */
void pool_keep(struct client_conn *conn);
void pool_unkeep(struct client_conn *conn);
void pool_release_origin(struct origin *origin); /* if nobody needs it */

/* client_conn.c: connections */
int conn_dial(struct origin *origin, struct fetch *fetch);
void conn_begin(struct client_conn *conn, struct fetch *fetch);
bool conn_is_fresh(const struct client_conn *conn); /* still open, and silent */
void conn_release(struct client_conn *conn);        /* its response was read */
void conn_leave(struct client_conn *conn);          /* closes it; its fetch is on its own */

/* client_parse.c: their input */
void conn_parse(struct client_conn *conn);
void conn_go_on(struct client_conn *conn); /* the same from a tick */

/* client_fetch.c: the life of a fetch */
void fetch_enter(struct fetch *fetch, enum fetch_phase phase);
void fetch_decide(struct fetch *fetch, int status);
void fetch_fail(struct fetch *fetch, int status); /* its connection has; it may go on elsewhere */
void fetch_free(struct fetch *fetch);

/* client_time.c */
void fetch_watch(struct fetch *fetch);

/* client_send.c: the request. Negative: it cannot be sent. */
int fetch_send(struct fetch *fetch);
void fetch_send_body(struct fetch *fetch); /* who expected to be told has been */
void fetch_drained(struct fetch *fetch);

/* client_headers.c. The headers of a program as text, for fetch->lines. */
int headers_to_lines(const struct loop_http_call_options *options, char **lines, size_t *size);

/* client_redirect.c. Plans where a redirect leads: 1: fetch->next_url; 0: this response is the one
 * that counts; negative: an error. Then goes there. */
int redirect_plan(struct fetch *fetch, int status);
void redirect_follow(struct fetch *fetch);

/* client_decode.c: gzip. decoder_next() takes from input and sets bytes and size: 1: there are
 * some, and there may be more; 0: it has all that there is; -EBADMSG, -ENOMEM. */
struct decoder *decoder_new(void);
void decoder_free(struct decoder *decoder);
int decoder_next(struct decoder *decoder, struct input *input, const char **bytes, size_t *size);
bool decoder_is_whole(const struct decoder *decoder);

#endif
