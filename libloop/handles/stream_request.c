/* What the requests of streams have in common: they are decided, and later they are told.
 *
 * A request is decided where its outcome becomes known, which may be inside the call that started
 * it, inside another call of the user's (a cancel), or in the poll phase. It is told in the pending
 * phase, so that no callback comes from inside a call and so that writes are told in their order.
 * Should the stream be closed in between, it is told just before the close callback, which is why a
 * stream keeps a list of what is decided.
 *
 * Their deadlines have one timer, that of the stream.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

void stream_request_init(struct loop_stream *stream, struct loop_stream_request *req)
{
    req->stream = stream;
    req->due_ns = LOOP_NEVER;
    list_init(&req->link);
}

void stream_request_expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_stream_request *req = stream_request_of(request);
    req->due_ns = due_ns;
    if (!(req->stream->handle.flags & HANDLE_CLOSING)) /* the timer would outlive the stream */
        deadline_by(&req->stream->deadline, due_ns);
}

static void forget(struct loop_stream *stream, const struct loop_stream_request *req)
{
    struct loop_stream_request **places[] = {&stream->connect, &stream->read, &stream->shutdown};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (*places[i] == req)
            *places[i] = NULL;
}

void stream_decide(struct loop_stream_request *req, int status)
{
    struct loop_stream *stream = req->stream;
    forget(stream, req);
    list_remove(&req->link);
    list_append(&stream->decided, &req->link);
    req->status = status;
    request_defer(&req->request);
}

static struct loop_stream_request *linked(struct loop_link *link)
{
    return loop_container_of(link, struct loop_stream_request, link);
}

void stream_decide_writes(struct loop_stream *stream, int status)
{
    while (!list_empty(&stream->writing))
        stream_decide(linked(stream->writing.next), status);
    if (stream->shutdown)
        stream_decide(stream->shutdown, status);
    stream->queued = 0;
}

/* A copy ends behind what it waits for. */
void stream_decide_all(struct loop_stream *stream, int status)
{
    struct loop_stream *failed = status == -ECANCELED ? NULL : stream;
    if (stream->connect)
        stream_decide(stream->connect, status);
    if (stream->read)
        stream_decide(stream->read, status);
    stream_decide_writes(stream, status);
    if (stream->source)
        stream_pipe_end(stream->source, status, failed);
    if (stream->sink)
        stream_pipe_end(stream->sink, status, failed);
}

/* Their callbacks may decide others, but start none: the stream is closing. */
void stream_tell_all(struct loop_stream *stream)
{
    while (!list_empty(&stream->decided))
        request_complete(&linked(stream->decided.next)->request);
}

bool stream_is_busy(const struct loop_stream *stream)
{
    return stream->connect || stream->read || stream->shutdown || stream->source || stream->sink ||
           !list_empty(&stream->writing) || !list_empty(&stream->decided);
}

/* Ends it if it is late; otherwise its deadline, if that is earlier. */
static uint64_t earlier(struct loop_stream_request *req, uint64_t next_ns)
{
    if (!req)
        return next_ns;
    if (req->due_ns > req->request.loop->now_ns)
        return req->due_ns < next_ns ? req->due_ns : next_ns;
    req->request.ops->cancel(&req->request, -ETIMEDOUT);
    return next_ns;
}

uint64_t stream_requests_due(struct loop_stream *stream)
{
    uint64_t next_ns = earlier(stream->connect, LOOP_NEVER);
    next_ns = earlier(stream->read, next_ns);
    for (struct loop_link *link = stream->writing.next, *next; link != &stream->writing;
         link = next) {
        next = link->next;
        next_ns = earlier(linked(link), next_ns);
    }
    return earlier(stream->shutdown, next_ns);
}
