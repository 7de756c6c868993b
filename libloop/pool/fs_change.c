/* Attributes of files, changed by descriptor or by path: size, mode, owner, times.
 *
 * Each is one system call on a thread of the pool: changing them writes to the disk's journal, so
 * nothing of it is tried on the loop's thread. truncate(2), and statfs(2), which is here for the
 * same reason, have no form that starts from a directory; there the path goes by way of
 * /proc/self/fd. Opening the file instead would ask for a right that truncating need not have, and
 * might wait for a FIFO.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

static ssize_t run_ftruncate(struct fs_job *job)
{
    return sys_ftruncate(job->args.fd, job->args.offset);
}

int loop_fs_ftruncate(struct loop *loop, struct loop_fs *fs, int fd, int64_t size, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_ftruncate};
    return size >= 0 ? fs_start(loop, fs, &op, &(struct fs_args){.fd = fd, .offset = size}, cb)
                     : -EINVAL;
}

static ssize_t run_fchmod(struct fs_job *job)
{
    return sys_fchmod(job->args.fd, job->args.mode);
}

int loop_fs_fchmod(struct loop *loop, struct loop_fs *fs, int fd, mode_t mode, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_fchmod};
    return fs_start(loop, fs, &op, &(struct fs_args){.fd = fd, .mode = mode}, cb);
}

static ssize_t run_fchown(struct fs_job *job)
{
    return sys_fchown(job->args.fd, job->args.user, job->args.group);
}

int loop_fs_fchown(struct loop *loop, struct loop_fs *fs, int fd, uid_t user, gid_t group,
                   loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_fchown};
    struct fs_args args = {.fd = fd, .user = user, .group = group};
    return fs_start(loop, fs, &op, &args, cb);
}

static ssize_t run_futimes(struct fs_job *job)
{
    return sys_utimensat(job->args.fd, NULL, job->args.times, 0);
}

int loop_fs_futimes(struct loop *loop, struct loop_fs *fs, int fd, const struct timespec times[2],
                    loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_futimes};
    if (!times)
        return -EINVAL;
    struct fs_args args = {.fd = fd, .times = {times[0], times[1]}};
    return fs_start(loop, fs, &op, &args, cb);
}

/* The same path from the current directory, in at. -ENAMETOOLONG: it is too long for that. */
static int path_from_here(const struct fs_args *args, char at[FS_PATH_SIZE], const char **path)
{
    *path = args->path;
    if (args->dir_fd == AT_FDCWD || args->path[0] == '/' || args->path[0] == '\0')
        return 0;
    int length = snprintf(at, FS_PATH_SIZE, "/proc/self/fd/%d/%s", args->dir_fd, args->path);
    *path = at;
    return length < FS_PATH_SIZE ? 0 : -ENAMETOOLONG;
}

static ssize_t run_truncate(struct fs_job *job)
{
    char at[FS_PATH_SIZE];
    const char *path;
    int error = path_from_here(&job->args, at, &path);
    return error ? error : sys_truncate(path, job->args.offset);
}

int loop_fs_truncate(struct loop *loop, struct loop_fs *fs, const char *path, int64_t size,
                     loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH, .run = run_truncate};
    return size >= 0 ? fs_start(loop, fs, &op, &(struct fs_args){.path = path, .offset = size}, cb)
                     : -EINVAL;
}

static ssize_t run_statfs(struct fs_job *job)
{
    char at[FS_PATH_SIZE];
    const char *path;
    int error = path_from_here(&job->args, at, &path);
    return error ? error : sys_statfs(path, &job->statfs);
}

int loop_fs_statfs(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .gives = FS_GIVES_STATFS,
                                    .run = run_statfs};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path}, cb);
}

static ssize_t run_chmod(struct fs_job *job)
{
    return sys_fchmodat(job->args.dir_fd, job->args.path, job->args.mode);
}

int loop_fs_chmod(struct loop *loop, struct loop_fs *fs, const char *path, mode_t mode,
                  loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH, .run = run_chmod};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path, .mode = mode}, cb);
}

static ssize_t run_chown(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_fchownat(args->dir_fd, args->path, args->user, args->group, args->flags);
}

static const struct fs_op chown_op = {.takes = FS_TAKES_PATH, .run = run_chown};

int loop_fs_chown(struct loop *loop, struct loop_fs *fs, const char *path, uid_t user, gid_t group,
                  loop_fs_cb cb)
{
    struct fs_args args = {.path = path, .user = user, .group = group};
    return fs_start(loop, fs, &chown_op, &args, cb);
}

int loop_fs_lchown(struct loop *loop, struct loop_fs *fs, const char *path, uid_t user, gid_t group,
                   loop_fs_cb cb)
{
    struct fs_args args = {.path = path,
                           .user = user,
                           .group = group,
                           .flags = AT_SYMLINK_NOFOLLOW};
    return fs_start(loop, fs, &chown_op, &args, cb);
}

static ssize_t run_utimes(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_utimensat(args->dir_fd, args->path, args->times, args->flags);
}

static const struct fs_op utimes_op = {.takes = FS_TAKES_PATH, .run = run_utimes};

int loop_fs_utimes(struct loop *loop, struct loop_fs *fs, const char *path,
                   const struct timespec times[2], loop_fs_cb cb)
{
    if (!times)
        return -EINVAL;
    struct fs_args args = {.path = path, .times = {times[0], times[1]}};
    return fs_start(loop, fs, &utimes_op, &args, cb);
}

int loop_fs_lutimes(struct loop *loop, struct loop_fs *fs, const char *path,
                    const struct timespec times[2], loop_fs_cb cb)
{
    if (!times)
        return -EINVAL;
    struct fs_args args = {.path = path,
                           .times = {times[0], times[1]},
                           .flags = AT_SYMLINK_NOFOLLOW};
    return fs_start(loop, fs, &utimes_op, &args, cb);
}
