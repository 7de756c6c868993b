/* Phase 3: idle hooks, then prepare hooks: once a turn, before poll.
 *
 * Prepare is for what must be done before the loop may sleep, as hosting another library's loop.
 * Idle has nothing to do with idleness: it runs every turn, and as long as one is active poll does
 * not sleep. Check hooks, their twin behind poll, differ in nothing but their list; 5_check.c runs
 * them.
 *
 * Each kind runs in start order. libuv runs them the other way round, by how its list happens to be
 * built; nothing is known to want that.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

static struct loop_hook *hook_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_hook, handle.link);
}

static void stop(struct loop_handle *handle)
{
    loop_hook_stop(loop_container_of(handle, struct loop_hook, handle));
}

static void init(struct loop *loop, struct loop_hook *hook, struct loop_link *home,
                 const struct loop_handle_ops *ops)
{
    handle_init(loop, &hook->handle, ops);
    hook->home = home;
    hook->cb = NULL;
}

void loop_idle_init(struct loop *loop, struct loop_hook *hook)
{
    static const struct loop_handle_ops ops = {.type = "idle hook", .stop = stop};
    init(loop, hook, &loop->idle, &ops);
}

void loop_prepare_init(struct loop *loop, struct loop_hook *hook)
{
    static const struct loop_handle_ops ops = {.type = "prepare hook", .stop = stop};
    init(loop, hook, &loop->prepare, &ops);
}

void loop_check_init(struct loop *loop, struct loop_hook *hook)
{
    static const struct loop_handle_ops ops = {.type = "check hook", .stop = stop};
    init(loop, hook, &loop->check, &ops);
}

int loop_hook_start(struct loop_hook *hook, loop_hook_cb cb)
{
    if (!hook || !cb)
        return -EINVAL;
    int error = handle_usable(&hook->handle);
    if (error)
        return error;
    hook->cb = cb;
    if (handle_is_active(&hook->handle))
        return 0;
    list_append(hook->home, &hook->handle.link);
    handle_start(&hook->handle);
    trace(hook->handle.loop, LOOP_TRACE_STARTED, handle_subject(&hook->handle, (loop_function)cb),
          0);
    return 0;
}

void loop_hook_stop(struct loop_hook *hook)
{
    if (handle_usable(&hook->handle) < 0 || !handle_is_active(&hook->handle))
        return;
    list_remove(&hook->handle.link);
    handle_stop(&hook->handle);
}

/* What has run goes to a list of its own, so that a hook started meanwhile is not put before the
 * ones that have still to run. loop_walk() knows these lists. */
void hooks_run(struct loop *loop, struct loop_link *hooks)
{
    struct loop_link *link;
    if (list_empty(hooks))
        return;
    list_take(hooks, &loop->taken_hooks);
    while ((link = list_pop(&loop->taken_hooks))) {
        struct loop_hook *hook = hook_of(link);
        if (!handle_is_active(&hook->handle))
            list_corrupt();
        list_append(&loop->ran_hooks, link);
        callback_begin(loop, handle_subject(&hook->handle, (loop_function)hook->cb), 0);
        hook->cb(hook);
        callback_end(loop);
    }
    list_prepend_all(hooks, &loop->ran_hooks);
}

void phase_idle(struct loop *loop)
{
    phase_enter(loop, LOOP_PHASE_IDLE);
    hooks_run(loop, &loop->idle);
}

void phase_prepare(struct loop *loop)
{
    phase_enter(loop, LOOP_PHASE_PREPARE);
    hooks_run(loop, &loop->prepare);
}
