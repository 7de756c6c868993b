/* Threads that hand their results to the loop: posted tasks, and a handle that keeps it alive.
 *
 *     ./run example threads
 *
 * Expect: nine results in the order in which they arrived, then "all threads are done". A result is
 * a struct with a task in it: the thread fills it in and posts it, and from then on it is the
 * loop's. What a thread wrote before posting is visible to the callback, with no lock. The async
 * handle is there for the loop to wait for: posted tasks that have not come yet keep nobody alive.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 3, RESULTS = 3 };

struct result {
    struct loop_task task;
    unsigned thread;
    unsigned long sum;
};

struct job {
    struct loop *loop;
    struct loop_waker *done;
    unsigned number;
    struct result results[RESULTS];
};

static unsigned finished;

static void on_result(struct loop_task *task)
{
    struct result *result = loop_container_of(task, struct result, task);
    printf("thread %u: %lu\n", result->thread, result->sum);
}

static void *thread_main(void *arg)
{
    struct job *job = arg;
    for (unsigned i = 0; i < RESULTS; i++) {
        struct result *result = &job->results[i];
        result->thread = job->number;
        for (unsigned long n = 0; n < 1000000 * (i + job->number + 1); n++)
            result->sum += n;
        loop_post(job->loop, &result->task, on_result);
    }
    __atomic_add_fetch(&finished, 1, __ATOMIC_RELEASE);
    loop_waker_send(job->done);
    loop_waker_release(job->done);
    return NULL;
}

/* Several sends may make one callback, so the callback looks at what is true. */
static void on_done(struct loop_async *async)
{
    if (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < THREADS)
        return;
    printf("all threads are done\n");
    loop_close(&async->handle, NULL);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

int main(void)
{
    struct loop loop;
    struct loop_async done;
    pthread_t threads[THREADS];
    struct job jobs[THREADS] = {0};
    int error = loop_init(&loop, NULL);
    if (!error)
        error = loop_async_init(&loop, &done, on_done);
    if (error)
        return fail("the loop", error);
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i].loop = &loop;
        jobs[i].done = loop_async_waker(&done);
        jobs[i].number = i;
        error = -pthread_create(&threads[i], NULL, thread_main, &jobs[i]);
        if (error)
            return fail("pthread_create", error);
    }
    loop_run(&loop, LOOP_RUN_DEFAULT);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}
