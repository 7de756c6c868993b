/* Children that come and go. Each slot starts one, of one of five kinds, and when it has ended
 * waits a while and starts the next:
 *
 *   quick     ends by itself at once
 *   killed    would sleep for ever, and is killed
 *   talking   is run to its end by loop_exec(), with what it has written
 *   left      is left alone: its handle is closed while it runs, and the loop reaps it when it ends
 *   adopted   is watched by a second handle too, which was given only its number
 *
 * The end of a child must be told once, with the status that its kind has; and none may stay a
 * zombie, which soak.py looks for from outside. When all ends, what still runs is killed.
 *
 * SPDX-License-Identifier: MIT */
#include "soak.h"

#include <signal.h>

enum { SLOTS = 4, PAUSE_MS = 60 };

enum kind { QUICK, KILLED, TALKING, LEFT, ADOPTED, KINDS };

struct slot {
    struct loop_process process, watcher;
    struct loop_exec exec;
    struct loop_timer timer;
    enum kind kind;
    int under_way; /* ends that are still to be told */
};

static struct slot slots[SLOTS];

static void start(struct loop_timer *timer);

static void pause_then_start(struct slot *slot)
{
    if (ending)
        return;
    uint64_t after_ns = (1 + chance(PAUSE_MS)) * LOOP_MS;
    check(loop_timer_start(&slot->timer, after_ns, 0, start), "timer");
}

static void one_end(struct slot *slot, bool as_expected)
{
    done.errors += !as_expected;
    if (--slot->under_way > 0)
        return;
    done.children++;
    loop_timer_stop(&slot->timer);
    pause_then_start(slot);
}

static void on_exit_of(struct loop_process *process, int exit_status, int term_signal)
{
    struct slot *slot = loop_container_of(process, struct slot, process);
    bool killed = slot->kind == KILLED || slot->kind == ADOPTED;
    one_end(slot, ending || (killed ? term_signal == SIGKILL || exit_status == -ECHILD
                                    : exit_status == 0));
}

/* Both handles look at one child, and whoever is second may find that it has been reaped. */
static void on_exit_of_watched(struct loop_process *process, int exit_status, int term_signal)
{
    (void)exit_status;
    (void)term_signal;
    one_end(loop_container_of(process, struct slot, watcher), true);
}

static void on_exec(struct loop_exec *exec, int status)
{
    struct slot *slot = loop_container_of(exec, struct slot, exec);
    one_end(slot, ending || (status == 0 && exec->exit_status == 0 && exec->out_size == 6));
}

static void kill_it(struct loop_timer *timer)
{
    struct slot *slot = loop_container_of(timer, struct slot, timer);
    check(loop_process_kill(&slot->process, SIGKILL), "kill");
}

static void on_left(struct loop_handle *handle)
{
    one_end(loop_container_of(handle, struct slot, process.handle), true);
}

static void leave_it(struct loop_timer *timer)
{
    struct slot *slot = loop_container_of(timer, struct slot, timer);
    loop_close(&slot->process.handle, on_left);
}

static void spawn(struct slot *slot, const char *const *args)
{
    struct loop_process_options options = {.file = args[0], .args = args};
    loop_process_init(&loop, &slot->process);
    check(loop_process_spawn(&slot->process, &options, on_exit_of), "spawning");
}

static void spawn_and_then(struct slot *slot, const char *how_long, loop_timer_cb then)
{
    const char *const args[] = {"sleep", how_long, NULL};
    spawn(slot, args);
    check(loop_timer_start(&slot->timer, (1 + chance(40)) * LOOP_MS, 0, then), "timer");
}

static void run_and_listen(struct slot *slot)
{
    static const char *const args[] = {"echo", "hello", NULL};
    struct loop_exec_options options = {.process = {.file = args[0], .args = args}};
    check(loop_exec(&loop, &slot->exec, &options, on_exec), "executing");
}

static void start(struct loop_timer *timer)
{
    static const char *const quick[] = {"true", NULL};
    struct slot *slot = loop_container_of(timer, struct slot, timer);
    slot->kind = (enum kind)chance(KINDS);
    slot->under_way = slot->kind == ADOPTED ? 2 : 1;
    if (slot->kind == QUICK)
        spawn(slot, quick);
    else if (slot->kind == TALKING)
        run_and_listen(slot);
    else if (slot->kind == LEFT)
        spawn_and_then(slot, "0.05", leave_it);
    else
        spawn_and_then(slot, "1000", kill_it);
    if (slot->kind != ADOPTED)
        return;
    loop_process_init(&loop, &slot->watcher);
    check(loop_process_adopt(&slot->watcher, slot->process.pid, on_exit_of_watched), "adopting");
}

void children_begin(void)
{
    for (int i = 0; i < SLOTS; i++) {
        loop_timer_init(&loop, &slots[i].timer);
        loop_process_init(&loop, &slots[i].process);
        pause_then_start(&slots[i]);
    }
}

void children_end(void)
{
    for (int i = 0; i < SLOTS; i++) {
        loop_timer_stop(&slots[i].timer);
        if (loop_is_active(&slots[i].process.handle))
            loop_process_kill(&slots[i].process, SIGKILL);
    }
}
