/* Copying from one stream to another, no faster than that takes it.
 *
 * What is read is written at once, from the lent buffer; as long as the other side keeps up nothing
 * is copied and nothing is allocated. If it does not take all, the rest is kept in memory of the
 * pipe's own, reading stops until that is written, and what comes meanwhile waits in the kernel and
 * then at the sender: a slow reader slows its writer down, and costs us 64 KiB.
 *
 * The pipe is a request of two streams. Each of them knows it until it has been told, so that it is
 * told before the close callback of either, and its memory is then the caller's.
 *
 * splice(2) would save the copy through user space, for sockets at the price of a pipe and twice
 * the calls; for pieces of 64 KiB that is no gain.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

static void on_read(struct loop_stream *from, ssize_t size, void *bytes);

static void complete(struct loop_request *request)
{
    struct loop_stream_pipe *pipe = loop_container_of(request, struct loop_stream_pipe, request);
    struct loop *loop = request->loop;
    pipe->from->sink = NULL;
    pipe->to->source = NULL;
    callback_begin(loop, request_subject(request, (loop_function)pipe->cb), 0);
    pipe->cb(pipe, pipe->status);
    callback_end(loop);
}

static void free_kept(struct loop_stream_pipe *pipe)
{
    memory_resize(&pipe->request.loop->options.allocator, pipe->kept, 0);
    pipe->kept = NULL;
}

/* Its own requests are ahead of it in the pending phase. */
void stream_pipe_end(struct loop_stream_pipe *pipe, int status, struct loop_stream *failed)
{
    if (pipe->ended)
        return;
    pipe->ended = true;
    pipe->status = status;
    pipe->failed = failed;
    stream_read_stop(pipe->from);
    loop_request_cancel(&pipe->write.request);
    loop_request_cancel(&pipe->end.request);
    request_defer(&pipe->request);
}

static void cancel(struct loop_request *request, int status)
{
    stream_pipe_end(loop_container_of(request, struct loop_stream_pipe, request), status, NULL);
}

static const struct loop_request_ops pipe_ops = {.type = "stream pipe",
                                                 .complete = complete,
                                                 .cancel = cancel};

static void tell_now(struct loop_request *request)
{
    if (request_in_flight(request))
        request_complete(request);
}

void stream_pipe_tell(struct loop_stream_pipe *pipe)
{
    tell_now(&pipe->write.request);
    tell_now(&pipe->end.request);
    request_complete(&pipe->request);
}

static void on_end(struct loop_shutdown *shutdown, int status)
{
    struct loop_stream_pipe *pipe = loop_container_of(shutdown, struct loop_stream_pipe, end);
    stream_pipe_end(pipe, status, status < 0 ? pipe->to : NULL);
}

/* A side that had been shut down before is no error: that is what was wanted. */
static void finish(struct loop_stream_pipe *pipe)
{
    int error = pipe->keep_open ? -EALREADY : loop_shutdown(pipe->to, &pipe->end, on_end);
    if (error)
        stream_pipe_end(pipe, error == -EALREADY ? 0 : error, error == -EALREADY ? NULL : pipe->to);
}

static void on_written(struct loop_write *write, int status)
{
    struct loop_stream_pipe *pipe = loop_container_of(write, struct loop_stream_pipe, write);
    free_kept(pipe);
    pipe->copied += write->written;
    if (pipe->ended)
        return;
    int error = status < 0 ? 0 : stream_read_start(pipe->from, on_read);
    if (status < 0)
        stream_pipe_end(pipe, status, pipe->to);
    else if (error)
        stream_pipe_end(pipe, error, pipe->from);
}

/* Reading stops until it is written. */
static int keep(struct loop_stream_pipe *pipe, const char *bytes, size_t size)
{
    pipe->kept = memory_resize(&pipe->request.loop->options.allocator, NULL, size);
    if (!pipe->kept)
        return -ENOMEM;
    memcpy(pipe->kept, bytes, size);
    stream_read_stop(pipe->from);
    struct loop_buf buf = {pipe->kept, size};
    int error = loop_write(pipe->to, &pipe->write, &buf, 1, on_written);
    if (error < 0) {
        pipe->copied += pipe->write.written;
        free_kept(pipe);
    }
    return error < 0 ? error : 0;
}

static void on_read(struct loop_stream *from, ssize_t size, void *bytes)
{
    struct loop_stream_pipe *pipe = from->sink;
    if (size < 0) {
        if (size == LOOP_EOF)
            finish(pipe);
        else
            stream_pipe_end(pipe, (int)size, from);
        return;
    }
    struct loop_buf buf = {bytes, (size_t)size};
    ssize_t sent = loop_try_write(pipe->to, &buf, 1);
    int error = sent < 0 && sent != -EAGAIN ? (int)sent : 0;
    size_t done = sent > 0 ? (size_t)sent : 0;
    pipe->copied += done;
    if (!error && done < buf.size)
        error = keep(pipe, (const char *)bytes + done, buf.size - done);
    if (error)
        stream_pipe_end(pipe, error, pipe->to);
}

int loop_stream_pipe(struct loop_stream *from, struct loop_stream *to,
                     struct loop_stream_pipe *pipe, loop_stream_pipe_cb cb)
{
    int error = pipe && cb ? stream_usable(from) : -EINVAL;
    if (!error)
        error = stream_usable(to);
    if (error)
        return error;
    if (from->sink || to->source || from->handle.loop != to->handle.loop)
        return from->handle.loop != to->handle.loop ? -EINVAL : -EBUSY;
    request_check(&pipe->request, &pipe_ops);
    error = stream_read_start(from, on_read);
    if (error)
        return error == -EALREADY ? -EBUSY : error;
    *pipe = (struct loop_stream_pipe){.request.data = pipe->request.data,
                                      .from = from,
                                      .to = to,
                                      .cb = cb};
    request_start(from->handle.loop, &pipe->request, &pipe_ops, (loop_function)cb);
    from->sink = to->source = pipe;
    return 0;
}

void loop_stream_pipe_keep_open(struct loop_stream_pipe *pipe)
{
    pipe->keep_open = true;
}
