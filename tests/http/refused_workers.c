/* Threads and workers whose outside calls fail one after the other.
 *
 * Threads are started, asked and stopped. A supervisor has workers that die, or one that serves,
 * which is this program, executed again, until it is told to finish. In each run one allocation,
 * one call of the loop or one for a thread is refused; and one after the other those for sockets,
 * and those that find the program. What could not be started has told so at once and left nothing;
 * what was started comes to its end, once. A worker that cannot have its handles says so.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include "loop/http/workers.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __real_loop_init(struct loop *loop, const struct loop_options *options);
int __wrap_loop_init(struct loop *loop, const struct loop_options *options);
int __real_loop_async_init(struct loop *loop, struct loop_async *async, loop_async_cb cb);
int __wrap_loop_async_init(struct loop *loop, struct loop_async *async, loop_async_cb cb);
int __real_loop_graceful_start(struct loop *loop, struct loop_graceful *graceful, uint64_t drain_ns,
                               loop_graceful_cb cb, loop_walk_cb close);
int __wrap_loop_graceful_start(struct loop *loop, struct loop_graceful *graceful, uint64_t drain_ns,
                               loop_graceful_cb cb, loop_walk_cb close);
int __real_loop_signal_start(struct loop_signal *handle, int number, loop_signal_cb cb);
int __wrap_loop_signal_start(struct loop_signal *handle, int number, loop_signal_cb cb);
int __real_loop_process_spawn(struct loop_process *process,
                              const struct loop_process_options *options, loop_process_cb cb);
int __wrap_loop_process_spawn(struct loop_process *process,
                              const struct loop_process_options *options, loop_process_cb cb);
int __real_loop_pipe_open(struct loop_pipe *pipe, int fd);
int __wrap_loop_pipe_open(struct loop_pipe *pipe, int fd);
int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __real_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size);
/* What open(2) is called where files may be large. */
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __wrap___read_chk(int fd, void *bytes, size_t size, size_t room);
ssize_t __real_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlink(const char *path, char *to, size_t size);
ssize_t __wrap___readlink_chk(const char *path, char *to, size_t size, size_t room);
int __real_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);

static const char *own_path; /* what readlink(2) says of this program; NULL: the truth */
static bool endless_file;    /* read(2) does not come to the end */
static bool no_processors;   /* sched_getaffinity(2) names none */

static int fail_with(int error)
{
    errno = error;
    return -1;
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    return refused("pthread_create") ? EAGAIN : __real_pthread_create(id, attributes, run, arg);
}

int __wrap_loop_init(struct loop *loop, const struct loop_options *options)
{
    return refused("loop_init") ? -EMFILE : __real_loop_init(loop, options);
}

int __wrap_loop_async_init(struct loop *loop, struct loop_async *async, loop_async_cb cb)
{
    return refused("loop_async_init") ? -EMFILE : __real_loop_async_init(loop, async, cb);
}

int __wrap_loop_graceful_start(struct loop *loop, struct loop_graceful *graceful, uint64_t drain_ns,
                               loop_graceful_cb cb, loop_walk_cb close)
{
    return refused("loop_graceful_start")
               ? -EMFILE
               : __real_loop_graceful_start(loop, graceful, drain_ns, cb, close);
}

int __wrap_loop_signal_start(struct loop_signal *handle, int number, loop_signal_cb cb)
{
    return refused("loop_signal_start") ? -EMFILE : __real_loop_signal_start(handle, number, cb);
}

int __wrap_loop_process_spawn(struct loop_process *process,
                              const struct loop_process_options *options, loop_process_cb cb)
{
    return refused("loop_process_spawn") ? -EAGAIN
                                         : __real_loop_process_spawn(process, options, cb);
}

int __wrap_loop_pipe_open(struct loop_pipe *pipe, int fd)
{
    return refused("loop_pipe_open") ? -ENOMEM : __real_loop_pipe_open(pipe, fd);
}

int __wrap_socket(int family, int type, int protocol)
{
    return refused_by_name("socket") ? fail_with(EMFILE) : __real_socket(family, type, protocol);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return refused_by_name("setsockopt") ? fail_with(ENOPROTOOPT)
                                         : __real_setsockopt(fd, level, name, value, size);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return refused_by_name("bind") ? fail_with(EADDRINUSE) : __real_bind(fd, address, size);
}

int __wrap_listen(int fd, int backlog)
{
    return refused_by_name("listen") ? fail_with(EADDRINUSE) : __real_listen(fd, backlog);
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    return refused_by_name("getsockname") ? fail_with(ENOBUFS)
                                          : __real_getsockname(fd, address, size);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return refused_by_name("open") ? fail_with(ENFILE) : __real_open64(path, flags, mode);
}

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    if (refused_by_name("read"))
        return fail_with(EIO);
    if (!endless_file)
        return __real_read(fd, bytes, size);
    memset(bytes, 'x', size);
    return (ssize_t)size;
}

ssize_t __wrap_readlink(const char *path, char *to, size_t size)
{
    if (refused_by_name("readlink"))
        return fail_with(ENOENT);
    if (!own_path)
        return __real_readlink(path, to, size);
    memcpy(to, own_path, strlen(own_path));
    return (ssize_t)strlen(own_path);
}

/* What these are called where the size of memory is checked: _FORTIFY_SOURCE. */
ssize_t __wrap___read_chk(int fd, void *bytes, size_t size, size_t room)
{
    assert_true(size <= room);
    return __wrap_read(fd, bytes, size);
}

ssize_t __wrap___readlink_chk(const char *path, char *to, size_t size, size_t room)
{
    assert_true(size <= room);
    return __wrap_readlink(path, to, size);
}

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    if (refused_by_name("sched_getaffinity"))
        return fail_with(EINVAL);
    int status = __real_sched_getaffinity(pid, size, set);
    if (no_processors)
        memset(set, 0, size);
    return status;
}

/* --- threads --- */

static unsigned asked, ended;

static int on_start(struct loop_thread *thread)
{
    (void)thread;
    return 0;
}

static void on_thread_drain(struct loop_thread *thread)
{
    (void)thread;
}

static void on_ask(struct loop_thread *thread, void *arg)
{
    (void)thread;
    (void)arg;
    asked++; /* one thread after the other */
}

static void on_asked(struct loop_threads *threads, void *arg)
{
    (void)arg;
    assert_int_equal(2, asked);
    loop_threads_stop(threads);
}

static void on_threads_end(struct loop_threads *threads)
{
    (void)threads;
    ended++;
}

static void ask_threads(void **state)
{
    const struct loop_threads_options options = {.count = 2,
                                                 .start = on_start,
                                                 .drain = on_thread_drain,
                                                 .on_end = on_threads_end};
    struct loop_threads threads = {.data = NULL};
    asked = ended = 0;
    arm();
    int status = loop_threads_start(*state, &threads, &options);
    if (status == 0 && loop_threads_ask(&threads, on_ask, on_asked, NULL) < 0)
        loop_threads_stop(&threads);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    disarm();
    assert_int_equal(status == 0, ended);
}

static void threads_start_all_or_none_whatever_is_refused(void **state)
{
    refuse_each(state, ask_threads);
}

/* --- a supervisor --- */

static struct loop_supervisor supervisor;
static const struct loop_supervisor_listener listener = {.address = "127.0.0.1"};

static void on_report(struct loop_supervisor *told, const char *line)
{
    if (strstr(line, "is ready"))
        loop_supervisor_stop(told);
}

static void on_end(struct loop_supervisor *told, int status)
{
    assert_ptr_equal(&supervisor, told);
    assert_true(status == 0 || status == -ECHILD);
    ended++;
}

static struct loop_supervisor_options supervisor_options(void)
{
    return (struct loop_supervisor_options){.listeners = &listener,
                                            .listener_count = 1,
                                            .workers = 1,
                                            .report = on_report,
                                            .on_end = on_end,
                                            .ready_ns = LOOP_SEC,
                                            .retry_max_ns = 1,
                                            .quick_max = 2};
}

static void supervise(void **state, const struct loop_supervisor_options *options)
{
    ended = 0;
    arm();
    int status = loop_supervisor_start(*state, &supervisor, options);
    assert_true(status <= 0);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    disarm();
    assert_int_equal(status == 0, ended);
}

static void have_workers_that_die(void **state)
{
    static const char *const args[] = {"false", NULL};
    struct loop_supervisor_options options = supervisor_options();
    options.workers = 2;
    options.file = "/bin/false";
    options.args = args;
    supervise(state, &options);
}

static void have_a_worker_that_serves(void **state)
{
    struct loop_supervisor_options options = supervisor_options();
    supervise(state, &options);
}

static void a_supervisor_has_one_end_whatever_is_refused(void **state)
{
    refuse_each(state, have_workers_that_die);
    refuse_each(state, have_a_worker_that_serves);
}

struct refusal {
    const char *call;
    long nth;
    int error;
};

static void a_supervisor_without_its_sockets_or_its_program_does_not_start(void **state)
{
    static const struct refusal refusals[] = {
        {"socket", 1, -EMFILE},
        {"setsockopt", 1, -ENOPROTOOPT},
        {"setsockopt", 2, -ENOPROTOOPT},
        {"setsockopt", 3, -ENOPROTOOPT},
        {"bind", 1, -EADDRINUSE},
        {"listen", 1, -EADDRINUSE},
        {"getsockname", 1, -ENOBUFS},
        {"readlink", 1, -ENOENT},
        {"open", 1, -ENFILE},
        {"read", 1, -EIO},
        {"loop_signal_start", 1, -EMFILE},
        {"loop_signal_start", 3, -EMFILE},
    };
    static const struct loop_supervisor_listener six = {.address = "::1", .ipv6_only = true};
    struct loop_supervisor_options options = supervisor_options();
    options.listeners = &six;
    for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++) {
        int before = open_descriptors();
        refuse(refusals[i].call, refusals[i].nth);
        assert_int_equal(refusals[i].error, loop_supervisor_start(*state, &supervisor, &options));
        disarm();
        assert_string_equal(refusals[i].call, refused_call());
        assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
        assert_int_equal(before, open_descriptors());
    }
}

/* What lies in its place by now is what a roll is to start. */
static void a_program_that_was_replaced_is_looked_for_under_its_name(void **state)
{
    char path[4096] = "", replaced[4096 + 16];
    assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
    snprintf(replaced, sizeof(replaced), "%s (deleted)", path);
    struct loop_supervisor_options options = supervisor_options();
    own_path = replaced;
    int status = loop_supervisor_start(*state, &supervisor, &options);
    own_path = NULL;
    assert_int_equal(0, status);
    assert_string_equal(path, supervisor.options.file);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void a_command_line_without_end_is_refused(void **state)
{
    struct loop_supervisor_options options = supervisor_options();
    endless_file = true;
    int status = loop_supervisor_start(*state, &supervisor, &options);
    endless_file = false;
    assert_int_equal(-E2BIG, status);
}

static bool rolls; /* the next report of a pause is answered so */

static void on_trouble(struct loop_supervisor *told, const char *line)
{
    disarm();
    if (strstr(line, "will be started again") && rolls) {
        rolls = false;
        say("pause");
        refuse("loop_process_spawn", 1);
        loop_supervisor_roll(told);
    } else if (strstr(line, "cannot be")) {
        say("%s", strstr(line, "cannot be started") ? "started" : "replaced");
        loop_supervisor_stop(told);
    } else if (strstr(line, "will be started again")) {
        refuse("loop_process_spawn", 1);
    }
}

/* Who stops in the report of that gets no other. */
static void a_worker_that_cannot_be_started_again_is_told(void **state)
{
    static const char *const args[] = {"false", NULL};
    struct loop_supervisor_options options = supervisor_options();
    options.file = "/bin/false";
    options.args = args;
    options.report = on_trouble;
    options.quick_max = 5;
    for (int i = 0; i < 2; i++) {
        rolls = i == 1;
        ended = 0;
        assert_int_equal(0, loop_supervisor_start(*state, &supervisor, &options));
        assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
        disarm();
        assert_int_equal(1, ended);
        assert_said(i == 0 ? "started" : "pause replaced");
        options.retry_max_ns = LOOP_SEC;
    }
}

static void there_is_always_a_processor(void **state)
{
    (void)state;
    refuse("sched_getaffinity", 1);
    assert_int_equal(1, loop_processors());
    disarm();
    no_processors = true;
    assert_int_equal(1, loop_processors());
    no_processors = false;
    assert_true(loop_processors() > 0);
}

/* --- a worker --- */

static struct loop own;
static struct loop_worker worker;

static void on_drain(struct loop_worker *drained)
{
    loop_worker_close(drained);
}

static void on_alive(struct loop_timer *timer)
{
    (void)timer;
}

static int be_worker(void)
{
    if (loop_init(&own, NULL) < 0 || loop_worker_start(&own, &worker, on_drain) < 0)
        return 1;
    loop_worker_ready(&worker);
    struct loop_timer alive; /* until it is told to finish */
    loop_timer_init(&own, &alive);
    loop_timer_start(&alive, 60 * LOOP_SEC, 0, on_alive);
    while (!worker.draining)
        loop_run(&own, LOOP_RUN_ONCE);
    loop_close(&alive.handle, NULL);
    loop_run(&own, LOOP_RUN_DEFAULT);
    return loop_fini(&own) < 0;
}

static int want_handles(void *arg)
{
    const struct refusal *refusal = arg;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return 1;
    if (ends[1] != 3 && dup2(ends[1], 3) < 0)
        return 2;
    setenv("LOOP_WORKER", "0:0:1000", 1);
    if (loop_init(&own, NULL) < 0)
        return 3;
    refuse(refusal->call, 1);
    int status = loop_worker_start(&own, &worker, on_drain);
    disarm();
    loop_run(&own, LOOP_RUN_DEFAULT);
    return status == refusal->error && loop_fini(&own) == 0 ? 0 : 4;
}

static void a_worker_that_cannot_have_its_handles_says_so(void **state)
{
    static const struct refusal refusals[] = {{"loop_pipe_open", 1, -ENOMEM},
                                              {"loop_signal_start", 1, -EMFILE},
                                              {"loop_read_start", 1, -ENOMEM}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(refusals); i++)
        in_child(want_handles, (void *)(uintptr_t)&refusals[i]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(there_is_always_a_processor),
    cmocka_unit_test(a_worker_that_cannot_have_its_handles_says_so),
    spared_real_test(threads_start_all_or_none_whatever_is_refused),
    spared_real_test(a_supervisor_has_one_end_whatever_is_refused),
    spared_real_test(a_supervisor_without_its_sockets_or_its_program_does_not_start),
    spared_real_test(a_command_line_without_end_is_refused),
    spared_real_test(a_worker_that_cannot_be_started_again_is_told),
    spared_real_test(a_program_that_was_replaced_is_looked_for_under_its_name),
};

int main(void)
{
    if (loop_worker_called())
        return be_worker();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
