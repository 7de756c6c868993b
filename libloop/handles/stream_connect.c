/* Connecting. tcp and pipe know their addresses and call connect(2); here is what is the same.
 *
 * The socket becomes writable when the attempt is over, and SO_ERROR says how it went. Whatever the
 * network thinks of it is told to the callback, at once known or not, so that a program has one
 * place for it. A stream that could not connect gives its descriptor back and may try again, since
 * POSIX leaves open what becomes of such a socket.
 *
 * Writes may be queued before the connection is there. If it fails they fail with it, and are told
 * after it.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

static void complete(struct loop_request *request)
{
    struct loop_connect *connect = loop_container_of(request, struct loop_connect, request);
    struct loop *loop = request->loop;
    list_remove(&connect->common.link);
    callback_begin(loop, request_subject(request, (loop_function)connect->cb), 0);
    connect->cb(connect, connect->common.status);
    callback_end(loop);
}

static void fail(struct loop_stream *stream, int status)
{
    stream_shut(stream);
    stream_decide_all(stream, status);
}

static void cancel(struct loop_request *request, int status)
{
    fail(stream_request_of(request)->stream, status);
}

static const struct loop_request_ops connect_ops = {.type = "connect",
                                                    .complete = complete,
                                                    .cancel = cancel,
                                                    .expect = stream_request_expect};

int stream_may_connect(const struct loop_stream *stream, const struct loop_connect *connect)
{
    if (!stream || !connect)
        return -EINVAL;
    int error = handle_usable(&stream->handle);
    if (!error)
        request_check(&connect->request, &connect_ops);
    return error;
}

/* With fast open the kernel knows of no peer before the first write, so this is remembered. */
static void succeed(struct loop_stream *stream)
{
    stream->state |= STREAM_CONNECTED;
    stream_end_if_written(stream); /* a shutdown may have waited for nothing else */
    stream_watch(stream);
}

void stream_connect(struct loop_stream *stream, struct loop_connect *connect, int result,
                    loop_connect_cb cb)
{
    connect->cb = cb;
    stream_request_init(stream, &connect->common);
    request_start(stream->handle.loop, &connect->request, &connect_ops, (loop_function)cb);
    stream->connect = &connect->common;
    stream->state &= (uint16_t)~STREAM_DIRECT;
    if (result == -EINPROGRESS)
        result = stream_watch(stream);
    else if (result == 0) {
        stream_decide(&connect->common, 0);
        succeed(stream);
    }
    if (result < 0)
        fail(stream, result);
}

static int outcome(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    int result = sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return result < 0 ? result : -error;
}

/* The one request of a stream that is told in the poll phase itself, with a read: it is nobody's
 * call that we are inside. */
void stream_connected(struct loop_stream *stream)
{
    struct loop_stream_request *connect = stream->connect;
    int status = outcome(stream->watcher.fd);
    if (status == -EINPROGRESS)
        return; /* unreachable: no protocol stores that, but one may */
    stream->connect = NULL;
    stream->active_ns = stream->handle.loop->now_ns;
    if (status < 0)
        fail(stream, status);
    else
        succeed(stream);
    connect->status = status;
    request_complete(&connect->request);
}
