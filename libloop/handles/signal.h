/* Internal. What the handles of a loop and the one handler of the process share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_SIGNAL_H
#define LOOP_HANDLES_SIGNAL_H

#include "callback.h"

enum { SIGNAL_MAX = 64 }; /* the last that Linux has */

/* A loop that waits for signals, as the handler sees it. */
struct loop_signal_cell {
    struct loop_link link;      /* among all cells: changed under both locks */
    uint64_t wanted;            /* a bit for each signal: changed under both locks */
    uint64_t pending;           /* come, and not told yet; any thread */
    struct loop_watcher wake;   /* an eventfd */
    struct loop *loop;          /* this, and what follows, for its own thread alone */
    struct loop_link handles;   /* started, in that order */
    struct loop_link due;       /* to be looked at now */
    struct loop_link told;      /* have been looked at now */
    uint32_t count;             /* of all these handles */
    bool telling;               /* their callbacks are running */
    uint32_t users[SIGNAL_MAX]; /* handles that want the signal */
};

static inline uint64_t signal_bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* signal_catch.c */

struct loop_signal_cell *signals_find(const struct loop *loop); /* NULL: it has no cell */
void signals_enter(struct loop_signal_cell *cell);
void signals_leave(struct loop_signal_cell *cell); /* it wants no signal any more */
int signals_want(struct loop_signal_cell *cell, int number, bool passes_on);
void signals_unwant(struct loop_signal_cell *cell, int number, bool passes_on);

#endif
