/* The end of a server: two signals, a callback and a deadline.
 *
 * The first signal gives SIGINT and SIGTERM back before the program is called. So a second one ends
 * the process whatever the loop is doing, and nobody has to write that part, in which a mistake
 * means kill -9.
 *
 * The deadline keeps nothing alive: a server whose last connection has ended leaves loop_run() at
 * once. When it comes it closes what it finds, once. Requests that belong to no handle, such as
 * work on the pool, end by themselves.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

static void close_left(struct loop_handle *handle, void *arg)
{
    const struct loop_graceful *graceful = arg;
    if (graceful->close)
        graceful->close(handle, graceful->data);
    else
        loop_close(handle, NULL);
}

static void on_deadline(struct loop_timer *timer)
{
    struct loop_graceful *graceful = loop_container_of(timer, struct loop_graceful, deadline);
    struct loop *loop = graceful->loop;
    callback_begin(loop, handle_subject(&timer->handle, (loop_function)graceful->close), 0);
    loop_walk(loop, close_left, graceful);
    callback_end(loop);
}

static void come(struct loop_graceful *graceful, int number)
{
    loop_signal_stop(&graceful->interrupt);
    loop_signal_stop(&graceful->terminate);
    graceful->number = number;
    deadline_by(&graceful->deadline, deadline_after(graceful->loop, graceful->drain_ns));
    graceful->cb(graceful, number);
}

static void on_interrupt(struct loop_signal *signal, int number)
{
    come(loop_container_of(signal, struct loop_graceful, interrupt), number);
}

static void on_terminate(struct loop_signal *signal, int number)
{
    come(loop_container_of(signal, struct loop_graceful, terminate), number);
}

int loop_graceful_start(struct loop *loop, struct loop_graceful *graceful, uint64_t drain_ns,
                        loop_graceful_cb cb, loop_walk_cb close)
{
    if (!loop || !graceful || !cb)
        return -EINVAL;
    graceful->loop = loop;
    graceful->number = 0;
    graceful->drain_ns = drain_ns;
    graceful->cb = cb;
    graceful->close = close;
    loop_signal_init(loop, &graceful->interrupt);
    loop_signal_init(loop, &graceful->terminate);
    deadline_init(loop, &graceful->deadline, on_deadline);
    int error = loop_signal_start(&graceful->interrupt, SIGINT, on_interrupt);
    if (!error)
        error = loop_signal_start(&graceful->terminate, SIGTERM, on_terminate);
    if (error) {
        loop_signal_stop(&graceful->interrupt);
        return error;
    }
    loop_unref(&graceful->interrupt.handle);
    loop_unref(&graceful->terminate.handle);
    return 0;
}

void loop_graceful_stop(struct loop_graceful *graceful)
{
    loop_signal_stop(&graceful->interrupt);
    loop_signal_stop(&graceful->terminate);
    loop_timer_stop(&graceful->deadline);
}
