/* Internal. The adapter for libev.
 *
 * Timers: ev_timer in an array; ev_timer_set() and ev_timer_start() for the start. A start does
 * nothing to an active watcher, so the restart is what its manual advises for idle timeouts: the
 * repeat value is the timeout and ev_timer_again() starts over.
 *
 * Immediates: libev has none. An idle watcher of the same priority comes once a turn, behind poll;
 * it is stopped when nothing was queued again.
 *
 * Posted tasks: libev has none. The tasks are kept in a mailbox, and ev_async_send() is called only
 * when it was empty. Wake-ups: ev_async_send() as it is.
 *
 * Ticks: libev has none.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"
#include "callbacks.h"
#include "mailbox.h"

#include <ev.h>

enum { PEER_TIMERS_MAX = 1000000 };

struct peer_loop {
    struct ev_loop *loop;
    ev_timer inside;
    ev_idle idle;
    bool immediate; /* queued */
    ev_async posted;
    struct mailbox mailbox;
};

struct peer_timeout {
    ev_tstamp seconds;
};

struct peer_timer {
    ev_timer timer;
};

struct peer_task {
    struct mail mail;
};

struct peer_async {
    ev_async async;
    struct ev_loop *loop;
};

static inline struct peer_timeout peer_timeout(uint32_t after_ms)
{
    return (struct peer_timeout){.seconds = after_ms * 1e-3};
}

/* libev has nothing of its own for equal timeouts. */
static inline struct peer_timeout peer_timeout_shared(struct peer_loop *peer, uint32_t after_ms)
{
    (void)peer;
    return peer_timeout(after_ms);
}

static inline void peer_timer_fired(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    on_timer();
}

static inline void peer_timer_init(struct peer_loop *peer, struct peer_timer *timer)
{
    (void)peer;
    ev_init(&timer->timer, peer_timer_fired);
}

static inline void peer_timer_start(struct peer_loop *peer, struct peer_timer *timer,
                                    const struct peer_timeout *after)
{
    ev_timer_set(&timer->timer, after->seconds, 0.);
    ev_timer_start(peer->loop, &timer->timer);
}

static inline void peer_timer_restart(struct peer_loop *peer, struct peer_timer *timer,
                                      const struct peer_timeout *after)
{
    timer->timer.repeat = after->seconds;
    ev_timer_again(peer->loop, &timer->timer);
}

static inline void peer_timer_stop(struct peer_loop *peer, struct peer_timer *timer)
{
    ev_timer_stop(peer->loop, &timer->timer);
}

static inline void peer_immediate_idle(struct ev_loop *loop, ev_idle *idle, int events)
{
    (void)events;
    struct peer_loop *peer = bench_container_of(idle, struct peer_loop, idle);
    peer->immediate = false;
    on_immediate();
    if (!peer->immediate)
        ev_idle_stop(loop, idle);
}

static inline void peer_immediate(struct peer_loop *peer)
{
    peer->immediate = true;
    ev_idle_start(peer->loop, &peer->idle);
}

static inline void peer_task_init(struct peer_loop *peer, struct peer_task *task)
{
    (void)peer;
    task->mail = (struct mail){0};
}

static inline void peer_deliver(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
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
        ev_async_send(peer->loop, &peer->posted);
}

static inline void peer_async_woken(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    on_async(bench_container_of(async, struct peer_async, async));
}

static inline void peer_async_init(struct peer_loop *peer, struct peer_async *async)
{
    async->loop = peer->loop;
    ev_async_init(&async->async, peer_async_woken);
    ev_async_start(peer->loop, &async->async);
}

static inline void peer_async_send(struct peer_async *async)
{
    ev_async_send(async->loop, &async->async);
}

static inline void peer_inside(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    on_inside();
}

static inline void peer_loop_init(struct peer_loop *peer)
{
    *peer = (struct peer_loop){.loop = ev_loop_new(EVFLAG_AUTO)};
    bench_require(peer->loop != NULL, "ev_loop_new");
    ev_timer_init(&peer->inside, peer_inside, 0., 0.);
    ev_idle_init(&peer->idle, peer_immediate_idle);
}

static inline void peer_loop_init_threaded(struct peer_loop *peer)
{
    peer_loop_init(peer);
    ev_async_init(&peer->posted, peer_deliver);
    ev_async_start(peer->loop, &peer->posted);
}

static inline void peer_turn(struct peer_loop *peer)
{
    ev_run(peer->loop, EVRUN_NOWAIT);
}

static inline void peer_run(struct peer_loop *peer)
{
    ev_run(peer->loop, 0);
}

static inline void peer_stop(struct peer_loop *peer)
{
    ev_break(peer->loop, EVBREAK_ONE);
}

static inline void peer_update_now(struct peer_loop *peer)
{
    ev_now_update(peer->loop);
}

static inline void peer_run_inside(struct peer_loop *peer)
{
    ev_timer_start(peer->loop, &peer->inside);
    while (ev_is_active(&peer->inside))
        peer_turn(peer);
}

#endif
