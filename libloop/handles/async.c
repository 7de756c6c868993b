/* Async handles: wake the loop from any thread.
 *
 * What a sender holds is not the handle but a waker, a cell with a count of its holders, and
 * sending is one atomic operation on the cell's state:
 *
 *     PENDING set already, CLOSED not    the callback is still to come: nothing to do
 *     neither set                        this sender pushes the cell into the loop's mailbox
 *     CLOSED set                         -ECANCELED
 *
 * The operation is always a read-modify-write, even when PENDING seems to be set. A mere look would
 * be cheaper and wrong: a processor may do it before the sender's own writes have left its store
 * buffer, the loop may then clear the flag and run the callback on old data, and nobody would wake
 * it again. libuv looks first, and loses wake-ups. [DOC: rmw]
 *
 * The loop clears PENDING before the callback, so what is sent during it is not lost either.
 * Closing sets CLOSED and waits for nobody.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

enum { PENDING = 1, CLOSED = 2 };

struct loop_waker {
    struct loop_parcel parcel;
    uint32_t holders; /* the handle, senders, and the mailbox while the parcel is in it */
    uint32_t state;
    struct loop_mailbox *mailbox;
    struct loop_async *async; /* for the loop's thread, while not CLOSED */
};

static void stop(struct loop_handle *handle)
{
    struct loop_async *async = loop_container_of(handle, struct loop_async, handle);
    atomic_or(&async->waker->state, CLOSED);
    list_remove(&handle->link);
    handle_stop(handle);
}

static void finish(struct loop_handle *handle)
{
    struct loop_async *async = loop_container_of(handle, struct loop_async, handle);
    loop_waker_release(async->waker);
    async->waker = NULL;
}

static void deliver(struct loop *loop, struct loop_parcel *parcel)
{
    struct loop_waker *waker = loop_container_of(parcel, struct loop_waker, parcel);
    bool closed = atomic_and(&waker->state, ~(uint32_t)PENDING) & CLOSED;
    struct loop_async *async = waker->async;
    loop_waker_release(waker);
    if (!loop || closed)
        return;
    callback_begin(loop, handle_subject(&async->handle, (loop_function)async->cb), 0);
    async->cb(async);
    callback_end(loop);
}

int loop_async_init(struct loop *loop, struct loop_async *async, loop_async_cb cb)
{
    static const struct loop_handle_ops ops = {.type = "async", .stop = stop, .finish = finish};
    if (!loop || !async || !cb)
        return -EINVAL;
    struct loop_waker *waker = memory_resize(&loop->options.allocator, NULL, sizeof(*waker));
    if (!waker)
        return -ENOMEM;
    *waker = (struct loop_waker){.parcel.deliver = deliver,
                                 .holders = 1,
                                 .mailbox = mailbox_retain(loop->mailbox),
                                 .async = async};
    handle_init(loop, &async->handle, &ops);
    async->waker = waker;
    async->cb = cb;
    list_append(&loop->handles, &async->handle.link);
    handle_start(&async->handle);
    trace(loop, LOOP_TRACE_STARTED, handle_subject(&async->handle, (loop_function)cb), 0);
    return 0;
}

/* Behind the push nothing is touched: the callback may be to close the handle, and end the loop. */
int loop_waker_send(struct loop_waker *waker)
{
    uint32_t before = atomic_or(&waker->state, PENDING);
    if (before & CLOSED)
        return -ECANCELED;
    if (before & PENDING)
        return 0;
    loop_waker_retain(waker);
    post_push(waker->mailbox, &waker->parcel);
    return 0;
}

int loop_async_send(struct loop_async *async)
{
    return async->waker ? loop_waker_send(async->waker) : -ECANCELED;
}

struct loop_waker *loop_async_waker(struct loop_async *async)
{
    return loop_waker_retain(async->waker);
}

struct loop_waker *loop_waker_retain(struct loop_waker *waker)
{
    atomic_add(&waker->holders, 1);
    return waker;
}

void loop_waker_release(struct loop_waker *waker)
{
    if (!waker || atomic_sub(&waker->holders, 1) > 1)
        return;
    struct loop_mailbox *mailbox = waker->mailbox;
    memory_resize(mailbox_allocator(mailbox), waker, 0);
    mailbox_release(mailbox);
}
