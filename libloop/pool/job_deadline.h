/* Internal. When a request whose work is a job of the pool is given up: work, files, names.
 *
 * Each type of them has a struct loop_job_deadline, and an expect() that calls
 * job_deadline_set(). It says job_deadline_none() when it starts, and job_deadline_end() as soon as
 * the outcome is decided, in whatever way.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POOL_JOB_DEADLINE_H
#define LOOP_POOL_JOB_DEADLINE_H

#include "internal.h"

/* job_deadline.c */

/* Few requests have one, so that all do no more than this. */
static inline void job_deadline_none(struct loop_job_deadline *deadline)
{
    deadline->request = NULL;
}

/* The request's cancel() is called with -ETIMEDOUT then. */
void job_deadline_set(struct loop_job_deadline *deadline, struct loop_request *request,
                      uint64_t due_ns);
void job_deadline_end(struct loop_job_deadline *deadline);

#endif
