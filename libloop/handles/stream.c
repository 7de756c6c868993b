/* Streams: what tcp, pipe and tty have in common. This file is their life and what they tell the
 * kernel; the files stream_….c beside it are what they do.
 *
 * A stream owns a descriptor from the call that opens it on, and is from then on among the loop's
 * handles, active or not, so that a program that forgets to close it hears of it. It is active
 * while it reads or listens; connects, writes and shutdowns are requests, which count for
 * themselves.
 *
 * What epoll is to report follows from what is under way and from nothing else (wanted(), below). A
 * stream of which nothing is wanted is not watched at all, since epoll reports hang-ups even then.
 * What epoll says is only a hint to try: the outcome is always that of the call, so a hang-up with
 * data left loses nothing, and only a read of 0 is the end.
 *
 * All deadlines of a stream share one timer, which fires at the earliest or before. Putting one off
 * is a store; when the timer fires it looks at all of them, ends what is late, and is set again.
 *
 * Alternatives not taken: a timer for each deadline (three times the memory, and a rearming for
 * every read); edge-triggered watching (see watcher.c); a buffer in each stream.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

int stream_vacant(const struct loop_stream *stream)
{
    if (!stream)
        return -EINVAL;
    int error = handle_usable(&stream->handle);
    return !error && (stream->watcher.fd >= 0 || stream->connect) ? -EBUSY : error;
}

/* What follows from what is under way. A listener that holds a connection or has no descriptors
 * left waits for neither. */
static uint32_t wanted(const struct loop_stream *stream)
{
    bool listens = stream->state & STREAM_LISTENING && stream->held_fd < 0 && !stream->backoff_ms;
    bool reads = stream->state & STREAM_READING || stream->read;
    bool writes = !list_empty(&stream->writing);
    if (stream->connect)
        return EPOLLOUT;
    return (listens || reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0);
}

int stream_watch(struct loop_stream *stream)
{
    uint32_t events = wanted(stream);
    bool direct = stream->watcher.fd >= 0 && !(stream->state & STREAM_SHUT) && !stream->connect &&
                  !(events & EPOLLOUT);
    stream->state = (uint16_t)((stream->state & ~STREAM_DIRECT) | (direct ? STREAM_DIRECT : 0));
    if (events == stream->watcher.wanted || stream->watcher.fd < 0)
        return 0;
    if (stream->io->watch)
        return stream->io->watch(stream, events);
    return watcher_start(stream->handle.loop, &stream->watcher, events);
}

/* Reading and listening are what makes a stream active. */
void stream_set_state(struct loop_stream *stream, unsigned state)
{
    struct loop_handle *handle = &stream->handle;
    bool active = state & (STREAM_READING | STREAM_LISTENING);
    stream->state = (uint16_t)state;
    if (active && !handle_is_active(handle)) {
        handle_start(handle);
        trace(handle->loop, LOOP_TRACE_STARTED,
              handle_subject(handle, (loop_function)stream->read_cb), 0);
    } else if (!active && handle_is_active(handle)) {
        handle_stop(handle);
    }
}

static uint64_t idle_due(const struct loop_stream *stream)
{
    bool open = stream->watcher.fd >= 0;
    return open && stream->idle_ns < LOOP_NEVER - stream->active_ns
               ? stream->active_ns + stream->idle_ns
               : LOOP_NEVER;
}

void stream_adopt(struct loop_stream *stream, int fd, const struct loop_stream_io *io)
{
    struct loop *loop = stream->handle.loop;
    stream->watcher.fd = fd;
    stream->io = io;
    stream->active_ns = loop->now_ns;
    stream->state = (uint16_t)((stream->state & ~STREAM_SHUT) | STREAM_DIRECT);
    list_append(&loop->handles, &stream->handle.link);
    deadline_by(&stream->deadline, idle_due(stream));
}

/* Others who share the open file may rely on its blocking; but a forked child must not take it from
 * the process that made it so. */
void stream_block_again(struct loop_stream *stream)
{
    stream->blocks_in = fork_generation() + 1;
}

static void block_again(int fd)
{
    int flags = sys_fcntl(fd, F_GETFL, 0);
    /* unreachable: without flags, which an open descriptor has */
    if (flags >= 0)
        sys_fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* Afterwards it is as after its init, but for what the user has set. */
static int give_up(struct loop_stream *stream)
{
    int fd = stream->watcher.fd;
    watcher_stop(stream->handle.loop, &stream->watcher);
    loop_timer_stop(&stream->deadline);
    list_remove(&stream->handle.link);
    if (stream->held_fd >= 0)
        sys_close(stream->held_fd);
    stream->held_fd = -1;
    stream->backoff_ms = 0;
    stream->retry_ns = LOOP_NEVER;
    stream->watcher.fd = -1;
    if (stream->io->release)
        stream->io->release(stream);
    if (stream->blocks_in == fork_generation() + 1)
        block_again(fd);
    stream->blocks_in = 0;
    stream_set_state(stream, stream->state & (STREAM_CROWDED | STREAM_EARLY));
    return fd;
}

void stream_shut(struct loop_stream *stream)
{
    if (stream->watcher.fd < 0)
        return;
    int fd = give_up(stream);
    if (sys_close(fd) == -EBADF)
        panic("the %s was closed when somebody else had closed its descriptor %d; what is given to "
              "libloop is closed by loop_close() alone",
              stream->handle.ops->type, fd);
}

/* The descriptor was closed behind us, so it is not ours to close any more. */
static void lose(struct loop_stream *stream, int error)
{
    unsigned state = stream->state;
    stream->blocks_in = 0; /* the number may be another's */
    give_up(stream);
    stream_decide_all(stream, error);
    if (state & STREAM_READING)
        stream_tell_read(stream, error, NULL);
    else if (state & STREAM_LISTENING)
        stream_tell_connection(stream, error);
}

/* Connecting comes before all else, and reading before writing. */
static __attribute__((noinline)) void writable(struct loop_stream *stream, uint32_t events)
{
    const struct loop_poller *poller = &stream->handle.loop->poller;
    int fd = stream->watcher.fd;
    uint64_t tag = watcher_tag(poller, fd);
    if (stream->connect)
        stream_connected(stream);
    else if (events & EPOLLIN)
        stream_readable(stream);
    if (watcher_tag(poller, fd) == tag && !stream->connect && !list_empty(&stream->writing))
        stream_flush(stream);
}

static void ready(struct loop_watcher *watcher, int status, uint32_t events)
{
    struct loop_stream *stream = loop_container_of(watcher, struct loop_stream, watcher);
    if (events & (EPOLLERR | EPOLLHUP))
        events = EPOLLIN | EPOLLOUT;
    events &= watcher->wanted;
    if (status < 0)
        lose(stream, status);
    else if (events & EPOLLOUT)
        writable(stream, events);
    else if (stream->state & STREAM_LISTENING && events)
        stream_acceptable(stream);
    else if (events)
        stream_readable(stream);
}

static void tell_idle(struct loop_stream *stream)
{
    struct loop *loop = stream->handle.loop;
    callback_begin(loop, handle_subject(&stream->handle, (loop_function)stream->idle_cb), 0);
    stream->idle_cb(stream);
    callback_end(loop);
}

/* The timer of all deadlines. The user's callback comes last: it may free the stream. */
static void expire(struct loop_timer *timer)
{
    struct loop_stream *stream = loop_container_of(timer, struct loop_stream, deadline);
    uint64_t now_ns = stream->handle.loop->now_ns;
    bool retry = stream->retry_ns <= now_ns;
    bool idle = !retry && idle_due(stream) <= now_ns;
    if (retry)
        stream->retry_ns = LOOP_NEVER;
    if (idle)
        stream->active_ns = now_ns;
    deadline_by(timer, stream_requests_due(stream));
    deadline_by(timer, idle_due(stream));
    deadline_by(timer, stream->retry_ns);
    if (retry)
        stream_acceptable(stream);
    else if (idle && stream->watcher.fd >= 0) /* a late connect has given it up */
        tell_idle(stream);
}

void stream_init(struct loop *loop, struct loop_stream *stream, const struct loop_handle_ops *ops)
{
    handle_init(loop, &stream->handle, ops);
    watcher_init(&stream->watcher, -1, ready);
    deadline_init(loop, &stream->deadline, expire);
    list_init(&stream->writing);
    list_init(&stream->decided);
    stream->io = NULL;
    stream->connect = stream->read = stream->shutdown = NULL;
    stream->source = stream->sink = NULL;
    stream->read_cb = NULL;
    stream->drain_cb = stream->idle_cb = NULL;
    stream->queued = 0;
    stream->low = LOOP_WRITE_LOW;
    stream->high = LOOP_WRITE_HIGH;
    stream->max = LOOP_WRITE_MAX;
    stream->idle_ns = stream->retry_ns = LOOP_NEVER;
    stream->active_ns = 0;
    stream->held_fd = -1;
    stream->backoff_ms = 0;
    stream->blocks_in = 0;
    stream->state = 0;
}

void stream_stop(struct loop_handle *handle)
{
    struct loop_stream *stream = loop_container_of(handle, struct loop_stream, handle);
    loop_timer_stop(&stream->deadline); /* a dial has deadlines before there is a descriptor */
    stream_shut(stream);
}

void stream_finish(struct loop_handle *handle)
{
    struct loop_stream *stream = loop_container_of(handle, struct loop_stream, handle);
    stream_decide_all(stream, -ECANCELED);
    if (stream->source)
        stream_pipe_tell(stream->source);
    if (stream->sink)
        stream_pipe_tell(stream->sink);
    stream_tell_all(stream);
}

void loop_stream_reset(struct loop_stream *stream, loop_close_cb cb)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (stream->watcher.fd >= 0) /* on what is no socket this fails, and is not needed */
        sys_setsockopt(stream->watcher.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    loop_close(&stream->handle, cb);
}

int loop_stream_set_idle(struct loop_stream *stream, uint64_t idle_ns, loop_stream_cb cb)
{
    if (!stream || idle_ns == 0 || (idle_ns != LOOP_NEVER && !cb))
        return -EINVAL;
    int error = handle_usable(&stream->handle);
    if (error)
        return error;
    stream->idle_ns = idle_ns;
    stream->idle_cb = cb;
    stream->active_ns = stream->handle.loop->now_ns;
    if (stream->watcher.fd >= 0)
        deadline_by(&stream->deadline, idle_due(stream));
    return 0;
}

int loop_stream_detach(struct loop_stream *stream)
{
    int error = stream_usable(stream);
    if (error)
        return error;
    if (stream_is_busy(stream) || stream->held_fd >= 0 ||
        (stream->io->busy && stream->io->busy(stream)))
        return -EBUSY;
    return give_up(stream);
}

int loop_stream_fd(const struct loop_stream *stream)
{
    return stream ? stream->watcher.fd : -1;
}
