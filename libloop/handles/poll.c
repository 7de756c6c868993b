/* Poll handles: watch a descriptor that belongs to someone else.
 *
 * The handle is a watcher of the poll phase with a callback. It asks epoll for what the user asked
 * for and answers in the user's words. An error or a hang-up, which epoll reports whether asked or
 * not, counts as all that was asked for: the user's next read or write returns what happened, and
 * nothing that is level-triggered is passed over in silence to come again at once, for ever.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

enum { ALL_EVENTS = LOOP_READABLE | LOOP_WRITABLE | LOOP_PRIORITY | LOOP_DISCONNECT };

static const struct {
    uint32_t ours;
    uint32_t epoll;
} words[] = {
    {LOOP_READABLE, EPOLLIN},
    {LOOP_WRITABLE, EPOLLOUT},
    {LOOP_PRIORITY, EPOLLPRI},
    {LOOP_DISCONNECT, EPOLLRDHUP},
};

static uint32_t to_epoll(uint32_t events)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        bits |= events & words[i].ours ? words[i].epoll : 0;
    return bits;
}

static uint32_t from_epoll(uint32_t bits)
{
    uint32_t events = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        events |= bits & words[i].epoll ? words[i].ours : 0;
    return events;
}

static void become_inactive(struct loop_poll *poll)
{
    list_remove(&poll->handle.link);
    handle_stop(&poll->handle);
}

static void stop(struct loop_handle *handle)
{
    loop_poll_stop(loop_container_of(handle, struct loop_poll, handle));
}

static void ready(struct loop_watcher *watcher, int status, uint32_t bits)
{
    struct loop_poll *poll = loop_container_of(watcher, struct loop_poll, watcher);
    struct loop *loop = poll->handle.loop;
    if (bits & (EPOLLERR | EPOLLHUP))
        bits |= watcher->wanted;
    uint32_t events = from_epoll(bits & watcher->wanted);
    if (status < 0)
        become_inactive(poll);
    else if (events == 0)
        return;
    callback_begin(loop, handle_subject(&poll->handle, (loop_function)poll->cb), 0);
    poll->cb(poll, status, events);
    callback_end(loop);
}

void loop_poll_init(struct loop *loop, struct loop_poll *poll, int fd)
{
    static const struct loop_handle_ops ops = {.type = "poll", .stop = stop};
    handle_init(loop, &poll->handle, &ops);
    watcher_init(&poll->watcher, fd, ready);
    poll->cb = NULL;
}

int loop_poll_start(struct loop_poll *poll, uint32_t events, loop_poll_cb cb)
{
    if (!poll || !cb || events == 0 || events & ~(uint32_t)ALL_EVENTS)
        return -EINVAL;
    struct loop_handle *handle = &poll->handle;
    int error = handle_usable(handle);
    if (!error)
        error = watcher_start(handle->loop, &poll->watcher, to_epoll(events));
    if (error)
        return error;
    poll->cb = cb;
    if (!handle_is_active(handle)) {
        list_append(&handle->loop->handles, &handle->link);
        handle_start(handle);
        trace(handle->loop, LOOP_TRACE_STARTED, handle_subject(handle, (loop_function)cb), 0);
    }
    return 0;
}

void loop_poll_stop(struct loop_poll *poll)
{
    if (handle_usable(&poll->handle) < 0 || !handle_is_active(&poll->handle))
        return;
    watcher_stop(poll->handle.loop, &poll->watcher);
    become_inactive(poll);
}
