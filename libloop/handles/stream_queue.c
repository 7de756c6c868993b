/* What waits to be written, and how it is written when the kernel has room.
 *
 * The queue is written in as few calls as can be: up to 64 buffers, of as many requests as there
 * are, go into one sendmsg(2). What a call took may end in the middle of a buffer.
 *
 * A stream above its high mark is crowded until its low mark; the drain callback tells the end of
 * that, and comes before the callback of the write that made it so, as in Node.
 *
 * A queue that the kernel refuses (the peer is gone) fails whole: its writes are told the same
 * error, in order, and then a shutdown that waited behind them.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

/* Calls for one readiness: a quick reader must not hold up the loop. */
enum { FLUSHES_MAX = 16 };

static struct loop_write *linked(struct loop_link *link)
{
    return loop_container_of(link, struct loop_write, common.link);
}

static bool is_drained(struct loop_stream *stream)
{
    if (!(stream->state & STREAM_CROWDED) || stream->queued > stream->low)
        return false;
    stream->state &= (uint16_t)~STREAM_CROWDED;
    return stream->drain_cb && !(stream->handle.flags & HANDLE_CLOSING);
}

static void tell_drained(struct loop_stream *stream)
{
    struct loop *loop = stream->handle.loop;
    handle_callback_begin(&stream->handle, (loop_function)stream->drain_cb, 0);
    stream->drain_cb(stream);
    callback_end(loop);
}

static void before(struct loop_request *request)
{
    struct loop_stream *stream = stream_request_of(request)->stream;
    if (is_drained(stream))
        tell_drained(stream);
}

static void complete(struct loop_request *request)
{
    struct loop_write *write = loop_container_of(request, struct loop_write, request);
    struct loop *loop = request->loop;
    list_remove(&write->common.link);
    memory_resize(&loop->options.allocator, write->allocated, 0);
    write->allocated = NULL;
    if (write->owned) {
        memory_resize(&loop->options.allocator, write, 0);
    } else if (write->cb) {
        loop_function cb = (loop_function)write->cb;
        callback_begin(loop, request_subject(request, cb), (int64_t)write->written);
        write->cb(write, write->common.status);
        callback_end(loop);
    }
}

/* What has been written stays written. */
static void cancel(struct loop_request *request, int status)
{
    struct loop_write *write = loop_container_of(request, struct loop_write, request);
    struct loop_stream *stream = write->common.stream;
    stream->queued -= write->left;
    stream_decide(&write->common, status);
    stream_end_if_written(stream);
    stream_watch(stream);
}

const struct loop_request_ops write_ops = {.type = "write",
                                           .complete = complete,
                                           .cancel = cancel,
                                           .expect = stream_request_expect,
                                           .before = before};

/* n bytes of it are written. */
static void advance(struct loop_write *write, size_t n)
{
    write->written += n;
    write->left -= n;
    write->fd_count = n > 0 ? 0 : write->fd_count; /* they went with the first byte */
    while (write->count > 0 && n >= write->bufs->size) {
        n -= write->bufs->size;
        write->bufs++;
        write->count--;
    }
    if (n > 0)
        *write->bufs =
            (struct loop_buf){(const char *)write->bufs->bytes + n, write->bufs->size - n};
}

/* n bytes of the queue are written: what they complete is decided. */
void stream_consume(struct loop_stream *stream, size_t n)
{
    stream->queued -= n;
    while (!list_empty(&stream->writing)) {
        struct loop_write *write = linked(stream->writing.next);
        size_t taken = n < write->left ? n : write->left;
        advance(write, taken);
        n -= taken;
        if (write->left > 0)
            return;
        stream_decide(&write->common, 0);
    }
}

/* As much of the queue as fits in one call, and no descriptors but the first write's. */
static int gather(const struct loop_stream *stream, struct iovec *iov, size_t *size)
{
    int n = 0;
    for (struct loop_link *link = stream->writing.next; link != &stream->writing && n < IOV_BATCH;
         link = link->next) {
        const struct loop_write *write = linked(link);
        if (write->fd_count > 0 && link != stream->writing.next)
            break;
        for (uint32_t i = 0; i < write->count && n < IOV_BATCH; i++) {
            *size += write->bufs[i].size;
            iov[n++] = stream_iovec(&write->bufs[i]);
        }
    }
    return n;
}

/* Descriptors that cannot be passed are the trouble of the write that has them. */
static void fail(struct loop_stream *stream, struct loop_write *write, int error)
{
    if (write->fd_count == 0) {
        stream_decide_writes(stream, error);
        return;
    }
    stream->queued -= write->left;
    stream_decide(&write->common, error);
}

/* false: the kernel takes no more for now, or nothing is left. */
static bool flush_once(struct loop_stream *stream)
{
    struct iovec iov[IOV_BATCH];
    size_t size = 0;
    int count = gather(stream, iov, &size);
    ssize_t sent =
        count > 0 ? stream->io->write(stream, iov, count, linked(stream->writing.next)) : 0;
    if (stream_try_later(sent))
        return false;
    stream->active_ns = stream->handle.loop->now_ns;
    if (sent < 0) {
        fail(stream, linked(stream->writing.next), (int)sent);
        return !list_empty(&stream->writing);
    }
    stream_consume(stream, (size_t)sent);
    return (size_t)sent == size && !list_empty(&stream->writing);
}

void stream_flush(struct loop_stream *stream)
{
    int flushes = 0;
    while (flush_once(stream) && ++flushes < FLUSHES_MAX)
        ;
    bool drained = is_drained(stream);
    stream_end_if_written(stream);
    stream_watch(stream);
    if (drained)
        tell_drained(stream); /* last: it may free the stream */
}
