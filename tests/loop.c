/* The loop: modes, stop, alive, nesting, embedding, the clocks, fork, errors.
 *
 * LOOP_RUN_DEFAULT turns until nothing is left; ONCE sleeps for one turn, runs the timer it slept
 * for, and returns whether the loop is still alive; NOWAIT never sleeps. loop_stop() before
 * loop_run() makes that run return at once; inside a phase the turn is completed, without blocking.
 * loop_run() does not nest. A forked child may not run the loop before loop_after_fork(). A loop
 * with anything left is not finished.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
    say("timer");
}

static void on_hook(struct loop_hook *hook)
{
    const char *type = loop_handle_type(&hook->handle);
    say("%.*s", (int)strcspn(type, " "), type);
}

static void stop_loop(struct loop_timer *timer)
{
    say("stop");
    loop_stop(timer->handle.loop);
}

static void start(struct loop *loop, struct loop_timer *timer, uint64_t after_ms, loop_timer_cb cb)
{
    loop_timer_init(loop, timer);
    assert_int_equal(0, loop_timer_start(timer, after_ms * LOOP_MS, 0, cb));
}

static void nothing_is_left_and_so_nothing_runs(void **state)
{
    struct loop *loop = *state;
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_ONCE));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_int_equal(0, loop_turn(loop));
}

static void the_modes_differ_in_where_a_due_timer_runs(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct loop_hook prepare, check;
    const enum loop_mode modes[] = {LOOP_RUN_DEFAULT, LOOP_RUN_ONCE, LOOP_RUN_NOWAIT};
    const char *const expected[] = {"timer prepare check timer", "prepare check timer",
                                    "prepare check timer"};
    loop_prepare_init(loop, &prepare);
    loop_check_init(loop, &check);
    loop_hook_start(&prepare, on_hook);
    loop_hook_start(&check, on_hook);
    loop_unref(&prepare.handle);
    loop_unref(&check.handle);
    for (size_t i = 0; i < ARRAY_LENGTH(modes); i++) {
        struct loop_timer later;
        start(loop, &timer, 0, on_timer);
        if (modes[i] == LOOP_RUN_DEFAULT)
            start(loop, &later, 1, on_timer);
        assert_int_equal(0, loop_run(loop, modes[i]));
        assert_said(expected[i]);
    }
    loop_hook_stop(&prepare);
    loop_hook_stop(&check);
}

static void a_due_timer_that_is_unreferenced_does_not_run_on_a_dead_loop(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    start(loop, &timer, 0, on_timer);
    loop_unref(&timer.handle);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("");
    loop_timer_stop(&timer);
}

static void once_sleeps_until_the_next_timer_and_runs_it(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    start(loop, &timer, 20, on_timer);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_said("");
    assert_int_equal(0, loop_run(loop, LOOP_RUN_ONCE));
    assert_said("timer");
}

static void a_stop_before_the_run_makes_that_one_run_return_at_once(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    start(loop, &timer, 0, on_timer);
    loop_stop(loop);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("");
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("timer");
}

static void a_stop_in_the_first_timers_pass_ends_the_run_behind_it(void **state)
{
    struct loop *loop = *state;
    struct loop_timer a, b;
    struct loop_hook prepare;
    loop_prepare_init(loop, &prepare);
    loop_hook_start(&prepare, on_hook);
    start(loop, &a, 0, stop_loop);
    start(loop, &b, 0, on_timer);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("stop timer");
    start(loop, &a, 0, stop_loop);
    start(loop, &b, 0, on_timer);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE));
    assert_said("prepare stop timer");
    loop_hook_stop(&prepare);
}

static void stop_in_prepare(struct loop_hook *hook)
{
    on_hook(hook);
    loop_stop(hook->handle.loop);
}

static void a_stop_inside_a_turn_completes_it_without_sleeping(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct loop_hook prepare, check;
    loop_prepare_init(loop, &prepare);
    loop_hook_start(&prepare, stop_in_prepare);
    loop_check_init(loop, &check);
    loop_hook_start(&check, on_hook);
    start(loop, &timer, 500, on_timer);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("prepare check");
    assert_true(loop_now(loop) < 500 * LOOP_MS);
    loop_hook_stop(&prepare);
    loop_hook_stop(&check);
    loop_timer_stop(&timer);
}

static void run_again(struct loop_timer *timer)
{
    struct loop *loop = timer->handle.loop;
    assert_int_equal(-EBUSY, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(-EBUSY, loop_fini(loop));
    say("refused");
}

static void the_loop_does_not_nest_and_is_not_finished_inside(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    start(loop, &timer, 0, run_again);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("refused");
}

static void a_loop_with_anything_left_is_not_finished(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    start(loop, &timer, 0, on_timer);
    loop_unref(&timer.handle);
    assert_int_equal(-EBUSY, loop_fini(loop));
    loop_timer_stop(&timer);
}

static void bad_arguments_are_refused(void **state)
{
    struct loop *loop = *state, other;
    struct loop_options options = {.clock = (enum loop_clock)7};
    assert_int_equal(-EINVAL, loop_run(NULL, LOOP_RUN_DEFAULT));
    assert_int_equal(-EINVAL, loop_run(loop, (enum loop_mode)9));
    assert_int_equal(-EINVAL, loop_init(NULL, NULL));
    assert_int_equal(-EINVAL, loop_init(&other, &options));
    options = (struct loop_options){.events_max = UINT32_MAX};
    assert_int_equal(-EINVAL, loop_init(&other, &options));
    assert_int_equal(-EINVAL, loop_fini(NULL));
    assert_int_equal(-EINVAL, loop_after_fork(NULL));
}

static struct loop *watched;

static void say_phase(struct loop_hook *hook)
{
    say("%s", loop_phase_name(loop_phase(hook->handle.loop)));
    loop_hook_stop(hook);
}

static void say_phase_of_task(struct loop_task *task)
{
    say("%s", loop_phase_name(loop_phase(task->loop)));
}

static void say_phase_of_handle(struct loop_handle *handle)
{
    say("%s", loop_phase_name(loop_phase(handle->loop)));
}

static void say_phase_of_timer(struct loop_timer *timer)
{
    say("%s", loop_phase_name(loop_phase(timer->handle.loop)));
    loop_close(&timer->handle, say_phase_of_handle);
}

static void the_phase_is_known_inside_and_none_outside(void **state)
{
    struct loop *loop = watched = *state;
    struct loop_timer timer;
    struct loop_hook hooks[3];
    struct loop_task immediate = {0}, posted = {0};
    loop_idle_init(loop, &hooks[0]);
    loop_prepare_init(loop, &hooks[1]);
    loop_check_init(loop, &hooks[2]);
    for (size_t i = 0; i < ARRAY_LENGTH(hooks); i++)
        loop_hook_start(&hooks[i], say_phase);
    start(loop, &timer, 0, say_phase_of_timer);
    loop_immediate(loop, &immediate, say_phase_of_task);
    loop_post(loop, &posted, say_phase_of_task);
    assert_int_equal(LOOP_PHASE_NONE, loop_phase(loop));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(LOOP_PHASE_NONE, loop_phase(loop));
    assert_said("timers idle prepare poll check check closing");
}

static void the_virtual_clock_jumps_and_never_sleeps(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    assert_true(loop_now(loop) == 0);
    start(loop, &timer, 3600 * 1000 * 24, on_timer);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_true(loop_now(loop) == 24 * 3600 * LOOP_SEC);
    loop_update_now(loop);
    assert_true(loop_now(loop) == 24 * 3600 * LOOP_SEC);
    assert_said("timer");
}

static void the_boot_time_clock_runs_timers_too(void **state)
{
    struct loop loop;
    struct loop_timer timer;
    struct loop_options options = test_options(LOOP_CLOCK_BOOTTIME);
    (void)state;
    assert_int_equal(0, loop_init(&loop, &options));
    start(&loop, &timer, 2, on_timer);
    assert_int_equal(0, loop_run(&loop, LOOP_RUN_DEFAULT));
    assert_int_equal(0, loop_fini(&loop));
    assert_said("timer");
}

static void the_clock_stands_still_inside_a_phase(struct loop_timer *timer)
{
    uint64_t before_ns = loop_now(timer->handle.loop);
    busy_ns(2 * LOOP_MS);
    assert_true(loop_now(timer->handle.loop) == before_ns);
    loop_update_now(timer->handle.loop);
    assert_true(loop_now(timer->handle.loop) >= before_ns + 2 * LOOP_MS);
}

static void the_clock_is_cached(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    start(loop, &timer, 0, the_clock_stands_still_inside_a_phase);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void the_backend_timeout_is_that_of_the_next_poll(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct loop_hook idle;
    struct loop_task task = {0};
    assert_int_equal(0, loop_backend_timeout(loop)); /* nothing to wait for */
    start(loop, &timer, 7, on_timer);
    assert_true(loop_backend_timeout(loop) == 7 * (int64_t)LOOP_MS);
    loop_idle_init(loop, &idle);
    loop_hook_start(&idle, on_hook);
    assert_int_equal(0, loop_backend_timeout(loop));
    loop_hook_stop(&idle);
    loop_immediate(loop, &task, say_phase_of_task);
    assert_int_equal(0, loop_backend_timeout(loop));
    loop_task_cancel(&task);
    loop_timer_start(&timer, LOOP_NEVER, 0, on_timer);
    assert_int_equal(-1, loop_backend_timeout(loop));
    loop_timer_stop(&timer);
}

static void ask_in_prepare(struct loop_hook *hook)
{
    assert_true(loop_backend_timeout(hook->handle.loop) > 0);
    loop_hook_stop(hook);
}

/* On the virtual clock a sleep would be a jump to the timer. */
static void asking_for_the_backend_timeout_does_not_make_a_turn_sleep(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct loop_hook prepare;
    start(loop, &timer, 500, on_timer);
    loop_prepare_init(loop, &prepare);
    loop_hook_start(&prepare, ask_in_prepare);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_NOWAIT));
    assert_said("");
    loop_timer_stop(&timer);
}

/* A host that knows descriptors and timeouts only. */
static void host(struct loop *loop)
{
    while (loop_alive(loop)) {
        int64_t wait_ns = loop_backend_timeout(loop);
        struct pollfd fd = {.fd = loop_backend_fd(loop), .events = POLLIN};
        poll(&fd, 1, wait_ns < 0 ? -1 : (int)((wait_ns + 999999) / (int64_t)LOOP_MS));
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    }
}

static void on_readable(struct loop_poll *watch, int status, uint32_t events)
{
    assert_int_equal(0, status);
    assert_int_equal(LOOP_READABLE, events);
    say("readable");
    loop_poll_stop(watch);
}

static void write_byte(struct loop_timer *timer)
{
    int *fd = timer->handle.data;
    assert_int_equal(1, write(*fd, "x", 1));
    say("written");
}

static void another_loop_can_host_ours(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct loop_poll watch;
    int ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    loop_poll_init(loop, &watch, ends[0]);
    assert_int_equal(0, loop_poll_start(&watch, LOOP_READABLE, on_readable));
    start(loop, &timer, 5, write_byte);
    timer.handle.data = &ends[1];
    host(loop);
    assert_said("written readable");
    close(ends[0]);
    close(ends[1]);
}

static void on_posted(struct loop_task *task)
{
    struct loop_timer *timer = task->data;
    say("posted");
    loop_timer_start(timer, LOOP_MS, 0, on_timer);
}

/* The parent's watch, timer and posted task are the child's too, and do not disturb each other. */
static int run_forked(void *arg)
{
    struct loop *loop = arg;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != -ECHILD || loop_after_fork(loop) != 0)
        return 1;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 2;
    return strcmp("posted timer", said()) == 0 ? 0 : 3;
}

static void a_forked_child_runs_its_copy_only_after_loop_after_fork(void **state)
{
    struct loop *loop = *state;
    struct loop_timer timer;
    struct loop_task task = {.data = &timer};
    loop_timer_init(loop, &timer);
    loop_post(loop, &task, on_posted);
    in_child(run_forked, loop);
    assert_int_equal(0, loop_after_fork(loop)); /* in the parent it does nothing */
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("posted timer");
}

static struct loop_poll forked_watch;

static int watch_forked(void *arg)
{
    struct loop *loop = arg;
    if (loop_after_fork(loop) != 0)
        return 1;
    loop_poll_stop(&forked_watch); /* must not stop the parent's */
    return loop_run(loop, LOOP_RUN_DEFAULT);
}

static void a_child_does_not_undo_what_its_parent_watches(void **state)
{
    struct loop *loop = *state;
    int ends[2];
    assert_int_equal(0, pipe(ends));
    loop_poll_init(loop, &forked_watch, ends[0]);
    assert_int_equal(0, loop_poll_start(&forked_watch, LOOP_READABLE, on_readable));
    in_child(watch_forked, loop);
    assert_int_equal(1, write(ends[1], "x", 1));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("readable");
    close(ends[0]);
    close(ends[1]);
}

static int finish_forked(void *arg)
{
    struct loop *loop = arg;
    loop_poll_stop(&forked_watch);
    if (loop_poll_start(&forked_watch, LOOP_READABLE, on_readable) != -ECHILD)
        return 1;
    return loop_fini(loop);
}

static void a_child_may_finish_its_copy_and_leave_the_parent_be(void **state)
{
    struct loop *loop = *state;
    int ends[2];
    assert_int_equal(0, pipe(ends));
    loop_poll_init(loop, &forked_watch, ends[0]);
    assert_int_equal(0, loop_poll_start(&forked_watch, LOOP_READABLE, on_readable));
    in_child(finish_forked, loop);
    assert_int_equal(1, write(ends[1], "x", 1));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_said("readable");
    close(ends[0]);
    close(ends[1]);
}

static pid_t forked_in_callback;

static void fork_in_callback(struct loop_hook *hook)
{
    loop_hook_stop(hook);
    forked_in_callback = fork();
}

/* The child's turn ends without a look at the parent's events. */
static void a_child_forked_in_a_callback_comes_out_of_the_run(void **state)
{
    struct loop *loop = *state;
    struct loop_hook prepare;
    int ends[2], status;
    assert_int_equal(0, pipe(ends));
    loop_poll_init(loop, &forked_watch, ends[0]);
    assert_int_equal(0, loop_poll_start(&forked_watch, LOOP_READABLE, on_readable));
    assert_int_equal(1, write(ends[1], "x", 1));
    loop_prepare_init(loop, &prepare);
    loop_hook_start(&prepare, fork_in_callback);
    int left = loop_run(loop, LOOP_RUN_DEFAULT);
    if (forked_in_callback == 0)
        _exit(left == -ECHILD && *said() == '\0' ? 0 : 1);
    assert_int_equal(0, left);
    assert_said("readable");
    assert_int_equal(forked_in_callback, waitpid(forked_in_callback, &status, 0));
    assert_int_equal(0, status);
    close(ends[0]);
    close(ends[1]);
}

static int lowest_free_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

/* The soft limit is put back each time, so that the next round meets the limit that it means. */
static int no_descriptors(void *arg)
{
    struct loop loop;
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct rlimit limit, tight;
    (void)arg;
    getrlimit(RLIMIT_NOFILE, &limit);
    int lowest = lowest_free_descriptor();
    for (int spare = 0; spare < 3; spare++) { /* none for epoll; for the eventfd; enough */
        tight = limit;
        tight.rlim_cur = (rlim_t)(lowest + spare);
        setrlimit(RLIMIT_NOFILE, &tight);
        int error = loop_init(&loop, &options);
        setrlimit(RLIMIT_NOFILE, &limit);
        if (error != (spare < 2 ? -EMFILE : 0) || (!error && loop_fini(&loop) != 0))
            return 1 + spare;
        if (lowest_free_descriptor() != lowest)
            return 4;
    }
    return 0;
}

static void without_descriptors_init_fails_and_leaves_nothing(void **state)
{
    (void)state;
    in_child(no_descriptors, NULL);
}

static int no_descriptor_for_the_timer(void *arg)
{
    struct loop loop;
    struct loop_timer timer;
    (void)arg;
    if (loop_init(&loop, NULL) != 0)
        return 1;
    int lowest = dup(0);
    struct rlimit limit = {(rlim_t)lowest, (rlim_t)lowest};
    close(lowest);
    setrlimit(RLIMIT_NOFILE, &limit);
    start(&loop, &timer, 3, on_timer);
    uint64_t before_ns = loop_now(&loop);
    if (loop_run(&loop, LOOP_RUN_DEFAULT) != 0 || loop_now(&loop) < before_ns + 3 * LOOP_MS)
        return 2;
    return loop_fini(&loop);
}

static void without_a_descriptor_for_the_timerfd_timers_still_run(void **state)
{
    (void)state;
    in_child(no_descriptor_for_the_timer, NULL);
}

/* Where the C library learns how many there are a file of ours is mounted, seen by nobody else. */
static int run_on_one_processor(void *arg)
{
    static const char *const list = "/sys/devices/system/cpu/online";
    struct loop_options options = {.spin_ns = LOOP_MS};
    struct loop loop = {0};
    char path[] = "/tmp/loop-processors-XXXXXX";
    (void)arg;
    int fd = mkstemp(path);
    bool hidden = fd >= 0 && write(fd, "0\n", 2) == 2 && unshare(CLONE_NEWNS) == 0 &&
                  mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
                  mount(path, list, "", MS_BIND, NULL) == 0 && sysconf(_SC_NPROCESSORS_ONLN) == 1;
    unlink(path);
    close(fd);
    if (!hidden)
        return 0; /* that is for root, and glibc */
    if (loop_init(&loop, &options) < 0)
        return 1;
    return loop.options.spin_ns == 0 && loop_fini(&loop) == 0 ? 0 : 2;
}

static void on_one_processor_nobody_spins(void **state)
{
    (void)state;
    in_child(run_on_one_processor, NULL);
}

static void errors_have_names_and_sentences(void **state)
{
    (void)state;
    assert_string_equal("ENOENT", loop_error_name(-ENOENT));
    assert_string_equal("No such file or directory", loop_strerror(-ENOENT));
    assert_string_equal("OK", loop_error_name(0));
    assert_string_equal("no error", loop_strerror(0));
    assert_string_equal("UNKNOWN", loop_error_name(-100000));
    assert_string_equal("unknown error", loop_strerror(-100000));
    assert_string_equal("UNKNOWN", loop_error_name(5));
    assert_string_equal("unknown error", loop_strerror(INT32_MIN));
    assert_string_equal("UNKNOWN", loop_error_name(INT32_MIN));
}

static void the_version_of_the_header_is_that_of_the_library(void **state)
{
    (void)state;
    assert_string_equal(LOOP_VERSION_STRING, loop_version_string());
    assert_int_equal(LOOP_VERSION_MAJOR << 16 | LOOP_VERSION_MINOR << 8 | LOOP_VERSION_PATCH,
                     loop_version());
}

static struct loop other_threads_loop;

static void *start_timer_elsewhere(void *timer)
{
    loop_timer_start(timer, 0, 0, on_timer);
    return NULL;
}

static void use_on_another_thread(struct loop_timer *timer)
{
    pthread_t thread;
    pthread_create(&thread, NULL, start_timer_elsewhere, timer);
    pthread_join(thread, NULL);
}

static void wrong_thread(void)
{
    struct loop_timer timer;
    loop_init(&other_threads_loop, NULL);
    loop_timer_init(&other_threads_loop, &timer);
    loop_timer_start(&timer, 0, 0, use_on_another_thread);
    loop_run(&other_threads_loop, LOOP_RUN_DEFAULT);
}

static void descriptor_closed(void)
{
    struct loop loop;
    struct loop_timer timer;
    loop_init(&loop, NULL);
    start(&loop, &timer, 1, on_timer);
    close(loop_backend_fd(&loop));
    loop_run(&loop, LOOP_RUN_DEFAULT);
}

static void misuse_panics_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(wrong_thread, "the timer was used on another thread");
    assert_panics(descriptor_closed, "somebody closed descriptor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(nothing_is_left_and_so_nothing_runs),
        virtual_test(the_modes_differ_in_where_a_due_timer_runs),
        virtual_test(a_due_timer_that_is_unreferenced_does_not_run_on_a_dead_loop),
        virtual_test(once_sleeps_until_the_next_timer_and_runs_it),
        real_test(once_sleeps_until_the_next_timer_and_runs_it),
        virtual_test(a_stop_before_the_run_makes_that_one_run_return_at_once),
        virtual_test(a_stop_in_the_first_timers_pass_ends_the_run_behind_it),
        virtual_test(a_stop_inside_a_turn_completes_it_without_sleeping),
        virtual_test(the_loop_does_not_nest_and_is_not_finished_inside),
        virtual_test(a_loop_with_anything_left_is_not_finished),
        virtual_test(bad_arguments_are_refused),
        virtual_test(the_phase_is_known_inside_and_none_outside),
        virtual_test(the_virtual_clock_jumps_and_never_sleeps),
        virtual_test(the_boot_time_clock_runs_timers_too),
        real_test(the_clock_is_cached),
        virtual_test(the_backend_timeout_is_that_of_the_next_poll),
        virtual_test(asking_for_the_backend_timeout_does_not_make_a_turn_sleep),
        real_test(another_loop_can_host_ours),
        real_test(a_forked_child_runs_its_copy_only_after_loop_after_fork),
        real_test(a_child_does_not_undo_what_its_parent_watches),
        real_test(a_child_may_finish_its_copy_and_leave_the_parent_be),
        real_test(a_child_forked_in_a_callback_comes_out_of_the_run),
        virtual_test(without_descriptors_init_fails_and_leaves_nothing),
        virtual_test(without_a_descriptor_for_the_timerfd_timers_still_run),
        virtual_test(on_one_processor_nobody_spins),
        virtual_test(errors_have_names_and_sentences),
        virtual_test(the_version_of_the_header_is_that_of_the_library),
        virtual_test(misuse_panics_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
