/* post_flood: two threads post five million tasks to a loop on a third.
 *
 * Memory is bounded: each poster owns two blocks of tasks and posts a block again only when all of
 * it has run, which the loop tells it by a semaphore, once a block. Every task runs once, and the
 * tasks of one thread run in the order in which they were posted.
 *
 * libloop and libevent post a task directly. libuv and libev can only wake a loop, so that their
 * adapters put a lock-free list beside the wake-up. sd-event has nothing for threads.
 *
 * Their job is 16 bytes with one callback for all; libloop's task is 88 bytes, carries its own, and
 * may be cancelled: about half of the difference is the memory that passes between the threads.
 *
 * One operation is one task posted and run, the CPU time of all three threads together.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "peer.h"

#include <pthread.h>
#include <semaphore.h>

enum {
    POSTERS = 2,
    TASKS = 2500000, /* of each poster */
    BLOCK = 2500,    /* large, so that the semaphore is not what is measured */
    BLOCKS_OWNED = 2,
};

struct poster;

struct job {
    struct peer_task task;
    struct poster *poster;
};

struct poster {
    pthread_t thread;
    sem_t free_blocks;
    uint32_t ran; /* of its tasks; the loop's */
    struct job jobs[BLOCKS_OWNED * BLOCK];
};

static struct peer_loop loop;
static struct poster posters[POSTERS];
static uint32_t posters_done;

void on_posted(struct peer_task *task)
{
    struct poster *poster = bench_container_of(task, struct job, task)->poster;
    poster->ran++;
    if (poster->ran % BLOCK == 0)
        bench_require(sem_post(&poster->free_blocks) == 0, "sem_post");
    if (poster->ran == TASKS && ++posters_done == POSTERS)
        peer_stop(&loop);
}

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (uint32_t i = 0; i < TASKS; i++) {
        if (i % BLOCK == 0)
            bench_require(sem_wait(&poster->free_blocks) == 0, "sem_wait");
        peer_post(&loop, &poster->jobs[i % (BLOCKS_OWNED * BLOCK)].task);
    }
    return NULL;
}

static void init_poster(struct poster *poster)
{
    bench_require(sem_init(&poster->free_blocks, 0, BLOCKS_OWNED) == 0, "sem_init");
    for (uint32_t i = 0; i < BLOCKS_OWNED * BLOCK; i++) {
        poster->jobs[i].poster = poster;
        peer_task_init(&loop, &poster->jobs[i].task);
    }
}

int main(void)
{
    peer_loop_init_threaded(&loop);
    for (uint32_t i = 0; i < POSTERS; i++)
        init_poster(&posters[i]);
    const uint64_t start_ns = bench_cpu_ns();
    for (uint32_t i = 0; i < POSTERS; i++) {
        int error = pthread_create(&posters[i].thread, NULL, post_all, &posters[i]);
        bench_require(error == 0, "pthread_create");
    }
    peer_run(&loop);
    for (uint32_t i = 0; i < POSTERS; i++)
        bench_require(pthread_join(posters[i].thread, NULL) == 0, "pthread_join");
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, (uint64_t)POSTERS * TASKS);
    return EXIT_SUCCESS;
}
