/* A file copied: by the file system, by the kernel, or by hand, whichever is the first that can.
 *
 * FICLONE has two files share their blocks until one is written, which takes no time and no room;
 * few file systems can. copy_file_range(2) moves bytes without their coming here; it cannot between
 * some file systems, and says 0 for files of /proc, whose size is 0. It leaves the files' positions
 * where it got to, from where reading and writing go on. Where a file has holes, which take no
 * room, what is between them is copied.
 *
 * The kernel copies a piece at a time, so that a cancel is seen in between. A file that was made is
 * removed if the copy does not come to its end; one that was there before cannot be had back.
 *
 * The target is opened before it is emptied: it might be the source by another name.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

enum { BUFFER_SIZE = 256 * 1024 };

struct copy {
    struct fs_job *job;
    int from;
    int to;
    bool made;       /* the target was not there */
    bool kernel_can; /* it has moved some */
    char *buffer;    /* NULL: the kernel moves them, so far */
    struct stat stat;
};

ssize_t fs_write_all(int fd, const char *bytes, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t put = sys_write(fd, bytes + used, size - used);
        if (put < 0 && put != -EINTR)
            return put;
        used += put > 0 ? (size_t)put : 0;
    }
    return (ssize_t)size;
}

/* The kernel cannot, which says nothing of the files. */
static bool cannot(ssize_t error)
{
    return error == -EXDEV || error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP ||
           error == -EPERM;
}

static size_t least(uint64_t size, size_t size_max)
{
    return size < size_max ? (size_t)size : size_max;
}

static ssize_t move_by_hand(const struct copy *copy, uint64_t size)
{
    ssize_t got;
    do
        got = sys_read(copy->from, copy->buffer, least(size, BUFFER_SIZE));
    while (got == -EINTR);
    return got > 0 ? fs_write_all(copy->to, copy->buffer, (size_t)got) : got;
}

/* A piece, of at most so many bytes, from where the files' positions are; 0: there are no more. */
static ssize_t move(struct copy *copy, uint64_t size)
{
    if (copy->buffer)
        return move_by_hand(copy, size);
    ssize_t moved = sys_copy_range(copy->from, copy->to, least(size, FS_PIECE_SIZE));
    copy->kernel_can = copy->kernel_can || moved > 0;
    if (moved > 0 || (moved == 0 && copy->kernel_can) || (moved < 0 && !cannot(moved)))
        return moved;
    copy->buffer = fs_allocate(copy->job, BUFFER_SIZE);
    return copy->buffer ? move_by_hand(copy, size) : -ENOMEM;
}

/* At most so many bytes, or to the end of the file. */
static ssize_t move_all(struct copy *copy, uint64_t size)
{
    uint64_t total = 0;
    while (total < size) {
        ssize_t moved = move(copy, size - total);
        if (moved <= 0)
            return moved < 0 ? moved : (ssize_t)total;
        if (loop_work_canceled())
            return -ECANCELED;
        total += (uint64_t)moved;
    }
    return (ssize_t)total;
}

/* What is between holes; they are holes in the copy too. */
static ssize_t move_data(struct copy *copy)
{
    off_t place = 0;
    while ((place = sys_seek(copy->from, place, SEEK_DATA)) >= 0) {
        off_t hole = sys_seek(copy->from, place, SEEK_HOLE);
        if (hole <= place)
            return hole < 0 ? hole : -EIO;
        sys_seek(copy->from, place, SEEK_SET);
        sys_seek(copy->to, place, SEEK_SET);
        ssize_t moved = move_all(copy, (uint64_t)(hole - place));
        if (moved < 0)
            return moved;
        place = hole;
    }
    int error = place == -ENXIO ? sys_ftruncate(copy->to, copy->stat.st_size) : (int)place;
    return error ? error : copy->stat.st_size;
}

static ssize_t copy_bytes(struct copy *copy, bool to_file)
{
    bool has_holes = to_file && copy->stat.st_blocks < copy->stat.st_size / 512;
    int error = sys_clone_file(copy->from, copy->to);
    if (!error)
        return copy->stat.st_size; /* unreachable: only where the file system has reflinks */
    if (copy->job->args.mask & LOOP_FS_COPY_CLONE)
        return error;
    ssize_t total = has_holes ? move_data(copy) : move_all(copy, UINT64_MAX);
    memory_resize(&copy->job->job.allocator, copy->buffer, 0);
    return total;
}

/* A FIFO would have us wait for its other end, were it not for O_NONBLOCK. */
static int open_source(struct copy *copy)
{
    const struct fs_args *args = &copy->job->args;
    copy->from = sys_openat(args->dir_fd, args->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (copy->from < 0)
        return copy->from;
    int error = sys_fstat(copy->from, &copy->stat);
    return !error && !S_ISREG(copy->stat.st_mode) ? -EINVAL : error;
}

static int open_target(struct copy *copy)
{
    const struct fs_args *args = &copy->job->args;
    copy->to = sys_openat(args->to_dir_fd, args->to, O_WRONLY | O_CREAT | O_EXCL,
                          copy->stat.st_mode & 0700);
    copy->made = copy->to >= 0;
    if (copy->to == -EEXIST && !(args->mask & LOOP_FS_COPY_EXCLUSIVE))
        copy->to = sys_openat(args->to_dir_fd, args->to, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    return copy->to < 0 ? copy->to : 0;
}

/* Into the open target, which is emptied unless it is the source. */
static ssize_t fill(struct copy *copy)
{
    struct stat stat;
    int error = sys_fstat(copy->to, &stat);
    if (error)
        return error;
    if (stat.st_dev == copy->stat.st_dev && stat.st_ino == copy->stat.st_ino)
        return 0;
    if (S_ISREG(stat.st_mode) && !copy->made)
        error = sys_ftruncate(copy->to, 0);
    ssize_t total = error ? error : copy_bytes(copy, S_ISREG(stat.st_mode));
    if (total >= 0 && S_ISREG(stat.st_mode))
        error = sys_fchmod(copy->to, copy->stat.st_mode & 0777);
    return error ? error : total;
}

static ssize_t run_copy_file(struct fs_job *job)
{
    struct copy copy = {.job = job, .from = -1, .to = -1};
    int error = open_source(&copy);
    if (!error)
        error = open_target(&copy);
    ssize_t result = error ? error : fill(&copy);
    if (copy.to >= 0)
        error = sys_close(copy.to); /* some tell only now that the disk is full */
    if (result >= 0 && error)
        result = error;
    if (copy.from >= 0)
        sys_close(copy.from);
    if (result < 0 && copy.made)
        sys_unlinkat(job->args.to_dir_fd, job->args.to, 0);
    return result;
}

int loop_fs_copy_file(struct loop *loop, struct loop_fs *fs, const char *path, const char *to,
                      unsigned flags, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH | FS_TAKES_TO, .run = run_copy_file};
    bool possible = (flags & ~(unsigned)(LOOP_FS_COPY_EXCLUSIVE | LOOP_FS_COPY_CLONE)) == 0;
    struct fs_args args = {.path = path, .to = to, .mask = flags};
    return possible ? fs_start(loop, fs, &op, &args, cb) : -EINVAL;
}
