/* Public. The thread pool: work that blocks or computes, away from the loop's thread.
 *
 * Threads are started when work is waiting and none is free, up to a limit. Work begins in the
 * order in which it was submitted; look-ups of names, which occupy at most half of the threads, may
 * be passed over. Its callback comes on the loop's thread, in the poll phase.
 * Unless loop_options names a pool, all loops of the process share one of max(4, processors)
 * threads; the environment variable LOOP_POOL_THREADS (1 to 1024) overrides that.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POOL_H
#define LOOP_POOL_H

#include "core.h"
#include "request.h"

/* All zero means all defaults. */
struct loop_pool_options {
    uint32_t threads_max; /* 0: max(4, processors); at most 1024 */
    uint32_t queue_max;   /* submissions that may wait; 0: 65536 */
    size_t stack_size;    /* of a thread, bytes; 0: the system's */
    const char *name;     /* of the threads, at most 11 bytes; NULL: "loop-pool"; copied */
};

/* Makes a pool; no thread is started yet. Any thread. Errors: -EINVAL (pool NULL, threads_max over
 * 1024), -ENAMETOOLONG, -ENOMEM. */
LOOP_API int loop_pool_create(struct loop_pool **pool, const struct loop_pool_options *options);

/* Waits until all submitted work has run, ends the threads and frees the pool. The loops that
 * use it must not submit any more. NULL is harmless. Any thread but the pool's own. */
LOOP_API void loop_pool_destroy(struct loop_pool *pool);

/* Destroys the pool that the process shares, if there is one; the next use makes a new one. For
 * programs that want every thread gone before they end: libloop does it for nobody. */
LOOP_API void loop_pool_shutdown(void);

/* Threads that exist now. Any thread. */
LOOP_API uint32_t loop_pool_threads(struct loop_pool *pool);

struct loop_work;
struct loop_job;

/* Runs on a thread of the pool, with work->request.data as it was at loop_work(). It must not call
 * libloop, but for loop_post(), loop_waker_send() and loop_work_canceled(). */
typedef void (*loop_work_fn)(void *data);

/* Comes in the poll phase, once. status 0: fn has returned. -ECANCELED: it never ran, or, after a
 * cancel that came too late to stop it, nobody waits for it any more. The work may be submitted
 * again or freed in it. */
typedef void (*loop_work_cb)(struct loop_work *work, int status);

struct loop_work {
    struct loop_request request; /* request.data is yours */

    /* private */
    struct loop_job *job; /* the pool's half, which outlives this one if need be */
    loop_work_cb done;
};

/* Runs fn on the pool, then done (may be NULL) on the loop's thread. work is the caller's memory,
 * all zero before its first use, and lent until done. Cancelled by loop_request_cancel() before it
 * has begun, it never runs; later, it runs to its end, but done comes at once and what fn comes to
 * is dropped: what data points to must live until then. Errors: -EINVAL (fn NULL), -EAGAIN (the
 * pool's queue is full, or no thread can be had), -ENOMEM. Submitting work in flight panics. */
LOOP_API int loop_work(struct loop *loop, struct loop_work *work, loop_work_fn fn,
                       loop_work_cb done);

/* In fn: whether the work that this thread runs was cancelled, so that it may give up early. */
LOOP_API bool loop_work_canceled(void);

#endif
