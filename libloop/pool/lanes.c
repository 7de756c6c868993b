/* Which job is next: first come, first served, as far as the caps of their classes allow.
 *
 * Each job has a class, and each class a cap: how many threads may run its jobs at once. A look-up
 * of a name may wait for seconds for a server that does not answer, so without a cap a few of them
 * would hold up all files and all work. A class whose cap is reached is passed over.
 *
 * Each class has a queue of its own, and the oldest of their heads is next. One queue for all would
 * have to be searched, past thousands of look-ups if need be, whenever a thread is free.
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
    return lane->running_max - lane->running;
}

static uint32_t startable(const struct lane *lane)
{
    return lane->queued < room(lane) ? lane->queued : room(lane);
}

/* Half of the threads are left to others, whatever the servers of names do. [DOC: class-cap] */
static uint32_t cap(unsigned kind, uint32_t threads_max)
{
    return kind == POOL_DNS && threads_max > 1 ? threads_max / 2 : threads_max;
}

void lanes_init(struct lanes *lanes, uint32_t threads_max)
{
    *lanes = (struct lanes){.queued = 0};
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++) {
        lanes->of[kind].running_max = cap(kind, threads_max);
        list_init(&lanes->of[kind].queue);
    }
}

uint32_t lanes_startable(const struct lanes *lanes)
{
    uint32_t count = 0;
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++)
        count += startable(&lanes->of[kind]);
    return count;
}

bool lanes_have_room(const struct lanes *lanes, enum pool_class kind)
{
    return lanes->of[kind].queued < room(&lanes->of[kind]);
}

void lanes_push(struct lanes *lanes, struct loop_job *job)
{
    struct lane *lane = &lanes->of[job->kind];
    job->number = ++lanes->pushed;
    list_append(&lane->queue, &job->link);
    lane->queued++;
    lanes->queued++;
}

void lanes_remove(struct lanes *lanes, struct loop_job *job)
{
    list_remove(&job->link);
    lanes->of[job->kind].queued--;
    lanes->queued--;
}

/* The one that has waited longest; NULL: none may start. */
static struct loop_job *first(const struct lanes *lanes)
{
    struct loop_job *oldest = NULL;
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++) {
        const struct lane *lane = &lanes->of[kind];
        if (startable(lane) == 0)
            continue;
        struct loop_job *job = loop_container_of(lane->queue.next, struct loop_job, link);
        if (!oldest || job->number < oldest->number)
            oldest = job;
    }
    return oldest;
}

struct loop_job *lanes_begin(struct lanes *lanes)
{
    struct loop_job *job = first(lanes);
    if (!job)
        return NULL;
    lanes_remove(lanes, job);
    lanes->of[job->kind].running++;
    return job;
}

void lanes_end(struct lanes *lanes, const struct loop_job *job)
{
    lanes->of[job->kind].running--;
}

void lanes_forget_running(struct lanes *lanes)
{
    for (unsigned kind = 0; kind < POOL_CLASSES; kind++)
        lanes->of[kind].running = 0;
}
