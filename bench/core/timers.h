/* Internal. Many timers, their timeouts and a random order in which to visit them: what the timer
 * workloads have in common.
 *
 * A program holds its timers in structs of its own, so they are visited in an order that has
 * nothing to do with their place in memory, except when they are started: there they are new. All
 * is made before the clock starts. Timeouts are whole milliseconds, the finest that every peer has,
 * and the same numbers for all of them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H

#include "bench.h"
#include "peer.h"

struct timers {
    struct peer_loop *loop;
    uint32_t count;
    struct peer_timer *all;
    struct peer_timeout *timeouts; /* one for each */
    uint32_t *order;               /* each index once */
};

static inline struct timers timers_make(struct peer_loop *loop, uint32_t count)
{
    struct timers timers = {
        .loop = loop,
        .count = count,
        .all = bench_array(count, sizeof(struct peer_timer)),
        .timeouts = bench_array(count, sizeof(struct peer_timeout)),
        .order = bench_shuffled(count),
    };
    for (uint32_t i = 0; i < count; i++)
        peer_timer_init(loop, &timers.all[i]);
    return timers;
}

static inline void timers_set_equal_timeout(struct timers *timers, uint32_t after_ms)
{
    const struct peer_timeout shared = peer_timeout_shared(timers->loop, after_ms);
    for (uint32_t i = 0; i < timers->count; i++)
        timers->timeouts[i] = shared;
}

/* min_ms … max_ms, each equally likely. */
static inline void timers_set_random_timeouts(struct timers *timers, uint32_t min_ms,
                                              uint32_t max_ms)
{
    uint64_t random = 1234567891011;
    for (uint32_t i = 0; i < timers->count; i++) {
        uint32_t above_min_ms = (uint32_t)(bench_random(&random) % (max_ms - min_ms + 1));
        timers->timeouts[i] = peer_timeout(min_ms + above_min_ms);
    }
}

static inline void timers_start(struct timers *timers)
{
    for (uint32_t i = 0; i < timers->count; i++)
        peer_timer_start(timers->loop, &timers->all[i], &timers->timeouts[i]);
}

#endif
