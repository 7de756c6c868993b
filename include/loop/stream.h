/* Public. Streams: bytes in order, both ways. TCP (loop/tcp.h), pipes and unix-domain sockets
 * (loop/pipe.h), terminals (loop/tty.h) and files (loop/file.h) are streams, and all that is said
 * here holds for each: give these functions &tcp.stream.
 *
 * Reading costs an idle connection no memory: the loop lends one buffer to whichever callback is
 * running. Writing tries at once and queues what the kernel does not take; the caller's bytes are
 * lent, not copied, until the callback (but for loop_write_copy()). The queue has marks: above the
 * high one loop_write() says so, at the low one the drain callback comes, and above the hard cap
 * nothing is accepted. No SIGPIPE is ever raised.
 *
 * A stream owns a descriptor from open, bind, connect or accept on, and must be closed. Closing
 * completes its requests, with -ECANCELED if their outcome is not decided yet, in the order
 * connect, read, writes, shutdown, and then calls back. Every request may be cancelled by
 * loop_request_cancel() and have a deadline by loop_request_deadline(). A function that returns an
 * error has started nothing and calls nobody back.
 *
 * Errors common to all: -EINVAL (an argument NULL or out of range), -ECANCELED (closing), -ENOTCONN
 * (the stream has no descriptor yet).
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_STREAM_H
#define LOOP_STREAM_H

#include "core.h"
#include "request.h"
#include "timer.h"

#include <sys/types.h>

struct loop_connect;
struct loop_read;
struct loop_shutdown;
struct loop_stream;
struct loop_stream_io;
struct loop_stream_pipe;
struct loop_stream_request;
struct loop_write;

enum {
    LOOP_WRITE_LOW = 16 * 1024,        /* the default marks of the write queue, in bytes */
    LOOP_WRITE_HIGH = 64 * 1024,       /* one read's worth: a relay is never far ahead */
    LOOP_WRITE_MAX = 16 * 1024 * 1024, /* nobody has that much in mind for one peer */
    LOOP_BACKLOG = 511,                /* for loop_listen(), if you have no idea; as Node */
    LOOP_WRITE_FDS_MAX = 253,          /* the kernel's: SCM_MAX_FD */
};

/* Bytes to write. */
struct loop_buf {
    const void *bytes;
    size_t size;
};

/* Comes in the poll phase. size > 0: so many bytes, valid, and yours to change, until the callback
 * returns. LOOP_EOF: the peer has sent all it will, writing may go on. Another negative errno: what
 * the kernel said of the connection. Both come once, and reading has stopped. */
typedef void (*loop_read_cb)(struct loop_stream *stream, ssize_t size, void *bytes);

/* Comes in the poll phase, once; read->size says how many bytes are there, whatever the status. */
typedef void (*loop_read_into_cb)(struct loop_read *read, int status);

/* Comes in the poll or the pending phase, once; write->written says how many bytes the kernel has
 * taken, whatever the status. */
typedef void (*loop_write_cb)(struct loop_write *write, int status);
typedef void (*loop_connect_cb)(struct loop_connect *connect, int status);
typedef void (*loop_shutdown_cb)(struct loop_shutdown *shutdown, int status);

/* Comes in the poll phase. status 0: one connection waits for loop_accept() or loop_refuse().
 * Negative: descriptors or memory ran out (-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM); told once until a
 * connection is accepted again, which is tried by itself from time to time; or somebody has shut it
 * down or closed it (-EINVAL, -EBADF), and it listens no more. */
typedef void (*loop_connection_cb)(struct loop_stream *listener, int status);

/* What else may happen to a stream. */
typedef void (*loop_stream_cb)(struct loop_stream *stream);

/* Comes once, when all is copied (status 0), or by the first error of either side. */
typedef void (*loop_stream_pipe_cb)(struct loop_stream_pipe *pipe, int status);

struct loop_stream {
    struct loop_handle handle;

    /* read-only */
    size_t queued; /* bytes that wait to be written */

    /* private */
    struct loop_watcher watcher;
    const struct loop_stream_io *io;     /* how its descriptor is read and written */
    struct loop_stream_request *connect; /* under way, as all that follow; or NULL */
    struct loop_stream_request *read;
    struct loop_stream_request *shutdown;
    struct loop_stream_pipe *source; /* copies from somewhere to here */
    struct loop_stream_pipe *sink;   /* copies from here to somewhere */
    struct loop_link writing;        /* requests whose bytes wait, in order */
    struct loop_link decided;        /* requests whose outcome is known but not told */
    union {
        loop_read_cb read_cb;
        loop_connection_cb connection_cb;
    };
    loop_stream_cb drain_cb;
    loop_stream_cb idle_cb;
    size_t low, high, max;      /* of the write queue */
    uint64_t idle_ns;           /* LOOP_NEVER: no idle deadline */
    uint64_t active_ns;         /* when bytes moved last */
    struct loop_timer deadline; /* fires at the earliest of all, or before */
    uint64_t retry_ns;          /* of a listener: when it tries to accept again; or LOOP_NEVER */
    int held_fd;                /* of a listener: accepted, and not yet taken; or -1 */
    uint32_t blocks_in; /* a process and 1: which makes it blocking again; 0: it is left as it is */
    uint16_t backoff_ms; /* of a listener without descriptors; 0: it has some */
    uint16_t state;
};

/* What the requests of streams begin with. */
struct loop_stream_request {
    struct loop_request request;

    /* read-only */
    struct loop_stream *stream;

    /* private */
    struct loop_link link; /* on stream->writing, on stream->decided, or alone */
    uint64_t due_ns;       /* LOOP_NEVER: no deadline */
    int status;            /* once it is decided */
};

struct loop_connect {
    union {
        struct loop_request request; /* request.data is yours */
        struct loop_stream_request common;
    };

    /* private */
    loop_connect_cb cb;
};

struct loop_read {
    union {
        struct loop_request request; /* request.data is yours */
        struct loop_stream_request common;
    };

    /* read-only */
    size_t size; /* bytes read so far */

    /* private */
    char *bytes;
    size_t min, max;
    loop_read_into_cb cb;
};

struct loop_write {
    union {
        struct loop_request request; /* request.data is yours */
        struct loop_stream_request common;
    };

    /* read-only */
    size_t written; /* bytes that the kernel has taken */

    /* private */
    size_t left; /* bytes that wait */
    loop_write_cb cb;
    struct loop_buf *bufs; /* what is left of them: in few, or allocated */
    struct loop_buf *allocated;
    struct loop_buf few[4];
    const int *fds; /* to go with the first byte */
    uint32_t fd_count;
    uint32_t count; /* of bufs */
    bool owned;     /* made by loop_write_copy() */
};

struct loop_shutdown {
    union {
        struct loop_request request; /* request.data is yours */
        struct loop_stream_request common;
    };

    /* private */
    loop_shutdown_cb cb;
};

struct loop_stream_pipe {
    struct loop_request request; /* request.data is yours */

    /* read-only */
    struct loop_stream *from;
    struct loop_stream *to;
    struct loop_stream *failed; /* with an error: the side that it came from; or NULL */
    uint64_t copied;            /* bytes that have been written */

    /* private */
    struct loop_write write;
    struct loop_shutdown end;
    loop_stream_pipe_cb cb;
    void *kept; /* read, and not yet written: memory only while to is slow */
    int status;
    bool keep_open;
    bool ended; /* and its outcome decided */
};

/* Calls cb for each piece that arrives. The stream is active while it reads; a connect that fails
 * ends that, and is told to its own callback alone. Errors: -EALREADY (it reads), -EBUSY (a
 * loop_read_into() is in flight, or it listens), -ENOMEM, and those of epoll_ctl(2). */
LOOP_API int loop_read_start(struct loop_stream *stream, loop_read_cb cb);

/* No callback comes any more; what arrives waits in the kernel, and so, at last, at the peer.
 * Harmless if it does not read. */
LOOP_API void loop_read_stop(struct loop_stream *stream);

/* Reads once into the caller's memory, lent until cb: at least min bytes, at most max. min == max
 * reads exactly so many; min 1 takes what comes. Status LOOP_EOF: the stream ended before min.
 * Errors: -EBUSY (another read is on, of whatever kind), -EOPNOTSUPP (a pipe that receives
 * descriptors), and as loop_read_start(). */
LOOP_API int loop_read_into(struct loop_stream *stream, struct loop_read *read, void *bytes,
                            size_t min, size_t max, loop_read_into_cb cb);

/* Writes count buffers, at once as far as the kernel takes them, the rest when it does. bufs is the
 * caller's again when the call returns, the bytes are lent until cb. cb may be NULL if you need no
 * word of success; if all was taken at once the request is then free already. Returns 0, or 1 if
 * more than the high mark now waits: better wait for the drain callback. Errors: -ENOBUFS (the
 * bytes would not fit under the hard cap if the kernel took none), -EPIPE (after loop_shutdown(),
 * or the peer reads no more), -ECONNRESET and others of send(2), -ENOMEM (more than 4 buffers to
 * queue). With an error write->written says what had been written before it. */
LOOP_API int loop_write(struct loop_stream *stream, struct loop_write *write,
                        const struct loop_buf *bufs, size_t count, loop_write_cb cb);

/* As loop_write(), for bytes that will not last: what the kernel does not take at once is copied,
 * to memory that the library frees. Nobody is called back; a later error of the connection is told
 * to reads and to later writes. After -ENOMEM a part may have gone: all later writes are -EPIPE,
 * since they would follow a hole. */
LOOP_API int loop_write_copy(struct loop_stream *stream, const void *bytes, size_t size);

/* Writes what the kernel takes at once, and returns how many bytes that are. -EAGAIN: none, or
 * others wait already. */
LOOP_API ssize_t loop_try_write(struct loop_stream *stream, const struct loop_buf *bufs,
                                size_t count);

/* Half-close: when all that is queued is written, tells the peer that no more comes. Reading goes
 * on. cb may be NULL. For one end of a pipe(2) that means closing the descriptor, for a terminal
 * only that the queue is empty. Errors: -EALREADY, -EBUSY (it listens). */
LOOP_API int loop_shutdown(struct loop_stream *stream, struct loop_shutdown *shutdown,
                           loop_shutdown_cb cb);

/* Closes at once and unkindly: a TCP peer is sent a reset and may lose what it has not read; what
 * is queued here is thrown away. Otherwise as loop_close(). */
LOOP_API void loop_stream_reset(struct loop_stream *stream, loop_close_cb cb);

/* Waits for connections on a bound stream. backlog: how many may wait in the kernel, which has a
 * limit of its own (/proc/sys/net/core/somaxconn). The stream is active while it listens. Errors:
 * -EALREADY, -EADDRINUSE and others of listen(2). */
LOOP_API int loop_listen(struct loop_stream *listener, int backlog, loop_connection_cb cb);

/* Takes the connection that waits, in the connection callback or later, for an initialised stream
 * of the same kind that has no descriptor. As long as one waits no other is accepted, so a server
 * that is busy may simply put it off. Errors: -EAGAIN (none waits), -EBUSY (the client is open). */
LOOP_API int loop_accept(struct loop_stream *listener, struct loop_stream *client);

/* Sends the connection that waits away, with a reset. -EAGAIN: none waits. */
LOOP_API int loop_refuse(struct loop_stream *listener);

/* Calls cb when for idle_ns no byte has moved either way, and again after each further such time;
 * what it does, close or ask if the peer is there, is yours. LOOP_NEVER: no more. Costs one store a
 * read or write. Does not keep the loop alive. */
LOOP_API int loop_stream_set_idle(struct loop_stream *stream, uint64_t idle_ns, loop_stream_cb cb);

/* The marks of the write queue, in bytes; 0 for LOOP_WRITE_LOW, _HIGH, _MAX. After a write that
 * said 1, cb (may be NULL) comes once when low bytes or fewer wait, also because they failed,
 * before the callback of the write that made it so. Errors: -EINVAL (not low < high <= max), -EBUSY
 * (more than max waits). */
LOOP_API int loop_stream_set_marks(struct loop_stream *stream, size_t low, size_t high, size_t max,
                                   loop_stream_cb cb);

/* Copies from one stream to the other until the first ends, no faster than the second takes it, and
 * then shuts the second down, unless loop_stream_pipe_keep_open() was called. Two of them, there
 * and back, make a proxy. The streams stay the caller's: nothing is closed. cb gets 0, or the error
 * of pipe->failed; closing either stream, or cancelling, ends it with -ECANCELED, and what was read
 * and not yet written, up to 64 KiB, is dropped: copied is exact, but into a file, of which an
 * error may take a piece along. Errors: -EBUSY (from is read already, or another pipe uses that
 * side). */
LOOP_API int loop_stream_pipe(struct loop_stream *from, struct loop_stream *to,
                              struct loop_stream_pipe *pipe, loop_stream_pipe_cb cb);
LOOP_API void loop_stream_pipe_keep_open(struct loop_stream_pipe *pipe);

/* Takes the descriptor out: it is the caller's and no more watched, and non-blocking but if it was
 * adopted blocking; the stream is as after its init. Open it in another loop, or close it. Errors:
 * -EBUSY (a request is in flight). */
LOOP_API int loop_stream_detach(struct loop_stream *stream);

/* The descriptor, which stays the stream's: for setsockopt(2) and the like. -1: none. */
LOOP_API int loop_stream_fd(const struct loop_stream *stream);

/* More than the high mark waits, and the drain callback has not come. */
LOOP_API bool loop_stream_needs_drain(const struct loop_stream *stream);

#endif
