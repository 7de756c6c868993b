/* Public. Async handles: wake the loop from any thread, or from a signal handler.
 *
 * Any number of sends before the callback make one callback; a send during the callback makes
 * another. What a thread wrote before it sent is visible to the callback that follows. To hand over
 * data or to run something once, loop_post() in loop/task.h is simpler.
 *
 * A thread that may outlive the handle holds a waker: a reference to a small cell that the library
 * frees when the last holder lets go. Sending after the handle was closed, or even after the loop
 * is gone, returns -ECANCELED and touches nothing else.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_ASYNC_H
#define LOOP_ASYNC_H

#include "core.h"

struct loop_async;
struct loop_waker;

/* Comes in the poll phase. The handle may be closed in it. */
typedef void (*loop_async_cb)(struct loop_async *async);

struct loop_async {
    struct loop_handle handle;

    /* private */
    struct loop_waker
        *waker; /* the handle's own reference; given up when its close callback comes */
    loop_async_cb cb;
};

/* Makes an async handle in the caller's memory; it is active, and keeps the loop alive, until it is
 * closed. Errors: -EINVAL (cb NULL), -ENOMEM. */
LOOP_API int loop_async_init(struct loop *loop, struct loop_async *async, loop_async_cb cb);

/* Has cb called once more. Any thread and signal handlers, from init until the close callback; that
 * cb closes the handle and ends the loop while this has not returned does no harm. Errors:
 * -ECANCELED (closing). */
LOOP_API int loop_async_send(struct loop_async *async);

/* A reference for a thread of its own, to be given back with loop_waker_release(). Never NULL. Loop
 * thread, before loop_close(). */
LOOP_API struct loop_waker *loop_async_waker(struct loop_async *async);

/* Has the callback of the waker's handle called once more. Any thread and signal handlers, for as
 * long as the reference is held. Errors: -ECANCELED (the handle is closing or gone). */
LOOP_API int loop_waker_send(struct loop_waker *waker);

/* One more reference, for one more thread. Any thread that holds one. Returns waker. */
LOOP_API struct loop_waker *loop_waker_retain(struct loop_waker *waker);

/* Gives a reference back. Any thread; not a signal handler. NULL is harmless. */
LOOP_API void loop_waker_release(struct loop_waker *waker);

#endif
