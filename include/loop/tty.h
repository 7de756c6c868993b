/* Public. Terminals: streams that somebody types into. See loop/stream.h for all that streams do.
 *
 * The mode belongs to the terminal, and outlives the program: one that ends in raw mode leaves a
 * shell that does not echo. So a terminal that was set to raw or cbreak becomes again what it was
 * when the handle is closed or detached, at exit(), at a panic, at abort(), and when one of SIGINT,
 * SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL ends the program. For the
 * last, handlers are installed while some terminal is not normal, for those of these signals that
 * have no handler and are not ignored; handlers of the program's own are left alone, and may call
 * loop_tty_restore(). Only _exit(), SIGKILL and other signals leave the terminal as it is. A forked
 * child that ends or closes its copies of the handles does not touch the mode its parent has set.
 *
 * The end: Ctrl-D at the beginning of a line in normal mode is LOOP_EOF, and reading may be started
 * again; a terminal whose other end is closed is LOOP_EOF each time (what read(2) calls EIO at the
 * master's end included), and writing to it is -EIO.
 *
 * Errors common to all: as those of loop/stream.h.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TTY_H
#define LOOP_TTY_H

#include "stream.h"

struct loop_tty;
struct loop_tty_claim;
struct loop_tty_resize;

enum loop_tty_mode {
    LOOP_TTY_NORMAL, /* as it was before: lines, edited and echoed by the terminal */
    LOOP_TTY_CBREAK, /* each key at once and without echo; Ctrl-C and the like are signals still */
    LOOP_TTY_RAW,    /* each byte as it comes, Ctrl-C included; a new line is written "\r\n" */
};

/* Comes in the poll phase, with the new size in characters. */
typedef void (*loop_tty_resize_cb)(struct loop_tty *tty, unsigned columns, unsigned rows);

struct loop_tty {
    union {
        struct loop_handle handle;
        struct loop_stream stream;
    };

    /* private */
    struct loop_tty_claim *claim;   /* to a mode that is not normal; or NULL */
    struct loop_tty_resize *resize; /* who is told of a new size; or NULL */
};

/* Makes a terminal handle in the caller's memory; opens nothing. */
LOOP_API void loop_tty_init(struct loop *loop, struct loop_tty *tty);

/* Opens the terminal that fd is. fd stays the caller's, to close whenever it likes: the handle has
 * a descriptor of its own, for reading, writing or both as fd is. Where the terminal can be opened
 * anew that leaves fd as it is. Where not (the master's end of a pty, a terminal of another user)
 * it is a duplicate, and so fd, and who else shares it, becomes non-blocking until the handle is
 * closed or detached. Errors: -EBUSY (open already), -ENOTTY (fd is no terminal), -EBADF, -EIO (the
 * other end is closed), -EMFILE, -ENFILE. */
LOOP_API int loop_tty_open(struct loop_tty *tty, int fd);

/* Sets the mode, at once: what waits to be written here will be written in the new mode. Two
 * handles of one terminal, for input and output, need only one call; it is normal again when both
 * have been set to normal or closed. After the program was stopped and continued (SIGCONT) the
 * shell has set a mode of its own: call this again. A program in the background is stopped by it
 * (SIGTTOU), as by tcsetattr(3). Errors: -ENOMEM, -EINTR (in the background, where the
 * program has a handler for SIGTTOU), -EIO, with the mode as it was. */
LOOP_API int loop_tty_set_mode(struct loop_tty *tty, enum loop_tty_mode mode);

/* Makes every terminal what it was, whoever's loop it is in. For signal handlers of the program's
 * own and for calls of _exit(): any thread, any handler, any number of times. The handles are as
 * before, so a later loop_tty_set_mode() sets their mode again. */
LOOP_API void loop_tty_restore(void);

/* The size of the terminal in characters; 0 if it does not know, as on a serial line. */
LOOP_API int loop_tty_size(const struct loop_tty *tty, unsigned *columns, unsigned *rows);

/* Calls cb when the size is not what it was at this call or at the last callback. NULL: no more.
 * The kernel tells (SIGWINCH) those whose controlling terminal it is. A handler for SIGWINCH is
 * installed with the first of these and removed with the last; it calls the one that was there
 * before, unless a loop_signal is started for it too, and one that the program installs later must
 * call ours. Does not keep the loop alive. Errors: -ENOMEM, -EMFILE, -ENFILE. */
LOOP_API int loop_tty_on_resize(struct loop_tty *tty, loop_tty_resize_cb cb);

#endif
