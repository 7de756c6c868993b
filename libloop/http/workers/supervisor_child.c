/* A child: a process that is to be ready in time, to be heard of, and to finish when told.
 *
 * What it does is seen in three ways: the bytes that it sends, its process' end, and time. The end
 * of its process is the only one that counts: whatever else is wrong with it, it is killed, and the
 * rest follows from that. That the control socket has closed says nothing that its end will not.
 *
 * It is started in a process group of its own, so that Ctrl-C at a terminal comes to the supervisor
 * alone. If the supervisor itself dies, the control socket closes, and the worker finishes.
 *
 * SPDX-License-Identifier: MIT */
#include "workers/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* --- the end --- */

static void on_handle_closed(struct loop_handle *handle)
{
    struct supervisor_child *child = handle->data;
    if (--child->open_handles == 0)
        free(child);
}

static void close_handles(struct supervisor_child *child)
{
    struct loop_handle *handles[] = {&child->process.handle, &child->control.handle,
                                     &child->deadline.handle, &child->silence.handle};
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        handles[i]->data = child;
        child->open_handles++;
        loop_close(handles[i], on_handle_closed);
    }
}

static void report_end(struct supervisor_child *child, int exit_status, int term_signal)
{
    const char *kind = child->state == CHILD_DRAINING ? "has finished" : "has died";
    if (term_signal)
        supervisor_report(child->supervisor, "worker %u (pid %d) %s: signal %d, %s",
                          child->slot->number, (int)child->pid, kind, term_signal,
                          strsignal(term_signal));
    else
        supervisor_report(child->supervisor, "worker %u (pid %d) %s: status %d",
                          child->slot->number, (int)child->pid, kind, exit_status);
}

static void on_exit_of(struct loop_process *process, int exit_status, int term_signal)
{
    struct supervisor_child *child = loop_container_of(process, struct supervisor_child, process);
    struct loop_supervisor *supervisor = child->supervisor;
    bool asked = child->state == CHILD_DRAINING;
    supervisor->serving -= child->state == CHILD_SERVING;
    supervisor->crashed += !asked;
    list_remove(&child->link);
    close_handles(child);
    report_end(child, exit_status, term_signal);
    slot_child_gone(child->slot, child, asked);
    supervisor_end_if_done(supervisor, -ECHILD);
}

void child_kill(struct supervisor_child *child)
{
    loop_process_kill_group(&child->process, SIGKILL);
}

static void kill_for(struct supervisor_child *child, const char *reason)
{
    child->supervisor->killed++;
    supervisor_report(child->supervisor, "worker %u (pid %d) %s and is killed", child->slot->number,
                      (int)child->pid, reason);
    child_kill(child);
}

static void on_deadline(struct loop_timer *timer)
{
    struct supervisor_child *child = loop_container_of(timer, struct supervisor_child, deadline);
    kill_for(child,
             child->state == CHILD_STARTING ? "is not ready in time" : "has not finished in time");
}

static void on_silence(struct loop_timer *timer)
{
    kill_for(loop_container_of(timer, struct supervisor_child, silence), "hangs");
}

/* --- what it says --- */

static void hear(struct supervisor_child *child, char word)
{
    loop_timer_start(&child->silence, child->supervisor->options.silence_ns, 0, on_silence);
    if (word != WORKER_SAYS_READY || child->state != CHILD_STARTING)
        return;
    child->state = CHILD_SERVING;
    child->supervisor->serving++;
    loop_timer_stop(&child->deadline);
    supervisor_report(child->supervisor, "worker %u (pid %d) is ready", child->slot->number,
                      (int)child->pid);
    slot_child_ready(child->slot, child);
}

static void on_control(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct supervisor_child *child =
        loop_container_of(stream, struct supervisor_child, control.stream);
    if (size < 0)
        loop_read_stop(stream);
    for (ssize_t i = 0; i < size; i++)
        hear(child, ((const char *)bytes)[i]);
}

void child_drain(struct supervisor_child *child)
{
    static const char word = WORKER_HEARS_DRAIN;
    if (child->state == CHILD_DRAINING)
        return;
    child->supervisor->serving -= child->state == CHILD_SERVING;
    child->state = CHILD_DRAINING;
    loop_timer_start(&child->deadline, child->supervisor->options.drain_ns, 0, on_deadline);
    if (loop_write_copy(&child->control.stream, &word, 1) < 0)
        loop_process_kill(&child->process, SIGTERM);
}

/* --- the start --- */

/* Ours, and what the worker is. To be freed; NULL: no memory. */
static const char **make_environment(const struct supervisor_slot *slot, char *variable,
                                     size_t size)
{
    const struct loop_supervisor_options *options = &slot->supervisor->options;
    snprintf(variable, size, WORKER_VARIABLE "=%u:%zu:%llu", slot->number, options->listener_count,
             (unsigned long long)(options->silence_ns / LOOP_MS / 4 + 1));
    size_t count = 0;
    while (environ[count])
        count++;
    const char **all = calloc(count + 2, sizeof(*all));
    if (!all)
        return NULL;
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], WORKER_VARIABLE "=", strlen(WORKER_VARIABLE) + 1) != 0)
            all[at++] = environ[i];
    all[at] = variable;
    return all;
}

static int spawn(struct supervisor_child *child)
{
    const struct loop_supervisor_options *options = &child->supervisor->options;
    struct loop_stdio stdio[WORKER_FIRST_FD + LOOP_LISTENERS_MAX] = {{.kind = LOOP_STDIO_INHERIT},
                                                                     {.kind = LOOP_STDIO_INHERIT},
                                                                     {.kind = LOOP_STDIO_INHERIT},
                                                                     {.kind = LOOP_STDIO_SOCKET,
                                                                      .pipe = &child->control}};
    for (size_t i = 0; i < options->listener_count; i++)
        stdio[WORKER_FIRST_FD + i] =
            (struct loop_stdio){.kind = LOOP_STDIO_FD, .fd = child->slot->sockets[i]};
    char variable[96];
    const char **environment = make_environment(child->slot, variable, sizeof(variable));
    if (!environment)
        return -ENOMEM;
    const struct loop_process_options process = {.file = options->file,
                                                 .args = options->args,
                                                 .env = environment,
                                                 .stdio = stdio,
                                                 .stdio_count =
                                                     WORKER_FIRST_FD + options->listener_count,
                                                 .flags = LOOP_PROCESS_GROUP};
    int error = loop_process_spawn(&child->process, &process, on_exit_of);
    free(environment);
    return error;
}

static struct supervisor_child *child_new(struct supervisor_slot *slot)
{
    struct loop_supervisor *supervisor = slot->supervisor;
    struct supervisor_child *child = calloc(1, sizeof(*child));
    if (!child)
        return NULL;
    child->supervisor = supervisor;
    child->slot = slot;
    child->started_ns = loop_now(supervisor->loop);
    list_init(&child->link);
    loop_process_init(supervisor->loop, &child->process);
    loop_pipe_init(supervisor->loop, &child->control);
    loop_timer_init(supervisor->loop, &child->deadline);
    loop_timer_init(supervisor->loop, &child->silence);
    return child;
}

int child_spawn(struct supervisor_slot *slot, struct supervisor_child **result)
{
    struct supervisor_child *child = child_new(slot);
    if (!child)
        return -ENOMEM;
    int error = spawn(child);
    if (error) {
        free(child);
        return error;
    }
    child->pid = child->process.pid;
    slot->supervisor->started++;
    list_append(&slot->supervisor->children, &child->link);
    loop_timer_start(&child->deadline, slot->supervisor->options.ready_ns, 0, on_deadline);
    loop_read_start(&child->control.stream, on_control);
    *result = child;
    return 0;
}
