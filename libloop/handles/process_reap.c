/* Children that nobody asks for any more: their handle was closed before they had ended.
 *
 * Somebody has to wait for them, or each would stay a zombie for as long as the parent lives. What
 * waits is the child's own watcher, which was made when it was started, so that closing needs
 * neither memory nor the kernel. It keeps no loop alive. When a loop is finished before such a
 * child has ended, the child is left to whichever loop of the process next starts or finishes
 * something: it is looked at then, and not waited for.
 *
 * Alternatives not taken: a thread that waits; a child between, whose child the program would be,
 * since then init would reap it, but nobody could ask for its status while its handle is open.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/process.h"

static struct loop_link orphans = {&orphans, &orphans}; /* of all loops; under the mutex */
static sys_mutex mutex = SYS_MUTEX_READY;

static struct loop_child *child_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_child, link);
}

static void unlock_in_child(void)
{
    sys_mutex_init(&mutex);
}

static void watch_forks(void)
{
    sys_at_fork_in_child(unlock_in_child);
}

void child_orphan(struct loop_child *child)
{
    static sys_once forks_watched = SYS_ONCE;
    sys_call_once(&forks_watched, watch_forks);
    child->process = NULL;
    sys_lock(&mutex);
    list_append(&orphans, &child->link);
    sys_unlock(&mutex);
}

void child_forget(struct loop_child *child)
{
    sys_lock(&mutex);
    list_remove(&child->link);
    sys_unlock(&mutex);
}

static bool has_ended(const struct loop_child *child)
{
    siginfo_t info;
    return sys_wait(child->watcher.fd, &info, WNOHANG) < 0 || info.si_pid != 0;
}

/* Off the list, and so nobody else's: those whose loop is gone, and have ended. */
static void take_ended(struct loop_link *ended)
{
    struct loop_link *next;
    list_init(ended);
    sys_lock(&mutex);
    for (struct loop_link *link = orphans.next; link != &orphans; link = next) {
        next = link->next;
        if (!child_of(link)->loop && has_ended(child_of(link))) {
            list_remove(link);
            list_append(ended, link);
        }
    }
    sys_unlock(&mutex);
}

void orphans_reap(void)
{
    struct loop_link ended, *link;
    take_ended(&ended);
    while ((link = list_pop(&ended)))
        child_destroy(child_of(link));
}

void processes_fini(struct loop *loop)
{
    sys_lock(&mutex);
    for (struct loop_link *link = orphans.next; link != &orphans; link = link->next) {
        struct loop_child *child = child_of(link);
        if (child->loop != loop)
            continue;
        watcher_stop(loop, &child->watcher);
        child->loop = NULL;
    }
    sys_unlock(&mutex);
    orphans_reap();
}
