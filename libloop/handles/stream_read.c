/* Reading.
 *
 * One read for each readiness, into the buffer that the loop lends to whichever callback is
 * running, so that a connection which is silent costs no memory. A read that fills the buffer is
 * followed by another, at most 16, so that one busy peer can have a megabyte of a turn and not
 * more; a short read ends it without asking the kernel once more whether there is nothing left.
 *
 * After each callback the stream may be closed, detached, stopped, or freed: the slot in the poll
 * table, whose generation changes with each of these, says whether it is still there to be looked
 * at. [DOC: revalidate]
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

#include <limits.h>

enum { READS_MAX = 16 }; /* 1 MiB */

static inline void tell(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct loop *loop = stream->handle.loop;
    handle_callback_begin(&stream->handle, (loop_function)stream->read_cb, size);
    stream->read_cb(stream, size, bytes);
    callback_end(loop);
}

void stream_tell_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    tell(stream, size, bytes);
}

static void stop(struct loop_stream *stream)
{
    stream_set_state(stream, stream->state & ~(unsigned)STREAM_READING);
    stream_watch(stream);
}

/* Nothing yet, the end, or an error. */
static void take_none(struct loop_stream *stream, ssize_t size)
{
    if (stream_try_later(size))
        return;
    stop(stream);
    stream_tell_read(stream, size == 0 ? LOOP_EOF : size, NULL);
}

/* Whether the stream is still there, and still reads. */
static bool tell_and_look(struct loop_stream *stream, ssize_t size, void *bytes)
{
    const struct loop_poller *poller = &stream->handle.loop->poller;
    int fd = stream->watcher.fd;
    uint64_t tag = watcher_tag(poller, fd);
    stream_tell_read(stream, size, bytes);
    if (watcher_tag(poller, fd) != tag)
        return false;
    if (stream->io->told)
        stream->io->told(stream);
    return stream->state & STREAM_READING;
}

/* More than a short read: nothing, or a full one, behind which there may be more. */
static __attribute__((noinline)) void read_on(struct loop_stream *stream, ssize_t size)
{
    void *bytes = stream->handle.loop->poller.lent;
    for (int reads = 1; size > 0; reads++) {
        stream->active_ns = stream->handle.loop->now_ns;
        bool here = tell_and_look(stream, size, bytes);
        if (!here || size < LOOP_LENT_SIZE || reads == READS_MAX)
            return;
        size = stream->io->read(stream, bytes, LOOP_LENT_SIZE);
    }
    take_none(stream, size);
}

/* A short read is the last: nobody needs to look at the stream after its callback. */
static void read_pieces(struct loop_stream *stream)
{
    struct loop *loop = stream->handle.loop;
    ssize_t size = stream->io->read(stream, loop->poller.lent, LOOP_LENT_SIZE);
    if (size <= 0 || size == LOOP_LENT_SIZE || stream->io->told) {
        read_on(stream, size);
        return;
    }
    stream->active_ns = loop->now_ns;
    tell(stream, size, loop->poller.lent);
}

static void complete(struct loop_request *request)
{
    struct loop_read *read = loop_container_of(request, struct loop_read, request);
    struct loop *loop = request->loop;
    list_remove(&read->common.link);
    callback_begin(loop, request_subject(request, (loop_function)read->cb), (int64_t)read->size);
    read->cb(read, read->common.status);
    callback_end(loop);
}

static void cancel(struct loop_request *request, int status)
{
    struct loop_stream *stream = stream_request_of(request)->stream;
    stream_decide(stream_request_of(request), status);
    stream_watch(stream);
}

static const struct loop_request_ops read_ops = {.type = "read",
                                                 .complete = complete,
                                                 .cancel = cancel,
                                                 .expect = stream_request_expect};

/* Told in the poll phase itself: it is nobody's call that we are inside. */
static void fill(struct loop_stream *stream, struct loop_read *read)
{
    ssize_t size = stream->io->read(stream, read->bytes + read->size, read->max - read->size);
    if (stream_try_later(size))
        return;
    stream->active_ns = stream->handle.loop->now_ns;
    read->size += size > 0 ? (size_t)size : 0;
    if (size > 0 && read->size < read->min)
        return;
    stream->read = NULL;
    stream_watch(stream);
    read->common.status = size > 0 ? 0 : size == 0 ? LOOP_EOF : (int)size;
    request_complete(&read->request);
}

void stream_readable(struct loop_stream *stream)
{
    if (stream->state & STREAM_READING)
        read_pieces(stream);
    else if (stream->read)
        fill(stream, loop_container_of(stream->read, struct loop_read, common));
}

/* 0: nobody reads. */
static int may_read(const struct loop_stream *stream)
{
    int error = stream_usable(stream);
    if (!error && stream->state & STREAM_READING)
        return -EALREADY;
    return !error && (stream->read || stream->state & STREAM_LISTENING) ? -EBUSY : error;
}

int stream_read_start(struct loop_stream *stream, loop_read_cb cb)
{
    int error = may_read(stream);
    if (error)
        return error;
    if (!poller_lend(stream->handle.loop))
        return -ENOMEM;
    stream->read_cb = cb;
    stream_set_state(stream, stream->state | STREAM_READING);
    error = stream_watch(stream);
    if (error)
        stream_set_state(stream, stream->state & ~(unsigned)STREAM_READING);
    return error;
}

void stream_read_stop(struct loop_stream *stream)
{
    if (stream_usable(stream) == 0 && stream->state & STREAM_READING)
        stop(stream);
}

int loop_read_start(struct loop_stream *stream, loop_read_cb cb)
{
    if (!stream || !cb)
        return -EINVAL;
    return stream->sink ? -EBUSY : stream_read_start(stream, cb);
}

/* What is copied to another stream, that copy stops and starts. */
void loop_read_stop(struct loop_stream *stream)
{
    if (stream && !stream->sink)
        stream_read_stop(stream);
}

int loop_read_into(struct loop_stream *stream, struct loop_read *read, void *bytes, size_t min,
                   size_t max, loop_read_into_cb cb)
{
    if (!read || !bytes || !cb || min == 0 || min > max || max > SSIZE_MAX)
        return -EINVAL;
    int error = may_read(stream);
    if (error || stream->sink)
        return error && error != -EALREADY ? error : -EBUSY;
    if (stream->io->told)
        return -EOPNOTSUPP;
    request_check(&read->request, &read_ops);
    stream->read = &read->common;
    error = stream_watch(stream);
    if (error) {
        stream->read = NULL;
        return error;
    }
    *read = (struct loop_read){
        .request.data = read->request.data, .bytes = bytes, .min = min, .max = max, .cb = cb};
    stream_request_init(stream, &read->common);
    request_start(stream->handle.loop, &read->request, &read_ops, (loop_function)cb);
    return 0;
}
