/* Half-close: telling the peer that no more comes, behind all that is queued.
 *
 * From the call on nothing more is accepted for writing. A shutdown that is cancelled before its
 * turn came has not happened, and writing goes on. What half-close means differs: for a socket it
 * is shutdown(2), for the writing end of a pipe it is closing it, and of a terminal there is no
 * half to close; so the table of the descriptor's kind does it.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

static void complete(struct loop_request *request)
{
    struct loop_shutdown *shutdown = loop_container_of(request, struct loop_shutdown, request);
    struct loop *loop = request->loop;
    list_remove(&shutdown->common.link);
    if (!shutdown->cb)
        return;
    callback_begin(loop, request_subject(request, (loop_function)shutdown->cb), 0);
    shutdown->cb(shutdown, shutdown->common.status);
    callback_end(loop);
}

static void cancel(struct loop_request *request, int status)
{
    struct loop_stream_request *req = stream_request_of(request);
    struct loop_stream *stream = req->stream;
    stream->state &= (uint16_t)~STREAM_SHUT;
    stream_decide(req, status);
    stream_watch(stream);
}

static const struct loop_request_ops shutdown_ops = {.type = "shutdown",
                                                     .complete = complete,
                                                     .cancel = cancel,
                                                     .expect = stream_request_expect};

/* The end may give the descriptor back. */
void stream_end_if_written(struct loop_stream *stream)
{
    if (!stream->shutdown || stream->watcher.fd < 0 || stream_must_queue(stream))
        return;
    int result = stream->io->end(stream);
    if (result != -EAGAIN)
        stream_decide(stream->shutdown, result);
}

int loop_shutdown(struct loop_stream *stream, struct loop_shutdown *shutdown, loop_shutdown_cb cb)
{
    int error = shutdown ? stream_open_or_shut(stream) : -EINVAL;
    if (error)
        return error;
    if (stream->state & (STREAM_SHUT | STREAM_LISTENING))
        return stream->state & STREAM_SHUT ? -EALREADY : -EBUSY;
    request_check(&shutdown->request, &shutdown_ops);
    shutdown->cb = cb;
    stream_request_init(stream, &shutdown->common);
    request_start(stream->handle.loop, &shutdown->request, &shutdown_ops, (loop_function)cb);
    stream->shutdown = &shutdown->common;
    stream->state |= STREAM_SHUT;
    stream->state &= (uint16_t)~STREAM_DIRECT;
    stream_end_if_written(stream);
    return 0;
}
