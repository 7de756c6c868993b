/* A file is read whole, by whoever does it: the loop's own thread if the kernel can
 * promise not to block, and one of the pool's if not. At the same time another is asked
 * for that does not exist, which is no error of this scenario but what it expects. A read
 * that fails midway must close the descriptor that it had opened, and a short one must go
 * on where it stopped.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIZE = 3000 };

static struct loop_fs fs, missing;
static char path[64];
static bool was_read, was_missed;

static void on_missing(struct loop_fs *request)
{
    ended();
    was_missed = request->result == -ENOENT;
    if (!was_missed)
        ok(request->result);
}

static void on_read(struct loop_fs *request)
{
    ended();
    if (ok(request->result))
        was_read = request->result == SIZE;
}

static void start(struct loop *loop)
{
    static const char bytes[SIZE];
    was_read = was_missed = false;
    snprintf(path, sizeof(path), "/tmp/torture-XXXXXX");
    int fd = must(mkstemp(path));
    must((int)write(fd, bytes, SIZE));
    close(fd);
    began(loop_fs_read_file(loop, &fs, path, on_read));
    began(loop_fs_read_file(loop, &missing, "/tmp/torture-none/nothing", on_missing));
}

static bool done(void)
{
    return was_read && was_missed;
}

static void clean(void)
{
    unlink(path);
}

const struct scenario fs_scenario = {
    .name = "fs", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
