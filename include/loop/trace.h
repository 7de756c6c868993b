/* Public. Tracing: every turn, phase, callback and sleep, as it happens.
 *
 * With nobody watching it costs one predictable branch per callback. LOOP_TRACE=text and
 * LOOP_TRACE=chrome:FILE in the environment trace any program that links libloop, without a change
 * to it.
 *
 * A trace is a sink for events: a ring in memory, the text timeline, a Chrome trace for Perfetto,
 * or your own. A loop may have several; each sees every event, in order, on the loop's thread. A
 * sink must not call the loop.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TRACE_H
#define LOOP_TRACE_H

#include "core.h"

enum loop_trace_kind {
    LOOP_TRACE_TURN,           /* a turn begins */
    LOOP_TRACE_PHASE,          /* a phase begins */
    LOOP_TRACE_CALLBACK_BEGIN, /* detail: how late a timer is, ns */
    LOOP_TRACE_CALLBACK_END,
    LOOP_TRACE_POLL_BEGIN,   /* reason; detail: ns it may sleep, 0: not at all, -1: no bound */
    LOOP_TRACE_POLL_END,     /* detail: events that were ready */
    LOOP_TRACE_STARTED,      /* a handle became active; detail: ns to a timer's deadline */
    LOOP_TRACE_STOPPED,      /* a handle became inactive */
    LOOP_TRACE_CLOSING,      /* loop_close() */
    LOOP_TRACE_CLOSED,       /* the handle's memory is the caller's again, after its callback */
    LOOP_TRACE_QUEUED,       /* a task was queued */
    LOOP_TRACE_SUBMITTED,    /* a request was started */
    LOOP_TRACE_WORK_STARTED, /* a thread of the pool took it; detail: the thread's number */
    LOOP_TRACE_WORK_DONE,    /* and is done with it */
    LOOP_TRACE_RUN_BEGIN,    /* loop_run() was called */
    LOOP_TRACE_RUN_END,      /* loop_run() returns; detail: what it returns */
};

/* Why poll may sleep only so long. */
enum loop_poll_reason {
    LOOP_POLL_NOWAIT,    /* 0: the mode, or loop_stop(), says not to wait */
    LOOP_POLL_IDLE,      /* 0: an idle hook is active */
    LOOP_POLL_TASK,      /* 0: an immediate is queued */
    LOOP_POLL_POSTED,    /* 0: another thread has posted something, or the pool has */
    LOOP_POLL_PENDING,   /* 0: a completion is pending */
    LOOP_POLL_CLOSING,   /* 0: a handle is closing */
    LOOP_POLL_NOT_ALIVE, /* 0: nothing is left to wait for */
    LOOP_POLL_LOST,      /* 0: a handle must be told that its descriptor was closed */
    LOOP_POLL_TIMER,     /* until the next timer */
    LOOP_POLL_EVENTS,    /* no bound: only descriptors, other threads and work can wake it */
};

struct loop_trace_event {
    uint64_t time_ns;       /* on the loop's clock: when it happened */
    uint64_t turn;          /* in which turn; 0: before the first */
    int64_t detail;         /* by kind */
    const char *type;       /* "timer", "tick", "fs"…: of the handle, task or request; or NULL */
    loop_function callback; /* of the handle, task or request, as far as known */
    loop_function cause;    /* the callback that started it; NULL: none */
    uint32_t id;            /* of the handle, task or request; 0: none */
    uint8_t kind;           /* enum loop_trace_kind */
    uint8_t phase;          /* enum loop_phase */
    uint8_t reason;         /* enum loop_poll_reason */
};

struct loop_trace;
typedef void (*loop_trace_cb)(struct loop_trace *trace, const struct loop_trace_event *event);

struct loop_trace {
    void *data; /* yours */

    /* private */
    loop_trace_cb emit;
    struct loop_trace *next;
};

/* Has emit called for every event from now on. trace is the caller's memory, lent until it is
 * removed. */
LOOP_API void loop_trace_add(struct loop *loop, struct loop_trace *trace, loop_trace_cb emit);
LOOP_API void loop_trace_remove(struct loop *loop, struct loop_trace *trace);

/* The last events, in the caller's memory. */
struct loop_trace_ring {
    struct loop_trace trace;

    /* read-only */
    struct loop_trace_event *events;
    size_t size;
    uint64_t count; /* events seen; the newest is events[(count - 1) % size] */
};

LOOP_API void loop_trace_ring(struct loop *loop, struct loop_trace_ring *ring,
                              struct loop_trace_event *events, size_t size);

/* A timeline as text, one lane per phase, written to a descriptor of the caller's as things happen.
 * colour: with ANSI colours and box drawing. Also counts, for a summary. */
struct loop_trace_text {
    struct loop_trace trace;

    /* read-only */
    uint64_t turns;
    uint64_t callbacks[8]; /* by enum loop_phase; ticks and microtasks apart */
    uint64_t tasks;        /* ticks and microtasks */
    uint64_t asleep_ns;
    uint64_t awake_ns;

    uint64_t pause_ns; /* yours: after each line, for the eye */

    /* private */
    int fd;
    bool colour;
    bool started;       /* start_ns is known */
    bool lane_open;     /* the lane's name has been printed */
    bool may_sleep;     /* said the last poll */
    uint64_t start_ns;  /* of the first event */
    uint64_t last_ns;   /* since when the loop has been awake */
    uint64_t poll_ns;   /* when poll began */
    uint64_t work_ns;   /* when a thread took the work whose callback comes next */
    uint64_t worked_ns; /* how long it took */
    uint32_t work_id;   /* whose work that was */
    int64_t worker;     /* which thread's */
};

LOOP_API void loop_trace_text(struct loop *loop, struct loop_trace_text *text, int fd, bool colour);

/* The summary as text: turns, callbacks per phase, time asleep and awake. */
LOOP_API void loop_trace_text_summary(struct loop_trace_text *text);

/* A Chrome trace (JSON), written to a descriptor of the caller's, which must stay open until it is
 * finished: open it in Perfetto or speedscope. */
struct loop_trace_chrome {
    struct loop_trace trace;

    /* private */
    int fd;
    int error; /* the first of write(2) */
    bool in_turn;
    bool in_phase;
    unsigned depth;   /* slices of the loop's track that are open */
    uint64_t last_ns; /* when one began or ended last */
    size_t used;
    char buffer[4096];
};

LOOP_API void loop_trace_chrome(struct loop *loop, struct loop_trace_chrome *chrome, int fd);

/* Ends the JSON; call it after loop_trace_remove(). Errors: what write(2) met on the way, such as
 * -ENOSPC. */
LOOP_API int loop_trace_chrome_finish(struct loop_trace_chrome *chrome);

/* The name of a function, found in the symbol tables of the program and its libraries, static
 * functions too; copied into name, cut at size. "?" where there is none. Slow the first time. Any
 * thread. */
LOOP_API void loop_function_name(loop_function function, char *name, size_t size);

/* "timer", "an idle hook is active"…: the reason as words. */
LOOP_API const char *loop_poll_reason_text(enum loop_poll_reason reason);

#endif
