/* Internal. Every effect that libloop has on the world outside, and nothing else.
 *
 * The library calls these functions and never the C library's of the same name: a test looks for
 * that. So the same sources can be built against another file of this name, with a clock, a kernel
 * and a memory of its own, chosen by the include path. Here each is one call, inlined, at no cost.
 *
 * What concerns files is in sys_fs.h and sys_inotify.h, sockets in sys_net.h, signals and processes
 * in sys_process.h, pipes and terminals in sys_terminal.h.
 *
 * What can fail returns a negative errno; errno itself is known to this file alone.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_H
#define LOOP_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static inline int sys_result(int result)
{
    return result < 0 ? -errno : result;
}

static inline ssize_t sys_size(ssize_t result)
{
    return result < 0 ? -errno : result;
}

/* Time. */

static inline uint64_t sys_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline int sys_timerfd_create(clockid_t clock)
{
    return sys_result(timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC));
}

/* deadline_ns is on the timer's clock; 0 would disarm it. */
static inline int sys_timerfd_arm(int fd, uint64_t deadline_ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                           .tv_nsec = (long)(deadline_ns % 1000000000)}};
    return sys_result(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL));
}

static inline void sys_pause_ns(uint64_t ns)
{
    struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
    nanosleep(&pause, NULL);
}

/* Readiness. */

static inline int sys_epoll_create(void)
{
    return sys_result(epoll_create1(EPOLL_CLOEXEC));
}

static inline int sys_epoll_ctl(int epoll_fd, int operation, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = {.events = events, .data.u64 = tag};
    return sys_result(epoll_ctl(epoll_fd, operation, fd, &event));
}

static inline int sys_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
    return sys_result(epoll_wait(epoll_fd, events, max, timeout_ms));
}

static inline int sys_eventfd(void)
{
    return sys_result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

/* -EAGAIN, when the counter is at its limit, means that the reader has been told already. */
static inline void sys_eventfd_signal(int fd)
{
    int error = errno; /* a signal handler may be the caller */
    eventfd_write(fd, 1);
    errno = error;
}

static inline void sys_eventfd_clear(int fd)
{
    eventfd_t count;
    eventfd_read(fd, &count);
}

/* Files. */

static inline int sys_open(const char *path, int flags, mode_t mode)
{
    return sys_result(open(path, flags | O_CLOEXEC, mode));
}

/* Never tried again after EINTR: Linux has let go of the descriptor all the same. */
static inline int sys_close(int fd)
{
    return sys_result(close(fd));
}

static inline int sys_fstat(int fd, struct stat *stat)
{
    return sys_result(fstat(fd, stat));
}

static inline ssize_t sys_read(int fd, void *bytes, size_t size)
{
    return sys_size(read(fd, bytes, size));
}

static inline ssize_t sys_write(int fd, const void *bytes, size_t size)
{
    return sys_size(write(fd, bytes, size));
}

static inline ssize_t sys_pread(int fd, void *bytes, size_t size, off_t offset)
{
    return sys_size(pread(fd, bytes, size, offset));
}

static inline ssize_t sys_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return sys_size(pwrite(fd, bytes, size, offset));
}

static inline bool sys_is_terminal(int fd)
{
    return isatty(fd);
}

static inline const void *sys_map(int fd, size_t size)
{
    void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

static inline void sys_unmap(const void *map, size_t size)
{
    munmap((void *)(uintptr_t)map, size);
}

/* Memory. */

static inline void *sys_resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

/* Threads. */

typedef pthread_t sys_thread;
typedef pthread_mutex_t sys_mutex;
typedef pthread_cond_t sys_cond;

#define SYS_MUTEX_READY PTHREAD_MUTEX_INITIALIZER

static inline void sys_mutex_init(sys_mutex *mutex)
{
    pthread_mutex_init(mutex, NULL);
}

static inline void sys_mutex_fini(sys_mutex *mutex)
{
    pthread_mutex_destroy(mutex);
}

static inline void sys_lock(sys_mutex *mutex)
{
    pthread_mutex_lock(mutex);
}

static inline void sys_unlock(sys_mutex *mutex)
{
    pthread_mutex_unlock(mutex);
}

static inline void sys_cond_init(sys_cond *cond)
{
    pthread_cond_init(cond, NULL);
}

static inline void sys_cond_fini(sys_cond *cond)
{
    pthread_cond_destroy(cond);
}

static inline void sys_cond_wait(sys_cond *cond, sys_mutex *mutex)
{
    pthread_cond_wait(cond, mutex);
}

static inline void sys_cond_signal(sys_cond *cond)
{
    pthread_cond_signal(cond);
}

static inline void sys_cond_broadcast(sys_cond *cond)
{
    pthread_cond_broadcast(cond);
}

/* Signals stay with the program's own threads: the new one has all of them blocked. stack_size 0:
 * the system's. */
static inline int sys_thread_start(sys_thread *thread, size_t stack_size, const char *name,
                                   void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    int error = stack_size ? pthread_attr_setstacksize(&attributes, stack_size) : 0;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!error)
        error = pthread_create(thread, &attributes, run, arg);
    if (!error)
        pthread_setname_np(*thread, name);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

static inline void sys_thread_join(sys_thread thread)
{
    pthread_join(thread, NULL);
}

typedef pthread_once_t sys_once;
enum { SYS_ONCE = PTHREAD_ONCE_INIT };

static inline void sys_call_once(sys_once *once, void (*call)(void))
{
    pthread_once(once, call);
}

/* That the machine has; a process may be kept to fewer. */
static inline uint32_t sys_processors_online(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    /* unreachable: without /proc and /sys, 0 */
    return count > 0 ? (uint32_t)count : 1;
}

static inline uint32_t sys_processors(void)
{
    cpu_set_t set;
    /* unreachable: with more processors than a set holds, an error */
    return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (uint32_t)CPU_COUNT(&set);
}

/* The process. */

static inline void sys_at_fork_in_child(void (*handler)(void))
{
    pthread_atfork(NULL, NULL, handler);
}

/* NULL in a set-user-ID program: its environment is somebody else's. */
static inline const char *sys_environment(const char *name)
{
    return secure_getenv(name);
}

static inline void sys_each_module(int (*visit)(struct dl_phdr_info *, size_t, void *), void *arg)
{
    dl_iterate_phdr(visit, arg);
}

static inline _Noreturn void sys_abort(void)
{
    abort();
}

#include "sys_fs.h"
#include "sys_inotify.h"
#include "sys_net.h"
#include "sys_process.h"
#include "sys_terminal.h"

#endif
