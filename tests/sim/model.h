/* Internal. The model: what waits for a callback, and what may be called back next.
 *
 * The program tells it of each thing that it starts, stops, closes; each callback asks it whether
 * it may come now. It knows the contract of order and nothing of the loop: no file of libloop/ is
 * included but the public headers.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIM_MODEL_H
#define LOOP_SIM_MODEL_H

#include "loop.h"

#include "sim.h"

enum kind {
    A_TIMER,
    AN_IDLE,
    A_PREPARE,
    A_CHECK,
    A_TICK,
    A_MICROTASK,
    AN_IMMEDIATE,
    A_POST,
    AN_ASYNC,
    A_POLL,
    A_STREAM,
    A_REQUEST,
    A_WATCH,
    A_PROCESS,
    A_SIGNAL,
    A_UDP,
    KINDS
};

/* What the model knows of a handle, a task or a request. Objects of the program begin with it. */
struct thing {
    struct thing *next;
    enum kind kind;
    unsigned number; /* its name in notes */
    bool active;     /* started, queued, in flight */
    bool unref;
    bool maybe;   /* keeps the loop alive, by what nobody is told of */
    bool unsure;  /* whether it is active is not for the program to know */
    bool closing; /* and its close callback has not come */
    bool due;     /* in the phase under way */
    uint64_t seq; /* of its start or its closing */
    uint64_t due_ns, repeat_ns;
    bool fixed_rate;
    uint64_t armed_pass; /* the timers phase in which it was armed; 0: none */
    uint64_t armed_wait;
};

void model_begin(struct loop *loop);
void model_add(struct thing *thing, enum kind kind);
void model_remove(struct thing *thing); /* and frees it */
struct thing *model_things(void);
const char *model_word(const struct thing *thing); /* for its kind */
struct thing *model_pick(unsigned kinds);          /* any that is not closing; NULL: none */
unsigned model_count(unsigned kinds);

void model_start(struct thing *thing);
void model_arm(struct thing *thing, uint64_t after_ns);
void model_stop(struct thing *thing);
void model_close(struct thing *thing);

void model_run_begins(bool whole); /* whole: LOOP_RUN_DEFAULT */
void model_run_ends(void);
void model_wait(void);
void model_woke(void);
bool model_is_quiet(void);    /* no callback has come for long */
void model_moved(void);       /* bytes have: that is progress too */
void model_call_begins(void); /* of the API: nobody may be called back in it */
void model_call_ends(void);

void model_called(struct thing *thing); /* its own callback begins */
void model_event(struct thing *thing);  /* one that the world decides about */
void model_closed(struct thing *thing); /* its close callback */
void model_check_alive(void);
bool model_sure_alive(void);

#endif
