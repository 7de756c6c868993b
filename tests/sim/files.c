/* The table of descriptors, and what needs no more: pipes, and paths that name sockets.
 *
 * A descriptor points at an open file description, which others may point at too: copies in this
 * process and, as far as the library can see, in others (world_dup() without closing). The lowest
 * free number is given out, so a number that was just closed comes back with the next file, which
 * is what stale events are about.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

enum { PATHS = 32 };

static struct file *table[FILES_MAX];
static unsigned limit;
static bool paths[PATHS];

void files_begin(void)
{
    memset(table, 0, sizeof(table));
    memset(paths, 0, sizeof(paths));
    limit = has(FEW_FILES) ? 8 + world_below(24) : FILES_MAX;
}

unsigned files_open(void)
{
    unsigned count = 0;
    for (unsigned fd = 0; fd < FILES_MAX; fd++)
        count += table[fd] != NULL;
    return count;
}

void files_end(void)
{
    if (files_open() > 0)
        fail("P9: %u descriptors were not closed", files_open());
    if (world_path_exists())
        fail("P9: the path of a socket was not removed");
}

bool world_path_exists(void)
{
    for (unsigned i = 0; i < PATHS; i++)
        if (paths[i])
            return true;
    return false;
}

bool path_create(unsigned number)
{
    bool created = !paths[number % PATHS];
    paths[number % PATHS] = true;
    return created;
}

int sys_unlink(const char *path)
{
    world_call(-1);
    const char *digits = strrchr(path, '/');
    unsigned number = digits ? (unsigned)strtoul(digits + 1, NULL, 10) : 0;
    if (number >= PATHS || !paths[number])
        return -ENOENT;
    paths[number] = false;
    return 0;
}

struct file *file_of(int fd)
{
    return fd >= 0 && fd < FILES_MAX ? table[fd] : NULL;
}

static int lowest_free(void)
{
    unsigned most = run.faults ? limit : FILES_MAX;
    for (unsigned fd = 3; fd < most; fd++)
        if (!table[fd])
            return (int)fd;
    return -EMFILE;
}

int file_open(struct file *file)
{
    int fd = lowest_free();
    file->references++;
    if (fd >= 0)
        table[fd] = file;
    else
        file_release(file);
    return fd;
}

void file_release(struct file *file)
{
    if (--file->references > 0)
        return;
    epoll_forget(file);
    file->ops->release(file);
}

int world_dup(int fd)
{
    struct file *file = file_of(fd);
    if (!file)
        return -EBADF;
    for (int copy = FILES_MAX - 1; copy > fd; copy--) {
        if (table[copy])
            continue;
        table[copy] = file;
        file->references++;
        return copy;
    }
    return -EMFILE;
}

int sys_close(int fd)
{
    world_call(fd);
    struct file *file = file_of(fd);
    if (!file)
        return -EBADF;
    note("close %d", fd);
    table[fd] = NULL;
    file_release(file);
    return 0;
}

static uint32_t null_events(const struct file *file)
{
    (void)file;
    return EPOLLIN | EPOLLOUT;
}

static void free_null(struct file *file)
{
    free(file);
}

static const struct file_ops null_ops = {.events = null_events, .release = free_null};

int sys_open(const char *path, int flags, mode_t mode)
{
    (void)flags;
    (void)mode;
    world_call(-1);
    if (strcmp(path, "/dev/null") != 0)
        return -ENOENT;
    struct file *file = calloc(1, sizeof(*file));
    file->ops = &null_ops;
    return file_open(file);
}

int sys_fstat(int fd, struct stat *stat)
{
    world_call(fd);
    struct file *file = file_of(fd);
    if (!file)
        return -EBADF;
    *stat = (struct stat){.st_mode = file->ops->mode};
    return 0;
}

int sys_fcntl(int fd, int command, int value)
{
    world_call(fd);
    struct file *file = file_of(fd);
    if (!file)
        return -EBADF;
    if (command == F_SETFL)
        file->flags = value;
    return command == F_GETFL ? file->flags : 0;
}

ssize_t sys_read(int fd, void *bytes, size_t size)
{
    world_call(fd);
    struct file *file = file_of(fd);
    if (!file || !file->ops->read)
        return file ? -EINVAL : -EBADF;
    ssize_t got = fault(SPURIOUS, 30) ? not_now() : file->ops->read(file, bytes, size);
    if (got > 0)
        told_received(file, bytes, (size_t)got);
    else
        told_end(file, (int)got);
    return got;
}

ssize_t sys_writev_quietly(int fd, const struct iovec *iov, int count)
{
    world_call(fd);
    struct file *file = file_of(fd);
    if (!file || !file->ops->write)
        return file ? -EINVAL : -EBADF;
    return fault(SPURIOUS, 30) ? not_now() : file->ops->write(file, iov, count);
}

ssize_t sys_writev_blocked(int fd, const struct iovec *iov, int count)
{
    return sys_writev_quietly(fd, iov, count);
}

/* What is written to standard error is a panic or a warning: it is for us. */
ssize_t sys_write(int fd, const void *bytes, size_t size)
{
    if (fd == STDERR_FILENO)
        fprintf(stderr, "%.*s", (int)size, (const char *)bytes);
    return (ssize_t)size;
}

bool sys_is_terminal(int fd)
{
    (void)fd;
    return false;
}

const void *sys_map(int fd, size_t size)
{
    (void)fd;
    (void)size;
    return NULL;
}

void sys_unmap(const void *map, size_t size)
{
    (void)map;
    (void)size;
}
