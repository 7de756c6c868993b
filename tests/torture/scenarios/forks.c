/* A child of fork(2) that makes all of a loop its own that has to be opened anew: the descriptor of
 * its timer, since the loop has slept by it, that of its signals, and the queue of what happens in
 * a watched directory. The child is forked by a callback; it is told that changes may have been
 * missed, closes all, and ends. What fails in it is told by its exit status, and the parent's loop
 * goes on as if nothing had happened.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop_timer sleeper;
static struct loop_signal watched;
static struct loop_fs_event event;
static char dir[64], below[96];
static int low;
static bool in_child, forked, child_well, changed;

enum { WELL = 0, TOLD = 3, WRONG = 4 };

static void close_one(struct loop_handle *handle, void *arg)
{
    (void)arg;
    shut(handle);
}

static void close_all(struct loop *loop)
{
    loop_walk(loop, close_one, NULL);
}

static void on_signal(struct loop_signal *handle, int number)
{
    (void)handle;
    (void)number;
}

/* An error in the child is for its exit status. */
static void on_change(struct loop_fs_event *handle, const struct loop_fs_change *change)
{
    if (change->kind == LOOP_FS_EVENT_ERROR || change->kind == LOOP_FS_EVENT_GONE)
        ok(change->error ? change->error : -ENOENT);
    if (in_child && change->kind != LOOP_FS_EVENT_READY) {
        changed = true;
        close_all(handle->handle.loop);
    }
}

/* The child ends here, whatever it is in the middle of: its parent's run goes on elsewhere. */
static _Noreturn void be_child(struct loop *loop)
{
    in_child = true;
    if (loop_after_fork(loop) < 0)
        _exit(TOLD);
    if (mkdir(below, 0700) < 0)
        _exit(WRONG);
    int status = loop_run(loop, LOOP_RUN_DEFAULT);
    if (status < 0 || !changed)
        _exit(TOLD);
    _exit(status == 0 && loop_fini(loop) == 0 ? WELL : WRONG);
}

/* What is opened in the child has another number at first. */
static void leave_a_hole(void)
{
    if (low >= 0)
        close(low);
    low = -1;
}

static void on_timer(struct loop_timer *handle)
{
    pid_t child;
    int status;
    struct loop *loop = handle->handle.loop;
    forked = true;
    leave_a_hole();
    child = must(fork());
    if (child == 0) {
        in_child = true;
        loop_stop(loop);
        return;
    }
    must(waitpid(child, &status, 0));
    child_well = WIFEXITED(status) && WEXITSTATUS(status) == WELL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == TOLD)
        ok(-EIO);
    close_all(loop);
}

static void start(struct loop *loop)
{
    forked = child_well = changed = false;
    snprintf(dir, sizeof(dir), "/tmp/torture-XXXXXX");
    if (!mkdtemp(dir))
        abort();
    snprintf(below, sizeof(below), "%s/below", dir);
    low = must(open("/dev/null", O_RDONLY | O_CLOEXEC));
    loop_timer_init(loop, &sleeper);
    loop_signal_init(loop, &watched);
    loop_fs_event_init(loop, &event);
    if (ok(loop_signal_start(&watched, SIGUSR1, on_signal)) &&
        ok(loop_fs_event_start(&event, dir, 0, on_change)) &&
        ok(loop_timer_start(&sleeper, LOOP_MS, 0, on_timer))) {
        int status = loop_run(loop, LOOP_RUN_DEFAULT);
        if (in_child)
            be_child(loop); /* its own run has ended with -ECHILD */
        ok(status);
    }
}

static bool done(void)
{
    return forked && child_well;
}

static void clean(void)
{
    leave_a_hole();
    rmdir(below);
    rmdir(dir);
}

const struct scenario forks_scenario = {
    .name = "forks", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
