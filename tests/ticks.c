/* Ticks and microtasks.
 *
 * After every callback all ticks run, then all microtasks, until both queues are empty. A tick
 * queued by a tick comes before microtasks that wait already; a tick queued by a microtask comes
 * after all microtasks. What is queued outside loop_run() runs when it is entered, before the first
 * timers, in every mode. A drain that does not end is reported once, and goes on. Cancelled tasks
 * do not run.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

struct named {
    struct loop_task task;
    const char *name;
    struct named *tick;
    struct named *micro;
    int left;
};

static struct named *named_of(struct loop_task *task)
{
    return loop_container_of(task, struct named, task);
}

static void on_task(struct loop_task *task)
{
    struct named *named = named_of(task);
    say("%s", named->name);
    if (named->tick)
        loop_next_tick(task->loop, &named->tick->task, on_task);
    if (named->micro)
        loop_microtask(task->loop, &named->micro->task, on_task);
}

static void queued_outside_they_run_before_the_first_timer(void **state)
{
    struct loop *loop = *state;
    struct named tick = {.name = "tick"}, micro = {.name = "micro"};
    const enum loop_mode modes[] = {LOOP_RUN_DEFAULT, LOOP_RUN_ONCE, LOOP_RUN_NOWAIT};
    for (size_t i = 0; i < ARRAY_LENGTH(modes); i++) {
        loop_microtask(loop, &micro.task, on_task);
        loop_next_tick(loop, &tick.task, on_task);
        assert_true(loop_alive(loop));
        assert_int_equal(0, loop_run(loop, modes[i]));
        assert_said("tick micro");
    }
    assert_int_equal(0, loop_turn(loop));
}

static void ticks_of_ticks_come_before_microtasks_and_ticks_of_microtasks_behind(void **state)
{
    struct loop *loop = *state;
    struct named tick_tick = {.name = "tick-of-tick"}, tick_micro = {.name = "micro-of-tick"};
    struct named micro_tick = {.name = "tick-of-micro"}, micro_micro = {.name = "micro-of-micro"};
    struct named tick = {.name = "tick", .tick = &tick_tick, .micro = &tick_micro};
    struct named micro = {.name = "micro", .tick = &micro_tick, .micro = &micro_micro};
    struct named micro2 = {.name = "micro2"}, tick2 = {.name = "tick2"};
    loop_microtask(loop, &micro.task, on_task);
    loop_microtask(loop, &micro2.task, on_task);
    loop_next_tick(loop, &tick.task, on_task);
    loop_next_tick(loop, &tick2.task, on_task);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_said("tick tick2 tick-of-tick micro micro2 micro-of-tick micro-of-micro tick-of-micro");
}

static struct named after;

static void queue_both(struct loop *loop)
{
    static struct named micro = {.name = "micro"};
    after.name = "tick";
    loop_microtask(loop, &micro.task, on_task);
    loop_next_tick(loop, &after.task, on_task);
}

static void on_timer(struct loop_timer *timer)
{
    say("timer");
    queue_both(timer->handle.loop);
}

static void on_hook(struct loop_hook *hook)
{
    say("%s", loop_handle_type(&hook->handle));
    queue_both(hook->handle.loop);
    loop_hook_stop(hook);
}

static void on_immediate(struct loop_task *task)
{
    say("immediate");
    queue_both(task->loop);
}

static void on_close(struct loop_handle *handle)
{
    say("close");
    queue_both(handle->loop);
}

static void they_run_after_every_callback_of_every_phase(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timers[2], closed;
    struct loop_hook idle, prepare, check;
    struct loop_task immediates[2] = {0};
    for (int i = 0; i < 2; i++) {
        loop_timer_init(loop, &timers[i]);
        loop_timer_start(&timers[i], 0, 0, on_timer);
        loop_immediate(loop, &immediates[i], on_immediate);
    }
    loop_timer_init(loop, &closed);
    loop_close(&closed.handle, on_close);
    loop_idle_init(loop, &idle);
    loop_prepare_init(loop, &prepare);
    loop_check_init(loop, &check);
    loop_hook_start(&idle, on_hook);
    loop_hook_start(&prepare, on_hook);
    loop_hook_start(&check, on_hook);
    loop_run(loop, LOOP_RUN_DEFAULT);
    assert_said("timer tick micro timer tick micro idle hook tick micro prepare hook tick micro "
                "immediate tick micro immediate tick micro check hook tick micro close tick micro");
}

static void stop_the_loop(struct loop_task *task)
{
    say("tick");
    loop_stop(task->loop);
}

static void a_tick_may_stop_the_loop_before_its_first_turn(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct loop_task task = {0};
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 0, 0, on_timer);
    loop_next_tick(loop, &task, stop_the_loop);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("tick");
    loop_timer_stop(&timer);
}

static void cancel_tick(struct loop_task *task)
{
    say("%s", named_of(task)->name);
    assert_true(loop_task_cancel(&named_of(task)->tick->task));
}

static void a_cancelled_task_does_not_run(void **state)
{
    struct loop *loop = *state;
    struct named b = {.name = "b"}, c = {.name = "c"}, a = {.name = "a", .tick = &c};
    loop_next_tick(loop, &a.task, cancel_tick);
    loop_next_tick(loop, &b.task, on_task);
    loop_microtask(loop, &c.task, on_task);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a b");
}

static void again_until_done(struct loop_task *task)
{
    struct named *named = named_of(task);
    if (--named->left > 0)
        loop_next_tick(task->loop, task, again_until_done);
}

static int warnings;

static void on_warning(struct loop *loop, const char *message)
{
    (void)loop;
    warnings++;
    assert_non_null(message);
}

static void a_drain_past_its_limit_is_reported_once_and_goes_on(void **state)
{
    struct loop *loop = *state;
    struct named endless = {.left = 99};
    loop->options.drain_max = 100;
    loop->options.warn = on_warning;
    warnings = 0;
    loop_next_tick(loop, &endless.task, again_until_done);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(0, warnings);
    for (int i = 0; i < 2; i++) {
        endless.left = 250;
        loop_next_tick(loop, &endless.task, again_until_done);
        loop_run(loop, LOOP_RUN_NOWAIT);
        assert_int_equal(0, endless.left);
    }
    assert_int_equal(1, warnings);
}

/* Without an option it is a million. */
static void by_default_a_million_are_too_many_for_one_drain(void **state)
{
    struct loop *loop = *state;
    struct named endless = {.left = 1000000 - 1};
    assert_int_equal(1000000, loop->options.drain_max);
    loop->options.warn = on_warning;
    warnings = 0;
    loop_next_tick(loop, &endless.task, again_until_done);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(0, endless.left);
    assert_int_equal(0, warnings);
    endless.left = 1000000;
    loop_next_tick(loop, &endless.task, again_until_done);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(0, endless.left);
    assert_int_equal(1, warnings);
}

static void unreferenced_ticks_do_not_keep_the_loop_alive(void **state)
{
    struct loop *loop = *state;
    struct named a = {.name = "a"};
    loop_task_unref(&a.task);
    loop_next_tick(loop, &a.task, on_task);
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a");
}

static void queue_nothing(void)
{
    struct loop loop;
    struct loop_task task = {0};
    loop_init(&loop, NULL);
    loop_next_tick(&loop, &task, NULL);
}

static void a_task_without_a_callback_panics(void **state)
{
    (void)state;
    assert_panics(queue_nothing, "a task was queued without a callback");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(queued_outside_they_run_before_the_first_timer),
        virtual_test(ticks_of_ticks_come_before_microtasks_and_ticks_of_microtasks_behind),
        virtual_test(they_run_after_every_callback_of_every_phase),
        virtual_test(a_tick_may_stop_the_loop_before_its_first_turn),
        virtual_test(a_cancelled_task_does_not_run),
        virtual_test(a_drain_past_its_limit_is_reported_once_and_goes_on),
        virtual_test(by_default_a_million_are_too_many_for_one_drain),
        virtual_test(unreferenced_ticks_do_not_keep_the_loop_alive),
        virtual_test(a_task_without_a_callback_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
