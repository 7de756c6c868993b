/* Process handles: programs started, with the descriptors they are given, and told of once when
 * they have ended.
 *
 * What cannot be executed is told by the call: there is then no child, no callback, and descriptors
 * and pipes are as before. A child has exactly the descriptors of its map, its environment,
 * directory, session and group; every signal is at its default and the mask is that of the caller.
 * Exit statuses and signals arrive as they are. Closing a handle leaves no zombie, whether the
 * child ends before or after, and even if the loop is finished first. Signals reach the process and
 * no other. A process of somebody else can be waited for, but its status is not known.
 *
 * The children are shells and other programs that every system has.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SH(command) ((const char *const[]){"sh", "-c", command, NULL})

struct job {
    struct loop_process process;
    struct loop_pipe pipe;
    struct loop_write write;
    struct loop_shutdown end;
    char text[4096];
    size_t size;
    int exits;
    int exit_status;
    int term_signal;
};

static void on_end(struct loop_process *process, int exit_status, int term_signal)
{
    struct job *job = loop_container_of(process, struct job, process);
    job->exits++;
    job->exit_status = exit_status;
    job->term_signal = term_signal;
}

static void on_end_say(struct loop_process *process, int exit_status, int term_signal)
{
    on_end(process, exit_status, term_signal);
    say("%d-%d-in-%s", exit_status, term_signal, loop_phase_name(loop_phase(process->handle.loop)));
}

static void on_close(struct loop_handle *handle)
{
    say("close-%s", loop_handle_type(handle));
}

static void init(struct loop *loop, struct job *job)
{
    memset(job, 0, sizeof(*job));
    loop_process_init(loop, &job->process);
    loop_pipe_init(loop, &job->pipe);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static int spawn(struct job *job, const struct loop_process_options *options)
{
    return loop_process_spawn(&job->process, options, on_end);
}

static void spawn_shell(struct job *job, const char *command)
{
    struct loop_process_options options = {.file = "/bin/sh", .args = SH(command)};
    assert_int_equal(0, spawn(job, &options));
}

static bool has_children(void)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void on_output(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct job *job = loop_container_of(stream, struct job, pipe.stream);
    if (size < 0) {
        assert_int_equal(LOOP_EOF, size);
        loop_close(&stream->handle, NULL);
        return;
    }
    assert_true(job->size + (size_t)size < sizeof(job->text));
    memcpy(job->text + job->size, bytes, (size_t)size);
    job->size += (size_t)size;
}

/* Its output, as one text. options.stdio is filled in. */
static const char *output_of(struct loop *loop, struct job *job,
                             struct loop_process_options options)
{
    init(loop, job);
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_OUTPUT, .pipe = &job->pipe},
                                 {.kind = LOOP_STDIO_INHERIT}};
    options.stdio = stdio;
    options.stdio_count = 3;
    assert_int_equal(0, spawn(job, &options));
    assert_int_equal(0, loop_read_start(&job->pipe.stream, on_output));
    run(loop);
    assert_int_equal(1, job->exits);
    return job->text;
}

static const char *shell_output(struct loop *loop, struct job *job, const char *command)
{
    struct loop_process_options options = {.file = "sh", .args = SH(command)};
    return output_of(loop, job, options);
}

/* Ends. */

static void every_exit_status_arrives(void **state)
{
    static struct job jobs[256];
    char command[32];
    for (int i = 0; i < 256; i++) {
        init(*state, &jobs[i]);
        snprintf(command, sizeof(command), "exit %d", i);
        spawn_shell(&jobs[i], command);
        if (i % 64 == 63)
            run(*state);
    }
    for (int i = 0; i < 256; i++) {
        assert_int_equal(1, jobs[i].exits);
        assert_int_equal(i, jobs[i].exit_status);
        assert_int_equal(0, jobs[i].term_signal);
    }
    assert_false(has_children());
}

static void every_terminating_signal_arrives(void **state)
{
    static const int numbers[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP,  SIGABRT,
                                  SIGBUS,  SIGFPE,  SIGKILL, SIGUSR1, SIGSEGV,  SIGUSR2,
                                  SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGVTALRM};
    struct rlimit no_core = {0, 0}, before;
    getrlimit(RLIMIT_CORE, &before);
    no_core.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
        struct job job;
        struct loop_process_options options = {.file = "sleep",
                                               .args = (const char *const[]){"sleep", "60", NULL}};
        init(*state, &job);
        assert_int_equal(0, spawn(&job, &options));
        assert_int_equal(0, loop_process_kill(&job.process, numbers[i]));
        run(*state);
        assert_int_equal(1, job.exits);
        assert_int_equal(numbers[i], job.term_signal);
        assert_int_equal(128 + numbers[i], job.exit_status);
    }
    setrlimit(RLIMIT_CORE, &before);
}

static void the_end_is_told_in_the_poll_phase_and_the_handle_needs_no_closing(void **state)
{
    struct job job;
    struct loop_process_options options = {.file = "true"};
    init(*state, &job);
    assert_false(loop_is_active(&job.process.handle));
    assert_int_equal(0, loop_process_spawn(&job.process, &options, on_end_say));
    assert_true(loop_is_active(&job.process.handle));
    assert_true(job.process.pid > 0);
    assert_string_equal("process", loop_handle_type(&job.process.handle));
    assert_int_equal(-EBUSY, spawn(&job, &options));
    assert_int_equal(-EBUSY, loop_process_adopt(&job.process, getpid(), on_end));
    run(*state);
    assert_said("0-0-in-poll");
    assert_false(loop_is_active(&job.process.handle));
    assert_int_equal(-ESRCH, loop_process_kill(&job.process, SIGTERM));
    assert_int_equal(-ESRCH, loop_process_kill_group(&job.process, SIGTERM));
}

static void on_end_again(struct loop_process *process, int exit_status, int term_signal)
{
    struct loop_process_options options = {.file = "false"};
    on_end_say(process, exit_status, term_signal);
    if (loop_container_of(process, struct job, process)->exits < 4)
        assert_int_equal(0, loop_process_spawn(process, &options, on_end_again));
}

static void a_program_may_be_started_in_the_callback(void **state)
{
    struct job job;
    init(*state, &job);
    on_end_again(&job.process, 0, 0);
    run(*state);
    assert_said("0-0-in-outside 1-0-in-poll 1-0-in-poll 1-0-in-poll");
}

static void on_end_free(struct loop_process *process, int exit_status, int term_signal)
{
    on_end_say(process, exit_status, term_signal);
    free(loop_container_of(process, struct job, process));
}

static void the_handle_may_be_freed_in_the_callback(void **state)
{
    struct job *job = malloc(sizeof(*job));
    struct loop_process_options options = {.file = "true"};
    assert_non_null(job);
    init(*state, job);
    assert_int_equal(0, loop_process_spawn(&job->process, &options, on_end_free));
    run(*state);
    assert_said("0-0-in-poll");
}

static void on_end_close(struct loop_process *process, int exit_status, int term_signal)
{
    on_end_say(process, exit_status, term_signal);
    loop_close(&process->handle, on_close);
}

static void the_handle_may_be_closed_in_the_callback(void **state)
{
    struct job job;
    struct loop_process_options options = {.file = "true"};
    init(*state, &job);
    assert_int_equal(0, loop_process_spawn(&job.process, &options, on_end_close));
    run(*state);
    assert_said("0-0-in-poll close-process");
}

static void two_hundred_children_at_once(void **state)
{
    static struct job jobs[200];
    for (size_t i = 0; i < ARRAY_LENGTH(jobs); i++) {
        init(*state, &jobs[i]);
        spawn_shell(&jobs[i], "read line; exit 7");
    }
    run(*state);
    for (size_t i = 0; i < ARRAY_LENGTH(jobs); i++)
        assert_true(jobs[i].exits == 1 && jobs[i].exit_status == 7);
    assert_false(has_children());
}

static void an_unreferenced_process_keeps_no_loop_alive(void **state)
{
    struct job job;
    init(*state, &job);
    spawn_shell(&job, "exec sleep 60");
    loop_unref(&job.process.handle);
    run(*state);
    assert_int_equal(0, job.exits);
    assert_int_equal(0, loop_process_kill(&job.process, SIGKILL));
    loop_ref(&job.process.handle);
    run(*state);
    assert_int_equal(SIGKILL, job.term_signal);
}

/* What cannot be executed. */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(in_folder(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(strlen(text), write(fd, text, strlen(text)));
    assert_int_equal(0, fchmod(fd, mode));
    close(fd);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/libloop-process-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"plain", "text", "no-interpreter", "tool"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

/* The error, and everything as it was. */
static int refused(struct loop *loop, struct loop_process_options options)
{
    struct job job;
    init(loop, &job);
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe}};
    int descriptors = open_descriptors();
    if (!options.stdio) {
        options.stdio = stdio;
        options.stdio_count = 2;
    }
    int error = spawn(&job, &options);
    assert_int_equal(descriptors, open_descriptors());
    assert_false(has_children());
    assert_false(loop_is_active(&job.process.handle));
    assert_int_equal(-1, loop_stream_fd(&job.pipe.stream));
    assert_false(loop_alive(loop));
    return error;
}

static void try_arguments_that_are_too_long(void **state)
{
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'x', SIZE - 1);
    text[SIZE - 1] = '\0';
    struct loop_process_options options = {.file = "true",
                                           .args = (const char *const[]){"true", text, NULL}};
    assert_int_equal(-E2BIG, refused(*state, options));
    free(text);
}

static void what_cannot_be_executed_is_told_by_the_call(void **state)
{
    char path[256];
    make_file("plain", "not to be executed\n", 0600);
    make_file("text", "no program\n", 0700);
    make_file("no-interpreter", "#!/no/such/program\n", 0700);
    const struct {
        struct loop_process_options options;
        int error;
    } cases[] = {
        {{.file = "/no/such/program"}, -ENOENT},
        {{.file = "no-such-program-anywhere"}, -ENOENT},
        {{.file = ""}, -ENOENT},
        {{.file = "/bin/sh/x"}, -ENOTDIR},
        {{.file = "/tmp"}, -EACCES},
        {{.file = "true", .cwd = "/no/such/directory"}, -ENOENT},
        {{.file = "true", .cwd = "/bin/sh"}, -ENOTDIR},
        {{.file = "true", .env = (const char *const[]){"PATH=/no:/such", NULL}}, -ENOENT},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_int_equal(cases[i].error, refused(*state, cases[i].options));
    const struct {
        const char *name;
        int error;
    } files[] = {{"plain", -EACCES}, {"text", -ENOEXEC}, {"no-interpreter", -ENOENT}};
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        snprintf(path, sizeof(path), "%s", in_folder(files[i].name));
        struct loop_process_options options = {.file = path};
        assert_int_equal(files[i].error, refused(*state, options));
    }
    snprintf(path, sizeof(path), "PATH=/no:%s", folder); /* found, but not to be executed */
    struct loop_process_options denied = {.file = "plain",
                                          .env = (const char *const[]){path, NULL}};
    assert_int_equal(-EACCES, refused(*state, denied));
    try_arguments_that_are_too_long(state);
}

static void bad_options_are_refused(void **state)
{
    struct job job;
    struct loop_process_options options = {.file = "true", .flags = 1U << 20};
    struct loop_stdio stdio = {.kind = LOOP_STDIO_OUTPUT};
    init(*state, &job);
    assert_int_equal(-EINVAL, spawn(&job, &options));
    assert_int_equal(-EINVAL, spawn(&job, NULL));
    assert_int_equal(-EINVAL, loop_process_spawn(NULL, &options, on_end));
    options.flags = 0;
    assert_int_equal(-EINVAL, loop_process_spawn(&job.process, &options, NULL));
    options.stdio_count = 1;
    assert_int_equal(-EINVAL, spawn(&job, &options)); /* no map */
    options.stdio = &stdio;
    assert_int_equal(-EINVAL, spawn(&job, &options)); /* no pipe */
    stdio.kind = (enum loop_stdio_kind)99;
    assert_int_equal(-EINVAL, refused(*state, options));
    stdio.kind = LOOP_STDIO_FD;
    stdio.fd = -1;
    assert_int_equal(-EBADF, refused(*state, options));
    stdio.fd = 1000;
    assert_int_equal(-EBADF, refused(*state, options));
    options.stdio_count = LOOP_STDIO_MAX + 1;
    assert_int_equal(-EINVAL, spawn(&job, &options));
    options = (struct loop_process_options){0};
    assert_int_equal(-EINVAL, spawn(&job, &options));
    assert_int_equal(-EINVAL, loop_process_adopt(&job.process, 0, on_end));
    assert_int_equal(-EINVAL, loop_process_adopt(&job.process, getpid(), NULL));
    loop_close(&job.process.handle, on_close);
    options.file = "true";
    assert_int_equal(-ECANCELED, spawn(&job, &options));
    assert_int_equal(-ECANCELED, loop_process_kill(&job.process, 0));
    run(*state);
    assert_said("close-process");
}

/* A map that is one longer is refused above. */
static void a_child_may_be_given_256_descriptors(void **state)
{
    static struct loop_stdio stdio[LOOP_STDIO_MAX];
    struct job job;
    struct loop_process_options options = {
        .file = "sh",
        .args = SH("test -e /proc/$$/fd/255 && test ! -e /proc/$$/fd/256"),
        .stdio = stdio,
        .stdio_count = LOOP_STDIO_MAX};
    assert_int_equal(256, LOOP_STDIO_MAX);
    for (size_t i = 0; i < LOOP_STDIO_MAX; i++)
        stdio[i] = (struct loop_stdio){.kind = LOOP_STDIO_NULL};
    init(*state, &job);
    assert_int_equal(0, spawn(&job, &options));
    run(*state);
    assert_int_equal(1, job.exits);
    assert_int_equal(0, job.exit_status);
}

/* For each number of descriptors that are left, up to what is needed. */
static void try_with_few_descriptors(void **state)
{
    struct rlimit before, few;
    getrlimit(RLIMIT_NOFILE, &before);
    int lowest = dup(0), failures = 0;
    close(lowest);
    for (int left = 0; left < 8; left++) {
        struct job job;
        init(*state, &job);
        struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                     {.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe},
                                     {.kind = LOOP_STDIO_INHERIT}};
        struct loop_process_options options = {.file = "true", .stdio = stdio, .stdio_count = 3};
        few = (struct rlimit){(rlim_t)(lowest + left), before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        int error = spawn(&job, &options);
        setrlimit(RLIMIT_NOFILE, &before);
        failures += error == -EMFILE;
        assert_true(error == 0 || error == -EMFILE);
        assert_int_equal(error == 0, loop_stream_fd(&job.pipe.stream) >= 0);
        if (error == 0)
            loop_close(&job.pipe.handle, NULL);
        run(*state);
        assert_int_equal(error == 0, job.exits);
    }
    assert_true(failures >= 4 && failures < 8);
    assert_false(has_children());
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static void without_descriptors_or_memory_nothing_is_started(void **state)
{
    try_with_few_descriptors(state);
    struct loop *loop = *state;
    struct loop_allocator allocator = loop->options.allocator;
    struct loop_process_options options = {.file = "true"};
    struct job job;
    init(loop, &job);
    loop->options.allocator.resize = no_memory;
    int error = spawn(&job, &options);
    int adopt_error = loop_process_adopt(&job.process, getppid(), on_end);
    loop->options.allocator = allocator;
    assert_int_equal(-ENOMEM, error);
    assert_int_equal(-ENOMEM, adopt_error);
}

/* What the child finds. */

static void environment_and_directory_are_those_of_the_options(void **state)
{
    struct job job;
    struct loop_process_options options = {
        .file = "/bin/sh",
        .args = SH("echo \"$A-$HOME-$(pwd)\""),
        .env = (const char *const[]){"A=b c", "PATH=/bin:/usr/bin", NULL},
        .cwd = "/usr",
    };
    assert_string_equal("b c--/usr\n", output_of(*state, &job, options));
    setenv("LIBLOOP_TEST", "inherited", 1);
    assert_string_equal("inherited\n", shell_output(*state, &job, "echo $LIBLOOP_TEST"));
    unsetenv("LIBLOOP_TEST");
}

static void a_name_without_a_slash_is_looked_for_in_the_path_of_the_child(void **state)
{
    struct job job;
    char path[256];
    make_file("tool", "#!/bin/sh\necho found $0 $1\n", 0700);
    make_file("plain", "not to be executed\n", 0600);
    snprintf(path, sizeof(path), "PATH=/no/such:/bin/sh:%s", folder);
    struct loop_process_options options = {
        .file = "tool",
        .args = (const char *const[]){"another name", "x", NULL},
        .env = (const char *const[]){path, NULL},
    };
    assert_non_null(strstr(output_of(*state, &job, options), "/tool x\n"));
    options.env = (const char *const[]){"PATH=:/no/such", NULL}; /* empty: the child's directory */
    options.cwd = folder;
    assert_string_equal("found ./tool x\n", output_of(*state, &job, options));
    options.file = "./tool";
    assert_string_equal("found ./tool x\n", output_of(*state, &job, options));
    struct loop_process_options no_path = {.file = "echo",
                                           .args = (const char *const[]){"echo", "x", NULL},
                                           .env = (const char *const[]){NULL}};
    assert_string_equal("x\n", output_of(*state, &job, no_path));
}

static void it_has_the_descriptors_of_its_map_and_no_other(void **state)
{
    struct job job;
    int leaked = dup(0); /* not close-on-exec */
    assert_true(leaked >= 3);
    assert_string_equal("012\n", shell_output(*state, &job,
                                              "for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12; do "
                                              "[ -e /proc/$$/fd/$fd ] && printf $fd; done; echo"));
    close(leaked);
    assert_string_equal("/dev/null\n", shell_output(*state, &job, "readlink /proc/$$/fd/0"));
}

static void open_numbered(int fds[6])
{
    for (int i = 0; i < 6; i++) {
        fds[i] = memfd_create("numbered", MFD_CLOEXEC);
        assert_true(fds[i] >= 0);
        assert_int_equal(1, write(fds[i], &(char){(char)('a' + i)}, 1));
        lseek(fds[i], 0, SEEK_SET);
    }
}

/* Crosswise, one twice, and with what is needed still in the place where another has to come. */
static void descriptors_that_stand_in_each_others_way_arrive_all_the_same(void **state)
{
    struct job job;
    int fds[6];
    open_numbered(fds);
    struct loop_stdio stdio[16] = {{.kind = LOOP_STDIO_NULL},
                                   {.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe}};
    struct loop_process_options options = {.file = "sh", .stdio = stdio, .stdio_count = 16};
    assert_true(fds[5] < 16);
    for (int i = 0; i < 6; i++) {
        stdio[fds[i]].kind = LOOP_STDIO_FD;
        stdio[fds[i]].fd = fds[5 - i];
    }
    stdio[2].kind = LOOP_STDIO_INHERIT;
    char command[256], *end = command;
    end += sprintf(end, "cat");
    for (int i = 0; i < 6; i++)
        end += sprintf(end, " /proc/self/fd/%d", fds[i]);
    init(*state, &job);
    options.args = SH(command);
    assert_int_equal(0, spawn(&job, &options));
    assert_int_equal(0, loop_read_start(&job.pipe.stream, on_output));
    run(*state);
    assert_string_equal("fedcba", job.text);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(FD_CLOEXEC, fcntl(fds[i], F_GETFD)); /* ours, as they were */
        close(fds[i]);
    }
}

static void output_and_errors_may_go_to_one_descriptor(void **state)
{
    struct job job;
    char text[64] = "";
    int file = memfd_create("log", MFD_CLOEXEC);
    init(*state, &job);
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_FD, .fd = file},
                                 {.kind = LOOP_STDIO_FD, .fd = file}};
    struct loop_process_options options = {.file = "sh",
                                           .args = SH("echo one; echo two >&2"),
                                           .stdio = stdio,
                                           .stdio_count = 3};
    assert_int_equal(0, spawn(&job, &options));
    run(*state);
    assert_int_equal(8, pread(file, text, sizeof(text), 0));
    assert_string_equal("one\ntwo\n", text);
    close(file);
}

static void on_signal(struct loop_signal *signal, int number)
{
    (void)signal;
    say("signal-%d", number);
}

static void signals_are_at_their_defaults_and_the_mask_is_the_callers(void **state)
{
    struct job job;
    struct loop_signal signal;
    sigset_t blocked, before;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, previous;
    loop_signal_init(*state, &signal);
    assert_int_equal(0, loop_signal_start(&signal, SIGUSR1, on_signal));
    loop_unref(&signal.handle);
    sigaction(SIGPIPE, &ignore, &previous);
    const char *command = "exec sed -n '/^Sig[BIC]/p' /proc/self/status";
    assert_string_equal("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
                        "SigCgt:\t0000000000000000\n",
                        shell_output(*state, &job, command));
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const char *text = shell_output(*state, &job, command);
    assert_non_null(strstr(text, "SigBlk:\t0000000000000800\n"));
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, &before, &now);
    assert_true(sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGUSR1) == 0);
    sigaction(SIGPIPE, &previous, NULL);
    loop_signal_stop(&signal);
}

static void a_detached_child_has_a_session_and_another_may_have_a_group(void **state)
{
    struct job job;
    char expected[64];
    const char *command = "exec cut -d' ' -f1,5,6 /proc/self/stat"; /* pid, group, session */
    struct loop_process_options options = {.file = "sh", .args = SH(command)};
    int pid, group, session;
    output_of(*state, &job, options);
    assert_int_equal(3, sscanf(job.text, "%d %d %d", &pid, &group, &session));
    assert_true(group == getpgrp() && session == getsid(0));
    options.flags = LOOP_PROCESS_GROUP;
    output_of(*state, &job, options);
    assert_int_equal(3, sscanf(job.text, "%d %d %d", &pid, &group, &session));
    assert_true(pid == job.process.pid && group == pid && session == getsid(0));
    options.flags = LOOP_PROCESS_DETACHED | LOOP_PROCESS_GROUP;
    output_of(*state, &job, options);
    snprintf(expected, sizeof(expected), "%d %d %d\n", job.process.pid, job.process.pid,
             job.process.pid);
    assert_string_equal(expected, job.text);
}

static void user_and_group_change_and_other_groups_are_dropped(void **state)
{
    struct job job;
    struct loop_process_options options = {
        .file = "sh",
        .args = SH("exec grep -E '^(Uid|Gid|Groups)' /proc/self/status"),
        .flags = LOOP_PROCESS_UID | LOOP_PROCESS_GID,
        .uid = 12345,
        .gid = 23456,
    };
    if (geteuid() != 0) {
        assert_int_equal(-EPERM, refused(*state, options));
        return;
    }
    const char *text = output_of(*state, &job, options);
    assert_non_null(strstr(text, "Uid:\t12345\t12345\t12345\t12345\n"));
    assert_non_null(strstr(text, "Gid:\t23456\t23456\t23456\t23456\n"));
    assert_non_null(strstr(text, "Groups:\t \n"));
    assert_int_equal(0, geteuid());
}

/* Pipes. */

static void on_written_end(struct loop_write *write, int status)
{
    struct job *job = loop_container_of(write, struct job, write);
    assert_int_equal(0, status);
    loop_close(&job->pipe.handle, NULL);
}

static void a_filter_is_written_to_and_read_from(void **state)
{
    struct job job, input;
    init(*state, &job);
    init(*state, &input);
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_INPUT, .pipe = &input.pipe},
                                 {.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe}};
    struct loop_process_options options = {.file = "tr",
                                           .args = (const char *const[]){"tr", "a-z", "A-Z", NULL},
                                           .stdio = stdio,
                                           .stdio_count = 2};
    struct loop_buf buf = {"some text", 9};
    assert_int_equal(0, spawn(&job, &options));
    assert_int_equal(0, loop_read_start(&job.pipe.stream, on_output));
    assert_int_equal(0, loop_write(&input.pipe.stream, &input.write, &buf, 1, on_written_end));
    run(*state);
    assert_string_equal("SOME TEXT", job.text);
    assert_int_equal(0, job.exit_status);
}

static void on_shut(struct loop_shutdown *end, int status)
{
    (void)end;
    assert_int_equal(0, status);
    say("shut");
}

static void a_socket_goes_both_ways_and_is_half_closed(void **state)
{
    struct job job;
    init(*state, &job);
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_SOCKET, .pipe = &job.pipe}};
    struct loop_process_options options = {.file = "sh",
                                           .args = SH("exec tac <&3 >&3"),
                                           .stdio = stdio,
                                           .stdio_count = 4};
    struct loop_buf buf = {"1\n2\n3\n", 6};
    assert_int_equal(0, spawn(&job, &options));
    assert_int_equal(0, loop_read_start(&job.pipe.stream, on_output));
    assert_int_equal(0, loop_write(&job.pipe.stream, &job.write, &buf, 1, NULL));
    assert_int_equal(0, loop_shutdown(&job.pipe.stream, &job.end, on_shut));
    run(*state);
    assert_string_equal("3\n2\n1\n", job.text); /* tac has seen the end */
    assert_said("shut");
}

static void a_child_that_closes_its_output_goes_on(void **state)
{
    struct job job;
    assert_string_equal("x\n", shell_output(*state, &job, "echo x; exec >&-; sleep 0.05; exit 3"));
    assert_int_equal(3, job.exit_status);
}

static void a_pipe_that_is_open_already_is_refused(void **state)
{
    struct job job, other;
    init(*state, &job);
    init(*state, &other);
    assert_int_equal(0, loop_pipe_pair(&job.pipe, &other.pipe));
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe}};
    struct loop_process_options options = {.file = "true", .stdio = stdio, .stdio_count = 1};
    int fd = loop_stream_fd(&job.pipe.stream), descriptors = open_descriptors();
    assert_int_equal(-EBUSY, spawn(&job, &options));
    assert_int_equal(fd, loop_stream_fd(&job.pipe.stream));
    assert_int_equal(descriptors, open_descriptors());
    loop_close(&job.pipe.handle, NULL);
    loop_close(&other.pipe.handle, NULL);
    run(*state);
    init(*state, &job);
    struct loop_stdio twice[] = {{.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe},
                                 {.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe}};
    struct loop_process_options both = {.file = "true", .stdio = twice, .stdio_count = 2};
    descriptors = open_descriptors();
    assert_int_equal(-EBUSY, spawn(&job, &both));
    assert_int_equal(-1, loop_stream_fd(&job.pipe.stream));
    assert_int_equal(descriptors, open_descriptors());
}

/* Closing. */

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
}

/* The loop reaps them whenever it runs. */
static void wait_until_no_child_is_left(struct loop *loop)
{
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    while (has_children()) {
        loop_timer_start(&timer, 1 * LOOP_MS, 0, on_timer);
        run(loop);
    }
}

static void a_handle_closed_first_leaves_no_zombie(void **state)
{
    struct loop *loop = *state;
    struct job job;
    init(loop, &job);
    spawn_shell(&job, "exit 5");
    pid_t pid = job.process.pid;
    loop_close(&job.process.handle, on_close);
    run(loop); /* it does not wait for the child */
    assert_said("close-process");
    assert_int_equal(0, job.exits);
    assert_false(loop_alive(loop));
    wait_until_no_child_is_left(loop);
    assert_int_equal(-1, kill(pid, 0));
}

static void a_child_whose_loop_is_finished_is_reaped_by_another(void **state)
{
    struct loop first = {0};
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct job job;
    siginfo_t info;
    assert_int_equal(0, loop_init(&first, &options));
    init(&first, &job);
    spawn_shell(&job, "exec sleep 60");
    pid_t pid = job.process.pid;
    loop_close(&job.process.handle, NULL);
    run(&first);
    assert_int_equal(0, loop_fini(&first));
    assert_int_equal(0, kill(pid, SIGKILL));
    assert_int_equal(0, waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    assert_true(has_children());
    init(*state, &job);
    spawn_shell(&job, "exit 0");
    run(*state);
    assert_false(has_children());
}

/* Its end has come, and is in the kernel, but has not been told. */
static void a_handle_closed_behind_the_end_is_not_told(void **state)
{
    struct job job;
    siginfo_t info;
    init(*state, &job);
    spawn_shell(&job, "exit 5");
    assert_int_equal(0, waitid(P_PID, (id_t)job.process.pid, &info, WEXITED | WNOWAIT));
    loop_close(&job.process.handle, on_close);
    run(*state);
    assert_said("close-process");
    assert_int_equal(0, job.exits);
    wait_until_no_child_is_left(*state);
}

static void on_end_close_other(struct loop_process *process, int exit_status, int term_signal)
{
    struct job *other = process->handle.data;
    on_end_say(process, exit_status, term_signal);
    if (!loop_is_closing(&other->process.handle))
        loop_close(&other->process.handle, on_close);
}

static void a_handle_closed_by_another_of_its_batch_is_not_told(void **state)
{
    struct job a, b;
    siginfo_t info;
    struct loop_process_options options = {.file = "true"};
    init(*state, &a);
    init(*state, &b);
    a.process.handle.data = &b;
    b.process.handle.data = &a;
    assert_int_equal(0, loop_process_spawn(&a.process, &options, on_end_close_other));
    assert_int_equal(0, loop_process_spawn(&b.process, &options, on_end_close_other));
    assert_int_equal(0, waitid(P_PID, (id_t)a.process.pid, &info, WEXITED | WNOWAIT));
    assert_int_equal(0, waitid(P_PID, (id_t)b.process.pid, &info, WEXITED | WNOWAIT));
    run(*state);
    assert_said("0-0-in-poll close-process");
    wait_until_no_child_is_left(*state);
}

/* Signals. */

static void a_group_is_killed_as_a_whole(void **state)
{
    struct job job;
    init(*state, &job);
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe}};
    struct loop_process_options options = {.file = "sh",
                                           .args = SH("sleep 60 & sleep 60 & wait"),
                                           .stdio = stdio,
                                           .stdio_count = 2};
    assert_int_equal(0, spawn(&job, &options));
    assert_int_equal(-ESRCH, loop_process_kill_group(&job.process, SIGKILL)); /* leads none */
    assert_int_equal(0, loop_process_kill(&job.process, SIGKILL));
    loop_close(&job.pipe.handle, NULL);
    run(*state);
    init(*state, &job);
    options.flags = LOOP_PROCESS_GROUP;
    assert_int_equal(0, spawn(&job, &options));
    assert_int_equal(0, loop_read_start(&job.pipe.stream, on_output));
    assert_int_equal(0, loop_process_kill(&job.process, 0));
    assert_int_equal(-EINVAL, loop_process_kill(&job.process, 1000));
    assert_int_equal(0, loop_process_kill_group(&job.process, SIGTERM));
    run(*state); /* its output has ended: no descendant has it any more */
    assert_int_equal(SIGTERM, job.term_signal);
}

/* Makes a process that is not our child, and ends when lifeline[1] is closed. */
static pid_t make_grandchild(int lifeline[2])
{
    int said[2], status;
    pid_t grandchild;
    assert_int_equal(0, pipe2(said, O_CLOEXEC));
    assert_int_equal(0, pipe2(lifeline, O_CLOEXEC));
    pid_t child = fork();
    if (child == 0) {
        grandchild = fork();
        close(lifeline[1]);
        if (grandchild == 0)
            _exit((int)read(lifeline[0], &status, 1));
        _exit(write(said[1], &grandchild, sizeof(grandchild)) < 0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(sizeof(grandchild), read(said[0], &grandchild, sizeof(grandchild)));
    close(said[0]);
    close(said[1]);
    close(lifeline[0]);
    return grandchild;
}

static void a_process_that_exists_can_be_waited_for(void **state)
{
    struct job job;
    int lifeline[2];
    init(*state, &job);
    pid_t grandchild = make_grandchild(lifeline);
    assert_int_equal(0, loop_process_adopt(&job.process, grandchild, on_end));
    assert_int_equal(grandchild, job.process.pid);
    assert_int_equal(0, loop_process_kill(&job.process, 0));
    close(lifeline[1]);
    run(*state);
    assert_int_equal(1, job.exits);
    assert_int_equal(-ECHILD, job.exit_status);
}

static void an_adopted_child_of_ours_is_left_to_be_reaped(void **state)
{
    struct job job;
    int status;
    init(*state, &job);
    pid_t child = fork();
    if (child == 0)
        _exit(9);
    assert_int_equal(0, loop_process_adopt(&job.process, child, on_end));
    run(*state);
    assert_int_equal(9, job.exit_status);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(-ESRCH, loop_process_adopt(&job.process, child, on_end));
    assert_int_equal(0, loop_process_adopt(&job.process, getppid(), on_end));
    loop_close(&job.process.handle, NULL);
    run(*state);
}

static void a_child_that_somebody_else_has_reaped_has_ended_unknown(void **state)
{
    struct job job;
    int status;
    init(*state, &job);
    spawn_shell(&job, "exit 5");
    assert_int_equal(job.process.pid, waitpid(-1, &status, 0));
    run(*state);
    assert_int_equal(1, job.exits);
    assert_int_equal(-ECHILD, job.exit_status);
}

/* Forks, threads, cost. */

static int outlive(void *arg)
{
    struct job *job = arg;
    struct job own;
    struct loop *loop = job->process.handle.loop;
    struct loop_process_options options = {.file = "false"};
    init(loop, &own);
    if (spawn(&own, &options) != -ECHILD || loop_after_fork(loop) < 0)
        return 1;
    if (spawn(&own, &options) < 0)
        return 2;
    loop_process_kill(&job->process, SIGTERM);
    if (loop_run(loop, LOOP_RUN_DEFAULT) < 0)
        return 3;
    return own.exit_status != 1 || job->exit_status != -ECHILD;
}

static void a_forked_child_has_children_of_its_own(void **state)
{
    struct job job;
    init(*state, &job);
    spawn_shell(&job, "exec sleep 60");
    in_child(outlive, &job);
    assert_int_equal(0, job.exits);
    run(*state);
    assert_int_equal(SIGTERM, job.term_signal);
}

enum { SPAWNS = 100 };

static void *spawn_many(void *arg)
{
    struct loop loop;
    struct job job;
    int sum = 0;
    struct loop_process_options options = {.file = "sh", .args = SH("exit 1")};
    if (loop_init(&loop, NULL) < 0)
        return arg;
    for (int i = 0; i < SPAWNS; i++) {
        init(&loop, &job);
        struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                     {.kind = LOOP_STDIO_OUTPUT, .pipe = &job.pipe}};
        options.stdio = stdio;
        options.stdio_count = 2;
        if (spawn(&job, &options) < 0 || loop_read_start(&job.pipe.stream, on_output) < 0 ||
            loop_run(&loop, LOOP_RUN_DEFAULT) < 0)
            return arg;
        sum += job.exit_status;
    }
    return loop_fini(&loop) < 0 || sum != SPAWNS ? arg : NULL;
}

/* Each child has its own descriptors only: otherwise one would hold another's pipe open. */
static void two_threads_start_programs_at_once(void **state)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, spawn_many, state));
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_false(has_children());
}

static double ms_of_spawns(struct loop *loop)
{
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < 20; i++) {
        struct job job;
        struct loop_process_options options = {.file = "/bin/true"};
        init(loop, &job);
        assert_int_equal(0, spawn(&job, &options));
        run(loop);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
}

/* A figure, not a verdict: machines differ. What is tested is that it works. */
static void a_large_parent_starts_programs_too(void **state)
{
    enum { SIZE = 256 << 20 };
    double small_ms = ms_of_spawns(*state);
    char *large = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(large != MAP_FAILED);
    memset(large, 1, SIZE);
    double large_ms = ms_of_spawns(*state);
    munmap(large, SIZE);
    print_message("# 20 programs: %.1f ms; with 256 MiB in memory: %.1f ms\n", small_ms, large_ms);
}

static const struct CMUnitTest tests[] = {
    real_test(every_exit_status_arrives),
    real_test(every_terminating_signal_arrives),
    real_test(the_end_is_told_in_the_poll_phase_and_the_handle_needs_no_closing),
    real_test(a_program_may_be_started_in_the_callback),
    real_test(the_handle_may_be_freed_in_the_callback),
    real_test(the_handle_may_be_closed_in_the_callback),
    real_test(two_hundred_children_at_once),
    real_test(an_unreferenced_process_keeps_no_loop_alive),
    real_test(what_cannot_be_executed_is_told_by_the_call),
    real_test(bad_options_are_refused),
    real_test(a_child_may_be_given_256_descriptors),
    real_test(without_descriptors_or_memory_nothing_is_started),
    real_test(environment_and_directory_are_those_of_the_options),
    real_test(a_name_without_a_slash_is_looked_for_in_the_path_of_the_child),
    real_test(it_has_the_descriptors_of_its_map_and_no_other),
    real_test(descriptors_that_stand_in_each_others_way_arrive_all_the_same),
    real_test(output_and_errors_may_go_to_one_descriptor),
    real_test(signals_are_at_their_defaults_and_the_mask_is_the_callers),
    real_test(a_detached_child_has_a_session_and_another_may_have_a_group),
    real_test(user_and_group_change_and_other_groups_are_dropped),
    real_test(a_filter_is_written_to_and_read_from),
    real_test(a_socket_goes_both_ways_and_is_half_closed),
    real_test(a_child_that_closes_its_output_goes_on),
    real_test(a_pipe_that_is_open_already_is_refused),
    real_test(a_handle_closed_first_leaves_no_zombie),
    real_test(a_child_whose_loop_is_finished_is_reaped_by_another),
    real_test(a_handle_closed_behind_the_end_is_not_told),
    real_test(a_handle_closed_by_another_of_its_batch_is_not_told),
    real_test(a_group_is_killed_as_a_whole),
    real_test(a_process_that_exists_can_be_waited_for),
    real_test(an_adopted_child_of_ours_is_left_to_be_reaped),
    real_test(a_child_that_somebody_else_has_reaped_has_ended_unknown),
    real_test(a_forked_child_has_children_of_its_own),
    real_test(two_threads_start_programs_at_once),
    real_test(a_large_parent_starts_programs_too),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
