/* Pools, made and unmade: those of programs, and the one that a process shares.
 *
 * The shared one is made at its first use, under a lock of its own, and never unmade by itself: a
 * destructor would run while other threads still use the library. All figures of a pool are told
 * under its lock, and so are of one moment. In a forked child a pool begins anew, without threads,
 * at the first loop that is told of the fork.
 *
 * SPDX-License-Identifier: MIT */
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
