/* Pools: their threads, their classes, their figures.
 *
 * A pool starts a thread when work waits and none is free, up to its limit. A thread beyond the
 * minimum that is idle for long enough ends, and another is started when there is work again. If no
 * thread can be had work waits for those that are there, and is refused if there are none.
 *
 * Of each class of work only so many threads may run some at once: by default half of them for
 * names and all but one for the others, so that no class can keep another from its turn. Work
 * beyond that waits until some of its class has ended, and is overtaken by other classes. Otherwise
 * work begins in the order of its submission, whatever its class and its loop.
 *
 * However many threads sleep, a burst of work wakes as many as it needs, and no submission is ever
 * left behind a thread that falls asleep, or ends, at that moment. Work that takes long holds up
 * nothing that another thread could do.
 *
 * The figures of a pool are of one moment: all that was submitted is queued, running, done or
 * canceled.
 *
 * A worker is held up at a gate, a semaphore, and says on another when it has come there.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct loop_pool *pool;
static struct loop *the_loop;
static sem_t gate;
static sem_t arrived;

struct job {
    struct loop_work work;
    int completions;
    int status;
};

static void begin(struct loop *loop, struct loop_pool_options options)
{
    assert_int_equal(0, loop_pool_create(&pool, &options));
    loop->options.pool = pool;
    the_loop = loop;
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void end(struct loop *loop)
{
    run(loop);
    loop_pool_destroy(pool);
    loop->options.pool = NULL;
    sem_destroy(&gate);
    sem_destroy(&arrived);
}

static void do_nothing(void *data)
{
    (void)data;
}

static void wait_at_the_gate(void *data)
{
    (void)data;
    sem_post(&arrived);
    sem_wait(&gate);
}

static void open_gate(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sem_post(&gate);
}

static void await_arrivals(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sem_wait(&arrived);
}

static int arrivals(void)
{
    int count;
    sem_getvalue(&arrived, &count);
    return count;
}

static void on_done(struct loop_work *work, int status)
{
    struct job *job = loop_container_of(work, struct job, work);
    job->completions++;
    job->status = status;
}

static void submit(struct job *job, enum loop_pool_class kind, loop_work_fn fn)
{
    *job = (struct job){0};
    assert_int_equal(0, loop_work_class(the_loop, &job->work, kind, fn, on_done));
}

static void submit_all(struct job *jobs, uint32_t count, enum loop_pool_class kind, loop_work_fn fn)
{
    for (uint32_t i = 0; i < count; i++)
        submit(&jobs[i], kind, fn);
}

static void assert_all_done(const struct job *jobs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(1, jobs[i].completions);
        assert_int_equal(0, jobs[i].status);
    }
}

static struct loop_pool_stats stats(void)
{
    struct loop_pool_stats stats;
    loop_pool_stats(pool, &stats);
    return stats;
}

/* Without a clock: the test hangs if it does not happen. */
static void await_threads(uint32_t count)
{
    while (loop_pool_threads(pool) != count)
        sched_yield();
}

static void await_idle(uint32_t count)
{
    while (stats().idle != count)
        sched_yield();
}

/* Classes. */

static void assert_caps(struct loop *loop, struct loop_pool_options options, const uint32_t caps[3])
{
    begin(loop, options);
    struct loop_pool_stats figures = stats();
    for (size_t kind = 0; kind < LOOP_POOL_CLASSES; kind++)
        assert_int_equal(caps[kind], figures.of[kind].threads_max);
    end(loop);
}

static void by_default_names_have_half_of_the_threads_and_others_all_but_one(void **state)
{
    assert_caps(*state, (struct loop_pool_options){.threads_max = 1}, (uint32_t[]){1, 1, 1});
    assert_caps(*state, (struct loop_pool_options){.threads_max = 2}, (uint32_t[]){1, 1, 1});
    assert_caps(*state, (struct loop_pool_options){.threads_max = 3}, (uint32_t[]){2, 2, 1});
    assert_caps(*state, (struct loop_pool_options){.threads_max = 8}, (uint32_t[]){7, 7, 4});
}

static void a_cap_can_be_chosen_and_is_never_more_than_all_threads(void **state)
{
    struct loop_pool_options options = {.threads_max = 4};
    options.class_max[LOOP_POOL_CPU] = 4;
    options.class_max[LOOP_POOL_FS] = 1;
    options.class_max[LOOP_POOL_DNS] = UINT32_MAX;
    assert_caps(*state, options, (uint32_t[]){4, 1, 4});
}

/* One more than may run: it neither begins nor has a thread started, until one has ended. */
static void assert_cap_holds(struct loop *loop, struct loop_pool_options options,
                             enum loop_pool_class kind, uint32_t cap)
{
    struct job jobs[8];
    begin(loop, options);
    submit_all(jobs, cap + 1, kind, wait_at_the_gate);
    await_arrivals(cap);
    assert_int_equal(cap, loop_pool_threads(pool));
    assert_int_equal(cap, stats().of[kind].running);
    assert_int_equal(1, stats().of[kind].queued);
    assert_int_equal(0, arrivals());
    open_gate(1);
    await_arrivals(1);
    assert_int_equal(cap, loop_pool_threads(pool));
    open_gate(cap);
    end(loop);
    assert_all_done(jobs, cap + 1);
}

static void work_beyond_the_cap_of_its_class_waits_for_its_own(void **state)
{
    struct loop_pool_options options = {.threads_max = 4};
    assert_cap_holds(*state, options, LOOP_POOL_CPU, 3);
    assert_cap_holds(*state, options, LOOP_POOL_FS, 3);
    assert_cap_holds(*state, options, LOOP_POOL_DNS, 2);
    options.class_max[LOOP_POOL_CPU] = 4;
    options.class_max[LOOP_POOL_FS] = 1;
    options.class_max[LOOP_POOL_DNS] = 3;
    assert_cap_holds(*state, options, LOOP_POOL_CPU, 4);
    assert_cap_holds(*state, options, LOOP_POOL_FS, 1);
    assert_cap_holds(*state, options, LOOP_POOL_DNS, 3);
}

/* Ten of one class, all held up: work of the others is done all the same. */
static void no_class_keeps_another_from_its_turn(void **state)
{
    for (enum loop_pool_class hog = 0; hog < LOOP_POOL_CLASSES; hog++) {
        struct job hogs[10], others[20];
        begin(*state, (struct loop_pool_options){.threads_max = 4});
        submit_all(hogs, 10, hog, wait_at_the_gate);
        for (uint32_t i = 0; i < 20; i++)
            submit(&others[i], (hog + 1 + i % 2) % LOOP_POOL_CLASSES, do_nothing);
        for (uint32_t i = 0; i < 20; i++)
            while (others[i].completions == 0)
                assert_int_equal(1, loop_run(*state, LOOP_RUN_ONCE));
        assert_all_done(others, 20);
        open_gate(10);
        end(*state);
        assert_all_done(hogs, 10);
    }
}

/* Order. */

enum { MANY = 300 };

static const void *begun[2 * MANY];
static size_t begun_count; /* of one thread, or read when all have ended */

static void note_order(void *data)
{
    begun[begun_count++] = data;
}

static void one_thread_begins_work_of_all_classes_in_the_order_of_its_submission(void **state)
{
    static struct job jobs[MANY];
    struct job blocker;
    begin(*state, (struct loop_pool_options){.threads_max = 1});
    begun_count = 0;
    submit(&blocker, LOOP_POOL_CPU, wait_at_the_gate);
    for (size_t i = 0; i < MANY; i++) {
        jobs[i] = (struct job){.work.request.data = &jobs[i]};
        assert_int_equal(0, loop_work_class(*state, &jobs[i].work, i * 7 % 3, note_order, on_done));
    }
    open_gate(1);
    end(*state);
    assert_int_equal(MANY, begun_count);
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(&jobs[i], begun[i]);
}

/* Every third is taken back, some before a thread has ever looked. */
static void what_is_canceled_leaves_the_order_of_the_others(void **state)
{
    static struct job jobs[MANY];
    struct job blocker;
    begin(*state, (struct loop_pool_options){.threads_max = 1});
    begun_count = 0;
    submit(&blocker, LOOP_POOL_CPU, wait_at_the_gate);
    await_arrivals(1);
    for (size_t i = 0; i < MANY; i++) {
        jobs[i] = (struct job){.work.request.data = &jobs[i]};
        assert_int_equal(0, loop_work(*state, &jobs[i].work, note_order, on_done));
        if (i % 3 == 2)
            assert_int_equal(0, loop_request_cancel(&jobs[i - 1].work.request));
    }
    open_gate(1);
    end(*state);
    size_t next = 0;
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(1, jobs[i].completions);
        assert_int_equal(i % 3 == 1 ? -ECANCELED : 0, jobs[i].status);
        if (i % 3 != 1)
            assert_ptr_equal(&jobs[i], begun[next++]);
    }
    assert_int_equal(begun_count, next);
}

/* Threads. */

static void a_burst_wakes_as_many_threads_as_it_needs(void **state)
{
    struct loop_pool_options options = {.threads_max = 8, .class_max[LOOP_POOL_CPU] = 8};
    struct job jobs[8];
    begin(*state, options);
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t count = round % 8 + 1;
        if (round >= 8)
            await_idle(8);
        submit_all(jobs, count, LOOP_POOL_CPU, wait_at_the_gate);
        await_arrivals(count);
        open_gate(count);
        run(*state);
        assert_all_done(jobs, count);
    }
    end(*state);
}

/* One of two threads is held up, and that before the other has begun. */
static void work_that_takes_long_holds_up_nothing_behind_it(void **state)
{
    static struct job jobs[MANY];
    struct job slow;
    begin(*state, (struct loop_pool_options){.threads_max = 2, .class_max[LOOP_POOL_CPU] = 2});
    submit(&slow, LOOP_POOL_CPU, wait_at_the_gate);
    submit_all(jobs, MANY, LOOP_POOL_CPU, do_nothing);
    for (size_t i = 0; i < MANY; i++)
        while (jobs[i].completions == 0)
            assert_int_equal(1, loop_run(*state, LOOP_RUN_ONCE));
    assert_int_equal(0, slow.completions);
    open_gate(1);
    end(*state);
    assert_int_equal(1, slow.completions);
}

static void idle_threads_end_and_come_back(void **state)
{
    struct loop_pool_options options = {.threads_max = 4,
                                        .idle_ns = LOOP_US,
                                        .class_max[LOOP_POOL_CPU] = 4};
    struct job jobs[4];
    begin(*state, options);
    for (int round = 0; round < 50; round++) {
        submit_all(jobs, 4, LOOP_POOL_CPU, wait_at_the_gate);
        await_arrivals(4);
        assert_int_equal(4, loop_pool_threads(pool));
        open_gate(4);
        run(*state);
        await_threads(0);
        assert_all_done(jobs, 4);
    }
    end(*state);
}

static void the_least_number_of_threads_stays(void **state)
{
    struct loop_pool_options options = {.threads_min = 2,
                                        .threads_max = 4,
                                        .idle_ns = 1,
                                        .class_max[LOOP_POOL_CPU] = 4};
    struct job jobs[4];
    begin(*state, options);
    assert_int_equal(0, loop_pool_threads(pool));
    for (uint32_t round = 0; round < 50; round++) {
        submit_all(jobs, 4, LOOP_POOL_CPU, wait_at_the_gate);
        await_arrivals(4);
        open_gate(4);
        run(*state);
        await_threads(2);
        await_idle(2);
        assert_int_equal(2, loop_pool_threads(pool));
    }
    end(*state);
}

static void without_an_idle_time_threads_stay(void **state)
{
    struct loop_pool_options options = {.threads_max = 3, .class_max[LOOP_POOL_CPU] = 3};
    struct job jobs[3];
    begin(*state, options);
    submit_all(jobs, 3, LOOP_POOL_CPU, wait_at_the_gate);
    await_arrivals(3);
    open_gate(3);
    run(*state);
    await_idle(3);
    assert_int_equal(3, loop_pool_threads(pool));
    end(*state);
}

/* In a child, which nobody can be asked to give another thread. Returns how far it came. */

static struct loop child_loop;

static bool no_more_threads(void)
{
    struct rlimit none = {0, 0};
    return (getuid() != 0 || setuid(65534) == 0) && setrlimit(RLIMIT_NPROC, &none) == 0;
}

static int submit_in_child(struct job *job, loop_work_fn fn)
{
    *job = (struct job){0};
    return loop_work_class(&child_loop, &job->work, LOOP_POOL_CPU, fn, on_done);
}

static int open_child_loop(void)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct loop_pool_options pool_options = {.threads_max = 4};
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
    if (loop_pool_create(&pool, &pool_options) != 0)
        return 1;
    options.pool = pool;
    return loop_init(&child_loop, &options);
}

static int get_none(void *arg)
{
    struct job job;
    (void)arg;
    if (open_child_loop() != 0 || !no_more_threads())
        return 1;
    if (submit_in_child(&job, do_nothing) != -EAGAIN || loop_alive(&child_loop))
        return 2;
    if (loop_pool_threads(pool) != 0 || stats().of[LOOP_POOL_CPU].queued != 0)
        return 3;
    loop_pool_destroy(pool);
    return loop_fini(&child_loop);
}

static int get_one(void *arg)
{
    struct job first, second, third;
    (void)arg;
    if (open_child_loop() != 0)
        return 1;
    if (submit_in_child(&first, wait_at_the_gate) != 0)
        return 2;
    await_arrivals(1);
    if (!no_more_threads())
        return 3;
    if (submit_in_child(&second, do_nothing) != 0 || submit_in_child(&third, do_nothing) != 0)
        return 4;
    if (loop_pool_threads(pool) != 1)
        return 5;
    open_gate(1);
    if (loop_run(&child_loop, LOOP_RUN_DEFAULT) != 0)
        return 6;
    if (first.completions != 1 || second.completions != 1 || third.completions != 1)
        return 7;
    loop_pool_destroy(pool);
    return loop_fini(&child_loop);
}

static void where_no_thread_can_be_had_work_is_refused(void **state)
{
    (void)state;
    in_child(get_none, NULL);
}

static void where_no_more_threads_can_be_had_one_does_it_all(void **state)
{
    (void)state;
    in_child(get_one, NULL);
}

static void by_default_65536_may_wait_and_no_more(void **state)
{
    enum { DEFAULT = 65536 };
    struct job *jobs = calloc(DEFAULT + 1, sizeof(*jobs));
    struct job blocker;
    assert_non_null(jobs);
    begin(*state, (struct loop_pool_options){.threads_max = 1});
    submit(&blocker, LOOP_POOL_CPU, wait_at_the_gate);
    await_arrivals(1);
    submit_all(jobs, DEFAULT, LOOP_POOL_CPU, do_nothing);
    assert_int_equal(-EAGAIN, loop_work(*state, &jobs[DEFAULT].work, do_nothing, on_done));
    assert_int_equal(DEFAULT, stats().of[LOOP_POOL_CPU].queued);
    open_gate(1);
    end(*state);
    assert_all_done(jobs, DEFAULT);
    free(jobs);
}

/* Figures. */

static uint64_t sum(const uint64_t buckets[LOOP_POOL_BUCKETS])
{
    uint64_t sum = 0;
    for (size_t i = 0; i < LOOP_POOL_BUCKETS; i++)
        sum += buckets[i];
    return sum;
}

static void assert_figures(enum loop_pool_class kind, uint32_t queued, uint32_t running,
                           uint64_t done, uint64_t canceled)
{
    struct loop_pool_stats figures = stats();
    assert_int_equal(queued, figures.of[kind].queued);
    assert_int_equal(running, figures.of[kind].running);
    assert_int_equal(done, figures.of[kind].done);
    assert_int_equal(canceled, figures.of[kind].canceled);
    assert_int_equal(done, sum(figures.of[kind].wait));
    assert_int_equal(done, sum(figures.of[kind].run));
}

static void the_figures_add_up(void **state)
{
    struct job fs[6], names[3];
    begin(*state, (struct loop_pool_options){.threads_max = 4, .time_one_in = 1});
    submit_all(fs, 6, LOOP_POOL_FS, wait_at_the_gate);
    submit_all(names, 3, LOOP_POOL_DNS, do_nothing);
    await_arrivals(3);
    assert_figures(LOOP_POOL_FS, 3, 3, 0, 0);
    assert_int_equal(0, loop_request_cancel(&fs[5].work.request)); /* it waits */
    assert_figures(LOOP_POOL_FS, 2, 3, 0, 1);
    assert_int_equal(0, loop_request_cancel(&fs[0].work.request)); /* it runs, to its end */
    assert_figures(LOOP_POOL_FS, 2, 3, 0, 1);
    open_gate(5);
    run(*state);
    loop_pool_stats(pool, &(struct loop_pool_stats){0});
    while (stats().of[LOOP_POOL_FS].running > 0) /* what was canceled */
        sched_yield();
    assert_figures(LOOP_POOL_FS, 0, 0, 5, 1);
    assert_figures(LOOP_POOL_DNS, 0, 0, 3, 0);
    assert_figures(LOOP_POOL_CPU, 0, 0, 0, 0);
    await_idle(stats().threads);
    assert_int_equal(loop_pool_threads(pool), stats().threads);
    end(*state);
}

static void be_busy(void *data)
{
    (void)data;
    busy_ns(3 * LOOP_MS);
}

/* Of 3 ms at least, so from 2^21 ns on; the machine may have made it any longer. */
static void a_duration_is_counted_in_the_bucket_of_its_magnitude(void **state)
{
    struct job job;
    begin(*state, (struct loop_pool_options){.threads_max = 1, .time_one_in = 1});
    submit(&job, LOOP_POOL_CPU, be_busy);
    run(*state);
    struct loop_pool_stats figures = stats();
    for (size_t i = 0; i < 21; i++)
        assert_int_equal(0, figures.of[LOOP_POOL_CPU].run[i]);
    assert_int_equal(1, sum(figures.of[LOOP_POOL_CPU].run));
    end(*state);
}

static void one_job_in_so_many_is_timed(void **state)
{
    static struct job jobs[MANY];
    static const uint32_t one_in[] = {1, 7, 0};
    static const uint64_t timed[] = {MANY, MANY / 7, MANY / 61};
    for (size_t i = 0; i < ARRAY_LENGTH(one_in); i++) {
        begin(*state, (struct loop_pool_options){.threads_max = 2, .time_one_in = one_in[i]});
        submit_all(jobs, MANY, LOOP_POOL_CPU, do_nothing);
        run(*state);
        assert_int_equal(MANY, stats().of[LOOP_POOL_CPU].done);
        assert_int_equal(timed[i], sum(stats().of[LOOP_POOL_CPU].wait));
        end(*state);
    }
}

static void the_shared_pool_has_figures_too(void **state)
{
    struct loop_pool_stats figures;
    struct job job = {0};
    loop_pool_stats(NULL, &figures);
    assert_int_equal(0, figures.threads);
    assert_int_equal(0, figures.of[LOOP_POOL_CPU].threads_max);
    assert_int_equal(0, loop_work(*state, &job.work, do_nothing, on_done));
    run(*state);
    loop_pool_stats(NULL, &figures);
    assert_int_equal(1, figures.threads);
    assert_int_equal(1, figures.of[LOOP_POOL_CPU].done);
}

/* Many threads. */

static void pause_shortly(void)
{
    __asm__ volatile("" ::: "memory");
}

enum { LOOPS = 2, ROUNDS = 20000, IN_FLIGHT = 16 };

struct client {
    pthread_t thread;
    struct loop loop;
    struct loop_work works[IN_FLIGHT];
    uint32_t random;
    uint32_t begun;
    uint32_t completions;
    uint32_t canceled;
    bool chairs; /* says when they meet for the last time */
    int error;
};

static uint32_t next_random(struct client *client)
{
    client->random = client->random * 1664525 + 1013904223;
    return client->random >> 16;
}

static void on_client_done(struct loop_work *work, int status);

static void submit_one(struct client *client, struct loop_work *work)
{
    work->request.data = client;
    client->begun++;
    int error = loop_work_class(&client->loop, work, next_random(client) % LOOP_POOL_CLASSES,
                                do_nothing, on_client_done);
    client->error = error ? error : client->error;
    if (next_random(client) % 8 == 0)
        loop_request_cancel(&client->works[next_random(client) % IN_FLIGHT].request);
}

static void on_client_done(struct loop_work *work, int status)
{
    struct client *client = work->request.data;
    client->completions++;
    client->canceled += status == -ECANCELED;
    for (uint32_t spin = next_random(client) % 64 * (next_random(client) % 16); spin > 0; spin--)
        pause_shortly();
    if (client->begun < ROUNDS)
        submit_one(client, work);
}

static void *client_main(void *arg)
{
    struct client *client = arg;
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    options.pool = pool;
    client->error = loop_init(&client->loop, &options);
    for (size_t i = 0; i < IN_FLIGHT && !client->error; i++)
        submit_one(client, &client->works[i]);
    if (loop_run(&client->loop, LOOP_RUN_DEFAULT) != 0 || loop_fini(&client->loop) != 0)
        client->error = -EBUSY;
    return NULL;
}

static void serve_clients(struct loop *loop, struct loop_pool_options options)
{
    static struct client clients[LOOPS];
    begin(loop, options);
    for (uint32_t i = 0; i < LOOPS; i++) {
        memset(&clients[i], 0, sizeof(clients[i]));
        clients[i].random = i + 1;
        pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
    }
    uint64_t begun_by_all = 0;
    for (uint32_t i = 0; i < LOOPS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(0, clients[i].error);
        assert_int_equal(clients[i].begun, clients[i].completions);
        begun_by_all += clients[i].begun;
    }
    uint64_t accounted = 0;
    while (stats().of[0].running + stats().of[1].running + stats().of[2].running > 0)
        sched_yield();
    for (size_t kind = 0; kind < LOOP_POOL_CLASSES; kind++)
        accounted += stats().of[kind].done + stats().of[kind].canceled;
    assert_int_equal(begun_by_all, accounted);
    end(loop);
}

static void two_loops_in_two_threads_share_a_pool(void **state)
{
    serve_clients(*state, (struct loop_pool_options){.threads_max = 4});
}

static void two_loops_share_threads_that_end_whenever_they_can(void **state)
{
    serve_clients(*state, (struct loop_pool_options){.threads_max = 3, .idle_ns = 1});
}

/* One or two at a time, submitted after a pause of any length: whatever the thread is about to do
 * then, fall asleep, end or look, it hears of it. If it does not, this test never ends. */

enum { LITMUS_ROUNDS = 100000, LITMUS_ROUNDS_MIN = 100, LITMUS_TIME_S = 5 };

static struct client *lone;
static uint64_t litmus_start_ns;

/* Where each round has to wait for a processor they are cut short: there they say little. */
static bool is_enough(const struct loop *loop, uint32_t rounds)
{
    return rounds >= LITMUS_ROUNDS_MIN &&
           loop_now(loop) - litmus_start_ns > LITMUS_TIME_S * LOOP_SEC;
}

static void begin_litmus(struct loop *loop)
{
    loop_update_now(loop);
    litmus_start_ns = loop_now(loop);
}

static void on_lone_done(struct loop_work *work, int status)
{
    lone->error = status ? status : lone->error;
    for (uint32_t spin = next_random(lone) % 2048; spin > 0; spin--)
        pause_shortly();
    if (++lone->completions >= LITMUS_ROUNDS || is_enough(the_loop, lone->completions))
        return;
    lone->begun++;
    assert_int_equal(0, loop_work(the_loop, work, do_nothing, on_lone_done));
}

static void submit_few_at_a_time(struct loop *loop, uint32_t in_flight,
                                 struct loop_pool_options options)
{
    struct client client = {.random = 1, .begun = in_flight};
    begin(loop, options);
    begin_litmus(loop);
    lone = &client;
    for (uint32_t i = 0; i < in_flight; i++)
        assert_int_equal(0, loop_work(loop, &client.works[i], do_nothing, on_lone_done));
    run(loop);
    assert_int_equal(client.begun, client.completions);
    assert_int_equal(0, client.error);
    end(loop);
}

static void no_submission_is_left_behind_a_thread_that_falls_asleep(void **state)
{
    submit_few_at_a_time(*state, 1, (struct loop_pool_options){.threads_max = 1});
    submit_few_at_a_time(*state, 1, (struct loop_pool_options){.threads_max = 4});
}

static void no_submission_is_left_behind_a_thread_that_ends(void **state)
{
    submit_few_at_a_time(*state, 1, (struct loop_pool_options){.threads_max = 1, .idle_ns = 1});
    submit_few_at_a_time(*state, 1, (struct loop_pool_options){.threads_max = 2, .idle_ns = 20000});
}

/* Of two threads one may run it: who submits while it ends some work need not wake the other. */
static void no_submission_is_left_behind_the_last_of_its_class_that_ends(void **state)
{
    submit_few_at_a_time(*state, 2, (struct loop_pool_options){.threads_max = 2});
    submit_few_at_a_time(*state, 3, (struct loop_pool_options){.threads_max = 3, .idle_ns = 1});
}

/* Two loops submit one each, at any distance, and then wait for both: no later submission of the
 * other makes good for one that was left behind. */

enum { MEETINGS = 20000 };

static uint32_t came_to_meeting, last_meeting;

static void meet(uint32_t round)
{
    __atomic_add_fetch(&came_to_meeting, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&came_to_meeting, __ATOMIC_SEQ_CST) < LOOPS * (round + 1))
        sched_yield();
}

static void *meet_often(void *arg)
{
    struct client *client = arg;
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    options.pool = pool;
    client->error = loop_init(&client->loop, &options);
    for (uint32_t round = 0; round <= __atomic_load_n(&last_meeting, __ATOMIC_SEQ_CST); round++) {
        uint32_t pause = next_random(client); /* up to some 30 us */
        for (uint32_t spin = pause; spin > 0; spin--)
            pause_shortly();
        int error = loop_work(&client->loop, &client->works[0], do_nothing, NULL);
        client->error = error ? error : client->error;
        client->begun++;
        loop_run(&client->loop, LOOP_RUN_DEFAULT);
        if (client->chairs && is_enough(&client->loop, round))
            __atomic_store_n(&last_meeting, round, __ATOMIC_SEQ_CST);
        meet(round);
    }
    if (loop_fini(&client->loop) != 0)
        client->error = -EBUSY;
    return NULL;
}

static void nothing_is_left_behind_that_another_loop_does_not_make_good_for(void **state)
{
    static struct client clients[LOOPS];
    begin(*state, (struct loop_pool_options){.threads_max = 1});
    begin_litmus(*state);
    came_to_meeting = 0;
    last_meeting = MEETINGS - 1;
    for (uint32_t i = 0; i < LOOPS; i++) {
        clients[i] = (struct client){.random = i + 1, .chairs = i == 0};
        pthread_create(&clients[i].thread, NULL, meet_often, &clients[i]);
    }
    for (uint32_t i = 0; i < LOOPS; i++)
        pthread_join(clients[i].thread, NULL);
    for (uint32_t i = 0; i < LOOPS; i++)
        assert_int_equal(0, clients[i].error);
    assert_int_equal(LOOPS * (last_meeting + 1), clients[0].begun + clients[1].begun);
    assert_int_equal(LOOPS * (last_meeting + 1), stats().of[LOOP_POOL_CPU].done);
    end(*state);
}

static const struct CMUnitTest tests[] = {
    real_test(by_default_names_have_half_of_the_threads_and_others_all_but_one),
    real_test(a_cap_can_be_chosen_and_is_never_more_than_all_threads),
    real_test(work_beyond_the_cap_of_its_class_waits_for_its_own),
    real_test(no_class_keeps_another_from_its_turn),
    real_test(one_thread_begins_work_of_all_classes_in_the_order_of_its_submission),
    real_test(what_is_canceled_leaves_the_order_of_the_others),
    real_test(a_burst_wakes_as_many_threads_as_it_needs),
    real_test(work_that_takes_long_holds_up_nothing_behind_it),
    real_test(idle_threads_end_and_come_back),
    real_test(the_least_number_of_threads_stays),
    real_test(without_an_idle_time_threads_stay),
    real_test(where_no_thread_can_be_had_work_is_refused),
    real_test(where_no_more_threads_can_be_had_one_does_it_all),
    real_test(by_default_65536_may_wait_and_no_more),
    real_test(the_figures_add_up),
    real_test(a_duration_is_counted_in_the_bucket_of_its_magnitude),
    real_test(one_job_in_so_many_is_timed),
    real_test(the_shared_pool_has_figures_too),
    real_test(two_loops_in_two_threads_share_a_pool),
    real_test(two_loops_share_threads_that_end_whenever_they_can),
    real_test(no_submission_is_left_behind_a_thread_that_falls_asleep),
    real_test(no_submission_is_left_behind_a_thread_that_ends),
    real_test(no_submission_is_left_behind_the_last_of_its_class_that_ends),
    real_test(nothing_is_left_behind_that_another_loop_does_not_make_good_for),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
