/* What can be asked and said of a file, one after the other, each begun in the callback of the one
 * before: its owner, times, mode and size, by name and by descriptor; whether it may be read, what
 * file system it is on, another name for it; a copy over a file that exists, and one of a file with
 * a hole; reading and writing at a position of its own, in pieces, and from one descriptor to
 * another; a file and directories with made-up names. The first error ends the chain; what is left
 * of the directory is removed by the scenario, and a directory in it is removed by the library with
 * something in it, which takes more than one attempt.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*step_fn)(struct loop *loop);

enum { HOLE = 1 << 20 };

static struct loop_fs fs;
static const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
static char dir[64], a[80], b[80], c[80], deep[96], temp[80];
static size_t step;
static int fd, to_fd, dir_fd, temp_fd;

static void on_step(struct loop_fs *request);

static int truncate_a(struct loop *loop)
{
    return loop_fs_truncate(loop, &fs, a, 100, on_step);
}

static int own(struct loop *loop)
{
    return loop_fs_chown(loop, &fs, a, getuid(), getgid(), on_step);
}

static int own_open(struct loop *loop)
{
    return loop_fs_fchown(loop, &fs, fd, getuid(), getgid(), on_step);
}

static int date(struct loop *loop)
{
    return loop_fs_utimes(loop, &fs, a, times, on_step);
}

static int date_open(struct loop *loop)
{
    return loop_fs_futimes(loop, &fs, fd, times, on_step);
}

static int change_open(struct loop *loop)
{
    return loop_fs_fchmod(loop, &fs, fd, 0600, on_step);
}

static int ask_system(struct loop *loop)
{
    return loop_fs_statfs(loop, &fs, a, on_step);
}

static int ask_access(struct loop *loop)
{
    return loop_fs_access(loop, &fs, a, R_OK, on_step);
}

static int ask_statx(struct loop *loop)
{
    return loop_fs_statx(loop, &fs, a, 0, STATX_SIZE, on_step);
}

static int ask_open(struct loop *loop)
{
    return loop_fs_fstat(loop, &fs, fd, on_step);
}

static int name_again(struct loop *loop)
{
    return loop_fs_link(loop, &fs, a, c, on_step);
}

static int unname(struct loop *loop)
{
    return loop_fs_unlink(loop, &fs, c, on_step);
}

static int copy_hole(struct loop *loop)
{
    return loop_fs_copy_file(loop, &fs, a, b, 0, on_step);
}

/* From a file system whose files the kernel copies to no other. */
static int copy_by_hand(struct loop *loop)
{
    return loop_fs_copy_file(loop, &fs, "/proc/version", b, 0, on_step);
}

static int read_on(struct loop *loop)
{
    return loop_fs_read(loop, &fs, fd, 10, -1, on_step);
}

static int read_to_the_end(struct loop *loop)
{
    return loop_fs_read(loop, &fs, fd, 2 * HOLE, -1, on_step);
}

static int write_on(struct loop *loop)
{
    return loop_fs_write(loop, &fs, to_fd, "on", 2, -1, on_step);
}

static int send_file(struct loop *loop)
{
    return loop_fs_sendfile(loop, &fs, to_fd, fd, 0, 3, on_step);
}

static int sync_data(struct loop *loop)
{
    return loop_fs_fdatasync(loop, &fs, to_fd, on_step);
}

static int replace(struct loop *loop)
{
    return loop_fs_write_file(loop, &fs, a, "new", 3, 0600, LOOP_FS_ATOMIC | LOOP_FS_SYNC, on_step);
}

static int make_directory(struct loop *loop)
{
    return loop_fs_mkdir(loop, &fs, c, 0700, on_step);
}

static int make_deep(struct loop *loop)
{
    return loop_fs_mkdir_all(loop, &fs, deep, 0700, on_step);
}

static int make_deep_again(struct loop *loop)
{
    return loop_fs_mkdir_all(loop, &fs, deep, 0700, on_step);
}

static int open_directory(struct loop *loop)
{
    return loop_fs_opendir(loop, &fs, dir, on_step);
}

static int list_one(struct loop *loop)
{
    return loop_fs_readdir(loop, &fs, dir_fd, 1, on_step);
}

static int make_temp(struct loop *loop)
{
    return loop_fs_mkstemp(loop, &fs, temp, on_step);
}

static int close_directory(struct loop *loop)
{
    int closing = dir_fd;
    dir_fd = -1;
    return loop_fs_close(loop, &fs, closing, on_step);
}

static int remove_deep(struct loop *loop)
{
    return loop_fs_rm(loop, &fs, c, LOOP_FS_RECURSIVE, on_step);
}

static const step_fn steps[] = {
    copy_hole,       copy_hole,      copy_by_hand, own,        own_open,       date,
    date_open,       change_open,    ask_system,   ask_access, ask_statx,      ask_open,
    name_again,      unname,         read_on,      write_on,   send_file,      sync_data,
    read_to_the_end, read_on,        truncate_a,   replace,    make_directory, make_deep,
    make_deep_again, open_directory, list_one,     list_one,   make_temp,      close_directory,
    remove_deep,
};

enum { STEPS = sizeof(steps) / sizeof(*steps) };

/* A close that was refused has left the descriptor to us. */
static void go_on(struct loop *loop)
{
    int before = dir_fd;
    if (!began(steps[step](loop)))
        dir_fd = before;
}

static void on_step(struct loop_fs *request)
{
    ended();
    if (!ok(request->result))
        return;
    if (steps[step] == open_directory)
        dir_fd = (int)request->result;
    if (steps[step] == make_temp)
        temp_fd = (int)request->result;
    if (++step < STEPS)
        go_on(request->request.loop);
}

static void start(struct loop *loop)
{
    step = 0;
    dir_fd = temp_fd = -1;
    snprintf(dir, sizeof(dir), "/tmp/torture-XXXXXX");
    if (!mkdtemp(dir))
        abort();
    snprintf(a, sizeof(a), "%s/a", dir);
    snprintf(b, sizeof(b), "%s/b", dir);
    snprintf(c, sizeof(c), "%s/c", dir);
    snprintf(deep, sizeof(deep), "%s/deep/deeper", c);
    snprintf(temp, sizeof(temp), "%s/temp-", dir);
    fd = must(open(a, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    to_fd = must(open(b, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    must((int)pwrite(fd, "begin", 5, 0));
    must((int)pwrite(fd, "end", 3, HOLE));
    must(ftruncate(fd, HOLE + 4100));
    go_on(loop);
}

static bool done(void)
{
    return step == STEPS;
}

static void clean(void)
{
    char command[128];
    const int open_ones[] = {fd, to_fd, dir_fd, temp_fd};
    for (size_t i = 0; i < sizeof(open_ones) / sizeof(*open_ones); i++)
        if (open_ones[i] >= 0)
            close(open_ones[i]);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    must(system(command));
}

const struct scenario attributes_scenario = {.name = "attributes",
                                             .clock = LOOP_CLOCK_MONOTONIC,
                                             .start = start,
                                             .done = done,
                                             .clean = clean};
