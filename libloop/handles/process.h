/* Internal. What the files of processes share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_PROCESS_H
#define LOOP_HANDLES_PROCESS_H

#include "callback.h"

/* A process that is waited for: it may outlive its handle, and even its loop. */
struct loop_child {
    struct loop_link link;       /* once nobody asks for it: on a list of the process's, or alone */
    struct loop_watcher watcher; /* a pidfd; -1: none yet */
    struct loop *loop;           /* NULL: it is gone */
    struct loop_process *process; /* NULL: nobody asks */
    struct loop_allocator allocator;
    bool adopted; /* somebody else's, not to be reaped */
};

/* All that a child needs until it executes a program. Its parent prepares it. */
struct launch {
    const char *const *args;
    const char *const *env;
    const char *candidates; /* paths to try, one behind the other, and an empty one */
    const char *cwd;
    int *fds; /* what becomes of 0, 1, 2…: ours */
    int count;
    unsigned flags;
    uid_t uid;
    gid_t gid;
    sigset_t mask;
    int error; /* what has failed; 0: nothing */
};

/* process.c */

struct loop_child *child_create(struct loop *loop); /* NULL: out of memory */
int child_begin(struct loop_process *process, struct loop_child *child, pid_t pid,
                loop_process_cb cb); /* its watcher has a pidfd */
void child_destroy(struct loop_child *child);
int process_vacant(const struct loop_process *process); /* 0: it could be started */

/* process_reap.c */

void child_orphan(struct loop_child *child); /* reaped when it ends */
void child_forget(struct loop_child *child); /* off the list, if it is an orphan */
void orphans_reap(void);                     /* those whose loop is gone, if they have ended */

/* process_stdio.c */

struct stdio_plan {
    int null_fd;   /* -1: not needed */
    int *theirs;   /* opened for the child; -1: nothing */
    size_t opened; /* so many pipes are */
};

int stdio_open(struct stdio_plan *plan, const struct loop_process_options *options,
               struct launch *launch);
void stdio_close_theirs(struct stdio_plan *plan, int count);
void stdio_undo(struct stdio_plan *plan, const struct loop_process_options *options, int count);

/* process_path.c */

size_t path_candidates(const char *file, const char *const *env, char *buffer);

/* process_child.c */

int child_run(void *launch); /* in the child; returns if it has failed */

#endif
