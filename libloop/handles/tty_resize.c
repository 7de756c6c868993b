/* Terminals whose size changes: SIGWINCH, brought to the loops.
 *
 * The signal comes to one thread of the process, whichever, and says only that some terminal may
 * have another size. So each loop that asked looks at its own terminal, on its own thread in the
 * poll phase, and calls back if the size is another. Bringing the signal there is what a signal
 * handle is for. It is one that no walk meets and that keeps nothing alive.
 *
 * A handler that the program had for the signal is called too: a program that draws on terminals
 * may well have one, and a terminal that is asked for its size takes nothing away from it.
 *
 * Alternative not taken: asking for the size every so often.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/tty.h"

struct loop_tty_resize {
    struct loop_signal signal;
    struct loop_tty *tty;
    loop_tty_resize_cb cb;
    unsigned columns, rows; /* as last told */
};

static void look(struct loop_signal *signal, int number)
{
    struct loop_tty_resize *resize = loop_container_of(signal, struct loop_tty_resize, signal);
    unsigned columns, rows;
    (void)number;
    if (loop_tty_size(resize->tty, &columns, &rows) < 0 ||
        (columns == resize->columns && rows == resize->rows))
        return;
    resize->columns = columns;
    resize->rows = rows;
    resize->cb(resize->tty, columns, rows); /* we are inside the signal's door */
}

/* A stopped signal handle is not known to the loop any more. */
void tty_resize_release(struct loop_tty *tty)
{
    struct loop_tty_resize *resize = tty->resize;
    if (!resize)
        return;
    tty->resize = NULL;
    loop_signal_stop(&resize->signal);
    memory_resize(&tty->handle.loop->options.allocator, resize, 0);
}

/* The loop does not count it, and does not show it. */
static int make(struct loop_tty *tty, struct loop_tty_resize **made)
{
    struct loop *loop = tty->handle.loop;
    struct loop_tty_resize *resize = memory_resize(&loop->options.allocator, NULL, sizeof(*resize));
    if (!resize)
        return -ENOMEM;
    resize->tty = tty;
    loop_signal_init(loop, &resize->signal);
    loop_unref(&resize->signal.handle);
    resize->signal.passes_on = true;
    int error = loop_signal_start(&resize->signal, SIGWINCH, look);
    if (error) {
        memory_resize(&loop->options.allocator, resize, 0);
        return error;
    }
    list_remove(&resize->signal.handle.link);
    *made = resize;
    return 0;
}

int loop_tty_on_resize(struct loop_tty *tty, loop_tty_resize_cb cb)
{
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
    tty->resize->cb = cb;
    tty->resize->columns = columns;
    tty->resize->rows = rows;
    return 0;
}
