/* Public. Tasks: callbacks queued to run once.
 *
 * After every callback that the loop makes, all ticks run, then all microtasks, until both queues
 * are empty: what a tick queues as a tick still comes before any microtask, and a tick queued by a
 * microtask waits until the microtasks are done (Node's process.nextTick and queueMicrotask).
 * Immediates run in the check phase; one queued by an immediate runs next turn. Posted tasks come
 * from any thread and run in the poll phase.
 *
 * A task is the caller's memory and must be all zero before its first use. It is the caller's again
 * when its callback begins, or when loop_task_cancel() returned true. Queueing it while it is
 * queued panics.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TASK_H
#define LOOP_TASK_H

#include "core.h"

struct loop_task;

/* The task may be queued again or freed in it. */
typedef void (*loop_task_cb)(struct loop_task *task);

struct loop_task {
    void *data; /* yours */

    /* read-only, from the call that queues it */
    struct loop *loop;

    /* private */
    struct loop_parcel parcel; /* its link is on the queue it waits in */
    loop_task_cb cb;
    uint32_t state; /* which queue: a number that zeroed memory does not hold */
    bool unref;
    uint32_t id;
    loop_function cause;
};

/* Queues cb to run after the callback under way, before the loop goes on. Outside loop_run(): when
 * it is entered. Loop thread. */
LOOP_API void loop_next_tick(struct loop *loop, struct loop_task *task, loop_task_cb cb);

/* The same, behind all ticks. Loop thread. */
LOOP_API void loop_microtask(struct loop *loop, struct loop_task *task, loop_task_cb cb);

/* Queues cb to run in the next check phase. Poll does not sleep meanwhile. Loop thread. */
LOOP_API void loop_immediate(struct loop *loop, struct loop_task *task, loop_task_cb cb);

/* Queues cb to run in the poll phase, in the order of the calls of one thread; wakes the loop if it
 * sleeps. What the caller wrote before is visible to cb. Any thread, also a signal handler; the
 * loop must not be finished before: who cannot know that uses a waker (loop/async.h). That cb ends
 * the loop while this has not returned does no harm. Errors: -EINVAL (an argument NULL). */
LOOP_API int loop_post(struct loop *loop, struct loop_task *task, loop_task_cb cb);

/* True if the task was queued and now does not run; false if there was nothing to cancel. Any
 * queue, O(1). Loop thread. */
LOOP_API bool loop_task_cancel(struct loop_task *task);

/* A queued task keeps the loop alive unless unreferenced; the flag stays with the task. An
 * unreferenced immediate does not keep poll from sleeping either. Before it is queued, or on the
 * loop's thread. */
LOOP_API void loop_task_ref(struct loop_task *task);
LOOP_API void loop_task_unref(struct loop_task *task);

#endif
