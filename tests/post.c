/* Posted tasks: the one way into a loop from anywhere.
 *
 * loop_post() may be called on the loop's own thread, on any other, and in a signal handler. The
 * task runs once, in the poll phase, behind the descriptors that were ready, in the order of one
 * thread's calls; a loop that sleeps is woken for it. What a posted task posts waits for the next
 * turn. A queued one keeps the loop alive unless it is unreferenced. It can be cancelled until it
 * runs, wherever it waits: in the mailbox, among those fetched from it, or behind the one that
 * runs. Between two calls of loop_run() a post makes the descriptor readable by which another loop
 * hosts this one. Queueing a task twice panics.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct letter {
    struct loop_task task;
    struct loop_task tick;
    const char *word;
    struct letter *other;
};

static struct letter *letter_of(struct loop_task *task)
{
    return loop_container_of(task, struct letter, task);
}

static void on_letter(struct loop_task *task)
{
    say("%s", letter_of(task)->word);
}

static void post(struct loop *loop, struct letter *letter, const char *word, loop_task_cb cb)
{
    letter->word = word;
    assert_int_equal(0, loop_post(loop, &letter->task, cb));
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

/* Where and when. */

static void on_phase(struct loop_task *task)
{
    say("%s", loop_phase_name(loop_phase(task->loop)));
}

static void a_task_posted_before_the_first_run_runs_in_its_poll_phase(void **state)
{
    struct loop_task task = {0};
    assert_int_equal(0, loop_post(*state, &task, on_phase));
    assert_said("");
    run(*state);
    assert_said("poll");
}

static void on_timer_post(struct loop_timer *timer)
{
    say("%s", loop_phase_name(loop_phase(timer->handle.loop)));
    loop_post(timer->handle.loop, timer->handle.data, on_phase);
}

static void a_task_posted_in_another_phase_runs_in_the_poll_phase(void **state)
{
    struct loop_task task = {0};
    struct loop_timer timer = {.handle.data = &task};
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, LOOP_MS, 0, on_timer_post);
    run(*state);
    assert_said("timers poll");
}

static void tasks_run_in_the_order_of_the_calls(void **state)
{
    struct letter a = {0}, b = {0}, c = {0};
    post(*state, &b, "b", on_letter);
    post(*state, &a, "a", on_letter);
    post(*state, &c, "c", on_letter);
    run(*state);
    assert_said("b a c");
}

static void on_tick(struct loop_task *tick)
{
    say("tick-%s", loop_container_of(tick, struct letter, tick)->word);
}

static void on_letter_tick(struct loop_task *task)
{
    on_letter(task);
    loop_next_tick(task->loop, &letter_of(task)->tick, on_tick);
}

static void the_ticks_of_a_task_run_before_the_next_task(void **state)
{
    struct letter a = {0}, b = {0};
    post(*state, &a, "a", on_letter_tick);
    post(*state, &b, "b", on_letter_tick);
    run(*state);
    assert_said("a tick-a b tick-b");
}

static void on_readable(struct loop_poll *poll_handle, int status, uint32_t events)
{
    assert_int_equal(0, status);
    assert_int_equal(LOOP_READABLE, events);
    say("readable");
    loop_poll_stop(poll_handle);
}

static void tasks_run_behind_the_descriptors_that_were_ready(void **state)
{
    int ends[2];
    struct letter a = {0};
    struct loop_poll readable;
    assert_int_equal(0, pipe(ends));
    assert_int_equal(1, write(ends[1], "x", 1));
    post(*state, &a, "posted", on_letter);
    loop_poll_init(*state, &readable, ends[0]);
    assert_int_equal(0, loop_poll_start(&readable, LOOP_READABLE, on_readable));
    run(*state);
    assert_said("readable posted");
    close(ends[0]);
    close(ends[1]);
}

static void on_turn(struct loop_task *task)
{
    say("%s-in-turn-%d", letter_of(task)->word, (int)loop_turn(task->loop));
}

static void on_turn_post_other(struct loop_task *task)
{
    on_turn(task);
    post(task->loop, letter_of(task)->other, "then", on_turn);
}

static void what_a_posted_task_posts_waits_for_the_next_turn(void **state)
{
    struct letter a = {0}, b = {0}, c = {0};
    a.other = &b;
    post(*state, &a, "a", on_turn_post_other);
    post(*state, &c, "c", on_turn);
    run(*state);
    assert_said("a-in-turn-1 c-in-turn-1 then-in-turn-2");
}

static void a_task_may_post_itself_again(void **state)
{
    struct letter a = {0};
    a.other = &a;
    post(*state, &a, "first", on_turn_post_other);
    assert_int_equal(1, loop_run(*state, LOOP_RUN_ONCE));
    assert_said("first-in-turn-1");
    assert_int_equal(0, loop_run(*state, LOOP_RUN_ONCE));
    assert_said("then-in-turn-2");
}

static void on_letter_free(struct loop_task *task)
{
    on_letter(task);
    free(letter_of(task));
}

static void a_task_may_be_freed_in_its_callback(void **state)
{
    struct letter *letter = calloc(1, sizeof(*letter));
    assert_non_null(letter);
    post(*state, letter, "freed", on_letter_free);
    run(*state);
    assert_said("freed");
}

/* Alive. */

static void a_posted_task_keeps_the_loop_alive(void **state)
{
    struct letter a = {0};
    assert_false(loop_alive(*state));
    post(*state, &a, "a", on_letter);
    assert_true(loop_alive(*state));
    assert_int_equal(0, loop_backend_timeout(*state));
    run(*state);
    assert_said("a");
    assert_false(loop_alive(*state));
}

static void an_unreferenced_task_does_not_keep_the_loop_alive(void **state)
{
    struct letter a = {0};
    loop_task_unref(&a.task);
    post(*state, &a, "a", on_letter);
    assert_false(loop_alive(*state));
    run(*state);
    assert_said("");
    assert_int_equal(-EBUSY, loop_fini(*state));
    assert_true(loop_task_cancel(&a.task));
}

static void an_unreferenced_task_runs_while_something_else_is_alive(void **state)
{
    struct letter a = {0}, b = {0};
    loop_task_unref(&a.task);
    post(*state, &a, "a", on_letter);
    post(*state, &b, "b", on_letter);
    run(*state);
    assert_said("a b");
}

static void a_reference_may_change_while_the_task_waits(void **state)
{
    struct letter a = {0}, b = {0};
    post(*state, &a, "a", on_letter);
    loop_task_unref(&a.task);
    assert_false(loop_alive(*state));
    post(*state, &b, "b", on_letter);
    assert_true(loop_task_cancel(&b.task)); /* so a has been fetched */
    assert_false(loop_alive(*state));
    loop_task_ref(&a.task);
    assert_true(loop_alive(*state));
    run(*state);
    assert_said("a");
}

/* Cancelling. */

static void a_task_is_canceled_in_the_mailbox_or_fetched_from_it(void **state)
{
    struct letter a = {0}, b = {0}, c = {0};
    post(*state, &a, "a", on_letter);
    post(*state, &b, "b", on_letter);
    post(*state, &c, "c", on_letter);
    assert_true(loop_task_cancel(&b.task));
    assert_true(loop_task_cancel(&c.task));
    assert_false(loop_task_cancel(&c.task));
    run(*state);
    assert_said("a");
}

static void a_canceled_task_no_longer_keeps_the_loop_alive(void **state)
{
    struct letter a = {0};
    post(*state, &a, "a", on_letter);
    assert_true(loop_task_cancel(&a.task));
    assert_false(loop_alive(*state));
    run(*state);
    assert_said("");
}

static void on_letter_cancel_other(struct loop_task *task)
{
    struct letter *letter = letter_of(task);
    say("%s-%s", letter->word, loop_task_cancel(&letter->other->task) ? "cancels" : "finds-none");
}

static void an_earlier_task_cancels_a_later_one_of_its_batch(void **state)
{
    struct letter a = {0}, b = {0}, c = {0};
    a.other = &b;
    c.other = &a;
    post(*state, &a, "a", on_letter_cancel_other);
    post(*state, &b, "b", on_letter);
    post(*state, &c, "c", on_letter_cancel_other);
    run(*state);
    assert_said("a-cancels c-finds-none");
}

static void a_task_that_runs_or_was_never_queued_has_nothing_to_cancel(void **state)
{
    struct letter a = {0}, never = {0};
    a.other = &a;
    assert_false(loop_task_cancel(&never.task));
    post(*state, &a, "a", on_letter_cancel_other);
    run(*state);
    assert_said("a-finds-none");
    assert_false(loop_task_cancel(&a.task));
}

static void a_canceled_task_may_be_posted_again_behind_the_others(void **state)
{
    struct letter a = {0}, b = {0};
    post(*state, &a, "a", on_letter);
    post(*state, &b, "b", on_letter);
    assert_true(loop_task_cancel(&a.task));
    post(*state, &a, "a", on_letter);
    run(*state);
    assert_said("b a");
}

/* What was fetched to be searched goes before what has come since. */
static void cancelling_keeps_the_order_of_the_others(void **state)
{
    struct letter a = {0}, b = {0}, c = {0}, d = {0};
    post(*state, &a, "a", on_letter);
    post(*state, &b, "b", on_letter);
    assert_true(loop_task_cancel(&a.task));
    post(*state, &c, "c", on_letter);
    post(*state, &d, "d", on_letter);
    assert_true(loop_task_cancel(&c.task));
    run(*state);
    assert_said("b d");
}

/* Misuse. */

static void arguments_that_are_null_are_refused_and_change_nothing(void **state)
{
    struct loop_task task = {0};
    assert_int_equal(-EINVAL, loop_post(NULL, &task, on_phase));
    assert_int_equal(-EINVAL, loop_post(*state, NULL, on_phase));
    assert_int_equal(-EINVAL, loop_post(*state, &task, NULL));
    assert_false(loop_alive(*state));
    assert_int_equal(0, loop_post(*state, &task, on_phase));
    run(*state);
    assert_said("poll");
}

static struct loop *misused;

static void post_twice(void)
{
    static struct loop_task task;
    loop_post(misused, &task, on_phase);
    loop_post(misused, &task, on_phase);
}

static void post_a_tick(void)
{
    static struct loop_task task;
    loop_next_tick(misused, &task, on_phase);
    loop_post(misused, &task, on_phase);
}

static void make_a_tick_of_a_posted_task(void)
{
    static struct loop_task task;
    loop_post(misused, &task, on_phase);
    loop_next_tick(misused, &task, on_phase);
}

static void queueing_a_task_twice_panics(void **state)
{
    misused = *state;
    assert_panics(post_twice, "a task was queued again before it ran (it waits as: posted task)");
    assert_panics(post_a_tick, "a task was queued again before it ran (it waits as: tick)");
    assert_panics(make_a_tick_of_a_posted_task,
                  "a task was queued again before it ran (it waits as: posted task)");
}

/* Other threads. */

enum { LETTERS = 500, POSTERS = 4 };

struct poster {
    struct loop *loop;
    struct numbered {
        struct loop_task task;
        struct poster *poster;
        int number;
    } letters[LETTERS];
    int next;
};

static void on_numbered(struct loop_task *task)
{
    struct numbered *letter = loop_container_of(task, struct numbered, task);
    assert_int_equal(letter->number, letter->poster->next);
    letter->poster->next++;
}

static void *post_letters(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < LETTERS; i++) {
        struct numbered *letter = &poster->letters[i];
        *letter = (struct numbered){.poster = poster, .number = i};
        loop_post(poster->loop, &letter->task, on_numbered);
    }
    return NULL;
}

/* Keeps the loop going while they post. */
static void on_timer_count(struct loop_timer *timer)
{
    const struct poster *posters = timer->handle.data;
    for (int i = 0; i < POSTERS; i++)
        if (posters[i].next < LETTERS)
            return;
    loop_timer_stop(timer);
}

static void each_thread_finds_its_own_order_kept(void **state)
{
    static struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    struct loop_timer timer = {.handle.data = posters};
    memset(posters, 0, sizeof(posters));
    for (int i = 0; i < POSTERS; i++) {
        posters[i].loop = *state;
        assert_int_equal(0, pthread_create(&threads[i], NULL, post_letters, &posters[i]));
    }
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, LOOP_MS, LOOP_MS, on_timer_count);
    run(*state);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(LETTERS, posters[i].next);
    }
}

static void tasks_that_a_thread_posted_before_the_first_run_run(void **state)
{
    static struct poster poster;
    pthread_t thread;
    memset(&poster, 0, sizeof(poster));
    poster.loop = *state;
    assert_int_equal(0, pthread_create(&thread, NULL, post_letters, &poster));
    pthread_join(thread, NULL);
    run(*state);
    assert_int_equal(LETTERS, poster.next);
}

/* A loop that sleeps. Only the kernel knows whether a thread does. */

struct sleeper {
    struct loop *loop;
    struct loop_hook prepare; /* opens the gate: the next thing is the sleep */
    struct loop_timer alive;  /* which the loop is by this; it never comes */
    sem_t gate;
    pid_t thread;
    pthread_t pthread;
};

static struct sleeper sleeper;
static struct letter wake_up;

static bool is_asleep(pid_t thread)
{
    char text[512];
    snprintf(text, sizeof(text), "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(text, "r");
    if (!file)
        return false;
    const char *line = fgets(text, sizeof(text), file);
    const char *name_end = line ? strrchr(line, ')') : NULL;
    bool asleep = name_end && strncmp(name_end, ") S", 3) == 0;
    fclose(file);
    return asleep;
}

static void await_sleep(void)
{
    sem_wait(&sleeper.gate);
    while (!is_asleep(sleeper.thread))
        sched_yield();
}

static void on_prepare(struct loop_hook *hook)
{
    sem_post(&sleeper.gate);
    loop_hook_stop(hook);
}

static void on_never(struct loop_timer *timer)
{
    (void)timer;
    say("never-came");
}

static void on_wake_up(struct loop_task *task)
{
    on_letter(task);
    loop_timer_stop(&sleeper.alive);
}

static void begin_sleep(struct loop *loop)
{
    memset(&sleeper, 0, sizeof(sleeper));
    memset(&wake_up, 0, sizeof(wake_up));
    wake_up.word = "woken";
    sleeper.loop = loop;
    sleeper.thread = gettid();
    sleeper.pthread = pthread_self();
    sem_init(&sleeper.gate, 0, 0);
    loop_prepare_init(loop, &sleeper.prepare);
    loop_hook_start(&sleeper.prepare, on_prepare);
    loop_timer_init(loop, &sleeper.alive);
    loop_timer_start(&sleeper.alive, LOOP_NEVER, 0, on_never);
}

static void sleep_until_woken_by(void *(*waker)(void *))
{
    pthread_t thread;
    assert_int_equal(0, pthread_create(&thread, NULL, waker, NULL));
    run(sleeper.loop);
    pthread_join(thread, NULL);
    sem_destroy(&sleeper.gate);
    assert_said("woken");
}

static void *post_when_asleep(void *arg)
{
    await_sleep();
    loop_post(sleeper.loop, &wake_up.task, on_wake_up);
    return arg;
}

static void a_post_wakes_the_loop_from_its_sleep(void **state)
{
    begin_sleep(*state);
    sleep_until_woken_by(post_when_asleep);
}

static struct loop_hook busy;

static void on_idle(struct loop_hook *hook)
{
    (void)hook;
}

static void on_wake_up_rest(struct loop_task *task)
{
    on_wake_up(task);
    loop_hook_stop(&busy);
}

static void *post_when_busy(void *arg)
{
    sem_wait(&sleeper.gate);
    loop_post(sleeper.loop, &wake_up.task, on_wake_up_rest);
    return arg;
}

static void a_loop_that_never_sleeps_is_posted_to_as_well(void **state)
{
    begin_sleep(*state);
    loop_idle_init(*state, &busy);
    loop_hook_start(&busy, on_idle);
    sleep_until_woken_by(post_when_busy);
}

/* Signals. */

static void on_signal(int signal_number)
{
    (void)signal_number;
    loop_post(sleeper.loop, &wake_up.task, on_wake_up);
}

static void handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    assert_int_equal(0, sigaction(SIGUSR1, &action, NULL));
}

static void *signal_when_asleep(void *arg)
{
    await_sleep();
    pthread_kill(sleeper.pthread, SIGUSR1);
    return arg;
}

static void a_signal_handler_wakes_the_loop_that_it_interrupts(void **state)
{
    begin_sleep(*state);
    handle_signals(on_signal);
    sleep_until_woken_by(signal_when_asleep);
    handle_signals(SIG_DFL);
}

static void on_timer_raise(struct loop_timer *timer)
{
    (void)timer;
    errno = ENOTTY;
    raise(SIGUSR1);
    assert_int_equal(ENOTTY, errno);
    say("raised");
}

static void a_signal_handler_posts_from_within_a_callback(void **state)
{
    struct loop_timer timer;
    begin_sleep(*state);
    handle_signals(on_signal);
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, 0, 0, on_timer_raise);
    run(*state);
    handle_signals(SIG_DFL);
    sem_destroy(&sleeper.gate);
    assert_said("raised woken");
}

/* A hosted loop. */

static bool is_readable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, 0) == 1;
}

static void *post_wake_up(void *loop)
{
    wake_up = (struct letter){.word = "hosted"};
    loop_post(loop, &wake_up.task, on_letter);
    return NULL;
}

static void post_from_another_thread(struct loop *loop)
{
    pthread_t thread;
    assert_int_equal(0, pthread_create(&thread, NULL, post_wake_up, loop));
    pthread_join(thread, NULL);
}

static void on_async(struct loop_async *async)
{
    (void)async;
}

static void a_post_makes_the_backend_descriptor_readable(void **state)
{
    int fd = loop_backend_fd(*state);
    struct loop_async keeper;
    assert_int_equal(0, loop_async_init(*state, &keeper, on_async));
    for (int round = 0; round < 3; round++) {
        assert_false(is_readable(fd));
        assert_int_equal(-1, loop_backend_timeout(*state));
        post_from_another_thread(*state);
        assert_true(is_readable(fd));
        assert_int_equal(0, loop_backend_timeout(*state));
        assert_int_equal(1, loop_run(*state, LOOP_RUN_NOWAIT));
        assert_said("hosted");
    }
    assert_false(is_readable(fd));
    loop_close(&keeper.handle, NULL);
    run(*state);
}

static void on_check_post(struct loop_hook *hook)
{
    loop_post(hook->handle.loop, hook->handle.data, on_phase);
    loop_hook_stop(hook);
}

/* It was awake when the task came, so nobody wrote to the descriptor: the bound on waiting says
 * it. */
static void a_host_may_not_wait_for_what_was_posted_late_in_a_turn(void **state)
{
    struct loop_task task = {0};
    struct loop_hook check = {.handle.data = &task};
    loop_check_init(*state, &check);
    loop_hook_start(&check, on_check_post);
    assert_int_equal(1, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_said("");
    assert_int_equal(0, loop_backend_timeout(*state));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_said("poll");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(a_task_posted_before_the_first_run_runs_in_its_poll_phase),
        virtual_test(a_task_posted_in_another_phase_runs_in_the_poll_phase),
        virtual_test(tasks_run_in_the_order_of_the_calls),
        virtual_test(the_ticks_of_a_task_run_before_the_next_task),
        real_test(tasks_run_behind_the_descriptors_that_were_ready),
        virtual_test(what_a_posted_task_posts_waits_for_the_next_turn),
        virtual_test(a_task_may_post_itself_again),
        virtual_test(a_task_may_be_freed_in_its_callback),
        virtual_test(a_posted_task_keeps_the_loop_alive),
        virtual_test(an_unreferenced_task_does_not_keep_the_loop_alive),
        virtual_test(an_unreferenced_task_runs_while_something_else_is_alive),
        virtual_test(a_reference_may_change_while_the_task_waits),
        virtual_test(a_task_is_canceled_in_the_mailbox_or_fetched_from_it),
        virtual_test(a_canceled_task_no_longer_keeps_the_loop_alive),
        virtual_test(an_earlier_task_cancels_a_later_one_of_its_batch),
        virtual_test(a_task_that_runs_or_was_never_queued_has_nothing_to_cancel),
        virtual_test(a_canceled_task_may_be_posted_again_behind_the_others),
        virtual_test(cancelling_keeps_the_order_of_the_others),
        virtual_test(arguments_that_are_null_are_refused_and_change_nothing),
        virtual_test(queueing_a_task_twice_panics),
        real_test(each_thread_finds_its_own_order_kept),
        virtual_test(tasks_that_a_thread_posted_before_the_first_run_run),
        real_test(a_post_wakes_the_loop_from_its_sleep),
        real_test(a_loop_that_never_sleeps_is_posted_to_as_well),
        real_test(a_signal_handler_wakes_the_loop_that_it_interrupts),
        real_test(a_signal_handler_posts_from_within_a_callback),
        real_test(a_post_makes_the_backend_descriptor_readable),
        real_test(a_host_may_not_wait_for_what_was_posted_late_in_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
