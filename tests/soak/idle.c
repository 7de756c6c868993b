/* A loop with nothing to do must not wake up. Everything that could wake it is there, a listener,
 * an async handle, a timer in an hour, a child's and a folder's watch, and nothing happens.
 *
 * What is counted is how often epoll_wait() returns. This program has a function of that name,
 * which the library's call finds before the C library's, and which asks the kernel itself. A second
 * thread looks at the count, since the loop's own has to sleep. First it rouses the loop, so that
 * what setting up has left to be done is behind it, and a library that waits in another way is not
 * taken for one that sleeps well; it begins to count when the kernel says that the loop's thread is
 * asleep in that function again. Switches of the thread, which the kernel counts, would say nearly
 * the same; but they are counted too when the thread waits for a page or a lock.
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

static atomic_bool roused;
static pid_t loop_thread;

static struct loop_async async;

static void on_async(struct loop_async *handle)
{
    (void)handle;
    atomic_store(&roused, true);
}

static void pause_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&time, &time) < 0)
        continue;
}

/* By /proc: in the state S, and not just on its way there. */
static bool is_asleep(pid_t thread)
{
    char text[512];
    snprintf(text, sizeof(text), "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(text, "r");
    if (!file)
        return false;
    const char *line = fgets(text, sizeof(text), file);
    const char *name_end = line ? strrchr(line, ')') : NULL;
    bool asleep = name_end && strncmp(name_end, ") S", 3) == 0;
    fclose(file);
    return asleep;
}

/* How many waits had ended when it fell asleep in the next; no event can be left for that one. */
static unsigned long long await_sleep(void)
{
    for (;; pause_ms(10)) {
        unsigned long long ended_before = waits_ended();
        if (waits_begun() > ended_before && is_asleep(loop_thread) && waits_ended() == ended_before)
            return ended_before;
    }
}

static void *look(void *seconds)
{
    loop_async_send(&async);
    while (!atomic_load(&roused))
        pause_ms(10);
    unsigned long long before = waits_begun() > 0 ? await_sleep() : 0;
    pause_ms(*(unsigned *)seconds * 1000);
    unsigned long long woken = waits_ended() - before;
    if (waits_begun() == 0)
        printf("it never called epoll_wait()\n");
    else
        printf("%llu\n", woken);
    fflush(stdout);
    _exit(waits_begun() == 0 || woken > 0);
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
    loop_thread = gettid();
    check(-pthread_create(&thread, NULL, look, &seconds), "thread");
    return loop_run(&loop, LOOP_RUN_DEFAULT);
}
