/* Internal. The adapter for libuv.
 *
 * Timers: uv_timer_t in an array, uv_timer_start() for the start and for the restart, which is what
 * uv_timer_again() does too. Its timers count in milliseconds, so the workloads' timeouts are whole
 * milliseconds for every peer.
 *
 * Immediates: libuv has none. This is how Node makes them of it: a check handle runs what is queued
 * behind poll, and an idle handle is active as long as something is queued, so that poll does not
 * sleep. A turn therefore makes two callbacks.
 *
 * Posted tasks: libuv has none. The tasks are kept in a mailbox, and uv_async_send() is called only
 * when it was empty. Wake-ups: uv_async_send() as it is. Its quick path is a plain load, which
 * makes no promise that what the sender wrote before is visible to a callback already under way.
 *
 * Ticks: libuv has none.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"
#include "callbacks.h"
#include "mailbox.h"

#include <uv.h>

enum { PEER_TIMERS_MAX = 1000000 };

struct peer_loop {
    uv_loop_t loop;
    uv_timer_t inside;
    uv_check_t check;
    uv_idle_t idle;
    bool immediate; /* queued */
    bool hooked;    /* check and idle are active */
    uv_async_t posted;
    struct mailbox mailbox;
};

struct peer_timeout {
    uint64_t ms;
};

struct peer_timer {
    uv_timer_t timer;
};

struct peer_task {
    struct mail mail;
};

struct peer_async {
    uv_async_t async;
};

static inline struct peer_timeout peer_timeout(uint32_t after_ms)
{
    return (struct peer_timeout){.ms = after_ms};
}

/* libuv has nothing of its own for equal timeouts. */
static inline struct peer_timeout peer_timeout_shared(struct peer_loop *peer, uint32_t after_ms)
{
    (void)peer;
    return peer_timeout(after_ms);
}

static inline void peer_timer_init(struct peer_loop *peer, struct peer_timer *timer)
{
    bench_require(uv_timer_init(&peer->loop, &timer->timer) == 0, "uv_timer_init");
}

static inline void peer_timer_fired(uv_timer_t *timer)
{
    (void)timer;
    on_timer();
}

static inline void peer_timer_start(struct peer_loop *peer, struct peer_timer *timer,
                                    const struct peer_timeout *after)
{
    (void)peer;
    int error = uv_timer_start(&timer->timer, peer_timer_fired, after->ms, 0);
    bench_require(error == 0, "uv_timer_start");
}

static inline void peer_timer_restart(struct peer_loop *peer, struct peer_timer *timer,
                                      const struct peer_timeout *after)
{
    peer_timer_start(peer, timer, after);
}

static inline void peer_timer_stop(struct peer_loop *peer, struct peer_timer *timer)
{
    (void)peer;
    uv_timer_stop(&timer->timer);
}

static inline void peer_immediate_idle(uv_idle_t *idle)
{
    (void)idle;
}

static inline void peer_immediate_check(uv_check_t *check)
{
    struct peer_loop *peer = bench_container_of(check, struct peer_loop, check);
    peer->immediate = false;
    on_immediate();
    if (peer->immediate)
        return;
    uv_check_stop(&peer->check);
    uv_idle_stop(&peer->idle);
    peer->hooked = false;
}

static inline void peer_immediate(struct peer_loop *peer)
{
    peer->immediate = true;
    if (peer->hooked)
        return;
    bench_require(uv_check_start(&peer->check, peer_immediate_check) == 0, "uv_check_start");
    bench_require(uv_idle_start(&peer->idle, peer_immediate_idle) == 0, "uv_idle_start");
    peer->hooked = true;
}

static inline void peer_task_init(struct peer_loop *peer, struct peer_task *task)
{
    (void)peer;
    task->mail = (struct mail){0};
}

static inline void peer_deliver(uv_async_t *async)
{
    struct peer_loop *peer = bench_container_of(async, struct peer_loop, posted);
    struct mail *mail = mailbox_take(&peer->mailbox);
    while (mail != NULL) {
        struct mail *next = mail->next; /* before the callback: it may post the task again */
        on_posted(bench_container_of(mail, struct peer_task, mail));
        mail = next;
    }
}

static inline void peer_post(struct peer_loop *peer, struct peer_task *task)
{
    if (mailbox_put(&peer->mailbox, &task->mail))
        bench_require(uv_async_send(&peer->posted) == 0, "uv_async_send");
}

static inline void peer_async_woken(uv_async_t *async)
{
    on_async(bench_container_of(async, struct peer_async, async));
}

static inline void peer_async_init(struct peer_loop *peer, struct peer_async *async)
{
    int error = uv_async_init(&peer->loop, &async->async, peer_async_woken);
    bench_require(error == 0, "uv_async_init");
}

static inline void peer_async_send(struct peer_async *async)
{
    bench_require(uv_async_send(&async->async) == 0, "uv_async_send");
}

static inline void peer_loop_init(struct peer_loop *peer)
{
    *peer = (struct peer_loop){0};
    bench_require(uv_loop_init(&peer->loop) == 0, "uv_loop_init");
    bench_require(uv_timer_init(&peer->loop, &peer->inside) == 0, "uv_timer_init");
    bench_require(uv_check_init(&peer->loop, &peer->check) == 0, "uv_check_init");
    bench_require(uv_idle_init(&peer->loop, &peer->idle) == 0, "uv_idle_init");
}

static inline void peer_loop_init_threaded(struct peer_loop *peer)
{
    peer_loop_init(peer);
    bench_require(uv_async_init(&peer->loop, &peer->posted, peer_deliver) == 0, "uv_async_init");
}

static inline void peer_turn(struct peer_loop *peer)
{
    uv_run(&peer->loop, UV_RUN_NOWAIT);
}

static inline void peer_run(struct peer_loop *peer)
{
    uv_run(&peer->loop, UV_RUN_DEFAULT);
}

static inline void peer_stop(struct peer_loop *peer)
{
    uv_stop(&peer->loop);
}

static inline void peer_update_now(struct peer_loop *peer)
{
    uv_update_time(&peer->loop);
}

static inline void peer_inside(uv_timer_t *timer)
{
    (void)timer;
    on_inside();
}

static inline void peer_run_inside(struct peer_loop *peer)
{
    bench_require(uv_timer_start(&peer->inside, peer_inside, 0, 0) == 0, "uv_timer_start");
    while (uv_is_active((uv_handle_t *)&peer->inside))
        peer_turn(peer);
}

#endif
