/* Starting a program.
 *
 * All that can fail without the child comes first: memory, descriptors, the paths to try. Then the
 * child is made, as vfork(2) would make it, but on a stack of its own and with a pidfd from the
 * first moment: it shares our memory, whatever its size, and this thread waits until it has
 * executed the program or ended. In the latter case it has left the reason, is reaped here, and
 * nothing has happened.
 *
 * All signals are blocked meanwhile, so that no handler runs in the child, in our memory. Other
 * threads go on.
 *
 * Alternatives not taken: fork(2), which copies the page tables, 10 ms for every GiB; posix_spawn,
 * which knows no user, no session before glibc 2.26, and no pidfd before 2.39; an error pipe, which
 * shared memory makes needless.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/process.h"

/* The child's frames are few, but the dynamic linker may run on it and save all registers. */
enum { STACK_SIZE = 64 * 1024 };

static const unsigned all_flags =
    LOOP_PROCESS_DETACHED | LOOP_PROCESS_GROUP | LOOP_PROCESS_UID | LOOP_PROCESS_GID;

static int check_stdio(const struct loop *loop, const struct loop_stdio *stdio)
{
    if ((unsigned)stdio->kind > LOOP_STDIO_SOCKET)
        return -EINVAL;
    if (stdio->kind == LOOP_STDIO_FD && stdio->fd < 0)
        return -EBADF;
    if (stdio->kind < LOOP_STDIO_INPUT)
        return 0;
    return stdio->pipe && stdio->pipe->handle.loop == loop ? 0 : -EINVAL;
}

static int check(const struct loop_process *process, const struct loop_process_options *options)
{
    if (!process || !options || !options->file || options->flags & ~all_flags ||
        options->stdio_count > LOOP_STDIO_MAX || (options->stdio_count > 0 && !options->stdio))
        return -EINVAL;
    int error = process_vacant(process);
    if (!error && forked(process->handle.loop))
        error = -ECHILD;
    if (!error && options->file[0] == '\0')
        error = -ENOENT;
    for (size_t i = 0; i < options->stdio_count && !error; i++)
        error = check_stdio(process->handle.loop, &options->stdio[i]);
    return error;
}

/* One piece of memory for all that the child needs: descriptors, ours and theirs, paths, stack. */
struct room {
    size_t fds_size;
    size_t paths_size;
    char *bytes;
};

static const char *const *env_of(const struct loop_process_options *options)
{
    static const char *const nothing[] = {NULL};
    const char *const *own = (const char *const *)sys_environ();
    return options->env ? options->env : own ? own : nothing;
}

static struct room measure(const struct loop_process_options *options, int count)
{
    return (struct room){
        .fds_size = (size_t)count * sizeof(int),
        .paths_size = path_candidates(options->file, env_of(options), NULL),
    };
}

static char *stack_top(const struct room *room)
{
    uintptr_t top = (uintptr_t)(room->bytes + 2 * room->fds_size + room->paths_size + STACK_SIZE);
    return room->bytes + ((top & ~(uintptr_t)63) - (uintptr_t)room->bytes);
}

/* The child's error, or 0: then it runs. */
static int await(pid_t pid, int pidfd, int error)
{
    siginfo_t info;
    if (pid < 0)
        return pid;
    if (error) {
        sys_wait(pidfd, &info, 0);
        sys_close(pidfd);
    }
    return error;
}

/* A change of user in memory that is ours too would leave us without core dumps. */
static int run_child(struct launch *launch, void *stack, int *pidfd, pid_t *pid)
{
    bool changes_user = launch->flags & (LOOP_PROCESS_UID | LOOP_PROCESS_GID);
    int dumpable = changes_user ? sys_dumpable() : 0;
    launch->mask = sys_signals_block();
    *pid = sys_spawn(child_run, stack, launch, pidfd);
    if (changes_user && dumpable == 1)
        sys_set_dumpable(dumpable);
    sys_signals_restore(launch->mask);
    return await(*pid, *pidfd, launch->error);
}

/* It runs, and the kernel has no memory to tell us of its end. */
static void undo_child(struct loop_child *child)
{
    siginfo_t info;
    sys_pidfd_signal(child->watcher.fd, SIGKILL);
    sys_wait(child->watcher.fd, &info, 0);
}

static int launch_into(struct loop_process *process, struct loop_child *child,
                       const struct loop_process_options *options, loop_process_cb cb,
                       const struct room *room)
{
    const char *const itself[] = {options->file, NULL};
    struct stdio_plan plan = {.null_fd = -1, .theirs = (int *)(void *)room->bytes};
    char *paths = room->bytes + 2 * room->fds_size;
    struct launch launch = {
        .args = options->args ? options->args : itself,
        .env = env_of(options),
        .candidates = paths,
        .cwd = options->cwd,
        .fds = (int *)(void *)(room->bytes + room->fds_size),
        .count = (int)(room->fds_size / sizeof(int)),
        .flags = options->flags,
        .uid = options->uid,
        .gid = options->gid,
    };
    pid_t pid = -1;
    path_candidates(options->file, launch.env, paths);
    int error = stdio_open(&plan, options, &launch);
    if (!error)
        error = run_child(&launch, stack_top(room), &child->watcher.fd, &pid);
    if (error) {
        child->watcher.fd = -1;
        stdio_undo(&plan, options, launch.count);
        return error;
    }
    error = child_begin(process, child, pid, cb);
    if (error) {
        undo_child(child);
        stdio_undo(&plan, options, launch.count);
        return error;
    }
    stdio_close_theirs(&plan, launch.count);
    return 0;
}

int loop_process_spawn(struct loop_process *process, const struct loop_process_options *options,
                       loop_process_cb cb)
{
    int error = cb ? check(process, options) : -EINVAL;
    if (error)
        return error;
    orphans_reap();
    struct loop *loop = process->handle.loop;
    struct room room = measure(options, options->stdio_count > 3 ? (int)options->stdio_count : 3);
    struct loop_child *child = child_create(loop);
    if (!child)
        return -ENOMEM;
    room.bytes = memory_resize(&loop->options.allocator, NULL,
                               2 * room.fds_size + room.paths_size + STACK_SIZE);
    error = room.bytes ? launch_into(process, child, options, cb, &room) : -ENOMEM;
    memory_resize(&loop->options.allocator, room.bytes, 0);
    if (error)
        child_destroy(child);
    return error;
}
