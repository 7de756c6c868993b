/* Files known by their path: what they are, and their names.
 *
 * Each is one system call on a thread of the pool, or, of stat and lstat, none if the kernel has it
 * in memory. A path that a link or /proc gives is read into a job's buffer as long as any path may
 * be; one that does not fit is an error and never cut.
 *
 * The real path is what /proc says of an O_PATH descriptor. That is one look-up by the kernel,
 * which cannot be led astray halfway as a walk from link to link can, and it works from any
 * directory. Of a file that has no name any more, or none from here, /proc makes one up, so the
 * name is looked up again.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

static ssize_t run_stat(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_fstatat(args->dir_fd, args->path, &job->stat, args->flags);
}

static const struct fs_op stat_op = {.takes = FS_TAKES_PATH,
                                     .gives = FS_GIVES_STAT,
                                     .run = run_stat,
                                     .quick = fs_quick_stat};

int loop_fs_stat(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    return fs_start(loop, fs, &stat_op, &(struct fs_args){.path = path}, cb);
}

int loop_fs_lstat(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    struct fs_args args = {.path = path, .flags = AT_SYMLINK_NOFOLLOW};
    return fs_start(loop, fs, &stat_op, &args, cb);
}

static ssize_t run_statx(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_statx(args->dir_fd, args->path, args->flags, args->mask, &job->statx);
}

int loop_fs_statx(struct loop *loop, struct loop_fs *fs, const char *path, int flags, unsigned mask,
                  loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .gives = FS_GIVES_STATX,
                                    .run = run_statx};
    struct fs_args args = {.path = path, .flags = flags, .mask = mask};
    return fs_start(loop, fs, &op, &args, cb);
}

static ssize_t run_access(struct fs_job *job)
{
    return sys_faccessat(job->args.dir_fd, job->args.path, job->args.flags);
}

int loop_fs_access(struct loop *loop, struct loop_fs *fs, const char *path, int mode, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH, .run = run_access};
    bool possible = (mode & ~(R_OK | W_OK | X_OK)) == 0;
    return possible ? fs_start(loop, fs, &op, &(struct fs_args){.path = path, .flags = mode}, cb)
                    : -EINVAL;
}

/* Into the job's bytes, which are FS_PATH_SIZE and 1. */
static ssize_t read_link(struct fs_job *job, int dir_fd, const char *path)
{
    ssize_t length = sys_readlinkat(dir_fd, path, job->bytes, FS_PATH_SIZE);
    if (length == FS_PATH_SIZE)
        return -ENAMETOOLONG; /* unreachable: no link of Linux's is longer than 4,095 bytes */
    if (length >= 0)
        job->bytes[length] = '\0';
    return length;
}

static ssize_t run_readlink(struct fs_job *job)
{
    return read_link(job, job->args.dir_fd, job->args.path);
}

int loop_fs_readlink(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .gives = FS_GIVES_BYTES,
                                    .reads = true,
                                    .run = run_readlink};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path, .size = FS_PATH_SIZE}, cb);
}

static bool leads_to(const char *path, int fd)
{
    struct stat there, here;
    return sys_fstatat(AT_FDCWD, path, &there, 0) == 0 && sys_fstat(fd, &here) == 0 &&
           there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

static ssize_t run_realpath(struct fs_job *job)
{
    char at[32];
    int fd = sys_openat(job->args.dir_fd, job->args.path, O_PATH, 0);
    if (fd < 0)
        return fd;
    snprintf(at, sizeof(at), "/proc/self/fd/%d", fd);
    ssize_t length = read_link(job, AT_FDCWD, at);
    if (length >= 0 && !leads_to(job->bytes, fd))
        length = -ENOENT;
    sys_close(fd);
    return length;
}

int loop_fs_realpath(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .gives = FS_GIVES_BYTES,
                                    .reads = true,
                                    .run = run_realpath};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path, .size = FS_PATH_SIZE}, cb);
}

static ssize_t run_mkdir(struct fs_job *job)
{
    return sys_mkdirat(job->args.dir_fd, job->args.path, job->args.mode);
}

int loop_fs_mkdir(struct loop *loop, struct loop_fs *fs, const char *path, mode_t mode,
                  loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH, .run = run_mkdir};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path, .mode = mode}, cb);
}

static ssize_t run_unlink(struct fs_job *job)
{
    return sys_unlinkat(job->args.dir_fd, job->args.path, job->args.flags);
}

static const struct fs_op unlink_op = {.takes = FS_TAKES_PATH, .run = run_unlink};

int loop_fs_unlink(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    return fs_start(loop, fs, &unlink_op, &(struct fs_args){.path = path}, cb);
}

int loop_fs_rmdir(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    struct fs_args args = {.path = path, .flags = AT_REMOVEDIR};
    return fs_start(loop, fs, &unlink_op, &args, cb);
}

static ssize_t run_rename(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_renameat(args->dir_fd, args->path, args->to_dir_fd, args->to, args->mask);
}

int loop_fs_rename(struct loop *loop, struct loop_fs *fs, const char *path, const char *to,
                   unsigned flags, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH | FS_TAKES_TO, .run = run_rename};
    bool possible = flags == 0 || flags == SYS_RENAME_NOREPLACE || flags == SYS_RENAME_EXCHANGE;
    struct fs_args args = {.path = path, .to = to, .mask = flags};
    return possible ? fs_start(loop, fs, &op, &args, cb) : -EINVAL;
}

static ssize_t run_link(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_linkat(args->dir_fd, args->path, args->to_dir_fd, args->to);
}

int loop_fs_link(struct loop *loop, struct loop_fs *fs, const char *path, const char *to,
                 loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH | FS_TAKES_TO, .run = run_link};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path, .to = to}, cb);
}

static ssize_t run_symlink(struct fs_job *job)
{
    return sys_symlinkat(job->args.to, job->args.dir_fd, job->args.path);
}

int loop_fs_symlink(struct loop *loop, struct loop_fs *fs, const char *target, const char *path,
                    loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH | FS_TAKES_TO, .run = run_symlink};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path, .to = target}, cb);
}
