/* Commands: run to their end as one request, fed, listened to, bounded.
 *
 * The callback comes once, when the process has ended and both its outputs have. A command that
 * writes too much, takes too long or is cancelled is killed with its whole group, and what it had
 * written is there. Outputs are values: freed behind the callback unless taken. What cannot be
 * started is told by the call. The request alone keeps the loop alive, and no walk finds what it
 * consists of.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SH(command)                                                                                \
    {                                                                                              \
        .file = "sh", .args = (const char *const[])                                                \
        {                                                                                          \
            "sh", "-c", command, NULL                                                              \
        }                                                                                          \
    }

static char *taken_out, *taken_err;
static size_t last_out_size, last_err_size;

static void on_done(struct loop_exec *exec, int status)
{
    say("%s-%d-%d-in-%s", loop_error_name(status), exec->exit_status, exec->term_signal,
        loop_phase_name(loop_phase(exec->request.loop)));
    last_out_size = exec->out_size;
    last_err_size = exec->err_size;
    if (exec->out_size > 0 && exec->out_size < 100)
        say("out:%s", exec->out);
    if (exec->err_size > 0)
        say("err:%s", exec->err);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static bool has_children(void)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
}

static void wait_until_no_child_is_left(struct loop *loop)
{
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    while (has_children()) {
        loop_timer_start(&timer, 1 * LOOP_MS, 0, on_timer);
        run(loop);
    }
}

static void both_outputs_and_the_status_arrive(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("printf one; printf two >&2; exit 3")};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    assert_true(loop_alive(*state));
    assert_said("");
    run(*state);
    assert_said("OK-3-0-in-poll out:one err:two");
    assert_false(has_children());
}

static void a_command_that_says_nothing_has_no_output(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = {.file = "true"}};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("OK-0-0-in-poll");
    options.process = (struct loop_process_options)SH("kill -9 $$");
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done)); /* the same request again */
    run(*state);
    assert_said("OK-137-9-in-poll");
}

static void input_is_fed_however_much_it_is(void **state)
{
    enum { SIZE = 20 << 20 }; /* more than a stream's queue holds by default */
    struct loop_exec exec = {.job = NULL};
    char *input = malloc(SIZE);
    assert_non_null(input);
    memset(input, 'x', SIZE);
    struct loop_exec_options options = {.process = SH("wc -c"), .input = input, .input_size = SIZE};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("OK-0-0-in-poll out:20971520\n");
    options.process = (struct loop_process_options){.file = "cat"};
    options.out_max = SIZE;
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("OK-0-0-in-poll");
    assert_int_equal(SIZE, last_out_size);
    free(input);
}

static void a_command_that_does_not_read_its_input_is_none_the_worse(void **state)
{
    enum { SIZE = 1 << 20 };
    static char input[SIZE];
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("exec <&-; echo done"),
                                        .input = input,
                                        .input_size = SIZE};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("OK-0-0-in-poll out:done\n");
    options.process = (struct loop_process_options)SH("echo done");
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("OK-0-0-in-poll out:done\n");
}

static void too_much_output_ends_it_and_what_fits_is_there(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("yes"), .out_max = 8};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("ENOBUFS--10-0-in-poll out:y\ny\ny\ny\n");
    options.process = (struct loop_process_options)SH("yes >&2");
    options.err_max = 2;
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("ENOBUFS--10-0-in-poll err:y\n");
    options.process = (struct loop_process_options)SH("printf 12345678");
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("OK-0-0-in-poll out:12345678"); /* exactly as much as is allowed */
    wait_until_no_child_is_left(*state);
}

static void by_default_a_mebibyte_of_output_is_kept(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("head -c 1048576 /dev/zero")};
    assert_int_equal(1048576, LOOP_EXEC_OUTPUT_MAX);
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    assert_said("OK-0-0-in-poll");
    assert_int_equal(LOOP_EXEC_OUTPUT_MAX, last_out_size);
    options.process = (struct loop_process_options)SH("head -c 1048577 /dev/zero");
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    run(*state);
    const char *words = said(); /* it may have ended before */
    assert_int_equal(0, strncmp("ENOBUFS-", words, 8));
    assert_int_equal(LOOP_EXEC_OUTPUT_MAX, last_out_size);
    wait_until_no_child_is_left(*state);
}

static void at_the_deadline_the_whole_group_is_killed(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("sleep 60 & sleep 60 & wait")};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    assert_int_equal(0, loop_request_deadline(&exec.request, 3600 * LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&exec.request, 20 * LOOP_MS));
    run(*state);
    assert_said("ETIMEDOUT--10-0-in-pending");
    wait_until_no_child_is_left(*state);
}

/* What the shell left behind when it ended holds the output open. */
static void a_deadline_ends_descendants_whose_leader_is_gone(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("sleep 60 & echo $!")};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    while (has_children())
        assert_int_equal(1, loop_run(*state, LOOP_RUN_ONCE));
    assert_int_equal(0, loop_request_deadline(&exec.request, LOOP_MS));
    run(*state);
    const char *words = said();
    assert_non_null(strstr(words, "ETIMEDOUT-0-0-in-pending out:"));
}

static void a_deadline_that_is_put_off_does_not_end_it(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("sleep 0.05; echo x")};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    assert_int_equal(0, loop_request_deadline(&exec.request, 1 * LOOP_MS));
    assert_int_equal(0, loop_request_deadline(&exec.request, 3600 * LOOP_SEC));
    run(*state);
    assert_said("OK-0-0-in-poll out:x\n");
}

static void cancelling_kills_it_and_is_told_once(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("sleep 60")};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    assert_int_equal(0, loop_request_cancel(&exec.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&exec.request));
    assert_said("");
    run(*state);
    assert_said("ECANCELED--10-0-in-pending");
    wait_until_no_child_is_left(*state);
}

static void on_done_take(struct loop_exec *exec, int status)
{
    on_done(exec, status);
    taken_out = loop_exec_take_out(exec);
    taken_err = loop_exec_take_err(exec);
    memset(exec, 0xff, sizeof(*exec)); /* it may be freed here */
}

static void what_is_taken_belongs_to_the_caller(void **state)
{
    struct loop *loop = *state;
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("echo kept")};
    assert_int_equal(0, loop_exec(loop, &exec, &options, on_done_take));
    run(loop);
    assert_said("OK-0-0-in-poll out:kept\n");
    assert_string_equal("kept\n", taken_out);
    assert_null(taken_err);
    loop->options.allocator.resize(NULL, taken_out, 0);
}

static void on_done_again(struct loop_exec *exec, int status)
{
    struct loop_exec_options options = {.process = SH("echo again")};
    on_done(exec, status);
    assert_int_equal(0, loop_exec(exec->request.loop, exec, &options, on_done));
}

static void it_may_be_started_again_in_its_callback(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("echo first")};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done_again));
    run(*state);
    assert_said("OK-0-0-in-poll out:first\n OK-0-0-in-poll out:again\n");
}

static void count_handle(struct loop_handle *handle, void *arg)
{
    (void)handle;
    ++*(int *)arg;
}

static void it_is_found_by_no_walk(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("echo x")};
    int count = 0;
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    loop_walk(*state, count_handle, &count);
    assert_int_equal(0, count);
    assert_int_equal(-EBUSY, loop_fini(*state));
    loop_request_unref(&exec.request);
    assert_false(loop_alive(*state));
    loop_request_ref(&exec.request);
    run(*state);
    assert_said("OK-0-0-in-poll out:x\n");
}

static void what_cannot_be_started_is_told_by_the_call(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_stdio stdio = {.kind = LOOP_STDIO_NULL};
    struct loop_exec_options options = {.process = {.file = "/no/such/program"}};
    assert_int_equal(-ENOENT, loop_exec(*state, &exec, &options, on_done));
    options.process.file = "true";
    assert_int_equal(-EINVAL, loop_exec(*state, &exec, &options, NULL));
    assert_int_equal(-EINVAL, loop_exec(*state, NULL, &options, on_done));
    assert_int_equal(-EINVAL, loop_exec(NULL, &exec, &options, on_done));
    options.input_size = 1;
    assert_int_equal(-EINVAL, loop_exec(*state, &exec, &options, on_done));
    options.input_size = 0;
    options.process.stdio = &stdio;
    assert_int_equal(-EINVAL, loop_exec(*state, &exec, &options, on_done));
    assert_false(loop_alive(*state));
    run(*state);
    assert_said("");
}

/* Of how many allocations the first fail; then of how many descriptors are left. */
static int fail_after;

static void *scarce_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size > 0 && fail_after-- <= 0)
        return NULL;
    if (size > 0)
        return realloc(memory, size);
    free(memory);
    return NULL;
}

static void without_memory_or_descriptors_nothing_is_left_behind(void **state)
{
    struct rlimit before, few;
    int failures = 0, lowest = dup(0);
    close(lowest);
    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 16; i++) {
        struct loop loop = {0};
        struct loop_options scarce = {.allocator.resize = scarce_memory};
        struct loop_exec exec = {.job = NULL};
        struct loop_exec_options options = {.process = SH("cat"), .input = "x", .input_size = 1};
        fail_after = 1000;
        assert_int_equal(0, loop_init(&loop, &scarce));
        fail_after = i < 8 ? i : 1000;
        few = (struct rlimit){(rlim_t)(lowest + i - 6), before.rlim_max};
        if (i >= 8)
            setrlimit(RLIMIT_NOFILE, &few);
        int error = loop_exec(&loop, &exec, &options, on_done);
        setrlimit(RLIMIT_NOFILE, &before);
        failures += error != 0;
        assert_true(error == 0 || error == -ENOMEM || error == -EMFILE);
        run(&loop);
        fail_after = 1000;
        wait_until_no_child_is_left(&loop);
        assert_int_equal(0, loop_fini(&loop));
        said();
    }
    assert_true(failures >= 4);
}

static int abandon_it(void *arg)
{
    struct loop_exec *exec = arg;
    struct loop *loop = exec->request.loop;
    if (loop_after_fork(loop) < 0 || loop_run(loop, LOOP_RUN_DEFAULT) < 0)
        return 1;
    return strcmp("ECANCELED--10-0-in-pending", said()) != 0;
}

static void a_forked_child_is_told_that_it_is_cancelled_and_the_parent_goes_on(void **state)
{
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = SH("cat; echo y"),
                                        .input = "x",
                                        .input_size = 1};
    assert_int_equal(0, loop_exec(*state, &exec, &options, on_done));
    in_child(abandon_it, &exec);
    run(*state);
    assert_said("OK-0-0-in-poll out:xy\n");
}

static void on_done_count(struct loop_exec *exec, int status)
{
    *(int *)exec->request.data += status == 0 && exec->exit_status == 0 && exec->out_size == 3;
}

enum { COMMANDS = 50 };

static void *run_many(void *arg)
{
    static struct loop_exec execs[2][COMMANDS];
    struct loop loop;
    int done = 0, thread = *(int *)arg;
    struct loop_exec_options options = {.process = SH("cat"), .input = "abc", .input_size = 3};
    if (loop_init(&loop, NULL) < 0)
        return arg;
    for (int i = 0; i < COMMANDS; i++) {
        execs[thread][i].request.data = &done;
        if (loop_exec(&loop, &execs[thread][i], &options, on_done_count) < 0)
            return arg;
    }
    if (loop_run(&loop, LOOP_RUN_DEFAULT) < 0)
        return arg;
    return loop_fini(&loop) < 0 || done != COMMANDS ? arg : NULL;
}

static void two_threads_run_commands_at_once(void **state)
{
    pthread_t threads[2];
    int numbers[2] = {0, 1};
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, run_many, &numbers[i]));
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_false(has_children());
}

static void start_twice(void)
{
    struct loop loop = {0};
    struct loop_exec exec = {.job = NULL};
    struct loop_exec_options options = {.process = {.file = "true"}};
    loop_init(&loop, NULL);
    loop_exec(&loop, &exec, &options, on_done);
    loop_exec(&loop, &exec, &options, on_done);
}

static void a_request_in_flight_is_not_started_again(void **state)
{
    (void)state;
    assert_panics(start_twice, "exec request was started again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(both_outputs_and_the_status_arrive),
        real_test(a_command_that_says_nothing_has_no_output),
        real_test(input_is_fed_however_much_it_is),
        real_test(a_command_that_does_not_read_its_input_is_none_the_worse),
        real_test(too_much_output_ends_it_and_what_fits_is_there),
        real_test(by_default_a_mebibyte_of_output_is_kept),
        real_test(at_the_deadline_the_whole_group_is_killed),
        real_test(a_deadline_ends_descendants_whose_leader_is_gone),
        real_test(a_deadline_that_is_put_off_does_not_end_it),
        real_test(cancelling_kills_it_and_is_told_once),
        real_test(what_is_taken_belongs_to_the_caller),
        real_test(it_may_be_started_again_in_its_callback),
        real_test(it_is_found_by_no_walk),
        real_test(what_cannot_be_started_is_told_by_the_call),
        real_test(without_memory_or_descriptors_nothing_is_left_behind),
        real_test(a_forked_child_is_told_that_it_is_cancelled_and_the_parent_goes_on),
        real_test(two_threads_run_commands_at_once),
        real_test(a_request_in_flight_is_not_started_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
