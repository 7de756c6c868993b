/* Signal handles: what the process was sent, told in the poll phase of each loop that asked.
 *
 * Signals coalesce: any number before the loop looks is one callback, and one during the callback
 * is another. All handles for one signal are told, in all loops and threads; within a loop in the
 * order in which they were started. What was ready in the same batch comes before. A stopped or
 * closed handle is not told, not even of what came before. With the last handle for a signal the
 * handler that the program had is back, and in between it is not called. Signals that nobody can
 * catch, or that say that an instruction has failed, are refused. A forked child has signals of its
 * own and does not wake its parent's loop. A flood of signals on all threads loses none in kind,
 * and interrupts no call that anybody sees.
 *
 * A graceful end: the first signal calls the program and gives the signals their meaning back; the
 * deadline closes what is left.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct ear {
    struct loop_signal signal;
    const char *name;
    struct ear *other;
    int heard;
};

static struct ear *ear_of(struct loop_signal *signal)
{
    return loop_container_of(signal, struct ear, signal);
}

static void on_signal(struct loop_signal *signal, int number)
{
    ear_of(signal)->heard++;
    say("%s-%d", ear_of(signal)->name, number);
}

static void on_close(struct loop_handle *handle)
{
    say("close-%s", loop_container_of(handle, struct ear, signal.handle)->name);
}

static void init(struct loop *loop, struct ear *ear, const char *name)
{
    *ear = (struct ear){.name = name};
    loop_signal_init(loop, &ear->signal);
}

static void listen_to(struct loop *loop, struct ear *ear, const char *name, int number)
{
    init(loop, ear, name);
    assert_int_equal(0, loop_signal_start(&ear->signal, number, on_signal));
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void run_one_turn(struct loop *loop)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* Telling. */

static void signals_before_the_callback_are_one(void **state)
{
    struct ear a;
    listen_to(*state, &a, "a", SIGUSR1);
    run_one_turn(*state);
    assert_said("");
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    assert_said("");
    run_one_turn(*state);
    run_one_turn(*state);
    assert_said("a-10");
    loop_signal_stop(&a.signal);
}

static void on_signal_raise(struct loop_signal *signal, int number)
{
    say("%s-in-turn-%d", loop_phase_name(loop_phase(signal->handle.loop)),
        (int)loop_turn(signal->handle.loop));
    if (++ear_of(signal)->heard == 3)
        loop_signal_stop(signal);
    else
        raise(number);
}

static void one_raised_in_the_callback_is_told_in_the_next_turn(void **state)
{
    struct ear a;
    init(*state, &a, "a");
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR1, on_signal_raise));
    raise(SIGUSR1);
    run(*state);
    assert_said("poll-in-turn-1 poll-in-turn-2 poll-in-turn-3");
}

static void all_handles_are_told_in_the_order_of_their_start(void **state)
{
    struct ear a, b, c, other;
    listen_to(*state, &b, "b", SIGUSR1);
    listen_to(*state, &other, "other", SIGUSR2);
    listen_to(*state, &a, "a", SIGUSR1);
    listen_to(*state, &c, "c", SIGUSR1);
    for (int i = 0; i < 2; i++) {
        raise(SIGUSR1);
        run_one_turn(*state);
        assert_said("b-10 a-10 c-10");
    }
    assert_int_equal(0, loop_signal_start(&b.signal, SIGUSR1, on_signal)); /* now it is the last */
    raise(SIGUSR2);
    raise(SIGUSR1);
    run_one_turn(*state);
    assert_said("other-12 a-10 c-10 b-10");
    loop_signal_stop(&a.signal);
    loop_signal_stop(&b.signal);
    loop_signal_stop(&c.signal);
    loop_signal_stop(&other.signal);
}

static void a_handle_for_one_signal_is_stopped_before_its_callback(void **state)
{
    struct ear a;
    init(*state, &a, "a");
    assert_int_equal(0, loop_signal_start_once(&a.signal, SIGUSR1, on_signal));
    assert_true(loop_is_active(&a.signal.handle));
    raise(SIGUSR1);
    run(*state); /* nothing else ends it */
    assert_said("a-10");
    assert_false(loop_is_active(&a.signal.handle));
}

static void on_signal_start_again(struct loop_signal *signal, int number)
{
    on_signal(signal, number);
    assert_false(loop_is_active(&signal->handle));
    if (ear_of(signal)->heard < 3) {
        assert_int_equal(0, loop_signal_start_once(signal, number, on_signal_start_again));
        raise(number);
    }
}

static void it_may_be_started_again_in_its_callback(void **state)
{
    struct ear a;
    init(*state, &a, "a");
    assert_int_equal(0, loop_signal_start_once(&a.signal, SIGUSR1, on_signal_start_again));
    raise(SIGUSR1);
    run(*state);
    assert_said("a-10 a-10 a-10");
}

static void a_handle_may_be_given_another_signal(void **state)
{
    struct ear a;
    listen_to(*state, &a, "a", SIGUSR1);
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR2, on_signal));
    assert_int_equal(SIGUSR2, a.signal.number);
    raise(SIGUSR2);
    run_one_turn(*state);
    assert_said("a-12");
    assert_int_equal(-EINVAL, loop_signal_start(&a.signal, SIGKILL, on_signal));
    raise(SIGUSR2);
    run_one_turn(*state);
    assert_said("a-12");
    loop_signal_stop(&a.signal);
}

static void on_task(struct loop_task *task)
{
    (void)task;
    say("task");
}

static void on_readable(struct loop_poll *poll, int status, uint32_t events)
{
    (void)events;
    say("readable-%d", status);
    loop_poll_stop(poll);
}

static void signals_are_told_behind_all_else_of_their_batch(void **state)
{
    struct ear a;
    struct loop_poll poll;
    struct loop_task task = {0};
    int ends[2];
    assert_int_equal(0, pipe(ends));
    listen_to(*state, &a, "a", SIGUSR1);
    loop_poll_init(*state, &poll, ends[0]);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE, on_readable));
    raise(SIGUSR1);
    assert_int_equal(1, write(ends[1], "x", 1));
    assert_int_equal(0, loop_post(*state, &task, on_task));
    run_one_turn(*state);
    assert_said("readable-0 task a-10");
    loop_signal_stop(&a.signal);
    close(ends[0]);
    close(ends[1]);
}

static void on_alarm(struct loop_signal *signal, int number)
{
    on_signal(signal, number);
    loop_close(&signal->handle, on_close);
}

/* Nothing else ends this sleep. */
static void a_signal_wakes_a_loop_that_sleeps(void **state)
{
    struct ear a;
    init(*state, &a, "a");
    assert_int_equal(0, loop_signal_start(&a.signal, SIGALRM, on_alarm));
    ualarm(10000, 0);
    run(*state);
    assert_said("a-14 close-a");
}

/* Stopping. */

static void what_came_before_the_stop_is_not_told(void **state)
{
    struct ear a, b;
    listen_to(*state, &a, "a", SIGUSR1);
    listen_to(*state, &b, "b", SIGUSR2);
    raise(SIGUSR1);
    loop_signal_stop(&a.signal);
    loop_signal_stop(&a.signal);
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR1, on_signal));
    run_one_turn(*state);
    assert_said("");
    loop_signal_stop(&a.signal);
    loop_signal_stop(&b.signal);
    assert_false(loop_alive(*state));
}

static void on_signal_stop_other(struct loop_signal *signal, int number)
{
    on_signal(signal, number);
    loop_signal_stop(&ear_of(signal)->other->signal);
    loop_signal_stop(signal);
}

static void a_handle_stopped_by_another_is_not_told(void **state)
{
    struct ear a, b;
    init(*state, &a, "a");
    a.other = &b;
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR1, on_signal_stop_other));
    listen_to(*state, &b, "b", SIGUSR1);
    raise(SIGUSR1);
    run(*state);
    assert_said("a-10");
}

static void on_signal_start_other(struct loop_signal *signal, int number)
{
    on_signal(signal, number);
    listen_to(signal->handle.loop, ear_of(signal)->other, "b", number);
    loop_signal_stop(signal);
}

static void a_handle_started_by_another_waits_for_the_next_signal(void **state)
{
    struct ear a, b;
    init(*state, &a, "a");
    a.other = &b;
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR1, on_signal_start_other));
    raise(SIGUSR1);
    run_one_turn(*state);
    run_one_turn(*state);
    assert_said("a-10");
    raise(SIGUSR1);
    run_one_turn(*state);
    assert_said("b-10");
    loop_signal_stop(&b.signal);
}

static void close_walked(struct loop_handle *handle, void *arg)
{
    (void)arg;
    loop_close(handle, on_close);
}

static void on_signal_close_all(struct loop_signal *signal, int number)
{
    on_signal(signal, number);
    loop_walk(signal->handle.loop, close_walked, NULL);
}

static void every_handle_may_be_closed_in_a_callback(void **state)
{
    struct ear a, b, c;
    init(*state, &a, "a");
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR1, on_signal_close_all));
    listen_to(*state, &b, "b", SIGUSR1);
    listen_to(*state, &c, "c", SIGUSR2);
    raise(SIGUSR2);
    raise(SIGUSR1);
    run(*state);
    assert_said("a-10 close-a close-b close-c");
}

static void on_signal_free(struct loop_signal *signal, int number)
{
    on_signal(signal, number);
    loop_signal_stop(signal);
    free(ear_of(signal));
}

static void a_stopped_handle_may_be_freed_in_its_callback(void **state)
{
    struct ear *a = malloc(sizeof(*a));
    assert_non_null(a);
    init(*state, a, "a");
    assert_int_equal(0, loop_signal_start(&a->signal, SIGUSR1, on_signal_free));
    raise(SIGUSR1);
    run(*state);
    assert_said("a-10");
}

static void it_keeps_the_loop_alive_while_it_is_active_and_referenced(void **state)
{
    struct ear a;
    init(*state, &a, "a");
    assert_false(loop_alive(*state));
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR1, on_signal));
    assert_true(loop_alive(*state));
    assert_string_equal("signal", loop_handle_type(&a.signal.handle));
    assert_int_equal(-EBUSY, loop_fini(*state));
    loop_unref(&a.signal.handle);
    assert_false(loop_alive(*state));
    loop_ref(&a.signal.handle);
    raise(SIGUSR1);
    run_one_turn(*state);
    assert_said("a-10");
    loop_close(&a.signal.handle, on_close);
    assert_int_equal(-ECANCELED, loop_signal_start(&a.signal, SIGUSR1, on_signal));
    run(*state);
    assert_said("close-a");
}

/* Errors. */

static void what_nobody_can_catch_is_refused(void **state)
{
    static const int refused[] = {0,       -1,      65,     1000,   SIGKILL,
                                  SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                                  SIGTRAP, SIGSYS,  32,     33 /* the C library's own */};
    struct ear a;
    init(*state, &a, "a");
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++)
        assert_int_equal(-EINVAL, loop_signal_start(&a.signal, refused[i], on_signal));
    assert_int_equal(-EINVAL, loop_signal_start(&a.signal, SIGUSR1, NULL));
    assert_int_equal(-EINVAL, loop_signal_start(NULL, SIGUSR1, on_signal));
    assert_false(loop_alive(*state));
    assert_int_equal(0, loop_signal_start(&a.signal, SIGRTMAX, on_signal));
    raise(SIGRTMAX);
    run_one_turn(*state);
    assert_said("a-64");
    loop_signal_stop(&a.signal);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static bool is_default(int number)
{
    struct sigaction now;
    sigaction(number, NULL, &now);
    return !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
}

static void without_descriptors_or_memory_nothing_is_started(void **state)
{
    struct loop *loop = *state;
    struct ear a;
    struct rlimit before, none = {0, 0};
    struct loop_allocator allocator = loop->options.allocator;
    init(loop, &a, "a");
    getrlimit(RLIMIT_NOFILE, &before);
    none.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    int error = loop_signal_start(&a.signal, SIGUSR1, on_signal);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(-EMFILE, error);
    loop->options.allocator.resize = no_memory;
    error = loop_signal_start(&a.signal, SIGUSR1, on_signal);
    loop->options.allocator = allocator;
    assert_int_equal(-ENOMEM, error);
    assert_false(loop_alive(loop));
    assert_true(is_default(SIGUSR1));
}

/* The program's own handlers. */

static volatile sig_atomic_t own_calls;

static void own_handler(int number)
{
    (void)number;
    own_calls++;
}

static void other_handler(int number)
{
    (void)number;
    own_calls += 100;
}

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    assert_int_equal(0, sigaction(number, &action, NULL));
}

static void the_handler_that_the_program_had_is_back_with_the_last_stop(void **state)
{
    struct ear a, b;
    struct sigaction action = {.sa_handler = own_handler, .sa_flags = SA_NODEFER}, now;
    sigaddset(&action.sa_mask, SIGUSR2);
    own_calls = 0;
    assert_int_equal(0, sigaction(SIGUSR1, &action, NULL));
    listen_to(*state, &a, "a", SIGUSR1);
    listen_to(*state, &b, "b", SIGUSR1);
    loop_signal_stop(&a.signal);
    raise(SIGUSR1);
    run_one_turn(*state);
    assert_said("b-10");
    assert_int_equal(0, own_calls);
    loop_signal_stop(&b.signal);
    raise(SIGUSR1);
    assert_int_equal(1, own_calls);
    assert_int_equal(0, sigaction(SIGUSR1, NULL, &now));
    assert_true(now.sa_handler == own_handler && now.sa_flags & SA_NODEFER);
    assert_int_equal(1, sigismember(&now.sa_mask, SIGUSR2));
    set_handler(SIGUSR1, SIG_DFL);
}

static void one_that_the_program_puts_over_ours_stays(void **state)
{
    struct ear a;
    own_calls = 0;
    set_handler(SIGUSR1, own_handler);
    listen_to(*state, &a, "a", SIGUSR1);
    set_handler(SIGUSR1, other_handler);
    loop_signal_stop(&a.signal);
    raise(SIGUSR1);
    assert_int_equal(100, own_calls);
    assert_int_equal(0, loop_signal_start(&a.signal, SIGUSR1, on_signal)); /* and is taken over */
    raise(SIGUSR1);
    run_one_turn(*state);
    assert_said("a-10");
    assert_int_equal(100, own_calls);
    loop_signal_stop(&a.signal);
    raise(SIGUSR1);
    assert_int_equal(200, own_calls);
    set_handler(SIGUSR1, SIG_DFL);
}

static struct sigaction ours;

/* As a program does that passes on what it has put itself over. */
static void passing_handler(int number, siginfo_t *info, void *context)
{
    own_calls += 100;
    ours.sa_sigaction(number, info, context);
}

static void own_handler_with_info(int number, siginfo_t *info, void *context)
{
    own_calls += info->si_signo == number && context ? 10 : 1000;
}

/* On a signal that nobody else here uses: where a program has put a handler of its own over ours
 * once, and left it there, it is taken to call ours, and is not called by it. */
static void who_still_calls_our_handler_reaches_the_one_before(void **state)
{
    struct sigaction with_info = {.sa_sigaction = own_handler_with_info, .sa_flags = SA_SIGINFO};
    struct sigaction passing = {.sa_sigaction = passing_handler, .sa_flags = SA_SIGINFO};
    struct sigaction plain = {.sa_handler = own_handler}, nothing = {.sa_handler = SIG_DFL};
    const struct sigaction *before[] = {&plain, &with_info, &nothing};
    const int calls[] = {101, 110, 100};
    for (size_t i = 0; i < ARRAY_LENGTH(before); i++) {
        struct ear a;
        own_calls = 0;
        assert_int_equal(0, sigaction(SIGURG, before[i], NULL));
        listen_to(*state, &a, "a", SIGURG);
        assert_int_equal(0, sigaction(SIGURG, &passing, &ours));
        raise(SIGURG);
        run_one_turn(*state);
        assert_said("a-23");
        assert_int_equal(100, own_calls);
        loop_signal_stop(&a.signal);
        own_calls = 0;
        raise(SIGURG);
        assert_int_equal(calls[i], own_calls);
        assert_int_equal(0, sigaction(SIGURG, &ours, NULL)); /* as it was, to be taken away */
        listen_to(*state, &a, "a", SIGURG);
        loop_signal_stop(&a.signal);
    }
    set_handler(SIGURG, SIG_DFL);
}

static void an_ignored_signal_is_told_and_ignored_again(void **state)
{
    struct ear a;
    set_handler(SIGHUP, SIG_IGN);
    listen_to(*state, &a, "a", SIGHUP);
    raise(SIGHUP);
    run_one_turn(*state);
    assert_said("a-1");
    loop_signal_stop(&a.signal);
    raise(SIGHUP);
    set_handler(SIGHUP, SIG_DFL);
}

/* Loops, threads, processes. */

static void two_loops_are_both_told(void **state)
{
    struct loop second = {0};
    struct loop_options options = test_options(LOOP_CLOCK_VIRTUAL);
    struct ear a, b;
    assert_int_equal(0, loop_init(&second, &options));
    listen_to(*state, &a, "a", SIGUSR1);
    listen_to(&second, &b, "b", SIGUSR1);
    raise(SIGUSR1);
    run_one_turn(&second);
    assert_said("b-10");
    run_one_turn(*state);
    assert_said("a-10");
    loop_signal_stop(&a.signal);
    raise(SIGUSR1);
    run_one_turn(&second);
    assert_said("b-10");
    loop_signal_stop(&b.signal);
    assert_true(is_default(SIGUSR1));
    assert_int_equal(0, loop_fini(&second));
}

struct listener {
    pthread_t thread;
    pthread_barrier_t *ready;
    struct ear usr1, usr2;
};

static void on_usr1(struct loop_signal *signal, int number)
{
    (void)number;
    ear_of(signal)->heard++;
}

static void on_usr2_end(struct loop_signal *signal, int number)
{
    struct listener *listener = loop_container_of(signal, struct listener, usr2.signal);
    (void)number;
    loop_close(&signal->handle, NULL);
    loop_close(&listener->usr1.signal.handle, NULL);
}

static void *listen_in_a_loop_of_its_own(void *arg)
{
    struct listener *listener = arg;
    struct loop loop;
    int error = loop_init(&loop, NULL);
    loop_signal_init(&loop, &listener->usr1.signal);
    loop_signal_init(&loop, &listener->usr2.signal);
    if (!error)
        error = loop_signal_start(&listener->usr1.signal, SIGUSR1, on_usr1);
    if (!error)
        error = loop_signal_start(&listener->usr2.signal, SIGUSR2, on_usr2_end);
    pthread_barrier_wait(listener->ready);
    if (!error)
        error = loop_run(&loop, LOOP_RUN_DEFAULT);
    return error || loop_fini(&loop) < 0 ? arg : NULL;
}

static void one_signal_reaches_the_loops_of_all_threads(void **state)
{
    enum { THREADS = 4 };
    static struct listener listeners[THREADS];
    pthread_barrier_t ready;
    (void)state;
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        listeners[i] = (struct listener){.ready = &ready};
        assert_int_equal(0, pthread_create(&listeners[i].thread, NULL, listen_in_a_loop_of_its_own,
                                           &listeners[i]));
    }
    pthread_barrier_wait(&ready);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(listeners[i].thread, &failed);
        assert_null(failed);
        assert_true(listeners[i].usr1.heard <= 1); /* or 0: the end may be told first */
    }
    pthread_barrier_destroy(&ready);
    assert_true(is_default(SIGUSR1) && is_default(SIGUSR2));
}

enum { STORM = 20000, STORM_TURNS = 2000 };

static void *storm(void *target)
{
    for (int i = 0; i < STORM; i++)
        pthread_kill(*(pthread_t *)target, i % 2 ? SIGUSR1 : SIGUSR2);
    return NULL;
}

struct busy {
    struct loop_pipe ends[2];
    struct loop_write write;
    size_t sent, received;
};

static void on_received(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct busy *busy = loop_container_of(stream, struct busy, ends[1].stream);
    (void)bytes;
    assert_true(size > 0);
    busy->received += (size_t)size;
}

static void on_written(struct loop_write *write, int status)
{
    struct busy *busy = loop_container_of(write, struct busy, write);
    static const char bytes[1000];
    struct loop_buf buf = {bytes, sizeof(bytes)};
    assert_int_equal(0, status);
    busy->sent += write->written;
    if (busy->sent < STORM_TURNS * sizeof(bytes)) {
        assert_true(loop_write(&busy->ends[0].stream, write, &buf, 1, on_written) >= 0);
    } else {
        loop_close(&busy->ends[0].handle, NULL);
        loop_read_stop(&busy->ends[1].stream);
    }
}

/* The thread that runs the loop is hit all the time. No call of the loop's fails for it, and what
 * came last is told in the end. */
static void a_storm_of_signals_loses_none_in_kind_and_interrupts_nothing(void **state)
{
    static struct busy busy;
    struct ear a, b;
    pthread_t thread, self = pthread_self();
    memset(&busy, 0, sizeof(busy));
    listen_to(*state, &a, "a", SIGUSR1);
    listen_to(*state, &b, "b", SIGUSR2);
    loop_pipe_init(*state, &busy.ends[0]);
    loop_pipe_init(*state, &busy.ends[1]);
    assert_int_equal(0, loop_pipe_pair(&busy.ends[0], &busy.ends[1]));
    assert_int_equal(0, loop_read_start(&busy.ends[1].stream, on_received));
    loop_unref(&a.signal.handle);
    loop_unref(&b.signal.handle);
    assert_int_equal(0, pthread_create(&thread, NULL, storm, &self));
    on_written(&busy.write, 0);
    run(*state);
    pthread_join(thread, NULL);
    loop_ref(&a.signal.handle);
    run_one_turn(*state);
    assert_true(a.heard > 0 && b.heard > 0 && a.heard <= STORM / 2 && b.heard <= STORM / 2);
    int before = a.heard + b.heard;
    run_one_turn(*state); /* and no more: nothing spins */
    assert_int_equal(before, a.heard + b.heard);
    said();
    raise(SIGUSR1);
    run_one_turn(*state);
    assert_said("a-10");
    loop_signal_stop(&a.signal);
    loop_signal_stop(&b.signal);
    loop_close(&busy.ends[1].handle, NULL);
    run(*state);
}

/* Handles come and go on two threads while signals arrive. */
static void *start_and_stop(void *arg)
{
    struct loop loop;
    struct ear ear;
    int error = loop_init(&loop, NULL);
    loop_signal_init(&loop, &ear.signal);
    for (int i = 0; i < 2000 && !error; i++) {
        error = loop_signal_start(&ear.signal, SIGUSR1, on_usr1);
        if (!error && loop_run(&loop, LOOP_RUN_NOWAIT) < 0)
            error = -1;
        loop_signal_stop(&ear.signal);
    }
    return error || loop_fini(&loop) < 0 ? arg : NULL;
}

static void starting_and_stopping_races_with_nothing(void **state)
{
    struct ear a;
    pthread_t threads[3], self = pthread_self();
    listen_to(*state, &a, "a", SIGUSR1); /* so that the signal never kills us */
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, start_and_stop, &self));
    for (int i = 0; i < 5000; i++)
        pthread_kill(i % 3 ? self : threads[0], SIGUSR1);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    run_one_turn(*state);
    assert_said("a-10");
    loop_signal_stop(&a.signal);
}

static int hear_as_a_child(void *arg)
{
    struct ear *ear = arg;
    struct loop *loop = ear->signal.handle.loop;
    raise(SIGUSR1);
    if (loop_run(loop, LOOP_RUN_NOWAIT) != -ECHILD || loop_after_fork(loop) < 0)
        return 1;
    if (loop_run(loop, LOOP_RUN_NOWAIT) < 0 || strcmp("a-10", said()) != 0)
        return 2;
    loop_signal_stop(&ear->signal);
    return loop_fini(loop) < 0 ? 3 : 0;
}

static void a_forked_child_has_signals_of_its_own(void **state)
{
    struct ear a;
    listen_to(*state, &a, "a", SIGUSR1);
    raise(SIGUSR1); /* for the parent alone */
    run_one_turn(*state);
    assert_said("a-10");
    in_child(hear_as_a_child, &a);
    run_one_turn(*state);
    assert_said("");
    raise(SIGUSR1);
    run_one_turn(*state);
    assert_said("a-10");
    loop_signal_stop(&a.signal);
}

static int hear_nothing_of_the_parents(void *arg)
{
    struct ear *ear = arg;
    struct loop *loop = ear->signal.handle.loop;
    if (loop_after_fork(loop) < 0 || loop_run(loop, LOOP_RUN_NOWAIT) < 0)
        return 1;
    return strcmp("", said()) != 0;
}

static void what_came_to_the_parent_is_not_told_to_its_child(void **state)
{
    struct ear a;
    listen_to(*state, &a, "a", SIGUSR1);
    raise(SIGUSR1);
    in_child(hear_nothing_of_the_parents, &a);
    run_one_turn(*state);
    assert_said("a-10");
    loop_signal_stop(&a.signal);
}

/* A graceful end. */

struct server {
    struct loop_graceful graceful;
    struct loop_timer work;
    struct loop_timer other;
    bool finish;
};

static void on_shutdown(struct loop_graceful *graceful, int number)
{
    struct server *server = loop_container_of(graceful, struct server, graceful);
    say("shutdown-%d-%d", number, graceful->number == number);
    if (server->finish)
        loop_timer_stop(&server->work);
}

static void on_work(struct loop_timer *timer)
{
    (void)timer;
    say("work");
}

static void on_late(struct loop_handle *handle, void *arg)
{
    say("late-%s-%d", loop_handle_type(handle), arg != NULL);
    loop_close(handle, NULL);
}

static void serve(struct loop *loop, struct server *server, uint64_t drain_ns, loop_walk_cb close)
{
    loop_timer_init(loop, &server->work);
    assert_int_equal(0, loop_timer_start(&server->work, 10 * LOOP_SEC, 10 * LOOP_SEC, on_work));
    assert_int_equal(0, loop_graceful_start(loop, &server->graceful, drain_ns, on_shutdown, close));
}

static void a_server_that_finishes_in_time_just_ends(void **state)
{
    struct server server = {.finish = true};
    serve(*state, &server, 5 * LOOP_SEC, NULL);
    raise(SIGTERM);
    run(*state);
    assert_said("shutdown-15-1");
    loop_graceful_stop(&server.graceful);
    assert_true(is_default(SIGTERM) && is_default(SIGINT));
}

static void what_is_left_at_the_deadline_is_closed(void **state)
{
    struct server server = {.graceful.data = &server};
    serve(*state, &server, 5 * LOOP_SEC, on_late);
    raise(SIGINT);
    run(*state);
    assert_said("shutdown-2-1 late-timer-1");
    loop_graceful_stop(&server.graceful);
    assert_int_equal(5 * LOOP_SEC, loop_now(*state));
}

static void without_a_callback_what_is_left_is_closed_all_the_same(void **state)
{
    struct server server = {.finish = false};
    serve(*state, &server, 25 * LOOP_SEC, NULL);
    raise(SIGINT);
    run(*state);
    assert_said("shutdown-2-1 work work");
    loop_graceful_stop(&server.graceful);
}

static void close_both(struct loop_handle *handle, void *arg)
{
    struct server *server = arg;
    say("late");
    (void)handle;
    loop_close(&server->work.handle, NULL);
    loop_close(&server->other.handle, NULL);
}

static void what_is_closed_at_the_deadline_already_is_left_alone(void **state)
{
    struct server server = {.graceful.data = &server};
    serve(*state, &server, 5 * LOOP_SEC, close_both);
    loop_timer_init(*state, &server.other);
    assert_int_equal(0, loop_timer_start(&server.other, 10 * LOOP_SEC, 0, on_work));
    raise(SIGINT);
    run(*state);
    assert_said("shutdown-2-1 late");
    loop_graceful_stop(&server.graceful);
}

static void waiting_for_it_keeps_no_loop_alive(void **state)
{
    struct server server = {.finish = false};
    assert_int_equal(0, loop_graceful_start(*state, &server.graceful, 0, on_shutdown, NULL));
    assert_false(loop_alive(*state));
    run(*state);
    loop_graceful_stop(&server.graceful);
    loop_graceful_stop(&server.graceful);
    assert_int_equal(-EINVAL, loop_graceful_start(*state, &server.graceful, 0, NULL, NULL));
    assert_int_equal(-EINVAL, loop_graceful_start(*state, NULL, 0, on_shutdown, NULL));
    assert_true(is_default(SIGTERM) && is_default(SIGINT));
}

static void on_shutdown_hang(struct loop_graceful *graceful, int number)
{
    (void)graceful;
    raise(number); /* the second: the process ends here */
}

static void a_second_signal_ends_the_process(void **state)
{
    struct loop_graceful graceful;
    struct loop_timer work;
    int status;
    pid_t child = fork();
    if (child == 0) {
        loop_after_fork(*state);
        loop_timer_init(*state, &work);
        loop_timer_start(&work, LOOP_SEC, 0, on_work);
        loop_graceful_start(*state, &graceful, LOOP_NEVER, on_shutdown_hang, NULL);
        raise(SIGINT);
        loop_run(*state, LOOP_RUN_NOWAIT);
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGINT, WTERMSIG(status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(signals_before_the_callback_are_one),
        virtual_test(one_raised_in_the_callback_is_told_in_the_next_turn),
        virtual_test(all_handles_are_told_in_the_order_of_their_start),
        virtual_test(a_handle_for_one_signal_is_stopped_before_its_callback),
        virtual_test(it_may_be_started_again_in_its_callback),
        virtual_test(a_handle_may_be_given_another_signal),
        virtual_test(signals_are_told_behind_all_else_of_their_batch),
        real_test(a_signal_wakes_a_loop_that_sleeps),
        virtual_test(what_came_before_the_stop_is_not_told),
        virtual_test(a_handle_stopped_by_another_is_not_told),
        virtual_test(a_handle_started_by_another_waits_for_the_next_signal),
        virtual_test(every_handle_may_be_closed_in_a_callback),
        virtual_test(a_stopped_handle_may_be_freed_in_its_callback),
        virtual_test(it_keeps_the_loop_alive_while_it_is_active_and_referenced),
        virtual_test(what_nobody_can_catch_is_refused),
        virtual_test(without_descriptors_or_memory_nothing_is_started),
        virtual_test(the_handler_that_the_program_had_is_back_with_the_last_stop),
        virtual_test(one_that_the_program_puts_over_ours_stays),
        virtual_test(who_still_calls_our_handler_reaches_the_one_before),
        virtual_test(an_ignored_signal_is_told_and_ignored_again),
        virtual_test(two_loops_are_both_told),
        real_test(one_signal_reaches_the_loops_of_all_threads),
        real_test(a_storm_of_signals_loses_none_in_kind_and_interrupts_nothing),
        real_test(starting_and_stopping_races_with_nothing),
        virtual_test(a_forked_child_has_signals_of_its_own),
        virtual_test(what_came_to_the_parent_is_not_told_to_its_child),
        virtual_test(a_server_that_finishes_in_time_just_ends),
        virtual_test(what_is_left_at_the_deadline_is_closed),
        virtual_test(without_a_callback_what_is_left_is_closed_all_the_same),
        virtual_test(what_is_closed_at_the_deadline_already_is_left_alone),
        virtual_test(waiting_for_it_keeps_no_loop_alive),
        virtual_test(a_second_signal_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
