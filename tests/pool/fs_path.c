/* Files by their path and by their descriptor: each operation, as it succeeds and as it fails.
 *
 * Each does what its system call does, seen here through the C library's own functions. A relative
 * path is looked up from the current directory, or once from the one that was given, both paths of
 * an operation that has two. Names are any bytes, as long as the file system takes them; paths have
 * at most 4095. Links are followed, or not, as each function says. What cannot be is refused by the
 * call, and nothing was started. All operations have the same results at once and on the pool, on
 * one thread and on sixteen.
 *
 * SPDX-License-Identifier: MIT */
#include "fs_test.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

/* Names, and what is there. */

static void stat_follows_links_and_lstat_does_not(void **state)
{
    begin(state);
    make_file(in_folder("file"), "12345", 5);
    assert_int_equal(0, symlink("file", in_folder("link")));
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), in_folder("link"), on_fs)));
    assert_true(S_ISREG(op.stat.st_mode));
    assert_int_equal(5, op.stat.st_size);
    assert_int_equal(0, did(loop_fs_lstat(loop, fresh(), in_folder("link"), on_fs)));
    assert_true(S_ISLNK(op.stat.st_mode));
    assert_int_equal(4, op.stat.st_size);
    assert_int_equal(-ENOENT, did(loop_fs_stat(loop, fresh(), in_folder("none"), on_fs)));
    assert_null(op.fs.stat);
    assert_int_equal(-ENOENT, did(loop_fs_stat(loop, fresh(), "", on_fs)));
    assert_int_equal(-ENOTDIR, did(loop_fs_stat(loop, fresh(), in_folder("file/x"), on_fs)));
    end();
}

static void a_loop_of_links_leads_nowhere(void **state)
{
    begin(state);
    assert_int_equal(0, symlink("b", in_folder("a")));
    assert_int_equal(0, symlink("a", in_folder("b")));
    assert_int_equal(-ELOOP, did(loop_fs_stat(loop, fresh(), in_folder("a"), on_fs)));
    assert_int_equal(-ELOOP, did(loop_fs_open(loop, fresh(), in_folder("a"), 0, 0, on_fs)));
    assert_int_equal(-ELOOP, did(loop_fs_realpath(loop, fresh(), in_folder("a"), on_fs)));
    assert_int_equal(-ELOOP, did(loop_fs_read_file(loop, fresh(), in_folder("a"), on_fs)));
    assert_int_equal(0, did(loop_fs_lstat(loop, fresh(), in_folder("a"), on_fs)));
    end();
}

static void statx_tells_what_stat_cannot(void **state)
{
    begin(state);
    make_file(in_folder("file"), "12345", 5);
    assert_int_equal(0, did(loop_fs_statx(loop, fresh(), in_folder("file"), 0,
                                          STATX_BASIC_STATS | STATX_BTIME, on_fs)));
    assert_int_equal(5, op.statx.stx_size);
    assert_true(op.statx.stx_mask & STATX_BASIC_STATS);
    int fd = open(in_folder("file"), O_RDONLY);
    assert_int_equal(0,
                     did(loop_fs_statx(loop, fresh_at(fd), "", AT_EMPTY_PATH, STATX_SIZE, on_fs)));
    assert_int_equal(5, op.statx.stx_size);
    close(fd);
    assert_int_equal(-EINVAL,
                     did(loop_fs_statx(loop, fresh(), in_folder("file"), 0x40000000, 0, on_fs)));
    end();
}

static void statfs_is_of_the_file_system(void **state)
{
    struct statfs expected;
    begin(state);
    assert_int_equal(0, statfs(folder, &expected));
    assert_int_equal(0, did(loop_fs_statfs(loop, fresh(), folder, on_fs)));
    assert_int_equal(expected.f_type, op.statfs.f_type);
    assert_int_equal(expected.f_blocks, op.statfs.f_blocks);
    int fd = open(folder, O_PATH | O_DIRECTORY);
    assert_int_equal(0, did(loop_fs_statfs(loop, fresh_at(fd), ".", on_fs)));
    assert_int_equal(expected.f_type, op.statfs.f_type);
    assert_int_equal(-ENOENT, did(loop_fs_statfs(loop, fresh_at(fd), "none", on_fs)));
    close(fd);
    end();
}

static void access_tells_what_one_may(void **state)
{
    begin(state);
    make_file(in_folder("file"), "", 0);
    assert_int_equal(0, did(loop_fs_access(loop, fresh(), in_folder("file"), R_OK | W_OK, on_fs)));
    assert_int_equal(-EACCES, did(loop_fs_access(loop, fresh(), in_folder("file"), X_OK, on_fs)));
    assert_int_equal(-ENOENT, did(loop_fs_access(loop, fresh(), in_folder("none"), F_OK, on_fs)));
    assert_int_equal(-EINVAL, loop_fs_access(loop, fresh(), folder, 8, on_fs));
    end();
}

static void a_link_says_all_that_it_was_told(void **state)
{
    char target[PATH_MAX];
    begin(state);
    memset(target, 't', sizeof(target) - 1);
    target[sizeof(target) - 1] = '\0';
    assert_int_equal(0, did(loop_fs_symlink(loop, fresh(), target, in_folder("link"), on_fs)));
    assert_int_equal(PATH_MAX - 1, did(loop_fs_readlink(loop, fresh(), in_folder("link"), on_fs)));
    assert_string_equal(target, op.text);
    assert_int_equal(-EEXIST, did(loop_fs_symlink(loop, fresh(), "x", in_folder("link"), on_fs)));
    assert_int_equal(-EINVAL, did(loop_fs_readlink(loop, fresh(), folder, on_fs)));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(0, did(loop_fs_symlink(loop, fresh_at(fd), "there", "here", on_fs)));
    assert_int_equal(5, did(loop_fs_readlink(loop, fresh_at(fd), "here", on_fs)));
    assert_string_equal("there", op.text);
    close(fd);
    end();
}

static void realpath_is_absolute_and_without_links(void **state)
{
    char *expected;
    begin(state);
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    make_file(in_folder("d/file"), "", 0);
    assert_int_equal(0, symlink("d", in_folder("link")));
    expected = realpath(in_folder("d/file"), NULL);
    ssize_t length = did(loop_fs_realpath(loop, fresh(), in_folder("link/../d//./file"), on_fs));
    assert_int_equal(strlen(expected), length);
    assert_string_equal(expected, op.text);
    int fd = open(in_folder("link"), O_RDONLY | O_DIRECTORY);
    assert_int_equal(length, did(loop_fs_realpath(loop, fresh_at(fd), "file", on_fs)));
    assert_string_equal(expected, op.text);
    assert_int_equal(-1, rmdir(in_folder("d")));
    unlink(in_folder("d/file"));
    assert_int_equal(0, rmdir(in_folder("d")));
    assert_int_equal(-ENOENT, did(loop_fs_realpath(loop, fresh_at(fd), ".", on_fs))); /* nameless */
    assert_int_equal(-ENOENT, did(loop_fs_realpath(loop, fresh(), in_folder("link"), on_fs)));
    assert_int_equal(1, did(loop_fs_realpath(loop, fresh(), "/", on_fs)));
    free(expected);
    close(fd);
    end();
}

static void directories_are_made_and_removed(void **state)
{
    begin(state);
    assert_int_equal(0, did(loop_fs_mkdir(loop, fresh(), in_folder("d"), 0777, on_fs)));
    assert_int_equal(0755, mode_of(in_folder("d")));
    assert_int_equal(-EEXIST, did(loop_fs_mkdir(loop, fresh(), in_folder("d"), 0777, on_fs)));
    assert_int_equal(-ENOENT, did(loop_fs_mkdir(loop, fresh(), in_folder("x/y"), 0777, on_fs)));
    make_file(in_folder("d/file"), "", 0);
    assert_int_equal(-ENOTEMPTY, did(loop_fs_rmdir(loop, fresh(), in_folder("d"), on_fs)));
    assert_int_equal(-ENOTDIR, did(loop_fs_rmdir(loop, fresh(), in_folder("d/file"), on_fs)));
    assert_int_equal(-EISDIR, did(loop_fs_unlink(loop, fresh(), in_folder("d"), on_fs)));
    assert_int_equal(0, did(loop_fs_unlink(loop, fresh(), in_folder("d/file"), on_fs)));
    assert_int_equal(-ENOENT, did(loop_fs_unlink(loop, fresh(), in_folder("d/file"), on_fs)));
    assert_int_equal(0, did(loop_fs_rmdir(loop, fresh(), in_folder("d"), on_fs)));
    end();
}

static void files_get_other_names(void **state)
{
    begin(state);
    make_file(in_folder("a"), "a", 1);
    make_file(in_folder("b"), "b", 1);
    const char *a = in_folder("a"), *b = in_folder("b");
    assert_int_equal(-EEXIST, did(loop_fs_rename(loop, fresh(), a, b, RENAME_NOREPLACE, on_fs)));
    assert_int_equal(0, did(loop_fs_rename(loop, fresh(), a, b, RENAME_EXCHANGE, on_fs)));
    assert_string_equal("b", content(a));
    assert_int_equal(0, did(loop_fs_rename(loop, fresh(), a, b, 0, on_fs)));
    assert_string_equal("b", content(b));
    assert_false(exists(a));
    assert_int_equal(-ENOENT, did(loop_fs_rename(loop, fresh(), a, b, 0, on_fs)));
    assert_int_equal(0, did(loop_fs_link(loop, fresh(), b, a, on_fs)));
    assert_string_equal("b", content(a));
    assert_int_equal(-EEXIST, did(loop_fs_link(loop, fresh(), b, a, on_fs)));
    assert_int_equal(-EPERM, did(loop_fs_link(loop, fresh(), folder, in_folder("c"), on_fs)));
    assert_int_equal(-EINVAL, loop_fs_rename(loop, fresh(), a, b, 4, on_fs));
    end();
}

/* Of directories. */

static void a_relative_path_starts_where_it_was_told_to_once(void **state)
{
    begin(state);
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    int fd = open(in_folder("d"), O_RDONLY | O_DIRECTORY);
    make_file(in_folder("d/file"), "there", 5);
    assert_int_equal(0, did(loop_fs_stat(loop, fresh_at(fd), "file", on_fs)));
    assert_int_equal(-ENOENT, did((op.calls = 0, loop_fs_stat(loop, &op.fs, "file", on_fs))));
    assert_int_equal(5, did(loop_fs_read_file(loop, fresh_at(fd), "file", on_fs)));
    assert_string_equal("there", op.text);
    assert_int_equal(0, did(loop_fs_stat(loop, fresh_at(-1), in_folder("d/file"), on_fs)));
    assert_int_equal(-EBADF, did(loop_fs_stat(loop, fresh_at(-1), "file", on_fs)));
    loop_fs_at(fresh(), fd);
    assert_int_equal(-EINVAL, loop_fs_stat(loop, &op.fs, NULL, on_fs)); /* and is forgotten */
    assert_int_equal(-ENOENT, did(loop_fs_stat(loop, &op.fs, "file", on_fs)));
    close(fd);
    end();
}

static void both_paths_start_there_or_each_elsewhere(void **state)
{
    begin(state);
    assert_int_equal(0, mkdir(in_folder("d"), 0755));
    assert_int_equal(0, mkdir(in_folder("e"), 0755));
    int d = open(in_folder("d"), O_RDONLY | O_DIRECTORY);
    int e = open(in_folder("e"), O_RDONLY | O_DIRECTORY);
    make_file(in_folder("d/file"), "text", 4);
    assert_int_equal(0, did(loop_fs_rename(loop, fresh_at(d), "file", "name", 0, on_fs)));
    assert_string_equal("text", content(in_folder("d/name")));
    loop_fs_to_at(fresh_at(d), e);
    assert_int_equal(4, did(loop_fs_copy_file(loop, &op.fs, "name", "copy", 0, on_fs)));
    assert_string_equal("text", content(in_folder("e/copy")));
    loop_fs_to_at(fresh_at(d), e);
    assert_int_equal(0, did(loop_fs_link(loop, &op.fs, "name", "link", on_fs)));
    assert_string_equal("text", content(in_folder("e/link")));
    close(d);
    close(e);
    end();
}

/* Attributes. */

static void sizes_modes_and_times_are_set_by_path(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 1, .tv_nsec = 2}, {.tv_sec = 3, .tv_nsec = 4}};
    const struct timespec omit[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 9, .tv_nsec = 0}};
    begin(state);
    const char *file = in_folder("file"), *link = in_folder("link");
    make_file(file, "12345", 5);
    assert_int_equal(0, symlink("file", link));
    assert_int_equal(0, did(loop_fs_truncate(loop, fresh(), file, 2, on_fs)));
    assert_string_equal("12", content(file));
    assert_int_equal(0, did(loop_fs_chmod(loop, fresh(), link, 0600, on_fs)));
    assert_int_equal(0600, mode_of(file));
    assert_int_equal(0, did(loop_fs_utimes(loop, fresh(), link, times, on_fs)));
    assert_int_equal(0, did(loop_fs_utimes(loop, fresh(), file, omit, on_fs)));
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), file, on_fs)));
    assert_int_equal(1, op.stat.st_atim.tv_sec);
    assert_int_equal(2, op.stat.st_atim.tv_nsec);
    assert_int_equal(9, op.stat.st_mtim.tv_sec);
    assert_int_equal(0, did(loop_fs_lutimes(loop, fresh(), link, times, on_fs)));
    assert_int_equal(0, did(loop_fs_lstat(loop, fresh(), link, on_fs)));
    assert_int_equal(3, op.stat.st_mtim.tv_sec);
    assert_int_equal(-EINVAL, loop_fs_utimes(loop, fresh(), file, NULL, on_fs));
    assert_int_equal(-EINVAL, loop_fs_truncate(loop, fresh(), file, -1, on_fs));
    assert_int_equal(-EISDIR, did(loop_fs_truncate(loop, fresh(), folder, 0, on_fs)));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(0, did(loop_fs_truncate(loop, fresh_at(fd), "file", 1, on_fs)));
    assert_string_equal("1", content(file));
    close(fd);
    end();
}

static void sizes_modes_and_times_are_set_by_descriptor(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 7}};
    struct stat stat;
    begin(state);
    const char *file = in_folder("file");
    make_file(file, "12345", 5);
    int fd = open(file, O_RDWR);
    assert_int_equal(0, did(loop_fs_ftruncate(loop, fresh(), fd, 3, on_fs)));
    assert_int_equal(0, did(loop_fs_fchmod(loop, fresh(), fd, 0640, on_fs)));
    assert_int_equal(0, did(loop_fs_futimes(loop, fresh(), fd, times, on_fs)));
    assert_int_equal(0, did(loop_fs_fsync(loop, fresh(), fd, on_fs)));
    assert_int_equal(0, did(loop_fs_fdatasync(loop, fresh(), fd, on_fs)));
    assert_int_equal(0, fstat(fd, &stat));
    assert_int_equal(3, stat.st_size);
    assert_int_equal(0640, stat.st_mode & 07777);
    assert_int_equal(7, stat.st_mtim.tv_sec);
    close(fd);
    assert_int_equal(-EBADF, did(loop_fs_fsync(loop, fresh(), fd, on_fs)));
    assert_int_equal(-EBADF, did(loop_fs_fchmod(loop, fresh(), fd, 0640, on_fs)));
    assert_int_equal(-EINVAL, loop_fs_ftruncate(loop, fresh(), 0, -1, on_fs));
    assert_int_equal(-EINVAL, loop_fs_futimes(loop, fresh(), 0, NULL, on_fs));
    end();
}

static void owners_are_changed_by_who_may(void **state)
{
    begin(state);
    const char *file = in_folder("file"), *link = in_folder("link");
    make_file(file, "", 0);
    assert_int_equal(0, symlink("file", link));
    int fd = open(file, O_RDWR);
    const uid_t same = (uid_t)-1;
    assert_int_equal(0, did(loop_fs_chown(loop, fresh(), file, same, (gid_t)-1, on_fs)));
    assert_int_equal(0, did(loop_fs_fchown(loop, fresh(), fd, same, (gid_t)-1, on_fs)));
    if (geteuid() == 0) {
        assert_int_equal(0, did(loop_fs_lchown(loop, fresh(), link, 12, 13, on_fs)));
        assert_int_equal(0, did(loop_fs_lstat(loop, fresh(), link, on_fs)));
        assert_int_equal(12, op.stat.st_uid);
        assert_int_equal(0, did(loop_fs_chown(loop, fresh(), link, 14, 15, on_fs)));
        assert_int_equal(0, did(loop_fs_stat(loop, fresh(), file, on_fs)));
        assert_int_equal(14, op.stat.st_uid);
        assert_int_equal(15, op.stat.st_gid);
        assert_int_equal(0, did(loop_fs_fchown(loop, fresh(), fd, 0, same, on_fs)));
        assert_int_equal(0, did(loop_fs_stat(loop, fresh(), file, on_fs)));
        assert_int_equal(0, op.stat.st_uid);
    }
    close(fd);
    end();
}

/* Reading and writing in parts. */

static void rooms_are_filled_one_after_the_other(void **state)
{
    char a[3] = "...", b[2] = "..", c[9] = "........";
    const struct iovec rooms[] = {{a, sizeof(a)}, {b, 0}, {b, sizeof(b)}, {c, sizeof(c)}};
    begin(state);
    make_file(in_folder("file"), "0123456", 7);
    int fd = open(in_folder("file"), O_RDONLY);
    for (int pool_only = 0; pool_only < 2; pool_only++) {
        loop->options.fs_pool_only = pool_only;
        memset(a, '.', sizeof(a));
        assert_int_equal(7, did(loop_fs_readv(loop, fresh(), fd, rooms, 4, 0, on_fs)));
        assert_memory_equal("012", a, 3);
        assert_memory_equal("34", b, 2);
        assert_memory_equal("56......", c, 8);
        assert_null(op.fs.bytes);
    }
    assert_int_equal(3, did(loop_fs_readv(loop, fresh(), fd, rooms, 1, 4, on_fs)));
    assert_memory_equal("456", a, 3);
    assert_int_equal(0, did(loop_fs_readv(loop, fresh(), fd, NULL, 0, 0, on_fs)));
    assert_int_equal(-EINVAL, loop_fs_readv(loop, fresh(), fd, NULL, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_readv(loop, fresh(), fd, rooms, 1025, 0, on_fs));
    const struct iovec vast[] = {{a, SIZE_MAX}, {a, 2}};
    assert_int_equal(-EINVAL, loop_fs_readv(loop, fresh(), fd, vast, 2, 0, on_fs));
    close(fd);
    end();
}

static void buffers_are_written_as_one(void **state)
{
    const struct loop_buf bufs[] = {{"one", 3}, {NULL, 0}, {"two", 3}};
    const struct loop_buf wrong[] = {{NULL, 1}};
    const struct loop_buf vast[] = {{"x", SIZE_MAX}, {"y", 2}};
    begin(state);
    int fd = open(in_folder("file"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(6, did(loop_fs_writev(loop, fresh(), fd, bufs, 3, -1, on_fs)));
    assert_int_equal(6, did(loop_fs_writev(loop, fresh(), fd, bufs, 3, 5, on_fs)));
    assert_string_equal("onetwonetwo", content(in_folder("file")));
    assert_int_equal(-EINVAL, loop_fs_writev(loop, fresh(), fd, wrong, 1, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_writev(loop, fresh(), fd, vast, 2, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_writev(NULL, fresh(), fd, bufs, 3, 0, on_fs));
    close(fd);
    end();
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    (void)memory;
    (void)size;
    return NULL;
}

static void without_memory_to_gather_them_buffers_are_not_written(void **state)
{
    struct loop_buf bufs[] = {{"one", 3}, {"two", 3}};
    begin(state);
    struct loop_allocator before = loop->options.allocator;
    loop->options.allocator.resize = no_memory;
    assert_int_equal(-ENOMEM, loop_fs_writev(loop, fresh(), 0, bufs, 2, -1, on_fs));
    loop->options.allocator = before;
    assert_false(loop_alive(loop));
    end();
    assert_int_equal(0, op.calls);
}

static void cancelled_reading_leaves_the_rooms_alone(void **state)
{
    char a[4] = "same";
    const struct iovec room = {a, sizeof(a)};
    begin_with(state, 1, true);
    make_file(in_folder("file"), "0123", 4);
    int fd = open(in_folder("file"), O_RDONLY);
    assert_int_equal(0, loop_fs_readv(loop, fresh(), fd, &room, 1, 0, on_fs));
    assert_int_equal(0, loop_request_cancel(&op.fs.request));
    run_to_end();
    assert_int_equal(-ECANCELED, op.result);
    assert_memory_equal("same", a, 4);
    close(fd);
    end();
}

static void sendfile_moves_bytes_to_files_and_sockets(void **state)
{
    char bytes[8] = {0};
    int ends[2];
    begin(state);
    make_file(in_folder("from"), "0123456789", 10);
    int from = open(in_folder("from"), O_RDONLY);
    int to = open(in_folder("to"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    assert_int_equal(4, did(loop_fs_sendfile(loop, fresh(), to, from, 3, 4, on_fs)));
    assert_int_equal(10, did(loop_fs_sendfile(loop, fresh(), to, from, -1, 100, on_fs)));
    assert_string_equal("34560123456789", content(in_folder("to")));
    assert_int_equal(5, did(loop_fs_sendfile(loop, fresh(), ends[0], from, 5, 100, on_fs)));
    assert_int_equal(5, read(ends[1], bytes, sizeof(bytes)));
    assert_string_equal("56789", bytes);
    assert_int_equal(-EINVAL, loop_fs_sendfile(loop, fresh(), to, -1, 0, 1, on_fs));
    close(from);
    close(to);
    close(ends[0]);
    close(ends[1]);
    end();
}

static void positions_go_beyond_four_gibibytes(void **state)
{
    const int64_t far = INT64_C(5) << 30;
    begin(state);
    int fd = open(in_folder("sparse"), O_RDWR | O_CREAT, 0600);
    assert_int_equal(3, did(loop_fs_write(loop, fresh(), fd, "end", 3, far, on_fs)));
    assert_int_equal(0, did(loop_fs_fstat(loop, fresh(), fd, on_fs)));
    assert_true(op.stat.st_size == far + 3);
    assert_int_equal(3, did(loop_fs_read(loop, fresh(), fd, 100, far, on_fs)));
    assert_string_equal("end", op.text);
    assert_int_equal(-EFBIG, did(loop_fs_read_file(loop, fresh(), in_folder("sparse"), on_fs)));
    assert_int_equal(0, did(loop_fs_ftruncate(loop, fresh(), fd, far / 2, on_fs)));
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), in_folder("sparse"), on_fs)));
    assert_true(op.stat.st_size == far / 2);
    close(fd);
    end();
}

/* Names and paths at their limits. */

static void names_are_any_bytes(void **state)
{
    const char *names[] = {"\xff\xfe\x80", "new\nline", " ", "\\", "-rf", "*", "ä\xcc\x88", "\x01"};
    begin(state);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const char *path = in_folder(names[i]);
        assert_int_equal(1, did(loop_fs_write_file(loop, fresh(), path, "x", 1, 0600, 0, on_fs)));
        assert_int_equal(0, did(loop_fs_stat(loop, fresh(), path, on_fs)));
        assert_int_equal(1, did(loop_fs_read_file(loop, fresh(), path, on_fs)));
        ssize_t length = did(loop_fs_realpath(loop, fresh(), path, on_fs));
        assert_int_equal(strlen(path), length);
        assert_string_equal(path, op.text);
        assert_int_equal(0, did(loop_fs_unlink(loop, fresh(), path, on_fs)));
    }
    end();
}

static void a_name_of_255_bytes_fits_and_one_more_does_not(void **state)
{
    char name[257];
    memset(name, 'n', 256);
    begin(state);
    name[256] = '\0';
    assert_int_equal(-ENAMETOOLONG,
                     did(loop_fs_mkdir(loop, fresh(), in_folder(name), 0700, on_fs)));
    assert_int_equal(-ENAMETOOLONG, did(loop_fs_stat(loop, fresh(), in_folder(name), on_fs)));
    name[255] = '\0';
    assert_int_equal(0, did(loop_fs_mkdir(loop, fresh(), in_folder(name), 0700, on_fs)));
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), in_folder(name), on_fs)));
    assert_int_equal(1, did(loop_fs_scandir(loop, fresh(), folder, on_fs)));
    end();
}

/* The folder, as many slashes as it takes, and the name. */
static void fill_path(char *path, size_t length, const char *name)
{
    memset(path, '/', length);
    memcpy(path, folder, strlen(folder));
    memcpy(path + length - strlen(name), name, strlen(name) + 1);
}

static void a_path_of_4095_bytes_fits_and_one_more_does_not(void **state)
{
    char path[PATH_MAX + 1];
    begin(state);
    make_file(in_folder("file"), "x", 1);
    fill_path(path, PATH_MAX - 1, "file");
    assert_int_equal(0, did(loop_fs_stat(loop, fresh(), path, on_fs)));
    assert_int_equal(0, did(loop_fs_chmod(loop, fresh(), path, 0600, on_fs)));
    assert_int_equal(1, did(loop_fs_copy_file(loop, fresh(), path, in_folder("copy"), 0, on_fs)));
    fill_path(path, PATH_MAX, "file");
    const char *other = in_folder("other");
    assert_int_equal(-ENAMETOOLONG, loop_fs_stat(loop, fresh(), path, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_rename(loop, fresh(), path, other, 0, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_rename(loop, fresh(), other, path, 0, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_symlink(loop, fresh(), path, other, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_rm(loop, fresh(), path, 0, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_scandir(loop, fresh(), path, on_fs));
    assert_int_equal(-ENAMETOOLONG, loop_fs_write_file(loop, fresh(), path, "", 0, 0600, 0, on_fs));
    fill_path(path, PATH_MAX - 6, "file");
    assert_int_equal(-ENAMETOOLONG, did(loop_fs_mkdtemp(loop, fresh(), path, on_fs)));
    assert_false(loop_alive(loop));
    end();
}

static void refused_arguments_start_nothing(void **state)
{
    begin(state);
    struct loop_fs *fs = fresh();
    assert_int_equal(-EINVAL, loop_fs_stat(NULL, fs, "x", on_fs));
    assert_int_equal(-EINVAL, loop_fs_stat(loop, NULL, "x", on_fs));
    assert_int_equal(-EINVAL, loop_fs_stat(loop, fs, NULL, on_fs));
    assert_int_equal(-EINVAL, loop_fs_stat(loop, fs, "x", NULL));
    assert_int_equal(-EINVAL, loop_fs_utimes(loop, fs, "x", NULL, on_fs));
    assert_int_equal(-EINVAL, loop_fs_lutimes(loop, fs, "x", NULL, on_fs));
    assert_int_equal(-EINVAL, loop_fs_rename(loop, fs, "x", NULL, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_symlink(loop, fs, NULL, "x", on_fs));
    assert_int_equal(-EINVAL, loop_fs_rm(loop, fs, "x", 4, on_fs));
    assert_int_equal(-EINVAL, loop_fs_copy_file(loop, fs, "x", "y", 4, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write_file(loop, fs, "x", NULL, 1, 0, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write_file(loop, fs, "x", "", 0, 0, 8, on_fs));
    assert_int_equal(-EINVAL, loop_fs_write_file(loop, fs, "x", "", 0, 0,
                                                 LOOP_FS_ATOMIC | LOOP_FS_EXCLUSIVE, on_fs));
    assert_int_equal(-EINVAL, loop_fs_append_file(loop, fs, "x", "", 0, 0, LOOP_FS_ATOMIC, on_fs));
    assert_int_equal(-EINVAL, loop_fs_readdir(loop, fs, 0, 0, on_fs));
    assert_int_equal(-EINVAL, loop_fs_readdir(loop, fs, 0, 65537, on_fs));
    assert_int_equal(-EINVAL, loop_fs_readdir(loop, fs, -1, 1, on_fs));
    assert_false(loop_alive(loop));
    assert_int_equal(0, loop_pool_threads(pool));
    end();
    assert_int_equal(0, op.calls);
}

/* One table, four ways. */

static char transcript[4][8192];
static char *written;

static void note(const char *what, ssize_t result)
{
    written += sprintf(written, "%s %d %s\n", what, (int)result, op.text);
}

static void note_stat(const char *what, ssize_t result)
{
    const struct stat *stat = &op.stat;
    note(what, result);
    written += sprintf(written, "%o %d %d %d\n", stat->st_mode, (int)stat->st_nlink,
                       (int)stat->st_size, (int)stat->st_blksize);
}

static void do_all(void)
{
    make_file(in_folder("file"), "0123456789", 10);
    make_file(in_folder("empty"), "", 0);
    assert_int_equal(0, mkdir(in_folder("d"), 0750));
    assert_int_equal(0, symlink("file", in_folder("link")));
    assert_int_equal(0, mkfifo(in_folder("fifo"), 0600));
    const char *names[] = {"file", "empty", "d", "link", "fifo", "none", "file/x", "d/.", ""};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const char *path = in_folder(names[i]);
        written += sprintf(written, "# %s\n", names[i]);
        note_stat("stat", did(loop_fs_stat(loop, fresh(), path, on_fs)));
        note_stat("lstat", did(loop_fs_lstat(loop, fresh(), path, on_fs)));
        if (strcmp(names[i], "fifo") != 0)
            note("file", did(loop_fs_read_file(loop, fresh(), path, on_fs)));
        ssize_t fd = did(loop_fs_open(loop, fresh(), path, O_RDONLY | O_NONBLOCK, 0, on_fs));
        note("open", fd < 0 ? fd : 0);
        if (fd < 0)
            continue;
        assert_int_equal(FD_CLOEXEC, fcntl((int)fd, F_GETFD));
        note("flags", fcntl((int)fd, F_GETFL) & ~O_LARGEFILE);
        note("read", did(loop_fs_read(loop, fresh(), (int)fd, 4, 0, on_fs)));
        note("more", did(loop_fs_read(loop, fresh(), (int)fd, 40, 4, on_fs)));
        note("end", did(loop_fs_read(loop, fresh(), (int)fd, 40, 10, on_fs)));
        note("here", did(loop_fs_read(loop, fresh(), (int)fd, 7, -1, on_fs)));
        note("on", did(loop_fs_read(loop, fresh(), (int)fd, 7, -1, on_fs)));
        note("over", did(loop_fs_read(loop, fresh(), (int)fd, 7, -1, on_fs)));
        close((int)fd);
        fd = strcmp(names[i], "fifo") == 0
                 ? -1
                 : did(loop_fs_open(loop, fresh(), path, O_RDONLY, 0, on_fs));
        note("flags", fd < 0 ? 0 : fcntl((int)fd, F_GETFL) & ~O_LARGEFILE);
        if (fd >= 0)
            close((int)fd);
    }
}

static void results_are_the_same_at_once_and_on_the_pool(void **state)
{
    for (size_t i = 0; i < 4; i++) {
        written = transcript[i];
        begin_with(state, i & 1 ? 16 : 1, i & 2);
        do_all();
        end();
        assert_true(written < transcript[i] + sizeof(transcript[i]));
        assert_string_equal(transcript[0], transcript[i]);
    }
    assert_non_null(strstr(transcript[0], "file 10 0123456789"));
}

static void stat_is_the_same_to_the_last_field(void **state)
{
    struct stat at_once;
    begin(state);
    make_file(in_folder("file"), "0123456789", 10);
    const char *paths[] = {in_folder("file"), folder, "/dev/null", "/dev/shm"};
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        loop->options.fs_pool_only = false;
        assert_int_equal(0, did(loop_fs_stat(loop, fresh(), paths[i], on_fs)));
        at_once = op.stat;
        loop->options.fs_pool_only = true;
        assert_int_equal(0, did(loop_fs_stat(loop, fresh(), paths[i], on_fs)));
        assert_memory_equal(&op.stat, &at_once, sizeof(at_once));
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(stat_follows_links_and_lstat_does_not),
        real_test(a_loop_of_links_leads_nowhere),
        real_test(statx_tells_what_stat_cannot),
        real_test(statfs_is_of_the_file_system),
        real_test(access_tells_what_one_may),
        real_test(a_link_says_all_that_it_was_told),
        real_test(realpath_is_absolute_and_without_links),
        real_test(directories_are_made_and_removed),
        real_test(files_get_other_names),
        real_test(a_relative_path_starts_where_it_was_told_to_once),
        real_test(both_paths_start_there_or_each_elsewhere),
        real_test(sizes_modes_and_times_are_set_by_path),
        real_test(sizes_modes_and_times_are_set_by_descriptor),
        real_test(owners_are_changed_by_who_may),
        real_test(rooms_are_filled_one_after_the_other),
        real_test(buffers_are_written_as_one),
        real_test(without_memory_to_gather_them_buffers_are_not_written),
        real_test(cancelled_reading_leaves_the_rooms_alone),
        real_test(sendfile_moves_bytes_to_files_and_sockets),
        real_test(positions_go_beyond_four_gibibytes),
        real_test(names_are_any_bytes),
        real_test(a_name_of_255_bytes_fits_and_one_more_does_not),
        real_test(a_path_of_4095_bytes_fits_and_one_more_does_not),
        real_test(refused_arguments_start_nothing),
        real_test(results_are_the_same_at_once_and_on_the_pool),
        real_test(stat_is_the_same_to_the_last_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
