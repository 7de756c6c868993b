/* Public. Poll handles: watch a descriptor that belongs to someone else, another library's socket.
 *
 * Level-triggered: the callback comes again each turn while what was asked for is true. The
 * descriptor stays the caller's: it must be open while the handle is active, libloop neither reads
 * it, nor changes its flags, nor closes it. Stop the handle before you close the descriptor.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POLL_H
#define LOOP_POLL_H

#include "core.h"

enum loop_poll_event {
    LOOP_READABLE = 1,
    LOOP_WRITABLE = 2,
    LOOP_PRIORITY = 4,   /* out-of-band data, a change in a sysfs file: EPOLLPRI of epoll_ctl(2) */
    LOOP_DISCONNECT = 8, /* the peer has shut down its writing half, or hung up */
};

struct loop_poll;

/* Comes in the poll phase. status 0: events says what is true of what was asked for; an error or
 * a hang-up counts as all that was asked for, so that the next read or write returns it. status
 * -EBADF: the descriptor was closed behind the handle, which has been stopped; this is noticed
 * when what is asked for changes, or when the number gets a new watcher, and not before. The
 * handle may be started anew, stopped, closed or, if stopped, freed in it. */
typedef void (*loop_poll_cb)(struct loop_poll *poll, int status, uint32_t events);

struct loop_poll {
    struct loop_handle handle;

    /* private */
    struct loop_watcher watcher;
    loop_poll_cb cb;
};

/* Makes a poll handle in the caller's memory for the descriptor fd, which is not looked at before
 * loop_poll_start(). A stopped poll handle needs no close. */
LOOP_API void loop_poll_init(struct loop *loop, struct loop_poll *poll, int fd);

/* Calls cb when any of events (LOOP_READABLE | …) is true. An active handle takes the new events
 * and cb; for the kernel that happens in the next poll phase. Errors: -EINVAL (no or unknown
 * events, cb NULL), -EBADF (no such descriptor), -EPERM (a regular file or directory: always
 * ready, nothing to wait for), -EEXIST (another handle of this loop watches it), -ENOSPC
 * (/proc/sys/fs/epoll/max_user_watches), -ENOMEM, -ECANCELED (closing). */
LOOP_API int loop_poll_start(struct loop_poll *poll, uint32_t events, loop_poll_cb cb);

/* From here on the descriptor is the caller's alone. Harmless on a handle that is not active. */
LOOP_API void loop_poll_stop(struct loop_poll *poll);

#endif
