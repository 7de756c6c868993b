/* Internal. The adapter for libevent.
 *
 * Timers: struct event in an array, evtimer_add() for the start and for the restart. Equal timeouts
 * are what event_base_init_common_timeout() is for: a queue beside the heap, O(1); the workload in
 * which all timeouts are equal uses it. Locks are off unless other threads wake the loop.
 *
 * Immediates: an event that activates itself runs again before the loop polls, without end. What
 * comes once a turn is a timer of no duration.
 *
 * Posted tasks: libevent can activate an event from any thread, so that each task is an event and
 * event_active() posts it. It takes the lock of the base and allocates nothing, which
 * event_base_once() does. Wake-ups: event_active() on one event.
 *
 * Ticks: libevent has none.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"
#include "callbacks.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

enum { PEER_TIMERS_MAX = 1000000 };

struct peer_loop {
    struct event_base *base;
    struct event inside;
    bool ran_inside;
    struct event immediate;
};

struct peer_timeout {
    struct timeval time;
};

struct peer_timer {
    struct event event;
};

struct peer_task {
    struct event event;
};

struct peer_async {
    struct event event;
};

static inline struct peer_timeout peer_timeout(uint32_t after_ms)
{
    return (struct peer_timeout){
        .time = {.tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000},
    };
}

static inline struct peer_timeout peer_timeout_shared(struct peer_loop *peer, uint32_t after_ms)
{
    struct peer_timeout own = peer_timeout(after_ms);
    const struct timeval *shared = event_base_init_common_timeout(peer->base, &own.time);
    bench_require(shared != NULL, "event_base_init_common_timeout");
    return (struct peer_timeout){.time = *shared};
}

static inline void peer_timer_fired(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
    on_timer();
}

static inline void peer_timer_init(struct peer_loop *peer, struct peer_timer *timer)
{
    int error = evtimer_assign(&timer->event, peer->base, peer_timer_fired, NULL);
    bench_require(error == 0, "evtimer_assign");
}

static inline void peer_timer_start(struct peer_loop *peer, struct peer_timer *timer,
                                    const struct peer_timeout *after)
{
    (void)peer;
    bench_require(evtimer_add(&timer->event, &after->time) == 0, "evtimer_add");
}

static inline void peer_timer_restart(struct peer_loop *peer, struct peer_timer *timer,
                                      const struct peer_timeout *after)
{
    peer_timer_start(peer, timer, after);
}

static inline void peer_timer_stop(struct peer_loop *peer, struct peer_timer *timer)
{
    (void)peer;
    bench_require(evtimer_del(&timer->event) == 0, "evtimer_del");
}

static inline void peer_immediate_ran(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
    on_immediate();
}

static inline void peer_immediate(struct peer_loop *peer)
{
    static const struct timeval at_once = {0};
    bench_require(evtimer_add(&peer->immediate, &at_once) == 0, "evtimer_add");
}

static inline void peer_posted(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    on_posted(arg);
}

static inline void peer_task_init(struct peer_loop *peer, struct peer_task *task)
{
    int error = event_assign(&task->event, peer->base, -1, EV_PERSIST, peer_posted, task);
    bench_require(error == 0, "event_assign");
}

static inline void peer_post(struct peer_loop *peer, struct peer_task *task)
{
    (void)peer;
    event_active(&task->event, EV_READ, 0);
}

static inline void peer_async_woken(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    on_async(arg);
}

static inline void peer_async_init(struct peer_loop *peer, struct peer_async *async)
{
    int error = event_assign(&async->event, peer->base, -1, EV_PERSIST, peer_async_woken, async);
    bench_require(error == 0, "event_assign");
}

static inline void peer_async_send(struct peer_async *async)
{
    event_active(&async->event, EV_READ, 0);
}

static inline void peer_inside(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct peer_loop *peer = arg;
    peer->ran_inside = true;
    on_inside();
}

static inline void peer_loop_init(struct peer_loop *peer)
{
    *peer = (struct peer_loop){.base = event_base_new()};
    bench_require(peer->base != NULL, "event_base_new");
    int error = evtimer_assign(&peer->inside, peer->base, peer_inside, peer) |
                evtimer_assign(&peer->immediate, peer->base, peer_immediate_ran, NULL);
    bench_require(error == 0, "evtimer_assign");
}

static inline void peer_loop_init_threaded(struct peer_loop *peer)
{
    bench_require(evthread_use_pthreads() == 0, "evthread_use_pthreads");
    peer_loop_init(peer);
}

/* Without EVLOOP_ONCE it would go on for as many turns as find something. */
static inline void peer_turn(struct peer_loop *peer)
{
    bench_require(event_base_loop(peer->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0,
                  "event_base_loop");
}

static inline void peer_run(struct peer_loop *peer)
{
    bench_require(event_base_loop(peer->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0, "event_base_loop");
}

static inline void peer_stop(struct peer_loop *peer)
{
    bench_require(event_base_loopbreak(peer->base) == 0, "event_base_loopbreak");
}

static inline void peer_update_now(struct peer_loop *peer)
{
    bench_require(event_base_update_cache_time(peer->base) == 0, "event_base_update_cache_time");
}

static inline void peer_run_inside(struct peer_loop *peer)
{
    peer->ran_inside = false;
    event_active(&peer->inside, EV_TIMEOUT, 0);
    while (!peer->ran_inside)
        peer_turn(peer);
}

#endif
