/* Internal. What the files of terminals offer each other, and the lock of what they share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_TTY_H
#define LOOP_HANDLES_TTY_H

#include "internal.h"

/* tty_mode.c */

void tty_mode_release(struct loop_tty *tty); /* before its descriptor is closed */

/* tty_resize.c */

void tty_resize_release(struct loop_tty *tty);

/* A lock that signal handlers may take. Whoever holds it has every signal blocked, so that no
 * handler ever waits for the very thread that it interrupted; and does nothing in between that
 * could wait for somebody else, allocation included. */
static inline sigset_t tty_lock(uint32_t *lock)
{
    sigset_t before = sys_signals_block();
    while (atomic_swap(lock, 1))
        sys_yield();
    return before;
}

static inline void tty_unlock(uint32_t *lock, sigset_t before)
{
    atomic_put(lock, 0);
    sys_signals_restore(before);
}

#endif
