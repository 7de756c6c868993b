/* tail -f: the last lines of a file, and then whatever is written to it.
 *
 *     ./run example tail /var/log/syslog
 *     ./run example tail -n 3 file            then: echo hello >>file
 *                                             mv file file.1; echo new >file      it is rotated
 *                                             echo short >file                    it is truncated
 *
 * Expect: each line as it comes; remarks about what happened to the file on standard error. It
 * waits for a file that is not there yet. Ctrl-C ends it.
 *
 * The directory is watched and not the file, since a watch follows the file to its new name, and
 * what is of interest is whatever bears the old one. The open file is compared with it: when the
 * name leads to another inode, the old file is read to its end, and the new one from its beginning.
 * Reading a file that was just written costs a copy, so it is done here and not on the pool; a turn
 * reads a piece, and the rest in the next ones, as an immediate.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 65536 };

struct tail {
    struct loop_fs_event event;
    struct loop_task more; /* there may be more to read */
    const char *path;
    const char *base; /* its name in its directory */
    char *directory;
    int fd; /* -1: there is no such file now */
    off_t read;
    bool reading; /* more is queued */
    long left;    /* changes of the file until it ends; -1: it does not */
};

static void on_more(struct loop_task *task);

static void remark(const struct tail *tail, const char *what)
{
    fprintf(stderr, "tail: %s %s\n", tail->path, what);
}

/* Opening. */

static void open_file(struct tail *tail)
{
    tail->fd = open(tail->path, O_RDONLY | O_CLOEXEC);
    tail->read = 0;
    if (tail->fd < 0 && errno != ENOENT)
        remark(tail, strerror(errno));
}

/* To where the last lines begin: back, piece by piece, until enough ends of lines are behind. */
static void seek_lines(struct tail *tail, long lines)
{
    static char bytes[PIECE];
    struct stat stat;
    if (tail->fd < 0 || fstat(tail->fd, &stat) < 0)
        return;
    off_t at = tail->read = stat.st_size;
    if (lines == 0)
        return;
    bool last = true; /* the newest byte, whose line is counted in any case */
    while (at > 0) {
        size_t size = at < PIECE ? (size_t)at : PIECE;
        ssize_t count = pread(tail->fd, bytes, size, at - (off_t)size);
        if (count <= 0)
            break;
        for (ssize_t i = count - 1; i >= 0; i--, last = false) {
            if (bytes[i] == '\n' && !last && --lines <= 0) {
                tail->read = at - count + i + 1;
                return;
            }
        }
        at -= count;
    }
    tail->read = at;
}

/* Reading. */

static bool write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written < 0 && errno != EINTR)
            return false;
        bytes += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static bool was_truncated(const struct tail *tail)
{
    struct stat stat;
    return fstat(tail->fd, &stat) == 0 && stat.st_size < tail->read;
}

/* While nothing has its name, the old file may still be written to: it is kept. */
static bool was_replaced(const struct tail *tail)
{
    struct stat ours, theirs;
    if (fstat(tail->fd, &ours) < 0 || stat(tail->path, &theirs) < 0)
        return false;
    return ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino;
}

/* How much there was; 0: all is read. */
static size_t copy_piece(struct tail *tail)
{
    static char bytes[PIECE];
    ssize_t count = pread(tail->fd, bytes, PIECE, tail->read);
    if (count < 0)
        remark(tail, strerror(errno));
    if (count <= 0)
        return 0;
    tail->read += count;
    if (write_all(bytes, (size_t)count))
        return (size_t)count;
    loop_fs_event_stop(&tail->event); /* nobody reads us */
    return 0;
}

static void read_on(struct tail *tail)
{
    if (!tail->reading)
        loop_immediate(tail->event.handle.loop, &tail->more, on_more);
    tail->reading = true;
}

/* The old file to its end, before the new one. */
static void on_more(struct loop_task *task)
{
    struct tail *tail = loop_container_of(task, struct tail, more);
    tail->reading = false;
    if (tail->fd < 0)
        open_file(tail);
    if (tail->fd < 0)
        return;
    if (was_truncated(tail)) {
        remark(tail, "was truncated");
        tail->read = 0;
    }
    if (copy_piece(tail) > 0) {
        read_on(tail);
    } else if (was_replaced(tail)) {
        remark(tail, "was replaced");
        close(tail->fd);
        open_file(tail);
        if (tail->fd >= 0)
            read_on(tail);
    }
}

static bool concerns(const struct tail *tail, const struct loop_fs_change *change)
{
    return strcmp(change->name, tail->base) == 0 ||
           (change->old_name && strcmp(change->old_name, tail->base) == 0);
}

static void on_change(struct loop_fs_event *event, const struct loop_fs_change *change)
{
    struct tail *tail = loop_container_of(event, struct tail, event);
    if (change->kind == LOOP_FS_EVENT_GONE)
        remark(tail, "has no directory any more");
    if (!concerns(tail, change) && change->kind != LOOP_FS_EVENT_OVERFLOW)
        return;
    if (tail->left > 0 && --tail->left == 0)
        loop_fs_event_stop(event);
    read_on(tail);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

static int follow(struct tail *tail, long lines)
{
    struct loop loop;
    const char *slash = strrchr(tail->path, '/');
    tail->base = slash ? slash + 1 : tail->path;
    tail->directory = slash ? strndup(tail->path, (size_t)(slash - tail->path) + 1) : strdup(".");
    int error = tail->directory ? loop_init(&loop, NULL) : -ENOMEM;
    if (error)
        return fail("loop_init", error);
    loop_fs_event_init(&loop, &tail->event);
    error = loop_fs_event_start(&tail->event, tail->directory, 0, on_change);
    if (error)
        return fail(tail->directory, error);
    open_file(tail);
    seek_lines(tail, lines);
    if (tail->fd < 0)
        remark(tail, "is not there yet");
    else
        read_on(tail);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    if (tail->fd >= 0)
        close(tail->fd);
    free(tail->directory);
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: tail [-n LINES] [--changes N] FILE\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

/* -1: no number from 0 to a billion. */
static long number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end != '\0' || value < 0 || value > 1000000000 ? -1 : value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"changes", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct tail tail = {.fd = -1, .left = -1};
    long lines = 10;
    int option;
    while ((option = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
        long value = option == 'n' || option == 'c' ? number(optarg) : -1;
        if (value < 0)
            return print_usage(option == 'h' ? stdout : stderr);
        if (option == 'n')
            lines = value;
        else
            tail.left = value;
    }
    if (optind != argc - 1)
        return print_usage(stderr);
    tail.path = argv[optind];
    return follow(&tail, lines);
}
