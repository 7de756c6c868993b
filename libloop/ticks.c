/* Ticks and microtasks: what runs after every callback, before the loop goes on.
 *
 * All ticks run, the ones queued meanwhile included; then all microtasks, likewise; and again,
 * until both queues are empty. So a tick queued by a tick comes before microtasks that wait
 * already, and a tick queued by a microtask comes after all microtasks. Node drains
 * process.nextTick() and promise jobs in this order since version 11.
 *
 * These two queues are the exception to "take the list, then run it": they must be empty before the
 * loop goes on, and a callback that always queues another stops it for ever. That is what they
 * mean, in Node too, so it is reported, once, and not prevented.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

static void warn(struct loop *loop)
{
    char message[128];
    int length = snprintf(message, sizeof(message),
                          "libloop: %u ticks and microtasks have run after one callback and the "
                          "loop still waits for them\n",
                          loop->options.drain_max);
    loop->warned = true;
    if (loop->options.warn)
        loop->options.warn(loop, message);
    else
        sys_write(STDERR_FILENO, message, (size_t)length);
}

static void run_all(struct loop *loop, struct loop_link *queue, uint32_t *count)
{
    struct loop_task *task;
    while ((task = task_pop(queue))) {
        if (++*count == loop->options.drain_max && !loop->warned)
            warn(loop);
        task_run(task);
    }
}

void ticks_drain(struct loop *loop)
{
    uint32_t count = 0;
    loop->draining = true;
    while (!list_empty(&loop->ticks) || !list_empty(&loop->microtasks)) {
        run_all(loop, &loop->ticks, &count);
        run_all(loop, &loop->microtasks, &count);
    }
    loop->draining = false;
}

void loop_next_tick(struct loop *loop, struct loop_task *task, loop_task_cb cb)
{
    task_prepare(loop, task, cb, TASK_TICK);
    task_queue(&loop->ticks, task);
}

void loop_microtask(struct loop *loop, struct loop_task *task, loop_task_cb cb)
{
    task_prepare(loop, task, cb, TASK_MICROTASK);
    task_queue(&loop->microtasks, task);
}
