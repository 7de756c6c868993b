/* A worker: the other end of the supervisor's control socket.
 *
 * It says that it lives from a timer of its loop, so that what is told is that the loop turns, not
 * that the process exists: a callback that never returns is what a supervisor is there to notice.
 * Nothing here keeps the loop alive; when all connections have been served, the loop is over.
 *
 * The end of the control socket is the end of the supervisor. A worker then finishes too, so that
 * whoever starts the next supervisor finds the ports free.
 *
 * SPDX-License-Identifier: MIT */
#include "workers/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct calling {
    unsigned slot;
    unsigned listeners;
    unsigned long long beat_ms;
};

static bool read_calling(struct calling *calling)
{
    const char *text = getenv(WORKER_VARIABLE);
    return text &&
           sscanf(text, "%u:%u:%llu", &calling->slot, &calling->listeners, &calling->beat_ms) == 3;
}

bool loop_worker_called(void)
{
    struct calling calling;
    return read_calling(&calling);
}

static void drain(struct loop_worker *worker)
{
    if (worker->draining)
        return;
    worker->draining = true;
    worker->on_drain(worker);
}

static void on_control(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct loop_worker *worker = loop_container_of(stream, struct loop_worker, control.stream);
    if (size < 0) {
        loop_read_stop(stream);
        loop_timer_stop(&worker->beat);
    }
    if (size < 0 || *(const char *)bytes == WORKER_HEARS_DRAIN)
        drain(worker);
}

static void on_terminate(struct loop_signal *signal, int number)
{
    (void)number;
    drain(loop_container_of(signal, struct loop_worker, terminate));
}

/* Full means that the supervisor does not read, and then it need not know. */
static void on_beat(struct loop_timer *timer)
{
    static const char word = WORKER_SAYS_ALIVE;
    struct loop_worker *worker = loop_container_of(timer, struct loop_worker, beat);
    const struct loop_buf buf = {.bytes = &word, .size = 1};
    loop_try_write(&worker->control.stream, &buf, 1);
}

/* Not for a program that this one starts. */
static void keep_from_children(const struct calling *calling)
{
    for (unsigned i = 0; i < calling->listeners; i++)
        fcntl(WORKER_FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
    fcntl(WORKER_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    unsetenv(WORKER_VARIABLE);
}

static int start_handles(struct loop_worker *worker, const struct calling *calling)
{
    int error = loop_signal_start(&worker->terminate, SIGTERM, on_terminate);
    if (!error)
        error = loop_read_start(&worker->control.stream, on_control);
    if (!error)
        error = loop_timer_start(&worker->beat, 0, calling->beat_ms * LOOP_MS, on_beat);
    loop_unref(&worker->terminate.handle);
    loop_unref(&worker->control.handle);
    loop_unref(&worker->beat.handle);
    return error;
}

int loop_worker_start(struct loop *loop, struct loop_worker *worker, loop_worker_drain_cb on_drain)
{
    struct calling calling;
    if (!loop || !worker || !on_drain)
        return -EINVAL;
    if (!read_calling(&calling))
        return -ENOTCONN;
    *worker = (struct loop_worker){.data = worker->data,
                                   .loop = loop,
                                   .slot = calling.slot,
                                   .listeners = calling.listeners,
                                   .on_drain = on_drain};
    loop_pipe_init(loop, &worker->control);
    loop_timer_init(loop, &worker->beat);
    loop_signal_init(loop, &worker->terminate);
    int error = loop_pipe_open(&worker->control, WORKER_CONTROL_FD);
    if (error)
        return error;
    keep_from_children(&calling);
    error = start_handles(worker, &calling);
    if (error)
        loop_worker_close(worker);
    return error;
}

int loop_worker_socket(const struct loop_worker *worker, unsigned listener)
{
    return listener < worker->listeners ? WORKER_FIRST_FD + (int)listener : -EINVAL;
}

int loop_worker_ready(struct loop_worker *worker)
{
    static const char word = WORKER_SAYS_READY;
    return loop_write_copy(&worker->control.stream, &word, 1);
}

void loop_worker_close(struct loop_worker *worker)
{
    if (loop_is_closing(&worker->control.handle))
        return;
    loop_close(&worker->control.handle, NULL);
    loop_close(&worker->beat.handle, NULL);
    loop_close(&worker->terminate.handle, NULL);
}
