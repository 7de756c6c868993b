/* Internal. The life of every handle: what is short and done often is here, the rest in handle.c.
 *
 * Starting and stopping a timer takes a few nanoseconds, of which calls into another file would be
 * half; so these few functions are inline.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLE_H
#define LOOP_HANDLE_H

#include "loop/core.h"

#include "sys.h"

/* All that the core knows of a type. */
struct loop_handle_ops {
    const char *type;
    void (*stop)(struct loop_handle *handle);   /* become inactive; from loop_close() */
    void (*finish)(struct loop_handle *handle); /* may be NULL: just before the close callback */
};

enum {
    HANDLE_LIVE = 0x10af, /* magic: from init to the close callback */
    HANDLE_GONE = 0xc105, /* magic: after it */
    HANDLE_ACTIVE = 1,
    HANDLE_REFERENCED = 2,
    HANDLE_CLOSING = 4,
    HANDLE_PRIVATE = 8,                                /* part of another handle, or of a request */
    HANDLE_COUNTS = HANDLE_ACTIVE | HANDLE_REFERENCED, /* keeps the loop alive */
};

void handle_init(struct loop *loop, struct loop_handle *handle, const struct loop_handle_ops *ops);
void handle_stopped(struct loop_handle *handle); /* tells the trace */
_Noreturn void handle_misused(const struct loop_handle *handle);
_Noreturn void thread_wrong(const char *what);

/* The mark of the calling thread: an address that no other thread has. */
extern _Thread_local char thread_mark __attribute__((tls_model("initial-exec")));

/* Inside loop_run() only the thread that called it may use the loop. */
static inline bool thread_is_right(const struct loop *loop)
{
    return !loop->thread || loop->thread == &thread_mark;
}

static inline void thread_check(const struct loop *loop, const char *what)
{
    if (__builtin_expect(!thread_is_right(loop), 0))
        thread_wrong(what);
}

/* 0 or -ECANCELED; panics if it is no handle, or not this thread's. */
static inline int handle_usable(const struct loop_handle *handle)
{
    if (__builtin_expect(handle->magic != HANDLE_LIVE || !thread_is_right(handle->loop), 0))
        handle_misused(handle);
    return handle->flags & HANDLE_CLOSING ? -ECANCELED : 0;
}

static inline bool handle_is_active(const struct loop_handle *handle)
{
    return handle->flags & HANDLE_ACTIVE;
}

static inline void handle_set_flags(struct loop_handle *handle, unsigned flags)
{
    handle->loop->active_handles += (uint64_t)((flags & HANDLE_COUNTS) == HANDLE_COUNTS) -
                                    (uint64_t)((handle->flags & HANDLE_COUNTS) == HANDLE_COUNTS);
    handle->flags = (uint16_t)flags;
}

/* Active from here on, if it was not. */
static inline void handle_start(struct loop_handle *handle)
{
    if (!handle_is_active(handle)) {
        handle->loop->active_handles += (handle->flags & HANDLE_REFERENCED) != 0;
        handle->flags |= HANDLE_ACTIVE;
    }
    handle->cause = handle->loop->running_cb;
}

/* Inactive from here on; it was active. */
static inline void handle_stop(struct loop_handle *handle)
{
    handle->loop->active_handles -= (handle->flags & HANDLE_REFERENCED) != 0;
    handle->flags &= (uint16_t)~HANDLE_ACTIVE;
    if (__builtin_expect(handle->loop->trace != NULL, 0))
        handle_stopped(handle);
}

#endif
