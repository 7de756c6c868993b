/* Phase 6: the last words of closed handles, in the order in which they were closed.
 *
 * loop_close() has stopped the handle; here its requests that are still outstanding complete with
 * -ECANCELED, its close callback is called, and from then on the memory is the caller's. All of
 * that comes in a later phase than the call, whoever made it, so a callback that closes its own
 * handle, or every handle, never finds one gone under its feet. A handle closed by a close callback
 * waits for the next turn.
 *
 * libuv calls these back last closed first, by how its list is built. The order of the calls is
 * what a reader expects, and what a struct that embeds several handles wants: the last one frees
 * it.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

static void finish(struct loop *loop, struct loop_handle *handle)
{
    loop_close_cb cb = handle->close_cb;
    struct subject subject = handle_subject(handle, (loop_function)cb);
    if (handle->ops->finish)
        handle->ops->finish(handle);
    handle->magic = HANDLE_GONE;
    if (cb) {
        callback_begin(loop, subject, 0);
        cb(handle);
        callback_end(loop);
    }
    trace(loop, LOOP_TRACE_CLOSED, subject, 0);
}

void phase_closing(struct loop *loop)
{
    struct loop_link *link;
    phase_enter(loop, LOOP_PHASE_CLOSING);
    list_take(&loop->closing, &loop->ending);
    while ((link = list_pop(&loop->ending)))
        finish(loop, loop_container_of(link, struct loop_handle, link));
}
