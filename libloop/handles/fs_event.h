/* Internal. What the files of watching offer each other.
 *
 * A watch is what the kernel has: an inode, and a number for it. A place is what a handle has: a
 * spot in its tree, which is bound to a watch; the root for every handle, and with
 * LOOP_FS_EVENT_RECURSIVE one for each directory. Several places may be bound to one watch, since
 * several handles may look at one inode. A name is an entry of a place's directory that we
 * remember: a directory with a place of its own, or, until the place has settled, whatever the user
 * was told.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_FS_EVENT_H
#define LOOP_HANDLES_FS_EVENT_H

#include "callback.h"

enum {
    QUEUE_SIZE = 65536,  /* one read's worth: about 2,000 events */
    ENTRIES_SIZE = 8192, /* of a directory: about 250 entries */
    PATH_SIZE = 4096,    /* the kernel's, with the 0 */
    NAME_SIZE = PATH_SIZE + 256,
    PAIR_REACH = 64, /* events between the halves of a rename: none, but for other processors */
};

/* How a directory is to be read; the later word includes the earlier. */
enum scan {
    SCAN_NONE,
    SCAN_QUIET,  /* it was there: follow directories */
    SCAN_CHECK,  /* it was moved: directories not known yet are new */
    SCAN_REPAIR, /* events were lost: the same, and what is not there is gone */
    SCAN_TELL,   /* it is new: tell all that is in it */
};

struct table_node {
    struct table_node *next;
    uint32_t hash;
};

struct table {
    struct table_node **buckets;
    uint32_t size; /* a power of 2, or 0 */
    uint32_t count;
    struct table_node *spare; /* the only bucket as long as there is no memory for more */
};

struct fs_watch {
    struct table_node node; /* its number's hash is the number */
    int wd;
    bool gone;               /* the kernel knows it no more */
    uint32_t count;          /* of places */
    struct loop_link places; /* some may be on the list of who hands an event out */
};

struct fs_name {
    struct table_node node;
    struct loop_link link;        /* on its place's names */
    struct loop_fs_place *parent; /* in whose directory it is */
    struct loop_fs_place *child;  /* NULL: not followed */
    bool listed;                  /* told by reading; the kernel may still tell it too */
    char text[];
};

struct loop_fs_place {
    struct loop_link link;  /* on its watch's places, or alone */
    struct fs_watch *watch; /* NULL: not bound */
    struct loop_fs_event *event;
    struct fs_name *name; /* NULL: the root */
    struct loop_link names;
    struct loop_link turn; /* on watches->scans, ->finished or ->settling, or alone */
    uint64_t since;        /* what stands before this in the queue is not for it */
    uint64_t settled_at;   /* from here on in the queue reading and events tell nothing twice */
    enum scan scan;        /* wanted */
    enum scan next;        /* wanted while it was being read */
    bool queued;           /* on watches->scans */
    bool settled;
    bool told; /* its entries were told, or will be */
};

struct loop_watches {
    struct loop *loop;
    struct loop_allocator allocator;
    struct loop_parcel parcel;   /* to ourselves: go on next turn */
    struct loop_request request; /* never completes, but hears of forks */
    struct loop_watcher watcher;
    struct loop_link handles;
    struct loop_link scans;    /* places, in order */
    struct loop_link finished; /* places that were read in this turn */
    struct loop_link settling; /* places, in order of settled_at */
    struct table watches;
    struct table names;
    struct loop_fs_place *scanning; /* NULL: no directory is open */
    int dir_fd;
    bool posted;   /* the parcel is under way */
    bool busy;     /* calling back: nothing is let go of */
    bool closed;   /* waits for its parcel, to be freed */
    bool shaken;   /* forked: all handles are to look again */
    bool troubled; /* some handle has trouble to tell */
    int failure;   /* of the descriptor: all handles have lost it */

    uint64_t position; /* in the queue, as if it had no end, of bytes[0] */
    uint64_t aged;     /* what stands before this was here a turn ago */
    uint64_t aged_turn;
    uint64_t renames;
    uint32_t generation; /* of the process whose queue it is: forked() asks about the loop */
    size_t used;
    char path[PATH_SIZE];
    char text[2][NAME_SIZE]; /* the names of the change that is being told */
    _Alignas(struct sys_entry) char entries[ENTRIES_SIZE];
    _Alignas(struct inotify_event) char bytes[QUEUE_SIZE];
};

/* fs_event.c */

/* The user's callback: afterwards the handle, and all its places, may be gone. */
void fs_event_tell(struct loop_fs_event *event, struct loop_fs_change change);
void fs_event_tell_gone(struct loop_fs_event *event, int error);

/* fs_event_watches.c */

struct loop_watches *fs_event_open(struct loop *loop, int *error); /* NULL: error says why */
void fs_event_release(struct loop_watches *watches);               /* if nobody needs it */
void fs_event_go_on(struct loop_watches *watches);                 /* next turn */
int fs_event_bind(struct loop_fs_place *place, const char *path);  /* 1: to another inode */
void fs_event_unbind(struct loop_fs_place *place);
struct fs_watch *fs_event_watch(struct loop_watches *watches, int wd); /* NULL: none */
uint64_t fs_event_queue_end(const struct loop_watches *watches);
void fs_event_take_queue(struct loop_watches *watches); /* so that nothing is merged with it */

/* fs_event_places.c */

struct table_node *table_chain(const struct table *table, uint32_t hash);
void table_add(struct loop_watches *watches, struct table *table, struct table_node *node);
void table_remove(struct table *table, struct table_node *node);

struct loop_fs_place *fs_event_place(struct loop_fs_event *event); /* NULL: out of memory */
void fs_event_displace(struct loop_fs_place *place);               /* and all below */
uint32_t fs_event_depth(const struct loop_fs_place *place);        /* of the root: 1 */
void fs_event_trouble(struct loop_fs_event *event, int error);     /* to be told at the end */
struct fs_name *fs_event_find(const struct loop_fs_place *place, const char *text);
struct fs_name *fs_event_note(struct loop_fs_place *place, const char *text, bool listed);
void fs_event_forget(struct fs_name *name); /* NULL: nothing to do */
void fs_event_follow(struct loop_fs_place *place, const char *text, enum scan scan);
void fs_event_move(struct loop_fs_place *child, struct loop_fs_place *to, const char *text);
/* place's path below the root, or below prefix, with leaf behind; NULL: too long. */
char *fs_event_join(const struct loop_fs_place *place, const char *prefix, const char *leaf,
                    char *room, size_t size);

/* fs_event_queue.c */

void fs_event_dispatch(struct loop_watches *watches);
void fs_event_shake(struct loop_watches *watches, uint64_t position); /* tells of an overflow */

/* fs_event_scan.c */

void fs_event_want_scan(struct loop_fs_place *place, enum scan scan);
void fs_event_end_scan(struct loop_fs_place *place); /* it is read, or about to be freed */
void fs_event_scan(struct loop_watches *watches);    /* a turn's worth */
void fs_event_settle(struct loop_watches *watches);

/* Not a forked child, whose queue is still its parent's. */
static inline bool fs_event_is_ours(const struct loop_watches *watches)
{
    return watches->generation == fork_generation();
}

static inline bool fs_event_recursive(const struct loop_fs_event *event)
{
    return event->flags & LOOP_FS_EVENT_RECURSIVE;
}

static inline struct loop_watches *fs_event_watches(const struct loop_fs_place *place)
{
    return place->event->handle.loop->watches;
}

#endif
