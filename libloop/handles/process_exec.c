/* A command, run to its end, as one request.
 *
 * The user's half is the request. The library's half is a job: a process, up to three pipes, a
 * write, two buffers. It outlives the request for as long as its handles have to be closed, and
 * frees itself behind the last of them. None of its handles counts for the loop or is seen by a
 * walk: the request does both.
 *
 * A command has ended when its process has and both its outputs have, whichever comes last, since
 * what it wrote may be read later than its end is told, and its descendants may write on. A command
 * that is cut short, by a limit, a deadline or a cancel, is killed with its whole group, through a
 * pidfd of its own: the group can be named so even when its leader has been reaped.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/process.h"

enum { ROOM_FIRST = 4096 };

struct output {
    struct loop_pipe pipe;
    struct loop_exec_job *job;
    char *bytes; /* room of them, of which size are filled; or NULL */
    size_t size;
    size_t room;
    size_t max;
};

struct loop_exec_job {
    struct loop *loop;
    struct loop_exec *exec; /* NULL: it is over */
    struct loop_process process;
    struct loop_pipe input;
    struct loop_write write;
    struct output out;
    struct output err;
    struct loop_timer deadline;
    uint64_t due_ns;
    int group; /* a pidfd of the leader; -1: none could be had */
    int exit_status;
    int term_signal;
    int status;
    uint32_t running; /* the process and the outputs that have not ended */
    uint32_t holds;   /* the user, and handles that are not closed */
};

static void release(struct loop_exec_job *job)
{
    const struct loop_allocator *allocator = &job->loop->options.allocator;
    if (--job->holds > 0)
        return;
    memory_resize(allocator, job->out.bytes, 0);
    memory_resize(allocator, job->err.bytes, 0);
    memory_resize(allocator, job, 0);
}

static void on_process_closed(struct loop_handle *handle)
{
    release(loop_container_of(handle, struct loop_exec_job, process.handle));
}

static void on_input_closed(struct loop_handle *handle)
{
    release(loop_container_of(handle, struct loop_exec_job, input.handle));
}

static void on_output_closed(struct loop_handle *handle)
{
    release(loop_container_of(handle, struct output, pipe.handle)->job);
}

static void close_once(struct loop_handle *handle, loop_close_cb cb)
{
    if (!loop_is_closing(handle))
        loop_close(handle, cb);
}

static void close_all(struct loop_exec_job *job)
{
    loop_timer_stop(&job->deadline);
    close_once(&job->process.handle, on_process_closed);
    close_once(&job->input.handle, on_input_closed);
    close_once(&job->out.pipe.handle, on_output_closed);
    close_once(&job->err.pipe.handle, on_output_closed);
    if (job->group >= 0)
        sys_close(job->group);
    job->group = -1;
}

/* The outcome is decided: told in the pending phase. */
static void decide(struct loop_exec_job *job, int status)
{
    if (status != 0) {
        int error = job->group >= 0 ? sys_pidfd_signal_group(job->group, SIGKILL) : -EINVAL;
        if (error == -EINVAL)
            loop_process_kill_group(&job->process, SIGKILL);
    }
    job->status = status;
    close_all(job);
    request_defer(&job->exec->request);
}

static void one_has_ended(struct loop_exec_job *job)
{
    if (--job->running == 0)
        decide(job, 0);
}

static void on_ended(struct loop_process *process, int exit_status, int term_signal)
{
    struct loop_exec_job *job = loop_container_of(process, struct loop_exec_job, process);
    job->exit_status = exit_status;
    job->term_signal = term_signal;
    one_has_ended(job);
}

/* Whether all was written or nobody wants to read it is the command's own affair. */
static void on_written(struct loop_write *write, int status)
{
    struct loop_exec_job *job = loop_container_of(write, struct loop_exec_job, write);
    if (status != -ECANCELED)
        close_once(&job->input.handle, on_input_closed);
}

/* Room for so many more bytes, and a 0. */
static int make_room(struct output *output, size_t size)
{
    size_t room = output->room ? output->room : ROOM_FIRST;
    while (room < output->size + size + 1)
        room *= 2;
    if (room == output->room)
        return 0;
    const struct loop_allocator *allocator = &output->job->loop->options.allocator;
    char *bytes = memory_resize(allocator, output->bytes, room);
    if (!bytes)
        return -ENOMEM;
    output->bytes = bytes;
    output->room = room;
    return 0;
}

static void keep(struct output *output, const void *bytes, size_t size)
{
    size_t left = output->max - output->size;
    size_t fits = size < left ? size : left;
    int error = make_room(output, fits);
    if (!error) {
        memcpy(output->bytes + output->size, bytes, fits);
        output->size += fits;
        output->bytes[output->size] = '\0';
    }
    if (error || fits < size)
        decide(output->job, error ? error : -ENOBUFS);
}

static void on_output(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct output *output = loop_container_of(stream, struct output, pipe.stream);
    if (size > 0)
        keep(output, bytes, (size_t)size);
    else if (size == LOOP_EOF)
        one_has_ended(output->job);
    else
        decide(output->job, (int)size); /* what is missing must not look like the end */
}

static char *give(struct output *output, size_t *size)
{
    *size = output->size;
    return output->bytes;
}

static void complete(struct loop_request *request)
{
    struct loop_exec *exec = loop_container_of(request, struct loop_exec, request);
    struct loop_exec_job *job = exec->job;
    exec->exit_status = job->exit_status;
    exec->term_signal = job->term_signal;
    exec->out = give(&job->out, &exec->out_size);
    exec->err = give(&job->err, &exec->err_size);
    job->exec = NULL;
    callback_begin(job->loop, request_subject(request, (loop_function)exec->cb), job->status);
    exec->cb(exec, job->status);
    callback_end(job->loop);
    release(job);
}

static void cancel(struct loop_request *request, int status)
{
    decide(loop_container_of(request, struct loop_exec, request)->job, status);
}

/* The process is our parent's, who goes on reading what it writes. */
static void abandon(struct loop_request *request)
{
    struct loop_exec_job *job = loop_container_of(request, struct loop_exec, request)->job;
    job->status = -ECANCELED;
    close_all(job);
}

static void expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_exec_job *job = loop_container_of(request, struct loop_exec, request)->job;
    job->due_ns = due_ns;
    deadline_by(&job->deadline, due_ns);
}

static void expire(struct loop_timer *timer)
{
    struct loop_exec_job *job = loop_container_of(timer, struct loop_exec_job, deadline);
    if (job->due_ns > job->loop->now_ns)
        deadline_by(timer, job->due_ns);
    else
        decide(job, -ETIMEDOUT);
}

static const struct loop_request_ops exec_ops = {
    .type = "exec", .complete = complete, .abandon = abandon, .cancel = cancel, .expect = expect};

static void init_output(struct loop_exec_job *job, struct output *output, size_t max)
{
    loop_pipe_init(job->loop, &output->pipe);
    loop_unref(&output->pipe.handle);
    output->job = job;
    output->max = max ? max : LOOP_EXEC_OUTPUT_MAX;
}

static struct loop_exec_job *create(struct loop *loop, const struct loop_exec_options *options)
{
    struct loop_exec_job *job = memory_resize(&loop->options.allocator, NULL, sizeof(*job));
    if (!job)
        return NULL;
    *job = (struct loop_exec_job){.loop = loop,
                                  .due_ns = LOOP_NEVER,
                                  .group = -1,
                                  .exit_status = -ECHILD,
                                  .running = 3,
                                  .holds = 5};
    loop_process_init(loop, &job->process);
    loop_unref(&job->process.handle);
    loop_pipe_init(loop, &job->input);
    loop_unref(&job->input.handle);
    init_output(job, &job->out, options->out_max);
    init_output(job, &job->err, options->err_max);
    deadline_init(loop, &job->deadline, expire);
    return job;
}

static int spawn(struct loop_exec_job *job, const struct loop_exec_options *options)
{
    struct loop_process_options process = options->process;
    const struct loop_stdio stdio[] = {
        {.kind = options->input_size > 0 ? LOOP_STDIO_INPUT : LOOP_STDIO_NULL, .pipe = &job->input},
        {.kind = LOOP_STDIO_OUTPUT, .pipe = &job->out.pipe},
        {.kind = LOOP_STDIO_OUTPUT, .pipe = &job->err.pipe},
    };
    process.stdio = stdio;
    process.stdio_count = sizeof(stdio) / sizeof(*stdio);
    process.flags |= LOOP_PROCESS_GROUP;
    return loop_process_spawn(&job->process, &process, on_ended);
}

/* No walk of the user's shall find them. */
static void hide(struct loop_exec_job *job)
{
    list_remove(&job->process.handle.link);
    list_remove(&job->input.handle.link);
    list_remove(&job->out.pipe.handle.link);
    list_remove(&job->err.pipe.handle.link);
}

static int talk(struct loop_exec_job *job, const struct loop_exec_options *options)
{
    struct loop_buf input = {options->input, options->input_size};
    int error = loop_read_start(&job->out.pipe.stream, on_output);
    if (!error)
        error = loop_read_start(&job->err.pipe.stream, on_output);
    if (!error && input.size > 0)
        error = loop_stream_set_marks(&job->input.stream, 1, 2, SIZE_MAX / 2, NULL);
    if (!error && input.size > 0)
        error = loop_write(&job->input.stream, &job->write, &input, 1, on_written);
    if (error == -EPIPE)
        close_once(&job->input.handle, on_input_closed);
    else if (error < 0)
        return error;
    if (input.size > 0 && error >= 0)
        loop_request_unref(&job->write.request);
    return 0;
}

static int check(struct loop *loop, const struct loop_exec *exec,
                 const struct loop_exec_options *options)
{
    if (!loop || !exec || !options || options->process.stdio || options->process.stdio_count > 0 ||
        (options->input_size > 0 && !options->input))
        return -EINVAL;
    request_check(&exec->request, &exec_ops);
    return 0;
}

int loop_exec(struct loop *loop, struct loop_exec *exec, const struct loop_exec_options *options,
              loop_exec_cb cb)
{
    int error = cb ? check(loop, exec, options) : -EINVAL;
    if (error)
        return error;
    struct loop_exec_job *job = create(loop, options);
    if (!job)
        return -ENOMEM;
    error = spawn(job, options);
    if (error) {
        memory_resize(&loop->options.allocator, job, 0); /* nothing of it has been opened */
        return error;
    }
    hide(job);
    job->group = sys_fcntl(job->process.child->watcher.fd, F_DUPFD_CLOEXEC, 0);
    job->exec = exec;
    exec->job = job;
    exec->cb = cb;
    request_start(loop, &exec->request, &exec_ops, (loop_function)cb);
    error = talk(job, options);
    if (error)
        decide(job, error); /* of what was started already, the end is told */
    return 0;
}

static char *take(struct output *output)
{
    char *bytes = output->bytes;
    output->bytes = NULL;
    return bytes;
}

char *loop_exec_take_out(struct loop_exec *exec)
{
    return take(&exec->job->out);
}

char *loop_exec_take_err(struct loop_exec *exec)
{
    return take(&exec->job->err);
}
