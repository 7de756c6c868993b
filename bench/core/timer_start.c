/* timer_start: start a million timers that have random timeouts of up to a minute.
 *
 * They are started inside one callback of the loop, as programs do, and none is due before the
 * round is over. The structs have been initialised already, and their memory touched; what the peer
 * has to grow of its own (the array of a heap) it grows while the clock runs.
 *
 * One operation is one start.
 *
 * SPDX-License-Identifier: MIT */
#include "timers.h"

static struct peer_loop loop;
static struct timers timers;

void on_inside(void)
{
    const uint64_t start_ns = bench_cpu_ns();
    timers_start(&timers);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, timers.count);
}

int main(void)
{
    peer_loop_init(&loop);
    timers = timers_make(&loop, PEER_TIMERS_MAX);
    timers_set_random_timeouts(&timers, 1000, 60000);
    peer_run_inside(&loop);
    return EXIT_SUCCESS;
}
