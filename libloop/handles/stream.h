/* Internal. What the files of streams offer each other, and to tcp, pipe and tty.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_STREAM_H
#define LOOP_HANDLES_STREAM_H

#include "callback.h"

enum {
    STREAM_READING = 1, /* loop_read_start() */
    STREAM_LISTENING = 2,
    STREAM_SHUT = 4,       /* loop_shutdown() was called: nothing more may be written */
    STREAM_CROWDED = 8,    /* above the high mark, and the drain callback has not come */
    STREAM_EARLY = 16,     /* the next connect is to send data with its first packet */
    STREAM_DIRECT = 32,    /* open, connected, not shut, nothing queued: a write may be tried */
    STREAM_CONNECTED = 64, /* it may not connect again */
};

/* How a kind of descriptor is read and written. All return negative errnos. */
struct loop_stream_io {
    ssize_t (*read)(struct loop_stream *stream, void *bytes, size_t size);
    ssize_t (*write)(struct loop_stream *stream, const struct iovec *iov, int count,
                     const struct loop_write *write); /* NULL: no descriptors to pass */
    int (*end)(struct loop_stream *stream);           /* half-close */
    void (*told)(struct loop_stream *stream);         /* behind a read callback; or NULL */
    void (*release)(struct loop_stream *stream);      /* its descriptor is given away; or NULL */
    int (*watch)(struct loop_stream *stream, uint32_t events); /* instead of epoll; or NULL */
    bool (*busy)(struct loop_stream *stream); /* threads are at work for it; NULL: never */
};

/* 0: it is open. */
static inline int stream_usable(const struct loop_stream *stream)
{
    if (!stream)
        return -EINVAL;
    int error = handle_usable(&stream->handle);
    return !error && stream->watcher.fd < 0 ? -ENOTCONN : error;
}

/* The same for writing, which may be over though there is no descriptor: that of a pipe's end. */
static inline int stream_open_or_shut(const struct loop_stream *stream)
{
    int error = stream_usable(stream);
    return error == -ENOTCONN && stream->state & STREAM_SHUT ? 0 : error;
}

/* It is not over, and nothing is wrong: epoll will say when to try again. */
static inline bool stream_try_later(ssize_t result)
{
    return result == -EAGAIN || result == -EINTR;
}

/* The kernel's type has no const; the kernel only reads. */
static inline struct iovec stream_iovec(const struct loop_buf *buf)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)buf->bytes, .iov_len = buf->size};
}

/* stream.c */

void stream_init(struct loop *loop, struct loop_stream *stream, const struct loop_handle_ops *ops);
int stream_vacant(const struct loop_stream *stream); /* 0: it could be opened */
void stream_adopt(struct loop_stream *stream, int fd, const struct loop_stream_io *io);
void stream_block_again(struct loop_stream *stream); /* when it is given away */
void stream_shut(struct loop_stream *stream);        /* closes the descriptor, if there is one */
void stream_stop(struct loop_handle *handle);        /* for handle ops */
void stream_finish(struct loop_handle *handle);      /* for handle ops */
int stream_watch(struct loop_stream *stream);        /* has epoll report what is under way */
void stream_set_state(struct loop_stream *stream, unsigned state);

/* stream_request.c */

void stream_request_init(struct loop_stream *stream, struct loop_stream_request *req);
void stream_request_expect(struct loop_request *request, uint64_t due_ns); /* for request ops */
void stream_decide(struct loop_stream_request *req, int status); /* told in the pending phase */
void stream_decide_all(struct loop_stream *stream, int status);
void stream_decide_writes(struct loop_stream *stream,
                          int status);                 /* and the shutdown behind them */
void stream_tell_all(struct loop_stream *stream);      /* it is closed: told now */
bool stream_is_busy(const struct loop_stream *stream); /* requests are in flight */
uint64_t
stream_requests_due(struct loop_stream *stream); /* ends the late ones; the next deadline */

static inline struct loop_stream_request *stream_request_of(struct loop_request *request)
{
    return loop_container_of(request, struct loop_stream_request, request);
}

/* stream_connect.c */

void stream_connect(struct loop_stream *stream, struct loop_connect *connect, int result,
                    loop_connect_cb cb); /* result: what connect(2) said */
int stream_may_connect(const struct loop_stream *stream, const struct loop_connect *connect);
void stream_connected(struct loop_stream *stream);

/* stream_accept.c */

void stream_acceptable(struct loop_stream *listener);
void stream_tell_connection(struct loop_stream *listener, int status);

/* stream_read.c */

int stream_read_start(struct loop_stream *stream, loop_read_cb cb); /* for the pipe that has it */
void stream_read_stop(struct loop_stream *stream);
void stream_readable(struct loop_stream *stream);
void stream_tell_read(struct loop_stream *stream, ssize_t size, void *bytes);

/* stream_write.c */

int stream_write(struct loop_stream *stream, struct loop_write *write, const struct loop_buf *bufs,
                 size_t count, const int *fds, size_t fd_count, loop_write_cb cb);

/* What is written now has to wait. */
static inline bool stream_must_queue(const struct loop_stream *stream)
{
    return stream->connect || !list_empty(&stream->writing);
}

/* stream_queue.c */

enum { IOV_BATCH = 64 }; /* buffers in one call: 1 KiB of stack; more gain nothing measurable */

extern const struct loop_request_ops write_ops;
void stream_flush(struct loop_stream *stream);
void stream_consume(struct loop_stream *stream, size_t n); /* n bytes of the queue are written */

/* stream_shutdown.c */

void stream_end_if_written(struct loop_stream *stream);

/* stream_pipe.c */

void stream_pipe_end(struct loop_stream_pipe *pipe, int status, struct loop_stream *failed);
void stream_pipe_tell(struct loop_stream_pipe *pipe); /* it has ended: told now */

/* tcp.c */

extern const struct loop_stream_io socket_io;

#endif
