/* cp: one file, with its progress, and never half of it.
 *
 *     ./run example cp /usr/bin/python3 /tmp/snake     at a terminal it says how far it is
 *     head -c 4G /dev/zero > /tmp/large
 *     ./run example cp /tmp/large /var/tmp/            press Ctrl-C: nothing is left behind
 *
 * The copy is one operation on the thread pool. Where the file system can share the blocks of two
 * files it takes no time; else the kernel moves the bytes. How far it is a timer asks the file
 * system, with another request, while a thread is at the copy.
 *
 * It goes to a file beside the target, which is renamed when it is complete. So whoever opens the
 * target finds the old file or the new. Ctrl-C cancels the request: its callback comes at once, the
 * thread sees it between two pieces and removes what it has made, and loop_pool_shutdown() waits
 * for that.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

struct cp {
    struct loop loop;
    struct loop_fs copy; /* each step of it in turn */
    struct loop_fs look; /* how far it is */
    struct loop_timer progress;
    struct loop_signal interrupt;
    struct loop_signal terminate;
    const char *from;
    char to[PATH_SIZE];
    char part[PATH_SIZE];
    off_t size;
    bool shows_progress;
    bool copying;
    bool failed;
};

static void on_source(struct loop_fs *fs);
static void on_target(struct loop_fs *fs);
static void on_copied(struct loop_fs *fs);
static void on_renamed(struct loop_fs *fs);
static void on_progress(struct loop_timer *timer);
static void on_look(struct loop_fs *fs);

static void finish(struct cp *cp, const char *what, ssize_t error)
{
    if (error < 0) {
        fprintf(stderr, "%s: %s\n", what, loop_strerror((int)error));
        cp->failed = true;
    }
    cp->copying = false;
    loop_timer_stop(&cp->progress);
    loop_signal_stop(&cp->interrupt);
    loop_signal_stop(&cp->terminate);
}

static void show(const struct cp *cp, off_t done)
{
    if (cp->shows_progress)
        fprintf(stderr, "\r%3d %% of %lld KiB", cp->size ? (int)(done * 100 / cp->size) : 100,
                (long long)cp->size / 1024);
}

/* The life of a copy. */

static int begin(struct cp *cp)
{
    return loop_fs_stat(&cp->loop, &cp->copy, cp->from, on_source);
}

static void on_source(struct loop_fs *fs)
{
    struct cp *cp = loop_container_of(fs, struct cp, copy);
    ssize_t error = fs->result;
    if (error == 0) {
        cp->size = fs->stat->st_size;
        error = loop_fs_stat(&cp->loop, fs, cp->to, on_target);
    }
    if (error < 0)
        finish(cp, cp->from, error);
}

/* Into a directory, under the same name. */
static int enter_directory(struct cp *cp)
{
    const char *slash = strrchr(cp->from, '/');
    size_t used = strlen(cp->to);
    int length = snprintf(cp->to + used, PATH_SIZE - used, "/%s", slash ? slash + 1 : cp->from);
    return used + (size_t)length < PATH_SIZE ? 0 : -ENAMETOOLONG;
}

static int copy(struct cp *cp)
{
    int length = snprintf(cp->part, PATH_SIZE, "%.*s.part", PATH_SIZE - 1, cp->to);
    if (length >= PATH_SIZE)
        return -ENAMETOOLONG;
    return loop_fs_copy_file(&cp->loop, &cp->copy, cp->from, cp->part, LOOP_FS_COPY_EXCLUSIVE,
                             on_copied);
}

static void on_target(struct loop_fs *fs)
{
    struct cp *cp = loop_container_of(fs, struct cp, copy);
    bool is_directory = fs->result == 0 && S_ISDIR(fs->stat->st_mode);
    int error = is_directory ? enter_directory(cp) : 0;
    if (!error)
        error = copy(cp);
    if (error) {
        finish(cp, cp->to, error);
        return;
    }
    cp->copying = true;
    if (cp->shows_progress)
        loop_timer_start(&cp->progress, 0, 0, on_progress);
}

static void on_copied(struct loop_fs *fs)
{
    struct cp *cp = loop_container_of(fs, struct cp, copy);
    ssize_t error = fs->result;
    cp->copying = false;
    if (error >= 0)
        error = loop_fs_rename(&cp->loop, fs, cp->part, cp->to, 0, on_renamed);
    if (error < 0)
        finish(cp, cp->from, error);
}

static void on_renamed(struct loop_fs *fs)
{
    struct cp *cp = loop_container_of(fs, struct cp, copy);
    show(cp, cp->size);
    finish(cp, cp->to, fs->result);
}

/* Beside it. */

static void on_progress(struct loop_timer *timer)
{
    struct cp *cp = loop_container_of(timer, struct cp, progress);
    loop_fs_stat(&cp->loop, &cp->look, cp->part, on_look); /* refused: shown no further */
}

static void on_look(struct loop_fs *fs)
{
    struct cp *cp = loop_container_of(fs, struct cp, look);
    if (!cp->copying)
        return;
    if (fs->result == 0)
        show(cp, fs->stat->st_size);
    loop_timer_start(&cp->progress, 100 * LOOP_MS, 0, on_progress);
}

/* It may have come too late to stop anything. */
static void on_signal(struct loop_signal *signal, int number)
{
    struct cp *cp = signal->handle.data;
    (void)number;
    loop_request_cancel(&cp->copy.request);
}

static int listen_to(struct cp *cp, struct loop_signal *signal, int number)
{
    signal->handle.data = cp;
    loop_signal_init(&cp->loop, signal);
    return loop_signal_start_once(signal, number, on_signal);
}

static int start(struct cp *cp)
{
    int error = loop_init(&cp->loop, NULL);
    if (error)
        return error;
    loop_timer_init(&cp->loop, &cp->progress);
    error = listen_to(cp, &cp->interrupt, SIGINT);
    if (!error)
        error = listen_to(cp, &cp->terminate, SIGTERM);
    return error ? error : begin(cp);
}

static int usage(FILE *to, int status)
{
    fprintf(to, "usage: cp [--progress] FROM TO-FILE-OR-DIRECTORY\n");
    return status;
}

int main(int argc, char **argv)
{
    static struct cp cp;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, EXIT_SUCCESS);
    bool told = argc == 4 && strcmp(argv[1], "--progress") == 0;
    if (argc != 3 && !told)
        return usage(stderr, 2);
    cp.from = argv[argc - 2];
    cp.shows_progress = told || isatty(STDERR_FILENO);
    int length = snprintf(cp.to, sizeof(cp.to), "%s", argv[argc - 1]);
    int error = length < PATH_SIZE ? start(&cp) : -ENAMETOOLONG;
    if (error) {
        fprintf(stderr, "%s: %s\n", cp.from, loop_strerror(error));
        return EXIT_FAILURE;
    }
    loop_run(&cp.loop, LOOP_RUN_DEFAULT);
    loop_pool_shutdown(); /* waits for the thread, which may have something to remove */
    if (cp.shows_progress)
        fprintf(stderr, "\n");
    error = loop_fini(&cp.loop);
    return cp.failed || error ? EXIT_FAILURE : EXIT_SUCCESS;
}
