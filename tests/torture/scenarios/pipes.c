/* A pair of pipes: a write of more buffers than fit the request, and of more bytes than the
 * kernel holds, so that it is queued and memory is needed; a read of exactly so many bytes into
 * the caller's memory; and then two descriptors that are passed, for which the receiver needs
 * memory too. Descriptors that arrive and cannot be taken must be closed by the library, which
 * the count of them at the end of the run tells.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <unistd.h>

enum { PIECE = 40 * 1024, PIECES = 6, ALL = PIECE * PIECES };

static struct loop_pipe a, b;
static struct loop_write writing, passing;
static struct loop_read reading;
static char sent[PIECE], got[ALL];
static int passed[2];
static int taken;
static bool written, was_read;

static void on_fds(struct loop_stream *stream, ssize_t size, void *bytes)
{
    int fd;
    (void)bytes;
    if (!ok(size))
        return;
    while ((fd = loop_pipe_take_fd(&b)) >= 0) {
        taken++;
        close(fd);
    }
    if (fd != -EAGAIN)
        ok(fd);
    if (taken == 2) {
        shut(&stream->handle);
        shut(&a.handle);
    }
}

static void on_pass(struct loop_write *write, int status)
{
    (void)write;
    ended();
    ok(status);
}

static void on_read(struct loop_read *read, int status)
{
    struct loop_buf word = {"here", 4};
    (void)read;
    ended();
    if (!ok(status))
        return;
    was_read = true;
    if (ok(loop_pipe_receive_fds(&b)) && ok(loop_read_start(&b.stream, on_fds)))
        began(loop_pipe_write_fds(&a, &passing, &word, 1, passed, 2, on_pass));
}

static void on_write(struct loop_write *write, int status)
{
    (void)write;
    ended();
    written = ok(status);
}

static void start(struct loop *loop)
{
    struct loop_buf bufs[PIECES];
    taken = 0;
    written = was_read = false;
    must(pipe(passed));
    for (int i = 0; i < PIECES; i++)
        bufs[i] = (struct loop_buf){sent, PIECE};
    loop_pipe_init(loop, &a);
    loop_pipe_init(loop, &b);
    if (ok(loop_pipe_pair(&a, &b)) &&
        began(loop_write(&a.stream, &writing, bufs, PIECES, on_write)))
        began(loop_read_into(&b.stream, &reading, got, ALL, ALL, on_read));
}

static bool done(void)
{
    return written && was_read && taken == 2;
}

static void clean(void)
{
    close(passed[0]);
    close(passed[1]);
}

const struct scenario pipes_scenario = {
    .name = "pipes", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
