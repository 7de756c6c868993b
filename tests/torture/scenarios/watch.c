/* A directory that is watched with all below it: once it is known to be watched, a file and
 * a directory are made in it, and a file in that; then it is watched once more, by a handle that
 * hears of none of it. Each watch may be refused by the kernel, and what is found is kept in
 * memory: a directory below that cannot be watched is told of by a change of its own, and
 * everything else by the call or by the handle's end. The tree is made and removed by the scenario
 * itself.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop_fs_event event, here, late;
static char dir[64], file[96], below[96], deep[96];
static bool ready, deep_seen;

static void make_things(void)
{
    close(must(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    must(mkdir(below, 0700));
    close(must(open(deep, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
}

static void on_nothing(struct loop_fs_event *handle, const struct loop_fs_change *change)
{
    (void)handle;
    (void)change;
}

/* It does not hear of what was made before. */
static void start_late(void)
{
    ok(loop_fs_event_start(&late, dir, 0, on_nothing));
}

static void on_change(struct loop_fs_event *handle, const struct loop_fs_change *change)
{
    if (change->kind == LOOP_FS_EVENT_ERROR || change->kind == LOOP_FS_EVENT_GONE)
        ok(change->error ? change->error : -ENOENT);
    else if (change->kind == LOOP_FS_EVENT_OVERFLOW)
        ok(-EOVERFLOW);
    else if (change->kind == LOOP_FS_EVENT_READY) {
        ready = true;
        make_things();
        start_late();
    } else if (strcmp(change->name, "below/deep") == 0) {
        deep_seen = true;
        shut(&here.handle);
        shut(&late.handle);
        if (!loop_is_closing(&handle->handle))
            shut(&handle->handle);
    }
}

static void start(struct loop *loop)
{
    ready = deep_seen = false;
    snprintf(dir, sizeof(dir), "/tmp/torture-XXXXXX");
    if (!mkdtemp(dir))
        abort();
    snprintf(file, sizeof(file), "%s/file", dir);
    snprintf(below, sizeof(below), "%s/below", dir);
    snprintf(deep, sizeof(deep), "%s/below/deep", dir);
    loop_fs_event_init(loop, &event);
    loop_fs_event_init(loop, &here);
    loop_fs_event_init(loop, &late);
    if (ok(loop_fs_event_start(&event, dir, LOOP_FS_EVENT_RECURSIVE, on_change)))
        ok(loop_fs_event_start(&here, ".", 0, on_nothing));
}

static bool done(void)
{
    return ready && deep_seen;
}

static void clean(void)
{
    unlink(deep);
    rmdir(below);
    unlink(file);
    rmdir(dir);
}

const struct scenario watch_scenario = {
    .name = "watch", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
