/* Public. Files: opened, read, written, and known by their descriptor. Those known by their path
 * are in loop/fs_path.h, directories in loop/fs_dir.h.
 *
 * Each operation is one request: the caller's memory, all zero before its first use, lent until the
 * callback. It is done on a thread of the pool; or at once, if the kernel can promise that it need
 * not wait for a disk: then the callback comes in the pending phase of this turn or the next, never
 * from inside the call. At most 1024 operations and 4 MiB a turn are done so, each of 256 KiB at
 * most, so that the loop is not held up; fs_pool_only in the options has all done on the pool.
 *
 * Paths are copied, data to write is copied, and what an operation gives belongs to the request: it
 * is freed when the callback returns, unless loop_fs_take() took it. So a cancelled operation never
 * touches memory that the caller has freed, even if a thread is still at it. That thread does use
 * the descriptor still: close it by loop_fs_close() in the callback of another operation, not by
 * close(2) behind a cancel, if its number might be given out again.
 *
 * loop_request_cancel(&fs.request) has the callback come with -ECANCELED, loop_request_deadline()
 * with -ETIMEDOUT. An operation that a thread has begun is done all the same, but for those of many
 * steps, which give up between two.
 *
 * A relative path is looked up from the current directory, or from one of the caller's: see
 * loop_fs_at(). Paths and names are bytes, of any encoding. EINTR is never seen.
 *
 * Every function returns 0, or -EINVAL (an argument NULL or out of range), -ENAMETOOLONG (a path of
 * 4096 bytes or more: nothing is truncated), -EAGAIN (the pool is full), -ENOMEM; then nothing was
 * started. What the operation itself meets comes as the result. Starting a request in flight
 * panics.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_FS_H
#define LOOP_FS_H

#include "core.h"
#include "pool.h"
#include "request.h"
#include "stream.h"

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct loop_fs;
struct loop_read_file;
struct statfs; /* of <sys/statfs.h> */
struct statx;  /* of <sys/stat.h>, with _GNU_SOURCE */

/* Comes in the poll phase, or in pending if there was nothing to wait for; once. The request may be
 * used again or freed in it. */
typedef void (*loop_fs_cb)(struct loop_fs *fs);

/* A name in a directory. */
struct loop_dirent {
    const char *name; /* any bytes but 0 and '/'; never "." or ".." */
    size_t length;    /* of name */
    uint64_t inode;
    unsigned char type; /* DT_REG, DT_DIR, DT_LNK… of <dirent.h>; DT_UNKNOWN: ask loop_fs_lstat() */
};

struct loop_fs {
    struct loop_request request; /* request.data is yours */

    /* read-only, in the callback; what an operation does not give is NULL */
    ssize_t result;                    /* what the operation gives, or a negative errno */
    const char *bytes;                 /* what was read, or a path; and behind it a 0 */
    const struct stat *stat;           /* of loop_fs_stat() and its like */
    const struct statx *statx;         /* of loop_fs_statx() */
    const struct statfs *statfs;       /* of loop_fs_statfs() */
    const struct loop_dirent *entries; /* of loop_fs_readdir(): result of them */

    /* private */
    struct loop_job *job;
    char **owner;                     /* of bytes, in the callback */
    struct loop_read_file *read_file; /* the four steps of loop_fs_read_file, while they last */
    loop_fs_cb cb;
    int dir;    /* of the next path: a descriptor less AT_FDCWD */
    int to_dir; /* of the second path */
    struct loop_job_deadline deadline;
};

/* The relative paths of the next operation that fs starts are looked up from this directory, as by
 * openat(2); the descriptor stays the caller's. Once: the operation after that knows nothing of it,
 * whatever the call returned. AT_FDCWD: the current directory. */
LOOP_API void loop_fs_at(struct loop_fs *fs, int dir_fd);

/* The same for the second path alone, of an operation that has two. Call it behind loop_fs_at(). */
LOOP_API void loop_fs_to_at(struct loop_fs *fs, int dir_fd);

/* open(2): result is the descriptor, which is close-on-exec and belongs to the caller; if the
 * request was cancelled, the library closes it. */
LOOP_API int loop_fs_open(struct loop *loop, struct loop_fs *fs, const char *path, int flags,
                          mode_t mode, loop_fs_cb cb);

/* close(2). The descriptor is gone whatever the result, and even if the request was cancelled. */
LOOP_API int loop_fs_close(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb);

/* pread(2) of at most size bytes at offset, or read(2) at the file's position if offset is -1.
 * fs->bytes; result: how many, which at the position may be fewer than there are; 0 at the end of
 * the file. -EINVAL: size over 1 GiB. */
LOOP_API int loop_fs_read(struct loop *loop, struct loop_fs *fs, int fd, size_t size,
                          int64_t offset, loop_fs_cb cb);

/* The same into the caller's memory, count rooms (at most 1024) one after the other, which are
 * filled just before the callback; the array is copied. Cancelled, it leaves them as they were. */
LOOP_API int loop_fs_readv(struct loop *loop, struct loop_fs *fs, int fd, const struct iovec *rooms,
                           size_t count, int64_t offset, loop_fs_cb cb);

/* pwrite(2) of size bytes at offset, or write(2) at the file's position if offset is -1. Result:
 * the bytes written, which may be fewer. */
LOOP_API int loop_fs_write(struct loop *loop, struct loop_fs *fs, int fd, const void *bytes,
                           size_t size, int64_t offset, loop_fs_cb cb);

/* The same of count buffers (at most 1024), as one write. */
LOOP_API int loop_fs_writev(struct loop *loop, struct loop_fs *fs, int fd,
                            const struct loop_buf *bufs, size_t count, int64_t offset,
                            loop_fs_cb cb);

/* sendfile(2): at most size bytes of in_fd from offset, or from its position if offset is -1, to
 * out_fd at its position. Result: the bytes moved, which may be fewer. */
LOOP_API int loop_fs_sendfile(struct loop *loop, struct loop_fs *fs, int out_fd, int in_fd,
                              int64_t offset, size_t size, loop_fs_cb cb);

/* fstat(2): fs->stat. */
LOOP_API int loop_fs_fstat(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb);

/* ftruncate(2): the file has size bytes, cut or with zeros behind what there was. */
LOOP_API int loop_fs_ftruncate(struct loop *loop, struct loop_fs *fs, int fd, int64_t size,
                               loop_fs_cb cb);

/* fsync(2): what was written is on the disk, and all that is known of the file. */
LOOP_API int loop_fs_fsync(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb);

/* fdatasync(2): the same without what reading does not need, such as times. */
LOOP_API int loop_fs_fdatasync(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb);

/* futimens(3): times[0] of access, times[1] of change; UTIME_NOW and UTIME_OMIT of <sys/stat.h>. */
LOOP_API int loop_fs_futimes(struct loop *loop, struct loop_fs *fs, int fd,
                             const struct timespec times[2], loop_fs_cb cb);

/* fchmod(2). */
LOOP_API int loop_fs_fchmod(struct loop *loop, struct loop_fs *fs, int fd, mode_t mode,
                            loop_fs_cb cb);

/* fchown(2); (uid_t)-1, (gid_t)-1: leave it. */
LOOP_API int loop_fs_fchown(struct loop *loop, struct loop_fs *fs, int fd, uid_t user, gid_t group,
                            loop_fs_cb cb);

/* The whole file, as Node's fs.readFile reads it: four jobs on the pool, open, fstat, read, close
 * (more reads if it does not end where fstat said); or none, if it is small and in memory.
 * fs->bytes; result: its size. -EISDIR: a directory; -EFBIG: over 1 GiB. */
LOOP_API int loop_fs_read_file(struct loop *loop, struct loop_fs *fs, const char *path,
                               loop_fs_cb cb);

enum loop_fs_write_flags {
    LOOP_FS_EXCLUSIVE = 1, /* -EEXIST if there is such a file */
    LOOP_FS_SYNC = 2,      /* fsync(2) before it is closed */
    LOOP_FS_ATOMIC = 4,    /* whoever looks, whenever the power fails, finds the old or the new */
};

/* Makes or replaces a file of size bytes, of a mode less the umask if it is new. Result: size, or
 * an error, with some of it written. LOOP_FS_ATOMIC writes a new file in the same directory, with
 * the old one's mode, syncs it, renames it, and syncs the directory: nothing is left of a failure;
 * a link is replaced by the file; not with LOOP_FS_EXCLUSIVE (-EINVAL). */
LOOP_API int loop_fs_write_file(struct loop *loop, struct loop_fs *fs, const char *path,
                                const void *bytes, size_t size, mode_t mode, unsigned flags,
                                loop_fs_cb cb);

/* Behind what there is, or in a new file; flags: LOOP_FS_SYNC or 0. Result: size, or an error. */
LOOP_API int loop_fs_append_file(struct loop *loop, struct loop_fs *fs, const char *path,
                                 const void *bytes, size_t size, mode_t mode, unsigned flags,
                                 loop_fs_cb cb);

/* In the callback: fs->bytes, which now belongs to the caller, to be freed with free(), or with the
 * loop's allocator if it has one. NULL if there are none. */
LOOP_API char *loop_fs_take(struct loop_fs *fs);

#include "fs_dir.h"
#include "fs_path.h"

#endif
