/* Internal. The supervisor's parts: slots, which are places with sockets, and children, which are
 * processes.
 *
 * A slot has at most one child that serves or is to (current), and while code is rolled in one that
 * is to take its place (next). Children that were told to finish belong to no slot any more. Every
 * child is on supervisor->children from the spawn until its process has ended.
 *
 * The worker's end and ours speak in single bytes over a unix-domain socket, the worker's
 * descriptor 3; listening sockets follow from 4 on.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_SUPERVISOR_H
#define LOOP_HTTP_SUPERVISOR_H

#include "list.h"
#include "loop/http/workers.h"

enum { WORKER_CONTROL_FD = 3, WORKER_FIRST_FD = 4 };

/* "slot:listeners:milliseconds between two beats" */
#define WORKER_VARIABLE "LOOP_WORKER"

enum worker_word {
    WORKER_SAYS_READY = 'r',
    WORKER_SAYS_ALIVE = '.',
    WORKER_HEARS_DRAIN = 'd',
};

enum child_state {
    CHILD_STARTING,
    CHILD_SERVING,
    CHILD_DRAINING, /* was told to finish */
};

struct supervisor_child {
    struct loop_link link; /* on supervisor->children */
    struct loop_supervisor *supervisor;
    struct supervisor_slot *slot;
    enum child_state state;
    pid_t pid;
    struct loop_process process;
    struct loop_pipe control;
    struct loop_timer deadline; /* to be ready, or to have finished */
    struct loop_timer silence;
    uint64_t started_ns;
    unsigned open_handles; /* closed before it is freed */
};

struct supervisor_slot {
    struct loop_supervisor *supervisor;
    unsigned number;
    int sockets[LOOP_LISTENERS_MAX]; /* -1: not open */
    struct supervisor_child *current;
    struct supervisor_child *next;
    struct loop_timer retry;
    unsigned quick; /* deaths in a row that came soon */
    bool given_up;
};

/* supervisor.c */
void supervisor_report(struct loop_supervisor *supervisor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void supervisor_end_if_done(struct loop_supervisor *supervisor, int status);

/* supervisor_slot.c */
int slot_open(struct supervisor_slot *slot);
void slot_close(struct supervisor_slot *slot);
void slot_start_after(struct supervisor_slot *slot, uint64_t delay_ns);
void slot_child_ready(struct supervisor_slot *slot, struct supervisor_child *child);
void slot_child_gone(struct supervisor_slot *slot, struct supervisor_child *child, bool asked);
void slot_roll(struct loop_supervisor *supervisor);

/* supervisor_child.c */
int child_spawn(struct supervisor_slot *slot, struct supervisor_child **child);
void child_drain(struct supervisor_child *child);
void child_kill(struct supervisor_child *child);

/* supervisor_program.c */
int program_find(struct loop_supervisor *supervisor);
void program_free(struct loop_supervisor *supervisor);

#endif
