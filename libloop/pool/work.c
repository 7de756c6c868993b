/* Pools, made and unmade, and work: a function of the user's on one of them.
 *
 * The pool that a process shares is made at its first use and never unmade by itself: a destructor
 * would run while other threads still use the library.
 *
 * The function is given data as it was when the work was submitted, and never the request: that is
 * the loop thread's, and after a cancel it may be gone while the function still runs. What the data
 * points to is the caller's care; loop_work_canceled() tells a long function that it may give up.
 *
 * work->job is the link between the two halves. It is there while the pool has the job, and gone
 * once the work was cancelled or abandoned, which is how its completion knows what to tell.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"
#include "lanes.h"

enum {
    THREADS_MAX = 1024,
    THREADS_LEAST = 4,   /* libuv's number: some jobs wait for disks, not for processors */
    QUEUE_MAX = 65536,   /* a bound that programs meet only if the pool does not keep up */
    NAME_MAX_BYTES = 11, /* the kernel's 15, less room for a number */
    TIME_ONE_IN = 61,    /* a prime: else a program with a pattern has the same job timed always */
};

_Static_assert((int)POOL_CPU == LOOP_POOL_CPU && (int)POOL_FS == LOOP_POOL_FS &&
                   (int)POOL_DNS == LOOP_POOL_DNS && (int)POOL_CLASSES == LOOP_POOL_CLASSES,
               "the classes of jobs are those of the public header");

static sys_mutex shared_lock = SYS_MUTEX_READY;
static struct loop_pool *shared_pool;

static uint32_t default_threads(void)
{
    const char *text = sys_environment("LOOP_POOL_THREADS");
    unsigned long asked = text ? strtoul(text, NULL, 10) : 0;
    if (asked >= 1 && asked <= THREADS_MAX)
        return (uint32_t)asked;
    uint32_t processors = sys_processors();
    return processors > THREADS_LEAST ? processors : THREADS_LEAST;
}

static struct loop_pool_options with_defaults(const struct loop_pool_options *given)
{
    struct loop_pool_options options = given ? *given : (struct loop_pool_options){0};
    if (!options.name)
        options.name = "loop-pool";
    if (options.threads_max == 0)
        options.threads_max = default_threads();
    if (options.queue_max == 0)
        options.queue_max = QUEUE_MAX;
    if (options.time_one_in == 0)
        options.time_one_in = TIME_ONE_IN;
    return options;
}

int loop_pool_create(struct loop_pool **pool, const struct loop_pool_options *options)
{
    struct loop_pool_options chosen = with_defaults(options);
    if (!pool || chosen.threads_max > THREADS_MAX || chosen.threads_min > chosen.threads_max)
        return -EINVAL;
    if (strlen(chosen.name) > NAME_MAX_BYTES)
        return -ENAMETOOLONG;
    struct loop_pool *made =
        sys_resize(NULL, NULL, sizeof(*made) + chosen.threads_max * sizeof(struct worker));
    if (!made)
        return -ENOMEM;
    *made = (struct loop_pool){.threads_min = chosen.threads_min,
                               .threads_max = chosen.threads_max,
                               .idle_ns = chosen.idle_ns,
                               .time_one_in = chosen.time_one_in,
                               .fork_generation = fork_generation(),
                               .stack_size = chosen.stack_size};
    memset(made->workers, 0, chosen.threads_max * sizeof(struct worker));
    memcpy(made->name, chosen.name, strlen(chosen.name) + 1);
    sys_mutex_init(&made->lock);
    sys_cond_init(&made->all_ended);
    list_init(&made->parked);
    lanes_init(&made->lanes, chosen.threads_max, chosen.class_max, chosen.queue_max);
    *pool = made;
    return 0;
}

void loop_pool_destroy(struct loop_pool *pool)
{
    if (!pool)
        return;
    pool_end_threads(pool);
    sys_cond_fini(&pool->all_ended);
    sys_mutex_fini(&pool->lock);
    sys_resize(NULL, pool, 0);
}

int pool_of(struct loop *loop, struct loop_pool **pool)
{
    int error = 0;
    *pool = loop->options.pool ? loop->options.pool : atomic_get(&shared_pool);
    if (*pool)
        return 0;
    sys_lock(&shared_lock);
    *pool = shared_pool;
    if (!*pool)
        error = loop_pool_create(pool, NULL);
    atomic_put(&shared_pool, *pool);
    sys_unlock(&shared_lock);
    return error;
}

void loop_pool_shutdown(void)
{
    sys_lock(&shared_lock);
    struct loop_pool *pool = atomic_swap(&shared_pool, NULL);
    sys_unlock(&shared_lock);
    loop_pool_destroy(pool);
}

uint32_t loop_pool_threads(struct loop_pool *pool)
{
    return atomic_get(&pool->threads);
}

static void tell(struct loop_pool *pool, struct loop_pool_stats *stats)
{
    sys_lock(&pool->lock);
    lanes_fetch(&pool->lanes);
    *stats = (struct loop_pool_stats){.threads = pool->threads, .idle = pool->idle};
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++)
        stats->of[kind] = pool->lanes.of[kind].counts;
    sys_unlock(&pool->lock);
}

void loop_pool_stats(struct loop_pool *pool, struct loop_pool_stats *stats)
{
    if (pool) {
        tell(pool, stats);
        return;
    }
    *stats = (struct loop_pool_stats){0};
    sys_lock(&shared_lock);
    if (shared_pool)
        tell(shared_pool, stats);
    sys_unlock(&shared_lock);
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
    sys_cond_init(&pool->all_ended);
    list_init(&pool->parked);
    memset(pool->workers, 0, pool->threads_max * sizeof(struct worker));
    pool->threads = pool->idle = pool->searching = 0;
    pool->any_ended = false;
    lanes_forget_threads(&pool->lanes);
    while ((job = lanes_pop(&pool->lanes))) {
        job->begun = true;
        pool_send_home(job);
    }
}

struct work_job {
    struct loop_job job;
    loop_work_fn fn;
    void *data;
};

static void run(struct loop_job *job)
{
    struct work_job *work_job = loop_container_of(job, struct work_job, job);
    work_job->fn(work_job->data);
}

/* work->job is gone if the work was cancelled. */
static void complete(struct loop_request *request)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    struct loop *loop = request->loop;
    int status = work->job ? 0 : -ECANCELED;
    if (work->job)
        job_free(work->job);
    work->job = NULL;
    if (!work->done)
        return;
    callback_begin(loop, request_subject(request, (loop_function)work->done), 0);
    work->done(work, status);
    callback_end(loop);
}

static void abandon(struct loop_request *request)
{
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    work->job->request = NULL;
    work->job = NULL;
}

static void cancel(struct loop_request *request, int status)
{
    (void)status; /* having no deadlines: -ECANCELED */
    struct loop_work *work = loop_container_of(request, struct loop_work, request);
    pool_cancel(work->job);
    work->job = NULL;
}

static const struct loop_request_ops work_ops = {.type = "work",
                                                 .complete = complete,
                                                 .abandon = abandon,
                                                 .cancel = cancel};

int loop_work(struct loop *loop, struct loop_work *work, loop_work_fn fn, loop_work_cb done)
{
    return loop_work_class(loop, work, LOOP_POOL_CPU, fn, done);
}

int loop_work_class(struct loop *loop, struct loop_work *work, enum loop_pool_class kind,
                    loop_work_fn fn, loop_work_cb done)
{
    if (!loop || !work || !fn || kind >= LOOP_POOL_CLASSES)
        return -EINVAL;
    thread_check(loop, "work");
    request_check(&work->request, &work_ops);
    struct work_job *made = memory_resize(&loop->options.allocator, NULL, sizeof(*made));
    if (!made)
        return -ENOMEM;
    *made = (struct work_job){.job = {.allocator = loop->options.allocator,
                                      .request = &work->request,
                                      .kind = (enum pool_class)kind,
                                      .run = run,
                                      .discard = job_free},
                              .fn = fn,
                              .data = work->request.data};
    int error = pool_submit(loop, &made->job);
    if (error) {
        job_free(&made->job);
        return error;
    }
    work->job = &made->job;
    work->done = done;
    request_start(loop, &work->request, &work_ops, (loop_function)done);
    return 0;
}
