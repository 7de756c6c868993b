/* A file as a stream: written through one handle, until its shutdown says that all bytes are the
 * file's, then read from its beginning to its end through another. The pieces are read ahead and
 * written behind by the pool, so errors are met on threads and told later: by the next write, by
 * the shutdown, or by the read that comes to them. Descriptors that the library refused to adopt
 * are the scenario's to close.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIZE = 100 * 1024 };

static struct loop_file out, in;
static struct loop_write writing;
static struct loop_shutdown ending;
static char bytes[SIZE];
static char path[64];
static size_t got;
static bool was_read, adopted_out, adopted_in;
static int out_fd, in_fd;

static void on_read(struct loop_stream *stream, ssize_t size, void *piece)
{
    (void)piece;
    if (size > 0) {
        got += (size_t)size;
    } else if (size == LOOP_EOF) {
        was_read = true;
        shut(&stream->handle);
    } else {
        ok(size);
    }
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    struct loop *loop = shutdown->request.loop;
    ended();
    if (!ok(status))
        return;
    shut(&out.handle);
    loop_file_init(loop, &in);
    in_fd = must(open(path, O_RDONLY | O_CLOEXEC));
    adopted_in = ok(loop_file_open(&in, in_fd, 0));
    if (adopted_in)
        ok(loop_read_start(&in.stream, on_read));
}

static void on_write(struct loop_write *write, int status)
{
    (void)write;
    ended();
    ok(status);
}

static void start(struct loop *loop)
{
    struct loop_buf buf = {bytes, SIZE};
    got = 0;
    was_read = adopted_in = false;
    in_fd = -1;
    snprintf(path, sizeof(path), "/tmp/torture-XXXXXX");
    out_fd = must(mkostemp(path, O_CLOEXEC));
    loop_file_init(loop, &out);
    adopted_out = ok(loop_file_open(&out, out_fd, 0));
    if (adopted_out && began(loop_write(&out.stream, &writing, &buf, 1, on_write)))
        began(loop_shutdown(&out.stream, &ending, on_shutdown));
}

static bool done(void)
{
    return got == SIZE && was_read;
}

static void clean(void)
{
    if (!adopted_out)
        close(out_fd);
    if (!adopted_in && in_fd >= 0)
        close(in_fd);
    unlink(path);
}

const struct scenario file_scenario = {
    .name = "file", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
