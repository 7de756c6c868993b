/* Files on the pool.
 *
 * Each operation gives what the system call of its name gives, in the poll phase, once; a negative
 * errno is a result like another. Arguments that make no sense are refused and nothing is started,
 * paths of 4096 bytes among them: nothing is truncated. Paths and data are copied; what was read
 * ends with a 0 that is not counted, and is freed behind the callback unless it is taken.
 * loop_fs_read_file() is four jobs; it reads to the size that fstat said, or to the end if that
 * comes first or if fstat said 0. An operation can be cancelled while it waits and while it runs:
 * it completes with -ECANCELED at once, no descriptor is left open, and no memory of the caller's
 * is touched afterwards.
 *
 * The files are real ones, in a folder of their own. Calls are held up by pipes and FIFOs.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, BIG = 3 << 20, PIPE_SIZE = 300000 };

static char root[256];
static unsigned char pattern[BIG];

/* The folder. */

static const char *path_of(const char *name)
{
    static char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static int write_file(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(path_of(name), "w");
    if (!file)
        return -1;
    bool written = fwrite(bytes, 1, size, file) == size;
    return fclose(file) == 0 && written ? 0 : -1;
}

static int make_tree(void **state)
{
    const char *folder = getenv("TMPDIR");
    (void)state;
    for (size_t i = 0; i < BIG; i++)
        pattern[i] = (unsigned char)(i * 31 + i / 251);
    snprintf(root, sizeof(root), "%s/loop-fs-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(root) || mkdir(path_of("folder"), 0700) < 0 || mkfifo(path_of("fifo"), 0600) < 0)
        return -1;
    return write_file("hello", "hello, world\n", 13) || write_file("empty", "", 0) ||
           write_file("big", pattern, BIG);
}

static int remove_tree(void **state)
{
    (void)state;
    static const char *const names[] = {"hello", "empty", "big", "fifo", "made", "changing"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        unlink(path_of(names[i]));
    rmdir(path_of("folder"));
    return rmdir(root);
}

/* An operation and what came of it. */

struct op {
    struct loop_fs fs;
    int calls;
    ssize_t result;
    char *bytes; /* a copy with its 0, or NULL */
    struct stat stat;
    char *taken;
};

static struct loop_pool *pool;
static struct loop *the_loop;

static void on_fs(struct loop_fs *fs)
{
    struct op *op = loop_container_of(fs, struct op, fs);
    op->calls++;
    op->result = fs->result;
    if (fs->bytes) {
        op->bytes = malloc((size_t)fs->result + 1);
        assert_non_null(op->bytes);
        memcpy(op->bytes, fs->bytes, (size_t)fs->result + 1);
    }
    if (fs->stat)
        op->stat = *fs->stat;
    assert_int_equal(-EALREADY, loop_fs_cancel(fs));
}

static void begin(struct loop *loop, uint32_t queue_max)
{
    struct loop_pool_options options = {.threads_max = 1, .queue_max = queue_max};
    assert_int_equal(0, loop_pool_create(&pool, &options));
    loop->options.pool = pool;
    the_loop = loop;
}

static void end(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_pool_destroy(pool);
    loop->options.pool = NULL;
}

/* Runs the loop to its end, of the one operation. */
static ssize_t outcome(struct op *op, int error)
{
    assert_int_equal(0, error);
    assert_int_equal(0, op->calls);
    assert_int_equal(0, loop_run(the_loop, LOOP_RUN_DEFAULT));
    assert_int_equal(1, op->calls);
    op->calls = 0;
    return op->result;
}

static ssize_t open_file(const char *path, int flags, mode_t mode)
{
    struct op op = {0};
    return outcome(&op, loop_fs_open(the_loop, &op.fs, path, flags, mode, on_fs));
}

static ssize_t close_fd(int fd)
{
    struct op op = {0};
    return outcome(&op, loop_fs_close(the_loop, &op.fs, fd, on_fs));
}

static ssize_t write_at(int fd, const char *text, int64_t offset)
{
    struct op op = {0};
    return outcome(&op, loop_fs_write(the_loop, &op.fs, fd, text, strlen(text), offset, on_fs));
}

static void assert_reads(const char *expected, int fd, size_t size, int64_t offset)
{
    struct op op = {0};
    ssize_t result = outcome(&op, loop_fs_read(the_loop, &op.fs, fd, size, offset, on_fs));
    assert_int_equal(strlen(expected), result);
    assert_string_equal(expected, op.bytes);
    free(op.bytes);
}

static struct op read_whole(const char *path)
{
    struct op op = {0};
    outcome(&op, loop_fs_read_file(the_loop, &op.fs, path, on_fs));
    return op;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* One by one. */

static void a_file_is_made_written_looked_at_read_and_closed(void **state)
{
    struct op op = {0};
    begin(*state, 0);
    mode_t before = umask(022);
    int fd = (int)open_file(path_of("made"), O_RDWR | O_CREAT | O_EXCL, 0666);
    umask(before);
    assert_true(fd >= 0);
    assert_int_equal(FD_CLOEXEC, fcntl(fd, F_GETFD));
    assert_int_equal(5, write_at(fd, "12345", -1));
    assert_int_equal(0, outcome(&op, loop_fs_fstat(*state, &op.fs, fd, on_fs)));
    assert_int_equal(5, op.stat.st_size);
    assert_int_equal(S_IFREG | 0644, op.stat.st_mode);
    assert_reads("12345", fd, 100, 0);
    assert_int_equal(0, close_fd(fd));
    assert_false(is_open(fd));
    end(*state);
}

static void offsets_are_absolute_and_minus_one_is_the_files_position(void **state)
{
    begin(*state, 0);
    int fd = (int)open_file(path_of("made"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(6, write_at(fd, "abcdef", -1));
    assert_int_equal(2, write_at(fd, "CD", 2));
    assert_reads("abCDef", fd, 6, 0);
    assert_reads("Def", fd, 100, 3);
    assert_reads("", fd, 100, 6);
    assert_reads("", fd, 100, 1000000);
    assert_reads("", fd, 100, -1); /* nobody but the first write moved it */
    assert_int_equal(0, lseek(fd, 0, SEEK_SET));
    assert_reads("abC", fd, 3, -1);
    assert_reads("Def", fd, 3, -1);
    assert_int_equal(0, close_fd(fd));
    end(*state);
}

static void nothing_is_read_or_written_if_nothing_is_asked_for(void **state)
{
    struct op op = {0};
    begin(*state, 0);
    int fd = (int)open_file(path_of("made"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_reads("", fd, 0, 0);
    assert_int_equal(0, outcome(&op, loop_fs_write(*state, &op.fs, fd, NULL, 0, -1, on_fs)));
    assert_int_equal(0, close_fd(fd));
    end(*state);
}

static void what_the_kernel_refuses_is_the_result(void **state)
{
    struct op op = {0};
    begin(*state, 0);
    assert_int_equal(-ENOENT, open_file(path_of("missing"), O_RDONLY, 0));
    assert_int_equal(-ENOTDIR, open_file(path_of("hello/x"), O_RDONLY, 0));
    assert_int_equal(-EEXIST, open_file(path_of("hello"), O_WRONLY | O_CREAT | O_EXCL, 0600));
    assert_int_equal(-EISDIR, open_file(path_of("folder"), O_WRONLY, 0));
    int fd = (int)open_file(path_of("folder"), O_RDONLY | O_DIRECTORY, 0);
    assert_int_equal(-EISDIR, outcome(&op, loop_fs_read(*state, &op.fs, fd, 10, 0, on_fs)));
    assert_null(op.bytes);
    assert_int_equal(-EBADF, write_at(fd, "x", 0));
    assert_int_equal(0, close_fd(fd));
    assert_int_equal(-EBADF, close_fd(fd));
    assert_int_equal(-EBADF, outcome(&op, loop_fs_fstat(*state, &op.fs, fd, on_fs)));
    end(*state);
}

static void on_fs_where(struct loop_fs *fs)
{
    say("%s", loop_phase_name(loop_phase(fs->request.loop)));
    on_fs(fs);
}

static void callbacks_come_in_the_poll_phase(void **state)
{
    struct op open_op = {0}, whole = {0};
    begin(*state, 0);
    int error = loop_fs_open(*state, &open_op.fs, path_of("hello"), O_RDONLY, 0, on_fs_where);
    int fd = (int)outcome(&open_op, error);
    close(fd);
    outcome(&whole, loop_fs_read_file(*state, &whole.fs, path_of("hello"), on_fs_where));
    free(whole.bytes);
    assert_said("poll poll");
    end(*state);
}

static void the_virtual_clock_waits_for_files(void **state)
{
    begin(*state, 0);
    struct op op = read_whole(path_of("hello"));
    assert_string_equal("hello, world\n", op.bytes);
    assert_int_equal(0, loop_now(*state));
    free(op.bytes);
    end(*state);
}

/* What the caller gave is the caller's again at once. */
static void paths_and_data_are_copied(void **state)
{
    struct op op = {0};
    char path[PATH_SIZE];
    char data[] = "copied";
    begin(*state, 0);
    snprintf(path, sizeof(path), "%s", path_of("made"));
    int error = loop_fs_open(*state, &op.fs, path, O_RDWR | O_CREAT | O_TRUNC, 0600, on_fs);
    memset(path, 'x', sizeof(path));
    int fd = (int)outcome(&op, error);
    assert_true(fd >= 0);
    error = loop_fs_write(*state, &op.fs, fd, data, strlen(data), 0, on_fs);
    memset(data, 'x', strlen(data));
    assert_int_equal(6, outcome(&op, error));
    assert_reads("copied", fd, 100, 0);
    assert_int_equal(0, close_fd(fd));
    end(*state);
}

/* Paths at their limits. */

/* "ROOT/./././hello", of any length. */
static void long_path(char *path, size_t length)
{
    static const char name[] = "hello";
    size_t used = (size_t)snprintf(path, PATH_SIZE, "%s/", root);
    size_t end_at = length - strlen(name);
    if ((end_at - used) % 2)
        path[used++] = '/';
    while (used < end_at) {
        path[used++] = '.';
        path[used++] = '/';
    }
    memcpy(path + used, name, sizeof(name));
}

static void a_path_of_4095_bytes_is_as_good_as_any_and_4096_are_refused(void **state)
{
    struct op op = {0};
    char path[PATH_SIZE + 1];
    begin(*state, 0);
    long_path(path, PATH_SIZE - 1);
    assert_int_equal(PATH_SIZE - 1, strlen(path));
    int fd = (int)open_file(path, O_RDONLY, 0);
    assert_true(fd >= 0);
    close(fd);
    struct op whole = read_whole(path);
    assert_string_equal("hello, world\n", whole.bytes);
    free(whole.bytes);
    long_path(path, PATH_SIZE);
    assert_int_equal(PATH_SIZE, strlen(path));
    assert_int_equal(-ENAMETOOLONG, loop_fs_open(*state, &op.fs, path, O_RDONLY, 0, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_read_file(*state, &op.fs, path, on_fs));
    assert_false(loop_alive(*state));
    end(*state);
}

static void a_name_of_255_bytes_is_as_good_as_any_and_256_are_the_kernels_to_refuse(void **state)
{
    char name[257];
    begin(*state, 0);
    memset(name, 'n', 256);
    name[256] = '\0';
    assert_int_equal(-ENAMETOOLONG, open_file(path_of(name), O_RDONLY, 0));
    assert_int_equal(-ENAMETOOLONG, read_whole(path_of(name)).result);
    name[255] = '\0';
    int fd = (int)open_file(path_of(name), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(0, unlink(path_of(name)));
    end(*state);
}

/* Misuse. */

static void arguments_out_of_range_are_refused_and_change_nothing(void **state)
{
    struct loop *loop = *state;
    struct loop_fs fs = {0};
    const size_t too_much = ((size_t)1 << 30) + 1;
    begin(loop, 0);
    assert_int_equal(-EINVAL, loop_fs_open(NULL, &fs, "x", O_RDONLY, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_open(loop, NULL, "x", O_RDONLY, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_open(loop, &fs, NULL, O_RDONLY, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_open(loop, &fs, "x", O_RDONLY, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_close(NULL, &fs, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_close(loop, &fs, -1, on_fs));
    assert_int_equal(-EINVAL, loop_fs_close(loop, &fs, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_fstat(loop, NULL, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_fstat(loop, &fs, -1, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, &fs, -1, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, &fs, 0, too_much, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, &fs, 0, 1, -2, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read(loop, &fs, 0, 1, 0, NULL));
    assert_int_equal(-EINVAL, loop_fs_write(loop, &fs, -1, "x", 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, &fs, 1, NULL, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, &fs, 1, "x", too_much, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write(loop, &fs, 1, "x", 1, -2, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read_file(NULL, &fs, "x", on_fs));
    assert_int_equal(-EINVAL, loop_fs_read_file(loop, NULL, "x", on_fs));
    assert_int_equal(-EINVAL, loop_fs_read_file(loop, &fs, NULL, on_fs));
    assert_int_equal(-EINVAL, loop_fs_read_file(loop, &fs, "x", NULL));
    assert_int_equal(-EALREADY, loop_fs_cancel(&fs));
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_pool_threads(pool));
    end(loop);
}

static void open_twice(void)
{
    static struct loop_fs fs;
    loop_fs_open(the_loop, &fs, "/", O_RDONLY, 0, on_fs);
    loop_fs_open(the_loop, &fs, "/", O_RDONLY, 0, on_fs);
}

static void read_files_twice(void)
{
    static struct loop_fs fs;
    loop_fs_read_file(the_loop, &fs, "/", on_fs);
    loop_fs_read_file(the_loop, &fs, "/", on_fs);
}

static void starting_a_request_in_flight_panics(void **state)
{
    the_loop = *state;
    assert_panics(open_twice, "request was started again before its callback");
    assert_panics(read_files_twice, "request was started again before its callback");
}

/* Whole files. */

static void a_whole_file_is_read(void **state)
{
    begin(*state, 0);
    struct op op = read_whole(path_of("hello"));
    assert_int_equal(13, op.result);
    assert_string_equal("hello, world\n", op.bytes);
    free(op.bytes);
    end(*state);
}

static void an_empty_file_is_no_bytes_and_a_zero(void **state)
{
    begin(*state, 0);
    struct op op = read_whole(path_of("empty"));
    assert_int_equal(0, op.result);
    assert_string_equal("", op.bytes);
    free(op.bytes);
    end(*state);
}

static void a_file_of_three_megabytes_is_read(void **state)
{
    begin(*state, 0);
    struct op op = read_whole(path_of("big"));
    assert_int_equal(BIG, op.result);
    assert_memory_equal(pattern, op.bytes, BIG);
    assert_int_equal(0, op.bytes[BIG]);
    free(op.bytes);
    end(*state);
}

static void a_file_without_a_size_is_read_to_its_end(void **state)
{
    begin(*state, 0);
    struct op op = read_whole("/proc/self/status");
    assert_true(op.result > 0);
    assert_int_equal(op.result, strlen(op.bytes));
    assert_int_equal(0, strncmp(op.bytes, "Name:\t", 6));
    free(op.bytes);
    end(*state);
}

static void *write_pattern(void *arg)
{
    FILE *file = fopen(path_of("fifo"), "w");
    if (!file)
        return NULL;
    size_t written = fwrite(pattern, 1, PIPE_SIZE, file);
    fclose(file);
    return written == PIPE_SIZE ? arg : NULL;
}

/* path_of() is for one thread at a time: the writer is started behind the last use of it here. */
static void what_comes_in_many_pieces_is_put_together(void **state)
{
    struct op op = {0};
    pthread_t writer;
    void *written = NULL;
    begin(*state, 0);
    int error = loop_fs_read_file(*state, &op.fs, path_of("fifo"), on_fs);
    assert_int_equal(0, pthread_create(&writer, NULL, write_pattern, &op));
    assert_int_equal(PIPE_SIZE, outcome(&op, error));
    pthread_join(writer, &written);
    assert_non_null(written);
    assert_memory_equal(pattern, op.bytes, PIPE_SIZE);
    free(op.bytes);
    end(*state);
}

static void what_is_no_file_to_read_is_the_result(void **state)
{
    begin(*state, 0);
    assert_int_equal(-ENOENT, read_whole(path_of("missing")).result);
    assert_int_equal(-EISDIR, read_whole(path_of("folder")).result);
    assert_int_equal(-ENOTDIR, read_whole(path_of("hello/x")).result);
    end(*state);
}

static void a_file_over_one_gigabyte_is_not_read(void **state)
{
    begin(*state, 0);
    assert_int_equal(0, write_file("changing", "", 0));
    assert_int_equal(0, truncate(path_of("changing"), ((off_t)1 << 30) + 1));
    struct op op = read_whole(path_of("changing"));
    assert_int_equal(-EFBIG, op.result);
    assert_null(op.bytes);
    end(*state);
}

/* A sink that changes the file when a number of jobs are done. It comes before their callbacks, and
 * so before the next step is begun. */

struct meddler {
    struct loop_trace trace;
    int jobs_done;
    int when;
    off_t new_size;
    int error;
};

static void meddle(struct loop_trace *trace, const struct loop_trace_event *event)
{
    struct meddler *meddler = loop_container_of(trace, struct meddler, trace);
    if (event->kind == LOOP_TRACE_WORK_DONE && ++meddler->jobs_done == meddler->when)
        meddler->error = truncate(path_of("changing"), meddler->new_size);
}

enum { OPENED = 1, LOOKED_AT = 2, READ = 3 };

static struct op read_while(struct loop *loop, int when, off_t size, off_t new_size)
{
    struct meddler meddler = {.when = when, .new_size = new_size};
    assert_int_equal(0, write_file("changing", pattern, (size_t)size));
    loop_trace_add(loop, &meddler.trace, meddle);
    struct op op = read_whole(path_of("changing"));
    loop_trace_remove(loop, &meddler.trace);
    assert_int_equal(0, meddler.error);
    assert_true(meddler.jobs_done >= when);
    return op;
}

static void assert_pattern(struct op op, size_t size)
{
    assert_int_equal(size, op.result);
    assert_memory_equal(pattern, op.bytes, size);
    assert_int_equal(0, op.bytes[size]);
    free(op.bytes);
}

static void a_file_that_changes_before_it_is_looked_at_has_its_new_size(void **state)
{
    begin(*state, 0);
    assert_pattern(read_while(*state, OPENED, 1000, 400), 400);
    assert_pattern(read_while(*state, OPENED, 1000, 0), 0);
    end(*state);
}

static void a_file_that_shrinks_after_it_was_looked_at_is_read_to_its_end(void **state)
{
    begin(*state, 0);
    assert_pattern(read_while(*state, LOOKED_AT, 1000, 400), 400);
    assert_pattern(read_while(*state, LOOKED_AT, 1000, 0), 0);
    end(*state);
}

static void a_file_that_grows_after_it_was_looked_at_is_read_to_the_size_it_had(void **state)
{
    begin(*state, 0);
    assert_pattern(read_while(*state, LOOKED_AT, 1000, 2000), 1000);
    end(*state);
}

static void a_file_that_was_empty_and_grows_is_read_to_its_end(void **state)
{
    begin(*state, 0);
    struct op op = read_while(*state, LOOKED_AT, 0, 100000);
    assert_int_equal(100000, op.result);
    free(op.bytes);
    op = read_while(*state, READ, 0, 5); /* too late: the end was seen */
    assert_int_equal(0, op.result);
    free(op.bytes);
    end(*state);
}

static size_t count_kind(const struct loop_trace_ring *ring, enum loop_trace_kind kind)
{
    size_t count = 0;
    assert_true(ring->count <= ring->size);
    for (size_t i = 0; i < ring->count; i++)
        count += ring->events[i].kind == kind;
    return count;
}

static void reading_a_file_is_four_jobs(void **state)
{
    static struct loop_trace_event events[1024];
    struct loop_trace_ring ring;
    begin(*state, 0);
    loop_trace_ring(*state, &ring, events, ARRAY_LENGTH(events));
    struct op op = read_whole(path_of("hello"));
    loop_trace_remove(*state, &ring.trace);
    assert_int_equal(4, count_kind(&ring, LOOP_TRACE_WORK_STARTED));
    assert_int_equal(4, count_kind(&ring, LOOP_TRACE_WORK_DONE));
    free(op.bytes);
    end(*state);
}

/* Taking, and starting over. */

static void on_fs_take(struct loop_fs *fs)
{
    struct op *op = loop_container_of(fs, struct op, fs);
    on_fs(fs);
    op->taken = loop_fs_take(fs);
    assert_null(loop_fs_take(fs));
}

static void assert_taken(struct op *op, const char *expected)
{
    const struct loop_allocator *allocator = &the_loop->options.allocator;
    if (expected)
        assert_string_equal(expected, op->taken);
    else
        assert_null(op->taken);
    allocator->resize(allocator->ctx, op->taken, 0);
    free(op->bytes);
    *op = (struct op){0};
}

static void what_was_read_can_be_taken_once(void **state)
{
    struct op op = {0};
    begin(*state, 0);
    int fd = open(path_of("hello"), O_RDONLY | O_CLOEXEC);
    outcome(&op, loop_fs_read(*state, &op.fs, fd, 5, 0, on_fs_take));
    assert_taken(&op, "hello");
    outcome(&op, loop_fs_read_file(*state, &op.fs, path_of("hello"), on_fs_take));
    assert_taken(&op, "hello, world\n");
    outcome(&op, loop_fs_read_file(*state, &op.fs, path_of("empty"), on_fs_take));
    assert_taken(&op, "");
    close(fd);
    end(*state);
}

static void where_nothing_was_read_nothing_can_be_taken(void **state)
{
    struct op op = {0};
    begin(*state, 0);
    outcome(&op, loop_fs_read_file(*state, &op.fs, path_of("missing"), on_fs_take));
    assert_taken(&op, NULL);
    outcome(&op, loop_fs_fstat(*state, &op.fs, 0, on_fs_take));
    assert_taken(&op, NULL);
    outcome(&op, loop_fs_read(*state, &op.fs, 1 << 20, 1, 0, on_fs_take));
    assert_int_equal(-EBADF, op.result);
    assert_taken(&op, NULL);
    end(*state);
}

struct copier {
    struct loop_fs fs;
    int fd;
    int64_t offset;
    unsigned char bytes[BIG];
};

static void on_piece(struct loop_fs *fs)
{
    struct copier *copier = loop_container_of(fs, struct copier, fs);
    assert_true(fs->result >= 0);
    memcpy(copier->bytes + copier->offset, fs->bytes, (size_t)fs->result);
    copier->offset += fs->result;
    if (fs->result > 0)
        assert_int_equal(0, loop_fs_read(fs->request.loop, fs, copier->fd, 65000, copier->offset,
                                         on_piece));
}

static void a_request_can_be_started_again_in_its_callback(void **state)
{
    static struct copier copier;
    begin(*state, 0);
    memset(&copier, 0, sizeof(copier));
    copier.fd = open(path_of("big"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(0, loop_fs_read(*state, &copier.fs, copier.fd, 1, 0, on_piece));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(BIG, copier.offset);
    assert_memory_equal(pattern, copier.bytes, BIG);
    close(copier.fd);
    end(*state);
}

static void on_file_again(struct loop_fs *fs)
{
    struct op *op = loop_container_of(fs, struct op, fs);
    assert_string_equal("hello, world\n", fs->bytes);
    if (++op->calls < 5)
        loop_fs_read_file(fs->request.loop, fs, path_of("hello"), on_file_again);
}

static void a_file_can_be_read_again_in_its_callback(void **state)
{
    struct op op = {0};
    begin(*state, 0);
    assert_int_equal(0, loop_fs_read_file(*state, &op.fs, path_of("hello"), on_file_again));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(5, op.calls);
    end(*state);
}

/* Cancelling what waits. */

static sem_t gate, arrived;

static void wait_at_the_gate(void *data)
{
    (void)data;
    sem_post(&arrived);
    sem_wait(&gate);
}

static void block(struct loop *loop, struct loop_work *blocker)
{
    *blocker = (struct loop_work){0};
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
    assert_int_equal(0, loop_work(loop, blocker, wait_at_the_gate, NULL));
    sem_wait(&arrived);
}

/* The callback comes while the pool is still busy with something else. */
static void cancel_waiting(struct op *op, int error)
{
    assert_int_equal(0, error);
    assert_int_equal(0, loop_fs_cancel(&op->fs));
    assert_int_equal(-EALREADY, loop_fs_cancel(&op->fs));
    assert_int_equal(0, op->calls);
    loop_run(the_loop, LOOP_RUN_NOWAIT);
    assert_int_equal(1, op->calls);
    assert_int_equal(-ECANCELED, op->result);
    assert_null(op->bytes);
    assert_null(loop_fs_take(&op->fs));
    *op = (struct op){0};
}

static void what_waits_for_a_thread_can_be_canceled(void **state)
{
    struct op op = {0};
    struct loop_work blocker;
    begin(*state, 0);
    block(*state, &blocker);
    int fd = open(path_of("empty"), O_RDWR | O_CLOEXEC);
    int flags = O_CREAT | O_WRONLY;
    cancel_waiting(&op, loop_fs_open(*state, &op.fs, path_of("never"), flags, 0600, on_fs));
    cancel_waiting(&op, loop_fs_fstat(*state, &op.fs, fd, on_fs));
    cancel_waiting(&op, loop_fs_read(*state, &op.fs, fd, 100, 0, on_fs));
    cancel_waiting(&op, loop_fs_write(*state, &op.fs, fd, "never", 5, 0, on_fs));
    cancel_waiting(&op, loop_fs_read_file(*state, &op.fs, path_of("hello"), on_fs));
    sem_post(&gate);
    end(*state);
    assert_int_equal(-1, access(path_of("never"), F_OK));
    struct stat stat;
    assert_int_equal(0, fstat(fd, &stat));
    assert_int_equal(0, stat.st_size);
    close(fd);
}

/* Nobody would close it otherwise. */
static void a_canceled_close_closes(void **state)
{
    struct op op = {0};
    struct loop_work blocker;
    begin(*state, 0);
    block(*state, &blocker);
    int fd = open(path_of("hello"), O_RDONLY | O_CLOEXEC);
    cancel_waiting(&op, loop_fs_close(*state, &op.fs, fd, on_fs));
    assert_false(is_open(fd));
    sem_post(&gate);
    end(*state);
}

/* Cancelling what runs. */

static void do_nothing(void *data)
{
    (void)data;
}

/* For a pool with room for one job to wait: if there is room, the thread has taken the last one. */
static void await_start(struct loop *loop)
{
    struct loop_work probe = {0};
    int error;
    while ((error = loop_work(loop, &probe, do_nothing, NULL)) == -EAGAIN)
        sched_yield();
    assert_int_equal(0, error);
    assert_int_equal(0, loop_work_cancel(&probe));
    loop_run(loop, LOOP_RUN_NOWAIT);
}

static void cancel_running(struct op *op, int error)
{
    assert_int_equal(0, error);
    await_start(the_loop);
    cancel_waiting(op, 0);
}

static int open_fifo_for_writing(void)
{
    int fd = open(path_of("fifo"), O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void an_open_that_comes_back_after_it_was_canceled_leaves_nothing_open(void **state)
{
    struct op op = {0};
    begin(*state, 1);
    int error = loop_fs_open(*state, &op.fs, path_of("fifo"), O_RDONLY, 0, on_fs);
    cancel_running(&op, error);
    close(open_fifo_for_writing());
    end(*state); /* teardown counts descriptors */
    assert_int_equal(0, op.calls);
}

static void a_read_that_comes_back_after_it_was_canceled_is_dropped(void **state)
{
    int ends[2];
    struct op *op = calloc(1, sizeof(*op));
    assert_non_null(op);
    assert_int_equal(0, pipe(ends));
    begin(*state, 1);
    cancel_running(op, loop_fs_read(*state, &op->fs, ends[0], 100, -1, on_fs));
    free(op);
    assert_int_equal(4, write(ends[1], "late", 4));
    end(*state);
    close(ends[0]);
    close(ends[1]);
}

/* What it writes is its own copy: all of it arrives. */
static void a_write_that_is_canceled_while_it_runs_goes_on(void **state)
{
    int ends[2];
    struct op op = {0};
    unsigned char *bytes = malloc(PIPE_SIZE);
    assert_non_null(bytes);
    memcpy(bytes, pattern, PIPE_SIZE);
    assert_int_equal(0, pipe(ends));
    begin(*state, 1);
    int error = loop_fs_write(*state, &op.fs, ends[1], bytes, PIPE_SIZE, -1, on_fs);
    memset(bytes, 0, PIPE_SIZE);
    cancel_running(&op, error);
    for (size_t used = 0; used < PIPE_SIZE;) {
        ssize_t count = read(ends[0], bytes + used, PIPE_SIZE - used);
        assert_true(count > 0);
        used += (size_t)count;
    }
    assert_memory_equal(pattern, bytes, PIPE_SIZE);
    free(bytes);
    end(*state);
    close(ends[0]);
    close(ends[1]);
}

static void reading_a_file_can_be_canceled_while_it_is_opened(void **state)
{
    struct op op = {0};
    begin(*state, 1);
    int error = loop_fs_read_file(*state, &op.fs, path_of("fifo"), on_fs);
    cancel_running(&op, error);
    close(open_fifo_for_writing());
    end(*state);
    assert_int_equal(0, op.calls);
}

/* Of a FIFO that is open for writing all is fast but the read. */
static void reading_a_file_can_be_canceled_while_it_is_read(void **state)
{
    struct op op = {0};
    static struct loop_trace_event events[1024];
    struct loop_trace_ring ring;
    begin(*state, 1);
    loop_trace_ring(*state, &ring, events, ARRAY_LENGTH(events));
    assert_int_equal(0, loop_fs_read_file(*state, &op.fs, path_of("fifo"), on_fs));
    int fd = open_fifo_for_writing();
    while (count_kind(&ring, LOOP_TRACE_WORK_DONE) < LOOKED_AT)
        loop_run(*state, LOOP_RUN_ONCE);
    loop_trace_remove(*state, &ring.trace);
    cancel_running(&op, 0);
    close(fd);
    end(*state);
    assert_int_equal(0, op.calls);
}

/* At each step, its job having been done and its callback about to come. */
static void reading_a_file_can_be_canceled_between_any_two_steps(void **state)
{
    static struct loop_trace_event events[1024];
    for (size_t step = 0; step < 4; step++) {
        struct op op = {0};
        struct loop_trace_ring ring;
        begin(*state, 1);
        loop_trace_ring(*state, &ring, events, ARRAY_LENGTH(events));
        assert_int_equal(0, loop_fs_read_file(*state, &op.fs, path_of("hello"), on_fs));
        while (count_kind(&ring, LOOP_TRACE_WORK_DONE) < step)
            loop_run(*state, LOOP_RUN_ONCE);
        loop_trace_remove(*state, &ring.trace);
        cancel_waiting(&op, 0);
        end(*state);
        assert_int_equal(0, op.calls);
    }
}

/* Alive. */

static void a_file_that_is_read_unreferenced_lets_the_loop_end(void **state)
{
    struct op op = {0};
    begin(*state, 0);
    assert_int_equal(0, loop_fs_read_file(*state, &op.fs, path_of("hello"), on_fs));
    assert_true(loop_alive(*state));
    loop_request_unref(&op.fs.request);
    bool alive = loop_alive(*state);
    loop_request_ref(&op.fs.request);
    assert_true(loop_alive(*state));
    assert_int_equal(13, outcome(&op, 0));
    free(op.bytes);
    end(*state);
    assert_false(alive);
}

/* Refusals on the way. */

static void a_full_pool_refuses_files(void **state)
{
    struct op op = {0};
    struct loop_work blocker, waiting = {0};
    begin(*state, 1);
    block(*state, &blocker);
    assert_int_equal(0, loop_work(*state, &waiting, do_nothing, NULL));
    assert_int_equal(-EAGAIN, loop_fs_open(*state, &op.fs, path_of("hello"), O_RDONLY, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_close(*state, &op.fs, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_fstat(*state, &op.fs, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_read(*state, &op.fs, 0, 100, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_write(*state, &op.fs, 1, "x", 1, 0, on_fs));
    assert_int_equal(-EAGAIN, loop_fs_read_file(*state, &op.fs, path_of("hello"), on_fs));
    assert_true(is_open(0));
    sem_post(&gate);
    end(*state);
    assert_int_equal(0, op.calls);
}

/* The thread has opened the file when the pool fills up, so the next step is refused. */
static void a_pool_that_fills_up_midway_ends_the_reading_and_leaves_nothing_open(void **state)
{
    struct op op = {0};
    struct loop_work blocker = {0}, waiting = {0};
    begin(*state, 1);
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
    assert_int_equal(0, loop_fs_read_file(*state, &op.fs, path_of("fifo"), on_fs));
    await_start(*state);
    assert_int_equal(0, loop_work(*state, &blocker, wait_at_the_gate, NULL));
    close(open_fifo_for_writing());
    sem_wait(&arrived);
    assert_int_equal(0, loop_work(*state, &waiting, do_nothing, NULL));
    loop_run(*state, LOOP_RUN_NOWAIT);
    assert_int_equal(1, op.calls);
    assert_int_equal(-EAGAIN, op.result);
    sem_post(&gate);
    end(*state);
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

/* Nothing is left behind, wherever memory runs out: teardown counts. The FIFO has reading allocate
 * for more than one piece. */
static ssize_t read_with_memory_for(struct loop *loop, int allocations)
{
    struct op op = {.result = -EINVAL};
    struct scarce scarce = {.plenty = loop->options.allocator, .left = allocations};
    pthread_t writer;
    loop->options.allocator = (struct loop_allocator){.resize = scarce_resize, .ctx = &scarce};
    int error = loop_fs_read_file(loop, &op.fs, path_of("fifo"), on_fs_take);
    if (!error) {
        assert_int_equal(0, pthread_create(&writer, NULL, write_pattern, NULL));
        assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
        pthread_join(writer, NULL);
        error = op.result < 0 ? (int)op.result : 0;
    }
    loop->options.allocator = scarce.plenty;
    assert_true(!op.bytes == !op.taken);
    scarce.plenty.resize(scarce.plenty.ctx, op.taken, 0);
    free(op.bytes);
    return error ? error : op.result;
}

static void memory_that_runs_out_anywhere_is_the_result(void **state)
{
    int allocations = 0;
    ssize_t result;
    begin(*state, 0);
    signal(SIGPIPE, SIG_IGN); /* the writer may lose its reader */
    while ((result = read_with_memory_for(*state, allocations)) < 0) {
        assert_int_equal(-ENOMEM, result);
        allocations++;
    }
    assert_int_equal(PIPE_SIZE, result);
    assert_true(allocations > 5);
    end(*state);
}

static const struct CMUnitTest tests[] = {
    real_test(a_file_is_made_written_looked_at_read_and_closed),
    real_test(offsets_are_absolute_and_minus_one_is_the_files_position),
    real_test(nothing_is_read_or_written_if_nothing_is_asked_for),
    real_test(what_the_kernel_refuses_is_the_result),
    real_test(callbacks_come_in_the_poll_phase),
    virtual_test(the_virtual_clock_waits_for_files),
    real_test(paths_and_data_are_copied),
    real_test(a_path_of_4095_bytes_is_as_good_as_any_and_4096_are_refused),
    real_test(a_name_of_255_bytes_is_as_good_as_any_and_256_are_the_kernels_to_refuse),
    real_test(arguments_out_of_range_are_refused_and_change_nothing),
    real_test(starting_a_request_in_flight_panics),
    real_test(a_whole_file_is_read),
    real_test(an_empty_file_is_no_bytes_and_a_zero),
    real_test(a_file_of_three_megabytes_is_read),
    real_test(a_file_without_a_size_is_read_to_its_end),
    real_test(what_comes_in_many_pieces_is_put_together),
    real_test(what_is_no_file_to_read_is_the_result),
    real_test(a_file_over_one_gigabyte_is_not_read),
    real_test(a_file_that_changes_before_it_is_looked_at_has_its_new_size),
    real_test(a_file_that_shrinks_after_it_was_looked_at_is_read_to_its_end),
    real_test(a_file_that_grows_after_it_was_looked_at_is_read_to_the_size_it_had),
    real_test(a_file_that_was_empty_and_grows_is_read_to_its_end),
    real_test(reading_a_file_is_four_jobs),
    real_test(what_was_read_can_be_taken_once),
    real_test(where_nothing_was_read_nothing_can_be_taken),
    real_test(a_request_can_be_started_again_in_its_callback),
    real_test(a_file_can_be_read_again_in_its_callback),
    real_test(what_waits_for_a_thread_can_be_canceled),
    real_test(a_canceled_close_closes),
    real_test(an_open_that_comes_back_after_it_was_canceled_leaves_nothing_open),
    real_test(a_read_that_comes_back_after_it_was_canceled_is_dropped),
    real_test(a_write_that_is_canceled_while_it_runs_goes_on),
    real_test(reading_a_file_can_be_canceled_while_it_is_opened),
    real_test(reading_a_file_can_be_canceled_while_it_is_read),
    real_test(reading_a_file_can_be_canceled_between_any_two_steps),
    real_test(a_file_that_is_read_unreferenced_lets_the_loop_end),
    real_test(a_full_pool_refuses_files),
    real_test(a_pool_that_fills_up_midway_ends_the_reading_and_leaves_nothing_open),
    real_test(memory_that_runs_out_anywhere_is_the_result),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
