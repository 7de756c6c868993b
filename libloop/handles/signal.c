/* Signal handles: what the process was sent, told on the loop's own thread.
 *
 * All handles of a loop share one cell, which has the loop's eventfd and is made with the first of
 * them and freed with the last. The handler (signal_catch.c) marks signals in the cell and wakes
 * the loop; here the marks are taken all at once, and the handles that want one are called, in the
 * order in which they were started. The watcher is one of those that are dispatched last, so a
 * callback sees all that was done before the signal was told.
 *
 * Take the list, then run it: a handle started in a callback waits for the next signal, one that is
 * stopped is not told. So the cell must outlive the callbacks of its own handles.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/signal.h"

static bool may_be_caught(int number)
{
    static const int not_ours[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,
                                   SIGFPE,  SIGILL,  SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof(not_ours) / sizeof(*not_ours); i++)
        if (number == not_ours[i])
            return false;
    return number >= 1 && number <= SIGNAL_MAX;
}

static struct loop_signal *signal_of(struct loop_link *link)
{
    return loop_container_of(link, struct loop_signal, link);
}

static void release(struct loop_signal_cell *cell)
{
    if (cell->count > 0 || cell->telling)
        return;
    signals_leave(cell);
    watcher_stop(cell->loop, &cell->wake);
    sys_close(cell->wake.fd);
    memory_resize(&cell->loop->options.allocator, cell, 0);
}

/* Off its cell, which may be gone then. */
static void leave(struct loop_signal *signal)
{
    struct loop_signal_cell *cell = signal->cell;
    list_remove(&signal->link);
    signals_unwant(cell, signal->number, signal->passes_on);
    signal->cell = NULL;
    cell->count--;
    release(cell);
}

static void tell(struct loop *loop, struct loop_signal *signal)
{
    int number = signal->number;
    struct subject subject = handle_subject(&signal->handle, (loop_function)signal->cb);
    if (signal->once)
        loop_signal_stop(signal);
    callback_begin(loop, subject, number);
    signal->cb(signal, number);
    callback_end(loop);
}

static void ready(struct loop_watcher *watcher, int status, uint32_t events)
{
    struct loop_signal_cell *cell = loop_container_of(watcher, struct loop_signal_cell, wake);
    struct loop_link *link;
    (void)status;
    (void)events;
    sys_eventfd_clear(watcher->fd); /* before the marks are taken: a later one wakes us again */
    uint64_t come = atomic_swap(&cell->pending, 0);
    list_take(&cell->handles, &cell->due);
    cell->telling = true;
    while ((link = list_pop(&cell->due))) {
        list_append(&cell->told, link);
        if (come & signal_bit(signal_of(link)->number))
            tell(cell->loop, signal_of(link));
    }
    list_prepend_all(&cell->handles, &cell->told);
    cell->telling = false;
    release(cell);
}

/* The loop's cell: the one it has, or a new one. */
static int obtain(struct loop *loop, struct loop_signal_cell **found)
{
    const struct loop_allocator *allocator = &loop->options.allocator;
    struct loop_signal_cell *cell = *found = signals_find(loop);
    if (cell)
        return 0;
    int fd = sys_eventfd();
    if (fd < 0)
        return fd;
    int error = -ENOMEM;
    cell = memory_resize(allocator, NULL, sizeof(*cell));
    if (cell) {
        *cell = (struct loop_signal_cell){.loop = loop};
        list_init(&cell->handles);
        list_init(&cell->due);
        list_init(&cell->told);
        watcher_init(&cell->wake, fd, ready);
        cell->wake.last = true;
        error = watcher_start(loop, &cell->wake, EPOLLIN);
    }
    if (error) {
        memory_resize(allocator, cell, 0);
        sys_close(fd);
        return error;
    }
    signals_enter(cell);
    *found = cell;
    return 0;
}

static int start(struct loop_signal *signal, int number, loop_signal_cb cb, bool once)
{
    struct loop_signal_cell *cell;
    if (!signal || !cb || !may_be_caught(number))
        return -EINVAL;
    struct loop_handle *handle = &signal->handle;
    int error = handle_usable(handle);
    if (!error)
        error = obtain(handle->loop, &cell);
    if (error)
        return error;
    error = signals_want(cell, number, signal->passes_on);
    if (error) {
        release(cell);
        return error;
    }
    cell->count++;
    if (signal->cell)
        leave(signal);
    signal->cell = cell;
    signal->number = number;
    signal->cb = cb;
    signal->once = once;
    list_append(&cell->handles, &signal->link);
    if (!handle_is_active(handle))
        list_append(&handle->loop->handles, &handle->link);
    handle_start(handle);
    trace(handle->loop, LOOP_TRACE_STARTED, handle_subject(handle, (loop_function)cb), number);
    return 0;
}

int loop_signal_start(struct loop_signal *signal, int number, loop_signal_cb cb)
{
    return start(signal, number, cb, false);
}

int loop_signal_start_once(struct loop_signal *signal, int number, loop_signal_cb cb)
{
    return start(signal, number, cb, true);
}

void loop_signal_stop(struct loop_signal *signal)
{
    if (handle_usable(&signal->handle) < 0 || !handle_is_active(&signal->handle))
        return;
    leave(signal);
    list_remove(&signal->handle.link);
    handle_stop(&signal->handle);
}

static void stop(struct loop_handle *handle)
{
    loop_signal_stop(loop_container_of(handle, struct loop_signal, handle));
}

void loop_signal_init(struct loop *loop, struct loop_signal *signal)
{
    static const struct loop_handle_ops ops = {.type = "signal", .stop = stop};
    handle_init(loop, &signal->handle, &ops);
    signal->number = 0;
    signal->cell = NULL;
    list_init(&signal->link);
    signal->cb = NULL;
    signal->once = signal->passes_on = false;
}
