/* Children in every way but the usual one: with a socket as their input, with descriptors of ours,
 * killed by themselves and as a group, of a name that no program has, and a process that exists
 * already. And one whose loop is finished before it ends: whoever starts a child next sweeps up
 * behind it. A child that was not started leaves neither a descriptor nor a process; of those that
 * were, each end is told once.
 *
 * SPDX-License-Identifier: MIT */
#include "../injector.h"
#include "../torture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop other;
static struct loop_process talker, leader, missing, adopted, orphan;
static struct loop_pipe both;
static pid_t existing;
static int life[2]; /* whoever reads it lives until the other end is closed */
static int ends;
static bool was_missed;

static void on_exit(struct loop_process *handle, int exit_status, int term_signal)
{
    (void)term_signal;
    if (exit_status < 0)
        ok(exit_status);
    ends++;
    shut(&handle->handle);
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size != LOOP_EOF)
        ok(size);
    shut(&stream->handle);
}

static void start_talker(struct loop *loop)
{
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_SOCKET, .pipe = &both},
                                 {.kind = LOOP_STDIO_INHERIT},
                                 {.kind = LOOP_STDIO_FD, .fd = STDERR_FILENO}};
    struct loop_process_options options = {.file = "/bin/cat", .stdio = stdio, .stdio_count = 3};
    loop_process_init(loop, &talker);
    loop_pipe_init(loop, &both);
    if (ok(loop_process_spawn(&talker, &options, on_exit)) &&
        ok(loop_read_start(&both.stream, on_read)))
        ok(loop_process_kill(&talker, SIGTERM));
}

/* Reads from our pipe, and so ends with us if nobody ends it before. */
static bool start_waiting(struct loop *loop, struct loop_process *process, unsigned flags)
{
    struct loop_stdio stdio = {.kind = LOOP_STDIO_FD, .fd = life[0]};
    struct loop_process_options options = {.file = "/bin/cat",
                                           .stdio = &stdio,
                                           .stdio_count = 1,
                                           .flags = flags};
    loop_process_init(loop, process);
    return ok(loop_process_spawn(process, &options, on_exit));
}

static void start_missing(struct loop *loop)
{
    struct loop_process_options options = {.file = "/bin/no-such-program"};
    loop_process_init(loop, &missing);
    int error = loop_process_spawn(&missing, &options, on_exit);
    was_missed = error == -ENOENT;
    if (!was_missed)
        ok(error);
}

static void adopt(struct loop *loop)
{
    char byte;
    existing = must(fork());
    if (existing == 0) {
        close(life[1]);
        _exit((int)read(life[0], &byte, 1));
    }
    loop_process_init(loop, &adopted);
    if (ok(loop_process_adopt(&adopted, existing, on_exit)))
        ok(loop_process_kill(&adopted, SIGKILL));
}

/* A loop that has come to its end while a child of its runs on. */
static void leave_an_orphan(void)
{
    struct loop_options options = {.allocator.resize = torture_resize_memory};
    if (!ok(loop_init(&other, &options)))
        return;
    if (start_waiting(&other, &orphan, 0))
        loop_unref(&orphan.handle);
    shut(&orphan.handle);
    ok(loop_run(&other, LOOP_RUN_DEFAULT));
    ok(loop_fini(&other));
}

static void start(struct loop *loop)
{
    ends = 0;
    was_missed = false;
    must(pipe2(life, O_CLOEXEC));
    leave_an_orphan();
    start_talker(loop);
    start_missing(loop);
    if (start_waiting(loop, &leader, LOOP_PROCESS_GROUP))
        ok(loop_process_kill_group(&leader, SIGTERM));
    adopt(loop);
}

static bool done(void)
{
    return ends == 3 && was_missed;
}

/* Whoever finishes a loop sweeps up, too. */
static void sweep(void)
{
    loop_run(&torture_loop, LOOP_RUN_NOWAIT);
    if (loop_init(&other, NULL) == 0)
        loop_fini(&other);
}

/* Those that were not told to end do so when the pipe is closed. All are waited for here, as a
 * program might, and the library takes that as their end: what it keeps of them is memory. */
static void clean(void)
{
    torture_end(); /* the sweeping is ours */
    close(life[1]);
    close(life[0]);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    sweep();
}

const struct scenario children_scenario = {.name = "children",
                                           .clock = LOOP_CLOCK_MONOTONIC,
                                           .start = start,
                                           .done = done,
                                           .clean = clean};
