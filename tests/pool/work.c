/* Work: functions of the program's on threads of the pool.
 *
 * fn runs on another thread, done on the loop's, in the poll phase. Work begins in the order of its
 * submission, and what comes of it does not depend on the number of threads. Threads are started
 * when work waits and none is free, and not before. A queue that is full, or a pool that gets no
 * thread, refuses work and changes nothing. Work that waits can be cancelled and never runs; work
 * that runs is left to itself and nobody is told what came of it; either way done comes once,
 * later, with -ECANCELED. The loop can end before such work does, and a pool that is destroyed
 * waits for all that was submitted. A virtual clock stands still while work is in flight. In a
 * forked child there is no thread that could finish the parent's work, so it is cancelled.
 *
 * A worker is held up at a gate, a semaphore, and says on another when it has come there.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What most tests need: a pool for the loop, and work of which some is held up. */

struct job {
    struct loop_work work;
    const char *name;
    bool canceled; /* what fn was told */
};

static struct loop_pool *pool;
static sem_t gate;
static sem_t arrived;
static pthread_t loop_thread;
static struct loop *the_loop;

static void begin_with(struct loop *loop, const struct loop_pool_options *options)
{
    assert_int_equal(0, loop_pool_create(&pool, options));
    loop->options.pool = pool;
    loop_thread = pthread_self();
    the_loop = loop;
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
}

static void begin(struct loop *loop, uint32_t threads_max)
{
    struct loop_pool_options options = {.threads_max = threads_max};
    begin_with(loop, &options);
}

static void end(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_pool_destroy(pool);
    loop->options.pool = NULL;
    sem_destroy(&gate);
    sem_destroy(&arrived);
}

static void open_gate(int count)
{
    for (int i = 0; i < count; i++)
        sem_post(&gate);
}

static void wait_at_the_gate(void *data)
{
    (void)data;
    sem_post(&arrived);
    sem_wait(&gate);
}

static void await_arrivals(int count)
{
    for (int i = 0; i < count; i++)
        sem_wait(&arrived);
}

static void do_nothing(void *data)
{
    (void)data;
}

static struct job *job_of(struct loop_work *work)
{
    return loop_container_of(work, struct job, work);
}

static void on_done(struct loop_work *work, int status)
{
    say("%s-%s", job_of(work)->name, loop_error_name(status));
}

static void submit_class(struct job *job, const char *name, enum loop_pool_class kind,
                         loop_work_fn fn)
{
    job->name = name;
    job->work.request.data = job;
    assert_int_equal(0, loop_work_class(the_loop, &job->work, kind, fn, on_done));
}

static void submit(struct job *job, const char *name, loop_work_fn fn)
{
    submit_class(job, name, LOOP_POOL_CPU, fn);
}

/* Keeps the pool's only thread busy, so that what follows waits. */
static void submit_blocker(struct job *job)
{
    submit(job, "blocker", wait_at_the_gate);
    await_arrivals(1);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

/* Where. */

static void note_thread(void *data)
{
    pthread_t *thread = data;
    *thread = pthread_self();
}

static void on_done_where(struct loop_work *work, int status)
{
    assert_int_equal(0, status);
    assert_true(pthread_equal(loop_thread, pthread_self()));
    say("%s", loop_phase_name(loop_phase(work->request.loop)));
}

static void work_runs_on_another_thread_and_calls_back_in_the_poll_phase(void **state)
{
    pthread_t worker;
    struct loop_work work = {.request.data = &worker};
    begin(*state, 1);
    assert_int_equal(0, loop_work(*state, &work, note_thread, on_done_where));
    assert_said("");
    run(*state);
    assert_said("poll");
    assert_false(pthread_equal(loop_thread, worker));
    end(*state);
}

static void note_signals(void *data)
{
    pthread_sigmask(SIG_SETMASK, NULL, data);
}

static void the_threads_of_a_pool_take_no_signals(void **state)
{
    sigset_t blocked;
    struct loop_work work = {.request.data = &blocked};
    sigemptyset(&blocked);
    begin(*state, 1);
    assert_int_equal(0, loop_work(*state, &work, note_signals, NULL));
    run(*state);
    assert_int_equal(1, sigismember(&blocked, SIGINT));
    assert_int_equal(1, sigismember(&blocked, SIGCHLD));
    assert_int_equal(1, sigismember(&blocked, SIGUSR1));
    end(*state);
}

static void note_name(void *data)
{
    pthread_getname_np(pthread_self(), data, 16);
}

static void threads_bear_the_pools_name_of_which_it_keeps_a_copy(void **state)
{
    char given[] = "elevenchars";
    char seen[16] = "";
    struct loop_pool_options options = {.threads_max = 1, .name = given};
    struct loop_work work = {.request.data = seen};
    begin_with(*state, &options);
    memset(given, 'x', strlen(given));
    assert_int_equal(0, loop_work(*state, &work, note_name, NULL));
    run(*state);
    assert_string_equal("elevenchars", seen);
    end(*state);
}

static void on_task(struct loop_task *task)
{
    (void)task;
    say("task");
}

static void post_task(void *data)
{
    loop_post(the_loop, data, on_task);
}

/* In the order in which both come home: the task was sent before the work was done. */
static void work_may_post_to_the_loop(void **state)
{
    struct loop_task task = {0};
    struct loop_work work = {.request.data = &task};
    begin(*state, 1);
    assert_int_equal(0, loop_work(*state, &work, post_task, on_done_where));
    run(*state);
    assert_said("task poll");
    end(*state);
}

/* Order and outcome. */

enum { MANY = 200 };

struct number {
    struct loop_work work;
    uint64_t value;
};

static struct number numbers[MANY];
static size_t begun[MANY];
static size_t begun_count;

static void note_order(void *data)
{
    const struct number *number = data;
    begun[begun_count++] = (size_t)(number - numbers);
}

static void submit_numbers(struct loop *loop, loop_work_fn fn)
{
    memset(numbers, 0, sizeof(numbers));
    for (size_t i = 0; i < MANY; i++) {
        numbers[i].value = i;
        numbers[i].work.request.data = &numbers[i];
        assert_int_equal(0, loop_work(loop, &numbers[i].work, fn, NULL));
    }
}

static void one_thread_begins_work_in_the_order_of_its_submission(void **state)
{
    begin(*state, 1);
    begun_count = 0;
    submit_numbers(*state, note_order);
    run(*state);
    assert_int_equal(MANY, begun_count);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(i, begun[i]);
    end(*state);
}

static void one_thread_completes_work_in_the_order_of_its_submission(void **state)
{
    struct job a = {0}, b = {0}, c = {0};
    begin(*state, 1);
    submit(&a, "a", do_nothing);
    submit(&b, "b", do_nothing);
    submit(&c, "c", do_nothing);
    run(*state);
    assert_said("a-OK b-OK c-OK");
    end(*state);
}

/* Something of which each step needs the one before. */
static void mix(void *data)
{
    struct number *number = data;
    uint64_t value = number->value;
    for (int i = 0; i < 10000; i++)
        value = (value ^ value >> 29) * UINT64_C(0xbf58476d1ce4e5b9) + 1;
    number->value = value;
}

static void the_number_of_threads_makes_no_difference_to_the_results(void **state)
{
    uint64_t results[MANY];
    static const uint32_t threads[] = {1, 16};
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++) {
        begin(*state, threads[i]);
        submit_numbers(*state, mix);
        run(*state);
        for (size_t k = 0; k < MANY; k++) {
            results[k] = i == 0 ? numbers[k].value : results[k];
            assert_int_equal(results[k], numbers[k].value);
        }
        end(*state);
    }
}

static void work_without_a_callback_runs_and_keeps_the_loop_alive(void **state)
{
    struct number number = {.value = 1};
    number.work.request.data = &number;
    begin(*state, 1);
    assert_int_equal(0, loop_work(*state, &number.work, mix, NULL));
    assert_true(loop_alive(*state));
    run(*state);
    assert_int_not_equal(1, number.value);
    end(*state);
}

static void on_done_again(struct loop_work *work, int status)
{
    struct number *number = loop_container_of(work, struct number, work);
    assert_int_equal(0, status);
    if (++number->value < 10)
        assert_int_equal(0, loop_work(the_loop, work, do_nothing, on_done_again));
}

static void work_may_be_submitted_again_in_its_callback(void **state)
{
    struct number number = {0};
    begin(*state, 1);
    assert_int_equal(0, loop_work(*state, &number.work, do_nothing, on_done_again));
    run(*state);
    assert_int_equal(10, number.value);
    end(*state);
}

static void on_done_free(struct loop_work *work, int status)
{
    on_done(work, status);
    free(job_of(work));
}

static void work_may_be_freed_in_its_callback(void **state)
{
    struct job *job = calloc(1, sizeof(*job));
    assert_non_null(job);
    begin(*state, 1);
    job->name = "freed";
    assert_int_equal(0, loop_work(*state, &job->work, do_nothing, on_done_free));
    run(*state);
    assert_said("freed-OK");
    end(*state);
}

/* Threads. */

static void a_pool_has_no_thread_before_its_first_work(void **state)
{
    struct job job = {0};
    begin(*state, 4);
    assert_int_equal(0, loop_pool_threads(pool));
    submit(&job, "a", do_nothing);
    assert_int_equal(1, loop_pool_threads(pool));
    run(*state);
    assert_int_equal(1, loop_pool_threads(pool));
    end(*state);
}

static void threads_are_started_while_work_waits_up_to_the_limit(void **state)
{
    struct job jobs[5];
    struct loop_pool_options options = {.threads_max = 4, .class_max[LOOP_POOL_CPU] = 4};
    memset(jobs, 0, sizeof(jobs));
    begin_with(*state, &options);
    for (uint32_t i = 0; i < 5; i++) {
        submit(&jobs[i], "job", wait_at_the_gate);
        assert_int_equal(i < 4 ? i + 1 : 4, loop_pool_threads(pool));
    }
    await_arrivals(4);
    open_gate(5);
    run(*state);
    assert_int_equal(4, loop_pool_threads(pool));
    end(*state);
}

static void on_done_one_more(struct loop_work *work, int status)
{
    struct number *number = loop_container_of(work, struct number, work);
    assert_int_equal(0, status);
    if (++number->value < 2000)
        assert_int_equal(0, loop_work(the_loop, work, do_nothing, on_done_one_more));
}

/* The thread that has just finished is free, though it may not have come to wait yet. */
static void one_work_at_a_time_never_starts_a_second_thread(void **state)
{
    struct number number = {0};
    begin(*state, 4);
    assert_int_equal(0, loop_work(*state, &number.work, do_nothing, on_done_one_more));
    run(*state);
    assert_int_equal(2000, number.value);
    assert_int_equal(1, loop_pool_threads(pool));
    end(*state);
}

/* Refusals. */

static void a_full_queue_refuses_work_and_changes_nothing(void **state)
{
    struct job blocker = {0}, a = {0}, b = {0}, refused = {0};
    struct loop_pool_options options = {.threads_max = 1, .queue_max = 2};
    begin_with(*state, &options);
    submit_blocker(&blocker);
    submit(&a, "a", do_nothing);
    submit(&b, "b", do_nothing);
    loop_request_unref(&blocker.work.request);
    loop_request_unref(&a.work.request);
    loop_request_unref(&b.work.request);
    assert_false(loop_alive(*state));
    refused.name = "refused";
    assert_int_equal(-EAGAIN, loop_work(*state, &refused.work, do_nothing, on_done));
    assert_false(loop_alive(*state));
    assert_int_equal(-EALREADY, loop_request_cancel(&refused.work.request));
    loop_request_ref(&blocker.work.request);
    loop_request_ref(&a.work.request);
    loop_request_ref(&b.work.request);
    open_gate(1);
    run(*state);
    assert_said("blocker-OK a-OK b-OK");
    submit(&refused, "refused", do_nothing);
    run(*state);
    assert_said("refused-OK");
    end(*state);
}

static void cancelling_makes_room_in_the_queue(void **state)
{
    struct job blocker = {0}, a = {0}, b = {0};
    struct loop_pool_options options = {.threads_max = 1, .queue_max = 1};
    begin_with(*state, &options);
    submit_blocker(&blocker);
    submit(&a, "a", do_nothing);
    assert_int_equal(-EAGAIN, loop_work(*state, &b.work, do_nothing, on_done));
    assert_int_equal(0, loop_request_cancel(&a.work.request));
    submit(&b, "b", do_nothing);
    open_gate(1);
    run(*state);
    assert_said("a-ECANCELED blocker-OK b-OK");
    end(*state);
}

/* No address space has room for such a stack. */
static void without_any_thread_work_is_refused(void **state)
{
    struct job job = {.name = "job"};
    struct loop_pool_options options = {.threads_max = 1, .stack_size = (size_t)1 << 47};
    begin_with(*state, &options);
    assert_int_equal(-EAGAIN, loop_work(*state, &job.work, do_nothing, on_done));
    assert_int_equal(0, loop_pool_threads(pool));
    assert_false(loop_alive(*state));
    assert_int_equal(-EALREADY, loop_request_cancel(&job.work.request));
    end(*state);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static void without_memory_work_is_refused(void **state)
{
    struct loop *loop = *state;
    struct job job = {.name = "job"};
    struct loop_allocator before = loop->options.allocator;
    begin(loop, 1);
    loop->options.allocator.resize = no_memory;
    assert_int_equal(-ENOMEM, loop_work(loop, &job.work, do_nothing, on_done));
    loop->options.allocator = before;
    assert_false(loop_alive(loop));
    submit(&job, "later", do_nothing);
    run(loop);
    assert_said("later-OK");
    end(loop);
}

static void what_is_required_is_asked_for(void **state)
{
    struct loop_work work = {0};
    assert_int_equal(-EINVAL, loop_work(NULL, &work, do_nothing, NULL));
    assert_int_equal(-EINVAL, loop_work(*state, NULL, do_nothing, NULL));
    assert_int_equal(-EINVAL, loop_work(*state, &work, NULL, NULL));
    assert_int_equal(-EINVAL, loop_work_class(*state, &work, LOOP_POOL_CLASSES, do_nothing, NULL));
    assert_int_equal(-EALREADY, loop_request_cancel(&work.request));
    assert_false(loop_alive(*state));
}

static void the_options_of_a_pool_have_limits(void **state)
{
    struct loop_pool *made = NULL;
    struct loop_pool_options too_long = {.name = "twelve-chars"};
    struct loop_pool_options too_many = {.threads_max = 1025};
    struct loop_pool_options least_over_most = {.threads_min = 3, .threads_max = 2};
    struct loop_pool_options just_so = {.threads_max = 1024, .name = "elevenchars"};
    (void)state;
    assert_int_equal(-ENAMETOOLONG, loop_pool_create(&made, &too_long));
    assert_int_equal(-EINVAL, loop_pool_create(&made, &too_many));
    assert_int_equal(-EINVAL, loop_pool_create(&made, &least_over_most));
    assert_int_equal(-EINVAL, loop_pool_create(NULL, &just_so));
    assert_null(made);
    assert_int_equal(0, loop_pool_create(&made, &just_so));
    assert_int_equal(0, loop_pool_threads(made));
    loop_pool_destroy(made);
    loop_pool_destroy(NULL);
}

static void submit_twice(void)
{
    static struct job job;
    struct loop_pool_options options = {.threads_max = 1};
    begin_with(the_loop, &options);
    submit(&job, "job", wait_at_the_gate);
    submit(&job, "job", wait_at_the_gate);
}

static void submitting_work_in_flight_panics(void **state)
{
    the_loop = *state;
    assert_panics(submit_twice, "the work request was started again before its callback");
}

/* Cancelling. */

static void say_that_it_ran(void *data)
{
    struct job *job = data;
    job->name = "it-ran";
}

static void work_canceled_before_it_began_never_runs(void **state)
{
    struct job blocker = {0}, a = {0};
    begin(*state, 1);
    submit_blocker(&blocker);
    submit(&a, "a", say_that_it_ran);
    assert_int_equal(0, loop_request_cancel(&a.work.request));
    assert_said("");
    assert_int_equal(1, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_said("a-ECANCELED");
    open_gate(1);
    run(*state);
    assert_said("blocker-OK");
    assert_string_equal("a", a.name);
    end(*state);
}

static void ask_at_the_gate(void *data)
{
    struct job *job = data;
    wait_at_the_gate(data);
    job->canceled = loop_work_canceled();
}

static void work_canceled_while_it_runs_is_told_so_and_completes_at_once(void **state)
{
    struct job running = {0};
    begin(*state, 1);
    submit(&running, "running", ask_at_the_gate);
    await_arrivals(1);
    assert_int_equal(0, loop_request_cancel(&running.work.request));
    assert_said("");
    assert_int_equal(0, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_said("running-ECANCELED");
    open_gate(1);
    loop_pool_destroy(pool); /* waits for the thread, so what it wrote can be read */
    assert_true(running.canceled);
    begin(*state, 1);
    end(*state);
    assert_said("");
}

static void work_that_nobody_cancelled_is_not_told_so(void **state)
{
    struct job a = {.canceled = true}, b = {0};
    begin(*state, 1);
    open_gate(1);
    submit(&a, "a", ask_at_the_gate);
    submit(&b, "b", do_nothing);
    run(*state);
    assert_false(a.canceled);
    assert_false(loop_work_canceled());
    assert_said("a-OK b-OK");
    end(*state);
}

static void the_late_outcome_of_canceled_work_is_dropped(void **state)
{
    struct job running = {0}, next = {0};
    begin(*state, 1);
    submit(&running, "running", wait_at_the_gate);
    await_arrivals(1);
    assert_int_equal(0, loop_request_cancel(&running.work.request));
    submit(&next, "next", do_nothing);
    open_gate(1);
    run(*state);
    assert_said("running-ECANCELED next-OK");
    end(*state);
}

/* Of a loop and of work that are both gone when the thread comes back with an outcome. */
static struct loop *loop_that_left_work_behind(bool *told)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct loop *loop = calloc(1, sizeof(*loop));
    struct job *job = calloc(1, sizeof(*job));
    assert_non_null(loop);
    assert_non_null(job);
    options.pool = pool;
    assert_int_equal(0, loop_init(loop, &options));
    job->work.request.data = told;
    job->name = "left";
    assert_int_equal(0, loop_work(loop, &job->work, wait_at_the_gate, on_done_free));
    await_arrivals(1);
    assert_int_equal(0, loop_request_cancel(&job->work.request));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("left-ECANCELED");
    return loop;
}

static void the_loop_may_be_finished_while_canceled_work_still_runs(void **state)
{
    begin(*state, 1);
    struct loop *loop = loop_that_left_work_behind(NULL);
    assert_int_equal(0, loop_fini(loop));
    free(loop);
    open_gate(1);
    end(*state);
}

/* The outcome waits in the mailbox of a loop that has no reason to run any more. */
static void the_loop_may_be_finished_when_canceled_work_has_come_home(void **state)
{
    struct job next = {0};
    begin(*state, 1);
    struct loop *loop = loop_that_left_work_behind(NULL);
    open_gate(1);
    submit(&next, "next", do_nothing);
    run(*state);
    assert_said("next-OK");
    int error = loop_fini(loop);
    free(loop);
    end(*state);
    assert_string_equal("OK", loop_error_name(error));
}

static void work_is_canceled_once(void **state)
{
    struct job blocker = {0}, a = {0};
    begin(*state, 1);
    submit_blocker(&blocker);
    submit(&a, "a", do_nothing);
    assert_int_equal(0, loop_request_cancel(&a.work.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&a.work.request));
    assert_int_equal(0, loop_request_cancel(&blocker.work.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&blocker.work.request));
    open_gate(1);
    run(*state);
    assert_said("a-ECANCELED blocker-ECANCELED");
    assert_int_equal(-EALREADY, loop_request_cancel(&a.work.request));
    end(*state);
}

static void on_done_cancel(struct loop_work *work, int status)
{
    on_done(work, status);
    say("%s", loop_error_name(loop_request_cancel(&work->request)));
}

static void work_that_is_done_cannot_be_canceled(void **state)
{
    struct job job = {.name = "a"};
    begin(*state, 1);
    assert_int_equal(0, loop_work(*state, &job.work, do_nothing, on_done_cancel));
    run(*state);
    assert_said("a-OK EALREADY");
    assert_int_equal(-EALREADY, loop_request_cancel(&job.work.request));
    end(*state);
}

static void work_without_a_callback_can_be_canceled(void **state)
{
    struct job blocker = {0};
    struct loop_work work = {0};
    begin(*state, 1);
    submit_blocker(&blocker);
    assert_int_equal(0, loop_work(*state, &work, do_nothing, NULL));
    assert_int_equal(0, loop_request_cancel(&work.request));
    open_gate(1);
    run(*state);
    assert_said("blocker-OK");
    end(*state);
}

/* Alive. */

static void unreferenced_work_lets_the_loop_end_but_not_be_finished(void **state)
{
    struct job job = {0};
    begin(*state, 1);
    submit(&job, "a", wait_at_the_gate);
    loop_request_unref(&job.work.request);
    assert_false(loop_alive(*state));
    run(*state);
    assert_said("");
    assert_int_equal(-EBUSY, loop_fini(*state));
    loop_request_ref(&job.work.request);
    assert_true(loop_alive(*state));
    open_gate(1);
    run(*state);
    assert_said("a-OK");
    end(*state);
}

static void count_at_the_gate(void *data)
{
    sem_wait(&gate);
    __atomic_add_fetch((uint64_t *)data, 1, __ATOMIC_RELAXED);
}

static void destroying_a_pool_waits_for_all_that_was_submitted(void **state)
{
    struct job jobs[50];
    uint64_t count = 0;
    memset(jobs, 0, sizeof(jobs));
    begin(*state, 2);
    for (size_t i = 0; i < ARRAY_LENGTH(jobs); i++) {
        jobs[i].work.request.data = &count;
        assert_int_equal(0, loop_work(*state, &jobs[i].work, count_at_the_gate, NULL));
    }
    open_gate((int)ARRAY_LENGTH(jobs));
    loop_pool_destroy(pool);
    assert_int_equal(ARRAY_LENGTH(jobs), count);
    begin(*state, 1);
    end(*state);
}

/* The shared pool. */

static void loops_share_a_pool_that_is_made_again_after_its_shutdown(void **state)
{
    struct loop other = {0};
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    assert_int_equal(0, loop_init(&other, &options));
    loop_pool_shutdown(); /* harmless: there is none */
    for (int round = 0; round < 2; round++) {
        struct number a = {.value = 1}, b = {.value = 2};
        a.work.request.data = &a;
        b.work.request.data = &b;
        assert_int_equal(0, loop_work(*state, &a.work, mix, NULL));
        assert_int_equal(0, loop_work(&other, &b.work, mix, NULL));
        run(*state);
        run(&other);
        assert_int_not_equal(1, a.value);
        assert_int_not_equal(2, b.value);
        loop_pool_shutdown();
    }
    assert_int_equal(0, loop_fini(&other));
}

static uint32_t threads_for(struct loop *loop, uint32_t work_count)
{
    struct job jobs[64];
    assert_true(work_count <= ARRAY_LENGTH(jobs));
    memset(jobs, 0, sizeof(jobs));
    begin_with(loop, NULL);
    for (uint32_t i = 0; i < work_count; i++) /* of two classes, as one may not have all threads */
        submit_class(&jobs[i], "job", i % 2 ? LOOP_POOL_CPU : LOOP_POOL_FS, wait_at_the_gate);
    uint32_t threads = loop_pool_threads(pool);
    open_gate((int)work_count);
    end(loop);
    said();
    return threads;
}

static void the_environment_says_how_many_threads_there_are_at_most(void **state)
{
    setenv("LOOP_POOL_THREADS", "2", 1);
    uint32_t two = threads_for(*state, 5);
    setenv("LOOP_POOL_THREADS", "7", 1);
    uint32_t seven = threads_for(*state, 9);
    unsetenv("LOOP_POOL_THREADS");
    assert_int_equal(2, two);
    assert_int_equal(7, seven);
}

static void what_the_environment_says_is_ignored_if_it_makes_no_sense(void **state)
{
    static const char *const senseless[] = {"0", "1025", "many", "", "-1"};
    cpu_set_t processors;
    assert_int_equal(0, sched_getaffinity(0, sizeof(processors), &processors));
    uint32_t least = (uint32_t)CPU_COUNT(&processors);
    uint32_t expected = least > 4 ? least : 4;
    if (expected >= 64)
        skip();
    for (size_t i = 0; i < ARRAY_LENGTH(senseless); i++) {
        setenv("LOOP_POOL_THREADS", senseless[i], 1);
        uint32_t threads = threads_for(*state, expected + 1);
        unsetenv("LOOP_POOL_THREADS");
        assert_int_equal(expected, threads);
    }
}

/* The virtual clock. */

static void on_timer(struct loop_timer *timer)
{
    say("timer-at-%d", (int)(loop_now(timer->handle.loop) / LOOP_SEC));
}

static void open_gate_later(void *data)
{
    (void)data;
    open_gate(1);
}

/* A free thread, which is slow; but a timer that is an hour away does not overtake it. */
static void a_virtual_clock_stands_still_while_work_is_in_flight(void **state)
{
    struct job first = {0}, second = {0};
    struct loop_pool_options options = {.threads_max = 2, .class_max[LOOP_POOL_CPU] = 2};
    struct loop_timer timer;
    begin_with(*state, &options);
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, 3600 * LOOP_SEC, 0, on_timer);
    submit(&first, "first", wait_at_the_gate);
    submit(&second, "second", open_gate_later);
    run(*state);
    const char *words = said();
    if (strcmp(words, "first-OK second-OK timer-at-3600") != 0)
        assert_string_equal("second-OK first-OK timer-at-3600", words);
    end(*state);
}

static void a_virtual_clock_does_not_wait_for_canceled_work(void **state)
{
    struct job job = {0};
    struct loop_timer timer;
    begin(*state, 1);
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, LOOP_SEC, 0, on_timer);
    submit_blocker(&job);
    assert_int_equal(0, loop_request_cancel(&job.work.request));
    run(*state);
    assert_said("blocker-ECANCELED timer-at-1");
    open_gate(1);
    end(*state);
}

/* A forked child. In it nobody may assert: it returns how far it came, 0 if all was well. */

struct forked {
    struct loop_work work;
    int completions;
    int status;
};

static struct forked at_home, running, waiting, of_second;
static struct loop second_loop;

static void on_done_count(struct loop_work *work, int status)
{
    struct forked *forked = loop_container_of(work, struct forked, work);
    forked->completions++;
    forked->status = status;
}

static void submit_forked(struct loop *loop, struct forked *forked, loop_work_fn fn)
{
    *forked = (struct forked){0};
    assert_int_equal(0, loop_work(loop, &forked->work, fn, on_done_count));
}

/* Work that is done and has come to the loop's mailbox, work that runs, and work that waits. */
static void begin_fork(struct loop *loop)
{
    struct loop_options options = test_options(LOOP_CLOCK_VIRTUAL);
    begin(loop, 1);
    submit_forked(loop, &at_home, do_nothing);
    submit_forked(loop, &running, wait_at_the_gate);
    await_arrivals(1);
    submit_forked(loop, &waiting, do_nothing);
    options.pool = pool;
    assert_int_equal(0, loop_init(&second_loop, &options));
    submit_forked(&second_loop, &of_second, do_nothing);
}

static void end_fork(struct loop *loop)
{
    struct forked *all[] = {&at_home, &running, &waiting, &of_second};
    open_gate(1);
    run(loop);
    run(&second_loop);
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
        assert_int_equal(1, all[i]->completions);
        assert_int_equal(0, all[i]->status);
    }
    assert_int_equal(0, loop_fini(&second_loop));
    end(loop);
}

static bool was_canceled(const struct forked *forked)
{
    return forked->completions == 1 && forked->status == -ECANCELED;
}

/* Of what was at home either may be told. */
static int cancel_all_and_go_on(void *arg)
{
    struct loop *loop = arg;
    struct forked new = {0};
    if (loop_run(loop, LOOP_RUN_DEFAULT) != -ECHILD || loop_after_fork(loop) != 0)
        return 1;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 2;
    if (at_home.completions != 1 || !was_canceled(&running) || !was_canceled(&waiting))
        return 3;
    if (loop_work(loop, &new.work, do_nothing, on_done_count) != 0)
        return 4;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0 || new.completions != 1 || new.status != 0)
        return 5;
    return loop_fini(loop) == 0 ? 0 : 6;
}

static void in_a_forked_child_work_completes_once_and_the_pool_goes_on(void **state)
{
    begin_fork(*state);
    in_child(cancel_all_and_go_on, *state);
    end_fork(*state);
}

/* A timer comes, since no work is left to wait for. */
static int run_two_virtual_loops(void *arg)
{
    struct loop *loops[] = {arg, &second_loop};
    for (size_t i = 0; i < ARRAY_LENGTH(loops); i++)
        if (loop_after_fork(loops[i]) != 0)
            return 1;
    for (size_t i = 0; i < ARRAY_LENGTH(loops); i++) {
        struct loop_timer timer;
        loop_timer_init(loops[i], &timer);
        loop_timer_start(&timer, LOOP_SEC, 0, on_timer);
        if (loop_run(loops[i], LOOP_RUN_DEFAULT) != 0 || strcmp("timer-at-1", said()) != 0)
            return 2;
    }
    return was_canceled(&of_second) ? 0 : 3;
}

static void in_a_forked_child_no_virtual_clock_waits_for_work_of_the_parent(void **state)
{
    begin_fork(*state);
    in_child(run_two_virtual_loops, *state);
    end_fork(*state);
}

static const struct CMUnitTest tests[] = {
    real_test(work_runs_on_another_thread_and_calls_back_in_the_poll_phase),
    real_test(the_threads_of_a_pool_take_no_signals),
    real_test(threads_bear_the_pools_name_of_which_it_keeps_a_copy),
    real_test(work_may_post_to_the_loop),
    real_test(one_thread_begins_work_in_the_order_of_its_submission),
    real_test(one_thread_completes_work_in_the_order_of_its_submission),
    real_test(the_number_of_threads_makes_no_difference_to_the_results),
    real_test(work_without_a_callback_runs_and_keeps_the_loop_alive),
    real_test(work_may_be_submitted_again_in_its_callback),
    real_test(work_may_be_freed_in_its_callback),
    real_test(a_pool_has_no_thread_before_its_first_work),
    real_test(threads_are_started_while_work_waits_up_to_the_limit),
    real_test(one_work_at_a_time_never_starts_a_second_thread),
    real_test(a_full_queue_refuses_work_and_changes_nothing),
    real_test(cancelling_makes_room_in_the_queue),
    real_test(without_any_thread_work_is_refused),
    real_test(without_memory_work_is_refused),
    real_test(what_is_required_is_asked_for),
    real_test(the_options_of_a_pool_have_limits),
    real_test(submitting_work_in_flight_panics),
    real_test(work_canceled_before_it_began_never_runs),
    real_test(work_canceled_while_it_runs_is_told_so_and_completes_at_once),
    real_test(work_that_nobody_cancelled_is_not_told_so),
    real_test(the_late_outcome_of_canceled_work_is_dropped),
    real_test(the_loop_may_be_finished_while_canceled_work_still_runs),
    real_test(the_loop_may_be_finished_when_canceled_work_has_come_home),
    real_test(work_is_canceled_once),
    real_test(work_that_is_done_cannot_be_canceled),
    real_test(work_without_a_callback_can_be_canceled),
    real_test(unreferenced_work_lets_the_loop_end_but_not_be_finished),
    real_test(destroying_a_pool_waits_for_all_that_was_submitted),
    real_test(loops_share_a_pool_that_is_made_again_after_its_shutdown),
    real_test(the_environment_says_how_many_threads_there_are_at_most),
    real_test(what_the_environment_says_is_ignored_if_it_makes_no_sense),
    virtual_test(a_virtual_clock_stands_still_while_work_is_in_flight),
    virtual_test(a_virtual_clock_does_not_wait_for_canceled_work),
    real_test(in_a_forked_child_work_completes_once_and_the_pool_goes_on),
    virtual_test(in_a_forked_child_no_virtual_clock_waits_for_work_of_the_parent),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
