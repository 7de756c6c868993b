/* Internal. What libloop does with pipes and terminals: a part of sys.h, which includes it, and to
 * which all that is said there applies.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_TERMINAL_H
#define LOOP_SYS_TERMINAL_H

#include "sys.h"

#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>

/* Pipes and terminals. */

static inline int sys_fcntl(int fd, int command, int value)
{
    return sys_result(fcntl(fd, command, value));
}

static inline int sys_unlink(const char *path)
{
    return sys_result(unlink(path));
}

/* As writev(2), and a reader that has gone is -EPIPE without a signal where the kernel can do that
 * (RWF_NOSIGNAL, since Linux 6.18; -EOPNOTSUPP or -EINVAL before, -ENOSYS in some sandboxes). */
static inline ssize_t sys_writev_quietly(int fd, const struct iovec *iov, int count)
{
    enum { RWF_NOSIGNAL_BIT = 0x100 };
    return sys_size(syscall(SYS_pwritev2, fd, iov, count, -1L, -1L, RWF_NOSIGNAL_BIT));
}

/* The same by hand: the signal is held back, and taken away if it was us who raised it. */
static inline ssize_t sys_writev_blocked(int fd, const struct iovec *iov, int count)
{
    sigset_t pipe, before, pending;
    struct timespec at_once = {0};
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ssize_t size = sys_size(writev(fd, iov, count));
    if (size == -EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return size;
}

/* Terminals. */

static inline int sys_terminal_get(int fd, struct termios *termios)
{
    return sys_result(tcgetattr(fd, termios));
}

/* Without waiting for output. errno stays: a signal handler may be the caller. */
static inline int sys_terminal_set(int fd, const struct termios *termios)
{
    int before = errno;
    int error = sys_result(tcsetattr(fd, TCSANOW, termios));
    errno = before;
    return error;
}

static inline int sys_terminal_size(int fd, struct winsize *size)
{
    return sys_result(ioctl(fd, TIOCGWINSZ, size));
}

/* Of a pty the number of the slave's end, whichever fd is; 0: none. musl's ioctl takes an int,
 * which such a request is too large for. */
static inline unsigned sys_terminal_device(int fd)
{
    unsigned device;
    return syscall(SYS_ioctl, fd, TIOCGDEV, &device) < 0 ? 0 : device;
}

/* The master's end of a pty. */
static inline bool sys_terminal_is_master(int fd)
{
    int number;
    return syscall(SYS_ioctl, fd, TIOCGPTN, &number) == 0;
}

/* Another open file of the same terminal, as the controlling terminal of nobody. */
static inline int sys_terminal_reopen(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return sys_open(path, flags | O_NOCTTY, 0);
}

static inline bool sys_terminal_hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd};
    return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLHUP;
}

static inline ssize_t sys_writev(int fd, const struct iovec *iov, int count)
{
    return sys_size(writev(fd, iov, count));
}

/* All of them, in this thread; returns which were. */
static inline sigset_t sys_signals_block(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    return before;
}

static inline void sys_signals_restore(sigset_t before)
{
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Either may be NULL. */
static inline int sys_sigaction(int number, const struct sigaction *action,
                                struct sigaction *before)
{
    return sys_result(sigaction(number, action, before));
}

static inline void sys_signal_default(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
}

static inline void sys_raise(int number)
{
    raise(number);
}

static inline int sys_at_exit(void (*handler)(void))
{
    return atexit(handler) ? -ENOMEM : 0;
}

static inline pid_t sys_pid(void)
{
    return getpid();
}

static inline void sys_yield(void)
{
    sched_yield();
}

#endif
