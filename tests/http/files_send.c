/* Files on their way: large ones, slow peers, and many at a time.
 *
 * What arrives is the file, byte for byte, by whatever way it went: in one piece with the head,
 * by sendfile(2), through TLS, compressed. However slow a peer is, what the server holds for it in
 * memory stays the same and small, and others are served meanwhile. A file that shrinks while it is
 * sent ends its response short, and the connection with it; one that grows is sent as long as it
 * was. A peer may go at any moment, and so may the server.
 *
 * SPDX-License-Identifier: MIT */
#include "peer.h"
#include "tls_certs.h"

#include "loop/http/files.h"
#include "loop/process.h"
#include "loop/tls.h"

#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { LARGE = 3 * 1024 * 1024 + 17, MANY = 1000, MANY_SIZE = 100 * 1024 };

static struct {
    char root[64];
    struct loop_http_server server;
    struct loop_http_files files;
} here;

/* --- a tree --- */

static const char *path_to(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", here.root, name);
    return path;
}

/* No two pages are the same, and no two files. */
static char byte_at(size_t at)
{
    return (char)('a' + (at * 7 + at / 4096 * 3 + at / 65536) % 26);
}

static void put(const char *name, size_t size)
{
    char *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(i);
    int fd = open(path_to(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(size, write(fd, bytes, size));
    close(fd);
    free(bytes);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

/* --- the server --- */

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_files_serve(&here.files, req, res, NULL);
}

static void listen_with(struct loop *loop, struct loop_tls_context *tls, bool compress)
{
    const struct loop_http_options options = {
        .on_request = on_request,
        .tls = tls,
        .compress = compress,
    };
    assert_int_equal(0, loop_http_server_init(loop, &here.server, &options));
    assert_int_equal(0, loop_http_listen(&here.server, "127.0.0.1", 0, 0));
    const struct loop_http_files_options files = {.root = here.root, .cache_files = 16};
    assert_int_equal(0, loop_http_files_init(&here.files, &files));
}

static int begin(void **state)
{
    memset(&here, 0, sizeof(here));
    snprintf(here.root, sizeof(here.root), "/tmp/loop-send-XXXXXX");
    assert_non_null(mkdtemp(here.root));
    return setup_real(state);
}

static void stop(struct loop *loop, uint64_t grace_ns)
{
    loop_http_files_fini(&here.files);
    loop_http_server_close(&here.server, grace_ns, NULL);
    while (loop_run(loop, LOOP_RUN_DEFAULT) > 0)
        continue; /* a peer that has gone stops it, and a thread may still be reading */
    assert_int_equal(0, here.server.stats.active);
    assert_int_equal(0, here.server.stats.connections);
}

static int end(void **state)
{
    nftw(here.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return teardown(state);
}

static void assert_is_file(const char *bytes, size_t size, size_t from)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != byte_at(from + i))
            fail_msg("byte %zu of %zu is wrong", i, size);
}

#define CLOSE "Host: here\r\nConnection: close\r\n\r\n"

/* --- tests --- */

static void every_size_arrives_as_it_is(void **state)
{
    static const size_t sizes[] = {0,     1,     1000,  4096,   16383,  16384,       16385,
                                   32767, 32768, 32769, 500000, 524288, 1024 * 1024, LARGE};
    listen_with(*state, NULL, false);
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(sizes); i++) { /* and once more from the cache */
        char name[32], question[128];
        snprintf(name, sizeof(name), "%zu.bin", i / 2);
        snprintf(question, sizeof(question), "GET /%s HTTP/1.1\r\n" CLOSE, name);
        put(name, sizes[i / 2]);
        const struct peer *peer = ask(&here.server, question);
        assert_int_equal(200, status_of(peer));
        assert_int_equal(sizes[i / 2], body_size_of(peer));
        assert_is_file(body_of(peer), sizes[i / 2], 0);
    }
    stop(*state, LOOP_NEVER);
}

static void a_part_of_a_large_file_arrives_as_it_is(void **state)
{
    put("file.bin", LARGE);
    listen_with(*state, NULL, false);
    const struct peer *peer =
        ask(&here.server, "GET /file.bin HTTP/1.1\r\nRange: bytes=1000001-2999999\r\n" CLOSE);
    assert_int_equal(206, status_of(peer));
    assert_int_equal(1999999, body_size_of(peer));
    assert_is_file(body_of(peer), 1999999, 1000001);
    stop(*state, LOOP_NEVER);
}

static void forget_pages(const char *name)
{
    int fd = open(path_to(name), O_RDWR);
    assert_int_equal(0, fsync(fd));
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

/* Small and large, and small compressed. */
static void what_is_not_in_memory_arrives_all_the_same(void **state)
{
    static const char *const questions[] = {
        "GET /small.bin HTTP/1.1\r\n" CLOSE,
        "GET /large.bin HTTP/1.1\r\n" CLOSE,
        "GET /large.bin HTTP/1.1\r\nRange: bytes=0-3000000\r\n" CLOSE,
        "GET /small.txt HTTP/1.1\r\nAccept-Encoding: gzip\r\n" CLOSE,
    };
    put("small.bin", 20000);
    put("large.bin", LARGE);
    put("small.txt", 20000);
    listen_with(*state, NULL, true);
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(questions); i++) { /* and once more when it is */
        if (i % 2 == 0) {
            forget_pages("small.bin");
            forget_pages("large.bin");
            forget_pages("small.txt");
        }
        const struct peer *peer = ask(&here.server, questions[i / 2]);
        if (*header_of(peer, "content-encoding")) {
            assert_true(body_size_of(peer) > 0);
            continue;
        }
        assert_int_equal(atoi(header_of(peer, "content-length")), body_size_of(peer));
        assert_is_file(body_of(peer), body_size_of(peer), 0);
    }
    stop(*state, LOOP_NEVER);
}

/* Large, small, large, missing: each behind the other, on one connection. */
static void large_files_keep_their_place_among_requests(void **state)
{
    put("large.bin", LARGE);
    put("small.bin", 1000);
    listen_with(*state, NULL, false);
    const struct peer *peer = ask(&here.server, "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                                                "GET /small.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                                                "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                                                "GET /missing HTTP/1.1\r\n" CLOSE);
    const char *at = body_of(peer);
    assert_is_file(at, LARGE, 0);
    at = strstr(at + LARGE, "\r\n\r\n");
    assert_non_null(at);
    assert_is_file(at + 4, 1000, 0);
    at = strstr(at + 1004, "\r\n\r\n");
    assert_non_null(at);
    assert_is_file(at + 4, LARGE, 0);
    assert_non_null(strstr(at + 4 + LARGE, "HTTP/1.1 404"));
    stop(*state, LOOP_NEVER);
}

/* --- peers that are slow --- */

static struct {
    struct peer peer;
    struct loop_task later;
    size_t steps;
    size_t memory_before, memory_most;
    void (*halfway)(void);
} slow;

static void read_on(struct loop_task *task)
{
    (void)task;
    assert_int_equal(0, loop_read_start(&slow.peer.tcp.stream, peer_read));
}

static void read_slowly(struct peer *peer, const char *bytes, size_t size)
{
    (void)bytes, (void)size;
    if (slow.halfway && ++slow.steps == 8) {
        slow.halfway();
        slow.halfway = NULL;
    }
    size_t memory = mallinfo2().uordblks;
    slow.memory_most = memory > slow.memory_most ? memory : slow.memory_most;
    loop_read_stop(&peer->tcp.stream);
    loop_immediate(peer->tcp.handle.loop, &slow.later, read_on);
}

static void open_slow(const char *question)
{
    memset(&slow, 0, sizeof(slow));
    slow.peer.on_piece = read_slowly;
    slow.memory_before = mallinfo2().uordblks;
    peer_open(here.server.loop, loop_http_server_port(&here.server), &slow.peer, question);
}

static void a_slow_reader_of_much_costs_little_memory(void **state)
{
    enum { HUNDRED_MB = 100 * 1000 * 1000, LITTLE = 256 * 1024 };
    put("huge.bin", 1);
    assert_int_equal(0, truncate(path_to("huge.bin"), HUNDRED_MB));
    listen_with(*state, NULL, false);
    open_slow("GET /huge.bin HTTP/1.1\r\n" CLOSE);
    loop_run(*state, LOOP_RUN_DEFAULT);
    assert_in_range(slow.peer.total, HUNDRED_MB, HUNDRED_MB + 500);
    assert_in_range(slow.memory_most - slow.memory_before, 0, LITTLE);
    assert_int_equal(LOOP_EOF, slow.peer.status);
    stop(*state, LOOP_NEVER);
}

static void shrink(void)
{
    assert_int_equal(0, truncate(path_to("file.bin"), LARGE));
}

static void a_file_that_shrinks_ends_its_response_short(void **state)
{
    enum { LONGER = 24 * 1024 * 1024 }; /* more than the sockets hold */
    put("file.bin", LONGER);
    listen_with(*state, NULL, false);
    open_slow("GET /file.bin HTTP/1.1\r\nHost: here\r\n\r\n"); /* the connection would stay */
    slow.halfway = shrink;
    loop_run(*state, LOOP_RUN_DEFAULT);
    assert_true(slow.peer.over);
    assert_in_range(slow.peer.total, LARGE, LONGER - 1);
    stop(*state, LOOP_NEVER);
}

static void grow(void)
{
    assert_int_equal(0, truncate(path_to("file.bin"), 2 * LARGE));
}

static void a_file_that_grows_is_sent_as_long_as_it_was(void **state)
{
    put("file.bin", LARGE);
    listen_with(*state, NULL, false);
    open_slow("GET /file.bin HTTP/1.1\r\n" CLOSE);
    slow.halfway = grow;
    loop_run(*state, LOOP_RUN_DEFAULT);
    assert_in_range(slow.peer.total, LARGE, LARGE + 500);
    stop(*state, LOOP_NEVER);
}

static void leave(void)
{
    loop_task_cancel(&slow.later);
    loop_stream_reset(&slow.peer.tcp.stream, peer_closed);
}

static void leave_later(struct peer *peer, const char *bytes, size_t size)
{
    (void)bytes, (void)size;
    loop_read_stop(&peer->tcp.stream);
    leave();
}

static void a_peer_may_leave_in_the_middle(void **state)
{
    put("file.bin", 24 * 1024 * 1024);
    listen_with(*state, NULL, false);
    open_slow("GET /file.bin HTTP/1.1\r\n" CLOSE);
    slow.peer.on_piece = leave_later;
    loop_run(*state, LOOP_RUN_DEFAULT);
    stop(*state, LOOP_NEVER);
    assert_int_equal(1, here.server.stats.requests);
}

static void a_server_may_be_closed_in_the_middle(void **state)
{
    put("file.bin", 24 * 1024 * 1024);
    listen_with(*state, NULL, false);
    open_slow("GET /file.bin HTTP/1.1\r\n" CLOSE);
    loop_run(*state, LOOP_RUN_ONCE);
    while (slow.peer.total == 0)
        loop_run(*state, LOOP_RUN_ONCE);
    stop(*state, 0);
    assert_true(slow.peer.over);
    assert_in_range(slow.peer.total, 1, 24 * 1024 * 1024);
}

/* The limit in time holds for files as for all that is written. */
static void a_peer_that_takes_nothing_is_cut_off(void **state)
{
    put("file.bin", 24 * 1024 * 1024);
    listen_with(*state, NULL, false);
    here.server.options.limits.write_stall_ns = 20 * LOOP_MS;
    open_slow("GET /file.bin HTTP/1.1\r\n" CLOSE);
    slow.peer.on_piece = NULL;
    while (here.server.stats.requests == 0)
        loop_run(*state, LOOP_RUN_ONCE);
    loop_read_stop(&slow.peer.tcp.stream);
    while (here.server.stats.connections > 0)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(1, here.server.stats.timed_out);
    leave();
    loop_run(*state, LOOP_RUN_DEFAULT);
    assert_true(slow.peer.over);
    stop(*state, LOOP_NEVER);
    free(slow.peer.bytes);
}

/* --- many --- */

static struct {
    struct peer *peers;
    size_t over;
    struct loop *loop;
} crowd;

static void on_member_over(struct peer *peer)
{
    (void)peer;
    if (++crowd.over == MANY)
        loop_stop(crowd.loop);
}

static void count_piece(struct peer *peer, const char *bytes, size_t size)
{
    (void)peer, (void)bytes, (void)size;
}

static void a_thousand_are_served_at_the_same_time(void **state)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    put("file.bin", MANY_SIZE);
    listen_with(*state, NULL, false);
    crowd.loop = *state;
    crowd.over = 0;
    crowd.peers = calloc(MANY, sizeof(*crowd.peers));
    for (size_t i = 0; i < MANY; i++) {
        crowd.peers[i].on_piece = count_piece;
        crowd.peers[i].on_over = on_member_over;
        peer_open(*state, loop_http_server_port(&here.server), &crowd.peers[i],
                  "GET /file.bin HTTP/1.1\r\n" CLOSE);
    }
    loop_run(*state, LOOP_RUN_DEFAULT);
    for (size_t i = 0; i < MANY; i++)
        assert_in_range(crowd.peers[i].total, MANY_SIZE, MANY_SIZE + 500);
    assert_int_equal(MANY, here.server.stats.responses[2]);
    free(crowd.peers);
    stop(*state, LOOP_NEVER);
}

/* --- through other hands --- */

static void on_exit_of_curl(struct loop_process *process, int code, int signal)
{
    assert_int_equal(0, signal);
    assert_int_equal(0, code);
    loop_stop(process->handle.loop);
}

static void on_curl_closed(struct loop_handle *handle)
{
    loop_stop(handle->loop);
}

static void fetch_by_curl(struct loop *loop, const char *name, const char *to)
{
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/%s", loop_http_server_port(&here.server),
             name);
    const char *const args[] = {"curl", "-q",        "-s",       "--noproxy",
                                "*",    "--http1.1", "--cacert", certs_path("ca.pem"),
                                "-o",   to,          url,        NULL};
    const struct loop_process_options options = {.file = "curl", .args = args};
    struct loop_process process;
    loop_process_init(loop, &process);
    assert_int_equal(0, loop_process_spawn(&process, &options, on_exit_of_curl));
    loop_run(loop, LOOP_RUN_DEFAULT);
    loop_close(&process.handle, on_curl_closed);
    loop_run(loop, LOOP_RUN_DEFAULT);
}

static void files_go_through_tls(void **state)
{
    struct loop_tls_context *context;
    const struct loop_tls_options options = {.server = true,
                                             .certificate_file = certs_path("server.pem")};
    assert_int_equal(0, loop_tls_context_new(&context, &options, NULL, 0));
    put("large.bin", LARGE);
    put("small.bin", 1000);
    listen_with(*state, context, false);
    static const size_t sizes[] = {LARGE, 1000};
    char to[128];
    for (size_t i = 0; i < 2; i++) {
        snprintf(to, sizeof(to), "%s", path_to("out"));
        fetch_by_curl(*state, i ? "small.bin" : "large.bin", to);
        char *bytes = malloc(LARGE + 1);
        int fd = open(to, O_RDONLY);
        assert_int_equal(sizes[i], read(fd, bytes, LARGE + 1));
        close(fd);
        assert_is_file(bytes, sizes[i], 0);
        free(bytes);
    }
    stop(*state, LOOP_NEVER);
    loop_tls_context_unref(context);
}

/* Chunks put together, in place. */
static size_t join_chunks(char *body)
{
    char *to = body, *at = body;
    for (size_t size; (size = strtoul(at, &at, 16)) > 0; at += size + 2) {
        at += 2;
        memmove(to, at, size);
        to += size;
    }
    return (size_t)(to - body);
}

static void assert_unpacks(char *packed, size_t packed_size, size_t size)
{
    char *bytes = malloc(size + 1);
    z_stream stream = {0};
    assert_int_equal(Z_OK, inflateInit2(&stream, 15 + 16));
    stream.next_in = (Bytef *)packed;
    stream.avail_in = (uInt)packed_size;
    stream.next_out = (Bytef *)bytes;
    stream.avail_out = (uInt)size + 1;
    assert_int_equal(Z_STREAM_END, inflate(&stream, Z_FINISH));
    assert_int_equal(size, stream.total_out);
    assert_is_file(bytes, size, 0);
    inflateEnd(&stream);
    free(bytes);
}

static void text_is_compressed_if_it_is_worth_it(void **state)
{
    static const size_t sizes[] = {1023, 1024, 60000, LARGE};
    listen_with(*state, NULL, true);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        char name[32], question[128];
        snprintf(name, sizeof(name), "%zu.txt", i);
        put(name, sizes[i]);
        snprintf(question, sizeof(question), "GET /%s HTTP/1.1\r\nAccept-Encoding: gzip\r\n" CLOSE,
                 name);
        struct peer *peer = ask(&here.server, question);
        assert_int_equal(200, status_of(peer));
        if (sizes[i] < 1024) {
            assert_string_equal("", header_of(peer, "content-encoding"));
            continue;
        }
        assert_string_equal("gzip", header_of(peer, "content-encoding"));
        assert_string_equal("Accept-Encoding", header_of(peer, "vary"));
        assert_string_equal("none", header_of(peer, "accept-ranges"));
        assert_memory_equal("W/\"", header_of(peer, "etag"), 3);
        char *body = strstr(peer->bytes, "\r\n\r\n") + 4;
        size_t size = body_size_of(peer);
        /* what is not small is packed piece by piece, and so is what cannot be had at once */
        bool chunked = *header_of(peer, "transfer-encoding") != '\0';
        assert_true(chunked || sizes[i] != LARGE);
        if (chunked)
            size = join_chunks(body);
        assert_unpacks(body, size, sizes[i]);
    }
    /* a part is of the file as it is, and so is its tag */
    struct peer *peer = ask(&here.server, "GET /3.txt HTTP/1.1\r\nRange: bytes=5-2004\r\n"
                                          "Accept-Encoding: gzip\r\n" CLOSE);
    assert_int_equal(206, status_of(peer));
    assert_string_equal("", header_of(peer, "content-encoding"));
    assert_string_equal("Accept-Encoding", header_of(peer, "vary"));
    assert_int_equal('"', header_of(peer, "etag")[0]);
    assert_int_equal(2000, body_size_of(peer));
    assert_is_file(body_of(peer), 2000, 5);
    stop(*state, LOOP_NEVER);
}

/* The tag of what a cache would have got is weak, and the same for what it need not get. */
static void the_tag_of_what_would_be_compressed_is_weak_too(void **state)
{
    listen_with(*state, NULL, true);
    put("1.txt", 5000);
    struct peer *peer = ask(&here.server, "GET /1.txt HTTP/1.1\r\nIf-None-Match: *\r\n"
                                          "Accept-Encoding: gzip\r\n" CLOSE);
    assert_int_equal(304, status_of(peer));
    assert_memory_equal("W/\"", header_of(peer, "etag"), 3);
    peer = ask(&here.server, "GET /1.txt HTTP/1.1\r\nIf-None-Match: *\r\n" CLOSE);
    assert_int_equal(304, status_of(peer));
    assert_int_equal('"', header_of(peer, "etag")[0]);
    stop(*state, LOOP_NEVER);
}

static int begin_all(void **state)
{
    (void)state;
    certs_make();
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    certs_remove();
    return 0;
}

#define send_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        send_test(every_size_arrives_as_it_is),
        send_test(a_part_of_a_large_file_arrives_as_it_is),
        send_test(what_is_not_in_memory_arrives_all_the_same),
        send_test(large_files_keep_their_place_among_requests),
        send_test(a_slow_reader_of_much_costs_little_memory),
        send_test(a_file_that_shrinks_ends_its_response_short),
        send_test(a_file_that_grows_is_sent_as_long_as_it_was),
        send_test(a_peer_may_leave_in_the_middle),
        send_test(a_server_may_be_closed_in_the_middle),
        send_test(a_peer_that_takes_nothing_is_cut_off),
        send_test(a_thousand_are_served_at_the_same_time),
        send_test(files_go_through_tls),
        send_test(text_is_compressed_if_it_is_worth_it),
        send_test(the_tag_of_what_would_be_compressed_is_weak_too),
    };
    return cmocka_run_group_tests(tests, begin_all, end_all);
}
