/* The descriptors of a child, as far as its parent prepares them.
 *
 * A pipe goes one way, because programs tell a pipe from a socket: a shell can open /dev/stdout
 * again if it is a pipe, and cannot if it is a socket. Who wants both ways, or to pass descriptors,
 * asks for a socket. Our end does not block, the child's does.
 *
 * Our ends are opened before the child is started, so nothing can fail when it runs; if it could
 * not be started they are closed again, and the pipe handles are as after their init.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/process.h"

static bool has_pipe(const struct loop_stdio *stdio)
{
    return stdio->kind >= LOOP_STDIO_INPUT;
}

static int open_null(struct stdio_plan *plan)
{
    if (plan->null_fd < 0)
        plan->null_fd = sys_open("/dev/null", O_RDWR, 0);
    return plan->null_fd;
}

/* ends[0] is ours, ends[1] the child's. */
static int open_ends(enum loop_stdio_kind kind, int ends[2])
{
    if (kind == LOOP_STDIO_SOCKET)
        return sys_socketpair_blocking(ends);
    int error = sys_pipe(ends);
    if (!error && kind == LOOP_STDIO_INPUT) {
        int reading = ends[0];
        ends[0] = ends[1];
        ends[1] = reading;
    }
    return error;
}

/* Returns the child's end. */
static int open_pipe(const struct loop_stdio *stdio)
{
    int ends[2];
    int error = open_ends(stdio->kind, ends);
    if (error)
        return error;
    int flags = sys_fcntl(ends[0], F_GETFL, 0);
    sys_fcntl(ends[0], F_SETFL, flags | O_NONBLOCK);
    error = loop_pipe_open(stdio->pipe, ends[0]);
    if (!error)
        return ends[1];
    sys_close(ends[0]);
    sys_close(ends[1]);
    return error;
}

static int ours(int fd)
{
    int error = sys_fcntl(fd, F_GETFD, 0);
    return error < 0 ? error : fd;
}

static int open_one(struct stdio_plan *plan, const struct loop_stdio *stdio, int i)
{
    if (stdio->kind == LOOP_STDIO_NULL)
        return open_null(plan);
    if (stdio->kind == LOOP_STDIO_INHERIT)
        return ours(i);
    if (stdio->kind == LOOP_STDIO_FD)
        return ours(stdio->fd);
    plan->theirs[i] = open_pipe(stdio);
    plan->opened += plan->theirs[i] >= 0;
    return plan->theirs[i];
}

/* With an error what was opened so far is to be undone. */
int stdio_open(struct stdio_plan *plan, const struct loop_process_options *options,
               struct launch *launch)
{
    static const struct loop_stdio nothing = {.kind = LOOP_STDIO_NULL};
    for (int i = 0; i < launch->count; i++)
        plan->theirs[i] = -1;
    for (int i = 0; i < launch->count; i++) {
        bool given = (size_t)i < options->stdio_count;
        launch->fds[i] = open_one(plan, given ? &options->stdio[i] : &nothing, i);
        if (launch->fds[i] < 0)
            return launch->fds[i];
    }
    return 0;
}

void stdio_close_theirs(struct stdio_plan *plan, int count)
{
    for (int i = 0; i < count; i++)
        if (plan->theirs[i] >= 0)
            sys_close(plan->theirs[i]);
    if (plan->null_fd >= 0)
        sys_close(plan->null_fd);
}

void stdio_undo(struct stdio_plan *plan, const struct loop_process_options *options, int count)
{
    for (size_t i = 0; i < options->stdio_count && plan->opened > 0; i++) {
        if (has_pipe(&options->stdio[i])) {
            sys_close(loop_stream_detach(&options->stdio[i].pipe->stream));
            plan->opened--;
        }
    }
    stdio_close_theirs(plan, count);
}
