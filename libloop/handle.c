/* The life of every handle: init, start, stop, ref, close.
 *
 * A handle is the caller's memory. The core knows of its type what the ops table says, a word and
 * how to stop it, and nothing else; there is no list of types to add to. A handle is on exactly one
 * list at any moment: while it is active one that its phase keeps (a slot of the wheel, the hooks)
 * or loop->handles, once closing loop->closing, otherwise none. A handle that is not active is not
 * known to the loop, so stopped timers and hooks may simply be freed.
 *
 * What keeps the loop alive is counted here, when a handle becomes active or inactive and when its
 * reference changes, so that alive() compares numbers and walks nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

_Thread_local char thread_mark;

void thread_wrong(const char *what)
{
    panic("the %s was used on another thread than the one that runs its loop; use loop_post() or "
          "a waker there",
          what);
}

/* data is left alone: it may have been set before. */
void handle_init(struct loop *loop, struct loop_handle *handle, const struct loop_handle_ops *ops)
{
    handle->loop = loop;
    handle->ops = ops;
    list_init(&handle->link);
    handle->close_cb = NULL;
    handle->magic = HANDLE_LIVE;
    handle->flags = HANDLE_REFERENCED;
    handle->id = ++loop->last_id;
    handle->cause = NULL;
}

void handle_misused(const struct loop_handle *handle)
{
    if (handle->magic == HANDLE_GONE)
        panic("the %s was used after its close callback; initialise it again first",
              handle->ops->type);
    if (handle->magic != HANDLE_LIVE)
        panic("a handle was used that no init function has seen, or whose memory was overwritten; "
              "call its init function first");
    thread_wrong(handle->ops->type);
}

void handle_stopped(struct loop_handle *handle)
{
    trace(handle->loop, LOOP_TRACE_STOPPED, handle_subject(handle, NULL), 0);
}

void loop_close(struct loop_handle *handle, loop_close_cb cb)
{
    if (handle_usable(handle) < 0)
        panic("the %s was closed twice; ask loop_is_closing() where that may happen",
              handle->ops->type);
    handle->ops->stop(handle);
    handle_set_flags(handle, handle->flags | HANDLE_CLOSING);
    handle->close_cb = cb;
    handle->cause = handle->loop->running_cb;
    list_append(&handle->loop->closing, &handle->link);
    trace(handle->loop, LOOP_TRACE_CLOSING, handle_subject(handle, (loop_function)cb), 0);
}

bool loop_is_active(const struct loop_handle *handle)
{
    return handle->flags & HANDLE_ACTIVE;
}

bool loop_is_closing(const struct loop_handle *handle)
{
    return handle->flags & HANDLE_CLOSING;
}

void loop_ref(struct loop_handle *handle)
{
    handle_usable(handle);
    handle_set_flags(handle, handle->flags | HANDLE_REFERENCED);
}

void loop_unref(struct loop_handle *handle)
{
    handle_usable(handle);
    handle_set_flags(handle, handle->flags & ~(unsigned)HANDLE_REFERENCED);
}

bool loop_has_ref(const struct loop_handle *handle)
{
    return handle->flags & HANDLE_REFERENCED;
}

const char *loop_handle_type(const struct loop_handle *handle)
{
    return handle->ops->type;
}
