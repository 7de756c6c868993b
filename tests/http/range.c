/* The grammar of ranges, dates and types, and opening beneath a directory where the kernel does not
 * help: what static files are made of, looked at from inside.
 *
 * One range, in numbers of any length, never outside the file; what is no range is passed over.
 * Dates in three forms are read, one is written, and it is read as it was. The end of a name tells
 * the type, in any case, and the first line that has it counts. The walk opens what the kernel's
 * own lookup would, but for links, of which it follows none, and never anything outside. Sending to
 * a peer that has gone leaves no signal behind, and takes none away.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "files/files.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- ranges --- */

static const struct {
    const char *value;
    uint64_t size;
    enum range range;
    uint64_t first, last;
} ranges[] = {
    {"bytes=0-0", 1, RANGE_PART, 0, 0},
    {"bytes=0-", 1, RANGE_PART, 0, 0},
    {"bytes=-1", 1, RANGE_PART, 0, 0},
    {"bytes=5-9", 10, RANGE_PART, 5, 9},
    {"bytes=5-10", 10, RANGE_PART, 5, 9},
    {"bytes=005-0009", 10, RANGE_PART, 5, 9},
    {"bytes=9-", 10, RANGE_PART, 9, 9},
    {"bytes=10-", 10, RANGE_NONE, 0, 0},
    {"bytes=-10", 10, RANGE_PART, 0, 9},
    {"bytes=-11", 10, RANGE_PART, 0, 9},
    {"bytes=-0", 10, RANGE_NONE, 0, 0},
    {"bytes=-00", 10, RANGE_NONE, 0, 0},
    {"bytes=0-", 0, RANGE_NONE, 0, 0},
    {"bytes=-5", 0, RANGE_NONE, 0, 0},
    {"bytes=0-0", UINT64_MAX, RANGE_PART, 0, 0},
    {"bytes=18446744073709551614-", UINT64_MAX, RANGE_PART, UINT64_MAX - 1, UINT64_MAX - 1},
    {"bytes=18446744073709551615-", UINT64_MAX, RANGE_NONE, 0, 0},
    {"bytes=18446744073709551616-", UINT64_MAX, RANGE_NONE, 0, 0},
    {"bytes=-18446744073709551616", 10, RANGE_PART, 0, 9},
    {"bytes=0-18446744073709551616", 10, RANGE_PART, 0, 9},
    {"bytes=9-18446744073709551615", 10, RANGE_PART, 9, 9},
    {"bytes=99999999999999999999999999999999999999999-1", 10, RANGE_ALL, 0, 0},
    {"BYTES=5-9", 10, RANGE_PART, 5, 9},
    {"bytes= 5-9 ", 10, RANGE_PART, 5, 9},
    {"bytes=5-9,", 10, RANGE_ALL, 0, 0},
    {"bytes=5-9, 0-1", 10, RANGE_ALL, 0, 0},
    {"bytes=9-5", 10, RANGE_ALL, 0, 0},
    {"bytes=5", 10, RANGE_ALL, 0, 0},
    {"bytes=5--9", 10, RANGE_ALL, 0, 0},
    {"bytes=+5-9", 10, RANGE_ALL, 0, 0},
    {"bytes=-+5", 10, RANGE_ALL, 0, 0},
    {"bytes=- 5", 10, RANGE_ALL, 0, 0},
    {"bytes=-5x", 10, RANGE_ALL, 0, 0},
    {"bytes=5-x", 10, RANGE_ALL, 0, 0},
    {"bytes=5-/", 10, RANGE_ALL, 0, 0},
    {"bytes=5-9x", 10, RANGE_ALL, 0, 0},
    {"bytes=5 -9", 10, RANGE_ALL, 0, 0},
    {"bytes 5-9", 10, RANGE_ALL, 0, 0},
    {"bytes", 10, RANGE_ALL, 0, 0},
    {"", 10, RANGE_ALL, 0, 0},
    {NULL, 10, RANGE_ALL, 0, 0},
};

static void a_range_is_inside_of_what_there_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++) {
        uint64_t first = 0, last = 0;
        if (range_parse(ranges[i].value, ranges[i].size, &first, &last) != ranges[i].range ||
            first != ranges[i].first || last != ranges[i].last)
            fail_msg("%s of %ju", ranges[i].value, (uintmax_t)ranges[i].size);
    }
}

/* --- dates --- */

static void a_date_is_read_in_three_forms(void **state)
{
    (void)state;
    static const char *const dates[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };
    time_t seconds;
    for (size_t i = 0; i < ARRAY_LENGTH(dates); i++) {
        assert_true(http_date_read(dates[i], &seconds));
        assert_int_equal(784111777, seconds);
    }
    assert_true(http_date_read("Thu, 29 Feb 2024 23:59:60 GMT", &seconds));
    assert_true(http_date_read("Friday, 01-Jan-27 00:00:00 GMT", &seconds));
    assert_int_equal(1798761600, seconds);
}

static void what_is_no_date_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ",",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 GMT x",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 -1:49:37 GMT",
        "Sun, 06 Nov 1994 08:-1:37 GMT",
        "Sun, 06 Nov 1994 08:49:-1 GMT",
        "Sunday, 06-Nov-94 08:49:37 CET",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06 NovNov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08-49-37 GMT",
        "Sun Nov  6 08:49:37",
        "Sun, 06Nov-94 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 GMT and so on, and so on",
    };
    time_t seconds;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        if (http_date_read(texts[i], &seconds))
            fail_msg("%s was read", texts[i]);
}

static void a_date_is_read_as_it_was_written(void **state)
{
    (void)state;
    char text[HTTP_DATE_SIZE];
    time_t seconds = 0;
    for (int64_t at = 0; at < 253402300799; at += 86400 * 29 + 12347) { /* the year 9999 */
        http_date_write((time_t)at, text);
        assert_int_equal(HTTP_DATE_SIZE - 1, strlen(text));
        assert_true(http_date_read(text, &seconds));
        assert_int_equal(at, seconds);
    }
    http_date_write((time_t)INT64_MAX, text);
    assert_string_equal("Thu, 01 Jan 1970 00:00:00 GMT", text);
    http_date_write((time_t)INT64_MIN, text);
    assert_string_equal("Thu, 01 Jan 1970 00:00:00 GMT", text);
    http_date_write((time_t)253402300800, text); /* the year 10000 */
    assert_string_equal("Thu, 01 Jan 1970 00:00:00 GMT", text);
    http_date_write((time_t)-62167219201, text); /* the year -1 */
    assert_string_equal("Thu, 01 Jan 1970 00:00:00 GMT", text);
}

/* --- types --- */

static const char *const types_of[][2] = {
    {"a.one", "text/one; charset=utf-8"},
    {"a.ONE", "text/one; charset=utf-8"},
    {"a.b.uno", "text/one; charset=utf-8"},
    {"a.two", "application/two"},
    {"a.three", "text/later; charset=utf-8"},
    {"dir.one/a.svg", "image/svg+xml; charset=utf-8"},
    {"a.last", "application/last"},
    {"a.js", "application/javascript; charset=utf-8"},
    {"a.xml", "application/xml; charset=utf-8"},
    {"a", "application/octet-stream"},
    {"a.", "application/octet-stream"},
    {"", "application/octet-stream"},
    {".one", "application/octet-stream"},
    {"dir.one/a", "application/octet-stream"},
    {"a.html", "application/octet-stream"}, /* the table that there is counts alone */
    {"a.a-name-that-ends-in-more-than-any-table-has", "application/octet-stream"},
};

static void the_end_of_a_name_tells_the_type(void **state)
{
    (void)state;
    char path[] = "/tmp/loop-types-XXXXXX";
    static const char table[] = "# a comment\n\n"
                                "text/one\tone uno\n"
                                "application/two TWO\r\n"
                                "application/none\n"
                                "   text/later one three\n"
                                "application/two one one one one one\n"
                                " \t \n"
                                "application/javascript js\n"
                                "application/xml xml\n"
                                "image/svg+xml svg\n"
                                "application/last last";
    int fd = mkstemp(path);
    assert_int_equal(sizeof(table) - 1, write(fd, table, sizeof(table) - 1));
    close(fd);
    struct mime_types *types = mime_load(path);
    unlink(path);
    assert_non_null(types);
    for (size_t i = 0; i < ARRAY_LENGTH(types_of); i++)
        assert_string_equal(types_of[i][1], mime_find(types, types_of[i][0]));
    mime_free(types);
    types = mime_load("/nonexistent");
    assert_string_equal("text/html; charset=utf-8", mime_find(types, "a.html"));
    assert_string_equal("video/webm", mime_find(types, "a.webm"));
    mime_free(types);
    mime_free(NULL);
}

static void a_table_without_names_knows_no_type(void **state)
{
    (void)state;
    char path[] = "/tmp/loop-types-XXXXXX";
    static const char table[] = "# a comment\napplication/none\n";
    int fd = mkstemp(path);
    assert_int_equal(sizeof(table) - 1, write(fd, table, sizeof(table) - 1));
    close(fd);
    struct mime_types *types = mime_load(path);
    unlink(path);
    assert_non_null(types);
    assert_string_equal("application/octet-stream", mime_find(types, "a.html"));
    mime_free(types);
}

/* --- the signal of sendfile(2) --- */

static bool pipe_signal_waits(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE);
}

/* A socket whose other end has gone, and a file for it. */
static void send_to_nobody(void)
{
    int ends[2];
    FILE *file = tmpfile();
    fputs("some bytes", file);
    fflush(file);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    assert_int_equal(10, files_sendfile(ends[0], fileno(file), 0, 10));
    close(ends[1]);
    assert_int_equal(-EPIPE, files_sendfile(ends[0], fileno(file), 0, 10));
    close(ends[0]);
    fclose(file);
}

static void a_peer_that_has_gone_costs_no_signal(void **state)
{
    (void)state;
    sigset_t pipe, before;
    send_to_nobody(); /* which would end the process */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    send_to_nobody();
    assert_false(pipe_signal_waits());
    pthread_kill(pthread_self(), SIGPIPE); /* somebody else's stays */
    send_to_nobody();
    assert_true(pipe_signal_waits());
    sigtimedwait(&pipe, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- the walk --- */

static void run_in(const char *top, const char *commands)
{
    char line[1024];
    snprintf(line, sizeof(line), "cd '%s' && %s", top, commands);
    assert_int_equal(0, system(line));
}

static const struct {
    const char *path;
    int walked, in_kernel; /* 0: it is opened */
} walks[] = {
    {"", 0, 0},
    {"file", 0, 0},
    {"dir/", 0, 0},
    {"dir", 0, 0},
    {"dir/file", 0, 0},
    {"dir/deep/file", 0, 0},
    {"fifo", 0, 0}, /* and nobody waits; what it is the caller sees */
    {"missing", -ENOENT, -ENOENT},
    {"missing/file", -ENOENT, -ENOENT},
    {"file/", -ENOTDIR, -ENOTDIR},
    {"file/x", -ENOTDIR, -ENOTDIR},
    {"..", -EXDEV, -EXDEV},
    {"../secret", -EXDEV, -EXDEV},
    {"dir/../../secret", -EXDEV, -EXDEV},
    {"dir/../file", -EXDEV, 0},
    {"dir//file", -ENOENT, 0},
    {"/etc/passwd", -ENOENT, -EXDEV},
    {"link", -ELOOP, 0},
    {"link-out", -ELOOP, -EXDEV},
    {"link-absolute", -ELOOP, -EXDEV},
    {"link-dir/file", -ENOTDIR, 0},
    {"link-dir-out/secret", -ENOTDIR, -EXDEV},
    {"link-magic", -ELOOP, -EXDEV},
};

static void the_walk_opens_nothing_outside(void **state)
{
    (void)state;
    char top[] = "/tmp/loop-walk-XXXXXX";
    assert_non_null(mkdtemp(top));
    run_in(top, "mkdir -p root/dir/deep && touch secret root/file root/dir/file "
                "root/dir/deep/file && mkfifo root/fifo && cd root && ln -s file link && "
                "ln -s ../secret link-out && ln -s /etc/passwd link-absolute && "
                "ln -s dir link-dir && ln -s .. link-dir-out && ln -s /proc/self/cwd link-magic");
    char root[64];
    snprintf(root, sizeof(root), "%s/root", top);
    int before = open_descriptors();
    int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_LENGTH(walks); i++) {
        int walked = files_open_walk(dir, walks[i].path);
        int in_kernel = files_open(dir, walks[i].path, false);
        if ((walked < 0 ? walked : 0) != walks[i].walked ||
            (in_kernel < 0 ? in_kernel : 0) != walks[i].in_kernel)
            fail_msg("%s: %d and %d", walks[i].path, walked, in_kernel);
        if (walked >= 0)
            close(walked);
        if (in_kernel >= 0)
            close(in_kernel);
    }
    char name[600];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(-ENAMETOOLONG, files_open_walk(dir, name));
    close(dir);
    assert_int_equal(before, open_descriptors());
    run_in(top, "rm -r root secret && rmdir ../\"${PWD##*/}\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_inside_of_what_there_is),
        cmocka_unit_test(a_date_is_read_in_three_forms),
        cmocka_unit_test(what_is_no_date_is_none),
        cmocka_unit_test(a_date_is_read_as_it_was_written),
        cmocka_unit_test(the_end_of_a_name_tells_the_type),
        cmocka_unit_test(a_table_without_names_knows_no_type),
        cmocka_unit_test(a_peer_that_has_gone_costs_no_signal),
        cmocka_unit_test(the_walk_opens_nothing_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
