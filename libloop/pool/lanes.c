/* Which job is next: first come, first served, as far as the caps of their classes allow.
 *
 * Each job has a class, and each class a cap: how many threads may run its jobs at once. A look-up
 * of a name may wait for seconds for a server that does not answer, so without a cap a few of them
 * would hold up all files and all work. A class whose cap is reached is passed over.
 *
 * Jobs come by an inbox on which any thread pushes without the lock, and whoever holds the lock
 * sorts what is there: a loop that submits is never held up by threads that work. Each class has a
 * queue of its own, and the oldest of their heads is next. One queue for all would have to be
 * searched, past thousands of look-ups if need be, whenever a thread is free.
 *
 * Jobs beyond their class's cap are not startable, and no thread is started or woken for them. None
 * is forgotten: ending a job makes at most one other startable, and the thread that has ended it
 * looks for the next. So there are always as many threads that look, or are on their way, as there
 * are startable jobs, or all threads are busy; and as long as jobs of a class wait beyond its cap,
 * somebody is at work on that class.
 *
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

static uint32_t room(const struct lane *lane)
{
    return lane->counts.threads_max - lane->counts.running;
}

static uint32_t startable(const struct lane *lane)
{
    return lane->counts.queued < room(lane) ? lane->counts.queued : room(lane);
}

/* Half of the threads are left to others, whatever the servers of names do; and one, whatever disks
 * and long calculations do. [DOC: class-cap] */
static uint32_t default_cap(unsigned kind, uint32_t threads_max)
{
    if (threads_max == 1)
        return 1;
    return kind == POOL_DNS ? threads_max / 2 : threads_max - 1;
}

void lanes_init(struct lanes *lanes, uint32_t threads_max, const uint32_t class_max[POOL_CLASSES],
                uint32_t queued_max)
{
    *lanes = (struct lanes){.queued_max = queued_max};
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++) {
        uint32_t cap = class_max[kind] ? class_max[kind] : default_cap(kind, threads_max);
        lanes->of[kind].counts.threads_max = cap < threads_max ? cap : threads_max;
        list_init(&lanes->of[kind].queue);
    }
}

/* Counted first, looked at second, so that of two the second at least sees that it is full. By then
 * more may have left than had come. */
uint64_t lanes_let_in(struct lanes *lanes)
{
    uint64_t came = atomic_add(&lanes->came, 1) + 1;
    if ((int64_t)(came - atomic_get(&lanes->left)) <= lanes->queued_max)
        return came;
    lanes_give_up(lanes);
    return 0;
}

void lanes_give_up(struct lanes *lanes)
{
    atomic_sub(&lanes->came, 1);
}

void lanes_put(struct lanes *lanes, struct loop_job *job)
{
    struct loop_link *newest = atomic_get(&lanes->inbox);
    do
        job->link.next = newest;
    while (!atomic_replace(&lanes->inbox, &newest, &job->link));
}

/* Read in this order, what has left meanwhile makes it too many, never too few. */
uint64_t lanes_waiting(const struct lanes *lanes)
{
    uint64_t left = atomic_get(&lanes->left);
    return atomic_get(&lanes->came) - left;
}

uint32_t lanes_running(const struct lanes *lanes)
{
    uint32_t count = 0;
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++)
        count += atomic_get(&lanes->of[kind].counts.running);
    return count;
}

bool lanes_full(const struct lanes *lanes, enum pool_class kind)
{
    const struct loop_pool_class_stats *counts = &lanes->of[kind].counts;
    return atomic_get(&counts->running) >= counts->threads_max;
}

bool lanes_have_mail(const struct lanes *lanes)
{
    return atomic_get(&lanes->inbox) != NULL;
}

static struct loop_job *job_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_job, link);
}

static void push(struct lanes *lanes, struct loop_job *job)
{
    struct lane *lane = &lanes->of[job->kind];
    job->number = ++lanes->pushed;
    list_append(&lane->queue, &job->link);
    lane->counts.queued++;
}

void lanes_fetch(struct lanes *lanes)
{
    struct loop_link *newest = atomic_get(&lanes->inbox) ? atomic_swap(&lanes->inbox, NULL) : NULL;
    struct loop_link *oldest = NULL;
    while (newest) {
        struct loop_link *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_link *next = oldest->next;
        push(lanes, job_of(oldest));
        oldest = next;
    }
}

uint32_t lanes_startable(const struct lanes *lanes)
{
    uint32_t count = 0;
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++)
        count += startable(&lanes->of[kind]);
    return count;
}

/* The one that has waited longest; NULL: none may start. */
static struct loop_job *first(const struct lanes *lanes)
{
    struct loop_job *oldest = NULL;
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++) {
        const struct lane *lane = &lanes->of[kind];
        if (startable(lane) == 0)
            continue;
        struct loop_job *job = job_of(lane->queue.next);
        if (!oldest || job->number < oldest->number)
            oldest = job;
    }
    return oldest;
}

static void leave(struct lanes *lanes, struct loop_job *job)
{
    list_remove(&job->link);
    lanes->of[job->kind].counts.queued--;
    atomic_put(&lanes->left, lanes->left + 1);
}

/* Running before it has left, so that who reads the two in the other order misses neither. */
struct loop_job *lanes_begin(struct lanes *lanes)
{
    struct loop_job *job = first(lanes);
    if (!job)
        return NULL;
    struct loop_pool_class_stats *counts = &lanes->of[job->kind].counts;
    atomic_put(&counts->running, counts->running + 1);
    leave(lanes, job);
    atomic_put(&job->begun, true);
    return job;
}

static void note(uint64_t buckets[LOOP_POOL_BUCKETS], uint64_t duration_ns)
{
    unsigned bucket = 63 - (unsigned)__builtin_clzll(duration_ns | 1);
    buckets[bucket < LOOP_POOL_BUCKETS ? bucket : LOOP_POOL_BUCKETS - 1]++;
}

void lanes_end(struct lanes *lanes, const struct loop_job *job)
{
    struct loop_pool_class_stats *counts = &lanes->of[job->kind].counts;
    atomic_put(&counts->running, counts->running - 1);
    counts->done++;
    if (job->submitted_ns > 0) {
        note(counts->wait, job->started_ns - job->submitted_ns);
        note(counts->run, job->done_ns - job->started_ns);
    }
}

void lanes_remove(struct lanes *lanes, struct loop_job *job)
{
    leave(lanes, job);
    lanes->of[job->kind].counts.canceled++;
}

/* Somebody may have been about to submit, too. */
void lanes_forget_threads(struct lanes *lanes)
{
    lanes_fetch(lanes);
    lanes->came = lanes->left;
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++) {
        lanes->came += lanes->of[kind].counts.queued;
        lanes->of[kind].counts.running = 0;
    }
}

struct loop_job *lanes_pop(struct lanes *lanes)
{
    struct loop_job *job = first(lanes);
    if (job)
        lanes_remove(lanes, job);
    return job;
}
