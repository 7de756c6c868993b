/* A child that makes the loop its own, while a poll handle waits and work is on the
 * pool, closes all that it finds and ends. What fails in the child is told by its exit
 * status; the parent goes on as if nothing had happened, for the child must not have
 * touched its epoll set. Injection goes on in the child, with the numbers of its own
 * calls.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop_poll poll;
static struct loop_work work;
static struct loop_timer timer;
static int ends[2];
static bool fired, child_well, worked;

enum { WELL = 0, TOLD = 3, WRONG = 4 };

static void on_poll(struct loop_poll *handle, int status, uint32_t events)
{
    (void)events;
    ok(status);
    loop_poll_stop(handle);
}

static void run(void *data)
{
    (void)data;
}

static void on_work(struct loop_work *request, int status)
{
    (void)request;
    ended();
    worked = true;
    ok(status);
}

static void close_one(struct loop_handle *handle, void *arg)
{
    (void)arg;
    shut(handle);
}

/* The child ends here, whatever it is in the middle of: its parent's run goes on elsewhere. */
static _Noreturn void be_child(struct loop *loop)
{
    if (loop_after_fork(loop) < 0)
        _exit(TOLD);
    loop_walk(loop, close_one, NULL);
    int status = loop_run(loop, LOOP_RUN_DEFAULT);
    _exit(status == 0 && loop_fini(loop) == 0 ? WELL : WRONG);
}

static void on_timer(struct loop_timer *handle)
{
    (void)handle;
    fired = true;
    loop_poll_stop(&poll);
}

static void start(struct loop *loop)
{
    int status;
    fired = child_well = worked = false;
    must(pipe(ends));
    loop_poll_init(loop, &poll, ends[0]);
    loop_timer_init(loop, &timer);
    if (!ok(loop_poll_start(&poll, LOOP_READABLE, on_poll)) ||
        !ok(loop_timer_start(&timer, LOOP_MS, 0, on_timer)) ||
        !began(loop_work(loop, &work, run, on_work)))
        return;
    pid_t child = must(fork());
    if (child == 0)
        be_child(loop);
    must(waitpid(child, &status, 0));
    child_well = WIFEXITED(status) && WEXITSTATUS(status) == WELL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == TOLD)
        ok(-EIO);
}

static bool done(void)
{
    return fired && child_well && worked;
}

static void clean(void)
{
    close(ends[0]);
    close(ends[1]);
}

const struct scenario fork_scenario = {
    .name = "fork", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
