/* Internal. A link: bytes to and from one peer, over TCP, a unix-domain socket, or TLS on either.
 * Everything in this library that talks to a peer does it through a link, so that nothing above
 * knows of TLS, and a connection can change its user: after "101 Switching Protocols" a WebSocket
 * takes over the link that an HTTP connection had.
 *
 * A link is memory of its own, allocated by link_new() and freed after its closed() callback. Its
 * user is a table of four functions and an owner. Output is gathered in one buffer and leaves by a
 * tick, which runs when the callback that wrote has returned: a head, a body and a chunk's end are
 * one send(2), and so are the responses to pipelined requests.
 *
 * After each call of a user function the link may be closing: link_is_open() says so. Its memory
 * stays until closed() has returned.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_LINK_H
#define LOOP_HTTP_LINK_H

#include "loop/pipe.h"
#include "loop/task.h"
#include "loop/tcp.h"

struct link;
struct loop_http_server;
struct loop_tls;
struct loop_tls_context;

struct link_user {
    /* Bytes have come, lent until it returns; never after link_pause() or link_close(). */
    void (*bytes)(struct link *link, const char *bytes, size_t size);
    /* The peer has sent all it will (LOOP_EOF), or the link failed: then no more bytes come. The
     * user closes the link, or writes on behind LOOP_EOF, and is then told once more if the link
     * fails after all. */
    void (*ended)(struct link *link, int status);
    /* Few bytes wait, after a write that returned 1. */
    void (*drained)(struct link *link);
    /* In the closing phase: the descriptor is gone, and the link will be when this returns. */
    void (*closed)(struct link *link);
};

struct link {
    union {
        struct loop_stream stream;
        struct loop_tcp tcp;
        struct loop_pipe pipe;
    };
    const struct link_user *user;
    void *owner;           /* the user's */
    struct loop_tls *tls;  /* NULL: bytes go as they are */
    struct loop_task tick; /* gives to the stream what is gathered */
    struct loop_shutdown last;
    char *out; /* gathered */
    size_t out_size, out_capacity;
    uint64_t bytes_in, bytes_out; /* of the stream */
    uint64_t moved_ns;            /* loop_now() when the stream was last seen to take bytes */
    size_t seen_queued;           /* of the stream, when that was last looked at */
    int seen_unsent;              /* and bytes in the kernel that the peer had not taken */
    struct loop_link upgraded;    /* upgrade.c: on server->upgraded, if server is not NULL */
    struct loop_http_server *server;
    void (*leave)(struct link *link, bool now);
    int failed;    /* a write met this */
    uint8_t polls; /* that its end was put off for, to read what is there */
    bool reading;
    bool ticking;     /* the tick is queued */
    bool crowded;     /* the user was told to wait */
    bool ended;       /* the user was told so */
    bool lost;        /* by a failure, not by LOOP_EOF alone */
    bool half_closed; /* by us */
    bool closing;     /* the user hears no more but closed() */
};

/* Memory for a link, with its stream initialised for TCP or a unix-domain socket; NULL: none. Until
 * link_open() it may be freed by link_free(). */
struct link *link_new(struct loop *loop, bool tcp);
void link_free(struct link *link);

/* The stream is connected (or accepted): from now on user is called. Reads nothing yet. tls: the
 * context to speak TLS with, or NULL; name: for a client, whom it expects there; for a server NULL.
 * Fails with -ENOMEM; the link is then still to be closed. */
int link_open(struct link *link, const struct link_user *user, void *owner,
              struct loop_tls_context *tls, const char *name);

/* Whether bytes() comes. */
int link_read(struct link *link);
void link_pause(struct link *link);

/* Gathers bytes; 1: more than LOOP_WRITE_HIGH wait. Negative: the link is lost (-EPIPE), or would
 * hold more than LOOP_WRITE_MAX (-ENOBUFS), -ENOMEM. */
int link_write(struct link *link, const void *bytes, size_t size);

/* Room for size bytes at the end of what is gathered, for what is better formatted in place;
 * link_wrote() says how many were used. NULL: no memory, and the link is lost. */
char *link_room(struct link *link, size_t size);
void link_wrote(struct link *link, size_t size);

/* Gives to the stream what is gathered, now. 0 or the error that it met. */
int link_flush(struct link *link);

/* Bytes that wait, here or in the stream. */
static inline size_t link_waiting(const struct link *link)
{
    return link->out_size + link->stream.queued;
}

/* link_time.c. When the peer last took bytes, or when they began to wait in the stream, as far as
 * was seen: that is looked at here and with each write. */
uint64_t link_moved_ns(struct link *link);

/* So many bytes were given to the stream, behind what waited there. */
void link_gave(struct link *link, size_t waited, size_t size);

/* Closes when all that waits is written (the user's write stall ends that), or at once. No user
 * function but closed() comes any more. Harmless if called twice. */
void link_close(struct link *link);
void link_reset(struct link *link);

/* Half-close: the peer sees the end once it has what waits; bytes() goes on. */
int link_shutdown(struct link *link);

static inline bool link_is_open(const struct link *link)
{
    return !link->closing;
}

#endif
