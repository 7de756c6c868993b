/* A loop with nothing to do must not wake up. Everything that could wake it is there, a listener,
 * an async handle, a timer in an hour, a child's and a folder's watch, and nothing happens.
 *
 * What is counted is how often epoll_wait() returns. This program has a function of that name,
 * which the library's call finds before the C library's, and which asks the kernel itself. A second
 * thread looks at the count, since the loop's own has to sleep; it begins when the loop has gone to
 * sleep, and fails if it never does, so that a library that waits in another way is not taken for
 * one that sleeps well. Switches of the thread, which the kernel counts, would say nearly the same;
 * but they are counted too when the thread waits for a page or a lock.
 *
 * SPDX-License-Identifier: MIT */
#include "soak.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms);

static atomic_ullong begun, ended;

int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
    atomic_fetch_add(&begun, 1);
    long count = syscall(SYS_epoll_pwait, epoll_fd, events, max, timeout_ms, NULL, 8);
    atomic_fetch_add(&ended, 1);
    return (int)count;
}

unsigned long long waits_begun(void)
{
    return atomic_load(&begun);
}

unsigned long long waits_ended(void)
{
    return atomic_load(&ended);
}

/* What is set up at first, such as a thread that ends, may have the loop look once or twice. */
enum { SETTLE_MS = 300, TRIES = 100 };

static void pause_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&time, &time) < 0)
        continue;
}

static void *look(void *seconds)
{
    int tries = 0;
    while (waits_begun() == waits_ended() && ++tries < TRIES)
        pause_ms(10);
    pause_ms(SETTLE_MS);
    unsigned long long before = waits_ended();
    pause_ms(*(unsigned *)seconds * 1000);
    unsigned long long woken = waits_ended() - before;
    if (waits_begun() == 0)
        printf("it never called epoll_wait()\n");
    else
        printf("%llu\n", woken);
    fflush(stdout);
    _exit(waits_begun() == 0 || woken > 0);
}

static void on_async(struct loop_async *async)
{
    (void)async;
}

static void never(struct loop_timer *timer)
{
    (void)timer;
}

static void on_change(struct loop_fs_event *event, const struct loop_fs_change *change)
{
    (void)event;
    (void)change;
}

static void on_exit_of(struct loop_process *process, int exit_status, int term_signal)
{
    (void)process;
    (void)exit_status;
    (void)term_signal;
}

static void on_signal(struct loop_signal *signal, int number)
{
    (void)signal;
    (void)number;
}

int idle(unsigned seconds)
{
    static struct loop_async async;
    static struct loop_timer far;
    static struct loop_fs_event folder;
    static struct loop_process parent;
    static struct loop_signal signal;
    pthread_t thread;
    listen_somewhere();
    check(loop_async_init(&loop, &async, on_async), "async");
    loop_timer_init(&loop, &far);
    check(loop_timer_start(&far, 3600 * LOOP_SEC, 0, never), "timer");
    loop_fs_event_init(&loop, &folder);
    check(loop_fs_event_start(&folder, "/proc/self", 0, on_change), "watching");
    loop_process_init(&loop, &parent);
    check(loop_process_adopt(&parent, getpid(), on_exit_of), "adopting");
    loop_signal_init(&loop, &signal);
    check(loop_signal_start(&signal, SIGUSR1, on_signal), "signal");
    check(-pthread_create(&thread, NULL, look, &seconds), "thread");
    return loop_run(&loop, LOOP_RUN_DEFAULT);
}
