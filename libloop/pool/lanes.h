/* Internal. The inside of a pool: the jobs that wait in it, by class, and its threads.
 *
 * Of the lanes, any thread may put jobs in and read the counts that say so; the pool's lock guards
 * all else.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POOL_LANES_H
#define LOOP_POOL_LANES_H

#include "internal.h"

/* lanes.c */

enum { CACHE_LINE = 64 }; /* what two processors fight for */

/* Jobs of one class. */
struct lane {
    struct loop_link queue;
    struct loop_pool_class_stats counts; /* running is read without the lock */
};

struct lanes {
    struct loop_link *inbox; /* any thread: newest first, linked by next alone */
    uint64_t came;           /* any thread: jobs that were let in */
    uint32_t queued_max;
    char apart[CACHE_LINE]; /* those who submit from those who work */
    uint64_t left;          /* read by any thread: of those that came, begun or taken back */
    uint64_t pushed;        /* the number of the last */
    struct lane of[POOL_CLASSES];
};

/* threads_max: of the pool. class_max: of each class, or 0 for its default. */
void lanes_init(struct lanes *lanes, uint32_t threads_max, const uint32_t class_max[POOL_CLASSES],
                uint32_t queued_max);

/* Any thread. Makes room for one more job, which is then put in or given up. 0: there is none;
 * otherwise how many have come. */
uint64_t lanes_let_in(struct lanes *lanes);
void lanes_give_up(struct lanes *lanes);
void lanes_put(struct lanes *lanes, struct loop_job *job);

/* Any thread. Jobs that have come and have not begun; threads that run one; whether one more of the
 * class would have to wait for another to end. */
uint64_t lanes_waiting(const struct lanes *lanes);
uint32_t lanes_running(const struct lanes *lanes);
bool lanes_full(const struct lanes *lanes, enum pool_class kind);
bool lanes_have_mail(const struct lanes *lanes); /* put in, and not fetched yet */

/* Sorts what was put in. */
void lanes_fetch(struct lanes *lanes);

/* How many jobs threads could take now, if there were enough of them. */
uint32_t lanes_startable(const struct lanes *lanes);

/* Takes the next job, which counts as running from here on; NULL: none that may start. */
struct loop_job *lanes_begin(struct lanes *lanes);

void lanes_end(struct lanes *lanes, const struct loop_job *job); /* it has run */

void lanes_remove(struct lanes *lanes, struct loop_job *job); /* it waits, and never runs */

/* In a forked child: the other threads are gone. Then jobs can be popped until there are none. */
void lanes_forget_threads(struct lanes *lanes);
struct loop_job *lanes_pop(struct lanes *lanes);

/* pool.c */

struct worker {
    struct loop_pool *pool;
    struct loop_link link; /* in pool->parked, or alone */
    sys_thread id;
    uint32_t number; /* for the trace */
    uint32_t called; /* from here on not parked any more */
    bool exists;
    bool searching;
};

struct loop_pool {
    struct lanes lanes;
    char apart[CACHE_LINE];
    uint32_t threads; /* these three are read without the lock, which guards all that follows */
    uint32_t idle;
    uint32_t searching;
    sys_mutex lock;
    struct loop_link parked; /* idle threads, the last to come at its end */
    bool ending;
    bool any_ended;
    sys_thread ended; /* the last that did */
    sys_cond all_ended;
    uint32_t threads_min;
    uint32_t threads_max;
    uint64_t idle_ns;
    uint32_t time_one_in;
    uint32_t fork_generation;
    size_t stack_size;
    char name[16];
    struct worker workers[]; /* threads_max of them */
};

void pool_send_home(struct loop_job *job);

/* Nobody wants it done. true: it waited, and is ours again; false: it will come home by itself. */
bool pool_take_back(struct loop_job *job);
void pool_end_threads(struct loop_pool *pool); /* when all that was submitted has run */

/* pools.c */

int pool_of(struct loop *loop, struct loop_pool **pool); /* the loop's own, or the shared one */

#endif
