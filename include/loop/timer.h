/* Public. Timers: call back after a while, once or again and again.
 *
 * Never early; late only by what kept the loop busy. Timers due together run by deadline, equal
 * deadlines in start order. A timer started in the timers phase, even with 0, does not run in that
 * pass. Starting, stopping and restarting cost the same whatever the number of timers.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include "core.h"

struct loop_timer;

/* Comes in the timers phase. The timer may be restarted, stopped, closed or, if it is not
 * repeating, freed in it. */
typedef void (*loop_timer_cb)(struct loop_timer *timer);

struct loop_timer {
    struct loop_handle handle;

    /* private: the link is in a slot of the wheel, the order of firing is (due_ns, seq) */
    uint64_t due_ns; /* never before that slot begins */
    uint64_t seq;    /* grows with every start: ties fire in start order */
    loop_timer_cb cb;
    uint64_t repeat_ns; /* 0: once */
    uint32_t missed;    /* periods skipped just before this callback, at a fixed rate */
    bool fixed_rate;    /* rearm from the deadline, not from now */
};

/* Makes a timer in the caller's memory. A stopped timer needs no close. */
LOOP_API void loop_timer_init(struct loop *loop, struct loop_timer *timer);

/* Calls cb once after_ns from loop_now() (0: in the next timers phase), and then, if repeat_ns is
 * not 0, every repeat_ns. An active timer is restarted. A deadline past the end of the clock never
 * comes. A repeating timer is rearmed before its callback, from loop_now(): a late callback moves
 * the following ones and nothing is made up for (Node's setInterval); see
 * loop_timer_set_fixed_rate(). Errors: -EINVAL (cb NULL), -ECANCELED (closing). */
LOOP_API int loop_timer_start(struct loop_timer *timer, uint64_t after_ns, uint64_t repeat_ns,
                              loop_timer_cb cb);

/* No callback comes any more, not even if the timer was due in this very pass. Harmless on a timer
 * that is not active. */
LOOP_API void loop_timer_stop(struct loop_timer *timer);

/* Starts over with the repeat period as the delay. Errors: -EINVAL (never started, or no period),
 * -ECANCELED (closing). */
LOOP_API int loop_timer_again(struct loop_timer *timer);

/* The period from the next rearming on, in ns; 0: none. */
LOOP_API void loop_timer_set_repeat(struct loop_timer *timer, uint64_t repeat_ns);
LOOP_API uint64_t loop_timer_repeat(const struct loop_timer *timer);

/* At a fixed rate the next deadline is the last deadline plus the period, so that lateness does
 * not add up; periods that have passed already are skipped and counted, never made up for in a
 * burst. */
LOOP_API void loop_timer_set_fixed_rate(struct loop_timer *timer, bool fixed_rate);

/* In the callback of a fixed-rate timer: how many periods were skipped just before it. */
LOOP_API uint32_t loop_timer_missed(const struct loop_timer *timer);

/* ns from loop_now() to the deadline; 0 if it is due; LOOP_NEVER if the timer is not active. */
LOOP_API uint64_t loop_timer_due_in(const struct loop_timer *timer);

#endif
