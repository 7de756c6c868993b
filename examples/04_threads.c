/* Threads that hand their results to the loop: posted tasks, and a handle that keeps it alive.
 *
 *     ./run example threads
 *
 * Expect: nine results in the order in which they arrived, then "all results are here". A result is
 * a struct with a task in it: the thread fills it in and posts it, and from then on it is the
 * loop's. What a thread wrote before posting is visible to the callback, with no lock. Results that
 * have not been posted yet keep nobody alive, so an async handle does, until all are here.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 3, RESULTS = 3 };

struct result {
    struct loop_task task;
    struct crowd *crowd;
    unsigned thread;
    unsigned long sum;
};

struct job {
    struct crowd *crowd;
    pthread_t thread;
    unsigned number;
    struct result results[RESULTS];
};

struct crowd {
    struct loop loop;
    struct loop_async alive;
    unsigned left; /* results that have not come */
    struct job jobs[THREADS];
};

static void on_result(struct loop_task *task);

static void *thread_main(void *arg)
{
    struct job *job = arg;
    for (unsigned i = 0; i < RESULTS; i++) {
        struct result *result = &job->results[i];
        result->crowd = job->crowd;
        result->thread = job->number;
        for (unsigned long n = 0; n < 1000000 * (i + job->number + 1); n++)
            result->sum += n;
        loop_post(&job->crowd->loop, &result->task, on_result);
    }
    return NULL;
}

static void on_result(struct loop_task *task)
{
    struct result *result = loop_container_of(task, struct result, task);
    printf("thread %u: %lu\n", result->thread, result->sum);
    if (--result->crowd->left > 0)
        return;
    printf("all results are here\n");
    loop_close(&result->crowd->alive.handle, NULL);
}

/* Nobody sends. */
static void on_alive(struct loop_async *async)
{
    (void)async;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

int main(void)
{
    static struct crowd crowd = {.left = THREADS * RESULTS};
    int error = loop_init(&crowd.loop, NULL);
    if (!error)
        error = loop_async_init(&crowd.loop, &crowd.alive, on_alive);
    if (error)
        return fail("the loop", error);
    for (unsigned i = 0; i < THREADS; i++) {
        struct job *job = &crowd.jobs[i];
        job->crowd = &crowd;
        job->number = i;
        error = -pthread_create(&job->thread, NULL, thread_main, job);
        if (error)
            return fail("pthread_create", error);
    }
    loop_run(&crowd.loop, LOOP_RUN_DEFAULT);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(crowd.jobs[i].thread, NULL);
    error = loop_fini(&crowd.loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}
