/* Public. The loop in Node's words, for reading side by side: the library allocates.
 *
 *     setTimeout(fn, 5)          loop_set_timeout(loop, 5 * LOOP_MS, fn, arg)
 *     setInterval(fn, 5)         loop_set_interval(loop, 5 * LOOP_MS, fn, arg)
 *     setImmediate(fn)           loop_set_immediate(loop, fn, arg)
 *     process.nextTick(fn)       loop_process_next_tick(loop, fn, arg)
 *     queueMicrotask(fn)         loop_queue_microtask(loop, fn, arg)
 *     clearTimeout(id) …         loop_clear(loop, id)
 *     t.refresh() t.unref() …    loop_refresh(loop, id), loop_id_unref(loop, id) …
 *
 * As in Node, delays are whole milliseconds (the rest is cut off), a delay under 1 ms or over
 * 2147483647 ms is 1 ms, and counts from the call and not from the cached clock. All functions:
 * loop thread. An id of something that has run, or was cleared, is stale and harmless; an id is
 * never used again before 2^32 others of its place have been. What is left when the loop ends is
 * freed by loop_fini().
 *
 * Errors: the functions that return an id return 0 if memory ran out or fn is NULL.
 *
 * Source: https://nodejs.org/api/timers.html
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_NODE_H
#define LOOP_NODE_H

#include "core.h"

typedef uint64_t loop_id; /* 0 is none */

/* arg is what was given with fn, and stays the caller's. */
typedef void (*loop_node_fn)(void *arg);

LOOP_API loop_id loop_set_timeout(struct loop *loop, uint64_t after_ns, loop_node_fn fn, void *arg);
LOOP_API loop_id loop_set_interval(struct loop *loop, uint64_t every_ns, loop_node_fn fn,
                                   void *arg);
LOOP_API loop_id loop_set_immediate(struct loop *loop, loop_node_fn fn, void *arg);
LOOP_API loop_id loop_process_next_tick(struct loop *loop, loop_node_fn fn, void *arg);
LOOP_API loop_id loop_queue_microtask(struct loop *loop, loop_node_fn fn, void *arg);

/* Nothing with this id runs any more. */
LOOP_API void loop_clear(struct loop *loop, loop_id id);

/* A timeout or interval starts over; it moves behind its peers. */
LOOP_API void loop_refresh(struct loop *loop, loop_id id);

/* Whether it keeps the loop alive. */
LOOP_API void loop_id_ref(struct loop *loop, loop_id id);
LOOP_API void loop_id_unref(struct loop *loop, loop_id id);

#endif
