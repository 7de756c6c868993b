/* Listening and accepting.
 *
 * One connection is accepted for each readiness, told, and held until the server says accept or
 * refuse; meanwhile the listener is not watched, and what else comes waits in the kernel. One and
 * not as many as there are, because the accept that finds none costs as much as a third of one that
 * does (the kernel makes the socket first), and because a storm of connections should not keep
 * those that are there from their turn.
 *
 * When descriptors run out, a level-triggered listener would be ready for ever and accept nothing.
 * So it is taken from epoll, the server is told once, and accepting is tried again after 10 ms,
 * then 20, up to 100, until it works. The trick with a spare descriptor, which accepts and closes
 * to shed load, is not taken: it sends clients away that could be served a moment later.
 *
 * accept(2) also reports errors of the connection that it would have returned; those concern nobody
 * here any more.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"

enum { BACKOFF_MIN_MS = 10, BACKOFF_MAX_MS = 100 };

void stream_tell_connection(struct loop_stream *listener, int status)
{
    struct loop *loop = listener->handle.loop;
    loop_function cb = (loop_function)listener->connection_cb;
    callback_begin(loop, handle_subject(&listener->handle, cb), status);
    listener->connection_cb(listener, status);
    callback_end(loop);
}

static bool ran_out(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

static bool is_broken(int error)
{
    return error == -EBADF || error == -EINVAL || error == -ENOTSOCK;
}

static void stop(struct loop_stream *listener)
{
    stream_set_state(listener, listener->state & ~(unsigned)STREAM_LISTENING);
}

static void back_off(struct loop_stream *listener)
{
    uint16_t next_ms = listener->backoff_ms ? (uint16_t)(2 * listener->backoff_ms) : BACKOFF_MIN_MS;
    listener->backoff_ms = next_ms < BACKOFF_MAX_MS ? next_ms : BACKOFF_MAX_MS;
    listener->retry_ns = deadline_after(listener->handle.loop, listener->backoff_ms * LOOP_MS);
    deadline_by(&listener->deadline, listener->retry_ns);
    stream_watch(listener);
}

/* Wants what it should; if epoll has no room for it, later. */
static void watch(struct loop_stream *listener)
{
    if (stream_watch(listener) < 0)
        back_off(listener);
}

/* That descriptors ran out is told once until something is accepted again. */
void stream_acceptable(struct loop_stream *listener)
{
    int fd = sys_accept(listener->watcher.fd);
    if (ran_out(fd)) {
        bool first = listener->backoff_ms == 0;
        back_off(listener);
        if (first)
            stream_tell_connection(listener, fd);
        return;
    }
    listener->backoff_ms = 0;
    listener->active_ns = listener->handle.loop->now_ns;
    if (is_broken(fd))
        stop(listener);
    else if (fd >= 0)
        listener->held_fd = fd;
    watch(listener);
    if (fd >= 0 || is_broken(fd))
        stream_tell_connection(listener, fd < 0 ? fd : 0);
}

int loop_listen(struct loop_stream *listener, int backlog, loop_connection_cb cb)
{
    int error = stream_usable(listener);
    if (error)
        return error;
    if (!cb || backlog < 0)
        return -EINVAL;
    if (listener->state & STREAM_LISTENING)
        return -EALREADY;
    if (listener->state & STREAM_READING || stream_is_busy(listener))
        return -EBUSY;
    error = sys_listen(listener->watcher.fd, backlog);
    if (error)
        return error;
    listener->connection_cb = cb;
    stream_set_state(listener, listener->state | STREAM_LISTENING);
    error = stream_watch(listener);
    if (error)
        stop(listener);
    return error;
}

/* What is held, which is from here on the caller's. */
static int take_held(struct loop_stream *listener)
{
    int error = stream_usable(listener);
    if (error)
        return error;
    if (listener->held_fd < 0)
        return -EAGAIN;
    int fd = listener->held_fd;
    listener->held_fd = -1;
    watch(listener);
    return fd;
}

int loop_accept(struct loop_stream *listener, struct loop_stream *client)
{
    int error = stream_vacant(client);
    if (error)
        return error;
    if (!listener || client->handle.ops != listener->handle.ops)
        return -EINVAL;
    int fd = take_held(listener);
    if (fd < 0)
        return fd;
    stream_adopt(client, fd, listener->io);
    return 0;
}

int loop_refuse(struct loop_stream *listener)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fd = listener ? take_held(listener) : -EINVAL;
    if (fd < 0)
        return fd;
    sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    sys_close(fd);
    return 0;
}
