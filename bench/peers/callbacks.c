/* The callbacks that a workload does not define.
 *
 * An adapter's functions mention all of them, each workload defines the few that it uses. These
 * stand in for the rest and are never called. They are weak, so that a workload's own take their
 * place.
 *
 * SPDX-License-Identifier: MIT */
#include "callbacks.h"

#include "bench.h"

static void unexpected(const char *callback)
{
    fprintf(stderr, "failed: %s was called in a workload that has none\n", callback);
    abort();
}

__attribute__((weak)) void on_inside(void)
{
    unexpected("on_inside");
}

__attribute__((weak)) void on_timer(void)
{
    unexpected("on_timer");
}

__attribute__((weak)) void on_immediate(void)
{
    unexpected("on_immediate");
}

__attribute__((weak)) void on_tick(void)
{
    unexpected("on_tick");
}

__attribute__((weak)) void on_posted(struct peer_task *task)
{
    (void)task;
    unexpected("on_posted");
}

__attribute__((weak)) void on_async(struct peer_async *async)
{
    (void)async;
    unexpected("on_async");
}
