/* Internal. What libloop does with inotify(7), and how it reads directories for it: a part of
 * sys.h, which includes it, and to which all that is said there applies.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_INOTIFY_H
#define LOOP_SYS_INOTIFY_H

#include "sys.h"

#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* What getdents64(2) fills in. */
struct sys_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size; /* of this entry: where the next one begins */
    uint8_t type;  /* DT_… of dirent.h, or 0: ask for it */
    char name[];
};

enum { SYS_ENTRY_UNKNOWN = 0, SYS_ENTRY_DIRECTORY = 4 };

static inline int sys_inotify_open(void)
{
    return sys_result(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

static inline int sys_inotify_add(int fd, const char *path, uint32_t mask)
{
    return sys_result(inotify_add_watch(fd, path, mask));
}

static inline void sys_inotify_remove(int fd, int wd)
{
    inotify_rm_watch(fd, wd);
}

/* The bytes that may be read at once. */
static inline size_t sys_inotify_queued(int fd)
{
    int size = 0;
    return ioctl(fd, FIONREAD, &size) < 0 || size < 0 ? 0 : (size_t)size;
}

/* A link's target is not a directory that is read. */
static inline int sys_open_directory(const char *path, bool follow)
{
    return sys_result(
        open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)));
}

/* Bytes of struct sys_entry; 0: the end. Unlike readdir(3) it keeps none back that may be stale
 * when it is their turn. */
static inline ssize_t sys_read_directory(int fd, void *entries, size_t size)
{
    return sys_size(syscall(SYS_getdents64, fd, entries, size));
}

static inline bool sys_is_directory(int dir_fd, const char *name)
{
    struct stat stat;
    return fstatat(dir_fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode);
}

/* Its length. */
static inline ssize_t sys_working_directory(char *path, size_t size)
{
    return getcwd(path, size) ? (ssize_t)strlen(path) : -errno;
}

#endif
