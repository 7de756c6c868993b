/* Public. Watching files and directories: what is created, changed, renamed and removed there.
 *
 * A handle watches one path, a file or a directory, and with LOOP_FS_EVENT_RECURSIVE all
 * directories below. The kernel tells of changes as they happen (inotify(7)), so nothing is polled;
 * but it tells only of what is done through this machine's kernel, not on the far side of a network
 * file system, and not of writes to a shared mapping.
 *
 * What it keeps for us is bounded. If more happens than its queue holds, LOOP_FS_EVENT_OVERFLOW is
 * told to every handle of the loop: look again yourself. Nothing else is ever dropped in silence.
 *
 * All handles of a loop share one inotify descriptor, opened with the first and closed with the
 * last. A stopped handle needs no close and owns nothing. In a forked child loop_after_fork() has
 * every path watched anew; what had happened and was not told yet is lost there, so the child hears
 * LOOP_FS_EVENT_OVERFLOW.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_FS_EVENT_H
#define LOOP_FS_EVENT_H

#include "core.h"

struct loop_fs_event;
struct loop_fs_place;

enum loop_fs_event_flags {
    LOOP_FS_EVENT_RECURSIVE = 1, /* all directories below too; symbolic links are not followed */
    LOOP_FS_EVENT_NAMES = 2,     /* only what comes, goes and changes its name */
    LOOP_FS_EVENT_WRITTEN = 4,   /* also LOOP_FS_EVENT_FINISHED */
};

/* Of one handle, unless loop_fs_event_bounds() says otherwise. */
enum { LOOP_FS_EVENT_DEPTH_MAX = 256, LOOP_FS_EVENT_WATCHES_MAX = 65536 };

enum loop_fs_change_kind {
    LOOP_FS_EVENT_CREATED,
    LOOP_FS_EVENT_REMOVED,
    LOOP_FS_EVENT_MODIFIED, /* its bytes */
    LOOP_FS_EVENT_FINISHED, /* a file that was open for writing was closed: LOOP_FS_EVENT_WRITTEN */
    LOOP_FS_EVENT_ATTRIBUTES, /* owner, mode, times, number of links */
    LOOP_FS_EVENT_RENAMED,    /* from old_name to name, both below the watched path */
    LOOP_FS_EVENT_MOVED_IN,   /* from somewhere that is not watched */
    LOOP_FS_EVENT_MOVED_OUT,
    LOOP_FS_EVENT_GONE,  /* the path leads no more to what was watched: the handle has stopped */
    LOOP_FS_EVENT_READY, /* with LOOP_FS_EVENT_RECURSIVE, once: all that was there is watched now */
    LOOP_FS_EVENT_OVERFLOW, /* changes were lost: look again yourself */
    LOOP_FS_EVENT_ERROR,    /* a directory below cannot be watched: error says why */
};

struct loop_fs_change {
    enum loop_fs_change_kind kind;
    bool is_directory;
    int error;            /* LOOP_FS_EVENT_ERROR, LOOP_FS_EVENT_GONE: a negative errno, or 0 */
    const char *name;     /* relative to the watched path, whole, any bytes but 0; "": itself */
    const char *old_name; /* LOOP_FS_EVENT_RENAMED; otherwise NULL */
};

/* Comes in the poll phase, once for each change, in the order of the changes. change and its names
 * are valid until it returns. In it any handle may be stopped, started, or closed. */
typedef void (*loop_fs_event_cb)(struct loop_fs_event *event, const struct loop_fs_change *change);

struct loop_fs_event {
    struct loop_handle handle;

    /* private */
    loop_fs_event_cb cb;
    struct loop_link peer;      /* on the loop's list of these, while active */
    struct loop_fs_place *root; /* NULL: not active */
    char *path;                 /* as it was given, but absolute */
    uint32_t flags;
    uint32_t mask; /* what is wanted, in the words of inotify(7) */
    uint32_t depth_max;
    uint32_t places_max;
    uint32_t places;    /* directories, and the root */
    uint32_t unscanned; /* of them: still to be read */
    bool ready;
    int trouble;   /* told at the end of this turn's work; 0: none */
    uint64_t told; /* the number of the last rename that was told */
};

LOOP_API void loop_fs_event_init(struct loop *loop, struct loop_fs_event *event);

/* Watches path, a symbolic link's target if it is one, from here on: what happened before is not
 * told. flags is 0 or LOOP_FS_EVENT_…; the path is copied.
 *
 * Told are changes of a file itself (name ""), or of what is in a directory. With
 * LOOP_FS_EVENT_RECURSIVE directories that are there already are found by and by, some each turn:
 * until LOOP_FS_EVENT_READY what changes in one that was not reached yet is not told, so take your
 * own look then. What is in a directory that comes later is told as created, each entry once. Two
 * things may still be told that you did not expect: a change or removal of an entry that was not
 * told as created, because it happened just before its directory was read; and an entry as created
 * again, if directories above were renamed several times while they were read, or after
 * LOOP_FS_EVENT_OVERFLOW. A rename whose halves come too far apart (64 other events, or a turn) is
 * told as moved out and moved in, and so are the entries of a directory.
 *
 * LOOP_FS_EVENT_ERROR bears the name of a directory that cannot be watched, with -ENOSPC (all of
 * /proc/sys/fs/inotify/max_user_watches), -EACCES, -ENAMETOOLONG (its path has 4096 bytes); or the
 * name "" with -E2BIG (past the bounds of loop_fs_event_bounds()) or -ENOMEM, once a turn for all
 * that it befell.
 *
 * LOOP_FS_EVENT_GONE comes when the path was removed, renamed or unmounted, or something else put
 * in its place, with error 0; or if it could not be watched anew (after a fork, an overflow), with
 * the error. The handle is not active then, and may be started again.
 *
 * Errors: -EINVAL (an argument NULL, unknown flags), -EALREADY (active: stop it first), -ECANCELED
 * (closing), -ENOENT, -ENOTDIR (also: LOOP_FS_EVENT_RECURSIVE and no directory), -EACCES, -ELOOP,
 * -ENAMETOOLONG (4096 bytes, with the working directory if it is relative), -ENOSPC
 * (max_user_watches), -EMFILE (also /proc/sys/fs/inotify/max_user_instances: loops that watch),
 * -ENOMEM, -ECHILD (forked: loop_after_fork()). */
LOOP_API int loop_fs_event_start(struct loop_fs_event *event, const char *path, uint32_t flags,
                                 loop_fs_event_cb cb);

/* From here on cb does not come. Harmless on a handle that is not active. */
LOOP_API void loop_fs_event_stop(struct loop_fs_event *event);

/* How deep LOOP_FS_EVENT_RECURSIVE goes, and how many directories it watches: from 1 on (the
 * watched one alone). 0: the default. Errors: -EINVAL (NULL), -EBUSY (active), -ECANCELED
 * (closing). */
LOOP_API int loop_fs_event_bounds(struct loop_fs_event *event, uint32_t depth_max,
                                  uint32_t watches_max);

/* A word for it: "created", "moved in". A constant; any thread. */
LOOP_API const char *loop_fs_change_word(enum loop_fs_change_kind kind);

#endif
