/* Opening a file beneath a directory, so that nothing outside can be reached.
 *
 * openat2(2) holds the whole lookup there in the kernel: "..", links and directories that are moved
 * meanwhile included, and no magic link of /proc leads away. Where it is missing (a seccomp filter,
 * mostly) each component is opened by itself and no link is followed, which is less than can be
 * served, and never more.
 *
 * O_NONBLOCK has the open of a FIFO or of a device return at once; that it is a regular file is for
 * the caller to see, by fstat(2) of what was opened. Comparing the text of resolved paths, which is
 * the usual alternative, is true only until somebody renames a directory.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* The kernel cannot say whether ".." in a link stayed beneath if something is renamed meanwhile,
 * and wants to be asked again. */
enum { RACES_MAX = 8 };

static int open_in_kernel(int dir, const char *path, bool in_memory)
{
    const struct open_how how = {
        .flags = OPEN_FLAGS,
        .resolve =
            RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (uint64_t)(in_memory ? RESOLVE_CACHED : 0),
    };
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

/* Opens the next component of *path, which is cut off it. */
static int open_component(int dir, const char **path)
{
    char name[256];
    size_t size = strcspn(*path, "/");
    if (size == 0 || size >= sizeof(name))
        return size == 0 ? -ENOENT : -ENAMETOOLONG;
    memcpy(name, *path, size);
    name[size] = '\0';
    *path += size;
    if (strcmp(name, "..") == 0)
        return -EXDEV;
    bool last = **path == '\0';
    *path += !last;
    int fd = openat(dir, name,
                    last ? OPEN_FLAGS | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int files_open_walk(int dir, const char *path)
{
    int fd = openat(dir, ".", *path ? O_PATH | O_DIRECTORY | O_CLOEXEC : OPEN_FLAGS);
    if (fd < 0)
        return -errno;
    while (*path) {
        int next = open_component(fd, &path);
        bool slash = next >= 0 && *path == '\0' && path[-1] == '/';
        close(fd);
        if (!slash) {
            fd = next;
        } else { /* a directory, to be read itself */
            fd = openat(next, ".", OPEN_FLAGS);
            fd = fd < 0 ? -errno : fd;
            close(next);
        }
        if (fd < 0)
            break;
    }
    return fd;
}

/* By the kernel, or by a filter between, some of which say so in the other words. */
static bool is_refused(int error)
{
    return error == -ENOSYS || error == -EPERM;
}

int files_open(int dir, const char *path, bool in_memory)
{
    const char *name = *path ? path : ".";
    int fd = open_in_kernel(dir, name, in_memory);
    if (in_memory) /* -EINVAL: a kernel that does not know the flag */
        return fd == -EINVAL || is_refused(fd) ? -EAGAIN : fd;
    for (int races = 0; fd == -EAGAIN && races < RACES_MAX; races++)
        fd = open_in_kernel(dir, name, false);
    return is_refused(fd) ? files_open_walk(dir, path) : fd;
}
