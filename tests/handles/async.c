/* Async handles: waking the loop from any thread, or from a signal handler.
 *
 * Any number of sends before the callback make one callback, in the poll phase; a send during it
 * makes another, in the next turn. An async handle is active, and keeps the loop alive, from init
 * to close; unreferenced, it lets the loop end. Once it is closing it is not called any more, not
 * even for what was sent before, and sending returns -ECANCELED; so does a waker, for as long as
 * somebody holds it: behind the close callback, and when the loop is gone. What nobody waits for
 * any more keeps no loop from being finished. When the last waker is released all memory is back.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct bell {
    struct loop_async async;
    const char *name;
    struct bell *other;
    int rings;
};

static struct bell *bell_of(struct loop_async *async)
{
    return loop_container_of(async, struct bell, async);
}

static void on_ring(struct loop_async *async)
{
    bell_of(async)->rings++;
    say("%s", bell_of(async)->name);
}

static void on_close(struct loop_handle *handle)
{
    say("close-%s", loop_container_of(handle, struct bell, async.handle)->name);
}

static void init(struct loop *loop, struct bell *bell, const char *name, loop_async_cb cb)
{
    *bell = (struct bell){.name = name};
    assert_int_equal(0, loop_async_init(loop, &bell->async, cb));
}

static void ring(struct bell *bell)
{
    assert_int_equal(0, loop_async_send(&bell->async));
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void run_one_turn(struct loop *loop)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void close_and_run(struct loop *loop, struct bell *bell)
{
    loop_close(&bell->async.handle, NULL);
    run(loop);
}

/* Sending. */

static void many_sends_before_the_callback_make_one(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    for (int i = 0; i < 1000; i++)
        ring(&bell);
    assert_said("");
    run_one_turn(*state);
    run_one_turn(*state);
    assert_said("a");
    ring(&bell);
    run_one_turn(*state);
    assert_said("a");
    close_and_run(*state, &bell);
}

static void on_ring_where(struct loop_async *async)
{
    struct loop *loop = async->handle.loop;
    say("%s-in-turn-%d", loop_phase_name(loop_phase(loop)), (int)loop_turn(loop));
}

static void on_ring_send_again(struct loop_async *async)
{
    on_ring_where(async);
    if (++bell_of(async)->rings < 3) {
        ring(bell_of(async));
        ring(bell_of(async));
    }
}

static void a_send_during_the_callback_makes_another_in_the_next_turn(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring_send_again);
    ring(&bell);
    for (int i = 0; i < 5; i++)
        run_one_turn(*state);
    assert_said("poll-in-turn-1 poll-in-turn-2 poll-in-turn-3");
    close_and_run(*state, &bell);
}

static void on_ring_close_when_done(struct loop_async *async)
{
    on_ring(async);
    if (bell_of(async)->rings == 3)
        loop_close(&async->handle, on_close);
    else
        ring(bell_of(async));
}

/* Nothing but the send of the callback keeps this loop from sleeping for ever. */
static void a_send_during_the_callback_keeps_poll_from_sleeping(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring_close_when_done);
    ring(&bell);
    run(*state);
    assert_said("a a a close-a");
}

static void on_task(struct loop_task *task)
{
    (void)task;
    say("task");
}

static void what_arrives_first_runs_first(void **state)
{
    struct bell a, b;
    struct loop_task task = {0};
    init(*state, &a, "a", on_ring);
    init(*state, &b, "b", on_ring);
    ring(&b);
    assert_int_equal(0, loop_post(*state, &task, on_task));
    ring(&a);
    ring(&b);
    run_one_turn(*state);
    assert_said("b task a");
    loop_close(&a.async.handle, NULL);
    close_and_run(*state, &b);
}

static struct bell *rung_by_signal;

static void on_signal(int signal_number)
{
    (void)signal_number;
    loop_async_send(&rung_by_signal->async);
}

static void handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    assert_int_equal(0, sigaction(SIGUSR1, &action, NULL));
}

static void on_ring_raise(struct loop_async *async)
{
    on_ring(async);
    if (bell_of(async)->rings == 1)
        raise(SIGUSR1);
    else
        loop_close(&async->handle, on_close);
}

static void a_signal_handler_may_send(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring_raise);
    rung_by_signal = &bell;
    handle_signals(on_signal);
    raise(SIGUSR1);
    raise(SIGUSR1);
    run(*state);
    handle_signals(SIG_DFL);
    assert_said("a a close-a");
}

static void *send_through(void *waker)
{
    loop_waker_send(waker);
    loop_waker_release(waker);
    return NULL;
}

static void on_ring_close(struct loop_async *async)
{
    on_ring(async);
    loop_close(&async->handle, on_close);
}

/* The loop sleeps, if it comes to that before the thread does: either way it has to be woken. */
static void another_thread_wakes_the_loop(void **state)
{
    pthread_t thread;
    struct bell bell;
    init(*state, &bell, "a", on_ring_close);
    struct loop_waker *waker = loop_async_waker(&bell.async);
    assert_non_null(waker);
    assert_int_equal(0, pthread_create(&thread, NULL, send_through, waker));
    run(*state);
    pthread_join(thread, NULL);
    assert_said("a close-a");
}

/* Alive. */

static void an_async_is_active_and_referenced_until_it_is_closed(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    assert_true(loop_is_active(&bell.async.handle));
    assert_true(loop_has_ref(&bell.async.handle));
    assert_string_equal("async", loop_handle_type(&bell.async.handle));
    assert_true(loop_alive(*state));
    assert_int_equal(-EBUSY, loop_fini(*state));
    loop_close(&bell.async.handle, on_close);
    assert_false(loop_is_active(&bell.async.handle));
    assert_true(loop_is_closing(&bell.async.handle));
    run(*state);
    assert_false(loop_alive(*state));
    assert_said("close-a");
}

static void an_unreferenced_async_lets_the_loop_end(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    loop_unref(&bell.async.handle);
    assert_false(loop_alive(*state));
    run(*state);
    ring(&bell);
    assert_false(loop_alive(*state));
    run(*state);
    assert_said("");
    assert_int_equal(-EBUSY, loop_fini(*state));
    close_and_run(*state, &bell);
    assert_said("");
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

static void an_unreferenced_async_is_called_while_something_else_is_alive(void **state)
{
    struct bell bell;
    struct loop_timer timer;
    init(*state, &bell, "a", on_ring);
    loop_unref(&bell.async.handle);
    ring(&bell);
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, LOOP_SEC, 0, on_timer);
    run(*state);
    assert_said("a timer");
    close_and_run(*state, &bell);
}

/* Closing. */

static void sending_to_a_closing_handle_is_refused(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    struct loop_waker *waker = loop_async_waker(&bell.async);
    assert_int_equal(0, loop_waker_send(waker));
    loop_close(&bell.async.handle, on_close);
    assert_int_equal(-ECANCELED, loop_async_send(&bell.async));
    assert_int_equal(-ECANCELED, loop_waker_send(waker));
    run(*state);
    assert_said("close-a");
    assert_int_equal(-ECANCELED, loop_waker_send(waker));
    loop_waker_release(waker);
}

static void a_handle_closed_with_a_send_pending_is_not_called(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    ring(&bell);
    loop_close(&bell.async.handle, on_close);
    run(*state);
    assert_said("close-a");
}

static void on_ring_close_other(struct loop_async *async)
{
    on_ring(async);
    loop_close(&bell_of(async)->other->async.handle, on_close);
}

static void a_handle_closed_by_an_earlier_callback_of_its_batch_is_not_called(void **state)
{
    struct bell a, b;
    init(*state, &a, "a", on_ring_close_other);
    init(*state, &b, "b", on_ring);
    a.other = &b;
    ring(&a);
    ring(&b);
    run_one_turn(*state);
    assert_said("a close-b");
    close_and_run(*state, &a);
}

static void a_handle_may_be_closed_in_its_own_callback(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring_close);
    ring(&bell);
    run(*state);
    assert_said("a close-a");
}

static void on_ring_send_and_close(struct loop_async *async)
{
    ring(bell_of(async));
    on_ring_close(async);
}

static void what_the_callback_sent_before_it_closed_the_handle_is_dropped(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring_send_and_close);
    ring(&bell);
    run(*state);
    assert_said("a close-a");
}

static void on_check_send_and_close(struct loop_hook *hook)
{
    struct bell *bell = hook->handle.data;
    ring(bell);
    loop_close(&bell->async.handle, on_close);
    loop_hook_stop(hook);
}

/* The mailbox was emptied before, and nothing keeps the loop going until it is emptied again. */
static void a_send_that_a_closed_handle_never_saw_keeps_no_loop_from_being_finished(void **state)
{
    struct bell bell;
    struct loop_hook check = {.handle.data = &bell};
    init(*state, &bell, "a", on_ring);
    loop_check_init(*state, &check);
    loop_hook_start(&check, on_check_send_and_close);
    run_one_turn(*state);
    assert_said("close-a");
    assert_false(loop_alive(*state)); /* teardown finishes it */
}

static void close_callbacks_come_in_the_order_of_the_calls(void **state)
{
    struct bell a, b, c;
    init(*state, &a, "a", on_ring);
    init(*state, &b, "b", on_ring);
    init(*state, &c, "c", on_ring);
    loop_close(&b.async.handle, on_close);
    loop_close(&c.async.handle, on_close);
    loop_close(&a.async.handle, on_close);
    assert_said("");
    run(*state);
    assert_said("close-b close-c close-a");
}

static void on_close_begin_again(struct loop_handle *handle)
{
    struct loop *loop = handle->loop;
    struct bell *bell = loop_container_of(handle, struct bell, async.handle);
    on_close(handle);
    init(loop, bell, "again", on_ring_close);
    ring(bell);
}

/* The waker was the first handle's, and the second is another, though the memory is the same. */
static void the_memory_may_be_used_for_another_async_in_the_close_callback(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    struct loop_waker *waker = loop_async_waker(&bell.async);
    loop_waker_send(waker);
    loop_close(&bell.async.handle, on_close_begin_again);
    run(*state);
    assert_said("close-a again close-again");
    assert_int_equal(-ECANCELED, loop_waker_send(waker));
    loop_waker_release(waker);
}

static void on_close_free(struct loop_handle *handle)
{
    on_close(handle);
    free(loop_container_of(handle, struct bell, async.handle));
}

static void the_memory_may_be_freed_in_the_close_callback(void **state)
{
    struct bell *bell = malloc(sizeof(*bell));
    assert_non_null(bell);
    init(*state, bell, "a", on_ring);
    struct loop_waker *waker = loop_async_waker(&bell->async);
    ring(bell);
    loop_close(&bell->async.handle, on_close_free);
    run(*state);
    assert_said("close-a");
    assert_int_equal(-ECANCELED, loop_waker_send(waker));
    loop_waker_release(waker);
}

/* Wakers. */

static void a_waker_does_what_a_send_does(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    struct loop_waker *waker = loop_async_waker(&bell.async);
    assert_int_equal(0, loop_waker_send(waker));
    ring(&bell);
    run_one_turn(*state);
    run_one_turn(*state);
    assert_said("a");
    loop_waker_release(waker);
    ring(&bell);
    run_one_turn(*state);
    assert_said("a");
    close_and_run(*state, &bell);
}

static void a_waker_lives_until_its_last_reference_is_released(void **state)
{
    struct bell bell;
    init(*state, &bell, "a", on_ring);
    struct loop_waker *first = loop_async_waker(&bell.async);
    struct loop_waker *second = loop_waker_retain(first);
    assert_ptr_equal(first, second);
    loop_waker_release(first);
    assert_int_equal(0, loop_waker_send(second));
    run_one_turn(*state);
    assert_said("a");
    close_and_run(*state, &bell);
    assert_int_equal(-ECANCELED, loop_waker_send(second));
    loop_waker_release(second);
    loop_waker_release(NULL);
}

static void a_waker_is_refused_when_the_loop_is_gone(void **state)
{
    struct loop loop = {0};
    struct bell bell;
    struct loop_options options = test_options(LOOP_CLOCK_VIRTUAL);
    (void)state;
    assert_int_equal(0, loop_init(&loop, &options));
    init(&loop, &bell, "a", on_ring);
    struct loop_waker *waker = loop_waker_retain(loop_async_waker(&bell.async));
    close_and_run(&loop, &bell);
    assert_int_equal(0, loop_fini(&loop));
    assert_int_equal(-ECANCELED, loop_waker_send(waker));
    loop_waker_release(waker);
    assert_int_equal(-ECANCELED, loop_waker_send(waker));
    loop_waker_release(waker);
    assert_said("");
}

/* Errors. */

static void a_callback_and_a_loop_are_required(void **state)
{
    struct loop_async async;
    assert_int_equal(-EINVAL, loop_async_init(*state, &async, NULL));
    assert_int_equal(-EINVAL, loop_async_init(*state, NULL, on_ring));
    assert_int_equal(-EINVAL, loop_async_init(NULL, &async, on_ring));
    assert_false(loop_alive(*state));
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static void without_memory_nothing_is_started(void **state)
{
    struct loop *loop = *state;
    struct loop_async async;
    struct loop_allocator before = loop->options.allocator;
    loop->options.allocator.resize = no_memory;
    assert_int_equal(-ENOMEM, loop_async_init(loop, &async, on_ring));
    loop->options.allocator = before;
    assert_false(loop_alive(loop));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(many_sends_before_the_callback_make_one),
        virtual_test(a_send_during_the_callback_makes_another_in_the_next_turn),
        real_test(a_send_during_the_callback_keeps_poll_from_sleeping),
        virtual_test(what_arrives_first_runs_first),
        real_test(a_signal_handler_may_send),
        real_test(another_thread_wakes_the_loop),
        virtual_test(an_async_is_active_and_referenced_until_it_is_closed),
        virtual_test(an_unreferenced_async_lets_the_loop_end),
        virtual_test(an_unreferenced_async_is_called_while_something_else_is_alive),
        virtual_test(sending_to_a_closing_handle_is_refused),
        virtual_test(a_handle_closed_with_a_send_pending_is_not_called),
        virtual_test(a_handle_closed_by_an_earlier_callback_of_its_batch_is_not_called),
        virtual_test(a_handle_may_be_closed_in_its_own_callback),
        virtual_test(what_the_callback_sent_before_it_closed_the_handle_is_dropped),
        virtual_test(a_send_that_a_closed_handle_never_saw_keeps_no_loop_from_being_finished),
        virtual_test(close_callbacks_come_in_the_order_of_the_calls),
        virtual_test(the_memory_may_be_used_for_another_async_in_the_close_callback),
        virtual_test(the_memory_may_be_freed_in_the_close_callback),
        virtual_test(a_waker_does_what_a_send_does),
        virtual_test(a_waker_lives_until_its_last_reference_is_released),
        virtual_test(a_waker_is_refused_when_the_loop_is_gone),
        virtual_test(a_callback_and_a_loop_are_required),
        virtual_test(without_memory_nothing_is_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
