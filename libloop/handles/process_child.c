/* What runs in a child before it is another program.
 *
 * The child has its parent's memory, and the parent's thread stands still until the program is
 * executed or the child has ended. So nothing is copied, which is why starting a program does not
 * cost more in a larger parent; and nothing may be done here that others would see: no allocation,
 * no lock, no C library, only system calls, and no sanitizer's bookkeeping, which would count for
 * the parent. Signals are blocked all the while, and their handlers, which are the parent's, are
 * gone before that ends.
 *
 * The steps: session or group, descriptors, directory, user, signals, program. The groups go before
 * the group and that before the user: afterwards there would be no privilege left to do it. What
 * fails ends the child, and its parent reads the error where the child has left it.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/process.h"

/* Those that stand where another has to come are moved out of the way first. */
SYS_UNWATCHED static int place_descriptors(const struct launch *launch)
{
    int *fds = launch->fds;
    int error = 0;
    for (int i = 0; i < launch->count && error >= 0; i++)
        if (fds[i] < launch->count && fds[i] != i)
            error = fds[i] = sys_child_move_up(fds[i], launch->count);
    for (int i = 0; i < launch->count && error >= 0; i++)
        error = fds[i] == i ? sys_child_keep(i) : sys_child_dup_to(fds[i], i);
    if (error >= 0)
        sys_child_close_on_exec_from((unsigned)launch->count);
    return error < 0 ? error : 0;
}

SYS_UNWATCHED static int become_user(const struct launch *launch)
{
    int error = 0;
    if (launch->flags & (LOOP_PROCESS_UID | LOOP_PROCESS_GID))
        error = sys_child_drop_groups();
    if (error >= 0 && launch->flags & LOOP_PROCESS_GID)
        error = sys_child_setgid(launch->gid);
    if (error >= 0 && launch->flags & LOOP_PROCESS_UID)
        error = sys_child_setuid(launch->uid);
    return error;
}

SYS_UNWATCHED static void reset_signals(const struct launch *launch)
{
    for (int number = 1; number < NSIG; number++)
        sys_child_signal_default(number);
    sys_child_signal_mask(&launch->mask);
}

/* As execvp(3): what is not there, or not ours to execute, is looked for further on; that it was
 * there is what is told in the end. */
SYS_UNWATCHED static int try_paths(const struct launch *launch)
{
    int error = -ENOENT;
    bool denied = false;
    for (const char *path = launch->candidates; *path; path++) {
        error = sys_child_execute(path, launch->args, launch->env);
        denied |= error == -EACCES;
        if (error != -ENOENT && error != -ENOTDIR && error != -EACCES)
            return error;
        while (*path)
            path++;
    }
    return denied ? -EACCES : error;
}

SYS_UNWATCHED int child_run(void *arg)
{
    struct launch *launch = arg;
    int error = 0;
    if (launch->flags & LOOP_PROCESS_DETACHED)
        error = sys_child_setsid();
    else if (launch->flags & LOOP_PROCESS_GROUP)
        error = sys_child_new_group();
    if (error >= 0)
        error = place_descriptors(launch);
    if (error >= 0 && launch->cwd)
        error = sys_child_chdir(launch->cwd);
    if (error >= 0)
        error = become_user(launch);
    if (error >= 0) {
        reset_signals(launch);
        error = try_paths(launch);
    }
    launch->error = error;
    sys_child_exit();
    return 0; /* unreachable: it has exited */
}
