/* The life of every task: a callback queued to run once.
 *
 * Ticks, microtasks, immediates and posted tasks differ in their queue and in who empties it when;
 * everything else is here. A task has no init function, so its memory must be zero before its first
 * use. Queued, it bears a number that zeroed memory does not hold: that is how queueing it twice is
 * told. It is off its queue before it runs, and its callback may queue it again or free it.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

static const char *type_of(const struct loop_task *task)
{
    static const char *const types[] = {"tick", "microtask", "immediate", "posted task"};
    return types[task->state - TASK_TICK];
}

static bool queued(const struct loop_task *task)
{
    return task->state >= TASK_TICK && task->state <= TASK_POSTED;
}

/* Who posts is on another thread, where there is no number to be had and no cause. */
struct subject task_subject(const struct loop_task *task)
{
    bool posted = task->state == TASK_POSTED;
    return (struct subject){.type = type_of(task),
                            .id = posted ? 0 : task->id,
                            .callback = (loop_function)task->cb,
                            .cause = posted ? NULL : task->cause};
}

void task_prepare(struct loop *loop, struct loop_task *task, loop_task_cb cb, enum task_state state)
{
    if (queued(task))
        panic("a task was queued again before it ran (it waits as: %s); use one task for each "
              "callback, all zero before its first use",
              type_of(task));
    task->loop = loop;
    task->cb = cb;
    task->state = state;
}

void task_queue(struct loop_link *queue, struct loop_task *task)
{
    struct loop *loop = task->loop;
    if (!task->cb)
        panic("a task was queued without a callback (as: %s); give it one", type_of(task));
    thread_check(loop, type_of(task));
    task->id = ++loop->last_id;
    task->cause = loop->running_cb;
    loop->queued_tasks += !task->unref;
    list_append(queue, &task->parcel.link);
    trace(loop, LOOP_TRACE_QUEUED, task_subject(task), 0);
}

struct loop_task *task_pop(struct loop_link *queue)
{
    struct loop_link *link = list_pop(queue);
    if (!link)
        return NULL;
    struct loop_task *task = loop_container_of(link, struct loop_task, parcel.link);
    task->loop->queued_tasks -= !task->unref;
    return task;
}

void task_run(struct loop_task *task)
{
    struct loop *loop = task->loop; /* before the callback: it may free the task */
    task_callback_begin(task);
    task->state = 0;
    task->cb(task);
    callback_end(loop);
}

/* A posted task may still be in the mailbox, from which nothing can be unlinked: fetch it first. */
bool loop_task_cancel(struct loop_task *task)
{
    if (!queued(task))
        return false;
    thread_check(task->loop, type_of(task));
    if (task->state == TASK_POSTED)
        post_fetch(task->loop);
    else
        task->loop->queued_tasks -= !task->unref;
    list_remove(&task->parcel.link);
    task->state = 0;
    return true;
}

static void set_unref(struct loop_task *task, bool unref)
{
    if (queued(task) && task->state != TASK_POSTED)
        task->loop->queued_tasks += (uint64_t)task->unref - (uint64_t)unref;
    task->unref = unref;
    task->parcel.keeps_alive = !unref;
}

void loop_task_ref(struct loop_task *task)
{
    set_unref(task, false);
}

void loop_task_unref(struct loop_task *task)
{
    set_unref(task, true);
}
