/* Public. Signals: told in the poll phase, on the loop's own thread, where all functions may be
 * called and nothing is interrupted.
 *
 * Any number of handles, in any number of loops and threads, may wait for one signal: each is told.
 * As everywhere in Unix, signals coalesce: what comes several times before the loop looks is told
 * once, so a signal says that something has happened, never how often.
 *
 * With the first handle for a signal a handler is installed for the process, and with the last it
 * is taken away: what was there before is put back, unless the program has put something else in
 * its place meanwhile. In between the program's own handler is not called. System calls are not
 * interrupted by it (SA_RESTART), whichever thread it comes to.
 *
 * A signal that is blocked in every thread of the program does not arrive. Threads of the library
 * have all signals blocked.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIGNAL_H
#define LOOP_SIGNAL_H

#include "core.h"
#include "timer.h"

struct loop_graceful;
struct loop_signal;
struct loop_signal_cell;

/* Comes in the poll phase, behind all that was ready in the same turn, to the handles of a loop in
 * the order in which they were started. */
typedef void (*loop_signal_cb)(struct loop_signal *signal, int number);

/* Comes as loop_signal_cb, once: the program should stop accepting work and finish what it has. */
typedef void (*loop_graceful_cb)(struct loop_graceful *graceful, int number);

struct loop_signal {
    struct loop_handle handle;

    /* read-only */
    int number; /* which signal, while active */

    /* private */
    struct loop_signal_cell *cell; /* its loop's; NULL: not active */
    struct loop_link link;         /* in the cell, or alone */
    loop_signal_cb cb;
    bool once;
    bool passes_on; /* a handler that the program had is called too */
};

/* Makes a signal handle in the caller's memory; opens nothing. */
LOOP_API void loop_signal_init(struct loop *loop, struct loop_signal *signal);

/* Calls cb whenever the signal has come. The handle is active, and keeps the loop alive, until it
 * is stopped. Started again, it is as if it had been stopped before; with an error it goes on as
 * before. The first handle of a loop opens a descriptor. Errors: -EINVAL (an argument NULL; no
 * signal; SIGKILL and SIGSTOP, which nobody can catch; SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and
 * SIGSYS, which say that an instruction has failed: returning from their handler runs it again, so
 * the loop would never come to tell), -ECANCELED (closing), -EMFILE, -ENFILE, -ENOMEM. */
LOOP_API int loop_signal_start(struct loop_signal *signal, int number, loop_signal_cb cb);

/* As loop_signal_start(), for one signal: the handle is stopped before the callback. */
LOOP_API int loop_signal_start_once(struct loop_signal *signal, int number, loop_signal_cb cb);

/* No callback comes any more, not even for what has come already. Harmless if it is not active. A
 * stopped handle need not be closed. */
LOOP_API void loop_signal_stop(struct loop_signal *signal);

/* The end of a server at Ctrl-C: first SIGINT or SIGTERM calls the program, which closes its
 * listeners and lets its connections finish; what has not finished after a while is closed; a
 * second signal ends the process at once. */
struct loop_graceful {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    int number; /* of the signal that has come; 0: none */

    /* private */
    struct loop_signal interrupt;
    struct loop_signal terminate;
    struct loop_timer deadline;
    uint64_t drain_ns;
    loop_graceful_cb cb;
    loop_walk_cb close;
};

/* Waits for SIGINT and SIGTERM, without keeping the loop alive. At the first of them both get their
 * earlier meaning again, so that another ends the process even if the loop hangs; then cb comes.
 * drain_ns later, if the loop still runs, close is called for every handle that is left, as by
 * loop_walk(): NULL means loop_close(handle, NULL), which is right where close callbacks would only
 * free memory. LOOP_NEVER: no such deadline. graceful is the caller's memory, which needs no init,
 * and is lent until loop_graceful_stop() or loop_fini(). Errors: -EINVAL and as
 * loop_signal_start(). */
LOOP_API int loop_graceful_start(struct loop *loop, struct loop_graceful *graceful,
                                 uint64_t drain_ns, loop_graceful_cb cb, loop_walk_cb close);

/* Forgets the signals and the deadline. If no signal has come, it is due before loop_fini(). */
LOOP_API void loop_graceful_stop(struct loop_graceful *graceful);

#endif
