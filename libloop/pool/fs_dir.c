/* The entries of a directory, in batches or all at once.
 *
 * getdents64(2) is asked directly: it gives records into memory of ours, with the whole name, the
 * type where the file system knows it, and the place behind each. That place is where the next
 * batch begins, if not all of the records were wanted. What the caller sees is an array, built
 * behind, of which the names are still in the records.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

enum {
    DIRENT_SIZE_MAX = 280,  /* a record with a name of 255 bytes */
    DIRENTS_MAX = 64 << 20, /* of a whole directory: a million names and more */
    COUNT_MAX = 65536,
};

static const struct dirent64 *record_at(const struct fs_job *job, size_t place)
{
    return (const void *)(job->bytes + place);
}

static bool is_dots(const struct dirent64 *record)
{
    const char *name = record->d_name;
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static size_t count_records(const struct fs_job *job, size_t size)
{
    size_t count = 0;
    for (size_t place = 0; place < size; place += record_at(job, place)->d_reclen)
        count += !is_dots(record_at(job, place));
    return count;
}

/* At most count of the records in size bytes: where the last of them ends in the directory. */
static int64_t fill(struct fs_job *job, size_t size, size_t count)
{
    struct loop_dirent *entry = job->entries;
    int64_t end = 0;
    for (size_t place = 0; place < size && count > 0;) {
        const struct dirent64 *record = record_at(job, place);
        place += record->d_reclen;
        end = record->d_off;
        if (is_dots(record))
            continue;
        *entry++ = (struct loop_dirent){.name = record->d_name,
                                        .length = strlen(record->d_name),
                                        .inode = record->d_ino,
                                        .type = record->d_type};
        count--;
    }
    return end;
}

static int allocate_entries(struct fs_job *job, size_t count)
{
    job->entries = fs_allocate(job, (count + 1) * sizeof(*job->entries));
    return job->entries ? 0 : -ENOMEM;
}

/* Those that are not wanted now are read again with the next batch. */
static ssize_t run_readdir(struct fs_job *job)
{
    const struct fs_args *args = &job->args;
    size_t count = 0;
    ssize_t size;
    do {
        size = sys_getdents(args->fd, job->bytes, args->size);
        count = size > 0 ? count_records(job, (size_t)size) : 0;
    } while (size > 0 && count == 0);
    if (size <= 0)
        return size;
    size_t wanted = count < args->mask ? count : args->mask;
    if (allocate_entries(job, wanted) < 0)
        return -ENOMEM;
    int64_t end = fill(job, (size_t)size, wanted);
    off_t moved = wanted < count ? sys_seek(args->fd, end, SEEK_SET) : 0;
    return moved < 0 ? moved : (ssize_t)wanted;
}

int loop_fs_readdir(struct loop *loop, struct loop_fs *fs, int dir_fd, size_t count_max,
                    loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_FD,
                                    .gives = FS_GIVES_ENTRIES,
                                    .reads = true,
                                    .run = run_readdir};
    if (count_max == 0 || count_max > COUNT_MAX)
        return -EINVAL;
    size_t size = count_max * DIRENT_SIZE_MAX;
    struct fs_args args = {.fd = dir_fd,
                           .mask = (unsigned)count_max,
                           .size = size < FS_DIRENTS_SIZE ? size : FS_DIRENTS_SIZE};
    return fs_start(loop, fs, &op, &args, cb);
}

/* Room for one more read. */
static int grow(struct fs_job *job, size_t used, size_t *room)
{
    if (*room - used >= FS_DIRENTS_SIZE)
        return 0;
    if (*room >= DIRENTS_MAX)
        return -EFBIG;
    size_t size = 2 * *room > FS_DIRENTS_SIZE ? 2 * *room : FS_DIRENTS_SIZE;
    char *bytes = memory_resize(&job->job.allocator, job->bytes, size);
    if (!bytes)
        return -ENOMEM;
    job->bytes = bytes;
    *room = size;
    return 0;
}

/* All records into the job's bytes: their size. */
static ssize_t read_all(struct fs_job *job, int fd)
{
    size_t used = 0, room = 0;
    for (;;) {
        int error = grow(job, used, &room);
        ssize_t size = error ? error : sys_getdents(fd, job->bytes + used, FS_DIRENTS_SIZE);
        if (size <= 0)
            return size < 0 ? size : (ssize_t)used;
        used += (size_t)size;
        if (loop_work_canceled())
            return -ECANCELED;
    }
}

static ssize_t run_scandir(struct fs_job *job)
{
    int fd = sys_openat(job->args.dir_fd, job->args.path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    ssize_t size = read_all(job, fd);
    sys_close(fd);
    if (size < 0)
        return size;
    size_t count = count_records(job, (size_t)size);
    if (allocate_entries(job, count) < 0)
        return -ENOMEM;
    fill(job, (size_t)size, count);
    return (ssize_t)count;
}

int loop_fs_scandir(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .gives = FS_GIVES_ENTRIES,
                                    .run = run_scandir};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = path}, cb);
}
