/* Files known by their descriptor: each function here is one system call on a thread of the pool.
 *
 * What is read goes to memory of the job's, and what is written comes from there: a thread that is
 * still at a cancelled operation touches nobody else's. So the vectors of readv and writev are one
 * piece in the job, and the kernel is asked for one read or write.
 *
 * An open that nobody waits for any more closes what it opened. A close that was cancelled before a
 * thread had it is done all the same, by the loop's thread if need be.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

static ssize_t run_open(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_openat(args->dir_fd, args->path, args->flags, args->mode);
}

static void undo_open(struct fs_job *job)
{
    if (job->result >= 0)
        sys_close((int)job->result);
}

int loop_fs_open(struct loop *loop, struct loop_fs *fs, const char *path, int flags, mode_t mode,
                 loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .run = run_open,
                                    .quick = fs_quick_open,
                                    .undo = undo_open};
    struct fs_args args = {.path = path, .flags = flags, .mode = mode};
    return fs_start(loop, fs, &op, &args, cb);
}

int loop_fs_opendir(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    return loop_fs_open(loop, fs, path, O_RDONLY | O_DIRECTORY, 0, cb);
}

static ssize_t run_close(struct fs_job *job)
{
    return sys_close(job->args.fd);
}

static void undo_close(struct fs_job *job)
{
    if (job->result == FS_NOT_RUN)
        sys_close(job->args.fd);
}

int loop_fs_close(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_close, .undo = undo_close};
    return fs_start(loop, fs, &op, &(struct fs_args){.fd = fd}, cb);
}

static ssize_t run_read(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    ssize_t got;
    do
        got = args->offset < 0 ? sys_read(args->fd, job->bytes, args->size)
                               : sys_pread(args->fd, job->bytes, args->size, args->offset);
    while (got == -EINTR);
    if (got >= 0)
        job->bytes[got] = '\0';
    return got;
}

int loop_fs_read(struct loop *loop, struct loop_fs *fs, int fd, size_t size, int64_t offset,
                 loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD,
                                    .gives = FS_GIVES_BYTES,
                                    .reads = true,
                                    .run = run_read,
                                    .quick = fs_quick_read};
    struct fs_args args = {.fd = fd, .size = size, .offset = offset};
    return offset >= -1 ? fs_start(loop, fs, &op, &args, cb) : -EINVAL;
}

/* More than may be moved, if it is too much. */
static size_t room_in(const struct iovec *rooms, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count && size <= FS_MOVE_MAX; i++)
        size = rooms[i].iov_len <= FS_MOVE_MAX ? size + rooms[i].iov_len : SIZE_MAX;
    return size;
}

int loop_fs_readv(struct loop *loop, struct loop_fs *fs, int fd, const struct iovec *rooms,
                  size_t count, int64_t offset, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD,
                                    .gives = FS_GIVES_ROOMS,
                                    .reads = true,
                                    .run = run_read,
                                    .quick = fs_quick_read};
    if (count > FS_VECTOR_MAX || (!rooms && count > 0) || offset < -1)
        return -EINVAL;
    struct fs_args args = {.fd = fd,
                           .data = rooms,
                           .data_size = count * sizeof(*rooms),
                           .size = room_in(rooms, count),
                           .offset = offset};
    return fs_start(loop, fs, &op, &args, cb);
}

static ssize_t run_write(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    ssize_t put;
    do
        put = args->offset < 0 ? sys_write(args->fd, args->data, args->data_size)
                               : sys_pwrite(args->fd, args->data, args->data_size, args->offset);
    while (put == -EINTR);
    return put;
}

int loop_fs_write(struct loop *loop, struct loop_fs *fs, int fd, const void *bytes, size_t size,
                  int64_t offset, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_write};
    struct fs_args args = {
        .fd = fd, .data = bytes, .data_size = size, .size = size, .offset = offset};
    return offset >= -1 ? fs_start(loop, fs, &op, &args, cb) : -EINVAL;
}

/* Gathered here, since a thread must have copies anyway, and copied once more behind. */
static char *gather(const struct loop *loop, const struct loop_buf *bufs, size_t count, size_t size)
{
    char *bytes = memory_resize(&loop->options.allocator, NULL, size + 1);
    char *end = bytes;
    for (size_t i = 0; bytes && i < count; i++) {
        if (bufs[i].size > 0)
            memcpy(end, bufs[i].bytes, bufs[i].size);
        end += bufs[i].size;
    }
    return bytes;
}

/* SIZE_MAX: too much, or a buffer that is not there. */
static size_t size_of(const struct loop_buf *bufs, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (bufs[i].size > FS_MOVE_MAX - size || (bufs[i].size > 0 && !bufs[i].bytes))
            return SIZE_MAX;
        size += bufs[i].size;
    }
    return size;
}

int loop_fs_writev(struct loop *loop, struct loop_fs *fs, int fd, const struct loop_buf *bufs,
                   size_t count, int64_t offset, loop_fs_cb cb)
{
    if (!loop || count > FS_VECTOR_MAX || (!bufs && count > 0) ||
        size_of(bufs, count) > FS_MOVE_MAX)
        return -EINVAL;
    size_t size = size_of(bufs, count);
    char *bytes = gather(loop, bufs, count, size);
    if (!bytes)
        return -ENOMEM;
    int error = loop_fs_write(loop, fs, fd, bytes, size, offset, cb);
    memory_resize(&loop->options.allocator, bytes, 0);
    return error;
}

static ssize_t run_sendfile(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    return sys_sendfile(args->fd, args->in_fd, args->offset, args->size);
}

int loop_fs_sendfile(struct loop *loop, struct loop_fs *fs, int out_fd, int in_fd, int64_t offset,
                     size_t size, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_sendfile};
    struct fs_args args = {.fd = out_fd, .in_fd = in_fd, .offset = offset, .size = size};
    return in_fd >= 0 && offset >= -1 ? fs_start(loop, fs, &op, &args, cb) : -EINVAL;
}

static ssize_t run_fstat(struct fs_job *job)
{
    return sys_fstat(job->args.fd, &job->stat);
}

int loop_fs_fstat(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .gives = FS_GIVES_STAT, .run = run_fstat};
    return fs_start(loop, fs, &op, &(struct fs_args){.fd = fd}, cb);
}

static ssize_t run_fsync(struct fs_job *job)
{
    return sys_fsync(job->args.fd);
}

int loop_fs_fsync(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_fsync};
    return fs_start(loop, fs, &op, &(struct fs_args){.fd = fd}, cb);
}

static ssize_t run_fdatasync(struct fs_job *job)
{
    return sys_fdatasync(job->args.fd);
}

int loop_fs_fdatasync(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD, .run = run_fdatasync};
    return fs_start(loop, fs, &op, &(struct fs_args){.fd = fd}, cb);
}
