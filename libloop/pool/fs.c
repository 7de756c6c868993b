/* Files: one operation of the file system, one job on the pool, or none.
 *
 * The job has copies of what the operation needs and room for what it gives, so that a cancelled
 * operation touches no memory of the caller's. What it gives is a value: it is there in the
 * callback, and freed behind it unless it is taken. What an operation made that nobody waits for
 * any more is undone: an open closes what it opened; and a close that was cancelled is done all the
 * same.
 *
 * What the kernel has in memory is quicker had than asked of another thread, by a factor of ten and
 * more. So an operation that can is tried on the loop's own thread first (fs_quick.c), and its
 * request put off to the pending phase with the result.
 *
 * EINTR is not for callers to see: a call that was interrupted before it did anything is made
 * again, but for close(2), which has let go of the descriptor even so.
 *
 * An alternative not taken: a function per operation that checks, copies and submits by itself, as
 * libuv has them. There are fifty, and they would differ in one line each.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"

#include "callback.h"
#include "job_deadline.h"

static struct fs_job *fs_job_of(struct loop_job *job)
{
    return loop_container_of(job, struct fs_job, job);
}

void *fs_allocate(const struct fs_job *job, size_t size)
{
    return memory_resize(&job->job.allocator, NULL, size);
}

static void free_job(struct fs_job *job)
{
    memory_resize(&job->job.allocator, job->bytes, 0);
    memory_resize(&job->job.allocator, job->entries, 0);
    job_free(&job->job);
}

static void discard(struct loop_job *base)
{
    struct fs_job *job = fs_job_of(base);
    if (job->op->undo)
        job->op->undo(job);
    free_job(job);
}

void fs_complete(struct loop_fs *fs)
{
    struct loop *loop = fs->request.loop;
    callback_begin(loop, request_subject(&fs->request, (loop_function)fs->cb), 0);
    fs->cb(fs);
    callback_end(loop);
}

static void fill_rooms(const struct fs_job *job)
{
    const struct iovec *room = job->args.data;
    size_t left = (size_t)job->result;
    for (const char *bytes = job->bytes; left > 0; room++) {
        size_t size = left < room->iov_len ? left : room->iov_len;
        memcpy(room->iov_base, bytes, size);
        bytes += size;
        left -= size;
    }
}

/* job NULL: the operation was cancelled, or is late. */
static void present(struct loop_fs *fs, struct fs_job *job)
{
    enum fs_gives gives = job && job->result >= 0 ? job->op->gives : FS_GIVES_NOTHING;
    fs->bytes = gives == FS_GIVES_BYTES ? job->bytes : NULL;
    fs->owner = fs->bytes ? &job->bytes : NULL;
    fs->stat = gives == FS_GIVES_STAT ? &job->stat : NULL;
    fs->statx = gives == FS_GIVES_STATX ? &job->statx : NULL;
    fs->statfs = gives == FS_GIVES_STATFS ? &job->statfs : NULL;
    fs->entries = gives == FS_GIVES_ENTRIES ? job->entries : NULL;
    if (gives == FS_GIVES_ROOMS)
        fill_rooms(job);
}

static void complete(struct loop_request *request)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    struct fs_job *job = fs->job ? fs_job_of(fs->job) : NULL;
    request->loop->fs_in_flight--;
    job_deadline_end(&fs->deadline);
    if (job)
        fs->result = job->result;
    present(fs, job);
    fs_complete(fs);
    if (job)
        free_job(job);
}

static void abandon(struct loop_request *request)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    job_deadline_end(&fs->deadline);
    fs->result = -ECANCELED;
    fs->job->request = NULL;
    fs->job = NULL;
}

static void cancel(struct loop_request *request, int status)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    struct loop_job *job = fs->job;
    job_deadline_end(&fs->deadline);
    fs->result = status;
    fs->job = NULL;
    pool_cancel(job);
}

static void expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    job_deadline_set(&fs->deadline, request, due_ns);
}

static const struct loop_request_ops fs_ops = {
    .type = "fs", .complete = complete, .abandon = abandon, .cancel = cancel, .expect = expect};

/* Starting. */

int fs_refused(struct loop *loop, const struct loop_fs *fs, loop_fs_cb cb)
{
    if (!loop || !fs || !cb)
        return -EINVAL;
    thread_check(loop, "fs request");
    request_check(&fs->request, &fs_ops);
    return 0;
}

/* 0 of what is not there; FS_PATH_SIZE: it is too long. */
static size_t size_of(const char *path)
{
    return path ? strnlen(path, FS_PATH_SIZE - 1) + 1 : 0;
}

static bool fits(const char *path)
{
    return !path || strnlen(path, FS_PATH_SIZE) < FS_PATH_SIZE;
}

static int check(const struct fs_op *op, const struct fs_args *args)
{
    if ((op->takes & FS_TAKES_PATH && !args->path) || (op->takes & FS_TAKES_TO && !args->to) ||
        (op->takes & FS_TAKES_FD && args->fd < 0))
        return -EINVAL;
    if ((args->data_size > 0 && !args->data) || args->size > FS_MOVE_MAX)
        return -EINVAL;
    return fits(args->path) && fits(args->to) ? 0 : -ENAMETOOLONG;
}

static const void *copy(char **end, const void *bytes, size_t size)
{
    if (size == 0)
        return NULL;
    char *start = memcpy(*end, bytes, size);
    *end += size;
    return start;
}

static void run(struct loop_job *base)
{
    struct fs_job *job = fs_job_of(base);
    job->result = job->op->run(job);
}

/* NULL: out of memory. The data come first, where they are aligned. */
static struct fs_job *make_job(struct loop *loop, struct loop_fs *fs, const struct fs_op *op,
                               const struct fs_args *args)
{
    size_t path_size = size_of(args->path);
    size_t to_size = size_of(args->to);
    struct fs_job *job = memory_resize(&loop->options.allocator, NULL,
                                       sizeof(*job) + args->data_size + path_size + to_size);
    if (!job)
        return NULL;
    job->job = (struct loop_job){.kind = POOL_FS,
                                 .allocator = loop->options.allocator,
                                 .request = &fs->request,
                                 .run = run,
                                 .discard = discard};
    job->op = op;
    job->args = *args;
    job->result = FS_NOT_RUN;
    job->bytes = NULL;
    job->entries = NULL;
    char *end = job->copies;
    job->args.data = copy(&end, args->data, args->data_size);
    job->args.path = copy(&end, args->path, path_size);
    job->args.to = copy(&end, args->to, to_size);
    if (op->reads && !(job->bytes = fs_allocate(job, args->size + 1))) {
        free_job(job);
        return NULL;
    }
    return job;
}

static bool done_quickly(struct loop *loop, struct fs_job *job)
{
    if (!job->op->quick || !(job->op->reads || fs_quick_is_best(loop)) ||
        !fs_quick_allowed(loop, job->args.size))
        return false;
    ssize_t result = job->op->quick(job);
    if (result == -EAGAIN)
        return false;
    job->result = result;
    return true;
}

int fs_start(struct loop *loop, struct loop_fs *fs, const struct fs_op *op, struct fs_args *args,
             loop_fs_cb cb)
{
    int error = fs_refused(loop, fs, cb);
    if (error)
        return error;
    args->dir_fd = fs->dir + AT_FDCWD;
    args->to_dir_fd = fs->to_dir + AT_FDCWD;
    fs->dir = fs->to_dir = 0;
    error = check(op, args);
    if (error)
        return error;
    struct fs_job *job = make_job(loop, fs, op, args);
    if (!job)
        return -ENOMEM;
    bool done = done_quickly(loop, job);
    error = done ? 0 : pool_submit(loop, &job->job);
    if (error) {
        free_job(job);
        return error;
    }
    fs->job = &job->job;
    fs->cb = cb;
    job_deadline_none(&fs->deadline);
    loop->fs_in_flight++;
    request_start(loop, &fs->request, &fs_ops, (loop_function)cb);
    if (done)
        request_defer(&fs->request);
    return 0;
}

void loop_fs_at(struct loop_fs *fs, int dir_fd)
{
    fs->dir = fs->to_dir = dir_fd - AT_FDCWD;
}

void loop_fs_to_at(struct loop_fs *fs, int dir_fd)
{
    fs->to_dir = dir_fd - AT_FDCWD;
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
