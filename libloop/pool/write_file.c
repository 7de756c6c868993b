/* A whole file written in one job: over what there was, behind it, or in its place.
 *
 * In its place means: into a new file beside it, which is synced, renamed over the old, and then
 * the directory is synced, in which the name is. Whoever opens the file finds all of the old or all
 * of the new, after a power failure too. Without the first sync the name may survive and the bytes
 * not, without the second the old file may come back. [DOC: atomic]
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

enum { TRIES_MAX = 100 };

static const char temp_name[] = ".loop-";

/* Into the open file, which is then closed. */
static ssize_t put(const struct fs_job *job, int fd, bool sync)
{
    ssize_t result = fs_write_all(fd, job->args.data, job->args.data_size);
    int error = result >= 0 && sync ? sys_fsync(fd) : 0;
    int closed = sys_close(fd);
    if (!error)
        error = closed;
    return result >= 0 && error ? error : result;
}

static ssize_t run_write(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    int fd = sys_openat(args->dir_fd, args->path, args->flags, args->mode);
    return fd < 0 ? fd : put(job, fd, args->mask & LOOP_FS_SYNC);
}

/* How much of the path is the directory, with its slash; 0: none of it. */
static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* In the same directory, for its owner alone until it is complete. */
static int open_temp(const struct fs_job *job, char *temp)
{
    char *random = temp + strlen(temp);
    int fd = -EEXIST;
    random[FS_RANDOM_LENGTH] = '\0';
    for (int i = 0; i < TRIES_MAX && fd == -EEXIST; i++) {
        fs_random_name(random);
        fd = sys_openat(job->args.dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL, job->args.mode);
    }
    return fd;
}

static int keep_mode(const struct fs_job *job, int fd)
{
    struct stat old;
    int error = sys_fstatat(job->args.dir_fd, job->args.path, &old, AT_SYMLINK_NOFOLLOW);
    if (error)
        return error == -ENOENT ? 0 : error;
    return S_ISREG(old.st_mode) ? sys_fchmod(fd, old.st_mode & 07777) : 0;
}

/* A directory that may be written but not read cannot be synced. */
static int sync_directory(const struct fs_job *job, char *temp)
{
    size_t length = directory_length(temp);
    temp[length] = '\0';
    int fd = sys_openat(job->args.dir_fd, length > 0 ? temp : ".", O_RDONLY | O_DIRECTORY, 0);
    int error = fd >= 0 ? sys_fsync(fd) : fd == -EACCES ? 0 : fd;
    if (fd >= 0)
        sys_close(fd);
    return error == -EINVAL ? 0 : error;
}

static ssize_t replace(const struct fs_job *job, char *temp)
{
    const struct fs_args *args = &job->args;
    int fd = open_temp(job, temp);
    if (fd < 0)
        return fd;
    int error = keep_mode(job, fd);
    ssize_t result = put(job, fd, true);
    if (result >= 0 && !error)
        error = loop_work_canceled()
                    ? -ECANCELED
                    : sys_renameat(args->dir_fd, temp, args->dir_fd, args->path, 0);
    if (result < 0 || error) {
        sys_unlinkat(args->dir_fd, temp, 0);
        return result < 0 ? result : error;
    }
    error = sync_directory(job, temp);
    return error ? error : result;
}

static ssize_t run_replace(struct fs_job *job)
{
    const char *path = job->args.path;
    size_t length = directory_length(path);
    char *temp = fs_allocate(job, length + sizeof(temp_name) + FS_RANDOM_LENGTH);
    if (!temp)
        return -ENOMEM;
    memcpy(temp, path, length);
    memcpy(temp + length, temp_name, sizeof(temp_name));
    ssize_t result = replace(job, temp);
    memory_resize(&job->job.allocator, temp, 0);
    return result;
}

static const struct fs_op write_op = {.takes = FS_TAKES_PATH, .run = run_write};

int loop_fs_write_file(struct loop *loop, struct loop_fs *fs, const char *path, const void *bytes,
                       size_t size, mode_t mode, unsigned flags, loop_fs_cb cb)
{
    static const struct fs_op replace_op = {.takes = FS_TAKES_PATH, .run = run_replace};
    const unsigned known = LOOP_FS_EXCLUSIVE | LOOP_FS_SYNC | LOOP_FS_ATOMIC;
    const unsigned contrary = LOOP_FS_EXCLUSIVE | LOOP_FS_ATOMIC;
    if (flags & ~known || (flags & contrary) == contrary)
        return -EINVAL;
    struct fs_args args = {
        .path = path,
        .data = bytes,
        .data_size = size,
        .size = size,
        .mode = mode,
        .mask = flags,
        .flags = O_WRONLY | O_CREAT | (flags & LOOP_FS_EXCLUSIVE ? O_EXCL : O_TRUNC),
    };
    return fs_start(loop, fs, flags & LOOP_FS_ATOMIC ? &replace_op : &write_op, &args, cb);
}

int loop_fs_append_file(struct loop *loop, struct loop_fs *fs, const char *path, const void *bytes,
                        size_t size, mode_t mode, unsigned flags, loop_fs_cb cb)
{
    if (flags & ~(unsigned)LOOP_FS_SYNC)
        return -EINVAL;
    struct fs_args args = {.path = path,
                           .data = bytes,
                           .data_size = size,
                           .size = size,
                           .mode = mode,
                           .mask = flags,
                           .flags = O_WRONLY | O_CREAT | O_APPEND};
    return fs_start(loop, fs, &write_op, &args, cb);
}
