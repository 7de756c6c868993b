/* Internal. What libloop does with signals and processes: a part of sys.h, which includes it, and
 * to which all that is said there applies.
 *
 * The functions sys_child_… are called in a child that still runs in its parent's memory, on a
 * stack of its own, while the parent's thread waits. They are bare system calls: no lock of the C
 * library is taken, and no sanitizer takes note of what another process does.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_PROCESS_H
#define LOOP_SYS_PROCESS_H

#include "sys.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

/* Of what runs in such a child. */
#define SYS_UNWATCHED __attribute__((no_sanitize("address", "thread", "undefined")))
#define SYS_CHILD     static inline SYS_UNWATCHED __attribute__((always_inline))

/* Signals. */

static inline void sys_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    pthread_atfork(prepare, parent, child);
}

/* Descriptors. */

static inline int sys_dup_over(int from, int to)
{
    return sys_result(dup3(from, to, O_CLOEXEC));
}

/* ends[0] is read from, ends[1] written to. Both block. */
static inline int sys_pipe(int ends[2])
{
    return sys_result(pipe2(ends, O_CLOEXEC));
}

static inline int sys_socketpair_blocking(int fds[2])
{
    return sys_result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
}

/* Processes. */

static inline char **sys_environ(void)
{
    return environ;
}

static inline int sys_pidfd_open(pid_t pid)
{
    return sys_result((int)syscall(SYS_pidfd_open, pid, 0));
}

static inline int sys_pidfd_signal(int pidfd, int number)
{
    return sys_result((int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0));
}

/* The group that bears the process's number, even if that process is gone. -EINVAL: Linux before
 * 6.9 cannot do that. */
static inline int sys_pidfd_signal_group(int pidfd, int number)
{
    enum { PIDFD_SIGNAL_PROCESS_GROUP_BIT = 4 };
    return sys_result(
        (int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, PIDFD_SIGNAL_PROCESS_GROUP_BIT));
}

static inline int sys_kill_group(pid_t leader, int number)
{
    return sys_result(kill(-leader, number));
}

enum { SYS_WEXITED = 4, SYS_WNOWAIT = 0x01000000 };

/* How the process has ended; si_pid 0: it has not. options: WNOHANG; SYS_WNOWAIT to leave it for
 * its parent. -ECHILD: it is not ours, or others have been told. The call is bare because
 * <sys/wait.h> would take a name that phases/4_poll.c needs. */
static inline int sys_wait(int pidfd, siginfo_t *info, int options)
{
    enum { P_PIDFD_TYPE = 3 };
    long result;
    info->si_pid = 0;
    do
        result = syscall(SYS_waitid, P_PIDFD_TYPE, pidfd, info, SYS_WEXITED | options, NULL);
    while (result < 0 && errno == EINTR);
    return sys_result((int)result);
}

/* The C library's clone(2) under its other name, which nobody interposes: what clang's thread
 * sanitizer puts in its place expects a child with memory of its own. */
int __clone(int (*run)(void *arg), void *stack, int flags, void *arg, ...);

/* Runs a function in a child that shares our memory, on the stack that ends at stack_top, and comes
 * back when it has executed a program or ended. *pidfd is close-on-exec. errno is shared too. */
static inline pid_t sys_spawn(int (*run)(void *arg), void *stack_top, void *arg, int *pidfd)
{
    int before = errno;
    pid_t pid = __clone(run, stack_top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, arg, pidfd);
    if (pid < 0)
        pid = -errno;
    errno = before;
    return pid;
}

/* A change of user in a child takes this from the memory that it shares. */
static inline int sys_dumpable(void)
{
    return prctl(PR_GET_DUMPABLE);
}

static inline void sys_set_dumpable(int dumpable)
{
    prctl(PR_SET_DUMPABLE, dumpable);
}

/* In the child. All return a negative errno if they fail. */

SYS_CHILD int sys_child_result(long result)
{
    return result < 0 ? -errno : (int)result;
}

/* All zero is the default, however a machine lays the structure out. */
SYS_CHILD void sys_child_signal_default(int number)
{
    static const uint64_t zero[8];
    syscall(SYS_rt_sigaction, number, zero, NULL, sizeof(uint64_t));
}

/* The kernel's mask is the beginning of the library's. */
SYS_CHILD void sys_child_signal_mask(const sigset_t *mask)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, sizeof(uint64_t));
}

SYS_CHILD int sys_child_setsid(void)
{
    return sys_child_result(syscall(SYS_setsid));
}

SYS_CHILD int sys_child_new_group(void)
{
    return sys_child_result(syscall(SYS_setpgid, 0, 0));
}

SYS_CHILD int sys_child_chdir(const char *path)
{
    return sys_child_result(syscall(SYS_chdir, path));
}

SYS_CHILD int sys_child_drop_groups(void)
{
    return sys_child_result(syscall(SYS_setgroups, 0, NULL));
}

SYS_CHILD int sys_child_setgid(gid_t gid)
{
    return sys_child_result(syscall(SYS_setgid, gid));
}

SYS_CHILD int sys_child_setuid(uid_t uid)
{
    return sys_child_result(syscall(SYS_setuid, uid));
}

/* A copy that is close-on-exec, at least at this number. */
SYS_CHILD int sys_child_move_up(int fd, int least)
{
    return sys_child_result(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least));
}

SYS_CHILD int sys_child_keep(int fd)
{
    return sys_child_result(syscall(SYS_fcntl, fd, F_SETFD, 0));
}

SYS_CHILD int sys_child_dup_to(int fd, int to)
{
    return sys_child_result(syscall(SYS_dup3, fd, to, 0));
}

/* Linux before 5.11 cannot do that, and leaves them as they are. */
SYS_CHILD void sys_child_close_on_exec_from(unsigned first)
{
    enum { CLOSE_RANGE_CLOEXEC_BIT = 4 };
    syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC_BIT);
}

/* Only ever returns an error. */
SYS_CHILD int sys_child_execute(const char *path, const char *const *args, const char *const *env)
{
    return sys_child_result(syscall(SYS_execve, path, args, env));
}

SYS_CHILD void sys_child_exit(void)
{
    syscall(SYS_exit_group, 127);
}

#endif
