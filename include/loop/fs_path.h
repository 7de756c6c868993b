/* Public. Files known by their path: looked at, made, named, removed, changed.
 *
 * A path that is relative is looked up from the current directory, or from the one given to
 * loop_fs_at() just before. Each function names the system call that it is; a link at the end of
 * the path is followed unless it says otherwise. The result is 0 if nothing else is said. What is
 * said of requests in loop/fs.h is true here too.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_FS_PATH_H
#define LOOP_FS_PATH_H

#include "fs.h"

/* stat(2): fs->stat. */
LOOP_API int loop_fs_stat(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb);

/* lstat(2): fs->stat, of a link itself. */
LOOP_API int loop_fs_lstat(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb);

/* statx(2): fs->statx. flags: AT_SYMLINK_NOFOLLOW, AT_STATX_DONT_SYNC…; mask: STATX_BASIC_STATS,
 * STATX_BTIME…; path "" and AT_EMPTY_PATH: of the descriptor given to loop_fs_at(). */
LOOP_API int loop_fs_statx(struct loop *loop, struct loop_fs *fs, const char *path, int flags,
                           unsigned mask, loop_fs_cb cb);

/* statfs(2): fs->statfs, of the file system that the path is in. */
LOOP_API int loop_fs_statfs(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb);

/* access(2): mode F_OK, or of R_OK, W_OK, X_OK. It is advice: open the file to know. */
LOOP_API int loop_fs_access(struct loop *loop, struct loop_fs *fs, const char *path, int mode,
                            loop_fs_cb cb);

/* readlink(2): fs->bytes, all of it; result: its length. */
LOOP_API int loop_fs_readlink(struct loop *loop, struct loop_fs *fs, const char *path,
                              loop_fs_cb cb);

/* realpath(3), absolute and without links, "." and "..": fs->bytes; result: its length. Asks
 * /proc. */
LOOP_API int loop_fs_realpath(struct loop *loop, struct loop_fs *fs, const char *path,
                              loop_fs_cb cb);

/* mkdir(2), of a mode less the umask. */
LOOP_API int loop_fs_mkdir(struct loop *loop, struct loop_fs *fs, const char *path, mode_t mode,
                           loop_fs_cb cb);

/* The same with all directories that lead there; it is no error if there is one. Result: how many
 * were made. */
LOOP_API int loop_fs_mkdir_all(struct loop *loop, struct loop_fs *fs, const char *path, mode_t mode,
                               loop_fs_cb cb);

/* Makes a directory for its owner alone, whose path is prefix and six characters that nobody can
 * guess: fs->bytes; result: the length of that. Cancelled, it is removed again. */
LOOP_API int loop_fs_mkdtemp(struct loop *loop, struct loop_fs *fs, const char *prefix,
                             loop_fs_cb cb);

/* The same for a file, open for reading and writing: fs->bytes; result: its descriptor. */
LOOP_API int loop_fs_mkstemp(struct loop *loop, struct loop_fs *fs, const char *prefix,
                             loop_fs_cb cb);

/* rmdir(2) of an empty directory. */
LOOP_API int loop_fs_rmdir(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb);

/* unlink(2); of a link itself. */
LOOP_API int loop_fs_unlink(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb);

enum loop_fs_rm_flags {
    LOOP_FS_RECURSIVE = 1, /* a directory with all that is in it */
    LOOP_FS_FORCE = 2,     /* it is no error if there is nothing of that name */
};

/* Removes a file, a link, or a directory. Links are removed and never followed: a directory that is
 * swapped for a link meanwhile leads nowhere. What others put into the tree meanwhile is removed
 * too, for a bounded number of tries, then -ENOTEMPTY. Ends at the first error, or between two
 * entries if it is cancelled. -EISDIR: a directory, without LOOP_FS_RECURSIVE; -EINVAL: of "/", and
 * where the path ends in "." or "..". */
LOOP_API int loop_fs_rm(struct loop *loop, struct loop_fs *fs, const char *path, unsigned flags,
                        loop_fs_cb cb);

/* renameat2(2), of a link itself: what was at to is replaced. flags: 0, or of <stdio.h>
 * RENAME_NOREPLACE (-EEXIST then), RENAME_EXCHANGE. */
LOOP_API int loop_fs_rename(struct loop *loop, struct loop_fs *fs, const char *path, const char *to,
                            unsigned flags, loop_fs_cb cb);

/* link(2): to is one more name of the file; of a link itself. */
LOOP_API int loop_fs_link(struct loop *loop, struct loop_fs *fs, const char *path, const char *to,
                          loop_fs_cb cb);

/* symlink(2): path becomes a link that says target, whatever that is. */
LOOP_API int loop_fs_symlink(struct loop *loop, struct loop_fs *fs, const char *target,
                             const char *path, loop_fs_cb cb);

enum loop_fs_copy_flags {
    LOOP_FS_COPY_EXCLUSIVE = 1, /* -EEXIST if there is something at to */
    LOOP_FS_COPY_CLONE = 2,     /* only if it can share the file's blocks, else -EOPNOTSUPP… */
};

/* Copies a regular file, its holes, and its mode: by sharing its blocks where the file system can
 * (FICLONE), else within the kernel (copy_file_range), else by reading and writing. What was at to
 * is written over. Result: how many bytes. Onto itself: nothing is done. If it fails or is
 * cancelled midway, a file that it made is removed; one that was there before is left as far as it
 * got. -EINVAL: not a regular file. */
LOOP_API int loop_fs_copy_file(struct loop *loop, struct loop_fs *fs, const char *path,
                               const char *to, unsigned flags, loop_fs_cb cb);

/* truncate(2). */
LOOP_API int loop_fs_truncate(struct loop *loop, struct loop_fs *fs, const char *path, int64_t size,
                              loop_fs_cb cb);

/* chmod(2). */
LOOP_API int loop_fs_chmod(struct loop *loop, struct loop_fs *fs, const char *path, mode_t mode,
                           loop_fs_cb cb);

/* chown(2); (uid_t)-1, (gid_t)-1: leave it. */
LOOP_API int loop_fs_chown(struct loop *loop, struct loop_fs *fs, const char *path, uid_t user,
                           gid_t group, loop_fs_cb cb);

/* lchown(2): the same, of a link itself. */
LOOP_API int loop_fs_lchown(struct loop *loop, struct loop_fs *fs, const char *path, uid_t user,
                            gid_t group, loop_fs_cb cb);

/* utimensat(2): times[0] of access, times[1] of change; UTIME_NOW and UTIME_OMIT of
 * <sys/stat.h>. */
LOOP_API int loop_fs_utimes(struct loop *loop, struct loop_fs *fs, const char *path,
                            const struct timespec times[2], loop_fs_cb cb);

/* The same, of a link itself. */
LOOP_API int loop_fs_lutimes(struct loop *loop, struct loop_fs *fs, const char *path,
                             const struct timespec times[2], loop_fs_cb cb);

#endif
