/* Files, read and written on the thread pool.
 *
 * What is written is read again, whole or in part, at an offset or at the file's position; behind
 * bytes that were read stands a 0. What the file system says comes as the result; what the call
 * itself can tell it returns, and nothing was started. Nothing is truncated: a path fits or is
 * refused. loop_fs_read_file is four jobs, and more where fstat does not know the size. A request
 * may be cancelled whatever its job does, waits, runs or is on its way home: its callback comes
 * once, with -ECANCELED, no descriptor stays open and no memory is lost. It may be started again
 * or freed in its own callback.
 *
 * All happens on the pool here, and in a folder made for each test; what is done on the loop's own
 * thread is in fs_quick.c, all other operations are in fs_path.c and fs_tree.c. Jobs are made to
 * wait behind a gate, which is work that goes on when it is told; jobs that run are blocked in a
 * pipe.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct op {
    struct loop_fs fs;
    int calls;
    ssize_t result;
    char *taken; /* freed by give_back() */
    struct stat stat;
    enum loop_phase phase;
    int rounds;
};

struct gate {
    struct loop_work work;
    sem_t running;
    sem_t open;
};

static struct loop_pool *pool;
static struct gate gates[8];
static char folder[128];

static struct op *op_of(struct loop_fs *fs)
{
    return loop_container_of(fs, struct op, fs);
}

/* A path in the test's folder; of the last four calls. */
static const char *in_folder(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % ARRAY_LENGTH(paths)];
    snprintf(path, sizeof(*paths), "%s/%.256s", folder, name);
    return path;
}

static void make_file(const char *name, const void *bytes, size_t size)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(size, write(fd, bytes, size));
    close(fd);
}

static int open_file(const char *name, int flags)
{
    int fd = open(in_folder(name), flags, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void pass_gate(void *data)
{
    struct gate *gate = data;
    sem_post(&gate->running);
    sem_wait(&gate->open);
}

static void submit_gate(struct loop *loop, int i)
{
    gates[i].work.request.data = &gates[i];
    assert_int_equal(0, loop_work(loop, &gates[i].work, pass_gate, NULL));
}

/* What was submitted before is on its way home, what comes now has to wait. */
static void close_gate(struct loop *loop, int i)
{
    submit_gate(loop, i);
    sem_wait(&gates[i].running);
}

static void open_gate(int i)
{
    sem_post(&gates[i].open);
}

static struct loop *begin_with(void **state, struct loop_pool_options options)
{
    struct loop *loop = *state;
    snprintf(folder, sizeof(folder), "%s/loop-fs-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(0, loop_pool_create(&pool, &options));
    loop->options.pool = pool;
    loop->options.fs_pool_only = true;
    memset(gates, 0, sizeof(gates));
    for (size_t i = 0; i < ARRAY_LENGTH(gates); i++) {
        sem_init(&gates[i].running, 0, 0);
        sem_init(&gates[i].open, 0, 0);
    }
    return loop;
}

static struct loop *begin(void **state)
{
    return begin_with(state, (struct loop_pool_options){.threads_max = 1});
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

static void run_to_end(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void end(struct loop *loop)
{
    run_to_end(loop);
    loop_pool_destroy(pool);
    loop->options.pool = NULL;
    assert_int_equal(0, nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS));
}

static void give_back(struct op *op)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    if (op->taken)
        options.allocator.resize(options.allocator.ctx, op->taken, 0);
    op->taken = NULL;
}

static void on_fs(struct loop_fs *fs)
{
    struct op *op = op_of(fs);
    op->calls++;
    op->result = fs->result;
    op->phase = loop_phase(fs->request.loop);
    if (fs->stat)
        op->stat = *fs->stat;
    if (!fs->bytes)
        assert_null(loop_fs_take(fs));
    if (fs->bytes && fs->result >= 0) {
        assert_int_equal('\0', fs->bytes[fs->result]);
        op->taken = loop_fs_take(fs);
        assert_ptr_equal(op->taken, fs->bytes);
        assert_null(loop_fs_take(fs));
    }
}

static void assert_came(const struct op *op, ssize_t result)
{
    assert_int_equal(1, op->calls);
    assert_int_equal(result, op->result);
}

static ssize_t opened(struct loop *loop, const char *path, int flags)
{
    struct op op = {0};
    assert_int_equal(0, loop_fs_open(loop, &op.fs, path, flags, 0600, on_fs));
    run_to_end(loop);
    assert_int_equal(1, op.calls);
    assert_int_equal(LOOP_PHASE_POLL, op.phase);
    return op.result;
}

static ssize_t closed(struct loop *loop, int fd)
{
    struct op op = {0};
    assert_int_equal(0, loop_fs_close(loop, &op.fs, fd, on_fs));
    run_to_end(loop);
    assert_int_equal(1, op.calls);
    return op.result;
}

static ssize_t wrote(struct loop *loop, int fd, const char *bytes, int64_t offset)
{
    struct op op = {0};
    char *copy = strdup(bytes);
    assert_int_equal(0, loop_fs_write(loop, &op.fs, fd, copy, strlen(copy), offset, on_fs));
    memset(copy, '#', strlen(copy));
    free(copy); /* the request has its own */
    run_to_end(loop);
    assert_int_equal(1, op.calls);
    return op.result;
}

static void assert_reads(struct loop *loop, int fd, size_t size, int64_t offset, const char *bytes)
{
    struct op op = {0};
    assert_int_equal(0, loop_fs_read(loop, &op.fs, fd, size, offset, on_fs));
    run_to_end(loop);
    assert_came(&op, (ssize_t)strlen(bytes));
    assert_string_equal(bytes, op.taken);
    give_back(&op);
}

static ssize_t read_whole(struct loop *loop, const char *path, struct op *op)
{
    *op = (struct op){0};
    assert_int_equal(0, loop_fs_read_file(loop, &op->fs, path, on_fs));
    run_to_end(loop);
    assert_int_equal(1, op->calls);
    assert_int_equal(LOOP_PHASE_POLL, op->phase);
    return op->result;
}

static void what_is_written_is_read_again(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    int fd = (int)opened(loop, in_folder("new"), O_RDWR | O_CREAT | O_EXCL);
    assert_true(fd >= 0);
    assert_int_equal(FD_CLOEXEC, fcntl(fd, F_GETFD));
    assert_int_equal(5, wrote(loop, fd, "hello", -1));
    assert_int_equal(0, loop_fs_fstat(loop, &op.fs, fd, on_fs));
    run_to_end(loop);
    assert_came(&op, 0);
    assert_int_equal(5, op.stat.st_size);
    assert_true(S_ISREG(op.stat.st_mode));
    assert_int_equal(0600, op.stat.st_mode & 0777);
    assert_reads(loop, fd, 100, 0, "hello");
    assert_int_equal(0, closed(loop, fd));
    assert_int_equal(-1, fcntl(fd, F_GETFD));
    assert_int_equal(-EEXIST, opened(loop, in_folder("new"), O_RDWR | O_CREAT | O_EXCL));
    assert_int_equal(5, read_whole(loop, in_folder("new"), &op));
    assert_string_equal("hello", op.taken);
    give_back(&op);
    end(loop);
}

static void reads_are_at_an_offset_or_at_the_position(void **state)
{
    struct loop *loop = begin(state);
    make_file("digits", "0123456789", 10);
    int fd = open_file("digits", O_RDONLY);
    assert_reads(loop, fd, 4, -1, "0123");
    assert_reads(loop, fd, 3, 7, "789");
    assert_reads(loop, fd, 4, -1, "4567");
    assert_reads(loop, fd, 4, -1, "89");
    assert_reads(loop, fd, 4, -1, "");
    assert_reads(loop, fd, 4, 10, "");
    assert_reads(loop, fd, 4, 1000000, "");
    assert_reads(loop, fd, 0, 0, "");
    assert_reads(loop, fd, 4, 0, "0123");
    close(fd);
    end(loop);
}

static void writes_are_at_an_offset_or_at_the_position(void **state)
{
    struct loop *loop = begin(state);
    int fd = open_file("out", O_RDWR | O_CREAT);
    assert_int_equal(3, wrote(loop, fd, "abc", -1));
    assert_int_equal(2, wrote(loop, fd, "XY", 1));
    assert_int_equal(3, wrote(loop, fd, "def", -1));
    assert_int_equal(1, wrote(loop, fd, "Z", 7));
    assert_int_equal(0, wrote(loop, fd, "", -1));
    assert_reads(loop, fd, 6, 0, "aXYdef");
    assert_reads(loop, fd, 9, 7, "Z"); /* behind a hole */
    close(fd);
    end(loop);
}

static void errors_of_the_file_system_come_as_the_result(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    int fd = open_file("out", O_WRONLY | O_CREAT);
    assert_int_equal(-ENOENT, opened(loop, in_folder("missing"), O_RDONLY));
    assert_int_equal(-ENOENT, opened(loop, "", O_RDONLY));
    assert_int_equal(-EISDIR, opened(loop, folder, O_WRONLY));
    assert_int_equal(-ENOTDIR, opened(loop, in_folder("out/under"), O_RDONLY));
    assert_int_equal(0, loop_fs_read(loop, &op.fs, fd, 10, 0, on_fs));
    run_to_end(loop);
    assert_came(&op, -EBADF);
    close(fd);
    assert_int_equal(-EBADF, closed(loop, fd));
    assert_int_equal(-EBADF, wrote(loop, fd, "x", 0));
    op = (struct op){0};
    assert_int_equal(0, loop_fs_fstat(loop, &op.fs, fd, on_fs));
    run_to_end(loop);
    assert_came(&op, -EBADF);
    assert_null(op.fs.stat);
    end(loop);
}

static void reading_a_whole_file_tells_what_is_wrong_with_it(void **state)
{
    struct loop *loop = begin(state);
    struct op op;
    int descriptors = open_descriptors();
    assert_int_equal(-ENOENT, read_whole(loop, in_folder("missing"), &op));
    assert_int_equal(-EISDIR, read_whole(loop, folder, &op));
    int fd = open_file("huge", O_WRONLY | O_CREAT);
    assert_int_equal(0, ftruncate(fd, ((off_t)1 << 30) + 1));
    close(fd);
    assert_int_equal(-EFBIG, read_whole(loop, in_folder("huge"), &op));
    assert_null(op.taken);
    assert_int_equal(descriptors, open_descriptors());
    end(loop);
}

static void an_empty_file_is_no_bytes_and_a_0(void **state)
{
    struct loop *loop = begin(state);
    struct op op;
    make_file("empty", "", 0);
    assert_int_equal(0, read_whole(loop, in_folder("empty"), &op));
    assert_string_equal("", op.taken);
    give_back(&op);
    end(loop);
}

static void a_file_whose_size_fstat_does_not_know_is_read_to_its_end(void **state)
{
    struct loop *loop = begin(state);
    struct op op;
    ssize_t size = read_whole(loop, "/proc/self/status", &op);
    assert_true(size > 0);
    assert_int_equal(size, strlen(op.taken));
    assert_non_null(strstr(op.taken, "Name:"));
    assert_int_equal('\n', op.taken[size - 1]);
    give_back(&op);
    end(loop);
}

/* Mappings are many, so this is more than one piece: each line is whole all the same. */
static void a_file_of_unknown_size_may_come_in_pieces(void **state)
{
    struct loop *loop = begin(state);
    struct op op;
    ssize_t size = read_whole(loop, "/proc/self/smaps", &op);
    assert_true(size > 4096);
    assert_int_equal(size, strlen(op.taken));
    assert_non_null(strstr(op.taken, "VmFlags:"));
    give_back(&op);
    end(loop);
}

/* More than a pipe holds, and more than is read at a time. */
enum { PATTERN_SIZE = 300000 };

static unsigned char pattern[PATTERN_SIZE];

struct writer {
    char path[512];
    pthread_t thread;
    size_t written;
};

static void *write_pattern(void *arg)
{
    struct writer *writer = arg;
    FILE *file = fopen(writer->path, "w");
    if (!file)
        return NULL;
    writer->written = fwrite(pattern, 1, PATTERN_SIZE, file);
    fclose(file);
    return NULL;
}

/* Into the pipe of that name, from a thread: it waits for a reader. */
static void start_writer(struct writer *writer, const char *name)
{
    for (size_t i = 0; i < PATTERN_SIZE; i++)
        pattern[i] = (unsigned char)(i * 31 + i / 251);
    *writer = (struct writer){.written = 0};
    snprintf(writer->path, sizeof(writer->path), "%s", in_folder(name));
    assert_int_equal(0, pthread_create(&writer->thread, NULL, write_pattern, writer));
}

static void what_comes_through_a_pipe_is_put_together(void **state)
{
    struct loop *loop = begin(state);
    struct writer writer;
    struct op op;
    assert_int_equal(0, mkfifo(in_folder("pipe"), 0600));
    start_writer(&writer, "pipe");
    ssize_t size = read_whole(loop, in_folder("pipe"), &op);
    pthread_join(writer.thread, NULL);
    assert_int_equal(PATTERN_SIZE, writer.written);
    assert_int_equal(PATTERN_SIZE, size);
    assert_memory_equal(pattern, op.taken, PATTERN_SIZE);
    give_back(&op);
    end(loop);
}

static void a_file_of_three_mebibytes_comes_whole(void **state)
{
    enum { SIZE = 3 << 20 };
    struct loop *loop = begin(state);
    struct op op;
    char *bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 31 + (i >> 9));
    make_file("large", bytes, SIZE);
    assert_int_equal(SIZE, read_whole(loop, in_folder("large"), &op));
    assert_memory_equal(bytes, op.taken, SIZE);
    give_back(&op);
    free(bytes);
    end(loop);
}

/* The folder, as many slashes as it takes, and the name: length bytes in all. */
static void fill_path(char *path, size_t length, const char *name)
{
    memset(path, '/', length);
    memcpy(path, folder, strlen(folder));
    memcpy(path + length - strlen(name), name, strlen(name) + 1);
}

static void a_path_fits_or_is_refused(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    char path[PATH_MAX + 1];
    make_file("file", "x", 1);
    fill_path(path, PATH_MAX - 1, "file");
    assert_int_equal(1, read_whole(loop, path, &op));
    give_back(&op);
    fill_path(path, PATH_MAX - 1, "none");
    assert_int_equal(-ENOENT, opened(loop, path, O_RDONLY));
    fill_path(path, PATH_MAX, "file");
    op = (struct op){0};
    assert_int_equal(-ENAMETOOLONG, loop_fs_open(loop, &op.fs, path, O_RDONLY, 0, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_read_file(loop, &op.fs, path, on_fs));
    assert_false(loop_alive(loop));
    assert_int_equal(-EALREADY, loop_request_cancel(&op.fs.request));
    memset(path, 'n', 256);
    path[255] = '\0';
    int fd = (int)opened(loop, in_folder(path), O_RDWR | O_CREAT);
    assert_true(fd >= 0);
    assert_int_equal(0, closed(loop, fd));
    path[255] = 'n';
    path[256] = '\0';
    assert_int_equal(-ENAMETOOLONG, opened(loop, in_folder(path), O_RDWR | O_CREAT));
    end(loop);
}

static void the_path_is_copied(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    make_file("file", "text", 4);
    char *path = strdup(in_folder("file"));
    close_gate(loop, 0);
    assert_int_equal(0, loop_fs_read_file(loop, &op.fs, path, on_fs));
    memset(path, '#', strlen(path));
    free(path);
    open_gate(0);
    run_to_end(loop);
    assert_came(&op, 4);
    give_back(&op);
    end(loop);
}

static void the_virtual_clock_waits_for_files(void **state)
{
    struct loop *loop = begin(state);
    struct op op;
    make_file("file", "text", 4);
    assert_int_equal(4, read_whole(loop, in_folder("file"), &op));
    assert_int_equal(0, loop_now(loop));
    give_back(&op);
    end(loop);
}

static void say_result(struct loop_fs *fs)
{
    say("%d", (int)fs->result);
}

/* Not taken: the loop frees them, which the fixture looks at. */
static void bytes_that_are_not_taken_are_freed_behind_the_callback(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    make_file("file", "text", 4);
    int fd = open_file("file", O_RDONLY);
    assert_int_equal(0, loop_fs_read(loop, &op.fs, fd, 100, 0, say_result));
    run_to_end(loop);
    assert_int_equal(0, loop_fs_read_file(loop, &op.fs, in_folder("file"), say_result));
    run_to_end(loop);
    assert_said("4 4");
    close(fd);
    end(loop);
}

static void refused_paths_and_callbacks_start_nothing(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    struct loop_fs *fs = &op.fs;
    assert_int_equal(-EINVAL, loop_fs_open(NULL, fs, "x", O_RDONLY, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_open(loop, NULL, "x", O_RDONLY, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_open(loop, fs, NULL, O_RDONLY, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_open(loop, fs, "x", O_RDONLY, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_read_file(NULL, fs, "x", on_fs));
    assert_int_equal(-EINVAL, loop_fs_read_file(loop, NULL, "x", on_fs));
    assert_int_equal(-EINVAL, loop_fs_read_file(loop, fs, NULL, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read_file(loop, fs, "x", NULL));
    assert_int_equal(-EINVAL, loop_request_cancel(NULL));
    assert_int_equal(-EALREADY, loop_request_cancel(&fs->request));
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_pool_threads(pool));
    end(loop);
    assert_int_equal(0, op.calls);
}

static void refused_descriptors_and_sizes_start_nothing(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    struct loop_fs *fs = &op.fs;
    const size_t most = (size_t)1 << 30;
    assert_int_equal(-EINVAL, loop_fs_close(NULL, fs, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_close(loop, NULL, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_close(loop, fs, -1, on_fs));
    assert_int_equal(-EINVAL, loop_fs_close(loop, fs, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_fstat(NULL, fs, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_fstat(loop, NULL, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_fstat(loop, fs, -1, on_fs));
    assert_int_equal(-EINVAL, loop_fs_fstat(loop, fs, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_read(NULL, fs, 0, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, NULL, 0, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, fs, -1, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, fs, 0, most + 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, fs, 0, SIZE_MAX, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, fs, 0, 1, -2, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, fs, 0, 1, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_write(NULL, fs, 0, "x", 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, NULL, 0, "x", 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, fs, -1, "x", 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, fs, 0, NULL, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, fs, 0, "x", SIZE_MAX, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, fs, 0, "x", 1, INT64_MIN, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, fs, 0, "x", 1, 0, NULL));
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_pool_threads(pool));
    end(loop);
    assert_int_equal(0, op.calls);
}

static void a_full_pool_refuses_and_nothing_was_started(void **state)
{
    struct loop *loop =
        begin_with(state, (struct loop_pool_options){.threads_max = 1, .queue_max = 1});
    struct op op = {0};
    int fd = open_file("out", O_RDWR | O_CREAT);
    close_gate(loop, 0);
    submit_gate(loop, 1);
    assert_int_equal(-EAGAIN, loop_fs_open(loop, &op.fs, folder, O_RDONLY, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_read(loop, &op.fs, fd, 10, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_write(loop, &op.fs, fd, "x", 1, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_fstat(loop, &op.fs, fd, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_read_file(loop, &op.fs, folder, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_close(loop, &op.fs, fd, on_fs));
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_int_equal(-EALREADY, loop_request_cancel(&op.fs.request));
    open_gate(0);
    open_gate(1);
    run_to_end(loop);
    assert_int_equal(0, op.calls);
    close(fd);
    end(loop);
}

static void an_open_cancelled_in_the_queue_opens_nothing(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    close_gate(loop, 0);
    assert_int_equal(0,
                     loop_fs_open(loop, &op.fs, in_folder("new"), O_RDWR | O_CREAT, 0600, on_fs));
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&op.fs.request));
    assert_int_equal(0, op.calls);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_came(&op, -ECANCELED);
    assert_int_equal(-EALREADY, loop_request_cancel(&op.fs.request));
    open_gate(0);
    run_to_end(loop);
    assert_came(&op, -ECANCELED);
    assert_int_equal(-1, access(in_folder("new"), F_OK));
    end(loop);
}

static void an_open_cancelled_on_its_way_home_is_closed(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    int descriptors = open_descriptors();
    assert_int_equal(0, loop_fs_open(loop, &op.fs, folder, O_RDONLY, 0, on_fs));
    close_gate(loop, 0);
    assert_int_equal(descriptors + 1, open_descriptors());
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    open_gate(0);
    run_to_end(loop);
    assert_came(&op, -ECANCELED);
    assert_int_equal(descriptors, open_descriptors());
    end(loop);
}

/* The queue has room for one: when a second fits in, the first runs. */
static struct loop *begin_narrow(void **state)
{
    return begin_with(state, (struct loop_pool_options){.threads_max = 1, .queue_max = 1});
}

static void wait_until_it_runs(struct loop *loop)
{
    struct loop_work *probe = &gates[7].work;
    probe->request.data = &gates[7];
    while (loop_work(loop, probe, pass_gate, NULL) == -EAGAIN)
        sched_yield();
    assert_int_equal(0, loop_request_cancel(&probe->request));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* open(2) of a pipe for reading returns when somebody opens it for writing, and the other way. */
static void an_open_cancelled_while_it_runs_is_closed(void **state)
{
    struct loop *loop = begin_narrow(state);
    struct op op = {0};
    assert_int_equal(0, mkfifo(in_folder("pipe"), 0600));
    int descriptors = open_descriptors();
    assert_int_equal(0, loop_fs_open(loop, &op.fs, in_folder("pipe"), O_RDONLY, 0, on_fs));
    wait_until_it_runs(loop);
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    run_to_end(loop);
    assert_came(&op, -ECANCELED);
    close(open_file("pipe", O_WRONLY));
    close_gate(loop, 0); /* comes home behind it */
    open_gate(0);
    run_to_end(loop);
    assert_came(&op, -ECANCELED);
    assert_int_equal(descriptors, open_descriptors());
    end(loop);
}

static void an_open_that_outlives_its_loop_is_closed(void **state)
{
    struct loop *loop = begin_narrow(state);
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    struct loop *brief = malloc(sizeof(*brief));
    struct op *op = calloc(1, sizeof(*op));
    options.pool = pool;
    assert_int_equal(0, mkfifo(in_folder("pipe"), 0600));
    assert_int_equal(0, loop_init(brief, &options));
    assert_int_equal(0, loop_fs_open(brief, &op->fs, in_folder("pipe"), O_RDONLY, 0, on_fs));
    wait_until_it_runs(brief);
    assert_int_equal(0, loop_request_cancel(&op->fs.request));
    run_to_end(brief);
    assert_came(op, -ECANCELED);
    assert_int_equal(0, loop_fini(brief));
    free(brief);
    free(op);
    close(open_file("pipe", O_WRONLY));
    end(loop);
}

static void a_close_cancelled_in_the_queue_closes_all_the_same(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    int fd = open_file("file", O_RDWR | O_CREAT);
    close_gate(loop, 0);
    assert_int_equal(0, loop_fs_close(loop, &op.fs, fd, on_fs));
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_came(&op, -ECANCELED);
    open_gate(0);
    run_to_end(loop);
    assert_int_equal(-1, fcntl(fd, F_GETFD));
    end(loop);
}

/* Once, not twice: the number may have a new owner by then. */
static void a_close_cancelled_on_its_way_home_closes_once(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    int fd = open_file("file", O_RDWR | O_CREAT);
    assert_int_equal(0, loop_fs_close(loop, &op.fs, fd, on_fs));
    close_gate(loop, 0);
    int owner = open_file("file", O_RDONLY);
    assert_int_equal(fd, owner);
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    open_gate(0);
    run_to_end(loop);
    assert_came(&op, -ECANCELED);
    assert_true(fcntl(owner, F_GETFD) >= 0);
    close(owner);
    end(loop);
}

static void a_read_cancelled_while_it_runs_touches_nobody_s_memory(void **state)
{
    struct loop *loop = begin_narrow(state);
    struct op *op = calloc(1, sizeof(*op));
    int ends[2];
    assert_int_equal(0, pipe(ends));
    assert_int_equal(0, loop_fs_read(loop, &op->fs, ends[0], 1000, -1, on_fs));
    wait_until_it_runs(loop);
    assert_int_equal(0, loop_request_cancel(&op->fs.request));
    run_to_end(loop);
    assert_came(op, -ECANCELED);
    free(op);
    assert_int_equal(5, write(ends[1], "late!", 5));
    close_gate(loop, 0);
    open_gate(0);
    run_to_end(loop);
    close(ends[0]);
    close(ends[1]);
    end(loop);
}

/* All of it arrives, though the caller's bytes and the request are gone. */
static void a_write_cancelled_while_it_runs_goes_on_with_its_own_copy(void **state)
{
    struct loop *loop = begin_narrow(state);
    struct op *op = calloc(1, sizeof(*op));
    unsigned char *bytes = malloc(PATTERN_SIZE);
    int ends[2];
    memset(bytes, 'w', PATTERN_SIZE);
    assert_int_equal(0, pipe(ends));
    assert_int_equal(0, loop_fs_write(loop, &op->fs, ends[1], bytes, PATTERN_SIZE, -1, on_fs));
    memset(bytes, '#', PATTERN_SIZE);
    wait_until_it_runs(loop);
    assert_int_equal(0, loop_request_cancel(&op->fs.request));
    run_to_end(loop);
    assert_came(op, -ECANCELED);
    free(op);
    for (size_t used = 0; used < PATTERN_SIZE;) {
        ssize_t count = read(ends[0], bytes + used, PATTERN_SIZE - used);
        assert_true(count > 0);
        used += (size_t)count;
    }
    for (size_t i = 0; i < PATTERN_SIZE; i++)
        assert_int_equal('w', bytes[i]);
    free(bytes);
    close(ends[0]);
    close(ends[1]);
    end(loop);
}

static void reads_and_writes_are_cancelled_in_the_queue_and_on_their_way_home(void **state)
{
    struct loop *loop = begin(state);
    struct op ops[5] = {0};
    int fd = open_file("file", O_RDWR | O_CREAT);
    assert_int_equal(0, loop_fs_read(loop, &ops[0].fs, fd, 100, 0, on_fs));
    assert_int_equal(0, loop_fs_write(loop, &ops[1].fs, fd, "done", 4, 0, on_fs));
    close_gate(loop, 0);
    assert_int_equal(0, loop_fs_read(loop, &ops[2].fs, fd, 100, 0, on_fs));
    assert_int_equal(0, loop_fs_write(loop, &ops[3].fs, fd, "not done", 8, 0, on_fs));
    assert_int_equal(0, loop_fs_fstat(loop, &ops[4].fs, fd, on_fs));
    for (size_t i = 0; i < ARRAY_LENGTH(ops); i++)
        assert_int_equal(0, loop_request_cancel(&ops[i].fs.request));
    open_gate(0);
    run_to_end(loop);
    for (size_t i = 0; i < ARRAY_LENGTH(ops); i++)
        assert_came(&ops[i], -ECANCELED);
    assert_reads(loop, fd, 100, 0, "done");
    close(fd);
    end(loop);
}

static int jobs_done(const struct loop_trace_ring *ring)
{
    int count = 0;
    for (uint64_t i = 0; i < ring->count && i < ring->size; i++)
        count += ring->events[i].kind == LOOP_TRACE_WORK_DONE;
    return count;
}

static void reading_a_whole_file_is_four_jobs(void **state)
{
    struct loop *loop = begin(state);
    struct loop_trace_event events[400];
    struct loop_trace_ring ring;
    struct op op;
    make_file("file", "text", 4);
    loop_trace_ring(loop, &ring, events, ARRAY_LENGTH(events));
    assert_int_equal(4, read_whole(loop, in_folder("file"), &op));
    give_back(&op);
    assert_int_equal(4, jobs_done(&ring));
    assert_int_equal(-ENOENT, read_whole(loop, in_folder("missing"), &op));
    assert_int_equal(5, jobs_done(&ring)); /* one: open */
    assert_int_equal(-EISDIR, read_whole(loop, folder, &op));
    assert_int_equal(8, jobs_done(&ring)); /* three: no read */
    assert_true(ring.count < ring.size);
    loop_trace_remove(loop, &ring.trace);
    end(loop);
}

struct shortener {
    struct loop_trace trace;
    int jobs;
    off_t size;
};

/* Behind fstat, in front of its callback, which starts the read. */
static void change_size(struct loop_trace *trace, const struct loop_trace_event *event)
{
    struct shortener *shortener = loop_container_of(trace, struct shortener, trace);
    if (event->kind == LOOP_TRACE_WORK_DONE && ++shortener->jobs == 2)
        assert_int_equal(0, truncate(in_folder("file"), shortener->size));
}

static void a_file_that_changes_behind_fstat_is_read_as_far_as_both_go(void **state)
{
    struct loop *loop = begin(state);
    struct shortener shortener = {.size = 3};
    struct op op;
    make_file("file", "0123456789", 10);
    loop_trace_add(loop, &shortener.trace, change_size);
    assert_int_equal(3, read_whole(loop, in_folder("file"), &op));
    assert_string_equal("012", op.taken);
    give_back(&op);
    assert_int_equal(5, shortener.jobs); /* one more read finds the end */
    make_file("file", "0123456789", 10);
    shortener.jobs = 0;
    shortener.size = 0;
    assert_int_equal(0, read_whole(loop, in_folder("file"), &op));
    assert_string_equal("", op.taken);
    give_back(&op);
    make_file("file", "0123456789", 10);
    shortener.jobs = 0;
    shortener.size = 1000;
    assert_int_equal(10, read_whole(loop, in_folder("file"), &op));
    give_back(&op);
    loop_trace_remove(loop, &shortener.trace);
    end(loop);
}

/* Where fstat said 0 there is no size to stop at. */
static void a_file_that_was_empty_behind_fstat_is_read_to_its_end(void **state)
{
    struct loop *loop = begin(state);
    struct shortener shortener = {.size = 100000};
    struct op op;
    make_file("file", "", 0);
    loop_trace_add(loop, &shortener.trace, change_size);
    assert_int_equal(100000, read_whole(loop, in_folder("file"), &op));
    loop_trace_remove(loop, &shortener.trace);
    give_back(&op);
    end(loop);
}

/* A gate in front of each step: step number steps waits behind the last, and none has run of it. */
static int walk_to_step(struct loop *loop, struct op *op, int steps)
{
    close_gate(loop, 0);
    assert_int_equal(0, loop_fs_read_file(loop, &op->fs, in_folder("file"), on_fs));
    for (int i = 1; i <= steps; i++) {
        submit_gate(loop, i);
        open_gate(i - 1);
        sem_wait(&gates[i].running); /* the step is on its way home */
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        assert_int_equal(i == 4, op->calls);
    }
    return steps; /* the gate that is closed */
}

static void a_whole_file_is_cancelled_while_any_of_its_steps_waits(void **state)
{
    struct loop *loop = begin(state);
    int descriptors = open_descriptors();
    make_file("file", "text", 4);
    for (int step = 0; step < 4; step++) {
        struct op op = {0};
        int gate = walk_to_step(loop, &op, step);
        assert_int_equal(0, loop_request_cancel(&op.fs.request));
        assert_int_equal(-EALREADY, loop_request_cancel(&op.fs.request));
        assert_int_equal(0, op.calls);
        loop_run(loop, LOOP_RUN_NOWAIT);
        assert_came(&op, -ECANCELED);
        memset(&op.fs, 0x5a, sizeof(op.fs)); /* it is the caller's again */
        open_gate(gate);
        run_to_end(loop);
        assert_int_equal(1, op.calls);
        assert_int_equal(descriptors, open_descriptors());
    }
    struct op op = {0};
    open_gate(walk_to_step(loop, &op, 4));
    assert_came(&op, 4);
    assert_int_equal(-EALREADY, loop_request_cancel(&op.fs.request));
    give_back(&op);
    end(loop);
}

static void a_whole_file_is_cancelled_while_any_of_its_steps_is_on_its_way_home(void **state)
{
    struct loop *loop = begin(state);
    int descriptors = open_descriptors();
    make_file("file", "text", 4);
    for (int step = 0; step < 4; step++) {
        struct op op = {0};
        int gate = walk_to_step(loop, &op, step);
        submit_gate(loop, gate + 1);
        open_gate(gate);
        sem_wait(&gates[gate + 1].running);
        assert_int_equal(0, loop_request_cancel(&op.fs.request));
        loop_run(loop, LOOP_RUN_NOWAIT);
        assert_came(&op, -ECANCELED);
        memset(&op.fs, 0x5a, sizeof(op.fs));
        open_gate(gate + 1);
        run_to_end(loop);
        assert_int_equal(1, op.calls);
        assert_int_equal(descriptors, open_descriptors());
    }
    end(loop);
}

/* Of a pipe fstat knows no size; its read waits for a writer's bytes. */
static void a_whole_file_is_cancelled_while_its_read_runs(void **state)
{
    struct loop *loop = begin_narrow(state);
    struct op op = {0};
    int descriptors = open_descriptors();
    assert_int_equal(0, mkfifo(in_folder("pipe"), 0600));
    assert_int_equal(0, loop_fs_read_file(loop, &op.fs, in_folder("pipe"), on_fs));
    int writer = open_file("pipe", O_WRONLY);
    assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE)); /* open */
    assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE)); /* fstat */
    wait_until_it_runs(loop);
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    assert_int_equal(0, op.calls);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_came(&op, -ECANCELED);
    close(writer);
    run_to_end(loop);
    assert_int_equal(1, op.calls);
    assert_int_equal(descriptors, open_descriptors());
    end(loop);
}

static void a_whole_file_is_cancelled_while_its_open_runs(void **state)
{
    struct loop *loop = begin_narrow(state);
    struct op op = {0};
    int descriptors = open_descriptors();
    assert_int_equal(0, mkfifo(in_folder("pipe"), 0600));
    assert_int_equal(0, loop_fs_read_file(loop, &op.fs, in_folder("pipe"), on_fs));
    wait_until_it_runs(loop);
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_came(&op, -ECANCELED);
    close(open_file("pipe", O_WRONLY));
    run_to_end(loop);
    assert_int_equal(descriptors, open_descriptors());
    end(loop);
}

/* The thread has opened the file when the pool fills up, so that the next step is refused. */
static void a_pool_that_fills_up_midway_ends_the_reading_and_leaves_nothing_open(void **state)
{
    struct loop *loop = begin_narrow(state);
    struct op op = {0};
    int descriptors = open_descriptors();
    assert_int_equal(0, mkfifo(in_folder("pipe"), 0600));
    assert_int_equal(0, loop_fs_read_file(loop, &op.fs, in_folder("pipe"), on_fs));
    wait_until_it_runs(loop);
    submit_gate(loop, 0);
    close(open_file("pipe", O_WRONLY));
    sem_wait(&gates[0].running);
    submit_gate(loop, 1);
    loop_run(loop, LOOP_RUN_NOWAIT);
    assert_came(&op, -EAGAIN);
    assert_int_equal(descriptors, open_descriptors());
    open_gate(0);
    open_gate(1);
    end(loop);
}

struct scarce {
    struct loop_allocator plenty;
    int left;
};

static void *scarce_resize(void *ctx, void *memory, size_t size)
{
    struct scarce *scarce = ctx;
    if (size > 0 && scarce->left-- <= 0)
        return NULL;
    return scarce->plenty.resize(scarce->plenty.ctx, memory, size);
}

/* Of a pipe, so that more is allocated while it is read. */
static ssize_t read_with_memory_for(struct loop *loop, int allocations)
{
    struct op op = {0};
    struct scarce scarce = {.plenty = loop->options.allocator, .left = allocations};
    struct writer writer;
    loop->options.allocator = (struct loop_allocator){.resize = scarce_resize, .ctx = &scarce};
    ssize_t result = loop_fs_read_file(loop, &op.fs, in_folder("pipe"), on_fs);
    if (result == 0) {
        start_writer(&writer, "pipe");
        run_to_end(loop);
        pthread_join(writer.thread, NULL);
        assert_int_equal(1, op.calls);
        result = op.result;
    }
    assert_true((result >= 0) == (op.taken != NULL));
    give_back(&op);
    loop->options.allocator = scarce.plenty;
    return result;
}

/* The fixture looks at what is left of memory and descriptors. */
static void memory_that_runs_out_anywhere_is_the_result(void **state)
{
    struct loop *loop = begin(state);
    int allocations = 0;
    ssize_t result;
    signal(SIGPIPE, SIG_IGN); /* the writer may lose its reader */
    assert_int_equal(0, mkfifo(in_folder("pipe"), 0600));
    while ((result = read_with_memory_for(loop, allocations)) < 0) {
        assert_int_equal(-ENOMEM, result);
        allocations++;
    }
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(PATTERN_SIZE, result);
    assert_true(allocations > 5);
    end(loop);
}

static void an_unreferenced_request_lets_the_loop_end(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    close_gate(loop, 0);
    loop_request_unref(&gates[0].work.request);
    assert_int_equal(0, loop_fs_open(loop, &op.fs, in_folder("none"), O_RDONLY, 0, on_fs));
    assert_true(loop_alive(loop));
    loop_request_unref(&op.fs.request);
    assert_false(loop_alive(loop));
    run_to_end(loop);
    assert_int_equal(0, op.calls);
    assert_int_equal(-EBUSY, loop_fini(loop));
    loop_request_ref(&op.fs.request);
    open_gate(0);
    run_to_end(loop);
    assert_came(&op, -ENOENT);
    end(loop);
}

static void an_unreferenced_reading_of_a_whole_file_lets_the_loop_end(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    make_file("file", "text", 4);
    close_gate(loop, 0);
    loop_request_unref(&gates[0].work.request);
    assert_int_equal(0, loop_fs_read_file(loop, &op.fs, in_folder("file"), on_fs));
    loop_request_unref(&op.fs.request);
    bool alive = loop_alive(loop);
    loop_request_ref(&op.fs.request);
    open_gate(0);
    run_to_end(loop);
    assert_came(&op, 4);
    give_back(&op);
    end(loop);
    assert_false(alive);
}

/* One byte further on each time. */
static void read_on(struct loop_fs *fs)
{
    struct op *op = op_of(fs);
    int fd = *(int *)fs->request.data;
    say("%s", fs->bytes);
    if (++op->rounds < 4)
        assert_int_equal(0, loop_fs_read(fs->request.loop, fs, fd, 1, op->rounds, read_on));
}

static void read_file_again(struct loop_fs *fs)
{
    struct op *op = op_of(fs);
    assert_int_equal(4, fs->result);
    say("%s", fs->bytes);
    if (++op->rounds < 5)
        assert_int_equal(0, loop_fs_read_file(fs->request.loop, fs, in_folder("file"),
                                              read_file_again));
}

static void a_request_is_started_again_in_its_own_callback(void **state)
{
    struct loop *loop = begin(state);
    struct op op = {0};
    make_file("file", "text", 4);
    int fd = open_file("file", O_RDONLY);
    op.fs.request.data = &fd;
    assert_int_equal(0, loop_fs_read(loop, &op.fs, fd, 1, 0, read_on));
    run_to_end(loop);
    assert_said("t e x t");
    op.rounds = 0;
    assert_int_equal(0, loop_fs_read_file(loop, &op.fs, in_folder("file"), read_file_again));
    run_to_end(loop);
    assert_said("text text text text text");
    close(fd);
    end(loop);
}

static void free_it(struct loop_fs *fs)
{
    say("%d", (int)fs->result);
    free(op_of(fs));
}

static void a_request_is_freed_in_its_own_callback(void **state)
{
    struct loop *loop = begin(state);
    make_file("file", "text", 4);
    int fd = open_file("file", O_RDONLY);
    struct op *op = calloc(1, sizeof(*op));
    assert_int_equal(0, loop_fs_read(loop, &op->fs, fd, 3, 0, free_it));
    run_to_end(loop);
    op = calloc(1, sizeof(*op));
    assert_int_equal(0, loop_fs_read_file(loop, &op->fs, in_folder("file"), free_it));
    run_to_end(loop);
    op = calloc(1, sizeof(*op));
    assert_int_equal(0, loop_fs_read_file(loop, &op->fs, in_folder("file"), free_it));
    assert_int_equal(0, loop_request_cancel(&op->fs.request));
    run_to_end(loop);
    assert_said("3 4 -125");
    close(fd);
    end(loop);
}

static void start_twice(void)
{
    static struct loop loop;
    static struct op op;
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    if (loop_init(&loop, &options) == 0 && loop_fs_fstat(&loop, &op.fs, 0, on_fs) == 0)
        loop_fs_close(&loop, &op.fs, 0, on_fs);
}

static void start_a_file_twice(void)
{
    static struct loop loop;
    static struct op op;
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    if (loop_init(&loop, &options) == 0 && loop_fs_read_file(&loop, &op.fs, "/", on_fs) == 0)
        loop_fs_read_file(&loop, &op.fs, "/", on_fs);
}

static void starting_a_request_in_flight_panics(void **state)
{
    (void)state;
    assert_panics(start_twice, "started again before its callback");
    assert_panics(start_a_file_twice, "started again before its callback");
}

static const struct CMUnitTest tests[] = {
    real_test(what_is_written_is_read_again),
    real_test(reads_are_at_an_offset_or_at_the_position),
    real_test(writes_are_at_an_offset_or_at_the_position),
    real_test(errors_of_the_file_system_come_as_the_result),
    real_test(reading_a_whole_file_tells_what_is_wrong_with_it),
    real_test(an_empty_file_is_no_bytes_and_a_0),
    real_test(a_file_whose_size_fstat_does_not_know_is_read_to_its_end),
    real_test(a_file_of_unknown_size_may_come_in_pieces),
    real_test(what_comes_through_a_pipe_is_put_together),
    real_test(a_file_of_three_mebibytes_comes_whole),
    real_test(a_path_fits_or_is_refused),
    real_test(the_path_is_copied),
    virtual_test(the_virtual_clock_waits_for_files),
    real_test(bytes_that_are_not_taken_are_freed_behind_the_callback),
    real_test(refused_paths_and_callbacks_start_nothing),
    real_test(refused_descriptors_and_sizes_start_nothing),
    real_test(a_full_pool_refuses_and_nothing_was_started),
    real_test(an_open_cancelled_in_the_queue_opens_nothing),
    real_test(an_open_cancelled_on_its_way_home_is_closed),
    real_test(an_open_cancelled_while_it_runs_is_closed),
    real_test(an_open_that_outlives_its_loop_is_closed),
    real_test(a_close_cancelled_in_the_queue_closes_all_the_same),
    real_test(a_close_cancelled_on_its_way_home_closes_once),
    real_test(a_read_cancelled_while_it_runs_touches_nobody_s_memory),
    real_test(a_write_cancelled_while_it_runs_goes_on_with_its_own_copy),
    real_test(reads_and_writes_are_cancelled_in_the_queue_and_on_their_way_home),
    real_test(reading_a_whole_file_is_four_jobs),
    real_test(a_file_that_changes_behind_fstat_is_read_as_far_as_both_go),
    real_test(a_file_that_was_empty_behind_fstat_is_read_to_its_end),
    real_test(a_whole_file_is_cancelled_while_any_of_its_steps_waits),
    real_test(a_whole_file_is_cancelled_while_any_of_its_steps_is_on_its_way_home),
    real_test(a_whole_file_is_cancelled_while_its_read_runs),
    real_test(a_whole_file_is_cancelled_while_its_open_runs),
    real_test(a_pool_that_fills_up_midway_ends_the_reading_and_leaves_nothing_open),
    real_test(memory_that_runs_out_anywhere_is_the_result),
    real_test(an_unreferenced_request_lets_the_loop_end),
    real_test(an_unreferenced_reading_of_a_whole_file_lets_the_loop_end),
    real_test(a_request_is_started_again_in_its_own_callback),
    real_test(a_request_is_freed_in_its_own_callback),
    real_test(starting_a_request_in_flight_panics),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
