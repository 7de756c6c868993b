/* Traffic without end, on one loop: connections (traffic.c), what goes through the pool (chores.c),
 * children (children.c) and watched folders (watches.c). What soak.py watches is whether anything
 * grows.
 *
 *     soak SECONDS        traffic; a line of figures each second
 *     soak idle SECONDS   nothing to do, and how often the loop wakes (idle.c)
 *
 * After SECONDS, or at SIGINT, nothing begins anew; when all have ended the loop must be empty and
 * the table of descriptors as it was. Of memory there are two figures: what the loop has from its
 * allocator, exact, in blocks; and what the kernel says of the process, which soak.py reads.
 *
 * How late timers are is measured by one that is due every 10 ms: in microseconds, each counted, so
 * that the median and the 99th percentile of the whole run are exact. The last of them is for all
 * that was later still.
 *
 * SPDX-License-Identifier: MIT */
#include "soak.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { LAG_EVERY_MS = 10, LAG_COUNTS = 100 * 1000 };

struct loop loop;
bool ending;
struct done done;

static struct loop_timer second, end, lag_timer;
static struct loop_signal interrupt;
static int seconds;
static atomic_long blocks; /* the pool's threads allocate, too */
static uint64_t lag_due_ns, lag_max_us, lag_total;
static uint32_t lag_counts[LAG_COUNTS];

void check(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "soak: %s: %s\n", what, loop_strerror(result));
    exit(1);
}

uint32_t chance(uint32_t below)
{
    static uint64_t state = 88172645463325252; /* xorshift: the same run each time */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state % below);
}

static void *resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    atomic_fetch_add(&blocks, (!memory && size > 0) - (memory && size == 0));
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

/* How late the loop is. */

static void on_lag(struct loop_timer *timer)
{
    uint64_t late_us = (loop_now(&loop) - lag_due_ns) / LOOP_US;
    lag_counts[late_us < LAG_COUNTS ? late_us : LAG_COUNTS - 1]++;
    lag_total++;
    if (late_us > lag_max_us)
        lag_max_us = late_us;
    lag_due_ns = loop_now(&loop) + LAG_EVERY_MS * LOOP_MS;
    check(loop_timer_start(timer, LAG_EVERY_MS * LOOP_MS, 0, on_lag), "timer");
}

static unsigned lag_at(unsigned percent)
{
    uint64_t below = 0;
    for (unsigned us = 0; us < LAG_COUNTS; us++) {
        below += lag_counts[us];
        if (below * 100 >= lag_total * percent)
            return us;
    }
    return 0;
}

/* Figures. */

struct census {
    int handles, timers;
};

static void count_one(struct loop_handle *handle, void *arg)
{
    struct census *census = arg;
    census->handles++;
    census->timers += strcmp(loop_handle_type(handle), "timer") == 0;
}

static void on_second(struct loop_timer *timer)
{
    struct census census = {0};
    (void)timer;
    loop_walk(&loop, count_one, &census);
    printf("second %d connections %llu unanswered %llu chores %llu children %llu changes %llu "
           "handles %d timers %d servers %d blocks %ld waits %llu lag_p50_us %u lag_p99_us %u "
           "lag_max_us %llu errors %llu\n",
           ++seconds, done.connections, done.unanswered, done.chores, done.children, done.changes,
           census.handles, census.timers, done.servers, atomic_load(&blocks), waits_ended(),
           lag_at(50), lag_at(99), (unsigned long long)lag_max_us, done.errors);
    fflush(stdout);
    lag_max_us = 0;
}

static void end_all(void)
{
    if (ending)
        return;
    ending = true;
    loop_timer_stop(&second);
    loop_timer_stop(&end);
    loop_timer_stop(&lag_timer);
    loop_signal_stop(&interrupt);
    traffic_end();
    chores_end();
    children_end();
    watches_end();
}

static void on_end(struct loop_timer *timer)
{
    (void)timer;
    end_all();
}

static void on_interrupt(struct loop_signal *signal, int number)
{
    (void)signal;
    (void)number;
    end_all();
}

static void start_figures(int seconds_max)
{
    lag_due_ns = loop_now(&loop) + LAG_EVERY_MS * LOOP_MS;
    loop_timer_init(&loop, &second);
    loop_timer_init(&loop, &end);
    loop_timer_init(&loop, &lag_timer);
    loop_signal_init(&loop, &interrupt);
    check(loop_timer_start(&second, LOOP_SEC, LOOP_SEC, on_second), "timer");
    check(loop_timer_start(&end, (uint64_t)seconds_max * LOOP_SEC, 0, on_end), "timer");
    check(loop_timer_start(&lag_timer, LAG_EVERY_MS * LOOP_MS, 0, on_lag), "timer");
    check(loop_signal_start(&interrupt, SIGINT, on_interrupt), "signal");
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

/* A child that was left alone and is still there when its loop ends is given back by the next loop
 * of the process that ends behind it. */
static void outlive_children(const struct loop_options *options)
{
    siginfo_t info;
    while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0) {
        check(loop_init(&loop, options), "another loop");
        check(loop_fini(&loop), "the end of another loop");
    }
}

int main(int argc, char **argv)
{
    struct loop_options options = {.allocator.resize = resize};
    int before = open_descriptors();
    check(argc > 1 ? 0 : -EINVAL, "usage: soak SECONDS, or soak idle SECONDS");
    check(loop_init(&loop, &options), "loop");
    if (strcmp(argv[1], "idle") == 0)
        return idle(argc > 2 ? (unsigned)atoi(argv[2]) : 3);
    start_figures(atoi(argv[1]));
    traffic_begin();
    chores_begin();
    children_begin();
    watches_begin();
    check(loop_run(&loop, LOOP_RUN_DEFAULT), "running");
    check(loop_fini(&loop), "something is left when all has ended");
    outlive_children(&options);
    loop_pool_shutdown();
    int left = open_descriptors() - before;
    printf("ended: %llu connections, %llu unanswered, %llu chores, %llu children, %llu changes, "
           "%llu errors; %d servers, %d descriptors and %ld blocks left\n",
           done.connections, done.unanswered, done.chores, done.children, done.changes, done.errors,
           done.servers, left, atomic_load(&blocks));
    return done.errors > 0 || done.servers > 0 || left != 0 || atomic_load(&blocks) != 0;
}
