/* timer_cancel: stop a million live timers in random order.
 *
 * The timers are started with random timeouts of up to a minute, which does not count, and stopped
 * in an order that has nothing to do with that of the starts, the deadlines or the memory: the
 * common end of a timeout, whose operation was in time.
 *
 * One operation is one stop.
 *
 * SPDX-License-Identifier: MIT */
#include "timers.h"

static struct peer_loop loop;
static struct timers timers;

void on_inside(void)
{
    timers_start(&timers);
    const uint64_t start_ns = bench_cpu_ns();
    for (uint32_t i = 0; i < timers.count; i++)
        peer_timer_stop(&loop, &timers.all[timers.order[i]]);
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
