/* Node's words: a hundred timeouts, an interval that clears itself, and a task of
 * each queue. They are the only ones whose memory the library allocates by itself,
 * in chunks: out of memory is an id of 0. What was set before goes on, and runs.
 * When the loop is given up with some of them left, they are the library's own to
 * let go of.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include "loop/node.h"

static loop_id interval;
static int calls;

static void on_call(void *arg)
{
    (void)arg;
    calls++;
}

static void on_interval(void *arg)
{
    on_call(NULL);
    loop_clear(arg, interval);
}

static loop_id had(loop_id id)
{
    ok(id == 0 ? -ENOMEM : 0);
    return id;
}

static void start(struct loop *loop)
{
    calls = 0;
    for (int i = 0; i < 100; i++)
        had(loop_set_timeout(loop, LOOP_MS, on_call, NULL));
    interval = had(loop_set_interval(loop, LOOP_MS, on_interval, loop));
    had(loop_set_immediate(loop, on_call, NULL));
    had(loop_process_next_tick(loop, on_call, NULL));
    had(loop_queue_microtask(loop, on_call, NULL));
}

static bool done(void)
{
    return calls == 104;
}

const struct scenario node_scenario = {.name = "node",
                                       .clock = LOOP_CLOCK_VIRTUAL,
                                       .start = start,
                                       .done = done};
