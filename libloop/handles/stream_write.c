/* Writing: tried at once, and what the kernel does not take is queued.
 *
 * Only then is epoll asked to say when there is room (stream_queue.c), so a program whose peers
 * keep up never pays for a queue. The bytes stay the caller's; what is left of the list of buffers
 * is copied, into the request if it is short. A write that was taken whole and whose caller asked
 * for no word of it has never been in flight: that is the short way through this file.
 *
 * The hard cap is a promise about memory, so it counts a write as if the kernel took nothing, and
 * refuses it whole.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

#include <limits.h>

/* -1: more than memory can hold, or bytes NULL. */
static inline ssize_t total(const struct loop_buf *bufs, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (bufs[i].size > SSIZE_MAX - size || (!bufs[i].bytes && bufs[i].size > 0))
            return -1;
        size += bufs[i].size;
    }
    return (ssize_t)size;
}

/* How many bytes the kernel takes now; 0 also if others wait. */
static ssize_t try_one(struct loop_stream *stream, const struct loop_buf *buf,
                       const struct loop_write *write)
{
    if (stream_must_queue(stream) || buf->size == 0)
        return 0;
    struct iovec iov = stream_iovec(buf);
    ssize_t sent = stream->io->write(stream, &iov, 1, write);
    if (sent < 0)
        return stream_try_later(sent) ? 0 : sent;
    stream->active_ns = stream->handle.loop->now_ns;
    return sent;
}

/* A batch of them; *whole says whether the kernel took all of it. */
static ssize_t try_batch(struct loop_stream *stream, const struct loop_buf *bufs, size_t count,
                         const struct loop_write *write, bool *whole)
{
    struct iovec iov[IOV_BATCH];
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        iov[i] = stream_iovec(&bufs[i]);
        size += bufs[i].size;
    }
    ssize_t sent = size > 0 ? stream->io->write(stream, iov, (int)count, write) : 0;
    *whole = sent >= 0 && (size_t)sent == size;
    return stream_try_later(sent) ? 0 : sent;
}

/* What is wrong after some were taken will be said again. */
static ssize_t try_many(struct loop_stream *stream, const struct loop_buf *bufs, size_t count,
                        const struct loop_write *write)
{
    ssize_t all = 0;
    bool whole = !stream_must_queue(stream);
    while (count > 0 && whole) {
        size_t n = count < IOV_BATCH ? count : IOV_BATCH;
        ssize_t sent = try_batch(stream, bufs, n, all == 0 ? write : NULL, &whole);
        if (sent < 0)
            return all > 0 ? all : sent;
        all += sent;
        bufs += n;
        count -= n;
    }
    if (all > 0)
        stream->active_ns = stream->handle.loop->now_ns;
    return all;
}

static inline ssize_t try_now(struct loop_stream *stream, const struct loop_buf *bufs, size_t count,
                              const struct loop_write *write)
{
    return count == 1 ? try_one(stream, bufs, write) : try_many(stream, bufs, count, write);
}

/* What is left behind the first n bytes, in memory that lasts. */
static int keep(struct loop_stream *stream, struct loop_write *write, const struct loop_buf *bufs,
                size_t count, size_t n)
{
    const struct loop_allocator *allocator = &stream->handle.loop->options.allocator;
    for (; count > 0 && n >= bufs->size; bufs++, count--)
        n -= bufs->size;
    write->bufs = write->few;
    if (count > sizeof(write->few) / sizeof(*write->few)) {
        write->allocated = memory_resize(allocator, NULL, count * sizeof(*bufs));
        write->bufs = write->allocated;
    }
    if (!write->bufs)
        return -ENOMEM;
    for (; count > 0; bufs++, count--, n = 0)
        if (bufs->size > 0)
            write->bufs[write->count++] =
                (struct loop_buf){(const char *)bufs->bytes + n, bufs->size - n};
    return 0;
}

/* Behind the others, if there are any; if not and nothing is left of it, it is done. */
static int queue(struct loop_stream *stream, struct loop_write *write)
{
    bool waits = write->left > 0 || stream_must_queue(stream);
    stream_request_init(stream, &write->common);
    list_append(&stream->writing, &write->common.link);
    int error = waits ? stream_watch(stream) : 0;
    if (error) {
        list_remove(&write->common.link);
        return error;
    }
    request_start(stream->handle.loop, &write->request, &write_ops, (loop_function)write->cb);
    stream->queued += write->left;
    if (!waits)
        stream_consume(stream, 0);
    if (stream->queued > stream->high)
        stream->state |= STREAM_CROWDED;
    return stream->queued > stream->high;
}

/* size: of bytes that are there, or -1. The marks keep max within what a size may be, and the queue
 * within max. */
static inline int refused(const struct loop_stream *stream, ssize_t size)
{
    int error = stream_open_or_shut(stream);
    if (error)
        return error;
    if (size < 0)
        return -EINVAL;
    if (stream->state & STREAM_SHUT)
        return -EPIPE;
    return (size_t)size > stream->max - stream->queued ? -ENOBUFS : 0;
}

static int write_or_queue(struct loop_stream *stream, struct loop_write *write,
                          const struct loop_buf *bufs, size_t count)
{
    ssize_t size = total(bufs, count);
    int error = refused(stream, size);
    if (error)
        return error;
    ssize_t sent = try_now(stream, bufs, count, write);
    if (sent < 0)
        return (int)sent;
    write->written = (size_t)sent;
    write->left = (size_t)(size - sent);
    if (sent > 0)
        write->fd_count = 0; /* they went with the first byte */
    if (write->left == 0 && !write->cb && !stream_must_queue(stream))
        return 0; /* nobody waits for a word: it was never in flight */
    error = write->left > 0 ? keep(stream, write, bufs, count, (size_t)sent) : 0;
    return error ? error : queue(stream, write);
}

int stream_write(struct loop_stream *stream, struct loop_write *write, const struct loop_buf *bufs,
                 size_t count, const int *fds, size_t fd_count, loop_write_cb cb)
{
    if (!write || (!bufs && count > 0) || count > UINT32_MAX)
        return -EINVAL;
    request_check(&write->request, &write_ops);
    write->written = write->left = 0;
    write->allocated = NULL;
    write->fds = fds;
    write->fd_count = (uint32_t)fd_count;
    write->count = 0;
    write->owned = false;
    write->cb = cb;
    int error = write_or_queue(stream, write, bufs, count);
    if (error < 0 && write->allocated) {
        memory_resize(&stream->handle.loop->options.allocator, write->allocated, 0);
        write->allocated = NULL;
    }
    return error;
}

int loop_write(struct loop_stream *stream, struct loop_write *write, const struct loop_buf *bufs,
               size_t count, loop_write_cb cb)
{
    return stream_write(stream, write, bufs, count, NULL, 0, cb);
}

/* What is written next would follow a hole. */
static int break_off(struct loop_stream *stream, int error)
{
    stream->state |= STREAM_SHUT;
    stream->state &= (uint16_t)~STREAM_DIRECT;
    return error;
}

/* The library's own request, with the bytes behind it: all but the first sent. */
static __attribute__((noinline)) int queue_copy(struct loop_stream *stream, const char *bytes,
                                                size_t size, size_t sent)
{
    const struct loop_allocator *allocator = &stream->handle.loop->options.allocator;
    size_t left = size - sent;
    struct loop_write *write = memory_resize(allocator, NULL, sizeof(*write) + left);
    if (!write)
        return sent > 0 ? break_off(stream, -ENOMEM) : -ENOMEM;
    *write = (struct loop_write){.left = left, .owned = true, .bufs = write->few, .count = 1};
    memcpy(write + 1, bytes + sent, left);
    write->few[0] = (struct loop_buf){write + 1, left};
    int error = queue(stream, write);
    if (error < 0)
        memory_resize(allocator, write, 0);
    return error < 0 && sent > 0 ? break_off(stream, error) : error;
}

static __attribute__((noinline)) int copy_carefully(struct loop_stream *stream, const void *bytes,
                                                    size_t size)
{
    struct loop_buf buf = {bytes, size};
    int error = refused(stream, bytes || size == 0 ? (ssize_t)size : -1);
    ssize_t sent = error ? error : try_one(stream, &buf, NULL);
    if (sent < 0 || (size_t)sent == size)
        return sent < 0 ? (int)sent : 0;
    return queue_copy(stream, bytes, size, (size_t)sent);
}

/* The short way, for a stream that has nothing else to do: servers spend their lives on it. What it
 * does not fit goes the other way, which looks at everything. */
int loop_write_copy(struct loop_stream *stream, const void *bytes, size_t size)
{
    bool short_way = stream && handle_usable(&stream->handle) == 0 &&
                     stream->state & STREAM_DIRECT && bytes && size > 0 && size <= stream->max;
    if (!short_way)
        return copy_carefully(stream, bytes, size);
    struct iovec iov = stream_iovec(&(struct loop_buf){bytes, size});
    ssize_t sent = stream->io->write(stream, &iov, 1, NULL);
    if (stream_try_later(sent))
        sent = 0;
    if (sent < 0)
        return (int)sent;
    stream->active_ns = stream->handle.loop->now_ns;
    if ((size_t)sent == size)
        return 0;
    return queue_copy(stream, bytes, size, (size_t)sent);
}

ssize_t loop_try_write(struct loop_stream *stream, const struct loop_buf *bufs, size_t count)
{
    ssize_t size = bufs || count == 0 ? total(bufs, count) : -1;
    int error = refused(stream, size);
    if (error && error != -ENOBUFS)
        return error;
    ssize_t sent = try_now(stream, bufs, count, NULL);
    return sent == 0 && size > 0 ? -EAGAIN : sent;
}

int loop_stream_set_marks(struct loop_stream *stream, size_t low, size_t high, size_t max,
                          loop_stream_cb cb)
{
    low = low ? low : LOOP_WRITE_LOW;
    high = high ? high : LOOP_WRITE_HIGH;
    max = max ? max : LOOP_WRITE_MAX;
    if (!stream || low >= high || high > max || max > SSIZE_MAX)
        return -EINVAL;
    int error = handle_usable(&stream->handle);
    if (error)
        return error;
    if (stream->queued > max)
        return -EBUSY;
    stream->low = low;
    stream->high = high;
    stream->max = max;
    stream->drain_cb = cb;
    return 0;
}

bool loop_stream_needs_drain(const struct loop_stream *stream)
{
    return stream && stream->state & STREAM_CROWDED;
}
