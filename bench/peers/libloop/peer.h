/* Internal. The adapter for libloop.
 *
 * The public API as any program would use it, all options at their defaults: struct loop_timer in
 * an array, loop_timer_start() for the start and for the restart, loop_immediate(),
 * loop_next_tick() and loop_post() with a task of the caller's, loop_async_send() on the handle.
 * Only drain_max is raised, as a chain of ticks longer than its default would be reported, once,
 * as a starving loop, which is what it is.
 *
 * The program is linked with the shared library, as its users are.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"
#include "callbacks.h"

#include <loop/async.h>
#include <loop/core.h>
#include <loop/task.h>
#include <loop/timer.h>

enum { PEER_TIMERS_MAX = 1000000 };

struct peer_loop {
    struct loop loop;
    struct loop_timer inside;
    struct loop_task immediate;
    struct loop_task tick;
    struct loop_async alive; /* what has only other threads to wait for must say so */
};

struct peer_timeout {
    uint64_t ns;
};

struct peer_timer {
    struct loop_timer timer;
};

struct peer_task {
    struct loop_task task;
};

struct peer_async {
    struct loop_async async;
};

static inline struct peer_timeout peer_timeout(uint32_t after_ms)
{
    return (struct peer_timeout){.ns = after_ms * LOOP_MS};
}

/* Equal timeouts need no preparation. */
static inline struct peer_timeout peer_timeout_shared(struct peer_loop *peer, uint32_t after_ms)
{
    (void)peer;
    return peer_timeout(after_ms);
}

static inline void peer_timer_init(struct peer_loop *peer, struct peer_timer *timer)
{
    loop_timer_init(&peer->loop, &timer->timer);
}

static inline void peer_timer_fired(struct loop_timer *timer)
{
    (void)timer;
    on_timer();
}

static inline void peer_timer_start(struct peer_loop *peer, struct peer_timer *timer,
                                    const struct peer_timeout *after)
{
    (void)peer;
    int error = loop_timer_start(&timer->timer, after->ns, 0, peer_timer_fired);
    bench_require(error == 0, "loop_timer_start");
}

static inline void peer_timer_restart(struct peer_loop *peer, struct peer_timer *timer,
                                      const struct peer_timeout *after)
{
    peer_timer_start(peer, timer, after);
}

static inline void peer_timer_stop(struct peer_loop *peer, struct peer_timer *timer)
{
    (void)peer;
    loop_timer_stop(&timer->timer);
}

static inline void peer_immediate_ran(struct loop_task *task)
{
    (void)task;
    on_immediate();
}

static inline void peer_immediate(struct peer_loop *peer)
{
    loop_immediate(&peer->loop, &peer->immediate, peer_immediate_ran);
}

static inline void peer_tick_ran(struct loop_task *task)
{
    (void)task;
    on_tick();
}

static inline void peer_next_tick(struct peer_loop *peer)
{
    loop_next_tick(&peer->loop, &peer->tick, peer_tick_ran);
}

static inline void peer_task_init(struct peer_loop *peer, struct peer_task *task)
{
    (void)peer;
    task->task = (struct loop_task){0};
}

static inline void peer_posted(struct loop_task *task)
{
    on_posted(bench_container_of(task, struct peer_task, task));
}

static inline void peer_post(struct peer_loop *peer, struct peer_task *task)
{
    bench_require(loop_post(&peer->loop, &task->task, peer_posted) == 0, "loop_post");
}

static inline void peer_async_woken(struct loop_async *async)
{
    on_async(bench_container_of(async, struct peer_async, async));
}

static inline void peer_async_init(struct peer_loop *peer, struct peer_async *async)
{
    int error = loop_async_init(&peer->loop, &async->async, peer_async_woken);
    bench_require(error == 0, "loop_async_init");
}

static inline void peer_async_send(struct peer_async *async)
{
    bench_require(loop_async_send(&async->async) == 0, "loop_async_send");
}

static inline void peer_loop_init(struct peer_loop *peer)
{
    const struct loop_options options = {.drain_max = UINT32_MAX};
    bench_require(loop_init(&peer->loop, &options) == 0, "loop_init");
    loop_timer_init(&peer->loop, &peer->inside);
}

static inline void peer_stay_alive(struct loop_async *async)
{
    (void)async;
}

static inline void peer_loop_init_threaded(struct peer_loop *peer)
{
    peer_loop_init(peer);
    int error = loop_async_init(&peer->loop, &peer->alive, peer_stay_alive);
    bench_require(error == 0, "loop_async_init");
}

static inline void peer_turn(struct peer_loop *peer)
{
    bench_require(loop_run(&peer->loop, LOOP_RUN_NOWAIT) >= 0, "loop_run");
}

static inline void peer_run(struct peer_loop *peer)
{
    bench_require(loop_run(&peer->loop, LOOP_RUN_DEFAULT) >= 0, "loop_run");
}

static inline void peer_stop(struct peer_loop *peer)
{
    loop_stop(&peer->loop);
}

static inline void peer_update_now(struct peer_loop *peer)
{
    loop_update_now(&peer->loop);
}

static inline void peer_inside(struct loop_timer *timer)
{
    (void)timer;
    on_inside();
}

static inline void peer_run_inside(struct peer_loop *peer)
{
    bench_require(loop_timer_start(&peer->inside, 0, 0, peer_inside) == 0, "loop_timer_start");
    while (loop_is_active(&peer->inside.handle))
        peer_turn(peer);
}

#endif
