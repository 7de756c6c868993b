/* Public. Hooks: call back once a turn, at a fixed place in it.
 *
 * Idle and prepare hooks run before poll, in that order; check hooks run after it, behind the
 * immediates. Each kind runs in start order. A hook started by a hook of its kind begins next turn;
 * one that is stopped before it ran does not run. An active idle hook forbids poll to sleep, even
 * if it is unreferenced: the loop then spins, as in libuv, whose "idle" means the same.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HOOK_H
#define LOOP_HOOK_H

#include "core.h"

struct loop_hook;

/* Comes in the hook's phase. The hook may be stopped, closed or, if stopped, freed in it. */
typedef void (*loop_hook_cb)(struct loop_hook *hook);

struct loop_hook {
    struct loop_handle handle;

    /* private */
    struct loop_link *home; /* the list of its kind */
    loop_hook_cb cb;
};

/* Make a hook in the caller's memory. A stopped hook needs no close. */
LOOP_API void loop_idle_init(struct loop *loop, struct loop_hook *hook);
LOOP_API void loop_prepare_init(struct loop *loop, struct loop_hook *hook);
LOOP_API void loop_check_init(struct loop *loop, struct loop_hook *hook);

/* Calls cb once a turn from now on. An active hook keeps its place and takes the new cb. Errors:
 * -EINVAL (cb NULL), -ECANCELED (closing). */
LOOP_API int loop_hook_start(struct loop_hook *hook, loop_hook_cb cb);

/* Harmless on a hook that is not active. */
LOOP_API void loop_hook_stop(struct loop_hook *hook);

#endif
