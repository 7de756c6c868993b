/* Internal. The jobs that wait in a pool, by class, and which of them is next.
 *
 * The pool's lock guards all of it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POOL_LANES_H
#define LOOP_POOL_LANES_H

#include "internal.h"

/* Jobs of one class. */
struct lane {
    struct loop_link queue;
    uint32_t queued;
    uint32_t running;     /* by so many threads; at most running_max */
    uint32_t running_max; /* its cap, at least 1 */
};

struct lanes {
    struct lane of[POOL_CLASSES];
    uint64_t pushed; /* jobs so far: the number of the last */
    uint32_t queued; /* in all of them */
};

void lanes_init(struct lanes *lanes, uint32_t threads_max);

/* How many jobs threads could take now, if there were enough of them. */
uint32_t lanes_startable(const struct lanes *lanes);

/* Whether one more job of the class could be taken besides. */
bool lanes_have_room(const struct lanes *lanes, enum pool_class kind);

void lanes_push(struct lanes *lanes, struct loop_job *job);
void lanes_remove(struct lanes *lanes, struct loop_job *job); /* it waits */

/* Takes the next job, which counts as running from here on; NULL: none that may start. */
struct loop_job *lanes_begin(struct lanes *lanes);

void lanes_end(struct lanes *lanes, const struct loop_job *job); /* it has run */

/* In a forked child: those who ran any are gone. */
void lanes_forget_running(struct lanes *lanes);

#endif
