/* Wrong calls, and what is at the edge of right.
 *
 * A mistake that is cheap to see is -EINVAL, and changes nothing: no object, no callback, no
 * address where one is needed. What concerns an object that is closing is -ECANCELED, what concerns
 * a descriptor that is not there -EBADF or -ENOTCONN. Questions about nothing have a harmless
 * answer. Those of functions whose tests are long are with them; here are the rest, all in a row.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define assert_invalid(call) assert_int_equal(-EINVAL, call)

static struct loop_address address_of(const char *text)
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, text, 0));
    return address;
}

static void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    (void)status;
}

static void errors_have_words_and_names(void **state)
{
    (void)state;
    assert_string_equal("end of file", loop_strerror(LOOP_EOF));
    assert_string_equal("no error", loop_strerror(0));
    assert_string_equal("unknown error", loop_strerror(1));
    assert_string_equal("unknown error", loop_strerror(INT_MIN));
    assert_string_equal("unknown error", loop_strerror(-4000));
}

static void addresses_differ_by_any_of_their_words(void **state)
{
    struct loop_address a = address_of("1:2:3:4:5:6:7:8");
    static const char *const others[] = {"9:2:3:4:5:6:7:8", "1:2:9:4:5:6:7:8", "1:2:3:4:9:6:7:8",
                                         "1:2:3:4:5:6:9:8"};
    (void)state;
    assert_true(loop_address_equal(&a, &a));
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        struct loop_address b = address_of(others[i]);
        assert_false(loop_address_equal(&a, &b));
    }
    struct loop_address nothing = {0}, nothing_too = {0};
    assert_true(loop_address_equal(&nothing, &nothing_too));
    assert_false(loop_address_equal(&a, &nothing));
    assert_false(loop_address_equal(&nothing, &a));
}

static void a_tcp_handle_that_is_none_is_refused(void **state)
{
    struct loop_tcp tcp;
    struct loop_address address;
    struct loop_connect connect;
    assert_invalid(loop_tcp_nodelay(NULL, true));
    assert_invalid(loop_tcp_keepalive(NULL, 0, 0, 0));
    assert_invalid(loop_tcp_local(NULL, &address));
    assert_invalid(loop_tcp_peer(NULL, &address));
    assert_invalid(loop_tcp_fast_open(NULL, 1));
    assert_invalid(loop_tcp_open(NULL, 0));
    assert_invalid(loop_tcp_connect(NULL, &connect, &address, on_connect));
    loop_tcp_init(*state, &tcp);
    assert_invalid(loop_tcp_local(&tcp, NULL));
    assert_invalid(loop_tcp_fast_open(&tcp, UINT32_MAX));
    assert_int_equal(0, loop_tcp_fast_open(&tcp, 0));
    loop_close(&tcp.handle, NULL);
    assert_int_equal(-ECANCELED, loop_tcp_fast_open(&tcp, 1));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void a_pipe_handle_that_is_none_is_refused(void **state)
{
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int fd = 0;
    int ends[2];
    struct loop_pipe pipe_handle;
    struct loop_connect connect;
    struct loop_write write;
    struct loop_buf buf = {"x", 1};
    assert_invalid(loop_pipe_open(NULL, 0));
    assert_invalid(loop_pipe_pair(NULL, NULL));
    assert_invalid(loop_pipe_connect(NULL, &connect, "x", 1, on_connect));
    assert_invalid(loop_pipe_receive_fds(NULL));
    assert_invalid(loop_pipe_take_fd(NULL));
    assert_invalid(loop_pipe_peer(NULL, &pid, &uid, &gid));
    loop_pipe_init(*state, &pipe_handle);
    assert_invalid(loop_pipe_pair(&pipe_handle, NULL));
    assert_invalid(loop_pipe_pair(&pipe_handle, &pipe_handle));
    assert_invalid(loop_pipe_peer(&pipe_handle, NULL, &uid, &gid));
    assert_invalid(loop_pipe_peer(&pipe_handle, &pid, NULL, &gid));
    assert_invalid(loop_pipe_peer(&pipe_handle, &pid, &uid, NULL));
    assert_int_equal(0, pipe2(ends, O_NONBLOCK | O_CLOEXEC));
    assert_int_equal(0, loop_pipe_open(&pipe_handle, ends[1]));
    assert_int_equal(-EPROTOTYPE, loop_pipe_peer(&pipe_handle, &pid, &uid, &gid));
    assert_int_equal(-EPROTOTYPE, loop_pipe_write_fds(&pipe_handle, &write, &buf, 1, &fd, 1, NULL));
    loop_close(&pipe_handle.handle, NULL);
    assert_int_equal(-ECANCELED, loop_pipe_receive_fds(&pipe_handle));
    close(ends[0]);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)stream;
    (void)size;
    (void)bytes;
}

static void a_stream_that_is_none_is_refused(void **state)
{
    struct loop_pipe a;
    assert_invalid(loop_read_start(NULL, on_read));
    loop_read_stop(NULL);
    assert_false(loop_stream_needs_drain(NULL));
    assert_true(loop_stream_fd(NULL) < 0);
    loop_pipe_init(*state, &a);
    assert_invalid(loop_pipe_connect(&a, NULL, "x", 1, on_connect));
    assert_invalid(loop_stream_set_marks(NULL, 1, 2, 3, NULL));
    assert_invalid(loop_stream_set_marks(&a.stream, 2, 2, 3, NULL));
    assert_invalid(loop_stream_set_marks(&a.stream, 1, 4, 3, NULL));
    assert_invalid(loop_stream_set_marks(&a.stream, 1, 2, SIZE_MAX, NULL));
}

static void on_recv(struct loop_udp *udp, ssize_t size, void *bytes,
                    const struct loop_address *from, unsigned flags)
{
    (void)udp;
    (void)size;
    (void)bytes;
    (void)from;
    (void)flags;
}

static void datagrams_of_none_are_refused(void **state)
{
    struct loop_udp udp;
    struct loop_udp_send send;
    struct loop_datagram datagram = {0};
    struct loop_address four = address_of("239.1.2.3"), six = address_of("ff02::1"),
                        odd = address_of("::1");
    odd.size--;
    loop_udp_init(*state, &udp);
    assert_invalid(loop_udp_join(&udp, NULL, NULL, NULL));
    assert_invalid(loop_udp_join(&udp, &odd, NULL, NULL));
    assert_invalid(loop_udp_join(&udp, &four, &odd, NULL));
    assert_invalid(loop_udp_join(&udp, &four, &six, NULL));
    assert_invalid(loop_udp_bind(&udp, &odd, 0));
    assert_invalid(loop_udp_connect(NULL, &four));
    assert_true(loop_udp_try_send_many(NULL, &datagram, 1) == -EINVAL);
    assert_true(loop_udp_try_send_many(&udp, NULL, 1) == -EINVAL);
    assert_invalid(loop_udp_send_segments(NULL, &send, "x", 1, 1, NULL, NULL));
    assert_invalid(loop_udp_send_segments(&udp, NULL, "x", 1, 1, NULL, NULL));
    assert_invalid(loop_udp_send_segments(&udp, &send, NULL, 1, 1, NULL, NULL));
    assert_invalid(loop_udp_send_segments(&udp, &send, "x", 0, 1, NULL, NULL));
    assert_invalid(loop_udp_send_segments(&udp, &send, "x", 1, 0, NULL, NULL));
    assert_int_not_equal(0, loop_udp_recv_start(&udp, on_recv));
}

static void sockets_of_other_kinds_are_no_datagrams(void **state)
{
    struct loop_udp udp;
    int stream = socket(AF_INET, SOCK_STREAM, 0), netlink = socket(AF_NETLINK, SOCK_DGRAM, 0);
    loop_udp_init(*state, &udp);
    assert_int_equal(-EPROTOTYPE, loop_udp_open(&udp, stream));
    assert_int_equal(-EPROTOTYPE, loop_udp_open(&udp, netlink));
    assert_int_equal(-EBADF, loop_udp_open(&udp, -1));
    close(stream);
    close(netlink);
}

/* A group of IPv6 names its interface by its zone. */
static void the_zone_of_a_group_is_its_interface(void **state)
{
    struct loop_udp udp;
    struct loop_address any = address_of("::"), group = address_of("ff02::1:3%lo");
    loop_udp_init(*state, &udp);
    assert_int_equal(0, loop_udp_bind(&udp, &any, LOOP_UDP_REUSE_PORT));
    assert_int_equal(0, loop_udp_join(&udp, &group, NULL, NULL));
    assert_int_equal(0, loop_udp_leave(&udp, &group, NULL, NULL));
    loop_close(&udp.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_exit_told(struct loop_process *process, int exit_status, int term_signal)
{
    (void)process;
    (void)exit_status;
    (void)term_signal;
}

static void on_graceful(struct loop_graceful *graceful, int number)
{
    (void)graceful;
    (void)number;
}

static void children_and_signals_of_none_are_refused(void **state)
{
    struct loop_process process;
    struct loop_graceful graceful;
    struct loop_signal signal_handle;
    assert_invalid(loop_process_adopt(NULL, 1, on_exit_told));
    assert_invalid(loop_process_kill(NULL, 1));
    assert_invalid(loop_process_kill_group(NULL, 1));
    loop_process_init(*state, &process);
    assert_invalid(loop_process_adopt(&process, 1, NULL));
    assert_invalid(loop_process_adopt(&process, 0, on_exit_told));
    assert_int_equal(-ESRCH, loop_process_kill(&process, 1));
    assert_invalid(loop_graceful_start(NULL, &graceful, 1, on_graceful, NULL));
    assert_invalid(loop_graceful_start(*state, NULL, 1, on_graceful, NULL));
    assert_invalid(loop_graceful_start(*state, &graceful, 1, NULL, NULL));
    loop_signal_init(*state, &signal_handle);
    loop_signal_stop(&signal_handle);
    loop_close(&signal_handle.handle, NULL);
    loop_signal_stop(&signal_handle);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_change(struct loop_fs_event *event, const struct loop_fs_change *change)
{
    (void)event;
    (void)change;
}

static void what_is_watched_must_be_something(void **state)
{
    struct loop_fs_event event;
    assert_invalid(loop_fs_event_bounds(NULL, 1, 1));
    loop_fs_event_init(*state, &event);
    assert_int_equal(0, loop_fs_event_bounds(&event, 0, 0));
    assert_int_equal(0, loop_fs_event_start(&event, "/", 0, on_change));
    assert_int_equal(-EBUSY, loop_fs_event_bounds(&event, 1, 1));
    loop_fs_event_stop(&event);
    loop_fs_event_stop(&event);
    loop_close(&event.handle, NULL);
    loop_fs_event_stop(&event);
    assert_string_equal("unknown", loop_fs_change_word((enum loop_fs_change_kind)99));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void what_is_asked_of_nothing_has_an_answer(void **state)
{
    struct loop_poll poll;
    (void)state;
    assert_invalid(loop_request_deadline(NULL, 1));
    assert_string_equal("unknown", loop_phase_name((enum loop_phase)99));
    assert_string_equal("unknown", loop_poll_reason_text((enum loop_poll_reason)99));
    loop_poll_init(*state, &poll, STDIN_FILENO);
    loop_poll_stop(&poll);
    loop_close(&poll.handle, NULL);
    loop_poll_stop(&poll);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_hook(struct loop_hook *hook)
{
    (void)hook;
}

static void on_task(struct loop_task *task)
{
    (void)task;
}

static void on_answer(struct loop_getaddrinfo *look_up)
{
    (void)look_up;
}

static void a_loop_with_something_left_is_not_finished(void **state)
{
    struct loop_hook hook;
    struct loop_timer timer;
    struct loop_task task = {0};
    struct loop_getaddrinfo look_up;
    void (*const inits[])(struct loop *, struct loop_hook *) = {loop_idle_init, loop_prepare_init,
                                                                loop_check_init};
    for (size_t i = 0; i < ARRAY_LENGTH(inits); i++) {
        inits[i](*state, &hook);
        assert_int_equal(0, loop_hook_start(&hook, on_hook));
        assert_int_equal(-EBUSY, loop_fini(*state));
        loop_hook_stop(&hook);
    }
    loop_timer_init(*state, &timer);
    loop_close(&timer.handle, NULL);
    assert_int_equal(-EBUSY, loop_fini(*state));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(0, loop_post(*state, &task, on_task));
    assert_int_equal(-EBUSY, loop_fini(*state));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(0, loop_getaddrinfo(*state, &look_up, "::1", "80", NULL, on_answer));
    assert_int_equal(-EBUSY, loop_fini(*state));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void references_of_requests_are_flags(void **state)
{
    struct loop_getaddrinfo look_up = {0};
    loop_request_ref(&look_up.request);
    loop_request_unref(&look_up.request);
    assert_int_equal(0, loop_getaddrinfo(*state, &look_up, "::1", "80", NULL, on_answer));
    loop_request_ref(&look_up.request);
    loop_request_unref(&look_up.request);
    loop_request_unref(&look_up.request);
    loop_request_ref(&look_up.request);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
}

static void on_poll(struct loop_poll *poll, int status, uint32_t events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void a_host_is_told_how_long_it_may_wait(void **state)
{
    struct loop_timer timer;
    struct loop_poll poll;
    int ends[2];
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    loop_poll_init(*state, &poll, ends[0]);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE, on_poll));
    assert_int_equal(1, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_int_equal(-1, loop_backend_timeout(*state));
    loop_poll_stop(&poll);
    loop_timer_init(*state, &timer);
    assert_int_equal(0, loop_timer_start(&timer, UINT64_MAX / 4 * 3, 0, on_timer));
    assert_int_equal(1, loop_run(*state, LOOP_RUN_NOWAIT));
    assert_true(loop_backend_timeout(*state) > INT64_MAX / 2);
    assert_int_equal(0, loop_timer_start(&timer, 0, 0, on_timer));
    assert_int_equal(0, loop_backend_timeout(*state));
    loop_timer_stop(&timer);
    loop_run(*state, LOOP_RUN_NOWAIT);
    close(ends[0]);
    close(ends[1]);
}

static void on_async(struct loop_async *async)
{
    (void)async;
}

static void what_is_sent_to_a_closed_handle_is_cancelled(void **state)
{
    struct loop_async async;
    assert_int_equal(0, loop_async_init(*state, &async, on_async));
    loop_close(&async.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(-ECANCELED, loop_async_send(&async));
}

static void on_names(struct loop_getnameinfo *look_up)
{
    say("%s", loop_error_name(look_up->status));
}

static int go_on_in_a_child(void *arg)
{
    int error = loop_after_fork(arg);
    loop_run(arg, LOOP_RUN_DEFAULT);
    return !error && strcmp(said(), "ECANCELED") == 0 && loop_fini(arg) == 0 ? 0 : 1;
}

/* Its threads are the parent's. */
static void a_forked_child_has_no_look_ups(void **state)
{
    struct loop_getnameinfo look_up;
    struct loop_address here = address_of("127.0.0.1");
    assert_int_equal(0, loop_getnameinfo(*state, &look_up, &here, 0, on_names));
    in_child(go_on_in_a_child, *state);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("OK");
}

/* Files. */

static void on_fs(struct loop_fs *fs)
{
    (void)fs;
}

static void vectors_and_times_must_be_there(void **state)
{
    struct loop *loop = *state;
    struct loop_fs fs = {0};
    struct loop_buf huge = {"x", SIZE_MAX / 4}, buf = {"x", 1};
    struct iovec room = {0};
    assert_invalid(loop_fs_readv(loop, &fs, 0, NULL, 1, 0, on_fs));
    assert_invalid(loop_fs_readv(loop, &fs, 0, &room, SIZE_MAX, 0, on_fs));
    assert_invalid(loop_fs_readv(loop, &fs, 0, &room, 1, -2, on_fs));
    assert_invalid(loop_fs_writev(NULL, &fs, 0, &buf, 1, 0, on_fs));
    assert_invalid(loop_fs_writev(loop, &fs, 0, NULL, 1, 0, on_fs));
    assert_invalid(loop_fs_writev(loop, &fs, 0, &buf, SIZE_MAX, 0, on_fs));
    assert_invalid(loop_fs_writev(loop, &fs, 0, &huge, 1, 0, on_fs));
    assert_invalid(loop_fs_sendfile(loop, &fs, 0, -1, 0, 1, on_fs));
    assert_invalid(loop_fs_sendfile(loop, &fs, 0, 0, -2, 1, on_fs));
    assert_invalid(loop_fs_utimes(loop, &fs, "/tmp", NULL, on_fs));
    assert_invalid(loop_fs_futimes(loop, &fs, 0, NULL, on_fs));
    assert_invalid(loop_fs_truncate(loop, &fs, "/tmp", -1, on_fs));
}

static void on_removed(struct loop_fs *fs)
{
    say("%s", loop_error_name((int)fs->result));
}

/* Names with dots are names; but for the two that every directory has. */
static void what_every_directory_has_is_not_removed(void **state)
{
    static const char *const refused[] = {"/", ".", "..", "/tmp/..", "//"};
    static const char *const missing[] = {"/tmp/.x-none", "/tmp/..x-none", "/tmp/x.-none",
                                          "/tmp/zz"};
    struct loop_fs fs = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        int error = loop_fs_rm(*state, &fs, refused[i], LOOP_FS_RECURSIVE, on_removed);
        assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
        assert_string_equal(error ? "" : "EINVAL", said());
    }
    for (size_t i = 0; i < ARRAY_LENGTH(missing); i++) {
        assert_int_equal(0, loop_fs_rm(*state, &fs, missing[i], 0, on_removed));
        assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
        assert_said("ENOENT");
    }
}

static void a_path_is_cut_and_asked_about_from_a_directory(void **state)
{
    static char long_path[PATH_MAX - 8];
    struct loop_fs fs = {0};
    char folder[] = "/tmp/refused-XXXXXX";
    assert_non_null(mkdtemp(folder));
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(openat(dir, "file", O_CREAT | O_WRONLY, 0600));
    memset(long_path, 'x', sizeof(long_path) - 1);
    const char *const paths[] = {"file", "/tmp/refused-none", "", long_path};
    const char *const expected[] = {"OK", "ENOENT", "ENOENT", "ENAMETOOLONG"};
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        loop_fs_at(&fs, dir);
        assert_int_equal(0, loop_fs_truncate(*state, &fs, paths[i], 1, on_removed));
        assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
        assert_said(expected[i]);
        loop_fs_at(&fs, dir);
        assert_int_equal(0, loop_fs_statfs(*state, &fs, paths[i], on_removed));
        assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
        assert_said(expected[i]);
    }
    unlinkat(dir, "file", 0);
    rmdir(folder);
    close(dir);
}

/* Streams. */

static void writes_of_nothing_are_refused(void **state)
{
    struct loop_pipe a, b;
    struct loop_write write;
    struct loop_connect connect;
    struct loop_buf buf = {"x", 1}, hollow = {NULL, 1};
    loop_pipe_init(*state, &a);
    loop_pipe_init(*state, &b);
    assert_int_equal(0, loop_pipe_pair(&a, &b));
    assert_invalid(loop_write(&a.stream, NULL, &buf, 1, NULL));
    assert_invalid(loop_write(&a.stream, &write, NULL, 1, NULL));
    assert_invalid(loop_write(&a.stream, &write, &hollow, 1, NULL));
    assert_invalid(loop_write(&a.stream, &write, &buf, (size_t)UINT32_MAX + 1, NULL));
    assert_true(loop_try_write(&a.stream, NULL, 1) == -EINVAL);
    assert_true(loop_try_write(&a.stream, NULL, 0) == 0);
    assert_invalid(loop_write_copy(&a.stream, NULL, 1));
    assert_int_equal(0, loop_write_copy(&a.stream, NULL, 0));
    assert_int_equal(0, loop_stream_set_marks(&a.stream, 1, 2, 4, NULL));
    assert_int_equal(-ENOBUFS, loop_write_copy(&a.stream, "12345", 5));
    assert_invalid(loop_pipe_connect(&b, NULL, "x", 1, on_connect));
    assert_invalid(loop_pipe_connect(NULL, &connect, "x", 1, on_connect));
    loop_close(&a.handle, NULL);
    loop_close(&b.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void datagrams_of_no_bytes_must_say_so(void **state)
{
    struct loop_udp udp;
    struct loop_address there = address_of("127.0.0.1"), far = address_of("::1");
    struct loop_buf hollow = {NULL, 1}, empty = {NULL, 0};
    struct loop_datagram datagram = {&empty, 1, &there};
    loop_udp_init(*state, &udp);
    loop_udp_recv_stop(&udp);
    assert_true(loop_udp_try_send(&udp, &hollow, 1, &there) == -EINVAL);
    assert_true(loop_udp_try_send_many(&udp, &datagram, 0) == -EINVAL);
    far.size = sizeof(far.ip4);
    assert_true(loop_udp_try_send(&udp, &empty, 1, &far) == -EINVAL);
    loop_close(&udp.handle, NULL);
    loop_udp_recv_stop(&udp);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_executed(struct loop_exec *exec, int status)
{
    (void)exec;
    (void)status;
}

static void commands_of_none_are_refused(void **state)
{
    struct loop_exec exec;
    struct loop_stdio stdio = {.kind = LOOP_STDIO_NULL};
    struct loop_process process;
    struct loop_exec_options options = {.process = {.file = "true"}};
    assert_invalid(loop_exec(NULL, &exec, &options, on_executed));
    assert_invalid(loop_exec(*state, NULL, &options, on_executed));
    assert_invalid(loop_exec(*state, &exec, NULL, on_executed));
    options.process.stdio_count = 1;
    assert_invalid(loop_exec(*state, &exec, &options, on_executed));
    options.process.stdio = &stdio;
    assert_invalid(loop_exec(*state, &exec, &options, on_executed));
    stdio.kind = LOOP_STDIO_OUTPUT;
    loop_process_init(*state, &process);
    assert_invalid(loop_process_spawn(&process, &options.process, on_exit_told));
}

/* Edges. */

static void a_terminal_like_device_has_no_half_to_close(void **state)
{
    struct loop_pipe device;
    struct loop_shutdown shutdown;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    loop_pipe_init(*state, &device);
    assert_int_equal(0, loop_pipe_open(&device, fd));
    assert_int_equal(0, loop_shutdown(&device.stream, &shutdown, NULL));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(fd, loop_stream_fd(&device.stream));
    loop_close(&device.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void a_virtual_clock_does_not_spin(void **state)
{
    struct loop loop;
    struct loop_timer timer;
    struct loop_options options = test_options(LOOP_CLOCK_VIRTUAL);
    (void)state;
    options.spin_ns = LOOP_SEC;
    assert_int_equal(0, loop_init(&loop, &options));
    loop_timer_init(&loop, &timer);
    assert_int_equal(0, loop_timer_start(&timer, LOOP_SEC, 0, on_timer));
    assert_int_equal(0, loop_run(&loop, LOOP_RUN_DEFAULT));
    assert_int_equal(0, loop_fini(&loop));
}

static void look_ups_of_odd_things_are_refused(void **state)
{
    struct loop_getaddrinfo look_up;
    struct loop_getnameinfo names;
    struct loop_address odd = address_of("127.0.0.1");
    struct loop_dns_hints raw = {.socket_type = SOCK_RAW}, strange = {.socket_type = 99};
    odd.size--;
    assert_invalid(loop_getnameinfo(*state, &names, &odd, 0, on_names));
    assert_invalid(loop_getaddrinfo(*state, &look_up, "::1", "80", &strange, on_answer));
    assert_int_equal(0, loop_getaddrinfo(*state, &look_up, "::1", "0", &raw, on_answer));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_read_close(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    say("%d", (int)size);
    loop_close(&stream->handle, NULL);
}

static void reads_are_traced_and_a_pause_is_kept(void **state)
{
    struct loop_pipe a, b;
    static struct loop_trace_text text;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    loop_trace_text(*state, &text, fd, false);
    text.pause_ns = 1;
    loop_pipe_init(*state, &a);
    loop_pipe_init(*state, &b);
    assert_int_equal(0, loop_pipe_pair(&a, &b));
    assert_int_equal(0, loop_read_start(&b.stream, on_read_close));
    assert_int_equal(0, loop_write_copy(&a.stream, "hello", 5));
    loop_close(&a.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    loop_trace_remove(*state, &text.trace);
    close(fd);
    assert_said("5");
}

static int trace_into_a_name_too_long(void *arg)
{
    static char asked[PATH_MAX + 100] = "chrome:";
    struct loop loop;
    (void)arg;
    memset(asked + strlen(asked), 'x', sizeof(asked) - strlen(asked) - 1);
    close(STDERR_FILENO);
    setenv("LOOP_TRACE", asked, 1);
    return loop_init(&loop, NULL) == 0 && loop_fini(&loop) == 0 ? 0 : 1;
}

static void a_trace_that_cannot_be_named_is_none(void **state)
{
    (void)state;
    in_child(trace_into_a_name_too_long, NULL);
}

static struct loop misused;

static void a_datagram_descriptor_closed_by_somebody_else(void)
{
    struct loop_udp udp;
    struct loop_address any = address_of("127.0.0.1");
    assert_int_equal(0, loop_init(&misused, NULL));
    loop_udp_init(&misused, &udp);
    assert_int_equal(0, loop_udp_bind(&udp, &any, 0));
    close(loop_udp_fd(&udp));
    loop_close(&udp.handle, NULL);
}

static void *queue_elsewhere(void *arg)
{
    static struct loop_task task;
    loop_next_tick(arg, &task, on_task);
    return NULL;
}

static void on_timer_elsewhere(struct loop_timer *timer)
{
    pthread_t thread;
    assert_int_equal(0, pthread_create(&thread, NULL, queue_elsewhere, timer->handle.loop));
    pthread_join(thread, NULL);
}

static void a_task_queued_on_another_thread(void)
{
    static struct loop_timer timer;
    assert_int_equal(0, loop_init(&misused, NULL));
    loop_timer_init(&misused, &timer);
    assert_int_equal(0, loop_timer_start(&timer, 0, 0, on_timer_elsewhere));
    loop_run(&misused, LOOP_RUN_DEFAULT);
}

static void a_neighbour_initialised_while_it_was_active(void)
{
    static struct loop_hook first, second;
    assert_int_equal(0, loop_init(&misused, NULL));
    loop_idle_init(&misused, &first);
    loop_idle_init(&misused, &second);
    assert_int_equal(0, loop_hook_start(&first, on_hook));
    assert_int_equal(0, loop_hook_start(&second, on_hook));
    loop_idle_init(&misused, &first);
    loop_hook_stop(&second);
}

static void what_would_corrupt_memory_panics(void **state)
{
    (void)state;
    assert_panics(a_datagram_descriptor_closed_by_somebody_else, "somebody else had closed");
    assert_panics(a_task_queued_on_another_thread, "on another thread");
    assert_panics(a_neighbour_initialised_while_it_was_active, "a list is corrupt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_words_and_names),
        cmocka_unit_test(addresses_differ_by_any_of_their_words),
        real_test(a_tcp_handle_that_is_none_is_refused),
        real_test(a_pipe_handle_that_is_none_is_refused),
        real_test(a_stream_that_is_none_is_refused),
        real_test(datagrams_of_none_are_refused),
        real_test(sockets_of_other_kinds_are_no_datagrams),
        real_test(the_zone_of_a_group_is_its_interface),
        real_test(children_and_signals_of_none_are_refused),
        real_test(what_is_watched_must_be_something),
        real_test(what_is_asked_of_nothing_has_an_answer),
        real_test(a_loop_with_something_left_is_not_finished),
        real_test(references_of_requests_are_flags),
        real_test(a_host_is_told_how_long_it_may_wait),
        real_test(what_is_sent_to_a_closed_handle_is_cancelled),
        real_test(a_forked_child_has_no_look_ups),
        real_test(vectors_and_times_must_be_there),
        real_test(what_every_directory_has_is_not_removed),
        real_test(a_path_is_cut_and_asked_about_from_a_directory),
        real_test(writes_of_nothing_are_refused),
        real_test(datagrams_of_no_bytes_must_say_so),
        real_test(commands_of_none_are_refused),
        real_test(a_terminal_like_device_has_no_half_to_close),
        cmocka_unit_test(a_virtual_clock_does_not_spin),
        real_test(look_ups_of_odd_things_are_refused),
        real_test(reads_are_traced_and_a_pause_is_kept),
        cmocka_unit_test(a_trace_that_cannot_be_named_is_none),
        cmocka_unit_test(what_would_corrupt_memory_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
