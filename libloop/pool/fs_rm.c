/* A tree removed, without ever leaving it.
 *
 * Somebody else may change the tree meanwhile, and may mean harm: put a link to /etc where there
 * was a directory. So no path is looked up twice. Each directory is opened from the descriptor of
 * the one above, with O_NOFOLLOW, and what is in it is unlinked by name from its own descriptor.
 * One descriptor is open at a time, however deep the tree is: the way back up is "..", and leads on
 * only if it is the directory that we came from, by device and inode; a directory that was moved
 * elsewhere ends the removal. [DOC: rm]
 *
 * A directory is read anew after each way down, since the place in it is lost with the descriptor;
 * what was before that place is gone by then, so little is read twice. What others put in meanwhile
 * shows as a directory that is not empty, and is removed too, so many times in all.
 *
 * Alternatives not taken: a path for each entry, with its races; nftw(3), which has them too; a
 * recursion with a descriptor for each level, of which a process has a thousand.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

enum { TRIES_MAX = 64, OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK };

/* A directory on the way down. */
struct level {
    struct level *above;
    dev_t device; /* of the directory that it is in */
    ino_t inode;
    char name[]; /* there */
};

struct removal {
    const struct fs_job *job;
    struct level *level; /* NULL: in the directory that the caller named */
    char *dirents;       /* FS_DIRENTS_SIZE bytes */
    int fd;              /* of the directory that we are in */
    int tries;
};

enum step { STEP_EMPTY, STEP_ENTERED }; /* or an error */

/* Somebody else is at work here: the entry is looked for again, some time. */
static int again(struct removal *removal)
{
    return ++removal->tries < TRIES_MAX ? 0 : -ENOTEMPTY;
}

static bool was_swapped(int error)
{
    return error == -ENOTDIR || error == -ELOOP || error == -EISDIR;
}

static void move_to(struct removal *removal, int fd)
{
    sys_close(removal->fd);
    removal->fd = fd;
}

static int enter(struct removal *removal, const char *name)
{
    struct stat stat;
    int fd = sys_openat(removal->fd, name, OPEN_DIRECTORY, 0);
    if (fd < 0)
        return was_swapped(fd) || fd == -ENOENT ? again(removal) : fd;
    int error = sys_fstat(removal->fd, &stat);
    size_t size = strlen(name) + 1;
    struct level *level = error ? NULL : fs_allocate(removal->job, sizeof(*level) + size);
    if (!level) {
        sys_close(fd);
        return error ? error : -ENOMEM;
    }
    *level = (struct level){.above = removal->level, .device = stat.st_dev, .inode = stat.st_ino};
    memcpy(level->name, name, size);
    removal->level = level;
    move_to(removal, fd);
    return STEP_ENTERED;
}

/* 0: it is gone, or will be looked for again. */
static int remove_entry(struct removal *removal, const char *name, unsigned char type)
{
    if (loop_work_canceled())
        return -ECANCELED;
    int error = type == DT_DIR ? -EISDIR : sys_unlinkat(removal->fd, name, 0);
    if (error == -EISDIR)
        error = sys_unlinkat(removal->fd, name, AT_REMOVEDIR);
    if (error == -ENOTEMPTY || error == -EEXIST)
        return enter(removal, name);
    if (was_swapped(error))
        return again(removal);
    return error == -ENOENT ? 0 : error;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* All that is in it, or as far as the first directory that is not empty, which is entered. */
static int empty(struct removal *removal)
{
    ssize_t size;
    while ((size = sys_getdents(removal->fd, removal->dirents, FS_DIRENTS_SIZE)) > 0) {
        for (ssize_t used = 0; used < size;) {
            const struct dirent64 *entry = (const void *)(removal->dirents + used);
            used += entry->d_reclen;
            int result =
                is_dots(entry->d_name) ? 0 : remove_entry(removal, entry->d_name, entry->d_type);
            if (result)
                return result;
        }
    }
    return (int)size;
}

static void pop(struct removal *removal)
{
    struct level *level = removal->level;
    removal->level = level->above;
    memory_resize(&removal->job->job.allocator, level, 0);
}

/* Up, and the directory that we were in is removed. */
static int leave(struct removal *removal)
{
    struct stat stat;
    const struct level *level = removal->level;
    int fd = sys_openat(removal->fd, "..", OPEN_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    move_to(removal, fd);
    int error = sys_fstat(fd, &stat);
    if (!error && (stat.st_dev != level->device || stat.st_ino != level->inode))
        error = -ESTALE; /* it was moved away */
    if (!error)
        error = sys_unlinkat(fd, level->name, AT_REMOVEDIR);
    pop(removal);
    if (error == -ENOTEMPTY || error == -EEXIST || was_swapped(error))
        return again(removal);
    return error == -ENOENT ? 0 : error;
}

/* The directory that the caller named: 0, or 1 if it has to be emptied once more. */
static int remove_root(struct removal *removal)
{
    const struct fs_args *args = &removal->job->args;
    int error = sys_unlinkat(args->dir_fd, args->path, AT_REMOVEDIR);
    if (error != -ENOTEMPTY && error != -EEXIST)
        return error;
    error = again(removal);
    if (!error)
        sys_seek(removal->fd, 0, SEEK_SET);
    return error ? error : 1;
}

static int remove_tree(struct removal *removal)
{
    for (;;) {
        int result = empty(removal);
        if (result == STEP_EMPTY && removal->level)
            result = leave(removal);
        else if (result == STEP_EMPTY && (result = remove_root(removal)) == 0)
            return 0;
        if (result < 0)
            return result;
    }
}

static int remove_directory(const struct fs_job *job)
{
    struct removal removal = {.job = job};
    removal.fd = sys_openat(job->args.dir_fd, job->args.path, OPEN_DIRECTORY, 0);
    if (removal.fd < 0)
        return removal.fd;
    removal.dirents = fs_allocate(job, FS_DIRENTS_SIZE);
    int error = removal.dirents ? remove_tree(&removal) : -ENOMEM;
    while (removal.level)
        pop(&removal);
    memory_resize(&job->job.allocator, removal.dirents, 0);
    sys_close(removal.fd);
    return error;
}

/* The last component, before its slashes, is one that rmdir(2) refuses, after all the work. */
static bool is_refused(const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    size_t length = end - start;
    bool is_root = length == 0 && path[0] == '/';
    return is_root || (length == 1 && path[start] == '.') ||
           (length == 2 && path[start] == '.' && path[start + 1] == '.');
}

static ssize_t run_rm(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    if (is_refused(args->path))
        return -EINVAL;
    int error = sys_unlinkat(args->dir_fd, args->path, 0);
    if ((error == -EISDIR || error == -EPERM) && args->mask & LOOP_FS_RECURSIVE) {
        int result = remove_directory(job); /* EPERM: of a directory like /tmp, whatever it is */
        error = result == -ENOTDIR || result == -ELOOP ? error : result;
    }
    return error == -ENOENT && args->mask & LOOP_FS_FORCE ? 0 : error;
}

int loop_fs_rm(struct loop *loop, struct loop_fs *fs, const char *path, unsigned flags,
               loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH, .run = run_rm};
    bool possible = (flags & ~(unsigned)(LOOP_FS_RECURSIVE | LOOP_FS_FORCE)) == 0;
    return possible ? fs_start(loop, fs, &op, &(struct fs_args){.path = path, .mask = flags}, cb)
                    : -EINVAL;
}
