/* A whole file, as Node's fs.readFile reads it: open, fstat, read, close, four jobs on the pool.
 *
 * That it is four jobs and not one is why a small file is read in four or five turns and not in
 * one, which surprises readers of Node programs; so it is built as in Node, out of the requests of
 * fs.c, each with its callback. Where fstat says 0, as for the files of /proc, reading goes on
 * until a read returns nothing; otherwise until the size is reached or the file turns out to be
 * shorter. A small file that the kernel has in memory is read at once instead (fs_quick.c).
 *
 * The user's request is one; the steps have one of their own, which goes on, unreferenced by
 * anybody, to close the descriptor when the user's was cancelled.
 *
 * SPDX-License-Identifier: MIT */
#include "fs.h"
#include "job_deadline.h"

enum {
    SIZE_MAX_BYTES = 1 << 30,
    SIZE_GUESS = 64 << 10, /* what is read at a time when fstat knows nothing */
};

struct loop_read_file {
    struct loop_fs step;
    struct loop_fs *user; /* NULL: cancelled */
    struct loop_allocator allocator;
    int fd;
    ssize_t result; /* a negative errno, or the bytes so far */
    ssize_t size;   /* as fstat says; 0: not known */
    char *bytes;
};

static void read_some(struct loop_read_file *file);

/* While the user's request is in flight it alone says whether the loop is kept alive; afterwards
 * what is left of the work does. */
static void step_begun(struct loop_read_file *file)
{
    if (file->user)
        loop_request_unref(&file->step.request);
    else
        loop_request_ref(&file->step.request);
}

static void free_file(struct loop_read_file *file)
{
    memory_resize(&file->allocator, file->bytes, 0);
    memory_resize(&file->allocator, file, 0);
}

/* The last step is done, or could not be begun. */
static void finish(struct loop_read_file *file)
{
    if (file->user)
        request_defer(&file->user->request);
    else
        free_file(file);
}

static void on_closed(struct loop_fs *step)
{
    finish(loop_container_of(step, struct loop_read_file, step));
}

/* A descriptor that cannot be closed on the pool is closed here. */
static void close_with(struct loop_read_file *file, ssize_t result)
{
    file->result = result;
    if (loop_fs_close(file->step.request.loop, &file->step, file->fd, on_closed) < 0) {
        sys_close(file->fd);
        finish(file);
        return;
    }
    step_begun(file);
}

/* The first piece is taken as it is; most files have no second. */
static int append(struct loop_read_file *file)
{
    size_t used = (size_t)file->result;
    size_t count = (size_t)file->step.result;
    if (used + count > SIZE_MAX_BYTES)
        return -EFBIG; /* unreachable: without a file of 1 GiB, and the memory for it */
    if (!file->bytes) {
        file->bytes = loop_fs_take(&file->step);
        return 0;
    }
    char *bytes = memory_resize(&file->allocator, file->bytes, used + count + 1);
    if (!bytes)
        return -ENOMEM;
    file->bytes = bytes;
    memcpy(bytes + used, file->step.bytes, count);
    return 0;
}

static void on_read(struct loop_fs *step)
{
    struct loop_read_file *file = loop_container_of(step, struct loop_read_file, step);
    int error = step->result < 0 ? (int)step->result : append(file);
    if (error) {
        close_with(file, error);
        return;
    }
    file->result += step->result;
    if (step->result == 0 || file->result == file->size || !file->user)
        close_with(file, file->result);
    else
        read_some(file);
}

static void read_some(struct loop_read_file *file)
{
    size_t size = file->size > 0 ? (size_t)(file->size - file->result) : SIZE_GUESS;
    int error = loop_fs_read(file->step.request.loop, &file->step, file->fd, size, -1, on_read);
    if (error)
        close_with(file, error);
    else
        step_begun(file);
}

static void on_stat(struct loop_fs *step)
{
    struct loop_read_file *file = loop_container_of(step, struct loop_read_file, step);
    int error = step->result < 0 ? (int)step->result : 0;
    file->size = error ? 0 : step->stat->st_size;
    if (!error && S_ISDIR(step->stat->st_mode))
        error = -EISDIR;
    if (!error && file->size > SIZE_MAX_BYTES)
        error = -EFBIG;
    if (error || !file->user)
        close_with(file, error);
    else
        read_some(file);
}

static void on_open(struct loop_fs *step)
{
    struct loop_read_file *file = loop_container_of(step, struct loop_read_file, step);
    file->fd = (int)step->result;
    if (step->result < 0) {
        file->result = step->result;
        finish(file);
        return;
    }
    int error = loop_fs_fstat(step->request.loop, step, file->fd, on_stat);
    if (error)
        close_with(file, error);
    else
        step_begun(file);
}

static void complete(struct loop_request *request)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    struct loop_read_file *file = fs->read_file;
    job_deadline_end(&fs->deadline);
    request->loop->fs_in_flight--;
    if (file)
        fs->result = file->result;
    fs->bytes = file && file->result >= 0 ? file->bytes : NULL;
    fs->owner = file ? &file->bytes : NULL;
    fs->stat = NULL;
    fs->statx = NULL;
    fs->statfs = NULL;
    fs->entries = NULL;
    if (fs->bytes)
        file->bytes[file->result] = '\0';
    fs_complete(fs);
    if (file)
        free_file(file);
}

/* The step is abandoned too, and comes to its own end. */
static void abandon(struct loop_request *request)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    job_deadline_end(&fs->deadline);
    fs->result = -ECANCELED;
    if (fs->read_file)
        fs->read_file->user = NULL;
    fs->read_file = NULL;
}

/* The step under way runs to its end, sees that nobody waits, and closes. */
static void cancel(struct loop_request *request, int status)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    struct loop_read_file *file = fs->read_file;
    abandon(request);
    fs->result = status;
    step_begun(file);
    request_defer(request);
}

static void expect(struct loop_request *request, uint64_t due_ns)
{
    struct loop_fs *fs = loop_container_of(request, struct loop_fs, request);
    job_deadline_set(&fs->deadline, request, due_ns);
}

static const struct loop_request_ops read_file_ops = {.type = "fs.read_file",
                                                      .complete = complete,
                                                      .abandon = abandon,
                                                      .cancel = cancel,
                                                      .expect = expect};

/* 0: its steps are under way; 1: it is here, or is known not to be there. */
static int begin(struct loop *loop, struct loop_read_file *file, int dir, const char *path)
{
    file->result = fs_quick_file(loop, dir + AT_FDCWD, path, &file->bytes);
    if (file->result != -EAGAIN)
        return 1;
    file->result = 0;
    loop_fs_at(&file->step, dir + AT_FDCWD);
    int error = loop_fs_open(loop, &file->step, path, O_RDONLY, 0, on_open);
    if (!error)
        step_begun(file);
    return error;
}

int loop_fs_read_file(struct loop *loop, struct loop_fs *fs, const char *path, loop_fs_cb cb)
{
    int error = path ? fs_refused(loop, fs, cb) : -EINVAL;
    if (error)
        return error;
    int dir = fs->dir;
    fs->dir = fs->to_dir = 0;
    struct loop_read_file *file = memory_resize(&loop->options.allocator, NULL, sizeof(*file));
    if (!file)
        return -ENOMEM;
    *file = (struct loop_read_file){.user = fs, .allocator = loop->options.allocator, .fd = -1};
    int begun = begin(loop, file, dir, path);
    if (begun < 0) {
        free_file(file);
        return begun;
    }
    fs->read_file = file;
    fs->job = NULL;
    fs->cb = cb;
    job_deadline_none(&fs->deadline);
    loop->fs_in_flight++;
    request_start(loop, &fs->request, &read_file_ops, (loop_function)cb);
    if (begun == 1)
        request_defer(&fs->request);
    return 0;
}
