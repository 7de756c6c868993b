/* Public. Server-sent events: a channel that a server publishes on, and browsers that listen to it
 * by EventSource, or anything else that reads text/event-stream. Part of libloop-http.
 *
 * A channel remembers its last events, so many and so many bytes. A subscriber whose connection
 * broke comes back with the id of the last event it saw (Last-Event-ID) and gets what it missed.
 * That is also how slow ones are served: a subscriber for whom too much waits is cut off, and takes
 * the rest from there when it comes back, so that nobody holds up the others or takes memory
 * without end.
 *
 * Subscribing gives the response away: it ends when the peer goes, the subscriber is too slow, the
 * server closes, or the channel is finished. A browser comes back after each of these, by itself,
 * until it is answered with 204.
 *
 * All functions are for the loop's thread (who is on another posts a task), may be called in any
 * callback, and call nobody back but on_log of the server. This is the server's side; a client that
 * reads such streams is not part of the library.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_EVENTS_H
#define LOOP_HTTP_EVENTS_H

#include "../http.h"

struct event_text;

enum { LOOP_HTTP_EVENT_ID_MAX = 127 }; /* bytes of an id */

/* An event. Strings and data are UTF-8, and copied. */
struct loop_http_event {
    const char *id;   /* NULL: the next of the channel, which no earlier run has used */
    const char *type; /* the name that addEventListener() is given; NULL: "message" */
    const char *data; /* of any length of lines; CR, LF and CR LF all arrive as LF */
    size_t size;      /* of data */
};

/* 0 stands for the default. */
struct loop_http_events_options {
    uint32_t keep_events;   /* that are remembered: 1000 */
    uint32_t keep_bytes;    /* of their text: 1 MiB */
    uint32_t waiting_bytes; /* for one subscriber, and then it is cut off: 256 KiB */
    uint32_t subscribers;   /* 10,000; more are answered with 503 */
    uint64_t quiet_ns;      /* without an event, then a comment is sent: 15 s; LOOP_NEVER: none */
    uint32_t retry_ms;      /* what browsers wait before they come back; 0: what they like, 3 s */
    const char *lost; /* the type of an event, without data, for those who come back too late to get
                         all they missed, before what there is; NULL: none. Lent */
};

struct loop_http_events {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    size_t count;                            /* of subscribers */
    uint64_t published;                      /* events, since it was made */
    uint64_t cut_off;                        /* subscribers that were too slow */
    struct loop_http_events_options options; /* with the defaults filled in */

    /* private */
    struct loop_link subscribers;
    struct event_text **ring; /* options.keep_events; event n is at n % that */
    uint64_t first;           /* the oldest that is remembered; published: none is */
    uint64_t kept_bytes;
    uint64_t run;      /* in the ids that are made here */
    uint64_t spoke_ns; /* when all were last sent something */
    struct loop_timer quiet;
    char last[LOOP_HTTP_EVENT_ID_MAX + 1];   /* the id of the newest, remembered or not */
    char before[LOOP_HTTP_EVENT_ID_MAX + 1]; /* of the one before the oldest remembered */
};

/* Makes a channel in the caller's memory. options (NULL: all defaults) is copied. Errors: -EINVAL
 * (waiting_bytes over LOOP_WRITE_MAX or under 2 * LOOP_WRITE_HIGH; lost is no type), -ENOMEM. */
LOOP_API int loop_http_events_init(struct loop *loop, struct loop_http_events *events,
                                   const struct loop_http_events_options *options);

/* Ends the responses of all subscribers, who get what waits for them, and forgets all events. The
 * memory is the caller's again; as long as it is left as it is, who publishes gets -ECANCELED, and
 * who subscribes is answered with 204, so that browsers do not come back. */
LOOP_API void loop_http_events_fini(struct loop_http_events *events);

/* Makes a subscriber of the peer of a response, with the headers that were set on it. Cache-Control
 * is set to "no-store, no-transform", which also keeps the stream from being compressed, unless the
 * program has set it. Whatever is returned, the request and the response must not be touched any
 * more. Errors, with the response ended by that status: -ECANCELED (finished: 204), -EBUSY (as many
 * as may be: 503), -ENOMEM (503), -EPIPE (the peer has gone), -EALREADY (something was written). A
 * request for the head alone is answered at once. */
LOOP_API int loop_http_subscribe(struct loop_http_events *events, struct loop_http_response *res);

/* Sends an event to all subscribers, and remembers it. Its text is made once. Errors: -EINVAL (an
 * id or a type that is empty, has controls such as line ends, or, an id, spaces around it),
 * -EILSEQ (not UTF-8), -ENAMETOOLONG (an id), -EMSGSIZE (its text is larger than half of
 * options.waiting_bytes), -ENOMEM, -ECANCELED (finished). */
LOOP_API int loop_http_publish(struct loop_http_events *events,
                               const struct loop_http_event *event);

/* The same with data that ends in a 0; type may be NULL. */
LOOP_API int loop_http_publish_text(struct loop_http_events *events, const char *type,
                                    const char *text);

#endif
