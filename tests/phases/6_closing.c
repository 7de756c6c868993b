/* Closing.
 *
 * A close callback comes in the closing phase, never from inside loop_close(); close callbacks come
 * in the order of the calls, each with its ticks. A handle closed in a close callback waits for the
 * next turn. A handle with no reference, or not active, still gets its callback, and keeps the loop
 * alive until then. After the callback the memory is the caller's. Closing twice panics, and so
 * does using a handle after its close callback.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdlib.h>

struct named {
    struct loop_timer timer;
    struct loop_task tick;
    const char *name;
    struct named *other;
};

static struct named *named_of(struct loop_handle *handle)
{
    return loop_container_of(handle, struct named, timer.handle);
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

static void on_close(struct loop_handle *handle)
{
    say("close-%s", named_of(handle)->name);
}

static void on_tick(struct loop_task *task)
{
    say("tick-%s", loop_container_of(task, struct named, tick)->name);
}

static void on_close_with_tick(struct loop_handle *handle)
{
    on_close(handle);
    loop_next_tick(handle->loop, &named_of(handle)->tick, on_tick);
}

static void init(struct loop *loop, struct named *named, const char *name)
{
    *named = (struct named){.name = name};
    loop_timer_init(loop, &named->timer);
}

static void close_callbacks_come_in_the_order_of_the_calls_with_their_ticks(void **state)
{
    struct loop *loop = *state;
    struct named a, b, c;
    init(loop, &a, "a");
    init(loop, &b, "b");
    init(loop, &c, "c");
    loop_timer_start(&b.timer, 0, 0, on_timer);
    loop_close(&c.timer.handle, on_close_with_tick);
    loop_close(&a.timer.handle, on_close_with_tick);
    loop_close(&b.timer.handle, on_close_with_tick);
    assert_said("");
    assert_true(loop_is_closing(&b.timer.handle));
    assert_false(loop_is_active(&b.timer.handle));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("close-c tick-c close-a tick-a close-b tick-b");
}

static void close_other(struct loop_handle *handle)
{
    on_close(handle);
    loop_close(&named_of(handle)->other->timer.handle, on_close);
}

static void a_handle_closed_in_a_close_callback_waits_for_the_next_turn(void **state)
{
    struct loop *loop = *state;
    struct named a, b;
    init(loop, &a, "a");
    init(loop, &b, "b");
    a.other = &b;
    loop_close(&a.timer.handle, close_other);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE));
    assert_said("close-a");
    assert_int_equal(0, loop_backend_timeout(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_ONCE));
    assert_said("close-b");
}

static void an_unreferenced_handle_keeps_the_loop_alive_while_it_closes(void **state)
{
    struct loop *loop = *state;
    struct named a;
    init(loop, &a, "a");
    loop_unref(&a.timer.handle);
    loop_timer_start(&a.timer, 0, 0, on_timer);
    assert_false(loop_alive(loop));
    loop_close(&a.timer.handle, on_close);
    assert_true(loop_alive(loop));
    assert_int_equal(-EBUSY, loop_fini(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("close-a");
}

static void close_self(struct loop_timer *timer)
{
    say("timer");
    loop_close(&timer->handle, on_close);
}

/* Closed in the timers phase, the last of a turn: its callback comes in the next. */
static void a_repeating_timer_may_close_itself(void **state)
{
    struct loop *loop = *state;
    struct named a;
    init(loop, &a, "a");
    loop_timer_start(&a.timer, 0, LOOP_MS, close_self);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("timer close-a");
    assert_int_equal(1, loop_turn(loop));
}

static void free_owner(struct loop_handle *handle)
{
    say("freed");
    free(named_of(handle));
}

static void the_memory_may_be_freed_in_the_close_callback(void **state)
{
    struct loop *loop = *state;
    for (int i = 0; i < 3; i++) {
        struct named *named = malloc(sizeof(*named));
        init(loop, named, "n");
        loop_timer_start(&named->timer, LOOP_MS, 0, on_timer);
        loop_close(&named->timer.handle, free_owner);
    }
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("freed freed freed");
}

static void a_closed_handle_may_be_initialised_anew(void **state)
{
    struct loop *loop = *state;
    struct named a;
    init(loop, &a, "a");
    loop_close(&a.timer.handle, NULL);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    init(loop, &a, "a");
    loop_timer_start(&a.timer, 0, 0, on_timer);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("timer");
}

static void close_twice(void)
{
    struct loop loop;
    struct loop_timer timer;
    loop_init(&loop, NULL);
    loop_timer_init(&loop, &timer);
    loop_close(&timer.handle, NULL);
    loop_close(&timer.handle, NULL);
}

static void use_after_close(void)
{
    struct loop loop;
    struct loop_timer timer;
    loop_init(&loop, NULL);
    loop_timer_init(&loop, &timer);
    loop_close(&timer.handle, NULL);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    loop_timer_start(&timer, 0, 0, on_timer);
}

static void misuse_panics_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(close_twice, "the timer was closed twice");
    assert_panics(use_after_close, "the timer was used after its close callback");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(close_callbacks_come_in_the_order_of_the_calls_with_their_ticks),
        virtual_test(a_handle_closed_in_a_close_callback_waits_for_the_next_turn),
        virtual_test(an_unreferenced_handle_keeps_the_loop_alive_while_it_closes),
        virtual_test(a_repeating_timer_may_close_itself),
        virtual_test(the_memory_may_be_freed_in_the_close_callback),
        virtual_test(a_closed_handle_may_be_initialised_anew),
        virtual_test(misuse_panics_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
