/* timer_fire: a million timers are due at once and all fire in one pass.
 *
 * They are started with random timeouts of up to half a second, then the program sleeps past the
 * last deadline, which costs no CPU time, and runs the loop: 500 different deadlines, in memory in
 * no order. The callback counts. libevent reads a coarse clock, so that a second turn may be needed
 * for the last of them; sd-event makes one callback a turn.
 *
 * One operation is one timer fired.
 *
 * SPDX-License-Identifier: MIT */
#include "timers.h"

enum { LAST_MS = 500, SLACK_MS = 20 };

static struct peer_loop loop;
static struct timers timers;
static uint32_t fired;

void on_timer(void)
{
    fired++;
}

void on_inside(void)
{
    timers_start(&timers);
}

static void sleep_past_the_last(void)
{
    const struct timespec duration = {.tv_nsec = (LAST_MS + SLACK_MS) * 1000000L};
    bench_require(nanosleep(&duration, NULL) == 0, "nanosleep");
}

int main(void)
{
    peer_loop_init(&loop);
    timers = timers_make(&loop, PEER_TIMERS_MAX);
    timers_set_random_timeouts(&timers, 1, LAST_MS);
    peer_run_inside(&loop);
    sleep_past_the_last();
    const uint64_t start_ns = bench_cpu_ns();
    while (fired < timers.count)
        peer_turn(&loop);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, timers.count);
    return EXIT_SUCCESS;
}
