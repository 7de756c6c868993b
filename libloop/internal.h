/* Internal. Every prototype that one file offers to the others, grouped by file: the table of
 * contents of libloop.
 *
 * What may call what: base and sys know nobody; handle.c, request.c, task.c and callback.h stand on
 * them; the phases on these; loop.c on the phases. Handles use handle.c and watcher.c, never
 * each other. Other threads, the pool's among them, reach a loop through post.c alone.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_INTERNAL_H
#define LOOP_INTERNAL_H

#include "loop.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/panic.h"
#include "base/wheel.h"
#include "handle.h"
#include "sys.h"

/* What is called back, or was started, in the words of the trace. */
struct subject {
    const char *type;
    uint32_t id;
    loop_function callback;
    loop_function cause;
};

/* loop.c */

struct poll_limit {
    uint64_t until_ns; /* 0: do not sleep; LOOP_NEVER: no bound */
    enum loop_poll_reason reason;
};

/* init.c */

uint32_t fork_generation(void);       /* another number in each forked child */
bool forked(const struct loop *loop); /* a child, whose epoll set is still its parent's */
void *memory_resize(const struct loop_allocator *allocator, void *memory, size_t size);

/* handle.h, handle.c */

static inline struct subject handle_subject(const struct loop_handle *handle,
                                            loop_function callback)
{
    return (struct subject){handle->ops->type, handle->id, callback, handle->cause};
}

/* request.c */

struct loop_request_ops {
    const char *type;
    void (*complete)(struct loop_request *request); /* hands the outcome to the user's callback */
    void (*abandon)(struct loop_request *request);  /* in a forked child: who worked on it is gone;
                                                      NULL: nobody is */
    void (*cancel)(struct loop_request *request, int status); /* defers its completion with it */
    void (*expect)(struct loop_request *request, uint64_t due_ns); /* NULL: has no deadlines */
    void (*before)(struct loop_request *request); /* NULL: nobody is told ahead of it */
};

void request_check(const struct loop_request *request, const struct loop_request_ops *ops);
void request_start(struct loop *loop, struct loop_request *request,
                   const struct loop_request_ops *ops, loop_function callback);
void request_defer(struct loop_request *request);    /* completes in the pending phase */
void request_complete(struct loop_request *request); /* completes now */
bool request_in_flight(const struct loop_request *request);
struct subject request_subject(const struct loop_request *request, loop_function callback);

/* task.c */

/* Numbers that zeroed memory does not hold, nor much else. */
enum task_state {
    TASK_TICK = 0x7a5c0001,
    TASK_MICROTASK,
    TASK_IMMEDIATE,
    TASK_POSTED,
};

void task_prepare(struct loop *loop, struct loop_task *task, loop_task_cb cb,
                  enum task_state state);
void task_queue(struct loop_link *queue, struct loop_task *task); /* behind task_prepare() */
void task_run(struct loop_task *task);                            /* it is on no queue any more */
struct loop_task *task_pop(struct loop_link *queue);              /* NULL: empty */
struct subject task_subject(const struct loop_task *task);

/* ticks.c */

void ticks_drain(struct loop *loop);

/* phases/ */

void phase_timers(struct loop *loop);
void phase_pending(struct loop *loop);
void phase_idle(struct loop *loop);
void phase_prepare(struct loop *loop);
void phase_poll(struct loop *loop, struct poll_limit limit);
void phase_check(struct loop *loop);
void phase_closing(struct loop *loop);

/* phases/1_timers.c */

void deadline_init(struct loop *loop, struct loop_timer *timer, loop_timer_cb cb);
void deadline_by(struct loop_timer *timer, uint64_t due_ns); /* fires no later than this */
uint64_t deadline_after(const struct loop *loop, uint64_t after_ns);
uint64_t timers_next(struct loop *loop);
void timers_walk(struct loop *loop, loop_walk_cb cb, void *arg);

/* phases/2_pending.c */

void pending_run(struct loop *loop); /* one round */

/* phases/3_idle_prepare.c */

void hooks_run(struct loop *loop, struct loop_link *hooks);

/* watcher.c */

int poller_open(struct loop *loop);
void poller_close(struct loop *loop);
int poller_reopen(struct loop *loop); /* in a forked child */
void watcher_init(struct loop_watcher *watcher, int fd,
                  void (*ready)(struct loop_watcher *watcher, int status, uint32_t events));
int watcher_start(struct loop *loop, struct loop_watcher *watcher, uint32_t wanted); /* 0: pause */
void watcher_stop(struct loop *loop, struct loop_watcher *watcher);
bool watchers_apply(struct loop *loop); /* tells the kernel of all changes; false: some are lost */
void watchers_tell_lost(struct loop *loop);
void *poller_lend(struct loop *loop); /* LOOP_LENT_SIZE bytes; NULL: out of memory */

/* Who watches a descriptor now: other watchers, and the same one started again, have another. */
static inline uint64_t watcher_tag(const struct loop_poller *poller, int fd)
{
    return (uint64_t)poller->slots[fd].generation << 32 | (uint32_t)fd;
}

/* NULL if the watcher that the event was for has been stopped since. */
static inline struct loop_watcher *watcher_for(const struct loop_poller *poller,
                                               const struct epoll_event *event)
{
    uint32_t fd = (uint32_t)event->data.u64;
    return watcher_tag(poller, (int)fd) == event->data.u64 ? poller->slots[fd].watcher : NULL;
}

/* post.c */

int mailbox_open(struct loop *loop);
void mailbox_close(struct loop *loop);
int mailbox_reopen(struct loop *loop); /* in a forked child */
struct loop_mailbox *mailbox_retain(struct loop_mailbox *mailbox);
void mailbox_release(struct loop_mailbox *mailbox);
const struct loop_allocator *mailbox_allocator(const struct loop_mailbox *mailbox);
void post_push(struct loop_mailbox *mailbox, struct loop_parcel *parcel); /* any thread */
bool post_waiting(const struct loop *loop);     /* anything, of any kind */
bool post_keeps_alive(const struct loop *loop); /* anything that counts */
bool post_has_tasks(struct loop *loop);         /* any that have not run */
void post_fetch(struct loop *loop);             /* from the mailbox to loop->posted */
void post_deliver(struct loop *loop);
bool post_may_sleep(struct loop *loop); /* from here on senders wake us; false: too late */
void post_awake(struct loop *loop);

/* handles/process_reap.c */

void processes_fini(struct loop *loop); /* its orphans have to do without it */

/* pool/pool.c */

/* What a job waits for: a processor, a disk, a server of names. Each class has its share of the
 * threads. */
enum pool_class { POOL_CPU, POOL_FS, POOL_DNS, POOL_CLASSES };

/* The pool's half of a request: memory of its own, which a cancelled request leaves behind. */
struct loop_job {
    struct loop_parcel parcel; /* the way home */
    struct loop_link link;     /* in the pool's queue, or alone */
    struct loop_pool *pool;    /* while it waits there */
    struct loop_mailbox *mailbox;
    struct loop_allocator allocator;
    enum pool_class kind;
    uint64_t number;                       /* of its submission */
    struct loop_request *request;          /* NULL: nobody waits any more; loop thread */
    void (*run)(struct loop_job *job);     /* on a thread of the pool */
    void (*arrive)(struct loop_job *job);  /* it has run; NULL: completes its request */
    void (*discard)(struct loop_job *job); /* nobody waits: let go of the outcome, and of the job */
    bool begun;                            /* a thread has it, or had it */
    bool canceled;
    bool traced;           /* note the times */
    uint64_t submitted_ns; /* 0: the times are not for the pool's figures */
    uint64_t started_ns;
    uint64_t done_ns;
    uint32_t worker;
};

int pool_submit(struct loop *loop, struct loop_job *job); /* before request_start() */
void pool_cancel(struct loop_job *job); /* defers its request; the job is not ours now */

static inline void job_free(struct loop_job *job)
{
    memory_resize(&job->allocator, job, 0);
}

/* pool/pools.c */

void pool_after_fork(struct loop *loop);

/* node.c */

size_t node_entries(const struct loop *loop); /* timers and tasks that are the library's own */
void node_fini(struct loop *loop);

/* trace/trace.c */

void trace_from_environment(struct loop *loop);
void trace_event(struct loop *loop, enum loop_trace_kind kind, struct subject subject,
                 int64_t detail);
void trace_poll(struct loop *loop, struct poll_limit limit);
void trace_work(struct loop *loop, enum loop_trace_kind kind, struct subject subject,
                uint64_t time_ns, uint32_t worker);
void trace_fini(struct loop *loop);

/* With nobody watching this branch is all that tracing costs. */
static inline void trace(struct loop *loop, enum loop_trace_kind kind, struct subject subject,
                         int64_t detail)
{
    if (__builtin_expect(loop->trace != NULL, 0))
        trace_event(loop, kind, subject, detail);
}

static inline void phase_enter(struct loop *loop, enum loop_phase phase)
{
    loop->phase = phase;
    trace(loop, LOOP_TRACE_PHASE, (struct subject){0}, 0);
}

#endif
