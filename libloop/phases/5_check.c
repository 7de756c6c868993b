/* Phase 5: immediates, then check hooks: right behind poll.
 *
 * An immediate is the way to do something after the I/O of this turn and before any timer. The
 * queue is taken and then run, each with its ticks and microtasks; an immediate queued by an
 * immediate runs in the next turn, which poll reaches without sleeping. That makes a chain of
 * immediates the way to cut a long computation into pieces between which everything else gets its
 * turn.
 *
 * Check hooks are the twins of prepare: 3_idle_prepare.c has their code.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

void loop_immediate(struct loop *loop, struct loop_task *task, loop_task_cb cb)
{
    task_prepare(loop, task, cb, TASK_IMMEDIATE);
    task_queue(&loop->immediates, task);
}

static void immediates_run(struct loop *loop)
{
    struct loop_link taken;
    struct loop_task *task;
    list_take(&loop->immediates, &taken);
    while ((task = task_pop(&taken)))
        task_run(task);
}

void phase_check(struct loop *loop)
{
    phase_enter(loop, LOOP_PHASE_CHECK);
    immediates_run(loop);
    hooks_run(loop, &loop->check);
}
