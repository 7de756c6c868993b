/* timer_rearm_equal: restart live timers that all have the same timeout.
 *
 * A hundred thousand connections with an idle timeout of a minute, and messages on them in random
 * order. Each restart moves a timer behind all others, by the cached clock. A peer that can be told
 * of a common timeout is told (libevent).
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
    timers_set_equal_timeout(&timers, 60000);
    peer_run_inside(&loop);
    return EXIT_SUCCESS;
}
