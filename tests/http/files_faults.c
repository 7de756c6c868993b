/* Files whose system calls fail: what the kernel may say, and hardly ever does.
 *
 * The linker sends some calls of libloop-http through functions of this file (--wrap), each of
 * which can be told to fail from its nth time on, so many times. A kernel without openat2(2), or a
 * filter that refuses it, makes no difference to what is sent, nor does one without its newer
 * flags, nor a file system that cannot say what is in memory. What is answered else follows from
 * the error: 403 for what is not allowed, 404 for what is no file, 503 for what will end, 500 for
 * the rest. Bytes that cannot be read end the connection short of what was announced. No descriptor
 * is left open.
 *
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include "loop/http/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LARGE = 2 * 1024 * 1024 + 17, SMALL = 5000, TEXT = 200 * 1024 };

/* A call that can fail: from its nth time on, so many times. Threads of the pool call, too. */
struct call {
    atomic_int before; /* so many times it goes well */
    atomic_int times;
    int error; /* 0: it does less than it was asked to */
};

static struct {
    struct call open_in_kernel, open_cached, openat, fstat, fdopendir, preadv2, pread, sendfile,
        send, fcntl;
} calls;

static bool fails(struct call *call)
{
    if (atomic_load(&call->times) <= 0 || atomic_fetch_sub(&call->before, 1) > 0)
        return false;
    atomic_fetch_sub(&call->times, 1);
    errno = call->error;
    return true;
}

static void fail_at(struct call *call, int before, int times, int error)
{
    call->error = error;
    call->before = before;
    call->times = times;
}

enum { ALWAYS = 1000000 };

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap___openat64_2(int dir, const char *path, int flags);
ssize_t __wrap___pread64_chk(int fd, void *room, size_t size, off_t at, size_t room_size);
int __real_fstat64(int fd, struct stat *stat);
int __wrap_fstat64(int fd, struct stat *stat);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
ssize_t __real_preadv64v2(int fd, const struct iovec *room, int count, off_t at, int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *room, int count, off_t at, int flags);
ssize_t __real_pread64(int fd, void *room, size_t size, off_t at);
ssize_t __wrap_pread64(int fd, void *room, size_t size, off_t at);
ssize_t __real_sendfile64(int socket, int file, off_t *at, size_t size);
ssize_t __wrap_sendfile64(int socket, int file, off_t *at, size_t size);
ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

long __wrap_syscall(long number, ...)
{
    va_list list;
    long with[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        with[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_openat2) {
        const struct open_how *how = (const struct open_how *)with[2];
        bool cached = how->resolve & RESOLVE_CACHED;
        if (fails(&calls.open_in_kernel) || (cached && fails(&calls.open_cached)))
            return -1;
    }
    return __real_syscall(number, with[0], with[1], with[2], with[3], with[4], with[5]);
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
    return fails(&calls.openat) ? -1 : __real_openat64(dir, path, flags);
}

/* What they are called where the C library checks lengths. */
int __wrap___openat64_2(int dir, const char *path, int flags)
{
    return __wrap_openat64(dir, path, flags);
}

ssize_t __wrap___pread64_chk(int fd, void *room, size_t size, off_t at, size_t room_size)
{
    assert_true(size <= room_size);
    return __wrap_pread64(fd, room, size, at);
}

int __wrap_fstat64(int fd, struct stat *stat)
{
    return fails(&calls.fstat) ? -1 : __real_fstat64(fd, stat);
}

DIR *__wrap_fdopendir(int fd)
{
    return fails(&calls.fdopendir) ? NULL : __real_fdopendir(fd);
}

ssize_t __wrap_preadv64v2(int fd, const struct iovec *room, int count, off_t at, int flags)
{
    return fails(&calls.preadv2) ? -1 : __real_preadv64v2(fd, room, count, at, flags);
}

ssize_t __wrap_pread64(int fd, void *room, size_t size, off_t at)
{
    return fails(&calls.pread) ? calls.pread.error ? -1 : 0 : __real_pread64(fd, room, size, at);
}

ssize_t __wrap_sendfile64(int socket, int file, off_t *at, size_t size)
{
    if (!fails(&calls.sendfile))
        return __real_sendfile64(socket, file, at, size);
    return calls.sendfile.error ? -1 : __real_sendfile64(socket, file, at, size / 2);
}

/* Nobody else says that more follows. */
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    if (!(flags & MSG_MORE) || !fails(&calls.send))
        return __real_send(fd, bytes, size, flags);
    return calls.send.error ? -1 : __real_send(fd, bytes, size / 2, flags);
}

int __wrap_fcntl64(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return fails(&calls.fcntl) ? -1 : __real_fcntl64(fd, command, argument);
}

/* --- a tree and a server --- */

static struct {
    char root[64];
    struct loop_http_server server;
    struct loop_http_files files;
} here;

static const char *path_to(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", here.root, name);
    return path;
}

static char byte_at(size_t at)
{
    return (char)('a' + (at * 7 + at / 4096 * 3) % 26);
}

static void put(const char *name, size_t size)
{
    FILE *file = fopen(path_to(name), "w");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc(byte_at(i), file);
    fclose(file);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_files_serve(&here.files, req, res, NULL);
}

static int begin(void **state)
{
    memset(&here, 0, sizeof(here));
    memset(&calls, 0, sizeof(calls));
    snprintf(here.root, sizeof(here.root), "/tmp/loop-calls-XXXXXX");
    assert_non_null(mkdtemp(here.root));
    put("small.bin", SMALL);
    put("large.bin", LARGE);
    put("text.txt", TEXT);
    mkdir(path_to("sub"), 0755);
    put("sub/deep.bin", SMALL);
    setup_real(state);
    const struct loop_http_options options = {.on_request = on_request, .compress = true};
    assert_int_equal(0, loop_http_server_init(*state, &here.server, &options));
    assert_int_equal(0, loop_http_listen(&here.server, "127.0.0.1", 0, 0));
    const struct loop_http_files_options files = {.root = here.root, .listing = true};
    return loop_http_files_init(&here.files, &files);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static int end(void **state)
{
    memset(&calls, 0, sizeof(calls));
    loop_http_files_fini(&here.files);
    loop_http_server_close(&here.server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(0, here.server.stats.active);
    nftw(here.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return teardown(state);
}

static const struct peer *get(const char *path, const char *headers)
{
    static char question[512];
    snprintf(question, sizeof(question),
             "GET %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n%s\r\n", path, headers);
    return ask(&here.server, question);
}

static void assert_status(int status, const char *path)
{
    const struct peer *peer = get(path, "");
    if (status_of(peer) != status)
        fail_msg("%s: %d expected, not\n%s", path, status, peer->bytes);
}

static void assert_arrives(const char *path, size_t size)
{
    const struct peer *peer = get(path, "");
    assert_int_equal(200, status_of(peer));
    assert_int_equal(size, body_size_of(peer));
    const char *body = body_of(peer);
    for (size_t i = 0; i < size; i++)
        if (body[i] != byte_at(i))
            fail_msg("byte %zu of %s is wrong", i, path);
}

/* It began as a success, and ended short of its length. */
static void assert_is_cut_short(const char *path, size_t size)
{
    const struct peer *peer = get(path, "");
    assert_int_equal(200, status_of(peer));
    assert_true(body_size_of(peer) < size);
}

static void assert_all_is_there(void)
{
    assert_arrives("/small.bin", SMALL);
    assert_arrives("/large.bin", LARGE);
    assert_arrives("/sub/deep.bin", SMALL);
    assert_status(200, "/sub/");
    assert_status(301, "/sub");
    assert_status(200, "/");
    assert_status(404, "/nothing");
    assert_status(404, "/sub/nothing");
    assert_status(404, "/small.bin/below");
}

/* --- tests --- */

static void a_kernel_that_cannot_confine_is_done_without(void **state)
{
    (void)state;
    static const int errors[] = {ENOSYS, EPERM};
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        fail_at(&calls.open_in_kernel, 0, ALWAYS, errors[i]);
        assert_all_is_there();
    }
}

static void a_kernel_that_knows_no_cached_paths_is_done_without(void **state)
{
    (void)state;
    fail_at(&calls.open_cached, 0, ALWAYS, EINVAL);
    assert_all_is_there();
}

static void paths_that_race_are_looked_up_again_but_not_for_ever(void **state)
{
    (void)state;
    fail_at(&calls.open_in_kernel, 0, 5, EAGAIN);
    assert_arrives("/small.bin", SMALL);
    fail_at(&calls.open_in_kernel, 0, ALWAYS, EAGAIN);
    assert_status(503, "/small.bin");
}

static void an_error_of_opening_tells_the_status(void **state)
{
    static const struct {
        int error, status;
    } cases[] = {
        {EACCES, 403}, {ENOENT, 404}, {ENXIO, 404},  {ENODEV, 404}, {ELOOP, 404},
        {EMFILE, 503}, {ENFILE, 503}, {ENOMEM, 503}, {EIO, 500},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        fail_at(&calls.open_in_kernel, 0, ALWAYS, cases[i].error);
        assert_status(cases[i].status, "/small.bin");
        fail_at(&calls.open_in_kernel, 1, 1,
                cases[i].error); /* of the index, which may be missing */
        bool missing = cases[i].error == ENOENT || cases[i].error == ELOOP;
        assert_status(missing ? 200 : cases[i].status, "/sub/");
    }
}

static void a_step_of_the_walk_may_fail(void **state)
{
    (void)state;
    for (int step = 0; step < 3; step++) {
        fail_at(&calls.open_in_kernel, 0, ALWAYS, ENOSYS);
        fail_at(&calls.openat, step, ALWAYS, EMFILE);
        assert_status(503, "/sub/deep.bin");
        fail_at(&calls.openat, step, ALWAYS, EMFILE);
        assert_status(503, "/sub/");
        fail_at(&calls.openat, step, ALWAYS, EPERM);
        assert_status(403, "/sub/deep.bin");
    }
}

static void what_cannot_be_looked_at_is_not_sent(void **state)
{
    (void)state;
    fail_at(&calls.fstat, 0, ALWAYS, EIO);
    assert_status(500, "/small.bin");
    fail_at(&calls.fstat, 0, 0, EIO);
    fail_at(&calls.fdopendir, 0, 1, EMFILE);
    assert_status(503, "/sub/");
    assert_status(200, "/sub/");
}

/* Some file systems say so of each file. */
static void what_cannot_be_told_to_be_in_memory_is_read_by_a_thread(void **state)
{
    (void)state;
    fail_at(&calls.preadv2, 0, ALWAYS, EOPNOTSUPP);
    assert_all_is_there();
    const struct peer *peer = get("/text.txt", "Accept-Encoding: gzip\r\n");
    assert_int_equal(200, status_of(peer));
    assert_string_equal("gzip", header_of(peer, "Content-Encoding"));
}

static void what_cannot_be_read_ends_short(void **state)
{
    (void)state;
    fail_at(&calls.sendfile, 0, ALWAYS, EIO);
    assert_is_cut_short("/large.bin", LARGE);
    fail_at(&calls.sendfile, 1, ALWAYS, EIO);
    assert_is_cut_short("/large.bin", LARGE);
    fail_at(&calls.sendfile, 1, ALWAYS, EAGAIN); /* so it is read and written */
    fail_at(&calls.pread, 2, ALWAYS, EIO);
    assert_is_cut_short("/large.bin", LARGE);
    fail_at(&calls.pread, 2, ALWAYS, 0);
    assert_is_cut_short("/large.bin", LARGE);
}

static void a_call_that_does_less_is_made_again(void **state)
{
    (void)state;
    fail_at(&calls.sendfile, 0, ALWAYS, 0);
    assert_arrives("/large.bin", LARGE);
    fail_at(&calls.sendfile, 0, 3, EINTR);
    assert_arrives("/large.bin", LARGE);
    fail_at(&calls.sendfile, 0, ALWAYS, EAGAIN);
    assert_arrives("/large.bin", LARGE);
    fail_at(&calls.preadv2, 0, ALWAYS, EOPNOTSUPP); /* and it may be on a disk */
    assert_arrives("/large.bin", LARGE);
}

/* What is gathered before the file goes by itself, and may go in parts. */
static void a_head_may_go_in_parts(void **state)
{
    (void)state;
    fail_at(&calls.send, 0, 1, 0);
    assert_arrives("/large.bin", LARGE);
    fail_at(&calls.send, 0, 1, EAGAIN);
    assert_arrives("/large.bin", LARGE);
}

static void without_a_descriptor_nothing_is_compressed(void **state)
{
    (void)state;
    fail_at(&calls.fcntl, 0, ALWAYS, EMFILE);
    const struct peer *peer = get("/text.txt", "Accept-Encoding: gzip\r\n");
    assert_int_equal(503, status_of(peer));
}

#define calls_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

static const struct CMUnitTest tests[] = {
    calls_test(a_kernel_that_cannot_confine_is_done_without),
    calls_test(a_kernel_that_knows_no_cached_paths_is_done_without),
    calls_test(paths_that_race_are_looked_up_again_but_not_for_ever),
    calls_test(an_error_of_opening_tells_the_status),
    calls_test(a_step_of_the_walk_may_fail),
    calls_test(what_cannot_be_looked_at_is_not_sent),
    calls_test(what_cannot_be_told_to_be_in_memory_is_read_by_a_thread),
    calls_test(what_cannot_be_read_ends_short),
    calls_test(a_call_that_does_less_is_made_again),
    calls_test(a_head_may_go_in_parts),
    calls_test(without_a_descriptor_nothing_is_compressed),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
