/* How the loop itself is doing: a timer that beats a hundred times a second, and a trace.
 *
 * A beat that comes late says that some callback ran for so long: this is the number that tells
 * whether a server on one loop is well. Beats that could not come at all, because the loop was
 * busy for longer than a period, are counted too, each with the lateness that it would have had:
 * otherwise one pause of a second would be one bad beat among a hundred good ones, though whoever
 * came in that second had to wait.
 *
 * The trace sees when the loop goes to sleep and when it wakes, and so for how long it works.
 *
 * SPDX-License-Identifier: MIT */
#ifndef HEART_H
#define HEART_H

#include <loop.h>

enum { HEART_BEATS_MAX = 1000 }; /* that are remembered: of ten seconds */

struct heart {
    struct loop_timer timer;
    struct loop_trace trace;
    uint64_t due_ns; /* when the next beat should come */
    uint64_t late_ns[HEART_BEATS_MAX];
    size_t beats;
    uint64_t slept_at_ns; /* since when it sleeps */
    uint64_t asleep_ns;   /* altogether */
    uint64_t callbacks;
};

/* How late beats were: half of them no more than median_ns. */
struct heart_lag {
    uint64_t median_ns, p99_ns, most_ns;
};

/* It does not keep the loop alive. */
void heart_start(struct loop *loop, struct heart *heart);
void heart_stop(struct heart *heart);

/* Since it was last asked. */
struct heart_lag heart_lag(struct heart *heart);

#endif
