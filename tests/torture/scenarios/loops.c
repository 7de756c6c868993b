/* A second loop, from its beginning to its end, while the first one looks on: traced because the
 * environment says so, once into a file and once as text; with a descriptor for its timer, work on
 * the pool, and a drain that takes so long that the loop says so. A loop that cannot be made leaves
 * nothing behind; a trace that cannot be written is complained about, and all else goes on.
 * Whatever has failed, the second loop can be closed and finished within the run.
 *
 * SPDX-License-Identifier: MIT */
#include "../injector.h"
#include "../torture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct loop second;
static struct loop_timer timer;
static struct loop_task ticks[8];
static struct loop_async async;
static char path[64];
static int turns;

static void on_tick(struct loop_task *task)
{
    (void)task;
}

static void on_timer(struct loop_timer *handle)
{
    for (int i = 0; i < 8; i++)
        loop_next_tick(handle->handle.loop, &ticks[i], on_tick);
    turns++;
}

static void on_async(struct loop_async *handle)
{
    shut(&handle->handle);
}

static void close_one(struct loop_handle *handle, void *arg)
{
    (void)arg;
    shut(handle);
}

/* However it went, it can be closed and finished. */
static void live(void)
{
    struct loop_options options = {.drain_max = 4, .allocator.resize = torture_resize_memory};
    if (!ok(loop_init(&second, &options)))
        return;
    loop_timer_init(&second, &timer);
    ok(loop_timer_start(&timer, LOOP_MS, 0, on_timer));
    if (ok(loop_async_init(&second, &async, on_async)))
        ok(loop_async_send(&async));
    ok(loop_run(&second, LOOP_RUN_DEFAULT));
    loop_walk(&second, close_one, NULL);
    loop_run(&second, LOOP_RUN_DEFAULT);
    if (loop_fini(&second) < 0)
        abort();
}

static void start(struct loop *loop)
{
    char asked[80];
    (void)loop;
    turns = 0;
    snprintf(path, sizeof(path), "/tmp/torture-XXXXXX");
    close(must(mkstemp(path)));
    snprintf(asked, sizeof(asked), "chrome:%s", path);
    must(setenv("LOOP_TRACE", asked, 1));
    live();
    must(setenv("LOOP_TRACE", "text", 1));
    live();
    must(unsetenv("LOOP_TRACE"));
    live();
}

static bool done(void)
{
    return turns == 3;
}

static void clean(void)
{
    char command[96];
    unsetenv("LOOP_TRACE");
    snprintf(command, sizeof(command), "rm -f '%s'*", path);
    must(system(command));
}

const struct scenario loops_scenario = {
    .name = "loops", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
