/* Files as streams.
 *
 * What is in a file arrives in pieces, in order, and then LOOP_EOF; what is written is the file's
 * when the shutdown says so. All that streams do works on files: stopping, reading into memory,
 * deadlines, copies between a file and a socket. Errors of the disk are told to the next write or
 * to the shutdown. A handle may be closed while threads are at work for it: they keep the file to
 * the end of what they do, and nobody hears of it.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 300000 }; /* five pieces */

static struct fixture {
    struct loop *loop;
    struct loop_file file;
    struct loop_file other;
    struct loop_pipe ends[2];
    struct loop_read read;
    struct loop_write write;
    struct loop_shutdown shutdown;
    struct loop_stream_pipe copy;
    char *content;
    char *arrived;
    size_t size;
} fixture;

/* A file of its own that has no name any more. */
static int make_file(const char *content, size_t size)
{
    char path[] = "/tmp/libloop-file-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(size, write(fd, content, size));
    assert_int_equal(0, lseek(fd, 0, SEEK_SET));
    return fd;
}

static int setup(void **state)
{
    if (setup_real(state) < 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    fixture.content = malloc(SIZE);
    fixture.arrived = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++)
        fixture.content[i] = (char)(i * 7 + i / 251);
    loop_file_init(*state, &fixture.file);
    loop_file_init(*state, &fixture.other);
    loop_pipe_init(*state, &fixture.ends[0]);
    loop_pipe_init(*state, &fixture.ends[1]);
    return 0;
}

/* Closing is for the tests; what they forgot, the shared teardown tells. */
static int finish(void **state)
{
    loop_run(*state, LOOP_RUN_DEFAULT);
    loop_pool_shutdown();
    loop_run(*state, LOOP_RUN_DEFAULT);
    free(fixture.content);
    free(fixture.arrived);
    return teardown(state);
}

static void open_content(int64_t offset)
{
    assert_int_equal(0, loop_file_open(&fixture.file, make_file(fixture.content, SIZE), offset));
}

static void keep(const void *bytes, size_t size)
{
    assert_true(fixture.size + size <= SIZE);
    memcpy(fixture.arrived + fixture.size, bytes, size);
    fixture.size += size;
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size > 0) {
        keep(bytes, (size_t)size);
        return;
    }
    say("%s", loop_error_name((int)size));
    loop_close(&stream->handle, NULL);
}

static void a_file_arrives_whole_and_in_order(void **state)
{
    open_content(0);
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("EOF");
    assert_int_equal(SIZE, fixture.size);
    assert_memory_equal(fixture.content, fixture.arrived, SIZE);
}

static void reading_begins_at_an_offset_or_at_the_files_own_position(void **state)
{
    open_content(SIZE - 10);
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(10, fixture.size);
    assert_memory_equal(fixture.content + SIZE - 10, fixture.arrived, 10);
    fixture.size = 0;
    int fd = make_file(fixture.content, SIZE);
    lseek(fd, SIZE - 100000, SEEK_SET);
    assert_int_equal(0, loop_file_open(&fixture.other, fd, -1));
    assert_int_equal(0, loop_read_start(&fixture.other.stream, on_read));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(100000, fixture.size);
    assert_memory_equal(fixture.content + SIZE - 100000, fixture.arrived, 100000);
    assert_said("EOF EOF");
}

static void on_read_stop(struct loop_stream *stream, ssize_t size, void *bytes)
{
    on_read(stream, size, bytes);
    if (size > 0) {
        loop_read_stop(stream);
        loop_stop(fixture.loop);
    }
}

static void what_is_read_ahead_waits_for_who_stopped(void **state)
{
    open_content(0);
    while (fixture.size < SIZE) {
        assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read_stop));
        assert_true(loop_run(*state, LOOP_RUN_DEFAULT) >= 0);
    }
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("EOF");
    assert_memory_equal(fixture.content, fixture.arrived, SIZE);
}

static void on_read_into(struct loop_read *read, int status)
{
    say("%s:%zu", loop_error_name(status), read->size);
    loop_stop(fixture.loop);
}

static void read_in(size_t min, size_t max)
{
    assert_int_equal(0, loop_read_into(&fixture.file.stream, &fixture.read, fixture.arrived, min,
                                       max, on_read_into));
    assert_true(loop_run(fixture.loop, LOOP_RUN_DEFAULT) >= 0);
}

static void a_piece_is_taken_in_parts(void **state)
{
    (void)state;
    open_content(0);
    read_in(10, 10);
    assert_memory_equal(fixture.content, fixture.arrived, 10);
    read_in(100000, 100000);
    assert_memory_equal(fixture.content + 10, fixture.arrived, 100000);
    read_in(SIZE, SIZE);
    assert_memory_equal(fixture.content + 100010, fixture.arrived, SIZE - 100010);
    assert_said("OK:10 OK:100000 EOF:199990");
    loop_close(&fixture.file.handle, NULL);
}

static void a_file_that_has_grown_is_read_on(void **state)
{
    int fd = make_file("one", 3);
    assert_int_equal(0, loop_file_open(&fixture.file, fd, 0));
    read_in(4, 10);
    assert_int_equal(3, pwrite(fd, "two", 3, 3));
    read_in(3, 10);
    assert_memory_equal("two", fixture.arrived, 3);
    assert_said("EOF:3 OK:3");
    loop_close(&fixture.file.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    say("%s", loop_error_name(status));
    loop_close(&shutdown->common.stream->handle, NULL);
}

static void what_the_shutdown_tells_is_in_the_file(void **state)
{
    struct stat stat;
    int fd = make_file("", 0), copy = dup(fd);
    assert_int_equal(0, loop_file_open(&fixture.file, fd, 0));
    struct loop_buf parts[] = {{fixture.content, 100}, {fixture.content + 100, SIZE - 100}};
    assert_true(loop_write(&fixture.file.stream, &fixture.write, parts, 2, NULL) >= 0);
    assert_int_equal(0, loop_shutdown(&fixture.file.stream, &fixture.shutdown, on_shutdown));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("OK");
    assert_int_equal(0, fstat(copy, &stat));
    assert_int_equal(SIZE, stat.st_size);
    assert_int_equal(SIZE, pread(copy, fixture.arrived, SIZE, 0));
    assert_memory_equal(fixture.content, fixture.arrived, SIZE);
    close(copy);
}

/* What a thread reads or writes at a time. */
enum { PIECE = 15 * 4096 };

static void on_read_say(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size > 0)
        say("%d", (int)size);
    on_read(stream, size, bytes);
}

static void so_many_bytes_are_a_piece_and_one_more_is_another(void **state)
{
    int fd = make_file(fixture.content, PIECE);
    assert_int_equal(0, loop_file_open(&fixture.file, fd, 0));
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read_say));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("61440 EOF");
    fd = make_file(fixture.content, PIECE + 1);
    assert_int_equal(0, loop_file_open(&fixture.other, fd, 0));
    assert_int_equal(0, loop_read_start(&fixture.other.stream, on_read_say));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("61440 1 EOF");
}

static void a_write_of_one_byte_more_than_a_piece_is_written_whole(void **state)
{
    int fd = make_file("", 0), copy = dup(fd);
    struct loop_buf buf = {fixture.content, PIECE + 1};
    assert_int_equal(0, loop_file_open(&fixture.file, fd, 0));
    assert_true(loop_write(&fixture.file.stream, &fixture.write, &buf, 1, NULL) >= 0);
    assert_int_equal(1, fixture.write.left); /* the thread has a piece */
    assert_int_equal(0, loop_shutdown(&fixture.file.stream, &fixture.shutdown, on_shutdown));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("OK");
    assert_int_equal(PIECE + 1, pread(copy, fixture.arrived, SIZE, 0));
    assert_memory_equal(fixture.content, fixture.arrived, PIECE + 1);
    close(copy);
}

static void a_full_disk_is_told(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(0, loop_file_open(&fixture.file, fd, -1));
    assert_true(loop_write_copy(&fixture.file.stream, fixture.content, 10) >= 0);
    assert_int_equal(0, loop_shutdown(&fixture.file.stream, &fixture.shutdown, on_shutdown));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ENOSPC");
}

static void on_copied(struct loop_stream_pipe *pipe, int status)
{
    say("%s:%d", loop_error_name(status), (int)pipe->copied);
    loop_close(&pipe->from->handle, NULL);
    loop_close(&pipe->to->handle, NULL);
}

static void a_file_is_copied_to_a_file(void **state)
{
    int fd = make_file("", 0), copy = dup(fd);
    open_content(0);
    assert_int_equal(0, loop_file_open(&fixture.other, fd, 0));
    assert_int_equal(0, loop_stream_pipe(&fixture.file.stream, &fixture.other.stream, &fixture.copy,
                                         on_copied));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("OK:300000");
    assert_int_equal(SIZE, pread(copy, fixture.arrived, SIZE, 0));
    assert_memory_equal(fixture.content, fixture.arrived, SIZE);
    close(copy);
}

static void a_file_goes_through_a_socket(void **state)
{
    open_content(0);
    assert_int_equal(0, loop_pipe_pair(&fixture.ends[0], &fixture.ends[1]));
    assert_int_equal(0, loop_stream_pipe(&fixture.file.stream, &fixture.ends[0].stream,
                                         &fixture.copy, on_copied));
    assert_int_equal(0, loop_read_start(&fixture.ends[1].stream, on_read));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    const char *words = said();
    assert_non_null(strstr(words, "OK:300000"));
    assert_non_null(strstr(words, "EOF"));
    assert_memory_equal(fixture.content, fixture.arrived, SIZE);
}

static void closing_leaves_threads_to_their_work(void **state)
{
    open_content(0);
    assert_int_equal(0, loop_file_open(&fixture.other, make_file("", 0), 0));
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read));
    assert_true(loop_write_copy(&fixture.other.stream, fixture.content, SIZE) >= 0);
    loop_close(&fixture.file.handle, NULL);
    loop_close(&fixture.other.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("");
}

static void close_both(struct loop_task *task)
{
    (void)task;
    loop_close(&fixture.file.handle, NULL);
    loop_close(&fixture.other.handle, NULL);
}

/* The check phase, which the closing phase follows at once. */
static void closing_right_before_the_closing_phase_leaves_them_too(void **state)
{
    struct loop_task task = {0};
    open_content(0);
    assert_int_equal(0, loop_file_open(&fixture.other, make_file("", 0), 0));
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read));
    assert_true(loop_write_copy(&fixture.other.stream, fixture.content, SIZE) >= 0);
    loop_immediate(*state, &task, close_both);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("");
}

static void who_stops_and_starts_again_reads_what_is_on_its_way(void **state)
{
    open_content(0);
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read));
    loop_read_stop(&fixture.file.stream);
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("EOF");
    assert_memory_equal(fixture.content, fixture.arrived, SIZE);
}

static void on_read_close(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    say("%s", size > 0 ? "piece" : "none");
    loop_close(&stream->handle, NULL);
}

static void closing_in_the_callback_ends_it(void **state)
{
    open_content(0);
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read_close));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("piece");
}

static void a_file_at_work_is_not_detached(void **state)
{
    open_content(0);
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read_stop));
    assert_int_equal(-EBUSY, loop_stream_detach(&fixture.file.stream));
    while (loop_run(*state, LOOP_RUN_DEFAULT) > 0)
        ;
    int fd = loop_stream_detach(&fixture.file.stream);
    assert_true(fd >= 0);
    close(fd);
}

/* The threads are the parent's, and with them what they were reading and writing. */
static int go_on_in_a_child(void *arg)
{
    struct loop *loop = arg;
    if (loop_after_fork(loop) < 0)
        return 1;
    while (loop_run(loop, LOOP_RUN_DEFAULT) > 0)
        ;
    loop_close(&fixture.file.handle, NULL);
    loop_run(loop, LOOP_RUN_DEFAULT);
    return loop_fini(loop) < 0 ? 2 : 0;
}

static void a_forked_child_is_rid_of_what_threads_did(void **state)
{
    struct loop_buf buf = {fixture.content, SIZE};
    static struct loop_write write;
    open_content(0);
    assert_int_equal(0, loop_read_start(&fixture.file.stream, on_read_stop));
    in_child(go_on_in_a_child, *state);
    assert_true(loop_write(&fixture.file.stream, &write, &buf, 1, NULL) >= 0);
    in_child(go_on_in_a_child, *state);
    while (loop_run(*state, LOOP_RUN_DEFAULT) > 0)
        ;
    loop_close(&fixture.file.handle, NULL);
}

static void wrong_arguments_are_refused(void **state)
{
    int fd = make_file("", 0), directory = open("/", O_RDONLY | O_CLOEXEC);
    assert_int_equal(-EINVAL, loop_file_open(NULL, fd, 0));
    assert_int_equal(-EINVAL, loop_file_open(&fixture.file, fd, -2));
    assert_int_equal(-EBADF, loop_file_open(&fixture.file, -1, 0));
    assert_int_equal(-EISDIR, loop_file_open(&fixture.file, directory, 0));
    assert_int_equal(0, loop_file_open(&fixture.file, fd, 0));
    assert_int_equal(-EBUSY, loop_file_open(&fixture.file, fd, 0));
    loop_close(&fixture.file.handle, NULL);
    assert_int_equal(-ECANCELED, loop_file_open(&fixture.file, fd, 0));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    close(directory);
}

#define file_test(name) cmocka_unit_test_setup_teardown(name, setup, finish)

static const struct CMUnitTest tests[] = {
    file_test(a_file_arrives_whole_and_in_order),
    file_test(reading_begins_at_an_offset_or_at_the_files_own_position),
    file_test(what_is_read_ahead_waits_for_who_stopped),
    file_test(a_piece_is_taken_in_parts),
    file_test(so_many_bytes_are_a_piece_and_one_more_is_another),
    file_test(a_write_of_one_byte_more_than_a_piece_is_written_whole),
    file_test(a_file_that_has_grown_is_read_on),
    file_test(what_the_shutdown_tells_is_in_the_file),
    file_test(a_full_disk_is_told),
    file_test(a_file_is_copied_to_a_file),
    file_test(a_file_goes_through_a_socket),
    file_test(closing_leaves_threads_to_their_work),
    file_test(closing_right_before_the_closing_phase_leaves_them_too),
    file_test(who_stops_and_starts_again_reads_what_is_on_its_way),
    file_test(closing_in_the_callback_ends_it),
    file_test(a_file_at_work_is_not_detached),
    file_test(a_forked_child_is_rid_of_what_threads_did),
    file_test(wrong_arguments_are_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
