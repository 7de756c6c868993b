/* Looking for what a path means: see look.h.
 *
 * openat2(2) with RESOLVE_BENEATH is the same call by which the library opens files, so both agree
 * on what is there. Where a filter forbids it, as in some containers, nothing is found out here,
 * and the library answers alone.
 *
 * SPDX-License-Identifier: MIT */
#include "look.h"
#include "listing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

int look_open(int root, const char *path, int flags)
{
    const struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    path += strspn(path, "/");
    long fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

int look_stat(int root, const char *path, struct stat *stat)
{
    int fd = look_open(root, path, O_PATH);
    if (fd < 0)
        return fd;
    int error = fstat(fd, stat) < 0 ? -errno : 0;
    close(fd);
    return error;
}

static bool is_file(int root, const char *directory, const char *name)
{
    char path[PATH_SIZE];
    struct stat stat;
    int size = snprintf(path, sizeof(path), "%s%s", directory, name);
    return size < (int)sizeof(path) && look_stat(root, path, &stat) == 0 && S_ISREG(stat.st_mode);
}

static bool is_missing(int error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EXDEV ||
           error == -ENAMETOOLONG;
}

/* Its path ends in "/"; without one the library sends the client there. */
static enum look_found look_into(struct look *look)
{
    if (is_file(look->root, look->path, "index.html"))
        return LOOK_SERVE;
    if (!look->listing)
        return LOOK_MISSING;
    int error = listing_make(look);
    return error == 0 ? LOOK_LISTING : LOOK_SERVE;
}

static enum look_found find(struct look *look)
{
    struct stat stat;
    int error = look_stat(look->root, look->path, &stat);
    if (error < 0)
        return is_missing(error) ? LOOK_MISSING : LOOK_SERVE;
    if (S_ISDIR(stat.st_mode))
        return look->path[strlen(look->path) - 1] == '/' ? look_into(look) : LOOK_SERVE;
    return S_ISREG(stat.st_mode) ? LOOK_SERVE : LOOK_MISSING;
}

void look(struct look *look)
{
    bool hidden = !look->dot_files && strstr(look->path, "/.");
    look->found = hidden ? LOOK_MISSING : find(look);
    look->has_404 = look->found == LOOK_MISSING && is_file(look->root, "/", "404.html");
}
