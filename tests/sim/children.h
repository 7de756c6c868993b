/* Internal. The simulated processes and signals: what family.c asks of them, and is told.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIM_CHILDREN_H
#define LOOP_SIM_CHILDREN_H

#include "program.h"

struct child {
    struct child *next;
    pid_t pid;
    bool is_stranger; /* not ours */
    bool leads;       /* a group */
    bool ended, reaped;
    int status, signal;
};

struct child *child_at(pid_t pid);               /* NULL: there never was one */
struct child *stranger(void);                    /* another, made by somebody else */
void children_calm(void);                        /* all of them end */
void signal_send(int number);                    /* to us */
void signal_send_at(int number, unsigned calls); /* in a system call, so many from now */

void told_signal(int number); /* family.c: the handler is about to be called */

#endif
