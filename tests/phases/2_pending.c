/* Pending completions.
 *
 * A request whose outcome is known inside the call that asked for it completes later: never from
 * inside that call. What is pending runs at the head of a turn, and behind the I/O callbacks of
 * poll in at most eight rounds; a completion that always starts the next one does not hold up the
 * loop. Poll does not sleep while something is pending.
 *
 * The one operation here that completes at once is cancelling work that waits for a thread, so the
 * pool's only thread is kept busy.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <semaphore.h>

struct fixture {
    struct loop *loop;
    struct loop_work blocker;
    struct loop_work work;
    sem_t gate;
    int rounds;
};

static struct fixture fixture;

static void wait_at_the_gate(void *data)
{
    struct fixture *f = data;
    sem_wait(&f->gate);
}

static void never(void *data)
{
    (void)data;
    say("ran");
}

static struct loop *begin(struct loop *loop)
{
    struct loop_pool *pool;
    struct loop_pool_options options = {.threads_max = 1};
    assert_int_equal(0, loop_pool_create(&pool, &options));
    loop->options.pool = pool;
    fixture = (struct fixture){.loop = loop};
    sem_init(&fixture.gate, 0, 0);
    fixture.blocker.request.data = &fixture;
    assert_int_equal(0, loop_work(loop, &fixture.blocker, wait_at_the_gate, NULL));
    return loop;
}

static void end(struct loop *loop)
{
    sem_post(&fixture.gate);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_pool_destroy(loop->options.pool);
    loop->options.pool = NULL;
}

static void on_done(struct loop_work *work, int status)
{
    (void)work;
    assert_int_equal(-ECANCELED, status);
    say("canceled in %s", loop_phase_name(loop_phase(fixture.loop)));
}

static void a_completion_never_comes_from_inside_the_call(void **state)
{
    struct loop *loop = begin(*state);
    assert_int_equal(0, loop_work(loop, &fixture.work, never, on_done));
    assert_int_equal(0, loop_request_cancel(&fixture.work.request));
    assert_said("");
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_said("canceled in pending");
    end(loop);
}

static void on_prepare(struct loop_hook *hook)
{
    say("prepare");
    loop_work(hook->handle.loop, &fixture.work, never, on_done);
    loop_request_cancel(&fixture.work.request);
    loop_hook_stop(hook);
}

static void on_check(struct loop_hook *hook)
{
    say("check");
    loop_hook_stop(hook);
}

static void what_is_put_off_before_poll_completes_behind_it(void **state)
{
    struct loop *loop = begin(*state);
    struct loop_hook prepare, check;
    loop_prepare_init(loop, &prepare);
    loop_hook_start(&prepare, on_prepare);
    loop_check_init(loop, &check);
    loop_hook_start(&check, on_check);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_said("prepare canceled in poll check");
    end(loop);
}

/* Each completion starts and cancels the next. */
static void on_done_again(struct loop_work *work, int status)
{
    (void)status;
    say("%s", loop_phase(fixture.loop) == LOOP_PHASE_POLL ? "p" : "h");
    if (++fixture.rounds == 12)
        return;
    loop_work(fixture.loop, work, never, on_done_again);
    loop_request_cancel(&work->request);
}

static void endless_completions_run_eight_rounds_a_turn_and_one_at_its_head(void **state)
{
    struct loop *loop = begin(*state);
    struct loop_hook check;
    loop_check_init(loop, &check);
    loop_work(loop, &fixture.work, never, on_done_again);
    loop_request_cancel(&fixture.work.request);
    loop_hook_start(&check, on_check);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_said("h p p p p p p p p check");
    loop_run(loop, LOOP_RUN_ONCE);
    assert_said("h p p");
    end(loop);
}

static void poll_does_not_sleep_while_something_is_pending(void **state)
{
    struct loop *loop = begin(*state);
    loop_work(loop, &fixture.work, never, on_done);
    loop_request_cancel(&fixture.work.request);
    assert_int_equal(0, loop_backend_timeout(loop));
    assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE));
    assert_said("canceled in pending");
    end(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(a_completion_never_comes_from_inside_the_call),
        real_test(what_is_put_off_before_poll_completes_behind_it),
        real_test(endless_completions_run_eight_rounds_a_turn_and_one_at_its_head),
        real_test(poll_does_not_sleep_while_something_is_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
