/* A child that is spoken to: cat, with a pipe for what it reads and one for what it writes,
 * and a command that is run to its end with all its output kept. Pipes, memory, a pidfd and
 * the child itself may be refused: then there is no child, and no descriptor. A child whose
 * handle is closed before it ended is ended by the end of its input, and waited for by the
 * loop all the same, so that no zombie stays behind.
 *
 * SPDX-License-Identifier: MIT */
#include "../injector.h"
#include "../torture.h"

#include <signal.h>
#include <sys/wait.h>

static struct loop_process process;
static struct loop_pipe in, out;
static struct loop_exec exec;
static bool exited, heard, ran;

static void on_exit(struct loop_process *handle, int exit_status, int term_signal)
{
    (void)term_signal;
    if (exit_status < 0)
        ok(exit_status);
    exited = true;
    shut(&handle->handle);
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size > 0) {
        heard = true;
        shut(&in.handle); /* the end of what cat reads */
        return;
    }
    if (size != LOOP_EOF)
        ok(size);
    shut(&stream->handle);
}

static void on_exec(struct loop_exec *request, int status)
{
    ended();
    if (ok(status) && ok(request->exit_status < 0 ? request->exit_status : 0))
        ran = request->out_size == 3;
}

static void spawn(struct loop *loop)
{
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_INPUT, .pipe = &in},
                                 {.kind = LOOP_STDIO_OUTPUT, .pipe = &out}};
    struct loop_process_options options = {.file = "/bin/cat", .stdio = stdio, .stdio_count = 2};
    loop_process_init(loop, &process);
    loop_pipe_init(loop, &in);
    loop_pipe_init(loop, &out);
    if (ok(loop_process_spawn(&process, &options, on_exit)) &&
        ok(loop_read_start(&out.stream, on_read)))
        ok(loop_write_copy(&in.stream, "meow", 4));
}

static void start(struct loop *loop)
{
    static const char *const args[] = {"echo", "hi", NULL};
    struct loop_exec_options options = {.process = {.file = "echo", .args = args}};
    exited = heard = ran = false;
    spawn(loop);
    began(loop_exec(loop, &exec, &options, on_exec));
}

static bool done(void)
{
    return exited && heard && ran;
}

/* What the loop keeps of children whose handle was closed may outlive it: so all of them end first.
 * One that the loop could not watch stays a zombie; so that nobody is left who runs, those that are
 * there after a while are waited for here, as a program might. */
static void clean(void)
{
    siginfo_t info = {0};
    torture_end(); /* the waiting is ours */
    for (int zombies = 0; zombies < 100; zombies += info.si_pid != 0) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
            return;
        loop_run(&torture_loop, LOOP_RUN_NOWAIT);
    }
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    loop_run(&torture_loop, LOOP_RUN_NOWAIT);
}

const struct scenario process_scenario = {
    .name = "process", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
