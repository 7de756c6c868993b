/* Directories with all that lead there, and files and directories of names that nobody can guess.
 *
 * The C library's functions for both start from the current directory alone, so they are done here,
 * by the same means: mkdirat(2) and openat(2) with O_EXCL, which fail if there is something of that
 * name, be it a link; then another is tried. Six of 62 characters are 57 billion names.
 *
 * On the way down to a directory it is no error that one is there already, which somebody else may
 * have made just now; whether the last is one is looked at in the end.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

enum { TRIES_MAX = 100 };

void fs_random_name(char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    uint64_t random = sys_clock_ns(CLOCK_MONOTONIC); /* if there is nothing better so early */
    sys_random(&random, sizeof(random));
    for (int i = 0; i < FS_RANDOM_LENGTH; i++) {
        name[i] = letters[random % (sizeof(letters) - 1)];
        random /= sizeof(letters) - 1;
    }
}

/* Into the job's bytes: the prefix, and a name with which make succeeds. */
static ssize_t make_temp(struct fs_job *job, int (*make)(const struct fs_job *job))
{
    size_t length = strlen(job->args.path);
    int result = -EEXIST;
    if (length + FS_RANDOM_LENGTH >= FS_PATH_SIZE)
        return -ENAMETOOLONG;
    memcpy(job->bytes, job->args.path, length);
    job->bytes[length + FS_RANDOM_LENGTH] = '\0';
    for (int i = 0; i < TRIES_MAX && result == -EEXIST; i++) {
        fs_random_name(job->bytes + length);
        result = make(job);
    }
    return result;
}

static int make_directory(const struct fs_job *job)
{
    return sys_mkdirat(job->args.dir_fd, job->bytes, 0700);
}

static ssize_t run_mkdtemp(struct fs_job *job)
{
    ssize_t result = make_temp(job, make_directory);
    return result < 0 ? result : (ssize_t)strlen(job->bytes);
}

static void undo_mkdtemp(struct fs_job *job)
{
    if (job->result >= 0)
        sys_unlinkat(job->args.dir_fd, job->bytes, AT_REMOVEDIR);
}

int loop_fs_mkdtemp(struct loop *loop, struct loop_fs *fs, const char *prefix, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .gives = FS_GIVES_BYTES,
                                    .reads = true,
                                    .run = run_mkdtemp,
                                    .undo = undo_mkdtemp};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = prefix, .size = FS_PATH_SIZE}, cb);
}

static int make_file(const struct fs_job *job)
{
    return sys_openat(job->args.dir_fd, job->bytes, O_RDWR | O_CREAT | O_EXCL, 0600);
}

static ssize_t run_mkstemp(struct fs_job *job)
{
    return make_temp(job, make_file);
}

static void undo_mkstemp(struct fs_job *job)
{
    if (job->result < 0)
        return;
    sys_unlinkat(job->args.dir_fd, job->bytes, 0);
    sys_close((int)job->result);
}

int loop_fs_mkstemp(struct loop *loop, struct loop_fs *fs, const char *prefix, loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH,
                                    .gives = FS_GIVES_BYTES,
                                    .reads = true,
                                    .run = run_mkstemp,
                                    .undo = undo_mkstemp};
    return fs_start(loop, fs, &op, &(struct fs_args){.path = prefix, .size = FS_PATH_SIZE}, cb);
}

/* From the left, component by component. */
static ssize_t make_each(const struct fs_job *job)
{
    ssize_t made = 0;
    char *path = job->bytes;
    for (char *end = path; *end != '\0';) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        char behind = *end;
        *end = '\0';
        int error = sys_mkdirat(job->args.dir_fd, path, job->args.mode);
        *end = behind;
        if (error && error != -EEXIST)
            return error;
        made += !error;
    }
    return made;
}

/* Most often all but the last are there, or all are. */
static ssize_t run_mkdir_all(struct fs_job *job)
{
    struct stat stat;
    const struct fs_args *args = &job->args;
    ssize_t made = 0;
    int error = sys_mkdirat(args->dir_fd, args->path, args->mode);
    if (!error)
        return 1;
    if (error == -ENOENT && args->path[0] != '\0') {
        memcpy(job->bytes, args->path, strlen(args->path) + 1);
        made = make_each(job);
    } else if (error != -EEXIST) {
        return error;
    }
    if (made < 0)
        return made;
    bool there = sys_fstatat(args->dir_fd, args->path, &stat, 0) == 0 && S_ISDIR(stat.st_mode);
    return there ? made : -EEXIST;
}

int loop_fs_mkdir_all(struct loop *loop, struct loop_fs *fs, const char *path, mode_t mode,
                      loop_fs_cb cb)
{
    static const struct fs_op op = {.takes = FS_TAKES_PATH, .reads = true, .run = run_mkdir_all};
    struct fs_args args = {.path = path, .mode = mode, .size = FS_PATH_SIZE};
    return fs_start(loop, fs, &op, &args, cb);
}
