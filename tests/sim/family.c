/* Processes and signals, in the program.
 *
 * The end of a process is told once, when it has ended, with what it ended with, and not to a
 * handle that was closed; behind the last handle everything that was ours has been asked about. A
 * signal is told at least once after it has come to a handle that waits for it, never if it has
 * not, and not after the handle was stopped. Both come behind all else of their batch, which the
 * model knows.
 *
 * SPDX-License-Identifier: MIT */
#include "children.h"

enum { MINE_MAX = 5 };

struct process {
    struct thing thing;
    struct loop_process process;
    struct child *child;
};

struct signal_object {
    struct thing thing;
    struct loop_signal signal;
    int number;
    uint64_t delivery, delivery_wait; /* the number of the last one, and after which wait */
    bool came, once;
    bool maybe; /* it had come before the start, and was not told yet */
};

static char under_way;             /* what the world knows signals by */
static uint64_t deliveries, taken; /* what is told in this batch came before that */
static uint64_t taken_in;          /* which wait */

static const int numbers[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGWINCH};

void family_begin(void)
{
    deliveries = 0;
    taken = 0;
    taken_in = UINT64_MAX;
}

static struct process *process_of(struct thing *thing)
{
    return (struct process *)(void *)thing;
}

static struct signal_object *signal_of(struct thing *thing)
{
    return (struct signal_object *)(void *)thing;
}

static void on_process_close(struct loop_handle *handle)
{
    struct process *mine = loop_container_of(handle, struct process, process.handle);
    model_closed(&mine->thing);
    model_remove(&mine->thing);
    react();
}

void process_close(struct thing *thing)
{
    model_close(thing);
    loop_close(&process_of(thing)->process.handle, on_process_close);
}

static void check_end(const struct process *mine, int exit_status, int term_signal)
{
    const struct child *child = mine->child;
    int expected = child->signal ? 128 + child->signal : child->status;
    if (!child->ended)
        fail("P13: the end of process %d is told, and it runs", (int)child->pid);
    if (exit_status != (child->is_stranger ? -ECHILD : expected) ||
        term_signal != (child->is_stranger ? 0 : child->signal))
        fail("P13: process %d ended with %d, and %d is told", (int)child->pid, expected,
             exit_status);
    if (!child->is_stranger && !child->reaped)
        fail("P13: process %d is a zombie when its end is told", (int)child->pid);
}

static void on_end(struct loop_process *process, int exit_status, int term_signal)
{
    struct process *mine = loop_container_of(process, struct process, process);
    model_event(&mine->thing);
    if (!mine->thing.active)
        fail("P13: the end of process %u is told twice", mine->thing.number);
    check_end(mine, exit_status, term_signal);
    model_stop(&mine->thing);
    if (program_chance(300))
        model_remove(&mine->thing);
    react();
}

static void process_spawn(struct process *mine)
{
    bool there = program_chance(900);
    struct loop_process_options options = {.file = there ? "/program" : "/nothing",
                                           .flags = program_below(3)};
    int error = loop_process_spawn(&mine->process, &options, on_end);
    check_result("spawn", error,
                 error == 0 || error == -ENOMEM || error == -EMFILE || error == -EAGAIN ||
                     error == -ENOSPC || error == -EACCES || (error == -ENOENT && !there));
    if (error)
        return;
    mine->child = child_at(mine->process.pid);
    model_start(&mine->thing);
}

static void process_adopt(struct process *mine)
{
    struct child *child = stranger();
    int error = loop_process_adopt(&mine->process, child->pid, on_end);
    check_result("adopt", error,
                 error == 0 || error == -ENOMEM || error == -EMFILE || error == -ENOSPC);
    if (error)
        return;
    mine->child = child;
    model_start(&mine->thing);
}

static void process_start(struct process *mine)
{
    (program_chance(700) ? process_spawn : process_adopt)(mine);
}

static void process_make(void)
{
    struct process *mine = calloc(1, sizeof(*mine));
    model_add(&mine->thing, A_PROCESS);
    loop_process_init(&the_loop, &mine->process);
    process_start(mine);
}

static void process_kill(struct process *mine)
{
    int number = program_chance(800) ? SIGTERM : 0;
    int error = program_chance(700) ? loop_process_kill(&mine->process, number)
                                    : loop_process_kill_group(&mine->process, number);
    check_result("kill", error, error == 0 || error == -ESRCH);
    if (mine->thing.active && !mine->child->ended && !mine->child->is_stranger && error &&
        mine->child->leads)
        fail("P13: process %d could not be killed", (int)mine->child->pid);
}

void process_act(void)
{
    struct thing *thing = model_pick(1 << A_PROCESS);
    if (!thing || (program_chance(400) && model_count(1 << A_PROCESS) < MINE_MAX)) {
        process_make();
        return;
    }
    switch (program_below(4)) {
    case 0:
        if (!thing->active)
            process_start(process_of(thing));
        break;
    case 1:
        process_kill(process_of(thing));
        break;
    case 2:
        thing->unref = !thing->unref;
        (thing->unref ? loop_unref : loop_ref)(&process_of(thing)->process.handle);
        break;
    default:
        process_close(thing);
    }
}

/* Signals. */

void told_signal(int number)
{
    note("signal %d comes", number);
    deliveries++;
    for (struct thing *thing = model_things(); thing; thing = thing->next)
        if (thing->kind == A_SIGNAL && thing->active && signal_of(thing)->number == number) {
            signal_of(thing)->came = true;
            signal_of(thing)->delivery = deliveries;
            signal_of(thing)->delivery_wait = epoll_waits();
        }
}

/* The marks are taken before the first is told: what comes in a callback is told again, and what
 * came just before it may be. */
static void on_signal(struct loop_signal *signal, int number)
{
    struct signal_object *mine = loop_container_of(signal, struct signal_object, signal);
    model_event(&mine->thing);
    if (!mine->thing.active)
        fail("P2: signal %u is told and was stopped", mine->thing.number);
    if (number != mine->number || (!mine->came && !mine->maybe))
        fail("P14: signal %d is told to %u, and has not come", number, mine->thing.number);
    if (taken_in != epoll_waits())
        taken = deliveries;
    taken_in = epoll_waits();
    mine->came = mine->came && mine->delivery > taken;
    mine->maybe = mine->delivery_wait == epoll_waits();
    if (mine->once)
        model_stop(&mine->thing);
    react();
}

static void on_signal_close(struct loop_handle *handle)
{
    struct signal_object *mine = loop_container_of(handle, struct signal_object, signal.handle);
    model_closed(&mine->thing);
    model_remove(&mine->thing);
    react();
}

void signal_close(struct thing *thing)
{
    model_close(thing);
    loop_close(&signal_of(thing)->signal.handle, on_signal_close);
}

/* What has come and was not told yet is told to whoever waits by then. */
static bool is_pending(int number)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next)
        if (thing->kind == A_SIGNAL && thing->active && signal_of(thing)->number == number &&
            (signal_of(thing)->came || signal_of(thing)->maybe))
            return true;
    return false;
}

static void signal_start(struct signal_object *mine)
{
    int number = numbers[program_below(sizeof(numbers) / sizeof(*numbers))];
    bool once = program_chance(200), maybe = is_pending(number);
    uint64_t before = deliveries; /* one that comes in the call may be told or not */
    int error = once ? loop_signal_start_once(&mine->signal, number, on_signal)
                     : loop_signal_start(&mine->signal, number, on_signal);
    check_result("signal start", error,
                 error == 0 || error == -ENOMEM || error == -EMFILE || error == -ENOSPC);
    if (error)
        return;
    mine->number = number;
    mine->once = once;
    mine->came = false;
    mine->maybe = maybe || deliveries != before;
    model_start(&mine->thing);
}

static void signal_make(void)
{
    struct signal_object *mine = calloc(1, sizeof(*mine));
    model_add(&mine->thing, A_SIGNAL);
    loop_signal_init(&the_loop, &mine->signal);
    signal_start(mine);
}

static void send_from_elsewhere(void *what, uint64_t number)
{
    (void)what;
    signal_send((int)number);
}

static void signal_stop(struct signal_object *mine)
{
    loop_signal_stop(&mine->signal);
    model_stop(&mine->thing);
    if (program_chance(300))
        model_remove(&mine->thing);
}

static void signal_comes(void)
{
    int number = numbers[program_below(sizeof(numbers) / sizeof(*numbers))];
    if (program_chance(200))
        signal_send(number);
    else if (program_chance(600))
        signal_send_at(number, 1 + program_below(12));
    else
        world_later(program_below(5 * MS), send_from_elsewhere, &under_way, (uint64_t)number);
}

void signal_act(void)
{
    struct thing *thing = model_pick(1 << A_SIGNAL);
    if (program_chance(400)) {
        signal_comes();
    } else if (!thing || (program_chance(400) && model_count(1 << A_SIGNAL) < MINE_MAX)) {
        signal_make();
    } else if (program_chance(400)) {
        signal_start(signal_of(thing));
    } else if (program_chance(400)) {
        signal_stop(signal_of(thing));
    } else if (program_chance(400)) {
        signal_close(thing);
    } else {
        thing->unref = !thing->unref;
        (thing->unref ? loop_unref : loop_ref)(&signal_of(thing)->signal.handle);
    }
}

static bool waits(const struct thing *thing)
{
    if (!thing->active || thing->unref)
        return false;
    if (thing->kind == A_SIGNAL)
        return ((const struct signal_object *)(const void *)thing)->came;
    return thing->kind == A_PROCESS;
}

struct thing *family_left(void)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next)
        if (waits(thing))
            return thing;
    return NULL;
}

void family_calm(void)
{
    children_calm();
    world_forget(&under_way);
    signal_send_at(0, 0);
}
