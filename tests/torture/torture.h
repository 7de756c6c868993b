/* Internal. What the scenarios of torture share.
 *
 * A scenario starts something on a loop, with public functions alone, and closes it all when it is
 * through. It accepts any error: it gives each result to ok(), which says whether to go on. With
 * the first error it is told of the loop is stopped, and all that is left on it is closed from
 * outside.
 *
 * Then it is asked whether all was done, and that is the rule of the game: either all was done, or
 * an error was told.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TORTURE_H
#define TORTURE_H

#include "loop.h"

#include <errno.h>

struct scenario {
    const char *name;
    enum loop_clock clock;
    void (*start)(struct loop *loop);
    bool (*done)(void);  /* all that start() wanted has happened */
    void (*clean)(void); /* NULL, or: closes descriptors and removes files of its own */
};

extern struct loop torture_loop;

/* Whether it is no error; tells of it otherwise. Cancellations are not told of: they follow from
 * closing. */
bool ok(ssize_t result);

/* Requests whose callback has to come exactly once. */
void begun(void);
void ended(void);

/* Both in one: a request was started, or its error told. */
bool began(ssize_t result);

/* Closes a handle that is not closing yet. */
void shut(struct loop_handle *handle);

/* A descriptor of the scenario's own, which must be had. */
int must(int result);

#endif
