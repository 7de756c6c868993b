/* Timers, hooks and tasks of every kind, on the virtual clock. Little of it can fail once the
 * loop exists, for none of it opens or allocates anything; that this is so is what the scenario
 * shows. One timer goes off once and queues a tick, a microtask and an immediate, the other goes
 * on at a fixed rate until it is closed in its own callback, and a hook of each kind runs for
 * one turn and stops.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

static struct loop_timer once, again;
static struct loop_hook idle, prepare, check;
static struct loop_task tick, microtask, immediate;
static int fired, hooked, ran;

static void on_task(struct loop_task *task)
{
    (void)task;
    ran++;
}

static void on_once(struct loop_timer *timer)
{
    fired++;
    loop_next_tick(timer->handle.loop, &tick, on_task);
    loop_microtask(timer->handle.loop, &microtask, on_task);
    loop_immediate(timer->handle.loop, &immediate, on_task);
}

static void on_again(struct loop_timer *timer)
{
    if (++fired == 5)
        shut(&timer->handle);
}

static void on_hook(struct loop_hook *hook)
{
    hooked++;
    loop_hook_stop(hook);
}

static void start(struct loop *loop)
{
    fired = hooked = ran = 0;
    loop_timer_init(loop, &once);
    loop_timer_init(loop, &again);
    loop_timer_set_fixed_rate(&again, true);
    loop_idle_init(loop, &idle);
    loop_prepare_init(loop, &prepare);
    loop_check_init(loop, &check);
    ok(loop_timer_start(&once, 10 * LOOP_MS, 0, on_once));
    ok(loop_timer_start(&again, LOOP_MS, LOOP_SEC, on_again));
    ok(loop_hook_start(&idle, on_hook));
    ok(loop_hook_start(&prepare, on_hook));
    ok(loop_hook_start(&check, on_hook));
}

static bool done(void)
{
    return fired == 5 && hooked == 3 && ran == 3;
}

const struct scenario timers_scenario = {.name = "timers",
                                         .clock = LOOP_CLOCK_VIRTUAL,
                                         .start = start,
                                         .done = done};
