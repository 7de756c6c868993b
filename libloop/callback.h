/* Internal. The one door: every callback of the user's is called between callback_begin() and
 * callback_end().
 *
 * That is what makes "after every callback, all ticks, then all microtasks" a rule and not a habit,
 * and it is where a trace sees what runs and who caused it. What happens between the two belongs to
 * the user: the handle may be closed, freed, or started anew, and every other too. So nothing here
 * looks at it afterwards.
 *
 * Ticks and microtasks come through the same door, and do not drain again inside a drain.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_CALLBACK_H
#define LOOP_CALLBACK_H

#include "internal.h"

/* A subject is put together for a trace that is on; without one nothing should be loaded for it. */

static inline void callback_begin(struct loop *loop, struct subject subject, int64_t detail)
{
    trace(loop, LOOP_TRACE_CALLBACK_BEGIN, subject, detail);
    loop->running_cb = subject.callback;
}

static inline void handle_callback_begin(const struct loop_handle *handle, loop_function callback,
                                         int64_t detail)
{
    struct loop *loop = handle->loop;
    if (__builtin_expect(loop->trace != NULL, 0))
        trace_event(loop, LOOP_TRACE_CALLBACK_BEGIN, handle_subject(handle, callback), detail);
    loop->running_cb = callback;
}

static inline void task_callback_begin(const struct loop_task *task)
{
    struct loop *loop = task->loop;
    if (__builtin_expect(loop->trace != NULL, 0))
        trace_event(loop, LOOP_TRACE_CALLBACK_BEGIN, task_subject(task), 0);
    loop->running_cb = (loop_function)task->cb;
}

static inline void callback_end(struct loop *loop)
{
    if (__builtin_expect(loop->trace != NULL, 0))
        trace_event(loop, LOOP_TRACE_CALLBACK_END, (struct subject){0}, 0);
    loop->running_cb = NULL;
    loop->now_stale = true;
    if (!loop->draining && (!list_empty(&loop->ticks) || !list_empty(&loop->microtasks)))
        ticks_drain(loop); /* [DOC: drain] */
}

#endif
