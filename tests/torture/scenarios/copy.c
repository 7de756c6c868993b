/* loop_stream_pipe() from one pair of pipes to another, with more bytes than its
 * reader takes at a time, and marks so low that it has to stop and go on many times.
 * In runs with short results each byte goes by itself. The bytes that come out are
 * counted: all of them, or an error from either side, told once by the pipe's
 * callback.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

enum { SIZE = 200 * 1000 };

static struct loop_pipe from, into, out, to;
static struct loop_write writing;
static struct loop_shutdown ending;
static struct loop_stream_pipe copying;
static char bytes[SIZE];
static size_t got;
static bool copied, was_read;

static void finish(void)
{
    if (!copied || !was_read)
        return;
    shut(&from.handle);
    shut(&into.handle);
    shut(&out.handle);
    shut(&to.handle);
}

static void on_read(struct loop_stream *stream, ssize_t size, void *piece)
{
    (void)piece;
    if (size > 0) {
        got += (size_t)size;
        return;
    }
    loop_read_stop(stream);
    if (size != LOOP_EOF && !ok(size))
        return;
    was_read = true;
    finish();
}

static void on_copied(struct loop_stream_pipe *pipe, int status)
{
    (void)pipe;
    ended();
    copied = ok(status);
    finish();
}

static void on_write(struct loop_write *write, int status)
{
    (void)write;
    ended();
    ok(status);
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    ended();
    ok(status);
}

static void start(struct loop *loop)
{
    struct loop_buf buf = {bytes, SIZE};
    struct loop_pipe *pipes[] = {&from, &into, &out, &to};
    got = 0;
    copied = was_read = false;
    for (int i = 0; i < 4; i++)
        loop_pipe_init(loop, pipes[i]);
    if (!ok(loop_pipe_pair(&from, &into)) || !ok(loop_pipe_pair(&out, &to)) ||
        !ok(loop_stream_set_marks(&out.stream, 1000, 2000, 0, NULL)) ||
        !began(loop_write(&from.stream, &writing, &buf, 1, on_write)))
        return;
    began(loop_shutdown(&from.stream, &ending, on_shutdown));
    if (ok(loop_read_start(&to.stream, on_read)))
        began(loop_stream_pipe(&into.stream, &out.stream, &copying, on_copied));
}

static bool done(void)
{
    return got == SIZE && copied && was_read;
}

const struct scenario copy_scenario = {.name = "copy",
                                       .clock = LOOP_CLOCK_MONOTONIC,
                                       .start = start,
                                       .done = done};
