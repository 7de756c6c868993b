/* Terminals whose size changes: SIGWINCH, brought to the loops.
 *
 * The signal comes to one thread of the process, whichever, and says only that some terminal may
 * have another size. The handler therefore wakes every loop that asked; each looks at its own
 * terminal, on its own thread in the poll phase, and calls back if the size is another. Waking is
 * what an async handle is for. It is one that no walk meets, and lies in memory of its own, since
 * it closes later than the terminal can be detached.
 *
 * The handler replaces the program's, if it had one, and calls it. It is taken away with the last
 * who asked, unless the program has put another in its place, which may then call ours: in that
 * case it stays for good, and is not installed twice.
 *
 * Alternatives not taken: signalfd, for which the signal would have to be blocked in every thread;
 * asking for the size every so often.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/tty.h"

struct loop_tty_resize {
    struct loop_async async;
    struct loop_link link; /* on watching */
    struct loop_tty *tty;
    loop_tty_resize_cb cb;
    unsigned columns, rows; /* as last told */
};

static struct loop_link watching = {&watching, &watching};
static uint32_t watching_lock;
static bool installed;
static struct sigaction previous;

static void wake_all(void)
{
    sigset_t before = tty_lock(&watching_lock);
    for (struct loop_link *link = watching.next; link != &watching; link = link->next)
        loop_waker_send(loop_container_of(link, struct loop_tty_resize, link)->async.waker);
    tty_unlock(&watching_lock, before);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    wake_all();
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(number, info, context);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(number);
}

static bool is_ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_signal;
}

/* What the program said of its handler holds for ours; without one, no call is interrupted. */
static void install(void)
{
    if (installed)
        return;
    sys_sigaction(SIGWINCH, NULL, &previous);
    bool handled = previous.sa_flags & SA_SIGINFO ||
                   (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN);
    struct sigaction action = {.sa_mask = previous.sa_mask,
                               .sa_flags = handled ? previous.sa_flags : SA_RESTART};
    action.sa_sigaction = on_signal;
    action.sa_flags |= SA_SIGINFO;
    installed = sys_sigaction(SIGWINCH, &action, NULL) == 0;
}

static void uninstall(void)
{
    struct sigaction now;
    sys_sigaction(SIGWINCH, NULL, &now);
    if (!is_ours(&now))
        return;
    sys_sigaction(SIGWINCH, &previous, NULL);
    installed = false;
}

static void unlock_in_child(void)
{
    atomic_put(&watching_lock, 0);
}

static void prepare(void)
{
    sys_at_fork_in_child(unlock_in_child);
}

static void look(struct loop_async *async)
{
    struct loop_tty_resize *resize = loop_container_of(async, struct loop_tty_resize, async);
    unsigned columns, rows;
    if (loop_tty_size(resize->tty, &columns, &rows) < 0 ||
        (columns == resize->columns && rows == resize->rows))
        return;
    resize->columns = columns;
    resize->rows = rows;
    resize->cb(resize->tty, columns, rows); /* we are inside the async's door */
}

static void on_close(struct loop_handle *handle)
{
    struct loop_tty_resize *resize =
        loop_container_of(handle, struct loop_tty_resize, async.handle);
    memory_resize(&handle->loop->options.allocator, resize, 0);
}

void tty_resize_release(struct loop_tty *tty)
{
    struct loop_tty_resize *resize = tty->resize;
    if (!resize)
        return;
    sigset_t before = tty_lock(&watching_lock);
    list_remove(&resize->link);
    if (list_empty(&watching))
        uninstall();
    tty_unlock(&watching_lock, before);
    tty->resize = NULL;
    loop_close(&resize->async.handle, on_close);
}

/* The loop does not count it, and does not show it. */
static int make(struct loop_tty *tty, struct loop_tty_resize **made)
{
    struct loop *loop = tty->handle.loop;
    struct loop_tty_resize *resize = memory_resize(&loop->options.allocator, NULL, sizeof(*resize));
    if (!resize)
        return -ENOMEM;
    int error = loop_async_init(loop, &resize->async, look);
    if (error) {
        memory_resize(&loop->options.allocator, resize, 0);
        return error;
    }
    loop_unref(&resize->async.handle);
    list_remove(&resize->async.handle.link);
    list_init(&resize->link);
    resize->tty = tty;
    *made = resize;
    return 0;
}

int loop_tty_on_resize(struct loop_tty *tty, loop_tty_resize_cb cb)
{
    static sys_once prepared = SYS_ONCE;
    unsigned columns, rows;
    int error = loop_tty_size(tty, &columns, &rows);
    if (!error && cb && !tty->resize)
        error = make(tty, &tty->resize);
    if (error)
        return error;
    if (!cb) {
        tty_resize_release(tty);
        return 0;
    }
    sys_call_once(&prepared, prepare);
    tty->resize->cb = cb;
    tty->resize->columns = columns;
    tty->resize->rows = rows;
    sigset_t before = tty_lock(&watching_lock);
    install();
    list_remove(&tty->resize->link);
    list_append(&watching, &tty->resize->link);
    tty_unlock(&watching_lock, before);
    return 0;
}
