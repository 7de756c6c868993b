/* Internal. Restarts live timers for a round: what timer_rearm_equal and timer_rearm_mixed share.
 *
 * This is what idle timeouts do to a server: each message on a connection puts its timeout off, and
 * messages come on any connection at any time. So each restart picks a timer at random; going round
 * in one order would always pick the earliest, which no server does. The clock goes on meanwhile, a
 * turn at a time: it is refreshed every 128 restarts, as if a turn handled that many messages.
 * Refreshing counts as part of the work, for all alike.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_REARM_H
#define BENCH_REARM_H

#include "timers.h"

enum {
    REARM_TIMERS = 100000 < PEER_TIMERS_MAX ? 100000 : PEER_TIMERS_MAX,
    REARM_PASS = 1000000, /* restarts between two looks at the time spent */
    REARM_TURN = 128,     /* restarts between two readings of the clock */
};

/* Which timers, one for each restart of a pass. */
static inline uint32_t *rearm_picks(uint32_t count)
{
    uint32_t *picks = bench_array(REARM_PASS, sizeof *picks);
    uint64_t random = 362436069;
    for (uint32_t i = 0; i < REARM_PASS; i++)
        picks[i] = (uint32_t)(bench_random(&random) % count);
    return picks;
}

static inline void rearm_pass(struct timers *timers, const uint32_t *picks)
{
    for (uint32_t i = 0; i < REARM_PASS; i++) {
        if (i % REARM_TURN == 0)
            peer_update_now(timers->loop);
        uint32_t index = picks[i];
        peer_timer_restart(timers->loop, &timers->all[index], &timers->timeouts[index]);
    }
}

static inline void rearm_measure(struct timers *timers)
{
    const uint32_t *picks = rearm_picks(timers->count);
    timers_start(timers);
    rearm_pass(timers, picks); /* the first settles the structure into its steady state */
    uint64_t restarts = 0;
    const uint64_t start_ns = bench_cpu_ns();
    uint64_t spent_ns;
    do {
        rearm_pass(timers, picks);
        restarts += REARM_PASS;
        spent_ns = bench_cpu_ns() - start_ns;
    } while (spent_ns < bench_round_ns);
    bench_print("cpu_ns", spent_ns, restarts);
}

#endif
