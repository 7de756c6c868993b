/* Internal. The part of sys.h that concerns files by name, their attributes, and directories.
 *
 * Unlike the calls in sys.h these try again after EINTR by themselves: none of them is interrupted
 * on purpose, and Linux promises that an interrupted one has done nothing. Names are always looked
 * up from a directory's descriptor, or AT_FDCWD.
 *
 * openat2(2) has no function in the C library. RESOLVE_CACHED has it look at names that are in
 * memory only, and return -EAGAIN instead of asking a disk. Others that glibc has a function for
 * and musl has not, or not for long, are called without.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_FS_H
#define LOOP_SYS_FS_H

#include <dirent.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

/* The C library's of the same kind is glibc's alone. */
#define SYS_RETRY(call)                                                                            \
    (__extension__({                                                                               \
        long result_;                                                                              \
        do                                                                                         \
            result_ = (long)(call);                                                                \
        while (result_ < 0 && errno == EINTR);                                                     \
        result_;                                                                                   \
    }))

/* Names. */

static inline int sys_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return sys_result((int)SYS_RETRY(openat(dir_fd, path, flags | O_CLOEXEC, mode)));
}

/* -EAGAIN: not all of the path is in memory. Of kernels before 5.12: -EINVAL or -ENOSYS. */
static inline int sys_openat_cached(int dir_fd, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_CACHED};
    return sys_result((int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how)));
}

static inline int sys_fstatat(int dir_fd, const char *path, struct stat *stat, int flags)
{
    return sys_result((int)SYS_RETRY(fstatat(dir_fd, path, stat, flags)));
}

static inline int sys_statx(int dir_fd, const char *path, int flags, unsigned mask,
                            struct statx *statx_of)
{
    return sys_result((int)SYS_RETRY(syscall(SYS_statx, dir_fd, path, flags, mask, statx_of)));
}

static inline int sys_statfs(const char *path, struct statfs *statfs_of)
{
    return sys_result((int)SYS_RETRY(statfs(path, statfs_of)));
}

static inline int sys_faccessat(int dir_fd, const char *path, int mode)
{
    return sys_result((int)SYS_RETRY(faccessat(dir_fd, path, mode, 0)));
}

static inline ssize_t sys_readlinkat(int dir_fd, const char *path, char *target, size_t size)
{
    return sys_size(SYS_RETRY(readlinkat(dir_fd, path, target, size)));
}

static inline int sys_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return sys_result((int)SYS_RETRY(mkdirat(dir_fd, path, mode)));
}

static inline int sys_unlinkat(int dir_fd, const char *path, int flags)
{
    return sys_result((int)SYS_RETRY(unlinkat(dir_fd, path, flags)));
}

enum { SYS_RENAME_NOREPLACE = 1, SYS_RENAME_EXCHANGE = 2 };

static inline int sys_renameat(int dir_fd, const char *path, int to_dir_fd, const char *to,
                               unsigned flags)
{
    return sys_result((int)SYS_RETRY(syscall(SYS_renameat2, dir_fd, path, to_dir_fd, to, flags)));
}

static inline int sys_linkat(int dir_fd, const char *path, int to_dir_fd, const char *to)
{
    return sys_result((int)SYS_RETRY(linkat(dir_fd, path, to_dir_fd, to, 0)));
}

static inline int sys_symlinkat(const char *target, int dir_fd, const char *path)
{
    return sys_result((int)SYS_RETRY(symlinkat(target, dir_fd, path)));
}

static inline int sys_truncate(const char *path, off_t size)
{
    return sys_result((int)SYS_RETRY(truncate(path, size)));
}

static inline int sys_fchmodat(int dir_fd, const char *path, mode_t mode)
{
    return sys_result((int)SYS_RETRY(fchmodat(dir_fd, path, mode, 0)));
}

static inline int sys_fchownat(int dir_fd, const char *path, uid_t user, gid_t group, int flags)
{
    return sys_result((int)SYS_RETRY(fchownat(dir_fd, path, user, group, flags)));
}

/* path NULL: of dir_fd itself. */
static inline int sys_utimensat(int dir_fd, const char *path, const struct timespec times[2],
                                int flags)
{
    return sys_result(
        (int)SYS_RETRY(path ? utimensat(dir_fd, path, times, flags) : futimens(dir_fd, times)));
}

/* Open files. */

static inline int sys_ftruncate(int fd, off_t size)
{
    return sys_result((int)SYS_RETRY(ftruncate(fd, size)));
}

static inline int sys_fsync(int fd)
{
    return sys_result((int)SYS_RETRY(fsync(fd)));
}

static inline int sys_fdatasync(int fd)
{
    return sys_result((int)SYS_RETRY(fdatasync(fd)));
}

static inline int sys_fchmod(int fd, mode_t mode)
{
    return sys_result((int)SYS_RETRY(fchmod(fd, mode)));
}

static inline int sys_fchown(int fd, uid_t user, gid_t group)
{
    return sys_result((int)SYS_RETRY(fchown(fd, user, group)));
}

static inline off_t sys_seek(int fd, off_t offset, int whence)
{
    off_t result = lseek(fd, offset, whence);
    return result < 0 ? -errno : result;
}

/* Only what needs no waiting for; -EAGAIN: nothing does. offset -1: the file's position. */
static inline ssize_t sys_read_cached(int fd, void *bytes, size_t size, off_t offset)
{
    struct iovec room = {.iov_base = bytes, .iov_len = size};
    enum { RWF_NOWAIT_BIT = 8 };
    /* Where one long holds it all the kernel ignores the second. */
    return sys_size(syscall(SYS_preadv2, fd, &room, 1, (long)offset, (long)((int64_t)offset >> 32),
                            RWF_NOWAIT_BIT));
}

/* offset -1: from the file's position. */
static inline ssize_t sys_sendfile(int out_fd, int in_fd, off_t offset, size_t size)
{
    return sys_size(SYS_RETRY(sendfile(out_fd, in_fd, offset < 0 ? NULL : &offset, size)));
}

static inline ssize_t sys_copy_range(int from_fd, int to_fd, size_t size)
{
    return sys_size(SYS_RETRY(copy_file_range(from_fd, NULL, to_fd, NULL, size, 0)));
}

/* FICLONE of linux/fs.h, which does not go well with the C library's headers. */
static inline int sys_clone_file(int from_fd, int to_fd)
{
    return sys_result((int)SYS_RETRY(ioctl(to_fd, _IOW(0x94, 9, int), from_fd)));
}

static inline int sys_set_status_flags(int fd, int flags)
{
    return sys_result(fcntl(fd, F_SETFL, flags));
}

/* Directories: struct dirent64, one behind the other; 0: no more. */
static inline ssize_t sys_getdents(int fd, void *bytes, size_t size)
{
    return sys_size(SYS_RETRY(getdents64(fd, bytes, size)));
}

/* For names that nobody else has chosen; what is missing stays as it was. */
static inline void sys_random(void *bytes, size_t size)
{
    ssize_t got = getrandom(bytes, size, GRND_NONBLOCK);
    (void)got;
}

#endif
