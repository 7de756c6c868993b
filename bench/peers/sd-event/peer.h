/* Internal. The adapter for sd-event, of libsystemd.
 *
 * Timers: one event source each, made disabled before the clock starts. Deadlines are absolute here
 * and the loop's clock cannot be refreshed in a callback, so the adapter keeps its own reading;
 * sd_event_source_set_time() then is the restart, and with sd_event_source_set_enabled() the start.
 * The accuracy asked for is 1 us, not the 250 ms of the default, which the others do not have.
 *
 * sd-event runs one callback a turn, each after a poll. A round with a million of them would take
 * most of a minute, so it gets fewer timers, which if anything flatters it.
 *
 * Immediates: a source of sd_event_add_defer(), disabled when nothing was queued again.
 *
 * Ticks and all that needs a second thread: sd-event has none.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"
#include "callbacks.h"

#include <systemd/sd-event.h>

enum { PEER_TIMERS_MAX = 30000 };

struct peer_loop {
    sd_event *event;
    uint64_t now_us;
    sd_event_source *inside;
    bool ran_inside;
    sd_event_source *idle;
    bool immediate; /* queued */
    bool stopping;
};

struct peer_timeout {
    uint64_t us;
};

struct peer_timer {
    sd_event_source *source;
};

static inline struct peer_timeout peer_timeout(uint32_t after_ms)
{
    return (struct peer_timeout){.us = after_ms * UINT64_C(1000)};
}

/* sd-event has nothing of its own for equal timeouts. */
static inline struct peer_timeout peer_timeout_shared(struct peer_loop *peer, uint32_t after_ms)
{
    (void)peer;
    return peer_timeout(after_ms);
}

static inline int peer_timer_fired(sd_event_source *source, uint64_t due_us, void *arg)
{
    (void)source;
    (void)due_us;
    (void)arg;
    on_timer();
    return 0;
}

static inline void peer_timer_init(struct peer_loop *peer, struct peer_timer *timer)
{
    int error = sd_event_add_time(peer->event, &timer->source, CLOCK_MONOTONIC, UINT64_MAX - 1, 1,
                                  peer_timer_fired, NULL);
    bench_require(error >= 0, "sd_event_add_time");
    error = sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
    bench_require(error >= 0, "sd_event_source_set_enabled");
}

static inline void peer_timer_restart(struct peer_loop *peer, struct peer_timer *timer,
                                      const struct peer_timeout *after)
{
    int error = sd_event_source_set_time(timer->source, peer->now_us + after->us);
    bench_require(error >= 0, "sd_event_source_set_time");
}

static inline void peer_timer_start(struct peer_loop *peer, struct peer_timer *timer,
                                    const struct peer_timeout *after)
{
    peer_timer_restart(peer, timer, after);
    int error = sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
    bench_require(error >= 0, "sd_event_source_set_enabled");
}

static inline void peer_timer_stop(struct peer_loop *peer, struct peer_timer *timer)
{
    (void)peer;
    int error = sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
    bench_require(error >= 0, "sd_event_source_set_enabled");
}

static inline int peer_immediate_idle(sd_event_source *source, void *arg)
{
    struct peer_loop *peer = arg;
    peer->immediate = false;
    on_immediate();
    return peer->immediate ? 0 : sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static inline void peer_immediate(struct peer_loop *peer)
{
    peer->immediate = true;
    int error = sd_event_source_set_enabled(peer->idle, SD_EVENT_ON);
    bench_require(error >= 0, "sd_event_source_set_enabled");
}

static inline void peer_update_now(struct peer_loop *peer)
{
    peer->now_us = bench_wall_ns() / 1000;
}

static inline int peer_inside(sd_event_source *source, void *arg)
{
    (void)source;
    struct peer_loop *peer = arg;
    peer->ran_inside = true;
    peer_update_now(peer);
    on_inside();
    return 0;
}

static inline void peer_loop_init(struct peer_loop *peer)
{
    *peer = (struct peer_loop){0};
    bench_require(sd_event_new(&peer->event) >= 0, "sd_event_new");
    int error = sd_event_add_defer(peer->event, &peer->inside, peer_inside, peer);
    bench_require(error >= 0, "sd_event_add_defer");
    error = sd_event_source_set_enabled(peer->inside, SD_EVENT_OFF);
    bench_require(error >= 0, "sd_event_source_set_enabled");
    error = sd_event_add_defer(peer->event, &peer->idle, peer_immediate_idle, peer);
    bench_require(error >= 0, "sd_event_add_defer");
    error = sd_event_source_set_enabled(peer->idle, SD_EVENT_OFF);
    bench_require(error >= 0, "sd_event_source_set_enabled");
}

static inline void peer_turn(struct peer_loop *peer)
{
    bench_require(sd_event_run(peer->event, 0) >= 0, "sd_event_run");
}

/* sd_event_loop() does no more, but can only be left for good. */
static inline void peer_run(struct peer_loop *peer)
{
    peer->stopping = false;
    while (!peer->stopping)
        bench_require(sd_event_run(peer->event, UINT64_MAX) >= 0, "sd_event_run");
}

static inline void peer_stop(struct peer_loop *peer)
{
    peer->stopping = true;
}

static inline void peer_run_inside(struct peer_loop *peer)
{
    peer->ran_inside = false;
    int error = sd_event_source_set_enabled(peer->inside, SD_EVENT_ONESHOT);
    bench_require(error >= 0, "sd_event_source_set_enabled");
    while (!peer->ran_inside)
        peer_turn(peer);
}

#endif
