/* Timers.
 *
 * Due timers run by deadline, equal deadlines in start order. All that is due when the phase begins
 * runs in it; what a callback starts, even with 0, does not run in that pass; what a callback
 * stops, restarts or closes does not run. Until it runs a due timer reports active. A timer is
 * never early. A repeating timer is rearmed before its callback from now, or at a fixed rate from
 * its deadline; in neither case are missed periods made up for. A deadline past the end of the
 * clock never comes.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdlib.h>

struct named {
    struct loop_timer timer;
    const char *name;
    struct named *other;
};

static struct loop *loop_of(struct loop_timer *timer)
{
    return timer->handle.loop;
}

static struct named *named_of(struct loop_timer *timer)
{
    return loop_container_of(timer, struct named, timer);
}

static void on_timer(struct loop_timer *timer)
{
    say("%s", named_of(timer)->name);
}

static void on_timer_with_time(struct loop_timer *timer)
{
    say("%s@%llu", named_of(timer)->name, (unsigned long long)(loop_now(loop_of(timer)) / LOOP_MS));
}

static void start(struct loop *loop, struct named *named, const char *name, uint64_t after_ms)
{
    named->name = name;
    loop_timer_init(loop, &named->timer);
    assert_int_equal(0, loop_timer_start(&named->timer, after_ms * LOOP_MS, 0, on_timer));
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void timers_run_by_deadline_and_equal_deadlines_in_start_order(void **state)
{
    struct loop *loop = *state;
    struct named a, b, c, d;
    start(loop, &a, "5", 5);
    start(loop, &b, "3", 3);
    start(loop, &c, "3b", 3);
    start(loop, &d, "5b", 5);
    run(loop);
    assert_said("3 3b 5 5b");
}

static void timers_due_together_run_by_deadline(void **state)
{
    struct loop *loop = *state;
    struct named a, b, c;
    start(loop, &a, "2", 2);
    start(loop, &b, "1", 1);
    start(loop, &c, "3", 3);
    loop->now_ns += 10 * LOOP_MS; /* as after a long callback */
    run(loop);
    assert_said("1 2 3");
}

static void a_restarted_timer_goes_behind_its_peers(void **state)
{
    struct loop *loop = *state;
    struct named a, b;
    start(loop, &a, "a", 5);
    start(loop, &b, "b", 5);
    assert_int_equal(0, loop_timer_start(&a.timer, 5 * LOOP_MS, 0, on_timer));
    run(loop);
    assert_said("b a");
}

static void restart_with_zero(struct loop_timer *timer)
{
    static int times;
    say("%s", named_of(timer)->name);
    if (++times < 3)
        loop_timer_start(timer, 0, 0, restart_with_zero);
}

static void on_check(struct loop_hook *hook)
{
    (void)hook;
    say("check");
}

static void a_timer_started_in_a_callback_waits_for_the_next_turn(void **state)
{
    struct loop *loop = *state;
    struct loop_hook check;
    struct named a = {.name = "A"};
    loop_check_init(loop, &check);
    loop_hook_start(&check, on_check);
    loop_unref(&check.handle);
    loop_timer_init(loop, &a.timer);
    loop_timer_start(&a.timer, 0, 0, restart_with_zero);
    run(loop);
    loop_hook_stop(&check);
    assert_said("A check A check A");
}

static void stop_other(struct loop_timer *timer)
{
    struct named *other = named_of(timer)->other;
    say("%s", named_of(timer)->name);
    assert_true(loop_is_active(&other->timer.handle));
    assert_int_equal(0, loop_timer_due_in(&other->timer));
    loop_timer_stop(&other->timer);
    assert_false(loop_is_active(&other->timer.handle));
}

static void a_due_timer_is_active_until_it_runs_and_does_not_run_when_stopped(void **state)
{
    struct loop *loop = *state;
    struct named a, b;
    start(loop, &a, "a", 1);
    start(loop, &b, "b", 1);
    a.other = &b;
    loop_timer_start(&a.timer, 0, 0, stop_other);
    loop->now_ns += 5 * LOOP_MS;
    run(loop);
    assert_said("a");
}

static void restart_other(struct loop_timer *timer)
{
    say("%s", named_of(timer)->name);
    loop_timer_start(&named_of(timer)->other->timer, 0, 0, on_timer);
}

static void a_due_timer_that_is_restarted_runs_in_the_next_pass(void **state)
{
    struct loop *loop = *state;
    struct loop_hook check;
    struct named a, b;
    loop_check_init(loop, &check);
    loop_hook_start(&check, on_check);
    loop_unref(&check.handle);
    start(loop, &a, "a", 1);
    start(loop, &b, "b", 2);
    a.other = &b;
    loop_timer_start(&a.timer, LOOP_MS, 0, restart_other);
    loop->now_ns += 5 * LOOP_MS;
    run(loop);
    loop_hook_stop(&check);
    assert_said("a check b");
}

static void close_other(struct loop_timer *timer)
{
    say("%s", named_of(timer)->name);
    loop_close(&named_of(timer)->other->timer.handle, NULL);
}

static void a_due_timer_that_is_closed_does_not_run(void **state)
{
    struct loop *loop = *state;
    struct named a, b;
    start(loop, &b, "b", 1);
    start(loop, &a, "a", 0);
    a.other = &b;
    loop_timer_start(&a.timer, 0, 0, close_other);
    loop->now_ns += 5 * LOOP_MS;
    run(loop);
    assert_said("a");
}

static void stop_after_three(struct loop_timer *timer)
{
    on_timer_with_time(timer);
    if (loop_now(loop_of(timer)) >= 60 * LOOP_MS)
        loop_timer_stop(timer);
}

static void a_repeating_timer_repeats_until_it_is_stopped(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "t"};
    loop_timer_init(loop, &a.timer);
    loop_timer_start(&a.timer, 10 * LOOP_MS, 25 * LOOP_MS, stop_after_three);
    run(loop);
    assert_said("t@10 t@35 t@60");
}

static void block_once(struct loop_timer *timer)
{
    static bool blocked;
    struct loop *loop = loop_of(timer);
    say("@%llu+%u", (unsigned long long)(loop_now(loop) / LOOP_MS), loop_timer_missed(timer));
    if (!blocked)
        loop->now_ns += 75 * LOOP_MS;
    blocked = true;
    if (loop_now(loop) >= 150 * LOOP_MS)
        loop_timer_stop(timer);
}

static void block_once_at_a_fixed_rate(struct loop_timer *timer)
{
    static bool blocked;
    struct loop *loop = loop_of(timer);
    say("@%llu+%u", (unsigned long long)(loop_now(loop) / LOOP_MS), loop_timer_missed(timer));
    if (!blocked)
        loop->now_ns += 75 * LOOP_MS;
    blocked = true;
    if (loop_now(loop) >= 140 * LOOP_MS)
        loop_timer_stop(timer);
}

/* Rearmed at 20 for 40, which the callback that ended at 95 has made late; then from 95. */
static void missed_periods_are_not_made_up_for(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 20 * LOOP_MS, 20 * LOOP_MS, block_once);
    run(loop);
    assert_said("@20+0 @95+0 @115+0 @135+0 @155+0");
}

static void a_fixed_rate_keeps_to_its_row_and_counts_what_it_missed(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_set_fixed_rate(&timer, true);
    loop_timer_start(&timer, 20 * LOOP_MS, 20 * LOOP_MS, block_once_at_a_fixed_rate);
    run(loop);
    assert_said("@20+0 @95+2 @100+0 @120+0 @140+0");
}

static void set_repeat_once(struct loop_timer *timer)
{
    on_timer_with_time(timer);
    if (loop_timer_repeat(timer) == 30 * LOOP_MS && loop_now(loop_of(timer)) > 40 * LOOP_MS)
        loop_timer_stop(timer);
    loop_timer_set_repeat(timer, 30 * LOOP_MS);
}

static void a_new_period_counts_from_the_following_rearming(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "t"};
    loop_timer_init(loop, &a.timer);
    loop_timer_start(&a.timer, 10 * LOOP_MS, 10 * LOOP_MS, set_repeat_once);
    run(loop);
    assert_said("t@10 t@20 t@50");
}

static void again_starts_over_with_the_period(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "t"};
    loop_timer_init(loop, &a.timer);
    assert_int_equal(-EINVAL, loop_timer_again(&a.timer));
    loop_timer_start(&a.timer, 10 * LOOP_MS, 0, on_timer_with_time);
    assert_int_equal(-EINVAL, loop_timer_again(&a.timer));
    loop_timer_start(&a.timer, 10 * LOOP_MS, 40 * LOOP_MS, stop_after_three);
    assert_int_equal(0, loop_timer_again(&a.timer));
    run(loop);
    assert_said("t@40 t@80");
}

static void a_deadline_past_the_end_of_the_clock_never_comes(void **state)
{
    struct loop *loop = *state;
    struct named far, near;
    loop->now_ns = 1000;
    far.name = "far";
    loop_timer_init(loop, &far.timer);
    assert_int_equal(0, loop_timer_start(&far.timer, UINT64_MAX - 10, 0, on_timer));
    assert_true(loop_timer_due_in(&far.timer) == LOOP_NEVER);
    loop_unref(&far.timer.handle);
    start(loop, &near, "near", 1);
    run(loop);
    assert_said("near");
    loop_timer_stop(&far.timer);
}

static void due_in_counts_from_the_cached_clock(void **state)
{
    struct loop *loop = *state;
    struct named a;
    start(loop, &a, "a", 10);
    assert_true(loop_timer_due_in(&a.timer) == 10 * LOOP_MS);
    loop->now_ns += 4 * LOOP_MS;
    assert_true(loop_timer_due_in(&a.timer) == 6 * LOOP_MS);
    loop->now_ns += 10 * LOOP_MS;
    assert_true(loop_timer_due_in(&a.timer) == 0);
    loop_timer_stop(&a.timer);
    assert_true(loop_timer_due_in(&a.timer) == LOOP_NEVER);
}

static void bad_arguments_are_refused_and_change_nothing(void **state)
{
    struct loop *loop = *state;
    struct named a;
    start(loop, &a, "a", 10);
    assert_int_equal(-EINVAL, loop_timer_start(&a.timer, 1, 0, NULL));
    assert_int_equal(-EINVAL, loop_timer_start(NULL, 1, 0, on_timer));
    assert_int_equal(-EINVAL, loop_timer_again(NULL));
    assert_true(loop_timer_due_in(&a.timer) == 10 * LOOP_MS);
    loop_close(&a.timer.handle, NULL);
    assert_int_equal(-ECANCELED, loop_timer_start(&a.timer, 1, 0, on_timer));
    loop_timer_stop(&a.timer);
    run(loop);
    assert_said("");
}

static void free_in_callback(struct loop_timer *timer)
{
    say("freed");
    free(timer);
}

static void a_one_shot_timer_may_be_freed_in_its_callback(void **state)
{
    struct loop *loop = *state;
    for (int i = 0; i < 3; i++) {
        struct loop_timer *timer = malloc(sizeof(*timer));
        loop_timer_init(loop, timer);
        loop_timer_start(timer, LOOP_MS, 0, free_in_callback);
    }
    run(loop);
    assert_said("freed freed freed");
}

static void lateness_is_never_negative(struct loop_timer *timer)
{
    uint64_t *deadline_ns = timer->handle.data;
    loop_update_now(loop_of(timer));
    assert_true(loop_now(loop_of(timer)) >= *deadline_ns);
}

static void a_timer_is_never_early_on_the_real_clock(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timers[50];
    uint64_t deadlines[50];
    for (size_t i = 0; i < ARRAY_LENGTH(timers); i++) {
        uint64_t after_ns = i * 173 * LOOP_US + i * i;
        loop_timer_init(loop, &timers[i]);
        deadlines[i] = loop_now(loop) + after_ns;
        timers[i].handle.data = &deadlines[i];
        loop_timer_start(&timers[i], after_ns, 0, lateness_is_never_negative);
    }
    run(loop);
}

static void rearm_idle_timeout(struct loop_timer *timer)
{
    struct named *idle = named_of(timer)->other;
    loop_timer_start(&idle->timer, 20 * LOOP_MS, 0, on_timer);
}

/* An idle timeout moved later again and again: the kernel's timer is set for where it was. */
static void a_single_turn_sleeps_until_a_timer_really_runs(void **state)
{
    struct loop *loop = *state;
    struct named packet = {.name = "packet"}, idle;
    start(loop, &idle, "idle", 2);
    packet.other = &idle;
    loop_timer_init(loop, &packet.timer);
    loop_timer_start(&packet.timer, LOOP_MS, 0, rearm_idle_timeout);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_ONCE));
    assert_said("idle");
    assert_int_equal(2, loop_turn(loop));
}

static void many_timers_of_one_slot_wake_the_loop_once(void **state)
{
    struct loop *loop = *state;
    struct named timers[100];
    for (size_t i = 0; i < ARRAY_LENGTH(timers); i++)
        start(loop, &timers[i], "t", 30);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_ONCE));
    assert_int_equal(1, loop_turn(loop));
    said();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(timers_run_by_deadline_and_equal_deadlines_in_start_order),
        virtual_test(timers_due_together_run_by_deadline),
        virtual_test(a_restarted_timer_goes_behind_its_peers),
        virtual_test(a_timer_started_in_a_callback_waits_for_the_next_turn),
        virtual_test(a_due_timer_is_active_until_it_runs_and_does_not_run_when_stopped),
        virtual_test(a_due_timer_that_is_restarted_runs_in_the_next_pass),
        virtual_test(a_due_timer_that_is_closed_does_not_run),
        virtual_test(a_repeating_timer_repeats_until_it_is_stopped),
        virtual_test(missed_periods_are_not_made_up_for),
        virtual_test(a_fixed_rate_keeps_to_its_row_and_counts_what_it_missed),
        virtual_test(a_new_period_counts_from_the_following_rearming),
        virtual_test(again_starts_over_with_the_period),
        virtual_test(a_deadline_past_the_end_of_the_clock_never_comes),
        virtual_test(due_in_counts_from_the_cached_clock),
        virtual_test(bad_arguments_are_refused_and_change_nothing),
        virtual_test(a_one_shot_timer_may_be_freed_in_its_callback),
        real_test(a_timer_is_never_early_on_the_real_clock),
        real_test(a_single_turn_sleeps_until_a_timer_really_runs),
        real_test(many_timers_of_one_slot_wake_the_loop_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
