/* Public. The thread pool: work that blocks or computes, away from the loop's thread.
 *
 * Threads are started when work is waiting and none is free, up to a limit. Work begins in the
 * order in which it was submitted, as far as its class allows: of each class only so many threads
 * may run work at once, so that none can occupy them all, and what is beyond that is passed over.
 * Its callback comes on the loop's thread, in the poll phase.
 *
 * Unless loop_options names a pool, all loops of the process share one of max(4, processors)
 * threads; the environment variable LOOP_POOL_THREADS (1 to 1024) overrides that.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POOL_H
#define LOOP_POOL_H

#include "core.h"
#include "request.h"
#include "timer.h"

/* What work waits for. */
enum loop_pool_class {
    LOOP_POOL_CPU, /* a processor */
    LOOP_POOL_FS,  /* a disk: all of loop/fs.h */
    LOOP_POOL_DNS, /* a server of names: all of loop/dns.h */
    LOOP_POOL_CLASSES
};

/* All zero means all defaults. */
struct loop_pool_options {
    uint32_t threads_min; /* so many stay, once started, however long they are idle */
    uint32_t threads_max; /* 0: max(4, processors) or LOOP_POOL_THREADS; at most 1024 */
    uint64_t idle_ns;     /* after which a thread above the minimum ends; 0: none ever does */
    uint32_t queue_max;   /* submissions that may wait; 0: 65536 */
    uint32_t time_one_in; /* one job in so many is timed for the statistics; 0: 61; 1: each */
    size_t stack_size;    /* of a thread, bytes; 0: the system's */
    const char *name;     /* of the threads, at most 11 bytes; NULL: "loop-pool"; copied */

    /* Threads that may run work of a class at once. 0: half of threads_max for LOOP_POOL_DNS, all
     * but one for the others, and at least 1. More than threads_max is as many as that. */
    uint32_t class_max[LOOP_POOL_CLASSES];
};

/* Makes a pool; no thread is started yet. Any thread. Errors: -EINVAL (pool NULL, threads_max over
 * 1024, threads_min over threads_max), -ENAMETOOLONG, -ENOMEM. */
LOOP_API int loop_pool_create(struct loop_pool **pool, const struct loop_pool_options *options);

/* Waits until all submitted work has run, ends the threads and frees the pool. The loops that
 * use it must not submit any more. NULL is harmless. Any thread but the pool's own. */
LOOP_API void loop_pool_destroy(struct loop_pool *pool);

/* Destroys the pool that the process shares, if there is one; the next use makes a new one. For
 * programs that want every thread gone before they end: libloop does it for nobody. */
LOOP_API void loop_pool_shutdown(void);

/* Threads that exist now. Any thread. */
LOOP_API uint32_t loop_pool_threads(struct loop_pool *pool);

/* Bucket i counts durations from 2^i up to 2^(i + 1) ns; the last those above, too. */
enum { LOOP_POOL_BUCKETS = 40 };

struct loop_pool_class_stats {
    uint32_t threads_max;             /* that may run work of the class at once */
    uint32_t running;                 /* threads that do */
    uint32_t queued;                  /* work that waits */
    uint64_t done;                    /* work that has run, even if nobody waits for it any more */
    uint64_t canceled;                /* work that never ran */
    uint64_t wait[LOOP_POOL_BUCKETS]; /* from the submission to the beginning, of timed work */
    uint64_t run[LOOP_POOL_BUCKETS];  /* from there to the end, of timed work that is done */
};

struct loop_pool_stats {
    uint32_t threads;                                   /* that exist */
    uint32_t idle;                                      /* of them: asleep */
    struct loop_pool_class_stats of[LOOP_POOL_CLASSES]; /* by enum loop_pool_class */
};

/* How the pool is doing, all at one moment: what was submitted is queued, running, done or
 * canceled. pool NULL: the one that the process shares; all 0 if there is none. Any thread. */
LOOP_API void loop_pool_stats(struct loop_pool *pool, struct loop_pool_stats *stats);

struct loop_work;
struct loop_job;

/* Runs on a thread of the pool, with work->request.data as it was at loop_work(). It must not call
 * libloop, but for loop_post(), loop_waker_send(), loop_work_canceled() and loop_pool_stats(). */
typedef void (*loop_work_fn)(void *data);

/* Comes once. status 0, in the poll phase: fn has returned. -ECANCELED or, at its deadline,
 * -ETIMEDOUT, in the pending phase: it never ran, or nobody waits for it any more. The work may be
 * submitted again or freed in it. */
typedef void (*loop_work_cb)(struct loop_work *work, int status);

/* Comes once, on the loop's thread, when neither fn nor libloop will touch data any more: behind
 * done; directly, if fn has returned or will never run, and otherwise when it has returned, with
 * what is pending behind poll. free() is a fine one. */
typedef void (*loop_work_release_cb)(void *data);

/* When a request on the pool is given up: loop_request_deadline(). */
struct loop_job_deadline {
    /* private */
    struct loop_timer timer;
    struct loop_request *request; /* NULL: never, and the others say nothing */
    uint64_t due_ns;
};

struct loop_work {
    struct loop_request request;  /* request.data is yours */
    loop_work_release_cb release; /* yours, as it is at loop_work(); NULL: you need not know */

    /* private */
    struct loop_job *job; /* the pool's half, which outlives this one if need be */
    loop_work_cb done;
    int status;
    struct loop_job_deadline deadline;
};

/* Runs fn on the pool, then done (may be NULL) on the loop's thread. It is of the class
 * LOOP_POOL_CPU. Cancelled by loop_request_cancel(), or late by loop_request_deadline(), before it
 * has begun, it never runs; later, fn runs to its end, but done comes at once and what fn comes to
 * is dropped.
 *
 * work is the caller's memory, all zero before its first use, and lent until done. What data points
 * to is lent for longer, until fn has returned, of which work->release tells. Until it has, the
 * loop stays alive if the work was referenced, and loop_fini() is -EBUSY; without a release, both
 * are done with cancelled work at done. In a forked child fn will not return: release comes behind
 * done.
 *
 * Errors, without any callback: -EINVAL (fn NULL), -EAGAIN (the pool's queue is full, or no thread
 * can be had), -ENOMEM. Submitting work in flight panics. */
LOOP_API int loop_work(struct loop *loop, struct loop_work *work, loop_work_fn fn,
                       loop_work_cb done);

/* The same, of another class: for functions that wait, for a disk or for somebody's answer, and so
 * would keep processors idle. Errors: also -EINVAL (no such class). */
LOOP_API int loop_work_class(struct loop *loop, struct loop_work *work, enum loop_pool_class kind,
                             loop_work_fn fn, loop_work_cb done);

/* In fn: whether the work that this thread runs was cancelled, so that it may give up early. */
LOOP_API bool loop_work_canceled(void);

#endif
