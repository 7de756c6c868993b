/* Writing to streams, and ending that.
 *
 * A write is tried at once, and what the kernel does not take is queued; either way its callback
 * comes later, and callbacks come in the order of the writes. Without a callback the request is
 * free as soon as all is taken. The array of buffers is the caller's again when the call returns;
 * any number of them, empty ones among them, make the same bytes. What is over 2 GiB, which is all
 * that one call of the kernel's can take, goes in several.
 *
 * Above the high mark a write says 1, and the drain callback comes once, at the low mark, before
 * the callback of the write that made it so. What might not fit under the hard cap is refused
 * whole. A peer that is gone makes the queue fail whole and in order, and raises no SIGPIPE, which
 * here has its default disposition and would end the program.
 *
 * loop_write_copy() keeps what the kernel does not take; loop_try_write() keeps nothing. A shutdown
 * waits for the queue, and for nothing else.
 *
 * SPDX-License-Identifier: MIT */
#include "stream_pair.h"

#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { SMALL = 4096 }; /* for the kernel's buffers */

static struct pair pair;

static void begin_writer(void **state)
{
    memset(&pair, 0, sizeof(pair));
    open_writer(&pair, *state, SMALL);
}

static void begin_pair(void **state)
{
    memset(&pair, 0, sizeof(pair));
    open_pair_with(&pair, *state, SMALL);
}

struct out {
    struct loop_write write;
    const char *name;
    bool done;
    int status;
};

static void on_written(struct loop_write *write, int status)
{
    struct out *out = loop_container_of(write, struct out, write);
    out->done = true;
    out->status = status;
    say("%s:%s:%zu", out->name, loop_error_name(status), write->written);
}

static int put(struct out *out, const void *bytes, size_t size)
{
    struct loop_buf buf = {bytes, size};
    out->done = false;
    return loop_write(&pair.writer.stream, &out->write, &buf, 1, on_written);
}

/* Empties the raw end until the request has had its callback. */
static void drain_until(const bool *done)
{
    while (!*done && loop_alive(pair.loop)) {
        raw_drain(&pair, SIZE_MAX);
        turn(pair.loop);
    }
    assert_true(*done);
}

static const char text[100] = "0123456789";

/* At once. */

static void a_write_taken_whole_calls_back_later(void **state)
{
    struct out a = {.name = "a"};
    begin_writer(state);
    assert_int_equal(0, put(&a, text, 10));
    assert_false(a.done);
    assert_int_equal(0, pair.writer.stream.queued);
    assert_int_equal(-EALREADY, loop_request_cancel(&a.write.request));
    assert_true(loop_alive(pair.loop));
    run(pair.loop);
    assert_said("a:OK:10");
    assert_drains(&pair, 10);
    close_pair(&pair);
}

static void without_a_callback_the_request_is_free_at_once(void **state)
{
    struct loop_write write = {0};
    begin_writer(state);
    for (int i = 0; i < 3; i++) {
        struct loop_buf buf = {text, 10};
        assert_int_equal(0, loop_write(&pair.writer.stream, &write, &buf, 1, NULL));
        assert_int_equal(10, write.written);
        assert_false(loop_alive(pair.loop));
    }
    close_pair(&pair);
}

static void without_a_callback_a_queued_request_keeps_the_loop_alive(void **state)
{
    struct loop_write write = {0};
    begin_writer(state);
    fill(&pair.writer);
    struct loop_buf buf = {text, 10};
    assert_int_equal(0, loop_write(&pair.writer.stream, &write, &buf, 1, NULL));
    assert_int_equal(10, pair.writer.stream.queued);
    while (loop_alive(pair.loop)) {
        raw_drain(&pair, SIZE_MAX);
        turn(pair.loop);
    }
    assert_int_equal(10, write.written);
    assert_int_equal(0, pair.writer.stream.queued);
    close_pair(&pair);
}

/* In order. */

enum { WRITES = 50 };

static void writes_are_queued_and_told_in_order(void **state)
{
    static struct out outs[WRITES];
    static char names[WRITES][4];
    char expected[WRITES * 16] = "";
    enum { SIZE = 3001 };
    char *bytes = pattern_bytes((size_t)WRITES * SIZE);
    memset(outs, 0, sizeof(outs));
    begin_pair(state);
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_pattern));
    assert_int_equal(0,
                     loop_stream_set_marks(&pair.writer.stream, 1, LONG_MAX - 1, LONG_MAX, NULL));
    for (int i = 0; i < WRITES; i++) {
        snprintf(names[i], sizeof(names[i]), "%d", i);
        outs[i].name = names[i];
        assert_int_equal(0, put(&outs[i], bytes + i * SIZE, SIZE));
        snprintf(expected + strlen(expected), 16, "%s%d:OK:%d", i ? " " : "", i, SIZE);
    }
    assert_true(pair.writer.stream.queued > 0);
    run_until_size(pair.loop, &pair.reader.size, (size_t)WRITES * SIZE);
    run_until(pair.loop, &outs[WRITES - 1].done);
    assert_said(expected);
    assert_int_equal(0, pair.writer.stream.queued);
    close_pair(&pair);
    free(bytes);
}

/* Buffers of all lengths, empty ones among them, first and last. */
static size_t cut(struct loop_buf *bufs, size_t count, const char *bytes)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = i % 7 == 0 || i == count - 1 ? 0 : i * 37 % 191;
        bufs[i] = (struct loop_buf){i % 14 == 0 ? NULL : bytes + at, size};
        at += size;
    }
    return at;
}

static void write_cut(size_t count, bool full)
{
    struct loop_buf *bufs = malloc((count + 1) * sizeof(*bufs));
    char *bytes = pattern_bytes(count * 191 + 1);
    struct out a = {.name = "a"};
    size_t size = cut(bufs, count, bytes);
    pair.reader.size = 0;
    size_t filled = full ? fill(&pair.writer) : 0;
    assert_true(loop_write(&pair.writer.stream, &a.write, bufs, count, on_written) >= 0);
    memset(bufs, 0xee, count * sizeof(*bufs)); /* ours again */
    free(bufs);
    while (filled > 0) {
        char zeros[4096];
        size_t piece = filled < sizeof(zeros) ? filled : sizeof(zeros);
        ssize_t got = read(loop_stream_fd(&pair.reader.stream), zeros, piece);
        filled -= got > 0 ? (size_t)got : 0;
        turn(pair.loop);
    }
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_pattern));
    run_until_size(pair.loop, &pair.reader.size, size);
    run_until(pair.loop, &a.done);
    loop_read_stop(&pair.reader.stream);
    assert_int_equal(0, a.status);
    assert_int_equal(size, a.write.written);
    said();
    free(bytes);
}

static void any_number_of_buffers_make_the_same_bytes(void **state)
{
    static const size_t counts[] = {0, 1, 2, 4, 5, 6, 63, 64, 65, 66, 128, 1024, 1025, 3000};
    begin_pair(state);
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++)
        for (int full = 0; full < 2; full++)
            write_cut(counts[i], full);
    close_pair(&pair);
}

static void an_empty_write_is_done_in_its_turn(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    begin_writer(state);
    assert_int_equal(0, put(&a, NULL, 0));
    assert_int_equal(0, loop_write(&pair.writer.stream, &b.write, NULL, 0, on_written));
    assert_said("");
    run(pair.loop);
    assert_said("a:OK:0 b:OK:0");
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, put(&b, "", 0));
    assert_int_equal(0, put(&c, text, 10));
    turn(pair.loop);
    assert_said("");
    drain_until(&c.done);
    assert_said("a:OK:10 b:OK:0 c:OK:10");
    struct loop_buf none = {NULL, 0};
    assert_int_equal(0, loop_write(&pair.writer.stream, &a.write, &none, 1, NULL));
    assert_int_equal(0, loop_write_copy(&pair.writer.stream, NULL, 0));
    assert_int_equal(0, loop_try_write(&pair.writer.stream, &none, 1));
    assert_false(loop_alive(pair.loop));
    close_pair(&pair);
}

static void an_empty_write_can_be_cancelled_and_be_last(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    begin_writer(state);
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, put(&b, "", 0));
    assert_int_equal(0, put(&c, "", 0));
    assert_int_equal(0, loop_request_cancel(&b.write.request));
    assert_int_equal(0, loop_request_cancel(&a.write.request));
    assert_int_equal(0, pair.writer.stream.queued);
    drain_until(&c.done);
    assert_said("b:ECANCELED:0 a:ECANCELED:0 c:OK:0");
    close_pair(&pair);
}

static int chain_left;

static void on_written_again(struct loop_write *write, int status)
{
    assert_int_equal(0, status);
    struct loop_buf buf = {text, 10};
    if (--chain_left > 0)
        assert_int_equal(0, loop_write(&pair.writer.stream, write, &buf, 1, on_written_again));
}

static void a_callback_may_write_again_with_the_same_request(void **state)
{
    struct loop_write write = {0};
    struct loop_buf buf = {text, 10};
    begin_writer(state);
    chain_left = 100;
    assert_int_equal(0, loop_write(&pair.writer.stream, &write, &buf, 1, on_written_again));
    size_t drained = 0;
    while (chain_left > 0) {
        drained += raw_drain(&pair, SIZE_MAX);
        turn(pair.loop);
    }
    run(pair.loop);
    assert_drains(&pair, 1000 - drained);
    close_pair(&pair);
}

/* More than one call of the kernel's can take. */
static void more_than_2_gib_go_in_several_calls(void **state)
{
    enum { PIECES = 3 };
    size_t size = (size_t)0x7ffff000 / 2 + 4096;
    struct out a = {.name = "a"};
    struct loop_buf bufs[PIECES];
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *zeros = mmap(NULL, size, PROT_READ, flags, -1, 0);
    assert_ptr_not_equal(MAP_FAILED, zeros);
    for (int i = 0; i < PIECES; i++)
        bufs[i] = (struct loop_buf){zeros, size};
    memset(&pair, 0, sizeof(pair));
    open_writer(&pair, *state, 4 << 20);
    assert_int_equal(-ENOBUFS, loop_write(&pair.writer.stream, &a.write, bufs, PIECES, on_written));
    assert_int_equal(0, loop_stream_set_marks(&pair.writer.stream, 1, 2, PIECES * size, NULL));
    assert_int_equal(1, loop_write(&pair.writer.stream, &a.write, bufs, PIECES, on_written));
    size_t drained = 0;
    while (drained < 64 << 20) {
        drained += raw_drain(&pair, SIZE_MAX);
        turn(pair.loop);
    }
    assert_int_equal(0, loop_request_cancel(&a.write.request));
    run(pair.loop);
    drained += raw_drain(&pair, SIZE_MAX);
    assert_int_equal(-ECANCELED, a.status);
    assert_int_equal(drained, a.write.written);
    said();
    close_pair(&pair);
    munmap(zeros, size);
}

/* Marks. */

static void on_drain(struct loop_stream *stream)
{
    assert_false(loop_stream_needs_drain(stream));
    say("drain:%zu", stream->queued);
}

static void set_marks(size_t low, size_t high, size_t max)
{
    assert_int_equal(0, loop_stream_set_marks(&pair.writer.stream, low, high, max, on_drain));
}

static void above_the_high_mark_a_write_says_so(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    begin_writer(state);
    fill(&pair.writer);
    set_marks(50, 100, 150);
    assert_int_equal(0, put(&a, text, 60));
    assert_int_equal(0, put(&b, text, 40)); /* the mark itself is not above */
    assert_false(loop_stream_needs_drain(&pair.writer.stream));
    assert_int_equal(1, put(&c, text, 1));
    assert_true(loop_stream_needs_drain(&pair.writer.stream));
    assert_int_equal(101, pair.writer.stream.queued);
    drain_until(&c.done);
    assert_said("drain:0 a:OK:60 b:OK:40 c:OK:1");
    close_pair(&pair);
}

static void the_hard_cap_refuses_whole(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"};
    begin_writer(state);
    set_marks(50, 100, 100);
    assert_int_equal(-ENOBUFS, put(&a, text, 101)); /* as if the kernel took none */
    assert_int_equal(0, loop_try_write(&pair.writer.stream, &(struct loop_buf){text, 0}, 1));
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 60));
    assert_int_equal(-ENOBUFS, put(&b, text, 41));
    assert_int_equal(-ENOBUFS, loop_write_copy(&pair.writer.stream, text, 41));
    assert_int_equal(60, pair.writer.stream.queued);
    assert_int_equal(0, put(&b, text, 40));
    assert_int_equal(-ENOBUFS, loop_write_copy(&pair.writer.stream, text, 1));
    assert_int_equal(0, loop_write_copy(&pair.writer.stream, text, 0));
    drain_until(&b.done);
    assert_said("a:OK:60 b:OK:40");
    close_pair(&pair);
}

/* Nothing is written before the loop runs: the kernel takes what it likes of the first. */
static void by_default_16_mib_may_wait_and_not_a_byte_more(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"};
    begin_writer(state);
    char *bytes = calloc(1, LOOP_WRITE_MAX + 1);
    assert_non_null(bytes);
    assert_int_equal(-ENOBUFS, put(&a, bytes, LOOP_WRITE_MAX + 1));
    assert_int_equal(0, pair.writer.stream.queued);
    fill(&pair.writer);
    assert_int_equal(1, put(&a, bytes, LOOP_WRITE_MAX));
    assert_int_equal(LOOP_WRITE_MAX, pair.writer.stream.queued);
    assert_int_equal(-ENOBUFS, put(&b, bytes, 1));
    assert_int_equal(0, loop_request_cancel(&a.write.request));
    assert_int_equal(0, put(&b, bytes, 1));
    drain_until(&b.done);
    assert_said("a:ECANCELED:0 b:OK:1");
    close_pair(&pair);
    free(bytes);
}

static void drain_comes_once_at_the_low_mark(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    begin_writer(state);
    fill(&pair.writer);
    set_marks(60, 90, 1000);
    assert_int_equal(0, put(&a, text, 30));
    assert_int_equal(0, put(&b, text, 60));
    assert_int_equal(1, put(&c, text, 1));
    assert_int_equal(0, loop_request_cancel(&c.write.request)); /* 90 wait */
    turn(pair.loop);
    assert_said("c:ECANCELED:0");
    assert_int_equal(0, loop_request_cancel(&a.write.request)); /* 60 wait */
    turn(pair.loop);
    assert_said("drain:60 a:ECANCELED:0");
    drain_until(&b.done);
    assert_said("b:OK:60");
    close_pair(&pair);
}

static void marks_may_be_moved_meanwhile(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"};
    begin_writer(state);
    fill(&pair.writer);
    set_marks(1, 100, 1000);
    assert_int_equal(0, put(&a, text, 90));
    struct loop_stream *stream = &pair.writer.stream;
    assert_int_equal(-EBUSY, loop_stream_set_marks(stream, 1, 50, 89, on_drain)); /* 90 wait */
    set_marks(1, 50, 90);
    assert_false(loop_stream_needs_drain(stream));
    assert_int_equal(-ENOBUFS, put(&b, text, 1));
    set_marks(1, 50, 100);
    assert_int_equal(1, put(&b, text, 1));
    set_marks(90, 100, 100);
    assert_int_equal(0, loop_request_cancel(&b.write.request));
    turn(pair.loop);
    assert_said("drain:90 b:ECANCELED:0");
    drain_until(&a.done);
    assert_said("a:OK:90");
    close_pair(&pair);
}

static void wrong_marks_are_refused(void **state)
{
    begin_writer(state);
    struct loop_stream *stream = &pair.writer.stream;
    assert_int_equal(-EINVAL, loop_stream_set_marks(stream, 2, 2, 3, NULL));
    assert_int_equal(-EINVAL, loop_stream_set_marks(stream, 1, 4, 3, NULL));
    assert_int_equal(-EINVAL, loop_stream_set_marks(NULL, 1, 2, 3, NULL));
    assert_int_equal(-EINVAL, loop_stream_set_marks(stream, LOOP_WRITE_HIGH, 0, 0, NULL));
    assert_int_equal(0, loop_stream_set_marks(stream, 1, 2, 2, NULL));
    assert_int_equal(0, loop_stream_set_marks(stream, 0, 0, 0, NULL));
    struct loop_write write = {0};
    static char zeros[LOOP_WRITE_HIGH + 1];
    struct loop_buf buf = {zeros, LOOP_WRITE_HIGH};
    fill(&pair.writer);
    assert_int_equal(0, loop_write(stream, &write, &buf, 1, NULL));
    close_pair(&pair);
}

/* Errors. */

static void a_peer_that_is_gone_is_epipe_and_no_signal(void **state)
{
    struct out a = {.name = "a"};
    begin_writer(state);
    assert_ptr_equal(SIG_DFL, signal(SIGPIPE, SIG_DFL));
    close_raw(&pair);
    int error = 0;
    for (int i = 0; i < 1000 && error == 0; i++) { /* TCP has to hear of it first */
        error = put(&a, text, 10);
        turn(pair.loop);
    }
    assert_true(error == -EPIPE || (error == -ECONNRESET && kind == TCP));
    assert_int_equal(0, a.write.written);
    said();
    assert_int_equal(-EPIPE, put(&a, text, 10));
    assert_int_equal(-EPIPE, loop_write_copy(&pair.writer.stream, text, 10));
    struct loop_buf buf = {text, 10};
    assert_int_equal(-EPIPE, loop_try_write(&pair.writer.stream, &buf, 1));
    assert_false(loop_alive(pair.loop));
    close_pair(&pair);
}

static void a_signal_that_was_pending_stays_so(void **state)
{
    sigset_t pipe, pending;
    struct out a = {.name = "a"};
    begin_writer(state);
    close_raw(&pair);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe, NULL);
    raise(SIGPIPE);
    assert_int_equal(-EPIPE, put(&a, text, 10));
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGPIPE));
    int number;
    assert_int_equal(0, sigwait(&pipe, &number));
    assert_int_equal(-EPIPE, put(&a, text, 10));
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    sigprocmask(SIG_UNBLOCK, &pipe, NULL);
    close_pair(&pair);
}

/* As on kernels that have no RWF_NOSIGNAL, the last argument's bit. */
static bool forbid_pwritev2(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_LENGTH(steps), .filter = steps};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int write_on_an_old_kernel(void *expected)
{
    struct out a = {.name = "a"};
    sigset_t pending;
    if (!forbid_pwritev2())
        return 0;
    if (put(&a, text, 10) != *(int *)expected)
        return 1;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) ? 2 : 0;
}

static void an_old_kernel_raises_no_signal_either(void **state)
{
    int ok = 0, gone = -EPIPE;
    begin_writer(state);
    in_child(write_on_an_old_kernel, &ok);
    assert_drains(&pair, 10);
    close_raw(&pair);
    in_child(write_on_an_old_kernel, &gone);
    close_pair(&pair);
}

static void on_shut(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    say("shutdown:%s", loop_error_name(status));
}

static void an_error_fails_the_queue_whole_and_in_order(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    struct loop_shutdown shutdown = {0};
    begin_writer(state);
    fill(&pair.writer);
    set_marks(1, 10, 1000);
    assert_int_equal(1, put(&a, text, 30));
    assert_int_equal(1, put(&b, text, 0));
    assert_int_equal(1, put(&c, text, 30));
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    if (kind == TCP)
        raw_reset(&pair);
    else
        close_raw(&pair);
    run(pair.loop);
    if (kind == TCP)
        assert_said("drain:0 a:ECONNRESET:0 b:ECONNRESET:0 c:ECONNRESET:0 shutdown:ECONNRESET");
    else
        assert_said("drain:0 a:EPIPE:0 b:EPIPE:0 c:EPIPE:0 shutdown:EPIPE");
    assert_int_equal(0, pair.writer.stream.queued);
    close_pair(&pair);
}

static void wrong_arguments_are_refused(void **state)
{
    struct out a = {.name = "a"};
    struct loop_shutdown shutdown = {0};
    struct loop_buf null = {NULL, 1}, huge[2] = {{text, SIZE_MAX / 2}, {text, 1}}, buf = {text, 1};
    begin_writer(state);
    struct loop_stream *stream = &pair.writer.stream;
    set_marks(1, 2, LONG_MAX);
    assert_int_equal(-EINVAL, loop_write(NULL, &a.write, &buf, 1, on_written));
    assert_int_equal(-EINVAL, loop_write(stream, NULL, &buf, 1, on_written));
    assert_int_equal(-EINVAL, loop_write(stream, &a.write, NULL, 1, on_written));
    assert_int_equal(-EINVAL, loop_write(stream, &a.write, &null, 1, on_written));
    assert_int_equal(-EINVAL, loop_write(stream, &a.write, huge, 2, on_written));
    assert_int_equal(-EINVAL, loop_write_copy(stream, NULL, 1));
    assert_int_equal(-EINVAL, loop_write_copy(NULL, text, 1));
    assert_int_equal(-EINVAL, loop_try_write(stream, NULL, 1));
    assert_int_equal(-EINVAL, loop_try_write(NULL, &buf, 1));
    assert_int_equal(-EINVAL, loop_shutdown(stream, NULL, on_shut));
    assert_int_equal(-EINVAL, loop_shutdown(NULL, &shutdown, on_shut));
    assert_int_equal(0, raw_drain(&pair, SIZE_MAX));
    loop_close(&pair.writer.handle, NULL);
    assert_int_equal(-ECANCELED, loop_write(stream, &a.write, &buf, 1, on_written));
    assert_int_equal(-ECANCELED, loop_write_copy(stream, text, 1));
    assert_int_equal(-ECANCELED, loop_try_write(stream, &buf, 1));
    assert_int_equal(-ECANCELED, loop_shutdown(stream, &shutdown, on_shut));
    run(pair.loop);
    init_end(pair.loop, &pair.writer, "w");
    assert_int_equal(-ENOTCONN, loop_write(stream, &a.write, &buf, 1, on_written));
    assert_int_equal(-ENOTCONN, loop_shutdown(stream, &shutdown, on_shut));
    assert_said("");
    close_raw(&pair);
}

static void reuse_in_flight(void)
{
    struct out a = {.name = "a"};
    struct loop loop;
    assert_int_equal(0, loop_init(&loop, NULL));
    kind = UNIX;
    memset(&pair, 0, sizeof(pair));
    open_writer(&pair, &loop, SMALL);
    put(&a, text, 10);
    put(&a, text, 10); /* its callback has not come, though the kernel has it all */
}

static void a_request_reused_in_flight_panics(void **state)
{
    (void)state;
    assert_panics(reuse_in_flight, "the write request was started again before its callback");
}

/* Copies. */

static void copies_come_out_in_order_behind_other_writes(void **state)
{
    enum { SIZE = 10007, COUNT = 20 };
    struct out a = {.name = "a"};
    begin_pair(state);
    char *bytes = pattern_bytes((size_t)SIZE * (COUNT + 1));
    assert_int_equal(0, loop_stream_set_marks(&pair.writer.stream, 0, 0, 0, NULL));
    for (int i = 0; i < COUNT; i++) {
        char copy[SIZE];
        memcpy(copy, bytes + i * SIZE, SIZE);
        assert_true(loop_write_copy(&pair.writer.stream, copy, SIZE) >= 0);
        memset(copy, 0, sizeof(copy)); /* not lent */
    }
    assert_int_equal(1, put(&a, bytes + COUNT * SIZE, SIZE));
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_pattern));
    run_until(pair.loop, &a.done);
    run_until_size(pair.loop, &pair.reader.size, (size_t)SIZE * (COUNT + 1));
    close_pair(&pair);
    free(bytes);
    assert_said("a:OK:10007");
}

/* The memory is looked at by teardown. */
static void copies_are_freed_by_close(void **state)
{
    begin_writer(state);
    fill(&pair.writer);
    for (int i = 0; i < 10; i++)
        assert_int_equal(0, loop_write_copy(&pair.writer.stream, text, sizeof(text)));
    assert_int_equal(10 * sizeof(text), pair.writer.stream.queued);
    close_pair(&pair);
    assert_said("");
}

static bool refuse;
static int refuse_behind; /* so many that are granted */

static void *refusing_resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size > 0)
        return refuse && refuse_behind-- <= 0 ? NULL : realloc(memory, size);
    free(memory);
    return NULL;
}

static void open_writer_without_memory(struct loop *loop)
{
    struct loop_options options = {.allocator.resize = refusing_resize};
    refuse = false;
    refuse_behind = 0;
    assert_int_equal(0, loop_init(loop, &options));
    memset(&pair, 0, sizeof(pair));
    open_writer(&pair, loop, SMALL);
}

static void without_memory_what_cannot_be_queued_is_refused(void **state)
{
    struct loop loop;
    struct out a = {.name = "a"}, b = {.name = "b"};
    struct loop_buf bufs[5] = {{text, 1}, {text, 2}, {text, 3}, {text, 4}, {text, 5}};
    (void)state;
    open_writer_without_memory(&loop);
    struct loop_stream *stream = &pair.writer.stream;
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10)); /* the loop's table has room for it from here on */
    refuse = true;
    assert_int_equal(-ENOMEM, loop_write_copy(stream, text, 1));
    assert_int_equal(-ENOMEM, loop_write(stream, &b.write, bufs, 5, on_written));
    assert_int_equal(0, b.write.written);
    assert_int_equal(10, stream->queued);
    assert_int_equal(0, loop_write(stream, &b.write, bufs, 4, on_written));
    drain_until(&b.done);
    assert_said("a:OK:10 b:OK:10");
    refuse = false;
    close_pair(&pair);
    assert_int_equal(0, loop_fini(&loop));
}

/* The list is copied, and then there is no room for the descriptor's number in the loop's table. */
static void without_memory_to_be_watched_nothing_is_queued(void **state)
{
    struct loop loop;
    struct out a = {.name = "a"};
    struct loop_buf bufs[5] = {{text, 1}, {text, 2}, {text, 3}, {text, 4}, {text, 5}};
    (void)state;
    open_writer_without_memory(&loop);
    struct loop_stream *stream = &pair.writer.stream;
    int fd = loop_stream_detach(stream), high = fcntl(fd, F_DUPFD_CLOEXEC, 300);
    assert_true(high >= 300);
    close(fd);
    open_end(&loop, &pair.writer, "w", high);
    fill(&pair.writer);
    refuse_behind = 1;
    refuse = true;
    assert_int_equal(-ENOMEM, loop_write(stream, &a.write, bufs, 5, on_written));
    assert_int_equal(0, stream->queued);
    refuse = false;
    assert_int_equal(0, loop_write(stream, &a.write, bufs, 5, on_written));
    drain_until(&a.done);
    assert_said("a:OK:15");
    close_pair(&pair);
    assert_int_equal(0, loop_fini(&loop));
}

/* Trying. */

static void a_try_takes_what_fits_and_waits_for_nobody(void **state)
{
    static char zeros[8 << 20];
    struct out a = {.name = "a"};
    begin_writer(state);
    struct loop_buf all = {zeros, sizeof(zeros)}, one = {zeros, 1};
    ssize_t sent = loop_try_write(&pair.writer.stream, &all, 1);
    assert_true(sent > 0 && sent < (ssize_t)sizeof(zeros));
    fill(&pair.writer);
    assert_int_equal(-EAGAIN, loop_try_write(&pair.writer.stream, &one, 1));
    assert_int_equal(0, pair.writer.stream.queued);
    assert_int_equal(0, put(&a, text, 10));
    raw_drain(&pair, SIZE_MAX);
    assert_int_equal(-EAGAIN, loop_try_write(&pair.writer.stream, &one, 1)); /* behind it */
    drain_until(&a.done);
    set_send_buffer(&pair.writer, 65536);
    assert_int_equal(1, loop_try_write(&pair.writer.stream, &one, 1));
    said();
    close_pair(&pair);
}

/* Shutdown. */

static void each_direction_ends_for_itself(void **state)
{
    struct loop_shutdown shutdown = {0}, other = {0};
    struct loop_buf buf = {"more", 4};
    begin_pair(state);
    start_reading(&pair.reader);
    start_reading(&pair.writer);
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    assert_int_equal(-EALREADY, loop_shutdown(&pair.writer.stream, &other, on_shut));
    assert_int_equal(-EPIPE, loop_try_write(&pair.writer.stream, &buf, 1));
    assert_said("");
    run_until(pair.loop, &pair.reader.ended);
    assert_said("shutdown:OK r-EOF");
    assert_int_equal(4, loop_try_write(&pair.reader.stream, &buf, 1));
    run_until_size(pair.loop, &pair.writer.size, 4);
    assert_int_equal(0, loop_shutdown(&pair.reader.stream, &other, NULL));
    run(pair.loop);
    assert_string_equal("more", got(&pair.writer));
    assert_said("w-EOF");
    assert_int_equal(-EALREADY, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    close_pair(&pair);
}

static void a_shutdown_waits_for_the_queue(void **state)
{
    struct out a = {.name = "a"};
    struct loop_shutdown shutdown = {0};
    begin_writer(state);
    size_t filled = fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    turn(pair.loop);
    assert_said("");
    size_t drained = 0;
    while (loop_alive(pair.loop)) {
        drained += raw_drain(&pair, SIZE_MAX);
        turn(pair.loop);
    }
    assert_said("a:OK:10 shutdown:OK");
    fcntl(pair.raw, F_SETFL, 0);
    drained += raw_drain(&pair, SIZE_MAX); /* to the end */
    assert_int_equal(filled + 10, drained);
    close_pair(&pair);
}

static void a_shutdown_cancelled_before_its_turn_has_not_happened(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"};
    struct loop_shutdown shutdown = {0};
    begin_writer(state);
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    assert_int_equal(-EPIPE, put(&b, text, 10));
    assert_int_equal(0, loop_request_cancel(&shutdown.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&shutdown.request));
    assert_int_equal(0, put(&b, text, 10));
    turn(pair.loop);
    assert_said("shutdown:ECANCELED");
    drain_until(&b.done);
    assert_said("a:OK:10 b:OK:10");
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    assert_int_equal(-EALREADY, loop_request_cancel(&shutdown.request));
    run(pair.loop);
    assert_said("shutdown:OK");
    close_pair(&pair);
}

static void cancelling_the_last_write_lets_the_shutdown_through(void **state)
{
    struct out a = {.name = "a"};
    struct loop_shutdown shutdown = {0};
    begin_writer(state);
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    assert_int_equal(0, loop_request_cancel(&a.write.request));
    run(pair.loop);
    assert_said("a:ECANCELED:0 shutdown:OK");
    close_pair(&pair);
}

/* The write end is closed by it, and writing is over as it is for sockets. */
static void after_a_shutdown_nothing_is_written(void **state)
{
    struct out a = {.name = "a"};
    struct loop_shutdown shutdown = {0};
    begin_pair(state);
    start_reading(&pair.reader);
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    run(pair.loop);
    assert_true(pair.reader.ended);
    said();
    assert_int_equal(-EPIPE, put(&a, text, 10));
    assert_int_equal(-EALREADY, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    close_pair(&pair);
}

static void a_shutdown_behind_a_crowded_queue_leaves_the_drain_callback(void **state)
{
    struct out a = {.name = "a"};
    struct loop_shutdown shutdown = {0};
    begin_writer(state);
    fill(&pair.writer);
    set_marks(1, 10, 1000);
    assert_int_equal(1, put(&a, text, 30));
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    drain_until(&a.done);
    run(pair.loop);
    assert_said("drain:0 a:OK:30 shutdown:OK");
    close_pair(&pair);
}

/* Cancel and deadline. */

static void a_cancelled_write_leaves_the_others(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"}, c = {.name = "c"};
    begin_writer(state);
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, put(&b, text, 20));
    assert_int_equal(0, put(&c, text, 30));
    assert_int_equal(0, loop_request_cancel(&b.write.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&b.write.request));
    assert_int_equal(40, pair.writer.stream.queued);
    assert_said("");
    drain_until(&c.done);
    assert_said("b:ECANCELED:0 a:OK:10 c:OK:30");
    close_pair(&pair);
}

static void a_write_taken_in_part_says_how_much(void **state)
{
    static char zeros[8 << 20];
    struct out a = {.name = "a"};
    begin_writer(state);
    assert_int_equal(1, put(&a, zeros, sizeof(zeros)));
    size_t taken = a.write.written;
    assert_int_equal(sizeof(zeros) - taken, pair.writer.stream.queued);
    assert_int_equal(0, loop_request_cancel(&a.write.request));
    run(pair.loop);
    assert_int_equal(-ECANCELED, a.status);
    assert_drains(&pair, taken);
    said();
    close_pair(&pair);
}

static void a_late_write_fails_alone(void **state)
{
    struct out a = {.name = "a"}, b = {.name = "b"};
    begin_writer(state);
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, put(&b, text, 10));
    assert_int_equal(0, loop_request_deadline(&b.write.request, 2 * LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&b.write.request, 3 * LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&a.write.request, 9 * LOOP_SEC));
    run_until(pair.loop, &b.done);
    assert_said("b:ETIMEDOUT:0");
    assert_int_equal(3 * LOOP_SEC, loop_now(pair.loop));
    assert_int_equal(0, loop_request_deadline(&a.write.request, LOOP_SEC)); /* to earlier */
    run(pair.loop);
    assert_said("a:ETIMEDOUT:0");
    assert_int_equal(4 * LOOP_SEC, loop_now(pair.loop));
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, loop_request_deadline(&a.write.request, LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&a.write.request, LOOP_NEVER)); /* none */
    loop_request_unref(&a.write.request);
    run(pair.loop); /* nothing is left that it would run for */
    loop_request_ref(&a.write.request);
    drain_until(&a.done);
    close_pair(&pair);
    assert_said("a:OK:10");
}

static void a_late_shutdown_has_not_happened(void **state)
{
    struct out a = {.name = "a"};
    struct loop_shutdown shutdown = {0};
    begin_writer(state);
    fill(&pair.writer);
    assert_int_equal(0, put(&a, text, 10));
    assert_int_equal(0, loop_shutdown(&pair.writer.stream, &shutdown, on_shut));
    assert_int_equal(0, loop_request_deadline(&shutdown.request, LOOP_SEC));
    assert_int_equal(0, loop_request_deadline(&a.write.request, 2 * LOOP_SEC));
    run(pair.loop);
    assert_said("shutdown:ETIMEDOUT a:ETIMEDOUT:0");
    raw_drain(&pair, SIZE_MAX);
    assert_int_equal(0, put(&a, text, 10));
    drain_until(&a.done);
    said();
    close_pair(&pair);
}

/* The queue of many writes is as quick to write as to fill. */
static void many_queued_writes_are_written_in_time(void **state)
{
    enum { COUNT = 100000 };
    struct out *outs = calloc(COUNT, sizeof(*outs));
    begin_pair(state);
    char *bytes = pattern_bytes(COUNT * 10);
    for (size_t i = 0; i < COUNT; i++) {
        struct loop_buf buf = {bytes + i * 10, 10};
        assert_true(loop_write(&pair.writer.stream, &outs[i].write, &buf, 1, NULL) >= 0);
    }
    assert_int_equal(0, loop_read_start(&pair.reader.stream, on_read_pattern));
    run_until_size(pair.loop, &pair.reader.size, COUNT * 10);
    close_pair(&pair);
    free(bytes);
    free(outs);
}

static const struct CMUnitTest tests[] = {
    over_all(a_write_taken_whole_calls_back_later),
    over_all(without_a_callback_the_request_is_free_at_once),
    over_all(without_a_callback_a_queued_request_keeps_the_loop_alive),
    over_all(writes_are_queued_and_told_in_order),
    over_all(any_number_of_buffers_make_the_same_bytes),
    over_all(an_empty_write_is_done_in_its_turn),
    over_all(an_empty_write_can_be_cancelled_and_be_last),
    over_all(a_callback_may_write_again_with_the_same_request),
    over(unix, more_than_2_gib_go_in_several_calls),
    over_all(above_the_high_mark_a_write_says_so),
    over_all(the_hard_cap_refuses_whole),
    over_all(by_default_16_mib_may_wait_and_not_a_byte_more),
    over_all(drain_comes_once_at_the_low_mark),
    over_all(marks_may_be_moved_meanwhile),
    over_all(wrong_marks_are_refused),
    over_all(a_peer_that_is_gone_is_epipe_and_no_signal),
    over(unix, a_signal_that_was_pending_stays_so),
    over(pipe, a_signal_that_was_pending_stays_so),
    over(pipe, an_old_kernel_raises_no_signal_either),
    over_all(an_error_fails_the_queue_whole_and_in_order),
    over_all(wrong_arguments_are_refused),
    virtual_test(a_request_reused_in_flight_panics),
    over_all(copies_come_out_in_order_behind_other_writes),
    over_all(copies_are_freed_by_close),
    over_all(without_memory_what_cannot_be_queued_is_refused),
    over_all(without_memory_to_be_watched_nothing_is_queued),
    over_all(a_try_takes_what_fits_and_waits_for_nobody),
    over_sockets(each_direction_ends_for_itself),
    over_all(a_shutdown_waits_for_the_queue),
    over_all(a_shutdown_cancelled_before_its_turn_has_not_happened),
    over_all(cancelling_the_last_write_lets_the_shutdown_through),
    over_all(after_a_shutdown_nothing_is_written),
    over_all(a_shutdown_behind_a_crowded_queue_leaves_the_drain_callback),
    over_all(a_cancelled_write_leaves_the_others),
    over_all(a_write_taken_in_part_says_how_much),
    over_all(a_late_write_fails_alone),
    over_all(a_late_shutdown_has_not_happened),
    over_all(many_queued_writes_are_written_in_time),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
