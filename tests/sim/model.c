/* The model of order: phases, queues and deadlines, in as few words as the contract.
 *
 * A turn is pending, idle, prepare, poll, immediates, check, closing, timers. The model stands in
 * one of them. A callback that belongs to a later one moves it there; on the way each phase is
 * entered, when what waits in it becomes due, and left, when nothing due may remain. Poll cannot be
 * passed without a wait. What is due runs in the order of its start, or of its closing, and timers
 * by deadline and then start; what is started in a phase is not due in it.
 *
 * Where the world decides what comes (I/O), the model asks less: the phase, and that the thing is
 * there to be called.
 *
 * SPDX-License-Identifier: MIT */
#include "model.h"

enum phase { PENDING, IDLE, PREPARE, POLL, IMMEDIATES, CHECK, CLOSING, DUE_TIMERS, PHASES };

enum { CALLBACKS_MAX = 20000, IDLE_WAITS_MAX = 400 };

static const char *const phase_names[] = {"pending",    "idle",  "prepare", "poll",
                                          "immediates", "check", "closing", "timers"};
static const char *const kind_names[] = {"timer",    "idle hook", "prepare hook", "check hook",
                                         "tick",     "microtask", "immediate",    "post",
                                         "async",    "poll",      "stream",       "request",
                                         "watching", "process",   "signal",       "udp"};

static struct loop *loop;
static struct thing *things;
static enum phase phase;
static bool running, microtasks, calling, late; /* late: a signal was told in this batch */
static unsigned numbers;
static uint64_t seq, pass, woke_ns, waits_without_callback, callbacks_since_wait, happened;
static uint64_t called_ns, wait_ns; /* the last time */
static uint64_t quiet_waits, moved, moved_before;

void model_begin(struct loop *of)
{
    loop = of;
    things = NULL;
    phase = DUE_TIMERS;
    running = microtasks = calling = late = false;
    numbers = 0;
    seq = woke_ns = waits_without_callback = callbacks_since_wait = 0;
    pass = 1;
}

void model_add(struct thing *thing, enum kind kind)
{
    thing->kind = kind;
    thing->number = ++numbers;
    thing->next = things;
    things = thing;
}

void model_remove(struct thing *thing)
{
    struct thing **place = &things;
    while (*place != thing)
        place = &(*place)->next;
    *place = thing->next;
    free(thing);
}

struct thing *model_things(void)
{
    return things;
}

const char *model_word(const struct thing *thing)
{
    return kind_names[thing->kind];
}

static bool matches(const struct thing *thing, unsigned kinds)
{
    return kinds >> thing->kind & 1 && !thing->closing;
}

unsigned model_count(unsigned kinds)
{
    unsigned count = 0;
    for (const struct thing *thing = things; thing; thing = thing->next)
        count += matches(thing, kinds);
    return count;
}

struct thing *model_pick(unsigned kinds)
{
    unsigned left = program_below(model_count(kinds));
    for (struct thing *thing = things; thing; thing = thing->next)
        if (matches(thing, kinds) && left-- == 0)
            return thing;
    return NULL;
}

void model_start(struct thing *thing)
{
    if (thing->active)
        return;
    thing->active = true;
    thing->due = false;
    thing->seq = ++seq;
}

void model_arm(struct thing *thing, uint64_t after_ns)
{
    uint64_t now_ns = loop_now(loop);
    thing->active = true;
    thing->due_ns = after_ns < LOOP_NEVER - now_ns ? now_ns + after_ns : LOOP_NEVER;
    thing->seq = ++seq;
    thing->armed_pass = running && phase == DUE_TIMERS ? pass : 0;
    thing->armed_wait = epoll_waits();
}

void model_stop(struct thing *thing)
{
    thing->active = thing->due = thing->unsure = false;
}

void model_close(struct thing *thing)
{
    model_stop(thing);
    thing->closing = true;
    thing->seq = ++seq;
}

static bool belongs(const struct thing *thing, enum phase to)
{
    static const enum kind kinds[PHASES] = {
        [IDLE] = AN_IDLE, [PREPARE] = A_PREPARE, [IMMEDIATES] = AN_IMMEDIATE, [CHECK] = A_CHECK};
    if (to == CLOSING)
        return thing->closing;
    return kinds[to] != A_TIMER && thing->kind == kinds[to] && thing->active;
}

static void leave(void)
{
    for (const struct thing *thing = things; thing; thing = thing->next)
        if (thing->due)
            fail("P1: the %s phase is over and %s %u was not called", phase_names[phase],
                 kind_names[thing->kind], thing->number);
}

static void enter(enum phase next)
{
    leave();
    phase = next;
    pass += phase == DUE_TIMERS;
    for (struct thing *thing = things; thing; thing = thing->next)
        thing->due = belongs(thing, phase);
}

static void reach(enum phase to)
{
    while (phase != to) {
        enum phase next = phase + 1 < PHASES ? phase + 1 : PENDING;
        if (next == POLL)
            fail("P1: the poll phase was passed without a wait, to %s", phase_names[to]);
        enter(next);
    }
}

static void no_tasks_left(const char *what)
{
    for (const struct thing *thing = things; thing; thing = thing->next)
        if (thing->active && (thing->kind == A_TICK || thing->kind == A_MICROTASK))
            fail("P1: %s comes before %s %u", what, kind_names[thing->kind], thing->number);
}

/* A timer that was armed before the last wait was over, and was due by then. */
static void none_late(void)
{
    for (const struct thing *thing = things; thing; thing = thing->next)
        if (thing->kind == A_TIMER && thing->active && thing->armed_wait < epoll_waits() &&
            thing->due_ns <= woke_ns)
            fail("P4: timer %u was due and was passed over", thing->number);
}

static void count_wait(void)
{
    bool progress = callbacks_since_wait > 0 || world_happened() != happened ||
                    moved != moved_before || world_now() > wait_ns + MS;
    waits_without_callback = progress ? 0 : waits_without_callback + 1;
    if (waits_without_callback > IDLE_WAITS_MAX)
        fail("P10: the loop spins: %d waits and no callback", IDLE_WAITS_MAX);
    happened = world_happened();
    moved_before = moved;
    quiet_waits++;
    wait_ns = world_now();
}

bool model_is_quiet(void)
{
    return world_now() - called_ns > 30 * SECOND || quiet_waits > 2000;
}

void model_moved(void)
{
    moved++;
}

/* A wait behind callbacks of poll is that of the next turn. */
void model_wait(void)
{
    no_tasks_left("the wait");
    late = false;
    count_wait();
    if (phase == POLL && callbacks_since_wait == 0)
        return;
    none_late();
    if (phase == POLL)
        enter(IMMEDIATES);
    reach(PREPARE);
    enter(POLL);
    callbacks_since_wait = 0;
}

/* A timer that became due in the wait ends it: at once, or by the next millisecond if no timerfd
 * could be had. */
void model_woke(void)
{
    woke_ns = world_now();
    for (const struct thing *thing = things; thing; thing = thing->next)
        if (thing->kind == A_TIMER && thing->active && thing->due_ns > wait_ns &&
            thing->due_ns < woke_ns - 2 * MS)
            fail("P4: the loop sleeps %llu ns past timer %u",
                 (unsigned long long)(woke_ns - thing->due_ns), thing->number);
}

void model_run_begins(bool whole)
{
    running = true;
    called_ns = world_now();
    quiet_waits = 0;
    microtasks = false;
    phase = whole ? CLOSING : DUE_TIMERS; /* where the circle is cut */
    callbacks_since_wait = 1;             /* whatever comes, the next wait is another turn's */
}

void model_run_ends(void)
{
    no_tasks_left("the end of loop_run");
    if (phase != DUE_TIMERS)
        reach(DUE_TIMERS);
    leave();
    running = false;
}

void model_call_begins(void)
{
    calling = true;
    run.steps++;
}

void model_call_ends(void)
{
    calling = false;
}

static void called(const struct thing *thing, const char *how)
{
    run.callbacks++;
    called_ns = world_now();
    quiet_waits = 0;
    note("%s %s %u at %llu in %s", kind_names[thing->kind], how, thing->number,
         (unsigned long long)world_now(), loop_phase_name(loop_phase(loop)));
    if (calling)
        fail("P3: %s %u is called back from inside a call", kind_names[thing->kind], thing->number);
    if (!running)
        fail("P3: %s %u is called back outside loop_run", kind_names[thing->kind], thing->number);
    if (++callbacks_since_wait > CALLBACKS_MAX)
        fail("P6: %d callbacks between two waits", CALLBACKS_MAX);
}

static bool earlier(const struct thing *a, const struct thing *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void rearm(struct thing *timer)
{
    uint64_t now_ns = loop_now(loop), repeat_ns = timer->repeat_ns;
    if (repeat_ns == 0)
        model_stop(timer);
    else if (timer->fixed_rate)
        model_arm(timer, repeat_ns - (now_ns - timer->due_ns) % repeat_ns);
    else
        model_arm(timer, repeat_ns);
}

static void fire(struct thing *timer)
{
    reach(DUE_TIMERS);
    if (!timer->active)
        fail("P2: timer %u fires and was stopped", timer->number);
    if (timer->due_ns > loop_now(loop) || timer->due_ns > world_now())
        fail("P4: timer %u fires %llu ns too early", timer->number,
             (unsigned long long)(timer->due_ns - loop_now(loop)));
    if (timer->armed_pass == pass)
        fail("P5: timer %u fires in the pass in which it was armed", timer->number);
    for (const struct thing *other = things; other; other = other->next)
        if (other->kind == A_TIMER && other->active && other->armed_pass != pass &&
            earlier(other, timer))
            fail("P4: timer %u fires before timer %u", timer->number, other->number);
    rearm(timer);
}

/* First all ticks, then all microtasks, and what these queue is behind them. */
static void drain(struct thing *task)
{
    for (const struct thing *other = things; other; other = other->next) {
        if (!other->active || other == task)
            continue;
        if (other->kind == task->kind && other->seq < task->seq)
            fail("P1: %s %u overtakes %u", kind_names[task->kind], task->number, other->number);
        if (task->kind == A_TICK && microtasks && other->kind == A_MICROTASK)
            fail("P1: tick %u comes before microtask %u", task->number, other->number);
        if (task->kind == A_MICROTASK && !microtasks && other->kind == A_TICK)
            fail("P1: microtask %u comes before tick %u", task->number, other->number);
    }
    microtasks = task->kind == A_MICROTASK;
    model_stop(task);
}

static void first_among_due(const struct thing *thing)
{
    if (!thing->due)
        fail("P1: %s %u is called in %s and is not due", kind_names[thing->kind], thing->number,
             phase_names[phase]);
    for (const struct thing *other = things; other; other = other->next)
        if (other->due && other->seq < thing->seq)
            fail("P1: %s %u is called before %u", kind_names[thing->kind], thing->number,
                 other->number);
}

/* Signals, and so the ends of children, come behind all else of their batch. */
static void look_whether_late(const struct thing *thing)
{
    bool last = thing->kind == A_SIGNAL || thing->kind == A_PROCESS;
    bool other = thing->kind == A_POST || thing->kind == A_POLL || thing->kind == A_WATCH ||
                 thing->kind == AN_ASYNC;
    if (late && other && phase == POLL)
        fail("P1: %s %u comes behind a signal of its batch", kind_names[thing->kind],
             thing->number);
    late |= last;
}

static void post(struct thing *task)
{
    look_whether_late(task);
    if (phase != POLL)
        fail("P1: post %u comes in %s", task->number, phase_names[phase]);
    for (const struct thing *other = things; other; other = other->next)
        if (other->kind == A_POST && other->active && other->seq < task->seq)
            fail("P1: post %u overtakes %u", task->number, other->number);
    model_stop(task);
}

void model_called(struct thing *thing)
{
    static const enum phase homes[KINDS] = {
        [AN_IDLE] = IDLE, [A_PREPARE] = PREPARE, [A_CHECK] = CHECK, [AN_IMMEDIATE] = IMMEDIATES};
    called(thing, "runs");
    if (thing->closing || !thing->active)
        fail("P2: %s %u is called and is not active", kind_names[thing->kind], thing->number);
    if (thing->kind == A_TICK || thing->kind == A_MICROTASK) {
        drain(thing);
        return;
    }
    no_tasks_left(kind_names[thing->kind]);
    microtasks = false;
    if (thing->kind == A_TIMER) {
        fire(thing);
    } else if (thing->kind == A_POST) {
        post(thing);
    } else {
        reach(homes[thing->kind]);
        first_among_due(thing);
        thing->due = false;
        if (thing->kind == AN_IMMEDIATE)
            model_stop(thing);
    }
}

/* The loop says which phase it is in; that it can be in it, the model knows. */
void model_event(struct thing *thing)
{
    static const enum phase phases[] = {[LOOP_PHASE_TIMERS] = DUE_TIMERS,
                                        [LOOP_PHASE_PENDING] = PENDING,
                                        [LOOP_PHASE_POLL] = POLL,
                                        [LOOP_PHASE_CLOSING] = CLOSING};
    called(thing, "event");
    no_tasks_left(kind_names[thing->kind]);
    microtasks = false;
    enum loop_phase said = loop_phase(loop);
    bool possible = said == LOOP_PHASE_TIMERS || said == LOOP_PHASE_PENDING ||
                    said == LOOP_PHASE_POLL || said == LOOP_PHASE_CLOSING;
    if (!possible)
        fail("P1: %s %u is called in phase %s", kind_names[thing->kind], thing->number,
             loop_phase_name(said));
    reach(phases[said]);
    look_whether_late(thing);
    if (thing->kind == A_REQUEST) {
        if (!thing->active)
            fail("P3: request %u completes twice", thing->number);
        model_stop(thing);
    } else if (thing->closing) {
        fail("P2: %s %u is called and was closed", kind_names[thing->kind], thing->number);
    }
}

void model_closed(struct thing *thing)
{
    called(thing, "close");
    no_tasks_left("a close callback");
    microtasks = false;
    if (!thing->closing)
        fail("P2: %s %u is called closed and was not", kind_names[thing->kind], thing->number);
    reach(CLOSING);
    first_among_due(thing);
    thing->due = thing->closing = false;
}

static bool alive(bool unsure)
{
    for (const struct thing *thing = things; thing; thing = thing->next)
        if (thing->closing || (unsure && thing->maybe) ||
            (thing->active && (unsure || (!thing->unref && !thing->unsure))))
            return true;
    return false;
}

bool model_sure_alive(void)
{
    return alive(false);
}

/* Between the requests of a closed handle and its close callback it is nowhere: nobody asks. */
void model_check_alive(void)
{
    bool said = loop_alive(loop);
    if (alive(false) && !said && phase != CLOSING)
        fail("P8: the loop says that it is not alive");
    if (said && !alive(true))
        fail("P8: the loop says that it is alive");
}
