/* The supervisor: what it is told, by calls and signals, and its end.
 *
 * Workers are executed, not forked. A forked one would have the old code, and of a program with
 * threads (the pool's, a library's) only one thread, with the others' locks held for ever. Executed
 * ones begin clean and are of today's code; the price, a few milliseconds each, is paid once.
 *
 * Each slot has its own listening sockets, bound together by SO_REUSEPORT, rather than all slots
 * one socket: the kernel shares out the connections evenly and wakes one process for each. They
 * belong to the supervisor, so the queue of a worker that has died waits for the next. The
 * alternative, that each worker binds its own, resets what waits in its queue whenever one ends.
 *
 * The supervisor does nothing else: it has no listeners in its loop and no connections, so that
 * there is little in it that could crash.
 *
 * SPDX-License-Identifier: MIT */
#include "workers/supervisor.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

unsigned loop_processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) < 0) /* over 1024 processors */
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

void supervisor_report(struct loop_supervisor *supervisor, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (supervisor->options.report)
        supervisor->options.report(supervisor, line);
    else
        fprintf(stderr, "%s\n", line);
}

static void set_defaults(struct loop_supervisor_options *options)
{
    options->workers = options->workers ? options->workers : loop_processors();
    options->ready_ns = options->ready_ns ? options->ready_ns : 30 * LOOP_SEC;
    options->silence_ns = options->silence_ns ? options->silence_ns : 10 * LOOP_SEC;
    options->drain_ns = options->drain_ns ? options->drain_ns : 60 * LOOP_SEC;
    options->quick_ns = options->quick_ns ? options->quick_ns : 5 * LOOP_SEC;
    options->retry_max_ns = options->retry_max_ns ? options->retry_max_ns : 10 * LOOP_SEC;
    options->quick_max = options->quick_max ? options->quick_max : 10;
}

/* --- the end --- */

static void free_slots(struct loop_supervisor *supervisor)
{
    for (unsigned i = 0; supervisor->slots && i < supervisor->options.workers; i++) {
        slot_close(&supervisor->slots[i]);
        loop_timer_stop(&supervisor->slots[i].retry);
    }
    free(supervisor->slots);
    supervisor->slots = NULL;
    program_free(supervisor);
}

static void stop_signals(struct loop_supervisor *supervisor)
{
    for (size_t i = 0; i < 3; i++)
        loop_signal_stop(&supervisor->signals[i]);
}

static void on_ended(struct loop_handle *handle)
{
    struct loop_supervisor *supervisor =
        loop_container_of(handle, struct loop_supervisor, ending.handle);
    free_slots(supervisor);
    supervisor_report(supervisor, "all workers have ended");
    if (supervisor->options.on_end)
        supervisor->options.on_end(supervisor, supervisor->status);
}

static bool all_given_up(const struct loop_supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->options.workers; i++)
        if (!supervisor->slots[i].given_up)
            return false;
    return true;
}

void supervisor_end_if_done(struct loop_supervisor *supervisor, int status)
{
    if (!list_empty(&supervisor->children) || loop_is_closing(&supervisor->ending.handle) ||
        !(supervisor->stopping || all_given_up(supervisor)))
        return;
    supervisor->status = supervisor->stopping ? 0 : status;
    stop_signals(supervisor);
    loop_close(&supervisor->ending.handle, on_ended);
}

static void each_child(struct loop_supervisor *supervisor,
                       void (*act)(struct supervisor_child *child))
{
    struct loop_link *link = supervisor->children.next;
    for (; link != &supervisor->children; link = link->next)
        act(loop_container_of(link, struct supervisor_child, link));
}

/* Without the supervisor's hold on them, the sockets go with the last worker that has them. */
void loop_supervisor_stop(struct loop_supervisor *supervisor)
{
    if (!supervisor->slots || loop_is_closing(&supervisor->ending.handle))
        return;
    if (supervisor->stopping) {
        each_child(supervisor, child_kill);
        return;
    }
    supervisor->stopping = true;
    supervisor->rolling = false;
    for (unsigned i = 0; i < supervisor->options.workers; i++) {
        struct supervisor_slot *slot = &supervisor->slots[i];
        loop_timer_stop(&slot->retry);
        slot_close(slot);
        slot->current = slot->next = NULL;
    }
    each_child(supervisor, child_drain);
    supervisor_end_if_done(supervisor, 0);
}

/* The first steps of a roll are reported, and so are not taken inside the call. */
static void on_roll(struct loop_timer *timer)
{
    struct loop_supervisor *supervisor = loop_container_of(timer, struct loop_supervisor, ending);
    if (supervisor->rolling && !supervisor->stopping)
        slot_roll(supervisor);
}

void loop_supervisor_roll(struct loop_supervisor *supervisor)
{
    if (supervisor->stopping || !supervisor->slots)
        return;
    if (supervisor->rolling) {
        supervisor->roll_again = true;
        return;
    }
    supervisor->rolling = true;
    supervisor->roll_at = 0;
    loop_timer_start(&supervisor->ending, 0, 0, on_roll);
}

/* --- the beginning --- */

static void on_signal(struct loop_signal *signal, int number)
{
    struct loop_supervisor *supervisor = signal->handle.data;
    if (number == SIGHUP)
        loop_supervisor_roll(supervisor);
    else
        loop_supervisor_stop(supervisor);
}

static void init_signals(struct loop_supervisor *supervisor)
{
    for (size_t i = 0; i < 3; i++) {
        loop_signal_init(supervisor->loop, &supervisor->signals[i]);
        supervisor->signals[i].handle.data = supervisor;
    }
}

static int start_signals(struct loop_supervisor *supervisor)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int error = 0;
    for (size_t i = 0; i < 3 && !supervisor->options.no_signals && !error; i++)
        error = loop_signal_start(&supervisor->signals[i], numbers[i], on_signal);
    return error;
}

static int make_slots(struct loop_supervisor *supervisor)
{
    unsigned count = supervisor->options.workers;
    supervisor->slots = calloc(count, sizeof(*supervisor->slots));
    if (!supervisor->slots)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        struct supervisor_slot *slot = &supervisor->slots[i];
        *slot = (struct supervisor_slot){.supervisor = supervisor, .number = i};
        for (size_t j = 0; j < LOOP_LISTENERS_MAX; j++)
            slot->sockets[j] = -1;
        loop_timer_init(supervisor->loop, &slot->retry);
    }
    int error = 0;
    for (unsigned i = 0; i < count && !error; i++)
        error = slot_open(&supervisor->slots[i]);
    return error;
}

static int parse_addresses(struct loop_supervisor *supervisor)
{
    const struct loop_supervisor_options *options = &supervisor->options;
    if (!options->listeners || options->listener_count == 0 ||
        options->listener_count > LOOP_LISTENERS_MAX || options->workers > LOOP_WORKERS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < options->listener_count; i++) {
        const struct loop_supervisor_listener *listener = &options->listeners[i];
        if (!listener->address)
            return -EINVAL;
        int error =
            loop_address_parse(&supervisor->addresses[i], listener->address, listener->port);
        if (error)
            return error;
    }
    return 0;
}

static int prepare(struct loop_supervisor *supervisor)
{
    int error = parse_addresses(supervisor);
    if (!error)
        error = program_find(supervisor);
    if (!error)
        error = make_slots(supervisor);
    return error ? error : start_signals(supervisor);
}

int loop_supervisor_start(struct loop *loop, struct loop_supervisor *supervisor,
                          const struct loop_supervisor_options *options)
{
    if (!loop || !supervisor || !options)
        return -EINVAL;
    *supervisor =
        (struct loop_supervisor){.data = supervisor->data, .loop = loop, .options = *options};
    set_defaults(&supervisor->options);
    list_init(&supervisor->children);
    loop_timer_init(loop, &supervisor->ending);
    init_signals(supervisor);
    int error = prepare(supervisor);
    if (!error)
        error = child_spawn(&supervisor->slots[0], &supervisor->slots[0].current);
    if (error) {
        stop_signals(supervisor);
        free_slots(supervisor);
        return error;
    }
    for (unsigned i = 1; i < supervisor->options.workers; i++)
        slot_start_after(&supervisor->slots[i], 0);
    return 0;
}

uint16_t loop_supervisor_port(const struct loop_supervisor *supervisor, size_t listener)
{
    return listener < supervisor->options.listener_count
               ? loop_address_port(&supervisor->addresses[listener])
               : 0;
}

pid_t loop_supervisor_pid(const struct loop_supervisor *supervisor, unsigned slot)
{
    if (!supervisor->slots || slot >= supervisor->options.workers)
        return 0;
    const struct supervisor_child *child = supervisor->slots[slot].current;
    return child ? child->pid : 0;
}
