/* Another thread rings an async handle by a waker of its own and posts a task, while a timer
 * waits on the real clock. So the scenario meets the descriptors by which a loop is woken and
 * the memory of the waker. The thread lets go of the waker when it has sent, perhaps after the
 * loop was closed by an error, and is joined when the loop has come to its end: sending to what
 * is closing is no mistake.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <pthread.h>

static struct loop_async async;
static struct loop_timer timer;
static struct loop_task task;
static struct loop_waker *waker;
static pthread_t thread;
static bool threaded;
static int rang, posted, fired;

static void on_ring(struct loop_async *handle)
{
    rang++;
    shut(&handle->handle);
}

static void on_post(struct loop_task *posted_task)
{
    (void)posted_task;
    posted++;
}

static void on_timer(struct loop_timer *handle)
{
    (void)handle;
    fired++;
}

static void *ring(void *arg)
{
    loop_post(arg, &task, on_post);
    loop_waker_send(waker);
    loop_waker_release(waker);
    return NULL;
}

static void start(struct loop *loop)
{
    rang = posted = fired = 0;
    threaded = false;
    task = (struct loop_task){0};
    loop_timer_init(loop, &timer);
    ok(loop_timer_start(&timer, LOOP_MS, 0, on_timer));
    if (!ok(loop_async_init(loop, &async, on_ring)))
        return;
    waker = loop_async_waker(&async);
    threaded = true;
    must(-pthread_create(&thread, NULL, ring, loop));
}

static bool done(void)
{
    return rang == 1 && posted == 1 && fired == 1;
}

static void clean(void)
{
    if (threaded)
        pthread_join(thread, NULL);
}

const struct scenario async_scenario = {
    .name = "async", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
