/* Internal. What the files of the file system have for each other.
 *
 * An operation is a constant struct fs_op: which arguments it takes, and the function that does it.
 * A public function names one and hands over its arguments; fs_start() checks and copies them, and
 * does the rest for all operations alike.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_POOL_FS_H
#define LOOP_POOL_FS_H

#include "internal.h"

#include <stdalign.h>

enum {
    FS_PATH_SIZE = 4096,      /* PATH_MAX of limits.h: with the 0 */
    FS_MOVE_MAX = 1 << 30,    /* what one call may read or write */
    FS_DIRENTS_SIZE = 65536,  /* what is read of a directory at a time */
    FS_VECTOR_MAX = 1024,     /* IOV_MAX of limits.h */
    FS_PIECE_SIZE = 16 << 20, /* of a copy: between two a cancel is seen */
};

struct fs_args {
    const char *path;
    const char *to;   /* the second path, or the target of a link */
    const void *data; /* data_size bytes, aligned for anything */
    size_t data_size;
    size_t size;
    int64_t offset;
    int fd;
    int in_fd;
    int dir_fd;    /* of path */
    int to_dir_fd; /* of to */
    int flags;
    unsigned mask;
    mode_t mode;
    uid_t user;
    gid_t group;
    struct timespec times[2];
};

struct fs_job {
    struct loop_job job;
    const struct fs_op *op;
    struct fs_args args; /* what they point to is in copies */
    ssize_t result;      /* FS_NOT_RUN until it has run */
    char *bytes;
    struct loop_dirent *entries;
    union {
        struct stat stat;
        struct statx statx;
        struct statfs statfs;
    };
    alignas(max_align_t) char copies[];
};

enum { FS_NOT_RUN = -ECANCELED };

enum fs_takes { FS_TAKES_PATH = 1, FS_TAKES_TO = 2, FS_TAKES_FD = 4 };

enum fs_gives {
    FS_GIVES_NOTHING,
    FS_GIVES_BYTES,
    FS_GIVES_ROOMS, /* bytes too, into the rooms that are the data */
    FS_GIVES_STAT,
    FS_GIVES_STATX,
    FS_GIVES_STATFS,
    FS_GIVES_ENTRIES,
};

struct fs_op {
    unsigned takes; /* of enum fs_takes: what must be there */
    enum fs_gives gives;
    bool reads;                           /* bytes are allocated before: size, and a 0 */
    ssize_t (*run)(struct fs_job *job);   /* on any thread */
    ssize_t (*quick)(struct fs_job *job); /* on the loop's: -EAGAIN: it would have to wait, or
                                             cannot know; NULL: it always might */
    void (*undo)(struct fs_job *job);     /* nobody wants the result; NULL: let it be */
};

/* fs.c */

/* Errors as the public functions; consumes what loop_fs_at() said. */
int fs_start(struct loop *loop, struct loop_fs *fs, const struct fs_op *op, struct fs_args *args,
             loop_fs_cb cb);
void *fs_allocate(const struct fs_job *job, size_t size); /* NULL: out of memory */
int fs_refused(struct loop *loop, const struct loop_fs *fs, loop_fs_cb cb); /* 0: it may start */
void fs_complete(struct loop_fs *fs); /* calls back, through the door */

/* fs_quick.c */

/* Whether this turn has room for one more, that reads at most so many bytes; takes it. */
bool fs_quick_allowed(struct loop *loop, size_t size);
bool fs_quick_is_best(const struct loop *loop); /* of what is not faster on many threads */

/* For struct fs_op. */
ssize_t fs_quick_open(struct fs_job *job);
ssize_t fs_quick_stat(struct fs_job *job);
ssize_t fs_quick_read(struct fs_job *job);

/* All of a regular file into *bytes, with a 0 behind it; -EAGAIN as above, or it is too large. */
ssize_t fs_quick_file(struct loop *loop, int dir_fd, const char *path, char **bytes);

/* fs_copy.c */

ssize_t fs_write_all(int fd, const char *bytes, size_t size); /* size, or an error */

/* fs_temp.c */

enum { FS_RANDOM_LENGTH = 6 };

void fs_random_name(char *name); /* six characters, no 0 */

#endif
