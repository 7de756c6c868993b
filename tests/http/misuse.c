/* What a server is asked that cannot be: each is refused, and nothing is changed by it.
 *
 * A server without its loop, its options or its callback is none. It listens on no address that is
 * none, on no descriptor that is no socket or is connected already, and on nothing more once it
 * closes. Requests name a host that can be one, and their trailers neither that nor a length. A
 * body has one reader, and a reader that is refused leaves the body to the one that there is.
 * Headers and trailers need a name and a value that may be sent, a stream needs somebody to tell.
 * After all that the response can be ended as if nothing had been.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include "loop/http/body.h"
#include "loop/http/url.h"
#include "loop/pipe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static void end(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_text(res, "ended");
}

/* One request, and what it is answered. */
static void check(const char *request, const char *answer)
{
    struct peer peer;
    peer_open(&peer);
    peer_send(&peer, request);
    peer_half_close(&peer);
    expect(&peer, answer);
    assert_int_equal(0, expect_end(&peer));
    peer_close(&peer);
}

static void open_server(void **state, loop_http_request_cb on_request)
{
    const struct loop_http_options options = {.on_request = on_request};
    open_server_with(state, &options);
}

static void on_whole(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    (void)bytes, (void)size;
    loop_http_end_text(req->response, status == 0 ? "whole" : "not whole");
}

/* --- servers --- */

static void a_server_needs_what_it_is_made_of(void **state)
{
    const struct loop_http_options options = {.on_request = end}, none = {0};
    assert_int_equal(-EINVAL, loop_http_server_init(NULL, &server, &options));
    assert_int_equal(-EINVAL, loop_http_server_init(*state, NULL, &options));
    assert_int_equal(-EINVAL, loop_http_server_init(*state, &server, NULL));
    assert_int_equal(-EINVAL, loop_http_server_init(*state, &server, &none));
}

static void a_server_listens_on_what_is_there(void **state)
{
    open_server(state, end);
    assert_int_equal(-EINVAL, loop_http_listen(&server, NULL, 0, 0));
    assert_int_equal(-EINVAL, loop_http_listen(NULL, "127.0.0.1", 0, 0));
    assert_int_equal(-EINVAL, loop_http_listen(&server, "no address", 0, 0));
    assert_int_equal(-EADDRNOTAVAIL, loop_http_listen(&server, "192.0.2.1", 0, 0));
    assert_int_equal(-EINVAL, loop_http_listen_path(NULL, "/tmp/x"));
    assert_int_equal(-EINVAL, loop_http_listen_path(&server, NULL));
    assert_int_equal(-EINVAL, loop_http_listen_fd(NULL, 0));
    assert_int_equal(-EBADF, loop_http_listen_fd(&server, -1));
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "ended");
    close_server();
}

static int pipe_end(void)
{
    int ends[2];
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    close(ends[1]);
    return ends[0];
}

static void a_descriptor_that_cannot_listen_is_refused(void **state)
{
    int ends[2];
    open_server(state, end);
    int fd = pipe_end();
    assert_int_equal(-ENOTSOCK, loop_http_listen_fd(&server, fd));
    close(fd); /* which is the caller's still */
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    assert_int_equal(-EINVAL, loop_http_listen_fd(&server, ends[0]));
    close(ends[1]);
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "ended");
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    assert_int_equal(-EINVAL, loop_http_listen_fd(&server, ends[0])); /* and it is closing still */
    close(ends[1]);
    close_server();
}

static void a_server_that_closes_listens_no_more(void **state)
{
    open_server(state, end);
    loop_http_server_close(&server, LOOP_NEVER, on_server_closed);
    assert_int_equal(-ECANCELED, loop_http_listen(&server, "127.0.0.1", 0, 0));
    assert_int_equal(-ECANCELED, loop_http_listen_path(&server, "/tmp/not-made"));
    assert_int_equal(-ECANCELED, loop_http_listen_fd(&server, 0));
    close_server();
}

static void a_server_without_a_port_has_none(void **state)
{
    const struct loop_http_options options = {.on_request = end};
    char path[64];
    loop = *state;
    server_closed = false;
    assert_int_equal(0, loop_http_server_init(loop, &server, &options));
    assert_int_equal(0, loop_http_server_port(&server));
    snprintf(path, sizeof(path), "/tmp/loop-misuse-%d", (int)getpid());
    unlink(path);
    assert_int_equal(0, loop_http_listen_path(&server, path));
    assert_int_equal(0, loop_http_server_port(&server));
    close_server();
    unlink(path);
}

static void a_host_has_a_name_that_can_be_one(void **state)
{
    static const char *const hosts[] = {"a{b", "a`b", "a,b", "a^b", "a/b", "a@b", "a\"b", "a\x7f"};
    char request[128];
    open_server(state, end);
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++) {
        snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
        check(request, "HTTP/1.1 400 ");
    }
    check("GET / HTTP/1.1\r\nHost: A-Z.0_9~%41!$&'()*+;=[::1]:8\r\n\r\n", "ended");
    close_server();
}

static void collect(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    assert_int_equal(0, loop_http_collect_body(req, 0, on_whole));
}

static void a_trailer_says_nothing_of_where_and_whose(void **state)
{
    static const char *const trailers[] = {"Content-Length: 1", "Transfer-Encoding: chunked",
                                           "Host: b", "A B: c", "A(B): c"};
    char request[256];
    open_server(state, collect);
    for (size_t i = 0; i < ARRAY_LENGTH(trailers); i++) {
        snprintf(request, sizeof(request),
                 "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n",
                 trailers[i]);
        check(request, "HTTP/1.1 400 ");
    }
    check("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
          "whole");
    close_server();
}

/* --- bodies --- */

static void on_body(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    (void)bytes;
    if (size == LOOP_EOF)
        loop_http_end_text(req->response, "read");
}

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    (void)req, (void)status, (void)bytes, (void)size;
    say("collected");
}

static void on_json(struct loop_http_request *req, int status, struct json_t *json)
{
    (void)req, (void)status, (void)json;
    say("json");
}

static void on_form(struct loop_http_request *req, int status, struct loop_text form)
{
    (void)req, (void)status, (void)form;
    say("form");
}

static void on_parts(struct loop_http_request *req, int status)
{
    (void)req, (void)status;
    say("parts");
}

static void on_saved(struct loop_http_request *req, int status, const struct loop_http_saved *parts,
                     size_t count)
{
    (void)req, (void)status, (void)parts, (void)count;
    say("saved");
}

static void read_again(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct loop_http_parts parts = {.done = on_parts};
    const struct loop_http_save_options save = {.folder = "/tmp"};
    (void)res;
    loop_http_pause_body(req); /* which nobody reads: harmless, and so is this */
    loop_http_resume_body(req);
    loop_http_resume_parts(req);
    assert_int_equal(-EINVAL, loop_http_read_body(req, NULL));
    assert_int_equal(-EINVAL, loop_http_collect_body(req, 0, NULL));
    assert_int_equal(0, loop_http_read_body(req, on_body));
    assert_int_equal(-EALREADY, loop_http_read_body(req, on_body));
    assert_int_equal(-EALREADY, loop_http_collect_body(req, 0, on_collected));
    assert_int_equal(-EALREADY, loop_http_read_json(req, 0, on_json));
    assert_int_equal(-EALREADY, loop_http_read_form(req, 0, on_form));
    assert_int_equal(-EALREADY, loop_http_read_parts(req, &parts));
    assert_int_equal(-EALREADY, loop_http_save_parts(req, &save, on_saved));
    loop_http_resume_body(req);
}

static void a_body_has_one_reader(void **state)
{
    open_server(state, read_again);
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Type: "
          "application/json\r\n\r\n{}",
          "read");
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
          "Content-Type: application/x-www-form-urlencoded\r\n\r\na=b",
          "read");
    check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
          "Content-Type: multipart/form-data; boundary=X\r\n\r\na=b",
          "read");
    assert_said("");
    close_server();
}

/* --- responses --- */

static void on_sent(struct loop_stream *from, int status)
{
    (void)from, (void)status;
    say("sent");
}

static void refuse_streams(struct loop_http_response *res)
{
    static struct loop_pipe source;
    loop_pipe_init(loop, &source);
    assert_int_equal(-EINVAL, loop_http_end_stream(res, NULL, -1, on_sent));
    assert_int_equal(-EINVAL, loop_http_end_stream(res, &source.stream, -1, NULL));
    assert_int_equal(-EINVAL, loop_http_end_stream(res, &source.stream, -2, on_sent));
    assert_true(loop_http_end_stream(res, &source.stream, -1, on_sent) < 0); /* it is not open */
}

static void say_what_cannot_be(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct loop_cookie cookie = {.name = "a b"};
    assert_int_equal(-EINVAL, loop_http_set_header(res, NULL, "b"));
    assert_int_equal(-EINVAL, loop_http_set_header(res, "A", NULL));
    assert_int_equal(-EINVAL, loop_http_add_header(res, "A", "b\r\nC: d"));
    assert_int_equal(-EINVAL, loop_http_add_trailer(res, "A B", "c"));
    assert_int_equal(-EINVAL, loop_http_set_cookie(res, &cookie));
    assert_int_equal(-EINVAL, loop_http_set_status(res, 99));
    assert_int_equal(-EINVAL, loop_http_write(res, NULL, 1));
    assert_int_equal(0, loop_http_write(res, NULL, 0));
    assert_null(loop_http_get_header(res, NULL));
    assert_null(loop_http_get_header(res, "A"));
    refuse_streams(res);
    assert_int_equal(req->version == 11 ? 0 : -EALREADY, loop_http_add_trailer(res, "A", "b"));
    loop_http_end_text(res, "ended");
}

static void what_cannot_be_said_is_not(void **state)
{
    struct peer peer;
    open_server(state, say_what_cannot_be);
    peer_open(&peer);
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(&peer, "ended\r\n0\r\nA: b\r\n\r\n");
    peer_send(&peer, "GET / HTTP/1.0\r\n\r\n");
    expect(&peer, "\r\n\r\nended");
    assert_null(strstr(peer.in, "C: d"));
    peer_close(&peer);
    assert_said("");
    close_server();
}

static void announce_and_add(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    assert_int_equal(0, loop_http_set_header(res, "Content-Length", "5"));
    assert_int_equal(-EALREADY, loop_http_add_trailer(res, "A", "b")); /* it is not in chunks */
    assert_int_equal(0, loop_http_write(res, "en", 2));
    assert_int_equal(-EALREADY, loop_http_set_header(res, "A", "b"));
    assert_int_equal(-EMSGSIZE, loop_http_write(res, "too much", 8));
    loop_http_end_text(res, "ded");
}

static void what_comes_too_late_is_refused(void **state)
{
    open_server(state, announce_and_add);
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\nended");
    close_server();
}

static char prefix[400];

static void measure(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_metrics(res, prefix);
}

/* What does not fit is left out line by line. */
static void metrics_of_a_name_that_is_too_long_are_fewer(void **state)
{
    struct peer peer;
    memset(prefix, 'x', sizeof(prefix) - 1);
    open_server(state, measure);
    peer_open(&peer);
    peer_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(0, expect_end(&peer));
    int lines = 0;
    char *line = strstr(peer.in, "\r\n\r\n") + 4;
    for (char *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        assert_non_null(strstr(line, prefix));
        assert_true(strncmp(line, "# TYPE ", 7) == 0 || strncmp(line, prefix, 399) == 0);
    }
    assert_string_equal("", line);
    assert_true(lines > 10);
    peer_close(&peer);
    close_server();
}

static const struct CMUnitTest tests[] = {
    real_test(a_server_needs_what_it_is_made_of),
    real_test(a_server_listens_on_what_is_there),
    real_test(a_descriptor_that_cannot_listen_is_refused),
    real_test(a_server_that_closes_listens_no_more),
    real_test(a_server_without_a_port_has_none),
    real_test(a_host_has_a_name_that_can_be_one),
    real_test(a_trailer_says_nothing_of_where_and_whose),
    real_test(a_body_has_one_reader),
    real_test(what_cannot_be_said_is_not),
    real_test(what_comes_too_late_is_refused),
    real_test(metrics_of_a_name_that_is_too_long_are_fewer),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
