/* Public. Files, read and written on the thread pool.
 *
 * Each operation is one request: the caller's memory, all zero before its first use, lent until the
 * callback. Paths are copied, data to write is copied, and data that was read belongs to the
 * request: it is freed when the callback returns, unless loop_fs_take() took it. So a cancelled
 * operation never touches memory that the caller has freed, even if a thread is still at it.
 *
 * loop_request_cancel(&fs.request) has the callback come with -ECANCELED.
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
#include "request.h"

#include <sys/stat.h>
#include <sys/types.h>

struct loop_fs;
struct loop_job;

/* Comes in the poll phase, once. fs->result: what the operation gives, or a negative errno. The
 * request may be used again or freed in it. */
typedef void (*loop_fs_cb)(struct loop_fs *fs);

struct loop_fs {
    struct loop_request request; /* request.data is yours */

    /* read-only, in the callback */
    ssize_t result;          /* a descriptor, a number of bytes, 0, or a negative errno */
    const char *bytes;       /* loop_fs_read, loop_fs_read_file: result bytes and then a 0 */
    const struct stat *stat; /* loop_fs_fstat */

    /* private */
    struct loop_job *job;
    char **owner;                     /* of bytes, in the callback */
    struct loop_read_file *read_file; /* the four steps of loop_fs_read_file, while they last */
    loop_fs_cb cb;
};

/* open(2): result is the descriptor, which is close-on-exec and belongs to the caller; if the
 * request was cancelled, the library closes it. */
LOOP_API int loop_fs_open(struct loop *loop, struct loop_fs *fs, const char *path, int flags,
                          mode_t mode, loop_fs_cb cb);

/* close(2). The descriptor is gone whatever the result. */
LOOP_API int loop_fs_close(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb);

/* fstat(2): fs->stat. */
LOOP_API int loop_fs_fstat(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb);

/* pread(2) of at most size bytes at offset, or read(2) at the file's position if offset is -1.
 * Result: the bytes read, 0 at the end of the file. */
LOOP_API int loop_fs_read(struct loop *loop, struct loop_fs *fs, int fd, size_t size,
                          int64_t offset, loop_fs_cb cb);

/* pwrite(2) of size bytes at offset, or write(2) at the file's position if offset is -1. Result:
 * the bytes written, which may be fewer. */
LOOP_API int loop_fs_write(struct loop *loop, struct loop_fs *fs, int fd, const void *bytes,
                           size_t size, int64_t offset, loop_fs_cb cb);

/* The whole file, as Node's fs.readFile reads it: four jobs on the pool, open, fstat, read, close
 * (more reads if it does not end where fstat said). Result: its size. -EISDIR: a directory; -EFBIG:
 * over 1 GiB. */
LOOP_API int loop_fs_read_file(struct loop *loop, struct loop_fs *fs, const char *path,
                               loop_fs_cb cb);

/* In the callback: fs->bytes, which now belongs to the caller, to be freed with free(), or with the
 * loop's allocator if it has one. NULL if nothing was read. */
LOOP_API char *loop_fs_take(struct loop_fs *fs);

#endif
