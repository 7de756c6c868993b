/* How work ends: its deadline, and the word that its data are free.
 *
 * At its deadline work completes with -ETIMEDOUT, in all else as if it was cancelled: what waits
 * never runs, what runs is told, and is left to itself. A deadline that was met, or came behind a
 * cancel, or was taken away, leaves nothing behind; it keeps no loop alive, and does not go over
 * into a forked child, where the work was cancelled.
 *
 * With a release, the loop's thread is told once, behind done, when nobody touches the data any
 * more. That is directly behind done if the function has returned or never ran; and otherwise when
 * it has returned, among what is pending behind poll, until when the loop is alive, if the work was
 * referenced, and cannot be finished. The work itself is the caller's again at done: it may be
 * freed, or submitted with other data. Work that was refused has no release. In a forked child all
 * is released, as no thread is left that could.
 *
 * A worker is held up at a gate, a semaphore, and says on another when it has come there.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
    struct loop_work work;
    const char *name;
    bool canceled; /* what fn was told */
};

static struct loop *loop;
static struct loop_pool *pool;
static sem_t gate;
static sem_t arrived;

static void begin(void **state)
{
    struct loop_pool_options options = {.threads_max = 1};
    loop = *state;
    assert_int_equal(0, loop_pool_create(&pool, &options));
    loop->options.pool = pool;
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
}

static void run(void)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void end(void)
{
    run();
    loop_pool_destroy(pool);
    loop->options.pool = NULL;
    sem_destroy(&gate);
    sem_destroy(&arrived);
}

static void wait_at_the_gate(void *data)
{
    sem_post(&arrived);
    sem_wait(&gate);
    ((struct job *)data)->canceled = loop_work_canceled();
}

static void do_nothing(void *data)
{
    (void)data;
}

static void never(void *data)
{
    ((struct job *)data)->name = "it-ran";
}

static void on_done(struct loop_work *work, int status)
{
    struct job *job = loop_container_of(work, struct job, work);
    say("%s-%s", job->name, loop_error_name(status));
}

static void on_release(void *data)
{
    say("%s-free", ((struct job *)data)->name);
}

static void submit(struct job *job, const char *name, loop_work_fn fn)
{
    job->name = name;
    job->work.request.data = job;
    assert_int_equal(0, loop_work(loop, &job->work, fn, on_done));
}

/* Begun by the pool's only thread, which stays there. */
static void submit_running(struct job *job, const char *name)
{
    submit(job, name, wait_at_the_gate);
    sem_wait(&arrived);
}

static void set_deadline(struct job *job, uint64_t after_ns)
{
    assert_int_equal(0, loop_request_deadline(&job->work.request, after_ns));
}

static void cancel(struct job *job)
{
    assert_int_equal(0, loop_request_cancel(&job->work.request));
}

static void turn(void)
{
    assert_return_code(loop_run(loop, LOOP_RUN_NOWAIT), 0);
}

/* Deadlines. 0 is over in the timers phase that follows; the callback comes in the pending phase
 * of the turn after. */

static void work_that_is_late_in_the_queue_never_runs(void **state)
{
    struct job blocker = {0}, late = {0};
    begin(state);
    submit_running(&blocker, "blocker");
    submit(&late, "late", never);
    set_deadline(&late, 0);
    assert_said("");
    turn();
    turn();
    assert_said("late-ETIMEDOUT");
    sem_post(&gate);
    run();
    assert_said("blocker-OK");
    assert_string_equal("late", late.name);
    end();
}

static void work_that_is_late_while_it_runs_is_told_so_and_completes_at_once(void **state)
{
    struct job late = {0};
    begin(state);
    submit_running(&late, "late");
    uint64_t start_ns = loop_now(loop);
    set_deadline(&late, LOOP_MS);
    run();
    assert_said("late-ETIMEDOUT");
    assert_true(loop_now(loop) - start_ns >= LOOP_MS);
    sem_post(&gate);
    end();
    assert_true(late.canceled);
    assert_said("");
}

/* The virtual clock would pass it. */
static void a_deadline_that_is_met_leaves_nothing_behind(void **state)
{
    struct job job = {0};
    begin(state);
    submit(&job, "a", do_nothing);
    set_deadline(&job, 3600 * LOOP_SEC);
    run();
    assert_said("a-OK");
    assert_int_equal(0, loop_now(loop));
    assert_int_equal(-EALREADY, loop_request_deadline(&job.work.request, LOOP_SEC));
    memset(&job, 0x5a, sizeof(job)); /* it is the caller's again */
    end();
}

static void work_that_was_canceled_is_not_late_any_more(void **state)
{
    struct job blocker = {0}, job = {0};
    begin(state);
    submit_running(&blocker, "blocker");
    submit(&job, "a", never);
    set_deadline(&job, 0);
    cancel(&job);
    set_deadline(&job, 0); /* its outcome is decided: it is met */
    sem_post(&gate);
    run();
    assert_said("a-ECANCELED blocker-OK");
    end();
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

/* The timer is due behind all deadlines that were ever set but one, which is far away. */
static void a_new_deadline_replaces_the_old(void **state)
{
    struct job blocker = {0}, later = {0}, never_late = {0}, sooner = {0};
    struct loop_timer timer;
    begin(state);
    submit_running(&blocker, "blocker");
    submit(&later, "later", do_nothing);
    submit(&never_late, "never-late", do_nothing);
    submit(&sooner, "sooner", never);
    set_deadline(&later, LOOP_MS);
    set_deadline(&later, 3600 * LOOP_SEC);
    set_deadline(&never_late, LOOP_NEVER);
    set_deadline(&never_late, LOOP_MS);
    set_deadline(&never_late, LOOP_NEVER);
    set_deadline(&sooner, 3600 * LOOP_SEC);
    set_deadline(&sooner, 2 * LOOP_MS);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 3 * LOOP_MS, 0, on_timer);
    while (loop_is_active(&timer.handle))
        loop_run(loop, LOOP_RUN_ONCE);
    turn();
    const char *words = said(); /* both may be due at once, and then the callback is behind */
    if (strcmp(words, "sooner-ETIMEDOUT timer") != 0)
        assert_string_equal("timer sooner-ETIMEDOUT", words);
    sem_post(&gate);
    run();
    assert_said("blocker-OK later-OK never-late-OK");
    end();
}

static void on_late_submit_again(struct loop_work *work, int status)
{
    on_done(work, status);
    assert_int_equal(0, loop_work(loop, work, do_nothing, on_done));
}

static void work_that_is_submitted_again_has_no_deadline(void **state)
{
    struct job blocker = {0}, job = {.name = "a"};
    begin(state);
    submit_running(&blocker, "blocker");
    assert_int_equal(0, loop_work(loop, &job.work, never, on_late_submit_again));
    set_deadline(&job, 0);
    turn();
    turn();
    turn();
    assert_said("a-ETIMEDOUT");
    sem_post(&gate);
    run();
    assert_said("blocker-OK a-OK");
    end();
}

static void a_deadline_keeps_no_loop_alive(void **state)
{
    struct job job = {0};
    begin(state);
    submit_running(&job, "a");
    set_deadline(&job, LOOP_MS);
    loop_request_unref(&job.work.request);
    assert_false(loop_alive(loop));
    run();
    assert_said("");
    assert_int_equal(-EBUSY, loop_fini(loop));
    loop_request_ref(&job.work.request);
    run();
    assert_said("a-ETIMEDOUT");
    sem_post(&gate);
    end();
}

/* A loop that was told to stop completes its turn, and tells the rest when it runs again. */
static void a_loop_that_was_stopped_tells_of_late_work_when_it_goes_on(void **state)
{
    struct job job = {0};
    begin(state);
    submit_running(&job, "a");
    set_deadline(&job, 0);
    loop_stop(loop);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("");
    run();
    assert_said("a-ETIMEDOUT");
    sem_post(&gate);
    end();
}

static void work_without_a_callback_may_be_late(void **state)
{
    struct job job = {0};
    begin(state);
    job.work.request.data = &job;
    assert_int_equal(0, loop_work(loop, &job.work, wait_at_the_gate, NULL));
    sem_wait(&arrived);
    set_deadline(&job, 0);
    run();
    sem_post(&gate);
    end();
    assert_true(job.canceled);
}

static int run_child(void *expected)
{
    if (loop_after_fork(loop) != 0 || loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 1;
    if (strcmp(expected, said()) != 0)
        return 2;
    return loop_fini(loop) == 0 ? 0 : 3;
}

static void a_deadline_is_not_for_a_forked_child(void **state)
{
    struct job job = {0};
    char expected[] = "a-ECANCELED";
    begin(state);
    submit_running(&job, "a");
    set_deadline(&job, 0);
    in_child(run_child, expected);
    run();
    assert_said("a-ETIMEDOUT");
    sem_post(&gate);
    end();
}

/* Release. */

static void on_tick(struct loop_task *task)
{
    (void)task;
    say("tick");
}

static void on_done_tick(struct loop_work *work, int status)
{
    static struct loop_task tick;
    on_done(work, status);
    tick = (struct loop_task){0};
    loop_next_tick(loop, &tick, on_tick);
}

static void on_release_where(void *data)
{
    on_release(data);
    say("%s", loop_phase_name(loop_phase(loop)));
}

static void data_are_free_directly_behind_done(void **state)
{
    struct job job = {.name = "a", .work.release = on_release_where}, next = {0};
    begin(state);
    job.work.request.data = &job;
    assert_int_equal(0, loop_work(loop, &job.work, do_nothing, on_done_tick));
    submit(&next, "next", do_nothing);
    run();
    assert_said("a-OK tick a-free poll next-OK");
    end();
}

static void data_of_work_that_never_ran_are_free_behind_done(void **state)
{
    struct job blocker = {0}, job = {.work.release = on_release_where};
    begin(state);
    submit_running(&blocker, "blocker");
    submit(&job, "a", never);
    cancel(&job);
    assert_said("");
    turn();
    assert_said("a-ECANCELED a-free pending");
    sem_post(&gate);
    run();
    assert_said("blocker-OK");
    end();
}

static void data_of_work_that_runs_are_free_when_it_has_returned(void **state)
{
    struct job job = {.work.release = on_release_where};
    begin(state);
    submit_running(&job, "a");
    cancel(&job);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_said("a-ECANCELED");
    assert_true(loop_alive(loop));
    assert_int_equal(-EBUSY, loop_fini(loop));
    sem_post(&gate);
    run();
    assert_said("a-free poll");
    assert_true(job.canceled);
    end();
}

static void data_of_late_work_are_free_when_it_has_returned(void **state)
{
    struct job job = {.work.release = on_release};
    begin(state);
    submit_running(&job, "a");
    set_deadline(&job, 0);
    turn();
    turn();
    assert_said("a-ETIMEDOUT");
    sem_post(&gate);
    run();
    assert_said("a-free");
    end();
}

static void without_done_only_the_release_comes(void **state)
{
    struct job job = {.name = "a", .work.release = on_release};
    begin(state);
    for (int canceled = 0; canceled < 2; canceled++) {
        job.work.request.data = &job;
        assert_int_equal(0, loop_work(loop, &job.work, wait_at_the_gate, NULL));
        sem_wait(&arrived);
        if (canceled)
            cancel(&job);
        sem_post(&gate);
        run();
        assert_said("a-free");
    }
    end();
}

static struct job *doomed;

static void on_done_cancel(struct loop_work *work, int status)
{
    on_done(work, status);
    cancel(doomed);
}

/* The thread that runs c has sent b home: so it comes in the batch in which it is cancelled. */
static void the_release_is_behind_done_though_the_work_was_home_before(void **state)
{
    struct job a = {.name = "a"}, b = {.work.release = on_release_where}, c = {0};
    begin(state);
    doomed = &b;
    assert_int_equal(0, loop_work(loop, &a.work, do_nothing, on_done_cancel));
    submit(&b, "b", do_nothing);
    submit_running(&c, "c");
    turn();
    assert_said("a-OK b-ECANCELED b-free poll");
    sem_post(&gate);
    run();
    assert_said("c-OK");
    end();
}

static void free_and_say(void *data)
{
    struct job *job = data;
    say("%s-free", job->name);
    free(job);
}

static void on_done_free(struct loop_work *work, int status)
{
    say("%s", loop_error_name(status));
    free(work);
}

static void the_work_may_be_freed_before_its_data(void **state)
{
    struct loop_work *work = calloc(1, sizeof(*work));
    struct job *data = calloc(1, sizeof(*data));
    begin(state);
    assert_non_null(work);
    assert_non_null(data);
    data->name = "data";
    work->request.data = data;
    work->release = free_and_say;
    assert_int_equal(0, loop_work(loop, work, wait_at_the_gate, on_done_free));
    sem_wait(&arrived);
    assert_int_equal(0, loop_request_cancel(&work->request));
    turn();
    assert_said("ECANCELED");
    sem_post(&gate);
    run();
    assert_said("data-free");
    end();
}

static void data_that_contain_the_work_may_be_freed(void **state)
{
    begin(state);
    for (int canceled = 0; canceled < 2; canceled++) {
        struct job *job = calloc(1, sizeof(*job));
        assert_non_null(job);
        job->work.release = free;
        submit_running(job, "a");
        if (canceled)
            cancel(job);
        sem_post(&gate);
        run();
        assert_string_equal(canceled ? "a-ECANCELED" : "a-OK", said());
    }
    end();
}

/* Each submission has its own data, and its own release. */
static void work_may_be_submitted_again_before_its_last_data_are_free(void **state)
{
    struct job first = {.work.release = on_release}, second = {.name = "second"};
    begin(state);
    submit_running(&first, "first");
    cancel(&first);
    turn();
    assert_said("first-ECANCELED");
    first.work.request.data = &second;
    first.work.release = on_release_where;
    assert_int_equal(0, loop_work(loop, &first.work, do_nothing, on_done));
    sem_post(&gate);
    run();
    const char *words = said(); /* in one batch, what was detached is told behind it */
    if (strcmp("first-OK second-free poll first-free", words) != 0)
        assert_string_equal("first-free first-OK second-free poll", words);
    end();
}

static void data_of_unreferenced_work_keep_no_loop_alive(void **state)
{
    struct job job = {.work.release = on_release}, next = {0};
    begin(state);
    submit_running(&job, "a");
    loop_request_unref(&job.work.request);
    cancel(&job);
    run();
    assert_said("a-ECANCELED");
    assert_false(loop_alive(loop));
    assert_int_equal(-EBUSY, loop_fini(loop));
    submit(&next, "next", do_nothing);
    sem_post(&gate);
    run();
    const char *words = said(); /* in one batch, what was detached is told behind it */
    if (strcmp("next-OK a-free", words) != 0)
        assert_string_equal("a-free next-OK", words);
    end();
}

static void refused_work_has_no_release(void **state)
{
    struct job job = {.name = "a", .work.release = on_release};
    struct loop_pool_options options = {.threads_max = 1, .stack_size = (size_t)1 << 47};
    struct loop_pool *without_threads;
    begin(state);
    assert_int_equal(0, loop_pool_create(&without_threads, &options));
    loop->options.pool = without_threads;
    assert_int_equal(-EAGAIN, loop_work(loop, &job.work, never, on_done));
    loop->options.pool = pool;
    loop_pool_destroy(without_threads);
    assert_false(loop_alive(loop));
    end();
    assert_said("");
}

static void a_pool_may_be_destroyed_before_the_release(void **state)
{
    struct job job = {.work.release = on_release};
    begin(state);
    submit_running(&job, "a");
    cancel(&job);
    turn();
    sem_post(&gate);
    loop_pool_destroy(pool);
    assert_said("a-ECANCELED");
    run();
    assert_said("a-free");
    begin(state);
    end();
}

/* Somebody waits for it, other than for cancelled work without a release. */
static void a_virtual_clock_stands_still_until_the_release(void **state)
{
    struct job job = {.work.release = on_release};
    struct loop_timer timer;
    begin(state);
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 3600 * LOOP_SEC, 0, on_timer);
    submit_running(&job, "a");
    cancel(&job);
    for (int i = 0; i < 5; i++)
        turn();
    assert_said("a-ECANCELED");
    sem_post(&gate);
    run();
    assert_said("a-free timer");
    end();
}

static void a_virtual_clock_goes_on_when_work_that_never_ran_is_released(void **state)
{
    struct job blocker = {0}, job = {.work.release = on_release};
    struct loop_timer timer;
    begin(state);
    submit_running(&blocker, "blocker");
    submit(&job, "a", never);
    cancel(&job);
    sem_post(&gate);
    run();
    assert_said("a-ECANCELED a-free blocker-OK");
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 3600 * LOOP_SEC, 0, on_timer);
    run();
    assert_said("timer");
    end();
}

/* Detached, running and waiting: two threads, so that two run. */
static void in_a_forked_child_all_data_are_free_behind_done(void **state)
{
    struct job detached = {.work.release = on_release}, running = {.work.release = on_release},
               waiting = {.work.release = on_release};
    struct loop_pool_options options = {.threads_max = 2, .class_max[LOOP_POOL_CPU] = 2};
    char expected[] = "running-ECANCELED running-free waiting-ECANCELED waiting-free detached-free";
    begin(state);
    loop_pool_destroy(pool);
    assert_int_equal(0, loop_pool_create(&pool, &options));
    loop->options.pool = pool;
    submit_running(&detached, "detached");
    submit_running(&running, "running");
    submit(&waiting, "waiting", do_nothing);
    cancel(&detached);
    turn();
    assert_said("detached-ECANCELED");
    in_child(run_child, expected);
    loop_request_cancel(&waiting.work.request);
    turn();
    assert_said("waiting-ECANCELED waiting-free");
    sem_post(&gate);
    sem_post(&gate);
    run();
    const char *words = said();
    if (!strstr(words, "detached-free") || !strstr(words, "running-OK running-free"))
        assert_string_equal("detached-free and running-OK running-free, in any order", words);
    end();
}

/* b is home, in the batch that is being delivered, when a's callback forks. */
static pid_t child;

static void on_done_fork(struct loop_work *work, int status)
{
    on_done(work, status);
    child = fork();
    if (child == 0)
        loop_after_fork(loop);
}

static void end_of_child(void)
{
    int left = loop_run(loop, LOOP_RUN_DEFAULT);
    _exit(left == 0 && strcmp(said(), "a-OK a-free b-ECANCELED b-free c-ECANCELED") == 0 ? 0 : 1);
}

static void a_callback_that_forks_is_told_of_all_in_the_child_too(void **state)
{
    struct job a = {.name = "a", .work.release = on_release}, b = {.work.release = on_release},
               c = {0};
    int status;
    begin(state);
    a.work.request.data = &a;
    assert_int_equal(0, loop_work(loop, &a.work, do_nothing, on_done_fork));
    submit(&b, "b", do_nothing);
    submit_running(&c, "c");
    turn();
    if (child == 0)
        end_of_child();
    assert_said("a-OK a-free b-OK b-free");
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(0, status);
    sem_post(&gate);
    run();
    assert_said("c-OK");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(work_that_is_late_in_the_queue_never_runs),
        real_test(work_that_is_late_while_it_runs_is_told_so_and_completes_at_once),
        virtual_test(a_deadline_that_is_met_leaves_nothing_behind),
        real_test(work_that_was_canceled_is_not_late_any_more),
        real_test(a_new_deadline_replaces_the_old),
        virtual_test(work_that_is_submitted_again_has_no_deadline),
        real_test(a_deadline_keeps_no_loop_alive),
        real_test(a_loop_that_was_stopped_tells_of_late_work_when_it_goes_on),
        real_test(work_without_a_callback_may_be_late),
        real_test(a_deadline_is_not_for_a_forked_child),
        real_test(data_are_free_directly_behind_done),
        real_test(data_of_work_that_never_ran_are_free_behind_done),
        real_test(data_of_work_that_runs_are_free_when_it_has_returned),
        virtual_test(data_of_late_work_are_free_when_it_has_returned),
        real_test(without_done_only_the_release_comes),
        real_test(the_release_is_behind_done_though_the_work_was_home_before),
        real_test(the_work_may_be_freed_before_its_data),
        real_test(data_that_contain_the_work_may_be_freed),
        real_test(work_may_be_submitted_again_before_its_last_data_are_free),
        real_test(data_of_unreferenced_work_keep_no_loop_alive),
        real_test(refused_work_has_no_release),
        real_test(a_pool_may_be_destroyed_before_the_release),
        virtual_test(a_virtual_clock_stands_still_until_the_release),
        virtual_test(a_virtual_clock_goes_on_when_work_that_never_ran_is_released),
        real_test(in_a_forked_child_all_data_are_free_behind_done),
        real_test(a_callback_that_forks_is_told_of_all_in_the_child_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
