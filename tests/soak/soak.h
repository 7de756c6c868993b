/* Internal. What the parts of the soak share: one loop, one row of chance, one way to fail.
 *
 * Each part has a begin, called once, and an end, after which it begins nothing anew and closes
 * what it has; it is done when nothing of it keeps the loop alive.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SOAK_H
#define SOAK_H

#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern struct loop loop;
extern bool ending;

/* What has been done since the beginning, and how much of it failed unasked. */
struct done {
    unsigned long long connections, unanswered, chores, children, changes, errors;
    int servers; /* connections that the server has at this moment */
};

extern struct done done;

void check(int result, const char *what); /* ends the process if it is an error */
uint32_t chance(uint32_t below);

void listen_somewhere(void);
void traffic_begin(void);
void traffic_end(void);
void chores_begin(void);
void chores_end(void);
void children_begin(void);
void children_end(void);
void watches_begin(void);
void watches_end(void);

/* idle.c: how often the kernel was asked to wait, and how often it came back. */
unsigned long long waits_begun(void);
unsigned long long waits_ended(void);
int idle(unsigned seconds);

#endif
