/* cat and tee: standard input to standard output, and to whatever else is named.
 *
 *     ./run example cat                            type; end with Ctrl-D
 *     seq 1000000 | ./run example cat | tail -1
 *     mkfifo /tmp/f; cat /tmp/f &                  a reader for the FIFO, and then
 *     seq 5 | ./run example cat /tmp/f /tmp/copy   three copies: here, there, in a file
 *
 * Terminals, pipes, FIFOs and sockets are streams. A regular file is none (EPERM): it is always
 * ready, so there is nothing to wait for, and reading it may still take a while. Here one is read
 * on the thread pool, and written by plain write(2), which only copies to the kernel's memory.
 *
 * The slowest output sets the pace: when one has more than the high mark waiting, reading stops
 * until all have drained. An output that fails is left out, and the others go on.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SINKS_MAX = 16, PIECE_SIZE = 65536 };

/* All begin with a stream, so the code that follows need not know which it is. */
union end {
    struct loop_handle handle;
    struct loop_stream stream;
    struct loop_tty tty;
    struct loop_pipe pipe;
};

struct sink {
    union end end;
    struct loop_shutdown shutdown;
    struct cat *cat;
    const char *name;
    int fd;
    bool is_file;
    bool crowded; /* more waits than the high mark */
    bool gone;
};

struct cat {
    struct loop loop;
    union end source;
    struct loop_fs read; /* of a regular file */
    bool is_file;
    bool ended;
    bool failed;
    unsigned crowded; /* sinks */
    unsigned count, open;
    struct sink sinks[SINKS_MAX];
};

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes);
static void on_file_read(struct loop_fs *read);

/* -EPERM: a regular file, or a device that cannot be waited for. */
static int open_end(struct loop *loop, union end *end, int fd)
{
    if (isatty(fd)) {
        loop_tty_init(loop, &end->tty);
        return loop_tty_open(&end->tty, fd);
    }
    loop_pipe_init(loop, &end->pipe);
    return loop_pipe_open(&end->pipe, fd);
}

static void complain(struct cat *cat, const char *name, int error)
{
    fprintf(stderr, "%s: %s\n", name, loop_strerror(error));
    cat->failed = true;
}

/* The source. */

static int read_on(struct cat *cat)
{
    if (cat->is_file)
        return loop_fs_read(&cat->loop, &cat->read, STDIN_FILENO, PIECE_SIZE, -1, on_file_read);
    return loop_read_start(&cat->source.stream, on_read);
}

static void on_end(struct loop_shutdown *shutdown, int status);

/* What waits is still written. */
static void finish(struct cat *cat, int status)
{
    if (cat->ended)
        return;
    cat->ended = true;
    if (status < 0 && status != LOOP_EOF)
        complain(cat, "standard input", status);
    if (!cat->is_file)
        loop_close(&cat->source.handle, NULL);
    for (unsigned i = 0; i < cat->count; i++) {
        struct sink *sink = &cat->sinks[i];
        if (!sink->is_file && !sink->gone &&
            loop_shutdown(&sink->end.stream, &sink->shutdown, on_end) < 0)
            loop_close(&sink->end.handle, NULL);
    }
}

static void give(struct sink *sink, const void *bytes, size_t size);

static void give_all(struct cat *cat, const void *bytes, size_t size)
{
    for (unsigned i = 0; i < cat->count; i++)
        give(&cat->sinks[i], bytes, size);
    if (cat->open == 0)
        finish(cat, LOOP_EOF);
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct cat *cat = loop_container_of(stream, struct cat, source.stream);
    if (size < 0) {
        finish(cat, (int)size);
        return;
    }
    give_all(cat, bytes, (size_t)size);
    if (cat->crowded > 0 && !cat->ended)
        loop_read_stop(stream);
}

static void on_file_read(struct loop_fs *read)
{
    struct cat *cat = loop_container_of(read, struct cat, read);
    if (read->result > 0)
        give_all(cat, read->bytes, (size_t)read->result);
    else
        finish(cat, read->result < 0 ? (int)read->result : LOOP_EOF);
    if (cat->crowded == 0 && !cat->ended) {
        int error = read_on(cat);
        if (error)
            finish(cat, error);
    }
}

/* The sinks. */

static void uncrowd(struct sink *sink)
{
    struct cat *cat = sink->cat;
    if (!sink->crowded)
        return;
    sink->crowded = false;
    if (--cat->crowded > 0 || cat->ended)
        return;
    int error = read_on(cat);
    if (error && error != -EALREADY) /* we may be inside the very read callback */
        finish(cat, error);
}

static void leave_out(struct sink *sink, int error)
{
    if (error != -EPIPE)
        complain(sink->cat, sink->name, error);
    sink->gone = true;
    sink->cat->open--;
    if (!sink->is_file)
        loop_close(&sink->end.handle, NULL);
    uncrowd(sink);
}

static int write_file(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno != EINTR)
            return -errno;
        bytes += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return 0;
}

static void give(struct sink *sink, const void *bytes, size_t size)
{
    if (sink->gone)
        return;
    int result = sink->is_file ? write_file(sink->fd, bytes, size)
                               : loop_write_copy(&sink->end.stream, bytes, size);
    if (result < 0) {
        leave_out(sink, result);
    } else if (result == 1 && !sink->crowded) {
        sink->crowded = true;
        sink->cat->crowded++;
    }
}

static void on_drain(struct loop_stream *stream)
{
    uncrowd(loop_container_of(stream, struct sink, end.stream));
}

static void on_end(struct loop_shutdown *shutdown, int status)
{
    struct sink *sink = loop_container_of(shutdown, struct sink, shutdown);
    if (status < 0 && status != -EPIPE)
        complain(sink->cat, sink->name, status);
    if (!loop_is_closing(&sink->end.handle))
        loop_close(&sink->end.handle, NULL);
}

static int add_sink(struct cat *cat, int fd, const char *name)
{
    struct sink *sink = &cat->sinks[cat->count++];
    *sink = (struct sink){.cat = cat, .name = name, .fd = fd};
    cat->open++;
    int error = open_end(&cat->loop, &sink->end, fd);
    sink->is_file = error == -EPERM;
    if (!error)
        error = loop_stream_set_marks(&sink->end.stream, 0, 0, 0, on_drain);
    return sink->is_file ? 0 : error;
}

/* A FIFO is opened when somebody opens it for reading. */
static int add_path(struct cat *cat, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return fd < 0 ? -errno : add_sink(cat, fd, path);
}

/* A device like /dev/null can be opened as a stream, but not waited for: it is given back. */
static int start(struct cat *cat)
{
    int error = open_end(&cat->loop, &cat->source, STDIN_FILENO);
    if (!error) {
        error = read_on(cat);
        if (error == -EPERM)
            loop_stream_detach(&cat->source.stream);
    }
    if (error != -EPERM)
        return error;
    cat->is_file = true;
    return read_on(cat);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static struct cat cat;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("usage: cat [FILE-OR-FIFO]...\n");
        return EXIT_SUCCESS;
    }
    int error = loop_init(&cat.loop, NULL);
    if (!error)
        error = add_sink(&cat, STDOUT_FILENO, "standard output");
    if (error)
        return fail("standard output", error);
    for (int i = 1; i < argc; i++) {
        error = i < SINKS_MAX ? add_path(&cat, argv[i]) : -E2BIG;
        if (error)
            return fail(argv[i], error);
    }
    error = start(&cat);
    if (error)
        return fail("standard input", error);
    loop_run(&cat.loop, LOOP_RUN_DEFAULT);
    loop_pool_shutdown();
    error = loop_fini(&cat.loop);
    return error ? fail("loop_fini", error) : cat.failed;
}
