/* Process handles: told when a process has ended.
 *
 * What is waited for is a pidfd, a descriptor that names the process itself and not its number. It
 * becomes readable when the process has ended, in whichever of the program's loops it is watched,
 * without a signal, without asking for every child; and signals sent through it reach no other
 * process that got the number since. Its watcher is one of those that are dispatched last, so
 * output that came in the same batch is read before.
 *
 * The pidfd belongs to a child, memory of the library's own, which the handle leaves behind when it
 * is closed first (process_reap.c). When the process has ended all is given back before the
 * callback: the handle is then as after its init.
 *
 * How a program is started is in process_spawn.c and what follows it there.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/process.h"

int process_vacant(const struct loop_process *process)
{
    int error = handle_usable(&process->handle);
    return !error && process->child ? -EBUSY : error;
}

void child_destroy(struct loop_child *child)
{
    struct loop_allocator allocator = child->allocator;
    if (child->watcher.fd >= 0) {
        if (child->loop)
            watcher_stop(child->loop, &child->watcher);
        sys_close(child->watcher.fd);
    }
    memory_resize(&allocator, child, 0);
}

static void become_inactive(struct loop_process *process)
{
    process->child = NULL;
    list_remove(&process->handle.link);
    handle_stop(&process->handle);
}

/* A process that was adopted is looked at and left to its parent. */
static bool ask(const struct loop_child *child, int *exit_status, int *term_signal)
{
    siginfo_t info;
    int options = WNOHANG | (child->adopted ? SYS_WNOWAIT : 0);
    int error = sys_wait(child->watcher.fd, &info, options);
    *term_signal = 0;
    *exit_status = error;
    if (error)
        return true;
    if (info.si_pid == 0)
        return false; /* unreachable: its pidfd is readable, so it has ended */
    if (info.si_code != CLD_EXITED)
        *term_signal = info.si_status;
    *exit_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return true;
}

static void ready(struct loop_watcher *watcher, int status, uint32_t events)
{
    struct loop_child *child = loop_container_of(watcher, struct loop_child, watcher);
    struct loop_process *process = child->process;
    struct loop *loop = child->loop;
    int exit_status = -ECHILD, term_signal = 0;
    (void)events;
    if (status == 0 && !ask(child, &exit_status, &term_signal))
        return;
    child_forget(child);
    child_destroy(child);
    if (!process)
        return;
    become_inactive(process);
    callback_begin(loop, handle_subject(&process->handle, (loop_function)process->cb), exit_status);
    process->cb(process, exit_status, term_signal);
    callback_end(loop);
}

struct loop_child *child_create(struct loop *loop)
{
    const struct loop_allocator *allocator = &loop->options.allocator;
    struct loop_child *child = memory_resize(allocator, NULL, sizeof(*child));
    if (!child)
        return NULL;
    *child = (struct loop_child){.loop = loop, .allocator = *allocator};
    list_init(&child->link);
    watcher_init(&child->watcher, -1, ready);
    child->watcher.last = true;
    return child;
}

int child_begin(struct loop_process *process, struct loop_child *child, pid_t pid,
                loop_process_cb cb)
{
    struct loop_handle *handle = &process->handle;
    struct loop *loop = handle->loop;
    int error = watcher_start(loop, &child->watcher, EPOLLIN);
    if (error)
        return error;
    child->process = process;
    process->child = child;
    process->pid = pid;
    process->cb = cb;
    list_append(&loop->handles, &handle->link);
    handle_start(handle);
    trace(loop, LOOP_TRACE_STARTED, handle_subject(handle, (loop_function)cb), pid);
    return 0;
}

int loop_process_adopt(struct loop_process *process, pid_t pid, loop_process_cb cb)
{
    if (!process || !cb || pid <= 0)
        return -EINVAL;
    int error = process_vacant(process);
    if (error)
        return error;
    struct loop_child *child = child_create(process->handle.loop);
    if (!child)
        return -ENOMEM;
    child->adopted = true;
    error = child->watcher.fd = sys_pidfd_open(pid);
    if (error >= 0)
        error = child_begin(process, child, pid, cb);
    if (error)
        child_destroy(child);
    return error;
}

static int pidfd_of(const struct loop_process *process)
{
    int error = process ? handle_usable(&process->handle) : -EINVAL;
    if (error)
        return error;
    return process->child ? process->child->watcher.fd : -ESRCH;
}

int loop_process_kill(struct loop_process *process, int number)
{
    int pidfd = pidfd_of(process);
    return pidfd < 0 ? pidfd : sys_pidfd_signal(pidfd, number);
}

/* By its number, where the kernel cannot do it otherwise: its leader, dead or alive, has not been
 * reaped, so nobody else has the number. */
int loop_process_kill_group(struct loop_process *process, int number)
{
    int pidfd = pidfd_of(process);
    if (pidfd < 0)
        return pidfd;
    int error = sys_pidfd_signal_group(pidfd, number);
    return error == -EINVAL ? sys_kill_group(process->pid, number) : error;
}

static void stop(struct loop_handle *handle)
{
    struct loop_process *process = loop_container_of(handle, struct loop_process, handle);
    struct loop_child *child = process->child;
    if (!child)
        return;
    become_inactive(process);
    if (child->adopted)
        child_destroy(child);
    else
        child_orphan(child);
}

void loop_process_init(struct loop *loop, struct loop_process *process)
{
    static const struct loop_handle_ops ops = {.type = "process", .stop = stop};
    handle_init(loop, &process->handle, &ops);
    process->pid = 0;
    process->child = NULL;
    process->cb = NULL;
}
