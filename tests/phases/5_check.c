/* The check phase.
 *
 * Immediates run behind poll and before the check hooks, in the order in which they were queued;
 * one queued by an immediate runs in the next turn. A referenced immediate keeps the loop alive and
 * poll from sleeping; an unreferenced one does neither, but runs if the loop goes on. A cancelled
 * one does not run, whoever cancels it and whenever.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

struct named {
    struct loop_task task;
    const char *name;
    struct named *other;
};

static struct named *named_of(struct loop_task *task)
{
    return loop_container_of(task, struct named, task);
}

static void on_immediate(struct loop_task *task)
{
    assert_int_equal(LOOP_PHASE_CHECK, loop_phase(task->loop));
    say("%s", named_of(task)->name);
}

static void on_check(struct loop_hook *hook)
{
    say("check");
    loop_hook_stop(hook);
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

static void immediates_run_in_order_before_check_hooks(void **state)
{
    struct loop *loop = *state;
    struct loop_hook check;
    struct named a = {.name = "a"}, b = {.name = "b"};
    loop_check_init(loop, &check);
    loop_hook_start(&check, on_check);
    loop_immediate(loop, &a.task, on_immediate);
    loop_immediate(loop, &b.task, on_immediate);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a b check");
}

static void queue_other(struct loop_task *task)
{
    on_immediate(task);
    loop_immediate(task->loop, &named_of(task)->other->task, on_immediate);
}

static void an_immediate_queued_by_an_immediate_waits_for_the_next_turn(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"}, b = {.name = "b"};
    a.other = &b;
    loop_immediate(loop, &a.task, queue_other);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_said("a");
    assert_int_equal(0, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_said("b");
}

static void an_immediate_runs_before_a_timer_that_is_not_due(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"};
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, on_timer);
    loop_immediate(loop, &a.task, on_immediate);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a timer");
}

static void an_unreferenced_immediate_alone_does_not_run(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"};
    loop_task_unref(&a.task);
    loop_immediate(loop, &a.task, on_immediate);
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("");
    assert_int_equal(-EBUSY, loop_fini(loop));
    assert_true(loop_task_cancel(&a.task));
}

static void an_unreferenced_immediate_runs_when_others_keep_the_loop_alive(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"}, b = {.name = "b"};
    loop_immediate(loop, &a.task, on_immediate);
    loop_immediate(loop, &b.task, on_immediate);
    loop_task_unref(&a.task);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a b");
}

static void an_unreferenced_immediate_does_not_keep_poll_from_sleeping(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"};
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 5 * LOOP_MS, 0, on_timer);
    loop_task_unref(&a.task);
    loop_immediate(loop, &a.task, on_immediate);
    assert_true(loop_backend_timeout(loop) == 5 * (int64_t)LOOP_MS);
    loop_task_ref(&a.task);
    assert_int_equal(0, loop_backend_timeout(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a timer");
}

static void cancel_other(struct loop_task *task)
{
    on_immediate(task);
    assert_true(loop_task_cancel(&named_of(task)->other->task));
    assert_false(loop_task_cancel(&named_of(task)->other->task));
}

static void an_immediate_cancelled_by_an_earlier_one_does_not_run(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    a.other = &b;
    loop_immediate(loop, &a.task, cancel_other);
    loop_immediate(loop, &b.task, on_immediate);
    loop_immediate(loop, &c.task, on_immediate);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a c");
}

static void cancelling_what_is_not_queued_is_harmless(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"};
    assert_false(loop_task_cancel(&a.task));
    loop_immediate(loop, &a.task, on_immediate);
    assert_true(loop_task_cancel(&a.task));
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("");
}

static void twice_queued(void)
{
    struct loop loop;
    struct loop_task task = {0};
    loop_init(&loop, NULL);
    loop_immediate(&loop, &task, on_immediate);
    loop_next_tick(&loop, &task, on_immediate);
}

static void queueing_a_queued_task_panics(void **state)
{
    (void)state;
    assert_panics(twice_queued, "a task was queued again before it ran (it waits as: immediate)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(immediates_run_in_order_before_check_hooks),
        virtual_test(an_immediate_queued_by_an_immediate_waits_for_the_next_turn),
        virtual_test(an_immediate_runs_before_a_timer_that_is_not_due),
        virtual_test(an_unreferenced_immediate_alone_does_not_run),
        virtual_test(an_unreferenced_immediate_runs_when_others_keep_the_loop_alive),
        virtual_test(an_unreferenced_immediate_does_not_keep_poll_from_sleeping),
        virtual_test(an_immediate_cancelled_by_an_earlier_one_does_not_run),
        virtual_test(cancelling_what_is_not_queued_is_harmless),
        virtual_test(queueing_a_queued_task_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
