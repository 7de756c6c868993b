/* File operations on the loop's own thread, where the kernel promises not to wait for a disk.
 *
 * Reading is preadv2(2) with RWF_NOWAIT, which gives what is in memory and otherwise -EAGAIN. Names
 * are openat2(2) with RESOLVE_CACHED, which does the same for looking up a path; what it opens is
 * an O_PATH descriptor, of which statx(2) then tells the rest. Attributes may still have to be
 * fetched from a server, so only those of a file system on a block device are believed (its device
 * has a major number; AT_STATX_DONT_SYNC keeps the question itself from waiting). A FIFO, or a file
 * with a lease, would hold up an open: so what is opened is seen to be a file or a directory first,
 * and opened with O_NONBLOCK, which is taken off behind it. [DOC: quick]
 *
 * Whatever is not a plain success is left to the pool, whose word is final; but that a name does
 * not exist is known here as well as there.
 *
 * The work of a turn is bounded, since here nobody else gets on meanwhile. The bound is wide enough
 * for callbacks that read on in each of a turn's pending rounds: a mix, with the rest of each turn
 * on the pool, wakes threads for every turn and costs more than either. Looking up many paths is
 * faster on several threads, though it costs more in sum; reading never is.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

enum {
    QUICK_MAX = 1024,            /* a turn, at half a microsecond each: 9 rounds of 100 readers */
    BYTES_MAX = 4 * 1024 * 1024, /* a turn: half a millisecond of copying */
    PIECE_MAX = 256 * 1024,      /* one operation: some 30 microseconds of it */
    IN_FLIGHT_MAX = 8,           /* with more, the pool's threads share the looking up */
};

bool fs_quick_allowed(struct loop *loop, size_t size)
{
    if (loop->options.fs_pool_only || size > PIECE_MAX)
        return false;
    if (loop->fs_turn != loop->turn) {
        loop->fs_turn = loop->turn;
        loop->fs_quick = loop->fs_bytes = 0;
    }
    if (loop->fs_quick >= QUICK_MAX || size > BYTES_MAX - loop->fs_bytes)
        return false;
    loop->fs_quick++;
    loop->fs_bytes += (uint32_t)size;
    return true;
}

bool fs_quick_is_best(const struct loop *loop)
{
    return loop->fs_in_flight < IN_FLIGHT_MAX;
}

/* Looks the path up: an O_PATH descriptor, -ENOENT or -EAGAIN. */
static int look_up(int dir_fd, const char *path, int flags)
{
    int fd = sys_openat_cached(dir_fd, path, O_PATH | flags);
    return fd >= 0 || fd == -ENOENT ? fd : -EAGAIN;
}

/* Of an open descriptor: 0 or -EAGAIN. */
static int attributes(int fd, struct statx *statx)
{
    int error = sys_statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, statx);
    bool local = !error && statx->stx_dev_major != 0 &&
                 (statx->stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS;
    return local ? 0 : -EAGAIN;
}

static int look_at(int dir_fd, const char *path, int flags, struct statx *statx)
{
    int fd = look_up(dir_fd, path, flags);
    if (fd < 0)
        return fd;
    int error = attributes(fd, statx);
    sys_close(fd);
    return error;
}

static struct timespec time_of(struct statx_timestamp stamp)
{
    return (struct timespec){.tv_sec = stamp.tv_sec, .tv_nsec = stamp.tv_nsec};
}

static struct stat stat_of(const struct statx *statx)
{
    return (struct stat){
        .st_dev = makedev(statx->stx_dev_major, statx->stx_dev_minor),
        .st_ino = statx->stx_ino,
        .st_mode = statx->stx_mode,
        .st_nlink = statx->stx_nlink,
        .st_uid = statx->stx_uid,
        .st_gid = statx->stx_gid,
        .st_rdev = makedev(statx->stx_rdev_major, statx->stx_rdev_minor),
        .st_size = (off_t)statx->stx_size,
        .st_blksize = (blksize_t)statx->stx_blksize,
        .st_blocks = (blkcnt_t)statx->stx_blocks,
        .st_atim = time_of(statx->stx_atime),
        .st_mtim = time_of(statx->stx_mtime),
        .st_ctim = time_of(statx->stx_ctime),
    };
}

/* O_PATH follows no automount either, which fstatat(2) does not. */
ssize_t fs_quick_stat(struct fs_job *job)
{
    struct statx statx;
    int flags = job->args.flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    int error = look_at(job->args.dir_fd, job->args.path, flags, &statx);
    if (!error)
        job->stat = stat_of(&statx);
    return error;
}

/* Flags of an open that changes nothing, and what else cannot make it wait. */
static bool opens_quickly(int flags)
{
    const int harmless = O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    return (flags & ~harmless) == O_RDONLY;
}

static int open_seen(int dir_fd, const char *path, int flags)
{
    int fd = sys_openat_cached(dir_fd, path, flags | O_NONBLOCK);
    if (fd >= 0 && !(flags & O_NONBLOCK))
        sys_set_status_flags(fd, 0);
    return fd >= 0 ? fd : -EAGAIN;
}

static int open_quickly(int dir_fd, const char *path, int flags, struct statx *statx)
{
    int error = opens_quickly(flags) ? look_at(dir_fd, path, flags & O_NOFOLLOW, statx) : -EAGAIN;
    if (error)
        return error;
    bool plain = S_ISREG(statx->stx_mode) || S_ISDIR(statx->stx_mode);
    return plain ? open_seen(dir_fd, path, flags) : -EAGAIN;
}

ssize_t fs_quick_open(struct fs_job *job)
{
    struct statx statx;
    return open_quickly(job->args.dir_fd, job->args.path, job->args.flags, &statx);
}

static bool ends_at(int fd, int64_t position)
{
    struct statx statx;
    return position >= 0 &&
           sys_statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &statx) == 0 &&
           S_ISREG(statx.stx_mode) && statx.stx_size <= (uint64_t)position;
}

/* A read ends short at the end of the file, but also where memory ends: then the pool reads it all.
 * At the file's position, which has moved, what there is must do. Linux 5.9 and 5.10 say 0 where
 * they mean -EAGAIN, so 0 has to be checked too. */
static ssize_t read_cached(int fd, char *bytes, size_t size, int64_t offset)
{
    ssize_t got = sys_read_cached(fd, bytes, size, offset);
    if (got < 0)
        return -EAGAIN;
    if ((size_t)got == size || (got > 0 && offset < 0))
        return got;
    return ends_at(fd, offset < 0 ? sys_seek(fd, 0, SEEK_CUR) : offset + got) ? got : -EAGAIN;
}

ssize_t fs_quick_read(struct fs_job *job)
{
    ssize_t got = read_cached(job->args.fd, job->bytes, job->args.size, job->args.offset);
    if (got >= 0)
        job->bytes[got] = '\0';
    return got;
}

/* Of a file that does not change meanwhile. */
static ssize_t read_whole(struct loop *loop, int fd, size_t size, char **bytes)
{
    *bytes = memory_resize(&loop->options.allocator, NULL, size + 1);
    if (!*bytes)
        return -EAGAIN;
    ssize_t got = read_cached(fd, *bytes, size + 1, 0);
    if (got == (ssize_t)size) {
        (*bytes)[got] = '\0';
        return got;
    }
    memory_resize(&loop->options.allocator, *bytes, 0);
    *bytes = NULL;
    return -EAGAIN;
}

ssize_t fs_quick_file(struct loop *loop, int dir_fd, const char *path, char **bytes)
{
    struct statx statx;
    if (!fs_quick_is_best(loop) || !fs_quick_allowed(loop, 0))
        return -EAGAIN;
    int fd = open_quickly(dir_fd, path, O_RDONLY, &statx);
    if (fd < 0)
        return fd;
    bool small = S_ISREG(statx.stx_mode) && statx.stx_size < PIECE_MAX &&
                 fs_quick_allowed(loop, statx.stx_size + 1);
    ssize_t result = small ? read_whole(loop, fd, statx.stx_size, bytes) : -EAGAIN;
    sys_close(fd);
    return result;
}
