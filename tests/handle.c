/* Every handle: active, referenced, walked, initialised.
 *
 * Reference is a flag and not a counter, settable at any time and in any order; an active
 * referenced handle keeps the loop alive. A handle that is not active is not known to the loop: it
 * may be freed, and loop_walk() does not find it. loop_walk() visits each active handle once and
 * lets the callback close what it likes. Using a handle that nobody initialised, or freeing one
 * that is active, panics.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <string.h>
#include <unistd.h>

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

static void on_hook(struct loop_hook *hook)
{
    loop_hook_stop(hook);
}

static void on_async(struct loop_async *async)
{
    (void)async;
}

static void on_poll(struct loop_poll *watch, int status, uint32_t events)
{
    (void)watch;
    (void)status;
    (void)events;
}

static void references_are_flags_settable_at_any_time(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    assert_true(loop_has_ref(&timer.handle));
    assert_false(loop_alive(loop));
    loop_unref(&timer.handle);
    loop_unref(&timer.handle);
    loop_timer_start(&timer, LOOP_MS, 0, on_timer);
    assert_true(loop_is_active(&timer.handle));
    assert_false(loop_alive(loop));
    loop_ref(&timer.handle);
    loop_ref(&timer.handle);
    assert_true(loop_alive(loop));
    loop_unref(&timer.handle);
    assert_false(loop_alive(loop));
    loop_ref(&timer.handle);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("timer");
    assert_false(loop_is_active(&timer.handle));
    assert_true(loop_has_ref(&timer.handle));
}

static void a_stopped_handle_may_simply_be_freed(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer, other;
    loop_timer_init(loop, &timer);
    loop_timer_init(loop, &other);
    loop_timer_start(&timer, LOOP_MS, 0, on_timer);
    loop_timer_start(&other, LOOP_MS, 0, on_timer);
    loop_timer_stop(&timer);
    memset(&timer, 0xa5, sizeof(timer));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("timer");
}

static void data_set_before_init_is_kept(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer = {.handle.data = state};
    loop_timer_init(loop, &timer);
    assert_ptr_equal(state, timer.handle.data);
    assert_string_equal("timer", loop_handle_type(&timer.handle));
}

struct visited {
    int timers;
    int others;
    bool close;
};

static void visit(struct loop_handle *handle, void *arg)
{
    struct visited *visited = arg;
    if (strcmp("timer", loop_handle_type(handle)) == 0)
        visited->timers++;
    else
        visited->others++;
    if (visited->close)
        loop_close(handle, NULL);
}

static void walking_visits_each_active_handle_once_and_may_close_all(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timers[100], idle_timer;
    struct loop_hook hooks[3];
    struct loop_async async;
    struct loop_poll watch;
    int ends[2];
    struct visited visited = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(timers); i++) {
        loop_timer_init(loop, &timers[i]);
        loop_timer_start(&timers[i], (i * i + 1) * LOOP_MS, 0, on_timer);
        loop_timer_start(&timers[i], (i * i * i + 2) * LOOP_MS, 0, on_timer);
    }
    loop_timer_init(loop, &idle_timer);
    loop_idle_init(loop, &hooks[0]);
    loop_prepare_init(loop, &hooks[1]);
    loop_check_init(loop, &hooks[2]);
    for (size_t i = 0; i < ARRAY_LENGTH(hooks); i++)
        loop_hook_start(&hooks[i], on_hook);
    assert_int_equal(0, loop_async_init(loop, &async, on_async));
    assert_int_equal(0, pipe(ends));
    loop_poll_init(loop, &watch, ends[0]);
    assert_int_equal(0, loop_poll_start(&watch, LOOP_READABLE, on_poll));

    loop_walk(loop, visit, &visited);
    assert_int_equal(100, visited.timers);
    assert_int_equal(5, visited.others);
    visited = (struct visited){.close = true};
    loop_walk(loop, visit, &visited);
    assert_int_equal(100, visited.timers);
    assert_int_equal(5, visited.others);
    loop_walk(loop, visit, &visited);
    assert_int_equal(100, visited.timers);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    close(ends[0]);
    close(ends[1]);
}

static void walk_in_callback(struct loop_timer *timer)
{
    struct visited visited = {.close = true};
    loop_walk(timer->handle.loop, visit, &visited);
    say("%d", visited.timers);
}

static void a_callback_may_walk_and_close_everything(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timers[10];
    for (size_t i = 0; i < ARRAY_LENGTH(timers); i++) {
        loop_timer_init(loop, &timers[i]);
        loop_timer_start(&timers[i], LOOP_MS, LOOP_MS, walk_in_callback);
    }
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("10");
}

static void never_initialised(void)
{
    struct loop_timer timer;
    memset(&timer, 0x5a, sizeof(timer));
    loop_timer_start(&timer, 0, 0, on_timer);
}

static void initialised_while_active(void)
{
    struct loop loop;
    struct loop_timer a, b;
    loop_init(&loop, NULL);
    loop_timer_init(&loop, &a);
    loop_timer_init(&loop, &b);
    loop_timer_start(&a, LOOP_MS, 0, on_timer);
    loop_timer_start(&b, LOOP_MS, 0, on_timer);
    memset(&a, 0, sizeof(a));
    loop_timer_init(&loop, &a);
    loop_run(&loop, LOOP_RUN_DEFAULT);
}

static void hook_initialised_while_active(void)
{
    struct loop loop;
    struct loop_hook hook;
    loop_init(&loop, NULL);
    loop_check_init(&loop, &hook);
    loop_hook_start(&hook, on_hook);
    loop_check_init(&loop, &hook);
    loop_run(&loop, LOOP_RUN_NOWAIT);
}

static void misuse_panics_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(never_initialised, "a handle was used that no init function has seen");
    assert_panics(initialised_while_active, "was freed or initialised while it was active");
    assert_panics(hook_initialised_while_active, "was freed or initialised while it was active");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(references_are_flags_settable_at_any_time),
        virtual_test(a_stopped_handle_may_simply_be_freed),
        virtual_test(data_set_before_init_is_kept),
        virtual_test(walking_visits_each_active_handle_once_and_may_close_all),
        virtual_test(a_callback_may_walk_and_close_everything),
        virtual_test(misuse_panics_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
