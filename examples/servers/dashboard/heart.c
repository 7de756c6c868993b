/* The loop's pulse: see heart.h.
 *
 * The timer runs at a fixed rate, so that lateness does not move the beats that follow. It wakes an
 * idle loop a hundred times a second, which is what it costs: two per mille of a processor at most.
 *
 * SPDX-License-Identifier: MIT */
#include "heart.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t BEAT_NS = 10 * LOOP_MS;

static void remember(struct heart *heart, uint64_t late_ns)
{
    if (heart->beats < HEART_BEATS_MAX)
        heart->late_ns[heart->beats++] = late_ns;
}

static void on_beat(struct loop_timer *timer)
{
    struct heart *heart = loop_container_of(timer, struct heart, timer);
    uint64_t now_ns = loop_now(timer->handle.loop);
    uint64_t next_ns = now_ns + loop_timer_due_in(timer);
    for (uint64_t due_ns = heart->due_ns; due_ns <= now_ns && due_ns < next_ns; due_ns += BEAT_NS)
        remember(heart, now_ns - due_ns);
    heart->due_ns = next_ns;
}

static void on_event(struct loop_trace *trace, const struct loop_trace_event *event)
{
    struct heart *heart = loop_container_of(trace, struct heart, trace);
    if (event->kind == LOOP_TRACE_POLL_BEGIN)
        heart->slept_at_ns = event->time_ns;
    else if (event->kind == LOOP_TRACE_POLL_END && heart->slept_at_ns > 0)
        heart->asleep_ns += event->time_ns - heart->slept_at_ns;
    else if (event->kind == LOOP_TRACE_CALLBACK_BEGIN)
        heart->callbacks++;
}

void heart_start(struct loop *loop, struct heart *heart)
{
    loop_timer_init(loop, &heart->timer);
    loop_timer_set_fixed_rate(&heart->timer, true);
    loop_unref(&heart->timer.handle);
    heart->due_ns = loop_now(loop) + BEAT_NS;
    loop_timer_start(&heart->timer, BEAT_NS, BEAT_NS, on_beat);
    loop_trace_add(loop, &heart->trace, on_event);
}

void heart_stop(struct heart *heart)
{
    loop_timer_stop(&heart->timer);
    loop_trace_remove(heart->timer.handle.loop, &heart->trace);
}

static int compare(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof(a));
    memcpy(&b, right, sizeof(b));
    return (a > b) - (a < b);
}

struct heart_lag heart_lag(struct heart *heart)
{
    size_t count = heart->beats;
    heart->beats = 0;
    if (count == 0)
        return (struct heart_lag){0};
    qsort(heart->late_ns, count, sizeof(heart->late_ns[0]), compare);
    return (struct heart_lag){.median_ns = heart->late_ns[count / 2],
                              .p99_ns = heart->late_ns[(count * 99 + 99) / 100 - 1],
                              .most_ns = heart->late_ns[count - 1]};
}
