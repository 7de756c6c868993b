/* The clock: nanoseconds, read seldom, cached between.
 *
 * All callbacks of a phase see the same time, so that what they start together is due together, and
 * a turn costs one reading of 25 ns and not one per timer. It is read after poll returns, before
 * timers run if a callback has run since, and when the program asks. A callback that ran long and
 * then starts timers asks with loop_update_now().
 *
 * A virtual clock is never read: poll moves it to the next deadline instead of sleeping.
 *
 * SPDX-License-Identifier: MIT */
#include "base/clock.h"

/* By enum loop_clock. A virtual clock has no timerfd, and reads none. */
static const clockid_t kernel_clocks[] = {
    [LOOP_CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
    [LOOP_CLOCK_BOOTTIME] = CLOCK_BOOTTIME,
};

uint64_t loop_now(const struct loop *loop)
{
    return loop->now_ns;
}

clockid_t clock_of(const struct loop *loop)
{
    return kernel_clocks[loop->options.clock];
}

uint64_t clock_read(const struct loop *loop)
{
    if (loop->options.clock == LOOP_CLOCK_VIRTUAL)
        return loop->now_ns;
    return sys_clock_ns(clock_of(loop));
}

void loop_update_now(struct loop *loop)
{
    loop->now_ns = clock_read(loop);
    loop->now_stale = false;
}
