/* timer_rearm_mixed: restart live timers that each have a timeout of their own.
 *
 * As timer_rearm_equal, but the timeouts are random, 5 s to 65 s, and each timer is restarted with
 * its own: a proxy whose connections stand in many states. A restart moves a timer a little later
 * among the others, not to the end.
 *
 * One operation is one restart, with its share of the clock's refreshes.
 *
 * SPDX-License-Identifier: MIT */
#include "rearm.h"

static struct peer_loop loop;
static struct timers timers;

void on_inside(void)
{
    rearm_measure(&timers);
}

int main(void)
{
    peer_loop_init(&loop);
    timers = timers_make(&loop, REARM_TIMERS);
    timers_set_random_timeouts(&timers, 5000, 65000);
    peer_run_inside(&loop);
    return EXIT_SUCCESS;
}
