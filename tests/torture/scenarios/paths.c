/* Operations on files and directories, one after the other, each begun in the callback of
 * the one before: a directory of our own is made, in it a file is written, looked at,
 * copied, renamed, linked, cut, synced and read, the directory is listed, and removed with
 * all that is in it. All run on the pool or on the loop's thread as the library likes. The
 * first error ends the chain; what is left of the directory is removed by the scenario.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*step_fn)(struct loop *loop);

static struct loop_fs fs;
static char dir[64], a[80], b[80], c[80];
static size_t step;
static int fd;

static void on_step(struct loop_fs *request);

static int make(struct loop *loop)
{
    return loop_fs_mkdtemp(loop, &fs, "/tmp/torture-", on_step);
}

static int name_all(struct loop *loop)
{
    snprintf(a, sizeof(a), "%s/a", dir);
    snprintf(b, sizeof(b), "%s/b", dir);
    snprintf(c, sizeof(c), "%s/c", dir);
    return loop_fs_mkdir_all(loop, &fs, c, 0700, on_step);
}

static int write_it(struct loop *loop)
{
    return loop_fs_write_file(loop, &fs, a, "hello", 5, 0600, LOOP_FS_ATOMIC, on_step);
}

static int append(struct loop *loop)
{
    return loop_fs_append_file(loop, &fs, a, " world", 6, 0600, LOOP_FS_SYNC, on_step);
}

static int look(struct loop *loop)
{
    return loop_fs_stat(loop, &fs, a, on_step);
}

static int copy(struct loop *loop)
{
    return loop_fs_copy_file(loop, &fs, a, b, 0, on_step);
}

static int move(struct loop *loop)
{
    strncat(c, "/moved", sizeof(c) - strlen(c) - 1);
    return loop_fs_rename(loop, &fs, b, c, 0, on_step);
}

static int link_it(struct loop *loop)
{
    return loop_fs_symlink(loop, &fs, "a", b, on_step);
}

static int follow(struct loop *loop)
{
    return loop_fs_readlink(loop, &fs, b, on_step);
}

static int resolve(struct loop *loop)
{
    return loop_fs_realpath(loop, &fs, b, on_step);
}

static int change(struct loop *loop)
{
    return loop_fs_chmod(loop, &fs, a, 0640, on_step);
}

static int list(struct loop *loop)
{
    return loop_fs_scandir(loop, &fs, dir, on_step);
}

static int open_it(struct loop *loop)
{
    return loop_fs_open(loop, &fs, a, O_RDWR, 0, on_step);
}

static int write_piece(struct loop *loop)
{
    return loop_fs_write(loop, &fs, fd, "HELLO", 5, 0, on_step);
}

static int cut(struct loop *loop)
{
    return loop_fs_ftruncate(loop, &fs, fd, 8, on_step);
}

static int sync_it(struct loop *loop)
{
    return loop_fs_fsync(loop, &fs, fd, on_step);
}

static int read_piece(struct loop *loop)
{
    return loop_fs_read(loop, &fs, fd, 100, 0, on_step);
}

static int close_it(struct loop *loop)
{
    int closing = fd;
    fd = -1;
    return loop_fs_close(loop, &fs, closing, on_step);
}

static int remove_all(struct loop *loop)
{
    return loop_fs_rm(loop, &fs, dir, LOOP_FS_RECURSIVE, on_step);
}

static const step_fn steps[] = {
    make,    name_all, write_it,   append,   look,       copy,    move,
    link_it, follow,   resolve,    change,   list,       open_it, write_piece,
    cut,     sync_it,  read_piece, close_it, remove_all,
};

enum { STEPS = sizeof(steps) / sizeof(*steps) };

static void take_result(const struct loop_fs *request)
{
    if (steps[step] == make)
        snprintf(dir, sizeof(dir), "%s", request->bytes);
    else if (steps[step] == open_it)
        fd = (int)request->result;
}

/* A close that was refused has left the descriptor to us. */
static void go_on(struct loop *loop)
{
    int before = fd;
    if (!began(steps[step](loop)))
        fd = before;
}

static void on_step(struct loop_fs *request)
{
    ended();
    if (!ok(request->result))
        return;
    take_result(request);
    if (++step < STEPS)
        go_on(request->request.loop);
}

static void start(struct loop *loop)
{
    step = 0;
    fd = -1;
    dir[0] = '\0';
    go_on(loop);
}

static bool done(void)
{
    return step == STEPS;
}

static void clean(void)
{
    char command[128];
    if (fd >= 0)
        close(fd);
    if (dir[0] && step < STEPS) {
        snprintf(command, sizeof(command), "rm -rf '%s'", dir);
        must(system(command));
    }
}

const struct scenario paths_scenario = {
    .name = "paths", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
