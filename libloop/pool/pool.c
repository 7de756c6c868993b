/* The thread pool: jobs that block or compute, away from the loop's thread.
 *
 * DESIGN. A request on the pool has two halves. The user's half is a loop_request in the user's
 * memory, touched by the loop's thread alone. The pool's half is a job, memory of the library's,
 * with all that a thread needs: copies of paths, buffers, the outcome. So a request can be
 * cancelled at any time, completes at once, and its memory may be freed, while a thread still works
 * on the job; what comes of it is dropped when the job comes home.
 *
 * Jobs wait under one lock, first come first served, but for those whose class has its share of the
 * threads (lanes.c). A thread is started when more jobs wait than threads are free to take them, up
 * to the limit, and lives until the pool is destroyed. A finished job goes home through the loop's
 * mailbox (post.c), in which it is one parcel among others.
 *
 * A job holds the mailbox while it is with the pool. Its thread gives that up after the push, not
 * the loop on delivery: the push looks at the mailbox once more after the parcel is in it.
 *
 * The pool that a process shares is made at its first use and never unmade by itself: a destructor
 * would run while other threads still use the library.
 *
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

enum {
    THREADS_MAX = 1024,
    THREADS_LEAST = 4,  /* libuv's number: some jobs wait for disks, not for processors */
    QUEUE_MAX = 65536,  /* a bound that programs meet only if the pool does not keep up */
    NAME_MAX_BYTES = 11 /* the kernel's 15, less room for a number */
};

struct loop_pool {
    sys_mutex lock; /* guards all that follows */
    sys_cond work_waits;
    struct lanes lanes; /* what waits */
    uint32_t queue_max;
    uint32_t threads;
    uint32_t threads_max;
    uint32_t numbered; /* threads that have their number, for the trace */
    uint32_t busy;     /* threads that run a job */
    uint32_t idle;     /* threads that wait to be told of one */
    uint32_t fork_generation;
    bool ending;
    size_t stack_size;
    char name[16];
    sys_thread ids[]; /* threads_max of them */
};

static sys_mutex shared_lock = SYS_MUTEX_READY;
static struct loop_pool *shared_pool;
static _Thread_local struct loop_job *current_job;

/* Waits for one; NULL when the pool ends. What waits even then is of a class that has its share of
 * the threads, and these will take it. */
static struct loop_job *next_job(struct loop_pool *pool)
{
    struct loop_job *job;
    while (!(job = lanes_begin(&pool->lanes))) {
        if (pool->ending)
            return NULL;
        pool->idle++;
        sys_cond_wait(&pool->work_waits, &pool->lock);
        pool->idle--;
    }
    pool->busy++;
    atomic_put(&job->begun, true);
    return job;
}

static void send_home(struct loop_job *job)
{
    struct loop_mailbox *mailbox = job->mailbox;
    post_push(mailbox, &job->parcel);
    mailbox_release(mailbox);
}

static void run(struct loop_job *job, uint32_t worker)
{
    job->worker = worker;
    if (job->traced)
        job->started_ns = sys_clock_ns(CLOCK_MONOTONIC);
    current_job = job;
    job->run(job);
    current_job = NULL;
    if (job->traced)
        job->done_ns = sys_clock_ns(CLOCK_MONOTONIC);
}

static void *thread_main(void *arg)
{
    struct loop_pool *pool = arg;
    struct loop_job *job;
    sys_lock(&pool->lock);
    uint32_t worker = ++pool->numbered;
    while ((job = next_job(pool))) {
        sys_unlock(&pool->lock);
        run(job, worker);
        sys_lock(&pool->lock);
        pool->busy--; /* before the loop hears of it, and may submit the next */
        lanes_end(&pool->lanes, job);
        sys_unlock(&pool->lock);
        send_home(job);
        sys_lock(&pool->lock);
    }
    sys_unlock(&pool->lock);
    return NULL;
}

bool loop_work_canceled(void)
{
    return current_job && atomic_get(&current_job->canceled);
}

static int start_thread(struct loop_pool *pool)
{
    int error = sys_thread_start(&pool->ids[pool->threads], pool->stack_size, pool->name,
                                 thread_main, pool);
    if (!error)
        pool->threads++;
    return error;
}

/* Without a thread for it a job is refused; with one at least it can wait. */
static int enqueue(struct loop_pool *pool, struct loop_job *job)
{
    if (pool->lanes.queued >= pool->queue_max)
        return -EAGAIN;
    bool may_start = lanes_have_room(&pool->lanes, job->kind);
    bool all_are_needed = lanes_startable(&pool->lanes) >= pool->threads - pool->busy;
    if (may_start && all_are_needed && pool->threads < pool->threads_max &&
        start_thread(pool) < 0 && pool->threads == 0)
        return -EAGAIN;
    lanes_push(&pool->lanes, job);
    if (may_start && pool->idle > 0)
        sys_cond_signal(&pool->work_waits);
    return 0;
}

static uint32_t default_threads(void)
{
    const char *text = sys_environment("LOOP_POOL_THREADS");
    unsigned long asked = text ? strtoul(text, NULL, 10) : 0;
    if (asked >= 1 && asked <= THREADS_MAX)
        return (uint32_t)asked;
    uint32_t processors = sys_processors();
    return processors > THREADS_LEAST ? processors : THREADS_LEAST;
}

static int pool_of(struct loop *loop, struct loop_pool **pool)
{
    int error = 0;
    *pool = loop->options.pool;
    if (*pool)
        return 0;
    sys_lock(&shared_lock);
    if (!shared_pool)
        error = loop_pool_create(&shared_pool, NULL);
    *pool = shared_pool;
    sys_unlock(&shared_lock);
    return error;
}

/* Told when the job is home, so that all events of a loop come from its own thread. */
static void trace_job(struct loop *loop, const struct loop_job *job)
{
    struct subject subject = request_subject(job->request, NULL);
    trace_work(loop, LOOP_TRACE_WORK_STARTED, subject, job->started_ns, job->worker);
    trace_work(loop, LOOP_TRACE_WORK_DONE, subject, job->done_ns, job->worker);
}

static void deliver(struct loop *loop, struct loop_parcel *parcel)
{
    struct loop_job *job = loop_container_of(parcel, struct loop_job, parcel);
    if (!loop || !job->request) {
        job->discard(job);
        return;
    }
    loop->clock_holds--;
    if (job->traced)
        trace_job(loop, job);
    if (job->arrive)
        job->arrive(job);
    else
        request_complete(job->request);
}

int pool_submit(struct loop *loop, struct loop_job *job)
{
    struct loop_pool *pool;
    int error = pool_of(loop, &pool);
    if (error)
        return error;
    job->pool = pool;
    job->parcel.deliver = deliver;
    job->mailbox = mailbox_retain(loop->mailbox);
    job->traced = loop->trace != NULL;
    sys_lock(&pool->lock);
    error = enqueue(pool, job);
    sys_unlock(&pool->lock);
    if (error)
        mailbox_release(job->mailbox);
    else
        loop->clock_holds++;
    return error;
}

/* The pool is there for as long as jobs wait in it. */
static bool take_back(struct loop_job *job)
{
    struct loop_pool *pool = job->pool;
    if (atomic_get(&job->begun))
        return false;
    sys_lock(&pool->lock);
    bool waits = !job->begun;
    if (waits)
        lanes_remove(&pool->lanes, job);
    sys_unlock(&pool->lock);
    return waits;
}

void pool_cancel(struct loop_job *job)
{
    struct loop_request *request = job->request;
    job->request = NULL;
    request->loop->clock_holds--;
    atomic_put(&job->canceled, true);
    if (take_back(job)) {
        mailbox_release(job->mailbox);
        job->discard(job);
    }
    request_defer(request);
}

int loop_pool_create(struct loop_pool **pool, const struct loop_pool_options *options)
{
    struct loop_pool_options chosen = options ? *options : (struct loop_pool_options){0};
    const char *name = chosen.name ? chosen.name : "loop-pool";
    uint32_t threads_max = chosen.threads_max ? chosen.threads_max : default_threads();
    if (!pool || threads_max > THREADS_MAX)
        return -EINVAL;
    if (strlen(name) > NAME_MAX_BYTES)
        return -ENAMETOOLONG;
    struct loop_pool *made =
        sys_resize(NULL, NULL, sizeof(*made) + threads_max * sizeof(sys_thread));
    if (!made)
        return -ENOMEM;
    *made = (struct loop_pool){.queue_max = chosen.queue_max ? chosen.queue_max : QUEUE_MAX,
                               .threads_max = threads_max,
                               .fork_generation = fork_generation(),
                               .stack_size = chosen.stack_size};
    memcpy(made->name, name, strlen(name) + 1);
    sys_mutex_init(&made->lock);
    sys_cond_init(&made->work_waits);
    lanes_init(&made->lanes, threads_max);
    *pool = made;
    return 0;
}

void loop_pool_destroy(struct loop_pool *pool)
{
    if (!pool)
        return;
    sys_lock(&pool->lock);
    pool->ending = true;
    sys_cond_broadcast(&pool->work_waits);
    sys_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->threads; i++)
        sys_thread_join(pool->ids[i]);
    sys_cond_fini(&pool->work_waits);
    sys_mutex_fini(&pool->lock);
    sys_resize(NULL, pool, 0);
}

void loop_pool_shutdown(void)
{
    sys_lock(&shared_lock);
    struct loop_pool *pool = shared_pool;
    shared_pool = NULL;
    sys_unlock(&shared_lock);
    loop_pool_destroy(pool);
}

uint32_t loop_pool_threads(struct loop_pool *pool)
{
    sys_lock(&pool->lock);
    uint32_t threads = pool->threads;
    sys_unlock(&pool->lock);
    return threads;
}

/* The threads were not copied, and the locks are as they happened to be. Jobs that waited go home,
 * where nobody waits for them: another loop of the process may not have been told of the fork yet.
 * Jobs that ran belonged to their threads. */
void pool_after_fork(struct loop *loop)
{
    struct loop_pool *pool;
    struct loop_job *job;
    sys_mutex_init(&shared_lock);
    if (pool_of(loop, &pool) < 0 || pool->fork_generation == fork_generation())
        return;
    pool->fork_generation = fork_generation();
    sys_mutex_init(&pool->lock);
    sys_cond_init(&pool->work_waits);
    pool->threads = pool->numbered = pool->busy = pool->idle = 0;
    lanes_forget_running(&pool->lanes);
    while ((job = lanes_begin(&pool->lanes))) {
        lanes_end(&pool->lanes, job);
        job->begun = true;
        send_home(job);
    }
}
