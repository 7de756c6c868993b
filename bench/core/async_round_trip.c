/* async_round_trip: two loops on two threads wake each other in turn.
 *
 * Each loop sleeps until it is woken, then wakes the other, so that every message meets a sleeper.
 * Almost all of the time is the kernel's: a write, a wake-up on another CPU, a return from sleep.
 * Wall time says how long a message takes; it depends on the machine more than on the library.
 *
 * The threads are bound to two CPUs, the first and the last that the program may use. Left alone,
 * the scheduler puts both on one in some rounds, and a switch on one CPU costs a tenth of a wake-up
 * on another. Where there is only one CPU, that is what this measures.
 *
 * One operation is one round trip: two wake-ups. CPU time is that of both threads together.
 *
 * SPDX-License-Identifier: MIT */
#include "bench.h"
#include "peer.h"

#include <pthread.h>

enum { ROUND_TRIPS = 5000 };

struct side {
    struct peer_loop loop;
    struct peer_async async;
    struct side *other;
    uint32_t woken;
};

static struct side near;
static struct side far;

/* The far side answers every time, the near side asks again until it has had all its answers. */
void on_async(struct peer_async *async)
{
    struct side *side = bench_container_of(async, struct side, async);
    side->woken++;
    if (side == &far || side->woken < ROUND_TRIPS)
        peer_async_send(&side->other->async);
    if (side->woken == ROUND_TRIPS)
        peer_stop(&side->loop);
}

/* The CPU that is the first, or the last, of those allowed. */
static void bind_to_cpu(bool last)
{
    cpu_set_t allowed;
    bench_require(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
    size_t chosen = 0;
    for (size_t cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && (last || seen++ == 0))
            chosen = cpu;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(chosen, &one);
    int error = pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    bench_require(error == 0, "pthread_setaffinity_np");
}

static void init_side(struct side *side, struct side *other)
{
    side->other = other;
    peer_loop_init_threaded(&side->loop);
    peer_async_init(&side->loop, &side->async);
}

static void *run_side(void *arg)
{
    struct side *side = arg;
    bind_to_cpu(side == &far);
    peer_run(&side->loop);
    return NULL;
}

int main(void)
{
    init_side(&near, &far);
    init_side(&far, &near);
    pthread_t thread;
    const uint64_t start_cpu_ns = bench_cpu_ns();
    const uint64_t start_wall_ns = bench_wall_ns();
    bench_require(pthread_create(&thread, NULL, run_side, &far) == 0, "pthread_create");
    peer_async_send(&far.async);
    run_side(&near);
    bench_require(pthread_join(thread, NULL) == 0, "pthread_join");
    bench_print("cpu_ns", bench_cpu_ns() - start_cpu_ns, ROUND_TRIPS);
    bench_print("wall_ns", bench_wall_ns() - start_wall_ns, ROUND_TRIPS);
    return EXIT_SUCCESS;
}
