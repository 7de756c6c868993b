/* Phase 1: timers that are due, by deadline, equal deadlines in start order.
 *
 * The clock is read before the pass, and what is due at that time is what the pass fires. A timer
 * that a callback starts, even with 0, waits for the next pass; one that a callback stops or
 * restarts does not fire in this one, though it was due; until it fires it counts as active. The
 * wheel (base/wheel.h) keeps those promises.
 *
 * A repeating timer is armed again before its callback, so that stopping it in the callback has the
 * last word: from now, as Node's setInterval, or at a fixed rate from its deadline. Either way
 * missed periods are not made up for: a program that was late already should not be given a burst.
 *
 * The kernel's side is one timerfd, armed in 4_poll.c before the loop sleeps.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

static void stop(struct loop_handle *handle)
{
    loop_timer_stop(loop_container_of(handle, struct loop_timer, handle));
}

static const struct loop_handle_ops timer_ops = {.type = "timer", .stop = stop};

/* A deadline past the end of the clock does not come. */
static uint64_t deadline(const struct loop *loop, uint64_t after_ns)
{
    return after_ns < LOOP_NEVER - loop->now_ns ? loop->now_ns + after_ns : LOOP_NEVER;
}

void loop_timer_init(struct loop *loop, struct loop_timer *timer)
{
    handle_init(loop, &timer->handle, &timer_ops);
    timer->cb = NULL;
    timer->repeat_ns = 0;
    timer->missed = 0;
    timer->fixed_rate = false;
}

/* Arms the timer, whether it was active or not. */
static void arm(struct loop_timer *timer, uint64_t due_ns)
{
    struct loop_handle *handle = &timer->handle;
    struct loop_wheel *wheel = &handle->loop->wheel;
    if (handle_is_active(handle))
        wheel_restart(wheel, timer, due_ns);
    else
        wheel_start(wheel, timer, due_ns);
    handle_start(handle);
    trace(handle->loop, LOOP_TRACE_STARTED, handle_subject(handle, (loop_function)timer->cb),
          (int64_t)(due_ns - handle->loop->now_ns));
}

int loop_timer_start(struct loop_timer *timer, uint64_t after_ns, uint64_t repeat_ns,
                     loop_timer_cb cb)
{
    if (!timer || !cb)
        return -EINVAL;
    int error = handle_usable(&timer->handle);
    if (error)
        return error;
    timer->cb = cb;
    timer->repeat_ns = repeat_ns;
    arm(timer, deadline(timer->handle.loop, after_ns));
    return 0;
}

void loop_timer_stop(struct loop_timer *timer)
{
    handle_usable(&timer->handle);
    if (!handle_is_active(&timer->handle))
        return;
    wheel_stop(&timer->handle.loop->wheel, timer);
    handle_stop(&timer->handle);
}

int loop_timer_again(struct loop_timer *timer)
{
    if (!timer || !timer->cb || timer->repeat_ns == 0)
        return -EINVAL;
    return loop_timer_start(timer, timer->repeat_ns, timer->repeat_ns, timer->cb);
}

void loop_timer_set_repeat(struct loop_timer *timer, uint64_t repeat_ns)
{
    timer->repeat_ns = repeat_ns;
}

uint64_t loop_timer_repeat(const struct loop_timer *timer)
{
    return timer->repeat_ns;
}

void loop_timer_set_fixed_rate(struct loop_timer *timer, bool fixed_rate)
{
    timer->fixed_rate = fixed_rate;
}

uint32_t loop_timer_missed(const struct loop_timer *timer)
{
    return timer->missed;
}

uint64_t loop_timer_due_in(const struct loop_timer *timer)
{
    if (!handle_is_active(&timer->handle) || timer->due_ns == LOOP_NEVER)
        return LOOP_NEVER;
    uint64_t now_ns = timer->handle.loop->now_ns;
    return timer->due_ns > now_ns ? timer->due_ns - now_ns : 0;
}

/* At a fixed rate: the first deadline of the row that has not passed. */
static uint64_t next_deadline(struct loop_timer *timer)
{
    if (!timer->fixed_rate)
        return deadline(timer->handle.loop, timer->repeat_ns);
    uint64_t late_ns = timer->handle.loop->now_ns - timer->due_ns;
    uint64_t missed = late_ns / timer->repeat_ns;
    timer->missed = missed < UINT32_MAX ? (uint32_t)missed : UINT32_MAX;
    return deadline(timer->handle.loop, timer->repeat_ns - late_ns % timer->repeat_ns);
}

/* Deadlines are timers that a handle or a request has for itself. They keep nothing alive, are no
 * handles to a walk, and what they call is the library's own, which goes through the door itself if
 * it comes to that. */
void deadline_init(struct loop *loop, struct loop_timer *timer, loop_timer_cb cb)
{
    static const struct loop_handle_ops ops = {.type = "deadline", .stop = stop};
    loop_timer_init(loop, timer);
    timer->handle.ops = &ops;
    timer->handle.flags = HANDLE_PRIVATE;
    timer->cb = cb;
}

uint64_t deadline_after(const struct loop *loop, uint64_t after_ns)
{
    return deadline(loop, after_ns);
}

/* Moving a deadline to later costs nothing: the timer fires too early, is asked, and moves on. */
void deadline_by(struct loop_timer *timer, uint64_t due_ns)
{
    if (due_ns != LOOP_NEVER && (!handle_is_active(&timer->handle) || due_ns < timer->due_ns))
        arm(timer, due_ns);
}

static void fire(struct loop *loop, struct loop_timer *timer)
{
    if (timer->handle.flags & HANDLE_PRIVATE) {
        handle_stop(&timer->handle);
        timer->cb(timer);
        return;
    }
    struct subject subject = handle_subject(&timer->handle, (loop_function)timer->cb);
    int64_t late_ns = (int64_t)(loop->now_ns - timer->due_ns);
    if (timer->repeat_ns > 0)
        wheel_start(&loop->wheel, timer, next_deadline(timer));
    else
        handle_stop(&timer->handle);
    callback_begin(loop, subject, late_ns);
    timer->cb(timer);
    callback_end(loop);
}

void phase_timers(struct loop *loop)
{
    phase_enter(loop, LOOP_PHASE_TIMERS);
    if (wheel_empty(&loop->wheel))
        return;
    if (loop->now_stale)
        loop_update_now(loop);

    uint64_t last_seq = loop->wheel.seq;
    struct loop_timer *timer;
    wheel_pass_begin(&loop->wheel, loop->now_ns);
    while ((timer = wheel_pass_next(&loop->wheel, last_seq)))
        fire(loop, timer);
    wheel_pass_end(&loop->wheel);
}

/* A virtual clock jumps to the deadline itself, so it must be exact. */
uint64_t timers_next(struct loop *loop)
{
    bool exact = loop->options.clock == LOOP_CLOCK_VIRTUAL;
    return wheel_next(&loop->wheel, loop->now_ns, exact ? UINT32_MAX : WHEEL_CROWD);
}

void timers_walk(struct loop *loop, loop_walk_cb cb, void *arg)
{
    struct loop_wheel *wheel = &loop->wheel;
    struct loop_link *taken = &wheel->slots[WHEEL_WALKED];
    for (unsigned slot = 0; slot <= WHEEL_DUE; slot++) {
        wheel_take(wheel, slot, taken);
        while (!list_empty(taken)) {
            struct loop_timer *timer = wheel_timer(list_pop(taken));
            wheel_append(wheel, slot, timer);
            if (!(timer->handle.flags & HANDLE_PRIVATE))
                cb(&timer->handle, arg);
        }
    }
}
