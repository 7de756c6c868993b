/* The phases, against a model of them: random programs, played twice.
 *
 * A program starts, stops, restarts, closes and unreferences timers and hooks, and queues and
 * cancels tasks, from outside the loop and from inside its callbacks. What it does next depends on
 * its seed and on the callbacks it has had. First it is played on the model, which notes each step;
 * then on the library, and each step must be the same: which call or callback, what it returned,
 * the clock, the turn, the phase, whether the loop is alive, what can be seen of the handle. The
 * clock is a virtual one, which nobody waits for.
 *
 * The model is the contract in few words. Whatever waits for a callback is in a place, with a
 * number that grows from each arrival to the next. A phase collects what is in its place, sorts it
 * by that number (timers by deadline first), and then calls what is still there under the same
 * number: what a callback adds waits for the next turn, what it removes does not run. Behind every
 * callback all ticks run, then all microtasks, until there are none. A turn is idle hooks, prepare
 * hooks, poll with posted tasks, immediates, check hooks, close callbacks, timers; LOOP_RUN_DEFAULT
 * runs the timers once before. Poll sleeps until the first deadline unless something is to be done
 * before. The loop is alive as long as a handle is closing or anything that is referenced waits.
 *
 * The model is slow and simple: an array, linear search, qsort(). It shares no code with the
 * library.
 *
 * LOOP_TEST_SEED=N in the environment plays one program, LOOP_TEST_SEEDS=N so many of each kind.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMERS = 8, /* the first is the pacemaker: see start_pacemaker() */
    HOOKS = 3,  /* of each kind */
    HANDLES = TIMERS + 3 * HOOKS,
    TASKS = 13,
    THINGS = HANDLES + TASKS, /* handles and tasks are numbered in one row */
    PACEMAKER = 0,
    DOORBELL = THINGS - 1, /* see cancel_post() */
    SEEDS = 700,
    STEPS_MAX = 16384,
    STEPS_SHOWN = 20,
};

/* --- The words of a program --- */

enum verb {
    /* to handles */
    INIT,
    FORGET, /* overwrite the memory of one that is not active, as if it had been freed */
    START,
    STOP,
    CLOSE,
    CLOSE_SILENTLY, /* with no close callback */
    REF,
    UNREF,
    /* to timers */
    AGAIN,
    SET_REPEAT,
    SET_RATE,
    /* to tasks */
    TICK,
    MICROTASK,
    IMMEDIATE,
    POST,
    CANCEL,
    TASK_REF,
    TASK_UNREF,
    /* to the loop */
    LOOP_STOP,
    BUSY, /* time passes in a callback, and it updates the clock */
    WALK,
    STOP_ALL, /* from inside loop_walk() */
    RUN,
    FINI,
    /* from the loop */
    CALLED,
    CLOSED,
};

static const char *const verb_names[] = {
    "init",          "forget",    "start", "stop",       "close",    "close silently",
    "ref",           "unref",     "again", "set repeat", "set rate", "tick",
    "microtask",     "immediate", "post",  "cancel",     "task ref", "task unref",
    "stop the loop", "busy",      "walk",  "stop all",   "run",      "fini",
    "CALLED",        "CLOSED",
};

struct act {
    enum verb verb;
    int thing;
    int cb;        /* which of two callbacks */
    uint64_t a_ns; /* a delay or a mode */
    uint64_t b_ns; /* a period */
};

enum { ACTIVE = 1, REFERENCED = 2, IS_CLOSING = 4 };

/* What was done or called back, and what could be seen then. */
struct step {
    struct act act;
    int64_t result;
    uint64_t now_ns;
    uint64_t turn;
    uint64_t due_in_ns;
    int64_t wait_ns; /* loop_backend_timeout(), outside the loop */
    enum loop_phase phase;
    unsigned state;
    bool alive;
};

/* A side on which a program is played. */
struct side {
    const char *name;
    void (*begin)(void);
    int64_t (*act)(struct act act);
    void (*look)(struct step *step);                /* at the loop */
    void (*look_at)(int handle, struct step *step); /* at a handle that is not RAW */
};

/* What the program itself knows, so that it does nothing that panics. */
enum status { RAW, LIVE, DYING, LOST, AT_REST, QUEUED, POSTED_OFF };

struct play {
    const struct side *side;
    uint64_t random;
    uint64_t seed;
    int fuel; /* callbacks that may still act: then they stop the loop */
    int running;
    size_t count;
    enum status status[THINGS];
    struct step steps[STEPS_MAX];
};

static struct play predicted;
static struct play observed;
static struct play *playing;

static bool is_timer(int thing)
{
    return thing < TIMERS;
}

static bool is_task(int thing)
{
    return thing >= HANDLES;
}

/* --- What is said when the two disagree --- */

static void name_thing(char *name, size_t size, int thing)
{
    static const char *const hooks[] = {"idle", "prepare", "check"};
    if (is_timer(thing))
        snprintf(name, size, "timer %d", thing);
    else if (is_task(thing))
        snprintf(name, size, "task %d", thing - HANDLES);
    else
        snprintf(name, size, "%s %d", hooks[(thing - TIMERS) / HOOKS], (thing - TIMERS) % HOOKS);
}

static void print_step(const struct step *step)
{
    char name[32];
    const struct act *act = &step->act;
    name_thing(name, sizeof(name), act->thing);
    print_error("    %-10s %-15s %20llu %12llu cb %d = %-4lld now %llu turn %llu %s%s",
                act->verb >= LOOP_STOP && act->verb <= FINI ? "loop" : name, verb_names[act->verb],
                (unsigned long long)act->a_ns, (unsigned long long)act->b_ns, act->cb,
                (long long)step->result, (unsigned long long)step->now_ns,
                (unsigned long long)step->turn, loop_phase_name(step->phase),
                step->alive ? " alive" : "");
    print_error("%s%s%s due in %lld wait %lld\n", step->state & ACTIVE ? " active" : "",
                step->state & REFERENCED ? " referenced" : "",
                step->state & IS_CLOSING ? " closing" : "", (long long)step->due_in_ns,
                (long long)step->wait_ns);
}

static void print_steps(const struct play *play, size_t last)
{
    size_t first = last < STEPS_SHOWN ? 0 : last + 1 - STEPS_SHOWN;
    print_error("  %s:\n", play->side->name);
    for (size_t i = first; i <= last && i < play->count; i++)
        print_step(&play->steps[i]);
}

static void disagree(size_t last)
{
    print_steps(&predicted, last);
    print_steps(&observed, last);
    fail_msg("LOOP_TEST_SEED=%llu: the library does not do what the model predicts in step %zu",
             (unsigned long long)observed.seed, last);
}

static bool same_act(const struct act *a, const struct act *b)
{
    return a->verb == b->verb && a->thing == b->thing && a->cb == b->cb && a->a_ns == b->a_ns &&
           a->b_ns == b->b_ns;
}

static bool same_step(const struct step *a, const struct step *b)
{
    return same_act(&a->act, &b->act) && a->result == b->result && a->now_ns == b->now_ns &&
           a->turn == b->turn && a->due_in_ns == b->due_in_ns && a->wait_ns == b->wait_ns &&
           a->phase == b->phase && a->state == b->state && a->alive == b->alive;
}

/* A panic or a hang ends the test program: which seed it was is said first. */
static void say_seed(const char *why)
{
    char message[128];
    int length = snprintf(message, sizeof(message), "LOOP_TEST_SEED=%llu: %s\n",
                          (unsigned long long)observed.seed, why);
    if (write(STDERR_FILENO, message, (size_t)length) < 0)
        abort();
}

static void on_panic(const char *message)
{
    (void)message;
    say_seed("a panic");
}

/* From whoever runs the tests, who finds that it takes too long. */
static void on_term(int number)
{
    (void)number;
    say_seed("it has not come to an end");
    abort();
}

/* --- The program --- */

/* splitmix64 */
static uint64_t random_number(struct play *play)
{
    uint64_t z = play->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int below(struct play *play, int limit)
{
    return (int)(random_number(play) % (uint64_t)limit);
}

static bool may_be_seen(const struct play *play, const struct act *act)
{
    enum status status = play->status[act->thing];
    return act->verb < TICK || act->verb >= CALLED ? status == LIVE || status == DYING : false;
}

static void note(struct play *play, struct act act, int64_t result)
{
    assert_true(play->count < STEPS_MAX);
    struct step *step = &play->steps[play->count];
    *step = (struct step){.act = act, .result = result};
    if (act.verb != FINI || result != 0) /* otherwise the loop is gone */
        play->side->look(step);
    if (may_be_seen(play, &act))
        play->side->look_at(act.thing, step);
    play->count++;
    if (play == &observed &&
        (play->count > predicted.count || !same_step(step, &predicted.steps[play->count - 1])))
        disagree(play->count - 1);
}

/* What the act means for what may be done next. */
static void learn(struct play *play, const struct act *act, int64_t result)
{
    enum status *status = &play->status[act->thing];
    if (act->verb == INIT)
        *status = LIVE;
    else if (act->verb == FORGET)
        *status = is_task(act->thing) ? AT_REST : RAW;
    else if (act->verb == CLOSE)
        *status = DYING;
    else if (act->verb == CLOSE_SILENTLY)
        *status = LOST; /* nobody says when its memory is ours again */
    else if (act->verb >= TICK && act->verb <= POST)
        *status = act->verb == POST ? POSTED_OFF : QUEUED;
    else if (act->verb == CANCEL && result)
        *status = AT_REST;
}

static int64_t perform(struct play *play, struct act act)
{
    play->running += act.verb == RUN;
    int64_t result = play->side->act(act);
    play->running -= act.verb == RUN;
    learn(play, &act, result);
    note(play, act, result);
    return result;
}

static bool active(struct play *play, int handle)
{
    struct step step = {0};
    play->side->look_at(handle, &step);
    return step.state & ACTIVE;
}

static bool legal(struct play *play, const struct act *act)
{
    enum status status = play->status[act->thing];
    switch (act->verb) {
    case INIT:
        return status == RAW;
    case FORGET:
        return status == AT_REST || (status == LIVE && !active(play, act->thing));
    case START:
    case STOP:
    case REF:
    case UNREF:
        return status == LIVE || status == DYING;
    case CLOSE:
    case CLOSE_SILENTLY:
    case AGAIN:
    case SET_REPEAT:
    case SET_RATE:
        return status == LIVE;
    case TICK:
    case MICROTASK:
    case IMMEDIATE:
    case POST:
        return status == AT_REST;
    case RUN:
    case FINI:
        return play->running; /* which they refuse */
    default:
        return true;
    }
}

/* Few different numbers, so that many are equal; slots of a wheel, and the ends of the clock. */
static uint64_t delay(struct play *play)
{
    static const uint64_t delays_ns[] = {
        0,           0,           1,       LOOP_MS,  LOOP_MS,           2 * LOOP_MS,
        3 * LOOP_MS, 5 * LOOP_MS, LOOP_MS, 1u << 16, (1u << 22) - 1,    LOOP_SEC / 2,
        0,           2 * LOOP_MS, 65535,   LOOP_SEC, UINT64_C(1) << 42, LOOP_NEVER,
    };
    uint64_t chosen_ns = delays_ns[below(play, (int)ARRAY_LENGTH(delays_ns))];
    if (chosen_ns == 65535)
        return random_number(play) % (8 * LOOP_MS);
    if (chosen_ns == LOOP_SEC && below(play, 20) == 0)
        return random_number(play) % (UINT64_C(1) << 60);
    return chosen_ns;
}

static uint64_t period(struct play *play)
{
    static const uint64_t periods_ns[] = {0,           0,           0,           LOOP_MS,
                                          2 * LOOP_MS, 3 * LOOP_MS, 4 * LOOP_MS, 1};
    return periods_ns[below(play, (int)ARRAY_LENGTH(periods_ns))];
}

static struct act random_act(struct play *play)
{
    static const unsigned char verbs[] = {
        START, START,      START,     START,     START,     START,    STOP,   STOP,
        CLOSE, CLOSE,      INIT,      INIT,      INIT,      REF,      UNREF,  FORGET,
        AGAIN, SET_REPEAT, SET_RATE,  TICK,      MICROTASK, TICK,     POST,   MICROTASK,
        POST,  IMMEDIATE,  IMMEDIATE, IMMEDIATE, CANCEL,    TASK_REF, WALK,   TASK_UNREF,
        BUSY,  START,      STOP,      START,     STOP,      START,    CANCEL, FORGET,
    };
    static const unsigned char rare[] = {LOOP_STOP, RUN, FINI, CLOSE_SILENTLY, STOP_ALL};
    struct act act = {.verb = verbs[below(play, (int)ARRAY_LENGTH(verbs))]};
    if (below(play, 40) == 0)
        act.verb = rare[below(play, (int)ARRAY_LENGTH(rare))];
    if (act.verb >= TICK && act.verb <= TASK_UNREF)
        act.thing = HANDLES + below(play, TASKS - 1);
    else if (act.verb == FORGET && below(play, 2))
        act.thing = HANDLES + below(play, TASKS - 1);
    else if (act.verb >= AGAIN && act.verb <= SET_RATE)
        act.thing = 1 + below(play, TIMERS - 1);
    else if (act.verb < AGAIN)
        act.thing = 1 + below(play, HANDLES - 1);
    if ((act.verb == START && is_timer(act.thing)) || act.verb == BUSY)
        act.a_ns = act.verb == BUSY ? period(play) : delay(play);
    if ((act.verb == START && is_timer(act.thing)) || act.verb == SET_REPEAT)
        act.b_ns = period(play);
    act.cb = act.verb == START || act.verb == SET_RATE ? below(play, 2) : 0;
    return act;
}

/* A post may have woken the loop, and then the next poll does not sleep, though the task be
 * gone. So that nobody has to know, another task is posted behind it, without a reference. */
static void cancel_post(struct play *play, struct act act)
{
    perform(play, act);
    perform(play, (struct act){.verb = CANCEL, .thing = DOORBELL});
    perform(play, (struct act){.verb = TASK_UNREF, .thing = DOORBELL});
    perform(play, (struct act){.verb = POST, .thing = DOORBELL});
}

static void act_at_random(struct play *play)
{
    for (int tries = 0; tries < 4; tries++) {
        struct act act = random_act(play);
        if (!legal(play, &act))
            continue;
        if (act.verb == CANCEL && play->status[act.thing] == POSTED_OFF)
            cancel_post(play, act);
        else
            perform(play, act);
        return;
    }
}

/* Time stands still while an idle hook is active, so it stops itself soon. */
static bool dawdles(struct play *play, int thing)
{
    return thing >= TIMERS && thing < TIMERS + HOOKS && play->status[thing] == LIVE &&
           below(play, 2);
}

/* From either side: the program's callback, whoever calls it. */
static void called(enum verb verb, int thing, int cb, int64_t missed)
{
    struct play *play = playing;
    if (verb == CLOSED)
        play->status[thing] = RAW;
    else if (is_task(thing))
        play->status[thing] = AT_REST;
    note(play, (struct act){.verb = verb, .thing = thing, .cb = cb}, missed);
    if (play->fuel == 0) {
        perform(play, (struct act){.verb = LOOP_STOP});
        return;
    }
    play->fuel--;
    for (int n = below(play, 4); n > 0; n--)
        act_at_random(play);
    if (verb == CALLED && dawdles(play, thing))
        perform(play, (struct act){.verb = STOP, .thing = thing});
}

static void clean_up(struct play *play)
{
    for (int thing = 0; thing < THINGS; thing++) {
        if (is_task(thing))
            perform(play, (struct act){.verb = CANCEL, .thing = thing});
        else if (play->status[thing] == LIVE)
            perform(play, (struct act){.verb = CLOSE, .thing = thing});
    }
    play->fuel = 0;
    while (perform(play, (struct act){.verb = RUN, .a_ns = LOOP_RUN_NOWAIT}) != 0)
        continue;
    perform(play, (struct act){.verb = FINI});
}

/* A timer that no one stops, every second, without a reference: no sleep is without an end. */
static void start_pacemaker(struct play *play)
{
    perform(play, (struct act){START, PACEMAKER, 0, LOOP_SEC, LOOP_SEC});
    perform(play, (struct act){.verb = UNREF, .thing = PACEMAKER});
}

/* mode: of every run, or -1: another each time. */
static void play_program(struct play *play, const struct side *side, uint64_t seed, int mode)
{
    *play = (struct play){.side = side, .seed = seed, .random = seed};
    playing = play;
    side->begin();
    for (int thing = 0; thing < THINGS; thing++) {
        play->status[thing] = is_task(thing) ? AT_REST : RAW;
        if (!is_task(thing))
            perform(play, (struct act){.verb = INIT, .thing = thing});
    }
    start_pacemaker(play);
    int runs = mode == LOOP_RUN_DEFAULT ? 8 : 60;
    for (int i = 0; i < runs; i++) {
        for (int n = below(play, 10); n > 0; n--)
            act_at_random(play);
        play->fuel = below(play, 60);
        uint64_t chosen = mode < 0 ? random_number(play) % 3 : (uint64_t)mode;
        perform(play, (struct act){.verb = RUN, .a_ns = chosen});
    }
    clean_up(play);
}

/* --- The model --- */

enum place { NOWHERE, WHEEL, IDLE, PREPARE, POSTED, IMMEDIATES, CHECK, CLOSING, TICKS, MICROTASKS };

struct thing {
    enum place place;   /* where it waits for a callback */
    uint64_t number;    /* of its arrival there */
    uint64_t due_ns;    /* timers; otherwise 0 */
    uint64_t repeat_ns; /* timers */
    int64_t missed;     /* timers: in the last callback */
    bool fixed_rate;
    bool started; /* at least once since init */
    bool closing;
    bool silent; /* no close callback */
    bool unref;
    int cb;
};

static struct {
    struct thing things[THINGS];
    uint64_t now_ns;
    uint64_t turn;
    uint64_t arrivals;
    enum loop_phase phase;
    bool running;
    bool stopping;
    bool draining;
} model;

static int index_of(const struct thing *thing)
{
    return (int)(thing - model.things);
}

static bool is_active(const struct thing *thing)
{
    return thing->place == WHEEL || thing->place == IDLE || thing->place == PREPARE ||
           thing->place == CHECK;
}

static void arrive(struct thing *thing, enum place place)
{
    thing->place = place;
    thing->number = ++model.arrivals;
}

static bool model_alive(void)
{
    for (int i = 0; i < THINGS; i++) {
        const struct thing *thing = &model.things[i];
        if (thing->place == CLOSING || (thing->place != NOWHERE && !thing->unref))
            return true;
    }
    return false;
}

/* A thing as it was when a phase collected it. */
struct taken {
    struct thing *thing;
    uint64_t due_ns;
    uint64_t number;
};

static int compare(const void *left, const void *right)
{
    const struct taken *a = left;
    const struct taken *b = right;
    if (a->due_ns != b->due_ns)
        return a->due_ns < b->due_ns ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

/* What waits in a place and is due, in order. Only timers have a deadline other than 0. */
static size_t collect(enum place place, struct taken *taken)
{
    size_t count = 0;
    for (int i = 0; i < THINGS; i++) {
        struct thing *thing = &model.things[i];
        if (thing->place == place && thing->due_ns <= model.now_ns)
            taken[count++] = (struct taken){thing, thing->due_ns, thing->number};
    }
    qsort(taken, count, sizeof(*taken), compare);
    return count;
}

/* A deadline past the end of the clock never comes. */
static uint64_t model_deadline(uint64_t after_ns)
{
    return after_ns < LOOP_NEVER - model.now_ns ? model.now_ns + after_ns : LOOP_NEVER;
}

/* Before the callback, so that stopping in it has the last word. At a fixed rate the next deadline
 * is the first of the row that is after now. */
static void rearm(struct thing *timer)
{
    uint64_t after_ns = timer->repeat_ns;
    if (timer->fixed_rate) {
        uint64_t late_ns = model.now_ns - timer->due_ns;
        after_ns -= late_ns % timer->repeat_ns;
        timer->missed = (int64_t)(late_ns / timer->repeat_ns);
    }
    timer->due_ns = model_deadline(after_ns);
    arrive(timer, WHEEL);
}

static void model_drain(void);

static void call(struct thing *thing)
{
    enum place place = thing->place;
    enum verb verb = place == CLOSING ? CLOSED : CALLED;
    bool repeats = place == WHEEL && thing->repeat_ns > 0;
    if (repeats)
        rearm(thing);
    else if (place == WHEEL || !is_active(thing))
        thing->place = NOWHERE;
    if (place == CLOSING && thing->silent)
        return;
    called(verb, index_of(thing), place == CLOSING ? 0 : thing->cb,
           repeats && thing->fixed_rate ? thing->missed : 0);
    model_drain();
}

/* All ticks, then all microtasks, until there are none. */
static void model_drain(void)
{
    struct taken taken[THINGS];
    if (model.draining)
        return;
    model.draining = true;
    while (collect(TICKS, taken) > 0 || collect(MICROTASKS, taken) > 0) {
        while (collect(TICKS, taken) > 0)
            call(taken[0].thing);
        while (collect(MICROTASKS, taken) > 0)
            call(taken[0].thing);
    }
    model.draining = false;
}

/* Take the list, then run it. */
static void run_place(enum loop_phase phase, enum place place)
{
    struct taken taken[THINGS];
    model.phase = phase;
    size_t count = collect(place, taken);
    for (size_t i = 0; i < count; i++)
        if (taken[i].thing->place == place && taken[i].thing->number == taken[i].number)
            call(taken[i].thing);
}

static bool anything_in(enum place place, bool unreferenced_too)
{
    for (int i = 0; i < THINGS; i++)
        if (model.things[i].place == place && (unreferenced_too || !model.things[i].unref))
            return true;
    return false;
}

/* Until when poll may sleep: now_ns means not at all. */
static uint64_t sleep_limit(void)
{
    uint64_t limit_ns = LOOP_NEVER;
    if (model.stopping || !model_alive() || anything_in(IDLE, true) || anything_in(POSTED, true) ||
        anything_in(CLOSING, true) || anything_in(IMMEDIATES, false) || anything_in(TICKS, false) ||
        anything_in(MICROTASKS, false))
        return model.now_ns;
    for (int i = 0; i < TIMERS; i++)
        if (model.things[i].place == WHEEL && model.things[i].due_ns < limit_ns)
            limit_ns = model.things[i].due_ns;
    return limit_ns > model.now_ns ? limit_ns : model.now_ns;
}

static void model_turn(bool may_sleep)
{
    run_place(LOOP_PHASE_IDLE, IDLE);
    run_place(LOOP_PHASE_PREPARE, PREPARE);
    if (may_sleep)
        model.now_ns = sleep_limit();
    run_place(LOOP_PHASE_POLL, POSTED);
    run_place(LOOP_PHASE_CHECK, IMMEDIATES);
    run_place(LOOP_PHASE_CHECK, CHECK);
    run_place(LOOP_PHASE_CLOSING, CLOSING);
    run_place(LOOP_PHASE_TIMERS, WHEEL);
}

static int model_run(enum loop_mode mode)
{
    if (model.running)
        return -EBUSY;
    model.running = true;
    if (!model.stopping)
        model_drain();
    if (mode == LOOP_RUN_DEFAULT && model_alive() && !model.stopping)
        run_place(LOOP_PHASE_TIMERS, WHEEL);
    while (model_alive() && !model.stopping) {
        model.turn++;
        model_turn(mode == LOOP_RUN_DEFAULT || (mode == LOOP_RUN_ONCE && !anything_in(IDLE, true)));
        if (mode != LOOP_RUN_DEFAULT)
            break;
    }
    model.phase = LOOP_PHASE_NONE;
    model.running = model.stopping = false;
    return model_alive();
}

static int64_t model_start(struct thing *thing, const struct act *act)
{
    static const enum place homes[] = {IDLE, PREPARE, CHECK};
    int index = index_of(thing);
    if (thing->closing)
        return -ECANCELED;
    thing->cb = act->cb;
    thing->started = true;
    if (is_timer(index)) {
        thing->repeat_ns = act->b_ns;
        thing->due_ns = model_deadline(act->a_ns);
        arrive(thing, WHEEL);
    } else if (!is_active(thing)) {
        arrive(thing, homes[(index - TIMERS) / HOOKS]);
    }
    return 0;
}

static int64_t model_again(struct thing *timer)
{
    if (!timer->started || timer->repeat_ns == 0)
        return -EINVAL;
    timer->due_ns = model_deadline(timer->repeat_ns);
    arrive(timer, WHEEL);
    return 0;
}

static void model_close(struct thing *thing, bool silent)
{
    thing->closing = true;
    thing->silent = silent;
    thing->due_ns = 0;
    arrive(thing, CLOSING);
}

static int64_t model_act_on_handle(struct thing *thing, const struct act *act)
{
    switch (act->verb) {
    case INIT:
        *thing = (struct thing){0};
        return 0;
    case START:
        return model_start(thing, act);
    case STOP:
        if (is_active(thing))
            thing->place = NOWHERE;
        return 0;
    case CLOSE:
    case CLOSE_SILENTLY:
        model_close(thing, act->verb == CLOSE_SILENTLY);
        return 0;
    case REF:
    case UNREF:
        thing->unref = act->verb == UNREF;
        return 0;
    case AGAIN:
        return model_again(thing);
    case SET_REPEAT:
        thing->repeat_ns = act->b_ns;
        return 0;
    default:
        thing->fixed_rate = act->cb;
        return 0;
    }
}

static int64_t model_act_on_task(struct thing *thing, const struct act *act)
{
    static const enum place places[] = {TICKS, MICROTASKS, IMMEDIATES, POSTED};
    bool queued = thing->place != NOWHERE;
    if (act->verb >= TICK && act->verb <= POST) {
        arrive(thing, places[act->verb - TICK]);
        return 0;
    }
    if (act->verb == CANCEL) {
        thing->place = NOWHERE;
        return queued;
    }
    if (act->verb == FORGET)
        *thing = (struct thing){0};
    else
        thing->unref = act->verb == TASK_UNREF;
    return 0;
}

static int64_t model_walk(void)
{
    int64_t seen = 0;
    for (int i = 0; i < HANDLES; i++)
        seen |= is_active(&model.things[i]) ? INT64_C(1) << i : 0;
    return seen;
}

static int64_t model_stop_all(void)
{
    for (int i = 1; i < HANDLES; i++)
        if (is_active(&model.things[i]))
            model.things[i].place = NOWHERE;
    return 0;
}

static int64_t model_act_on_loop(const struct act *act)
{
    switch (act->verb) {
    case LOOP_STOP:
        model.stopping = true;
        return 0;
    case BUSY:
        model.now_ns += act->a_ns;
        return 0;
    case WALK:
        return model_walk();
    case STOP_ALL:
        return model_stop_all();
    case RUN:
        return model_run((enum loop_mode)act->a_ns);
    default:
        return model.running ? -EBUSY : 0;
    }
}

static int64_t model_act(struct act act)
{
    struct thing *thing = &model.things[act.thing];
    if (act.verb >= LOOP_STOP)
        return model_act_on_loop(&act);
    return is_task(act.thing) ? model_act_on_task(thing, &act) : model_act_on_handle(thing, &act);
}

static void model_begin(void)
{
    memset(&model, 0, sizeof(model));
}

static void model_look(struct step *step)
{
    step->now_ns = model.now_ns;
    step->turn = model.turn;
    step->phase = model.phase;
    step->alive = model_alive();
    if (model.running)
        return;
    uint64_t limit_ns = sleep_limit();
    step->wait_ns = limit_ns == LOOP_NEVER ? -1 : (int64_t)(limit_ns - model.now_ns);
}

static void model_look_at(int handle, struct step *step)
{
    const struct thing *thing = &model.things[handle];
    step->state = (is_active(thing) ? ACTIVE : 0u) | (thing->unref ? 0u : REFERENCED) |
                  (thing->closing ? IS_CLOSING : 0u);
    if (!is_timer(handle))
        return;
    step->due_in_ns = LOOP_NEVER;
    if (thing->place == WHEEL && thing->due_ns != LOOP_NEVER)
        step->due_in_ns = thing->due_ns > model.now_ns ? thing->due_ns - model.now_ns : 0;
}

static const struct side model_side = {
    "the model", model_begin, model_act, model_look, model_look_at,
};

/* --- The library --- */

union any_handle {
    struct loop_handle handle;
    struct loop_timer timer;
    struct loop_hook hook;
};

static struct loop loop;
static union any_handle handles[HANDLES];
static struct loop_task tasks[TASKS];

static int handle_index(void *handle)
{
    return (int)((union any_handle *)handle - handles);
}

static void call_timer(struct loop_timer *timer, int cb)
{
    bool counts = timer->fixed_rate && loop_timer_repeat(timer) > 0;
    called(CALLED, handle_index(timer), cb, counts ? loop_timer_missed(timer) : 0);
}

static void on_timer(struct loop_timer *timer)
{
    call_timer(timer, 0);
}

static void on_other_timer(struct loop_timer *timer)
{
    call_timer(timer, 1);
}

static void on_hook(struct loop_hook *hook)
{
    called(CALLED, handle_index(hook), 0, 0);
}

static void on_other_hook(struct loop_hook *hook)
{
    called(CALLED, handle_index(hook), 1, 0);
}

static void on_task(struct loop_task *task)
{
    called(CALLED, HANDLES + (int)(task - tasks), 0, 0);
}

/* From here on the memory is ours, and the library does not look at it. */
static void forget_handle(struct loop_handle *handle)
{
    memset((void *)handle, 0xdd, sizeof(union any_handle));
}

static void on_close(struct loop_handle *handle)
{
    forget_handle(handle);
    called(CLOSED, handle_index(handle), 0, 0);
}

static void library_init(int index)
{
    union any_handle *any = &handles[index];
    if (is_timer(index))
        loop_timer_init(&loop, &any->timer);
    else if (index < TIMERS + HOOKS)
        loop_idle_init(&loop, &any->hook);
    else if (index < TIMERS + 2 * HOOKS)
        loop_prepare_init(&loop, &any->hook);
    else
        loop_check_init(&loop, &any->hook);
}

static int64_t library_start(union any_handle *any, const struct act *act)
{
    if (is_timer(act->thing))
        return loop_timer_start(&any->timer, act->a_ns, act->b_ns,
                                act->cb ? on_other_timer : on_timer);
    return loop_hook_start(&any->hook, act->cb ? on_other_hook : on_hook);
}

static void library_stop(union any_handle *any, int index)
{
    if (is_timer(index))
        loop_timer_stop(&any->timer);
    else
        loop_hook_stop(&any->hook);
}

static int64_t library_act_on_timer(struct loop_timer *timer, const struct act *act)
{
    if (act->verb == AGAIN)
        return loop_timer_again(timer);
    if (act->verb == SET_REPEAT)
        loop_timer_set_repeat(timer, act->b_ns);
    else
        loop_timer_set_fixed_rate(timer, act->cb);
    return 0;
}

static int64_t library_act_on_handle(union any_handle *any, const struct act *act)
{
    switch (act->verb) {
    case INIT:
        library_init(act->thing);
        return 0;
    case FORGET:
        forget_handle(&any->handle);
        return 0;
    case START:
        return library_start(any, act);
    case STOP:
        library_stop(any, act->thing);
        return 0;
    case CLOSE:
    case CLOSE_SILENTLY:
        loop_close(&any->handle, act->verb == CLOSE ? on_close : NULL);
        return 0;
    case REF:
        loop_ref(&any->handle);
        return 0;
    case UNREF:
        loop_unref(&any->handle);
        return 0;
    default:
        return library_act_on_timer(&any->timer, act);
    }
}

static int64_t library_act_on_task(struct loop_task *task, const struct act *act)
{
    switch (act->verb) {
    case TICK:
        loop_next_tick(&loop, task, on_task);
        return 0;
    case MICROTASK:
        loop_microtask(&loop, task, on_task);
        return 0;
    case IMMEDIATE:
        loop_immediate(&loop, task, on_task);
        return 0;
    case POST:
        return loop_post(&loop, task, on_task);
    case CANCEL:
        return loop_task_cancel(task);
    case TASK_REF:
        loop_task_ref(task);
        return 0;
    case TASK_UNREF:
        loop_task_unref(task);
        return 0;
    default:
        *task = (struct loop_task){0};
        return 0;
    }
}

/* What is no handle of ours, or was visited before, makes the answer another one. */
static void on_walk(struct loop_handle *handle, void *arg)
{
    int64_t *seen = arg;
    int64_t bit = INT64_MIN;
    for (int i = 0; i < HANDLES; i++)
        if (handle == &handles[i].handle)
            bit = INT64_C(1) << i;
    *seen |= *seen & bit ? INT64_MIN : bit;
}

static int64_t library_walk(void)
{
    int64_t seen = 0;
    loop_walk(&loop, on_walk, &seen);
    return seen;
}

/* The handle that is visited and another, so that some are stopped before they are visited. */
static void stop_two(struct loop_handle *handle, void *arg)
{
    int index = handle_index(handle);
    int other = (index + 1) % HANDLES;
    (void)arg;
    if (index != PACEMAKER)
        library_stop(&handles[index], index);
    if (other != PACEMAKER && playing->status[other] == LIVE)
        library_stop(&handles[other], other);
}

static int64_t library_act_on_loop(const struct act *act)
{
    switch (act->verb) {
    case LOOP_STOP:
        loop_stop(&loop);
        return 0;
    case BUSY:
        loop.now_ns += act->a_ns;
        return 0;
    case WALK:
        return library_walk();
    case STOP_ALL:
        loop_walk(&loop, stop_two, NULL);
        return 0;
    case RUN:
        return loop_run(&loop, (enum loop_mode)act->a_ns);
    default:
        return loop_fini(&loop);
    }
}

static int64_t library_act(struct act act)
{
    if (act.verb >= LOOP_STOP)
        return library_act_on_loop(&act);
    if (is_task(act.thing))
        return library_act_on_task(&tasks[act.thing - HANDLES], &act);
    return library_act_on_handle(&handles[act.thing], &act);
}

static void library_begin(void)
{
    struct loop_options options = test_options(LOOP_CLOCK_VIRTUAL);
    memset(&loop, 0, sizeof(loop));
    memset(handles, 0, sizeof(handles));
    memset(tasks, 0, sizeof(tasks));
    assert_int_equal(0, loop_init(&loop, &options));
}

static void library_look(struct step *step)
{
    step->now_ns = loop_now(&loop);
    step->turn = loop_turn(&loop);
    step->phase = loop_phase(&loop);
    step->alive = loop_alive(&loop);
    if (!playing->running)
        step->wait_ns = loop_backend_timeout(&loop);
}

static void library_look_at(int index, struct step *step)
{
    const struct loop_handle *handle = &handles[index].handle;
    step->state = (loop_is_active(handle) ? ACTIVE : 0u) |
                  (loop_has_ref(handle) ? REFERENCED : 0u) |
                  (loop_is_closing(handle) ? IS_CLOSING : 0u);
    if (is_timer(index))
        step->due_in_ns = loop_timer_due_in(&handles[index].timer);
}

static const struct side library_side = {
    "the library", library_begin, library_act, library_look, library_look_at,
};

/* --- The tests --- */

static void compare_program(uint64_t seed, int mode)
{
    observed.seed = seed;
    play_program(&predicted, &model_side, seed, mode);
    play_program(&observed, &library_side, seed, mode);
    assert_true(observed.count == predicted.count);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void compare_programs(int mode)
{
    uint64_t seeds = number_from("LOOP_TEST_SEEDS", SEEDS);
    uint64_t one = number_from("LOOP_TEST_SEED", 0);
    loop_set_panic_cb(on_panic);
    signal(SIGTERM, on_term);
    for (uint64_t seed = one ? one : 1; seed <= (one ? one : seeds); seed++)
        compare_program(seed, mode);
    loop_set_panic_cb(NULL);
}

static void turn_after_turn_the_library_does_what_the_model_predicts(void **state)
{
    (void)state;
    compare_programs(LOOP_RUN_DEFAULT);
}

static void single_turns_that_may_sleep_are_as_predicted(void **state)
{
    (void)state;
    compare_programs(LOOP_RUN_ONCE);
}

static void single_turns_that_never_sleep_are_as_predicted(void **state)
{
    (void)state;
    compare_programs(LOOP_RUN_NOWAIT);
}

static void the_modes_may_follow_each_other_in_any_order(void **state)
{
    (void)state;
    compare_programs(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(turn_after_turn_the_library_does_what_the_model_predicts),
        virtual_test(single_turns_that_may_sleep_are_as_predicted),
        virtual_test(single_turns_that_never_sleep_are_as_predicted),
        virtual_test(the_modes_may_follow_each_other_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
