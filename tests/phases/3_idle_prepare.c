/* Hooks.
 *
 * Idle and prepare hooks run before poll, check hooks behind it, once a turn, each kind in start
 * order. A hook started in a callback of its kind runs from the next turn on; one stopped before it
 * ran does not run. An active idle hook forbids poll to sleep, referenced or not. Starting an
 * active hook keeps its place and takes the new callback.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

struct named {
    struct loop_hook hook;
    const char *name;
    struct named *other;
};

static struct named *named_of(struct loop_hook *hook)
{
    return loop_container_of(hook, struct named, hook);
}

static void on_hook(struct loop_hook *hook)
{
    say("%s", named_of(hook)->name);
}

static void stop_self(struct loop_hook *hook)
{
    on_hook(hook);
    loop_hook_stop(hook);
}

typedef void (*init_fn)(struct loop *loop, struct loop_hook *hook);

static void start(struct loop *loop, init_fn init, struct named *named, const char *name)
{
    named->name = name;
    init(loop, &named->hook);
    assert_int_equal(0, loop_hook_start(&named->hook, on_hook));
}

static void stop_all(struct named *named, size_t count)
{
    for (size_t i = 0; i < count; i++)
        loop_hook_stop(&named[i].hook);
}

static void each_kind_runs_in_start_order_at_its_place(void **state)
{
    struct loop *loop = *state;
    struct named hooks[6];
    start(loop, loop_check_init, &hooks[0], "c1");
    start(loop, loop_prepare_init, &hooks[1], "p1");
    start(loop, loop_idle_init, &hooks[2], "i1");
    start(loop, loop_check_init, &hooks[3], "c2");
    start(loop, loop_idle_init, &hooks[4], "i2");
    start(loop, loop_prepare_init, &hooks[5], "p2");
    loop_run(loop, LOOP_RUN_NOWAIT);
    loop_run(loop, LOOP_RUN_NOWAIT);
    stop_all(hooks, 6);
    assert_said("i1 i2 p1 p2 c1 c2 i1 i2 p1 p2 c1 c2");
}

static void start_other(struct loop_hook *hook)
{
    on_hook(hook);
    loop_hook_start(&named_of(hook)->other->hook, on_hook);
}

static void a_hook_started_in_a_callback_runs_from_the_next_turn(void **state)
{
    struct loop *loop = *state;
    struct named hooks[2];
    start(loop, loop_prepare_init, &hooks[0], "a");
    hooks[0].other = &hooks[1];
    hooks[1].name = "b";
    loop_prepare_init(loop, &hooks[1].hook);
    loop_hook_start(&hooks[0].hook, start_other);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_said("a");
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_said("a b");
    stop_all(hooks, 2);
}

static void a_hook_started_in_a_callback_keeps_its_place_in_start_order(void **state)
{
    struct loop *loop = *state;
    struct named hooks[3];
    start(loop, loop_prepare_init, &hooks[0], "a");
    start(loop, loop_prepare_init, &hooks[1], "b");
    hooks[0].other = &hooks[2];
    hooks[2].name = "new";
    loop_prepare_init(loop, &hooks[2].hook);
    loop_hook_start(&hooks[0].hook, start_other);
    loop_run(loop, LOOP_RUN_NOWAIT);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_said("a b a b new");
    stop_all(hooks, 3);
}

static void stop_other(struct loop_hook *hook)
{
    on_hook(hook);
    loop_hook_stop(&named_of(hook)->other->hook);
}

static void a_hook_stopped_before_it_ran_does_not_run(void **state)
{
    struct loop *loop = *state;
    struct named hooks[3];
    start(loop, loop_check_init, &hooks[0], "a");
    start(loop, loop_check_init, &hooks[1], "b");
    start(loop, loop_check_init, &hooks[2], "c");
    hooks[0].other = &hooks[1];
    loop_hook_start(&hooks[0].hook, stop_other);
    loop_run(loop, LOOP_RUN_NOWAIT);
    stop_all(hooks, 3);
    assert_said("a c");
}

static void close_all(struct loop_hook *hook)
{
    on_hook(hook);
    for (struct named *each = named_of(hook); each; each = each->other)
        loop_close(&each->hook.handle, NULL);
}

static void a_hook_may_close_itself_and_its_peers(void **state)
{
    struct loop *loop = *state;
    struct named hooks[3];
    start(loop, loop_idle_init, &hooks[0], "a");
    start(loop, loop_idle_init, &hooks[1], "b");
    start(loop, loop_prepare_init, &hooks[2], "c");
    hooks[0].other = &hooks[1];
    hooks[1].other = &hooks[2];
    hooks[2].other = NULL;
    loop_hook_start(&hooks[0].hook, close_all);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("a");
}

static void starting_an_active_hook_takes_the_new_callback_in_the_old_place(void **state)
{
    struct loop *loop = *state;
    struct named hooks[2];
    start(loop, loop_prepare_init, &hooks[0], "a");
    start(loop, loop_prepare_init, &hooks[1], "b");
    loop_hook_start(&hooks[0].hook, stop_self);
    loop_run(loop, LOOP_RUN_NOWAIT);
    loop_run(loop, LOOP_RUN_NOWAIT);
    stop_all(hooks, 2);
    assert_said("a b b");
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

/* Makes the time pass that a loop which spins would spend. */
static void spend_time(struct loop_hook *hook)
{
    on_hook(hook);
    hook->handle.loop->now_ns += LOOP_MS / 4;
}

/* A loop that slept would be at the timer at once. */
static void an_unreferenced_idle_hook_makes_the_loop_spin(void **state)
{
    struct loop *loop = *state;
    struct named idle;
    struct loop_timer timer;
    start(loop, loop_idle_init, &idle, "idle");
    loop_hook_start(&idle.hook, spend_time);
    loop_unref(&idle.hook.handle);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, on_timer);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(4, loop_turn(loop));
    assert_said("idle idle idle idle timer");
    loop_hook_stop(&idle.hook);
}

/* The turn has made its progress; libuv's UV_RUN_ONCE is the same. */
static void a_single_turn_with_an_idle_hook_does_not_sleep_though_it_stopped(void **state)
{
    struct loop *loop = *state;
    struct named idle;
    struct loop_timer timer;
    start(loop, loop_idle_init, &idle, "idle");
    loop_hook_start(&idle.hook, stop_self);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 60 * LOOP_MS, 0, on_timer);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE));
    assert_said("idle");
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("timer");
}

static void bad_arguments_are_refused(void **state)
{
    struct loop *loop = *state;
    struct loop_hook hook;
    loop_idle_init(loop, &hook);
    assert_int_equal(-EINVAL, loop_hook_start(&hook, NULL));
    assert_int_equal(-EINVAL, loop_hook_start(NULL, on_hook));
    assert_false(loop_is_active(&hook.handle));
    loop_close(&hook.handle, NULL);
    assert_int_equal(-ECANCELED, loop_hook_start(&hook, on_hook));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(each_kind_runs_in_start_order_at_its_place),
        virtual_test(a_hook_started_in_a_callback_runs_from_the_next_turn),
        virtual_test(a_hook_started_in_a_callback_keeps_its_place_in_start_order),
        virtual_test(a_hook_stopped_before_it_ran_does_not_run),
        virtual_test(a_hook_may_close_itself_and_its_peers),
        virtual_test(starting_an_active_hook_takes_the_new_callback_in_the_old_place),
        virtual_test(an_unreferenced_idle_hook_makes_the_loop_spin),
        virtual_test(a_single_turn_with_an_idle_hook_does_not_sleep_though_it_stopped),
        virtual_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
