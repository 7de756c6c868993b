/* Internal. The least that can be called a queue of callbacks: a singly linked list in the
 * caller's memory, for the limit programs.
 *
 * A task may be pushed again in its own callback. It cannot be taken out before its turn, which is
 * what a second link would be for.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_FIFO_H
#define BENCH_FIFO_H

#include <stddef.h>

struct fifo_task {
    struct fifo_task *next;
    void (*cb)(struct fifo_task *task);
};

/* Empty: oldest NULL, whatever newest holds. */
struct fifo {
    struct fifo_task *oldest;
    struct fifo_task *newest;
};

static inline void fifo_push(struct fifo *fifo, struct fifo_task *task)
{
    task->next = NULL;
    if (fifo->oldest == NULL)
        fifo->oldest = task;
    else
        fifo->newest->next = task;
    fifo->newest = task;
}

static inline struct fifo_task *fifo_pop(struct fifo *fifo)
{
    struct fifo_task *task = fifo->oldest;
    if (task != NULL)
        fifo->oldest = task->next;
    return task;
}

/* What a callback pushes runs in the same call. */
static inline void fifo_drain(struct fifo *fifo)
{
    struct fifo_task *task;
    while ((task = fifo_pop(fifo)) != NULL)
        task->cb(task);
}

#endif
