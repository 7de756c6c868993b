/* Copying from one stream to another.
 *
 * What comes from the first goes to the second, to the end, which is passed on unless it is to be
 * kept open. No faster than the second takes it: a slow reader stops the sender, and costs 64 KiB.
 * An error of either side ends it, and says which; so does closing either, in whatever order, and
 * cancelling, after which both streams are usable and nothing has been sent twice. The pipe's
 * memory is the caller's again in its callback, which comes before the close callback of either
 * stream. One stream copied to itself is an echo, two pipes make a proxy.
 *
 * The streams from and to are the near ends of socket pairs; the far ends are plain descriptors. A
 * last part is about writers without a pipe: a server whose client does not read.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    struct loop_pipe pipe;
    struct loop_write write;
    struct loop_shutdown shutdown;
    const char *name;
    int far; /* the other end */
};

struct relay {
    struct end from, to;
    struct loop_stream_pipe *pipe;
    size_t sent, received; /* at the far ends, of the endless text */
};

static size_t memory_used, memory_peak;
static struct loop_allocator counting; /* the loop's own */

static void *weighing_resize(void *ctx, void *memory, size_t size)
{
    memory_used -= memory ? malloc_usable_size(memory) : 0;
    void *result = counting.resize(ctx, memory, size);
    memory_used += result ? malloc_usable_size(result) : 0;
    memory_peak = memory_used > memory_peak ? memory_used : memory_peak;
    return result;
}

/* Weighs from here on what the loop allocates. */
static void weigh(struct loop *loop)
{
    counting = loop->options.allocator;
    loop->options.allocator.resize = weighing_resize;
    memory_used = memory_peak = 0;
}

/* The endless text: its bytes tell their place. */
static char letter(size_t at)
{
    return (char)(at * 7 + at / 251 + at / 65521);
}

static void open_end(struct loop *loop, struct end *end, const char *name)
{
    int ends[2];
    memset(end, 0, sizeof(*end));
    end->name = name;
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    loop_pipe_init(loop, &end->pipe);
    assert_int_equal(0, loop_pipe_open(&end->pipe, ends[0]));
    end->far = ends[1];
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void run_turns(struct loop *loop, int turns)
{
    while (turns-- > 0)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void close_far(struct end *end)
{
    if (end->far >= 0)
        close(end->far);
    end->far = -1;
}

static void close_end(struct end *end)
{
    if (!loop_is_closing(&end->pipe.handle))
        loop_close(&end->pipe.handle, NULL);
    close_far(end);
}

static void close_relay(struct loop *loop, struct relay *relay)
{
    close_end(&relay->from);
    close_end(&relay->to);
    run(loop);
}

static struct end *end_of(struct loop_stream *stream)
{
    return stream ? loop_container_of(stream, struct end, pipe.stream) : NULL;
}

static void on_pipe(struct loop_stream_pipe *pipe, int status)
{
    const struct end *failed = end_of(pipe->failed);
    say("pipe-%s%s%s", loop_error_name(status), failed ? "-" : "", failed ? failed->name : "");
}

static void on_close(struct loop_handle *handle)
{
    say("%s-closed", loop_container_of(handle, struct end, pipe.handle)->name);
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size >= 0)
        say("%s:%.*s", end_of(stream)->name, (int)size, (const char *)bytes);
    else
        say("%s:%s", end_of(stream)->name, size == LOOP_EOF ? "EOF" : loop_error_name((int)size));
}

static void open_relay(struct loop *loop, struct relay *relay, struct loop_stream_pipe *pipe)
{
    memset(relay, 0, sizeof(*relay));
    memset(pipe, 0, sizeof(*pipe));
    open_end(loop, &relay->from, "from");
    open_end(loop, &relay->to, "to");
    relay->pipe = pipe;
    assert_int_equal(0, loop_stream_pipe(&relay->from.pipe.stream, &relay->to.pipe.stream, pipe,
                                         on_pipe));
}

/* Sends of the endless text what the kernel takes. */
static size_t pour(struct relay *relay)
{
    char bytes[4096];
    size_t before = relay->sent;
    ssize_t size;
    do {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = letter(relay->sent + i);
        size = send(relay->from.far, bytes, sizeof(bytes), MSG_NOSIGNAL);
        relay->sent += size > 0 ? (size_t)size : 0;
    } while (size > 0);
    return relay->sent - before;
}

/* Receives what is there, and compares. false: it was the end. */
static bool drain(struct relay *relay)
{
    char bytes[4096];
    ssize_t size;
    while ((size = recv(relay->to.far, bytes, sizeof(bytes), 0)) > 0)
        for (ssize_t i = 0; i < size; i++)
            assert_int_equal(letter(relay->received++), bytes[i]);
    return size < 0;
}

/* Until nothing moves any more: the pipe keeps something, and all buffers are full. */
static void fill(struct loop *loop, struct relay *relay)
{
    int still = 0;
    while (still < 5) {
        still = pour(relay) > 0 ? 0 : still + 1;
        run_turns(loop, 1);
    }
    assert_true(relay->to.pipe.stream.queued > 0);
}

static void assert_received(int fd, const char *text)
{
    char bytes[64];
    ssize_t size = recv(fd, bytes, sizeof(bytes) - 1, 0);
    assert_true(size >= 0);
    bytes[size] = '\0';
    assert_string_equal(text, bytes);
}

static void assert_sent(int fd, const char *text)
{
    assert_int_equal(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
}

/* Both streams do what streams do. */
static void assert_usable(struct loop *loop, struct relay *relay)
{
    said();
    assert_int_equal(0, loop_read_start(&relay->from.pipe.stream, on_read));
    assert_sent(relay->from.far, "still");
    run_turns(loop, 1);
    assert_said("from:still");
    assert_int_equal(0, loop_write_copy(&relay->to.pipe.stream, "there", 5));
    assert_received(relay->to.far, "there");
}

/* To the end. */

static void what_comes_is_copied_and_the_end_is_passed_on(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    assert_sent(relay.from.far, "hello");
    run_turns(*state, 1);
    assert_received(relay.to.far, "hello");
    assert_int_equal(5, pipe.copied);
    assert_sent(relay.from.far, "again");
    shutdown(relay.from.far, SHUT_WR);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    assert_int_equal(10, pipe.copied);
    assert_received(relay.to.far, "again");
    assert_received(relay.to.far, ""); /* the end */
    assert_int_equal(0, loop_read_start(&relay.to.pipe.stream, on_read));
    assert_sent(relay.to.far, "back");
    run_turns(*state, 1);
    assert_said("to:back");
    assert_int_equal(-EPIPE, loop_write_copy(&relay.to.pipe.stream, "more", 4));
    close_relay(*state, &relay);
}

static void what_is_kept_open_can_be_written_to_afterwards(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    loop_stream_pipe_keep_open(&pipe);
    assert_sent(relay.from.far, "hello");
    shutdown(relay.from.far, SHUT_WR);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    assert_int_equal(0, loop_write_copy(&relay.to.pipe.stream, "!", 1));
    assert_received(relay.to.far, "hello!");
    close_relay(*state, &relay);
}

static void an_empty_stream_is_copied_too(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    close_far(&relay.from);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    assert_int_equal(0, pipe.copied);
    assert_received(relay.to.far, "");
    close_relay(*state, &relay);
}

static void a_side_that_was_shut_down_before_is_no_error_if_nothing_comes(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    assert_int_equal(0, loop_shutdown(&relay.to.pipe.stream, &relay.to.shutdown, NULL));
    close_far(&relay.from);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    close_relay(*state, &relay);
}

static void the_end_of_a_pipe_is_closed_by_the_end_of_the_copy(void **state)
{
    struct end from;
    struct loop_pipe to;
    struct loop_stream_pipe pipe = {0};
    int ends[2];
    char bytes[8];
    open_end(*state, &from, "from");
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    loop_pipe_init(*state, &to);
    assert_int_equal(0, loop_pipe_open(&to, ends[1]));
    assert_int_equal(0, loop_stream_pipe(&from.pipe.stream, &to.stream, &pipe, on_pipe));
    assert_sent(from.far, "hello");
    close_far(&from);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    assert_int_equal(5, read(ends[0], bytes, sizeof(bytes)));
    assert_int_equal(0, read(ends[0], bytes, sizeof(bytes)));
    close(ends[0]);
    loop_close(&to.handle, NULL);
    close_end(&from);
    run(*state);
}

/* Errors. */

static void an_error_of_the_side_that_is_read_says_so(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    assert_int_equal(0, loop_write_copy(&relay.from.pipe.stream, "unread", 6));
    close_far(&relay.from); /* with something unread, which is a reset */
    run_turns(*state, 2);
    assert_said("pipe-ECONNRESET-from");
    assert_int_equal(0, loop_write_copy(&relay.to.pipe.stream, "usable", 6));
    assert_received(relay.to.far, "usable");
    close_relay(*state, &relay);
}

static void an_error_of_the_side_that_is_written_says_so(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    close_far(&relay.to);
    run_turns(*state, 1);
    assert_said("");
    assert_sent(relay.from.far, "hello");
    run_turns(*state, 2);
    assert_said("pipe-EPIPE-to");
    assert_int_equal(0, pipe.copied);
    assert_int_equal(0, loop_read_start(&relay.from.pipe.stream, on_read));
    close_relay(*state, &relay);
}

static void an_error_while_something_is_kept_says_so_and_what_was_written(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    fill(*state, &relay);
    size_t copied = pipe.copied;
    close_far(&relay.to);
    run_turns(*state, 2);
    const char *words = said();
    assert_true(strcmp(words, "pipe-EPIPE-to") == 0 || strcmp(words, "pipe-ECONNRESET-to") == 0);
    assert_true(pipe.copied >= copied);
    assert_null(pipe.kept);
    close_relay(*state, &relay);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        return counting.resize(ctx, memory, 0);
    return NULL;
}

static void without_memory_to_keep_what_was_read_the_copy_ends(void **state)
{
    struct loop *loop = *state;
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(loop, &relay, &pipe);
    counting = loop->options.allocator;
    loop->options.allocator.resize = no_memory;
    for (int i = 0; i < 100; i++) {
        pour(&relay);
        run_turns(loop, 1);
    }
    loop->options.allocator = counting;
    assert_said("pipe-ENOMEM-to");
    assert_true(drain(&relay));
    assert_int_equal(pipe.copied, relay.received);
    close_relay(loop, &relay);
}

/* Of what comes at once more is left than may wait. */
static void a_cap_that_is_too_low_for_what_is_kept_ends_the_copy(void **state)
{
    struct loop *loop = *state;
    struct relay relay;
    struct loop_stream_pipe pipe;
    int little = 4096;
    open_relay(loop, &relay, &pipe);
    setsockopt(loop_stream_fd(&relay.to.pipe.stream), SOL_SOCKET, SO_SNDBUF, &little,
               sizeof(little));
    assert_int_equal(0, loop_stream_set_marks(&relay.to.pipe.stream, 1, 2, 30000, NULL));
    for (int i = 0; i < 100; i++) {
        pour(&relay);
        run_turns(loop, 1);
    }
    assert_said("pipe-ENOBUFS-to");
    assert_true(drain(&relay));
    assert_int_equal(pipe.copied, relay.received);
    close_relay(loop, &relay);
}

/* While nothing is read from it, its number becomes another file's, which cannot be watched. */
static void a_side_that_cannot_be_read_on_ends_the_copy(void **state)
{
    struct loop *loop = *state;
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(loop, &relay, &pipe);
    fill(loop, &relay);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int number = loop_stream_fd(&relay.from.pipe.stream);
    assert_int_equal(number, dup3(file, number, O_CLOEXEC));
    close(file);
    for (int i = 0; i < 100; i++) {
        drain(&relay);
        run_turns(loop, 1);
    }
    assert_said("pipe-EPERM-from");
    close_relay(loop, &relay);
}

static void what_cannot_be_coupled_is_refused_and_nothing_is_read(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe, another = {0};
    struct loop_pipe closed;
    struct end third;
    open_relay(*state, &relay, &pipe);
    open_end(*state, &third, "third");
    struct loop_stream *from = &relay.from.pipe.stream, *to = &relay.to.pipe.stream;
    struct loop_stream *other = &third.pipe.stream;
    loop_pipe_init(*state, &closed);
    assert_int_equal(-EBUSY, loop_stream_pipe(from, other, &another, on_pipe));
    assert_int_equal(-EBUSY, loop_stream_pipe(other, to, &another, on_pipe));
    assert_int_equal(-EINVAL, loop_stream_pipe(NULL, to, &another, on_pipe));
    assert_int_equal(-EINVAL, loop_stream_pipe(from, NULL, &another, on_pipe));
    assert_int_equal(-EINVAL, loop_stream_pipe(to, other, NULL, on_pipe));
    assert_int_equal(-EINVAL, loop_stream_pipe(to, other, &another, NULL));
    assert_int_equal(-ENOTCONN, loop_stream_pipe(to, &closed.stream, &another, on_pipe));
    assert_int_equal(-ENOTCONN, loop_stream_pipe(&closed.stream, to, &another, on_pipe));
    assert_int_equal(0, loop_read_start(to, on_read));
    assert_int_equal(-EBUSY, loop_stream_pipe(to, other, &another, on_pipe));
    assert_int_equal(-EBUSY, loop_stream_detach(from));
    assert_int_equal(-EBUSY, loop_stream_detach(to));
    assert_int_equal(-EOPNOTSUPP, loop_request_deadline(&pipe.request, LOOP_SEC));
    assert_false(loop_is_active(&third.pipe.handle));
    loop_close(&third.pipe.handle, NULL);
    assert_int_equal(-ECANCELED, loop_stream_pipe(to, other, &another, on_pipe));
    close_far(&third);
    close_relay(*state, &relay);
    assert_said("pipe-ECANCELED");
}

static void streams_of_two_loops_are_not_coupled(void **state)
{
    struct loop other_loop;
    struct loop_pipe foreign;
    struct loop_stream_pipe pipe = {0};
    struct end end;
    open_end(*state, &end, "end");
    assert_int_equal(0, loop_init(&other_loop, NULL));
    loop_pipe_init(&other_loop, &foreign);
    int ends[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    assert_int_equal(0, loop_pipe_open(&foreign, ends[0]));
    assert_int_equal(-EINVAL, loop_stream_pipe(&end.pipe.stream, &foreign.stream, &pipe, on_pipe));
    close(ends[1]);
    loop_close(&foreign.handle, NULL);
    run(&other_loop);
    assert_int_equal(0, loop_fini(&other_loop));
    assert_false(loop_is_active(&end.pipe.handle));
    close_end(&end);
    run(*state);
}

static void on_read_into(struct loop_read *read, int status)
{
    (void)read;
    say("read-into-%s", loop_error_name(status));
}

/* Also while it does not read, because something is kept. */
static void nobody_else_reads_what_is_copied(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    struct loop_read read = {0};
    char byte;
    open_relay(*state, &relay, &pipe);
    struct loop_stream *from = &relay.from.pipe.stream;
    assert_true(loop_read_start(from, on_read) < 0);
    fill(*state, &relay);
    assert_true(loop_read_start(from, on_read) < 0);
    assert_true(loop_read_into(from, &read, &byte, 1, 1, on_read_into) < 0);
    run_turns(*state, 1);
    close_relay(*state, &relay);
    assert_said("pipe-ECANCELED");
}

/* Cancelling. */

static void a_cancelled_copy_leaves_both_streams_usable(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    assert_sent(relay.from.far, "hello");
    run_turns(*state, 1);
    assert_received(relay.to.far, "hello");
    assert_int_equal(0, loop_request_cancel(&pipe.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&pipe.request));
    assert_said("");
    run_turns(*state, 1);
    assert_said("pipe-ECANCELED");
    assert_usable(*state, &relay);
    close_relay(*state, &relay);
}

static void
what_is_cancelled_with_something_kept_sent_what_it_counted_and_nothing_twice(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    fill(*state, &relay);
    assert_int_equal(0, loop_request_cancel(&pipe.request));
    run_turns(*state, 1);
    assert_said("pipe-ECANCELED");
    assert_int_equal(0, relay.to.pipe.stream.queued);
    assert_true(drain(&relay));
    assert_int_equal(pipe.copied, relay.received);
    assert_int_equal(0, loop_write_copy(&relay.to.pipe.stream, "there", 5));
    assert_received(relay.to.far, "there");
    /* what was read is gone, and what was not can be */
    struct loop_stream_pipe next = {0};
    assert_int_equal(0, loop_stream_pipe(&relay.from.pipe.stream, &relay.to.pipe.stream, &next,
                                         on_pipe));
    run_turns(*state, 2);
    char byte;
    assert_int_equal(1, recv(relay.to.far, &byte, 1, 0));
    close_relay(*state, &relay);
    assert_said("pipe-ECANCELED");
}

static void a_copy_cancelled_while_it_passes_on_the_end_may_be_written_to(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    struct loop_buf buf = {calloc(1, 1 << 20), 1 << 20};
    assert_non_null(buf.bytes);
    open_relay(*state, &relay, &pipe);
    struct loop_stream *to = &relay.to.pipe.stream;
    assert_int_equal(1, loop_write(to, &relay.to.write, &buf, 1, NULL));
    close_far(&relay.from);
    run_turns(*state, 2);
    assert_said(""); /* the end waits behind what is queued */
    assert_int_equal(-EPIPE, loop_write_copy(to, "x", 1));
    assert_int_equal(0, loop_request_cancel(&pipe.request));
    run_turns(*state, 1);
    assert_said("pipe-ECANCELED");
    assert_int_equal(1, loop_write_copy(to, "x", 1));
    close_relay(*state, &relay);
    free((void *)(uintptr_t)buf.bytes);
}

/* Closing. */

static void close_while_kept(struct loop *loop, bool from_first, bool one_turn)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(loop, &relay, &pipe);
    fill(loop, &relay);
    struct end *ends[] = {&relay.from, &relay.to};
    loop_close(&ends[!from_first]->pipe.handle, on_close);
    if (!one_turn)
        run_turns(loop, 1);
    loop_close(&ends[from_first]->pipe.handle, on_close);
    run_turns(loop, 2);
    assert_true(drain(&relay) == false);
    assert_int_equal(pipe.copied, relay.received);
    close_relay(loop, &relay);
}

static void closing_either_side_ends_the_copy_before_its_close_callback(void **state)
{
    close_while_kept(*state, true, false);
    assert_said("pipe-ECANCELED from-closed to-closed");
    close_while_kept(*state, false, false);
    assert_said("pipe-ECANCELED to-closed from-closed");
    close_while_kept(*state, true, true);
    assert_said("pipe-ECANCELED from-closed to-closed");
    close_while_kept(*state, false, true);
    assert_said("pipe-ECANCELED to-closed from-closed");
}

static void closing_one_side_leaves_the_other_usable(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    fill(*state, &relay);
    loop_close(&relay.from.pipe.handle, on_close);
    run_turns(*state, 1);
    assert_said("pipe-ECANCELED from-closed");
    assert_true(drain(&relay));
    assert_int_equal(pipe.copied, relay.received);
    assert_int_equal(0, loop_write_copy(&relay.to.pipe.stream, "there", 5));
    assert_received(relay.to.far, "there");
    close_relay(*state, &relay);
}

static void cancelling_and_then_closing_both_tells_once(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    fill(*state, &relay);
    assert_int_equal(0, loop_request_cancel(&pipe.request));
    loop_close(&relay.to.pipe.handle, on_close);
    loop_close(&relay.from.pipe.handle, on_close);
    run(*state);
    assert_said("pipe-ECANCELED to-closed from-closed");
    close_relay(*state, &relay);
}

static void on_pipe_close_both(struct loop_stream_pipe *pipe, int status)
{
    on_pipe(pipe, status);
    loop_close(&pipe->from->handle, on_close);
    loop_close(&pipe->to->handle, on_close);
}

static void both_may_be_closed_when_the_copy_is_done(void **state)
{
    struct relay relay = {0};
    struct loop_stream_pipe pipe = {0};
    open_end(*state, &relay.from, "from");
    open_end(*state, &relay.to, "to");
    assert_int_equal(0, loop_stream_pipe(&relay.from.pipe.stream, &relay.to.pipe.stream, &pipe,
                                         on_pipe_close_both));
    assert_sent(relay.from.far, "hello");
    close_far(&relay.from);
    run(*state);
    assert_said("pipe-OK from-closed to-closed");
    assert_received(relay.to.far, "hello");
    close_relay(*state, &relay);
}

static void on_pipe_free(struct loop_stream_pipe *pipe, int status)
{
    on_pipe(pipe, status);
    free(pipe);
}

static struct loop_stream_pipe *open_freed_relay(struct loop *loop, struct relay *relay)
{
    struct loop_stream_pipe *pipe = calloc(1, sizeof(*pipe));
    assert_non_null(pipe);
    memset(relay, 0, sizeof(*relay));
    open_end(loop, &relay->from, "from");
    open_end(loop, &relay->to, "to");
    assert_int_equal(0, loop_stream_pipe(&relay->from.pipe.stream, &relay->to.pipe.stream, pipe,
                                         on_pipe_free));
    return pipe;
}

static void the_pipe_may_be_freed_in_its_callback(void **state)
{
    struct relay relay;
    open_freed_relay(*state, &relay);
    assert_sent(relay.from.far, "hello");
    close_far(&relay.from);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    close_relay(*state, &relay);

    open_freed_relay(*state, &relay);
    fill(*state, &relay);
    close_far(&relay.to);
    run_turns(*state, 2);
    assert_non_null(strstr(said(), "-to"));
    close_relay(*state, &relay);

    for (int side = 0; side < 2; side++) {
        open_freed_relay(*state, &relay);
        fill(*state, &relay);
        loop_close(side ? &relay.to.pipe.handle : &relay.from.pipe.handle, NULL);
        run_turns(*state, 1);
        assert_said("pipe-ECANCELED");
        close_relay(*state, &relay);
    }
    struct loop_stream_pipe *pipe = open_freed_relay(*state, &relay);
    fill(*state, &relay);
    assert_int_equal(0, loop_request_cancel(&pipe->request));
    run_turns(*state, 1);
    assert_said("pipe-ECANCELED");
    close_relay(*state, &relay);
}

static struct loop_stream_pipe *freed_at_close;

static void on_close_free_pipe(struct loop_handle *handle)
{
    on_close(handle);
    free(freed_at_close);
    freed_at_close = NULL;
}

static void the_pipe_may_be_freed_in_the_first_close_callback(void **state)
{
    for (int side = 0; side < 2; side++) {
        struct relay relay;
        freed_at_close = malloc(sizeof(*freed_at_close));
        assert_non_null(freed_at_close);
        open_relay(*state, &relay, freed_at_close);
        fill(*state, &relay);
        struct end *ends[] = {&relay.from, &relay.to};
        loop_close(&ends[side]->pipe.handle, on_close_free_pipe);
        loop_close(&ends[!side]->pipe.handle, on_close);
        run(*state);
        close_relay(*state, &relay);
    }
    assert_said("pipe-ECANCELED from-closed to-closed pipe-ECANCELED to-closed from-closed");
}

static void on_pipe_again(struct loop_stream_pipe *pipe, int status)
{
    on_pipe(pipe, status);
    assert_int_equal(0, loop_stream_pipe(pipe->from, pipe->to, pipe, on_pipe));
}

static void a_pipe_may_be_started_again_in_its_callback(void **state)
{
    struct relay relay = {0};
    struct loop_stream_pipe pipe = {0};
    open_end(*state, &relay.from, "from");
    open_end(*state, &relay.to, "to");
    assert_int_equal(0, loop_stream_pipe(&relay.from.pipe.stream, &relay.to.pipe.stream, &pipe,
                                         on_pipe_again));
    assert_int_equal(0, loop_request_cancel(&pipe.request));
    run_turns(*state, 1);
    assert_sent(relay.from.far, "hello");
    run_turns(*state, 1);
    assert_received(relay.to.far, "hello");
    close_relay(*state, &relay);
    assert_said("pipe-ECANCELED pipe-ECANCELED");
}

static void start_a_pipe_twice(void)
{
    struct loop loop;
    struct relay relay;
    struct end a, b;
    struct loop_stream_pipe pipe;
    loop_init(&loop, NULL);
    open_relay(&loop, &relay, &pipe);
    open_end(&loop, &a, "a");
    open_end(&loop, &b, "b");
    loop_stream_pipe(&a.pipe.stream, &b.pipe.stream, &pipe, on_pipe);
}

static void a_pipe_in_flight_may_not_be_used_for_another(void **state)
{
    (void)state;
    assert_panics(start_a_pipe_twice, "the stream pipe request was started again");
}

/* Connecting. */

static void on_connect(struct loop_connect *connect, int status)
{
    (void)connect;
    say("connect-%s", loop_error_name(status));
}

static const char nowhere[] = "\0libloop-nowhere";

/* A stream that could not connect has no descriptor any more, and whoever copies hears of it. */
static void a_connect_that_fails_ends_the_copy(void **state)
{
    for (int side = 0; side < 2; side++) {
        struct end end, unconnected = {.name = "late"};
        struct loop_connect connect = {0};
        struct loop_stream_pipe pipe = {0};
        open_end(*state, &end, "end");
        loop_pipe_init(*state, &unconnected.pipe);
        assert_int_equal(0, loop_pipe_connect(&unconnected.pipe, &connect, nowhere,
                                              sizeof(nowhere) - 1, on_connect));
        struct loop_stream *streams[] = {&end.pipe.stream, &unconnected.pipe.stream};
        int error = loop_stream_pipe(streams[side], streams[!side], &pipe, on_pipe);
        assert_int_equal(-ENOTCONN, error); /* a unix-domain socket knows at once */
        run_turns(*state, 2);
        assert_said("connect-ECONNREFUSED");
        close_end(&end);
        run(*state);
    }
}

struct late {
    struct loop_tcp tcp;
    struct loop_connect connect;
};

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
}

static void on_late_pipe(struct loop_stream_pipe *pipe, int status)
{
    (void)pipe;
    say("pipe-%s", loop_error_name(status));
}

/* Nobody accepts, for the queue is full. */
static struct loop_address black_hole(int fds[3])
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    for (int i = 0; i < 3; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(fds[0], &address.any, address.size));
    assert_int_equal(0, getsockname(fds[0], &address.any, &address.size));
    assert_int_equal(0, listen(fds[0], 0));
    for (int i = 1; i < 3; i++)
        connect(fds[i], &address.any, address.size);
    return address;
}

static void a_connect_that_is_late_ends_the_copy_on_either_side(void **state)
{
    int fds[3];
    struct loop_address address = black_hole(fds);
    for (int side = 0; side < 2; side++) {
        struct end end;
        struct late late = {.connect = {.cb = NULL}};
        struct loop_timer timer;
        uint64_t start_ns = loop_now(*state);
        struct loop_stream_pipe pipe = {0};
        open_end(*state, &end, "end");
        loop_tcp_init(*state, &late.tcp);
        assert_int_equal(0, loop_tcp_connect(&late.tcp, &late.connect, &address, on_connect));
        assert_int_equal(0, loop_request_deadline(&late.connect.request, LOOP_SEC));
        loop_timer_init(*state, &timer);
        loop_timer_start(&timer, 2 * LOOP_SEC, 0, on_timer);
        struct loop_stream *streams[] = {&end.pipe.stream, &late.tcp.stream};
        assert_int_equal(0, loop_stream_pipe(streams[side], streams[!side], &pipe, on_late_pipe));
        while (loop_now(*state) < start_ns + 2 * LOOP_SEC)
            loop_run(*state, LOOP_RUN_ONCE);
        const char *words = said();
        assert_non_null(strstr(words, "connect-ETIMEDOUT pipe-ETIMEDOUT"));
        assert_ptr_equal(&late.tcp.stream, pipe.failed);
        close_end(&end);
        run(*state);
    }
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

/* Backpressure. */

static void a_slow_reader_stops_the_sender_and_costs_64_kib(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    weigh(*state);
    open_relay(*state, &relay, &pipe);
    fill(*state, &relay);
    assert_true(memory_peak <= LOOP_LENT_SIZE + LOOP_LENT_SIZE + 4096);
    assert_true(relay.sent < 4 << 20); /* two sockets' buffers, and what is kept */
    size_t stopped_at = relay.sent;
    uint64_t before = pipe.copied;
    run_turns(*state, 10);
    assert_int_equal(0, pour(&relay));
    assert_int_equal(before, pipe.copied);
    while (relay.sent < stopped_at + (8 << 20)) {
        assert_true(drain(&relay));
        run_turns(*state, 1);
        pour(&relay);
    }
    close_far(&relay.from);
    while (drain(&relay))
        run_turns(*state, 1);
    run_turns(*state, 1);
    assert_said("pipe-OK");
    assert_int_equal(relay.sent, relay.received);
    assert_int_equal(relay.sent, pipe.copied);
    assert_true(memory_peak <= LOOP_LENT_SIZE + LOOP_LENT_SIZE + 4096);
    close_relay(*state, &relay);
    ((struct loop *)*state)->options.allocator = counting;
}

static void a_copy_waits_behind_what_others_write(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    open_relay(*state, &relay, &pipe);
    struct loop_stream *to = &relay.to.pipe.stream;
    assert_int_equal(0, loop_stream_set_marks(to, 1, 2, 1 << 20, NULL));
    static char zeros[1 << 19];
    assert_true(loop_write_copy(to, zeros, sizeof(zeros)) >= 0);
    assert_sent(relay.from.far, "behind");
    run_turns(*state, 2);
    assert_int_equal(0, pipe.copied);
    size_t received = 0;
    char bytes[4096] = "";
    ssize_t size;
    while (pipe.copied == 0 || received < sizeof(zeros) + 6) {
        while ((size = recv(relay.to.far, bytes, sizeof(bytes), 0)) > 0)
            received += (size_t)size;
        run_turns(*state, 1);
    }
    assert_int_equal(6, pipe.copied);
    assert_int_equal(sizeof(zeros) + 6, received);
    close_relay(*state, &relay);
    assert_said("pipe-ECANCELED");
}

/* Shapes. */

static void a_stream_copied_to_itself_is_an_echo(void **state)
{
    struct end end;
    struct loop_stream_pipe pipe = {0};
    open_end(*state, &end, "echo");
    assert_int_equal(0, loop_stream_pipe(&end.pipe.stream, &end.pipe.stream, &pipe, on_pipe));
    assert_sent(end.far, "hello");
    run_turns(*state, 1);
    assert_received(end.far, "hello");
    shutdown(end.far, SHUT_WR);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    assert_received(end.far, "");
    close_end(&end);
    run(*state);
}

static void an_echo_may_be_closed(void **state)
{
    struct end end;
    struct loop_stream_pipe pipe = {0};
    open_end(*state, &end, "echo");
    assert_int_equal(0, loop_stream_pipe(&end.pipe.stream, &end.pipe.stream, &pipe, on_pipe));
    static char bytes[4096];
    for (int still = 0; still < 5; run_turns(*state, 1))
        still = send(end.far, bytes, sizeof(bytes), 0) > 0 ? 0 : still + 1;
    loop_close(&end.pipe.handle, on_close);
    run(*state);
    assert_said("pipe-ECANCELED echo-closed");
    close_far(&end);
}

static void two_pipes_make_a_proxy(void **state)
{
    struct relay relay;
    struct loop_stream_pipe there, back = {0};
    open_relay(*state, &relay, &there);
    assert_int_equal(0, loop_stream_pipe(&relay.to.pipe.stream, &relay.from.pipe.stream, &back,
                                         on_pipe));
    for (int i = 0; i < 3; i++) {
        assert_sent(relay.from.far, "question");
        run_turns(*state, 1);
        assert_received(relay.to.far, "question");
        assert_sent(relay.to.far, "answer");
        run_turns(*state, 1);
        assert_received(relay.from.far, "answer");
    }
    shutdown(relay.from.far, SHUT_WR);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    assert_received(relay.to.far, "");
    assert_sent(relay.to.far, "last");
    close_far(&relay.to);
    run_turns(*state, 2);
    assert_said("pipe-OK");
    assert_received(relay.from.far, "last");
    assert_received(relay.from.far, "");
    assert_int_equal(24, there.copied);
    assert_int_equal(22, back.copied);
    close_relay(*state, &relay);
}

static void a_proxy_may_be_closed_with_both_pipes_full(void **state)
{
    struct relay relay;
    struct loop_stream_pipe there, back = {0};
    char bytes[4096] = "";
    open_relay(*state, &relay, &there);
    assert_int_equal(0, loop_stream_pipe(&relay.to.pipe.stream, &relay.from.pipe.stream, &back,
                                         on_pipe));
    for (int still = 0; still < 5; run_turns(*state, 1))
        still = send(relay.to.far, bytes, sizeof(bytes), 0) > 0 ? 0 : still + 1;
    fill(*state, &relay);
    loop_close(&relay.from.pipe.handle, on_close);
    loop_close(&relay.to.pipe.handle, on_close);
    run(*state);
    assert_said("pipe-ECANCELED pipe-ECANCELED from-closed to-closed");
    close_relay(*state, &relay);
}

/* Descriptors that come with the bytes are not copied, and not kept. */
static void descriptors_are_not_passed_on(void **state)
{
    struct relay relay;
    struct loop_stream_pipe pipe;
    struct loop_pipe sender;
    struct loop_write write = {.cb = NULL};
    int fds[3] = {0};
    struct loop_buf buf = {"fds", 3};
    open_relay(*state, &relay, &pipe);
    assert_int_equal(0, loop_pipe_receive_fds(&relay.from.pipe));
    loop_pipe_init(*state, &sender);
    assert_int_equal(0, loop_pipe_open(&sender, relay.from.far));
    relay.from.far = -1;
    int before = open_descriptors();
    assert_int_equal(0, loop_pipe_write_fds(&sender, &write, &buf, 1, fds, 3, NULL));
    run_turns(*state, 1);
    assert_received(relay.to.far, "fds");
    assert_int_equal(before, open_descriptors());
    loop_close(&sender.handle, NULL);
    close_relay(*state, &relay);
    said();
}

/* Writers without a pipe: a client that does not read. */

static void on_drain(struct loop_stream *stream)
{
    say("%s-drain-%d", end_of(stream)->name, (int)(stream->queued <= LOOP_WRITE_LOW));
}

static void a_client_that_does_not_read_costs_no_more_than_the_cap(void **state)
{
    enum { CAP = 256 * 1024, PIECE = 1000 };
    struct relay relay = {0};
    char bytes[PIECE];
    int status;
    weigh(*state);
    open_end(*state, &relay.to, "to");
    struct loop_stream *to = &relay.to.pipe.stream;
    assert_int_equal(0, loop_stream_set_marks(to, 0, 0, CAP, on_drain));
    do {
        for (size_t i = 0; i < PIECE; i++)
            bytes[i] = letter(relay.sent + i);
        status = loop_write_copy(to, bytes, PIECE);
        relay.sent += status >= 0 ? PIECE : 0;
    } while (status >= 0);
    assert_int_equal(-ENOBUFS, status);
    assert_true(to->queued <= CAP && to->queued > CAP - PIECE);
    assert_true(loop_stream_needs_drain(to));
    assert_true(memory_peak < 2 * CAP);
    run_turns(*state, 3);
    assert_said("");
    while (relay.received < relay.sent) {
        assert_true(drain(&relay));
        run_turns(*state, 1);
    }
    assert_said("to-drain-1");
    assert_false(loop_stream_needs_drain(to));
    assert_int_equal(0, to->queued);
    assert_int_equal(0, loop_write_copy(to, "more", 4));
    run_turns(*state, 1);
    assert_said("");
    close_end(&relay.to);
    run(*state);
    ((struct loop *)*state)->options.allocator = counting;
}

static const struct CMUnitTest tests[] = {
    virtual_test(what_comes_is_copied_and_the_end_is_passed_on),
    virtual_test(what_is_kept_open_can_be_written_to_afterwards),
    virtual_test(an_empty_stream_is_copied_too),
    virtual_test(a_side_that_was_shut_down_before_is_no_error_if_nothing_comes),
    virtual_test(the_end_of_a_pipe_is_closed_by_the_end_of_the_copy),
    virtual_test(an_error_of_the_side_that_is_read_says_so),
    virtual_test(an_error_of_the_side_that_is_written_says_so),
    virtual_test(an_error_while_something_is_kept_says_so_and_what_was_written),
    virtual_test(without_memory_to_keep_what_was_read_the_copy_ends),
    virtual_test(a_cap_that_is_too_low_for_what_is_kept_ends_the_copy),
    virtual_test(a_side_that_cannot_be_read_on_ends_the_copy),
    virtual_test(what_cannot_be_coupled_is_refused_and_nothing_is_read),
    virtual_test(streams_of_two_loops_are_not_coupled),
    virtual_test(nobody_else_reads_what_is_copied),
    virtual_test(a_cancelled_copy_leaves_both_streams_usable),
    virtual_test(what_is_cancelled_with_something_kept_sent_what_it_counted_and_nothing_twice),
    virtual_test(a_copy_cancelled_while_it_passes_on_the_end_may_be_written_to),
    virtual_test(closing_either_side_ends_the_copy_before_its_close_callback),
    virtual_test(closing_one_side_leaves_the_other_usable),
    virtual_test(cancelling_and_then_closing_both_tells_once),
    virtual_test(both_may_be_closed_when_the_copy_is_done),
    virtual_test(the_pipe_may_be_freed_in_its_callback),
    virtual_test(the_pipe_may_be_freed_in_the_first_close_callback),
    virtual_test(a_pipe_may_be_started_again_in_its_callback),
    virtual_test(a_pipe_in_flight_may_not_be_used_for_another),
    virtual_test(a_connect_that_fails_ends_the_copy),
    virtual_test(a_connect_that_is_late_ends_the_copy_on_either_side),
    virtual_test(a_slow_reader_stops_the_sender_and_costs_64_kib),
    virtual_test(a_copy_waits_behind_what_others_write),
    virtual_test(a_stream_copied_to_itself_is_an_echo),
    virtual_test(an_echo_may_be_closed),
    virtual_test(two_pipes_make_a_proxy),
    virtual_test(a_proxy_may_be_closed_with_both_pipes_full),
    virtual_test(descriptors_are_not_passed_on),
    virtual_test(a_client_that_does_not_read_costs_no_more_than_the_cap),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
