/* Files: one operation of the file system, one job on the pool.
 *
 * The job has copies of what the operation needs and room for what it gives, so that a cancelled
 * operation touches no memory of the caller's. What it gives is a value: it is there in the
 * callback, and freed behind it unless it is taken. An open that nobody waits for any more closes
 * what it opened, and a close that was cancelled is done all the same.
 *
 * EINTR is not for callers to see: a call that was interrupted before it did anything is made
 * again, but for close(2), which has let go of the descriptor even so.
 *
 * SPDX-License-Identifier: MIT */
#include "callback.h"

enum { PATH_SIZE = 4096, READ_MAX = 1 << 30 }; /* PATH_MAX of limits.h; what one call may move */

struct fs_job {
    struct loop_job job;
    ssize_t result;
    int fd;
    int flags;
    mode_t mode;
    int64_t offset;
    size_t size;
    struct stat stat;
    char *bytes;     /* what was read: size of them and a 0 */
    char argument[]; /* the path, or what is to be written */
};

static struct fs_job *fs_job_of(struct loop_job *job)
{
    return loop_container_of(job, struct fs_job, job);
}

static void free_job(struct loop_job *job)
{
    memory_resize(&job->allocator, fs_job_of(job)->bytes, 0);
    job_free(job);
}

void fs_complete(struct loop_fs *fs)
{
    struct loop *loop = fs->request.loop;
    callback_begin(loop, request_subject(&fs->request, (loop_function)fs->cb), 0);
    fs->cb(fs);
    callback_end(loop);
}

/* fs->job is gone if the operation was cancelled. */
static void complete(struct loop_request *request)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    struct fs_job *job = fs->job ? fs_job_of(fs->job) : NULL;
    fs->result = job ? job->result : -ECANCELED;
    fs->bytes = job && job->result >= 0 ? job->bytes : NULL;
    fs->owner = job ? &job->bytes : NULL;
    fs->stat = job && job->result >= 0 ? &job->stat : NULL;
    if (fs->bytes)
        job->bytes[job->result] = '\0';
    fs_complete(fs);
    if (job)
        free_job(&job->job);
}

static void abandon(struct loop_request *request)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    fs->job->request = NULL;
    fs->job = NULL;
}

static void cancel(struct loop_request *request, int status)
{
    (void)status; /* having no deadlines: -ECANCELED */
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    pool_cancel(fs->job);
    fs->job = NULL;
}

static const struct loop_request_ops fs_ops = {.type = "fs",
                                               .complete = complete,
                                               .abandon = abandon,
                                               .cancel = cancel};

int fs_refused(struct loop *loop, const struct loop_fs *fs, loop_fs_cb cb)
{
    if (!loop || !fs || !cb)
        return -EINVAL;
    thread_check(loop, "fs request");
    request_check(&fs->request, &fs_ops);
    return 0;
}

/* NULL: out of memory. */
static struct fs_job *make_job(struct loop *loop, struct loop_fs *fs,
                               void (*run)(struct loop_job *job), const void *argument,
                               size_t argument_size)
{
    struct fs_job *job =
        memory_resize(&loop->options.allocator, NULL, sizeof(*job) + argument_size);
    if (!job)
        return NULL;
    *job = (struct fs_job){.job = {.kind = POOL_FS,
                                   .allocator = loop->options.allocator,
                                   .request = &fs->request,
                                   .run = run,
                                   .discard = free_job}};
    if (argument_size > 0)
        memcpy(job->argument, argument, argument_size);
    return job;
}

static int submit(struct loop *loop, struct loop_fs *fs, struct fs_job *job, loop_fs_cb cb)
{
    int error = pool_submit(loop, &job->job);
    if (error) {
        free_job(&job->job);
        return error;
    }
    fs->job = &job->job;
    fs->cb = cb;
    request_start(loop, &fs->request, &fs_ops, (loop_function)cb);
    return 0;
}

static void run_open(struct loop_job *base)
{
    struct fs_job *job = fs_job_of(base);
    do
        job->result = sys_open(job->argument, job->flags, job->mode);
    while (job->result == -EINTR);
}

static void discard_open(struct loop_job *base)
{
    if (fs_job_of(base)->result >= 0)
        sys_close((int)fs_job_of(base)->result);
    free_job(base);
}

int loop_fs_open(struct loop *loop, struct loop_fs *fs, const char *path, int flags, mode_t mode,
                 loop_fs_cb cb)
{
    int error = path ? fs_refused(loop, fs, cb) : -EINVAL;
    if (error)
        return error;
    size_t length = strnlen(path, PATH_SIZE);
    if (length == PATH_SIZE)
        return -ENAMETOOLONG;
    struct fs_job *job = make_job(loop, fs, run_open, path, length + 1);
    if (!job)
        return -ENOMEM;
    job->job.discard = discard_open;
    job->result = -ECANCELED; /* of an open that never ran */
    job->flags = flags;
    job->mode = mode;
    return submit(loop, fs, job, cb);
}

static void run_close(struct loop_job *job)
{
    fs_job_of(job)->result = sys_close(fs_job_of(job)->fd);
}

/* Nobody waits, but the descriptor must go, if it did not. */
static void discard_close(struct loop_job *job)
{
    if (fs_job_of(job)->result == -ECANCELED)
        run_close(job);
    free_job(job);
}

int loop_fs_close(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb)
{
    int error = fd >= 0 ? fs_refused(loop, fs, cb) : -EINVAL;
    if (error)
        return error;
    struct fs_job *job = make_job(loop, fs, run_close, NULL, 0);
    if (!job)
        return -ENOMEM;
    job->job.discard = discard_close;
    job->result = -ECANCELED;
    job->fd = fd;
    return submit(loop, fs, job, cb);
}

static void run_fstat(struct loop_job *base)
{
    struct fs_job *job = fs_job_of(base);
    job->result = sys_fstat(job->fd, &job->stat);
}

int loop_fs_fstat(struct loop *loop, struct loop_fs *fs, int fd, loop_fs_cb cb)
{
    int error = fd >= 0 ? fs_refused(loop, fs, cb) : -EINVAL;
    if (error)
        return error;
    struct fs_job *job = make_job(loop, fs, run_fstat, NULL, 0);
    if (!job)
        return -ENOMEM;
    job->fd = fd;
    return submit(loop, fs, job, cb);
}

static void run_read(struct loop_job *base)
{
    struct fs_job *job = fs_job_of(base);
    do
        job->result = job->offset < 0 ? sys_read(job->fd, job->bytes, job->size)
                                      : sys_pread(job->fd, job->bytes, job->size, job->offset);
    while (job->result == -EINTR);
}

int loop_fs_read(struct loop *loop, struct loop_fs *fs, int fd, size_t size, int64_t offset,
                 loop_fs_cb cb)
{
    bool possible = fd >= 0 && size <= READ_MAX && offset >= -1;
    int error = possible ? fs_refused(loop, fs, cb) : -EINVAL;
    if (error)
        return error;
    struct fs_job *job = make_job(loop, fs, run_read, NULL, 0);
    if (!job)
        return -ENOMEM;
    job->bytes = memory_resize(&loop->options.allocator, NULL, size + 1);
    if (!job->bytes) {
        free_job(&job->job);
        return -ENOMEM;
    }
    job->fd = fd;
    job->size = size;
    job->offset = offset;
    return submit(loop, fs, job, cb);
}

static void run_write(struct loop_job *base)
{
    struct fs_job *job = fs_job_of(base);
    do
        job->result = job->offset < 0 ? sys_write(job->fd, job->argument, job->size)
                                      : sys_pwrite(job->fd, job->argument, job->size, job->offset);
    while (job->result == -EINTR);
}

int loop_fs_write(struct loop *loop, struct loop_fs *fs, int fd, const void *bytes, size_t size,
                  int64_t offset, loop_fs_cb cb)
{
    bool possible = fd >= 0 && size <= READ_MAX && offset >= -1 && (bytes || size == 0);
    int error = possible ? fs_refused(loop, fs, cb) : -EINVAL;
    if (error)
        return error;
    struct fs_job *job = make_job(loop, fs, run_write, bytes, size);
    if (!job)
        return -ENOMEM;
    job->fd = fd;
    job->size = size;
    job->offset = offset;
    return submit(loop, fs, job, cb);
}

char *loop_fs_take(struct loop_fs *fs)
{
    char *bytes = NULL;
    if (fs->bytes) {
        bytes = *fs->owner;
        *fs->owner = NULL;
    }
    return bytes;
}
