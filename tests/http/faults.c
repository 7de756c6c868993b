/* What a server owes to those that others forget: slow readers, early answers, sockets that were
 * taken over, headers that came twice, peers without an address.
 *
 * A peer that takes its response slowly but steadily is not given up; one that takes nothing is. A
 * response that is ended while its body is being read ends the reading, without a word, and with
 * nothing left behind. A server that closes says so to its WebSockets, cuts those off that do not
 * answer, and comes to its own end behind all of them; what it has begun to answer it ends, and the
 * connection with it. Cookies may come in several headers. A server may listen on a path. A body
 * callback may pause and end the response in its own middle.
 *
 * SPDX-License-Identifier: MIT */
#include "asking.h"

#include "loop/http/body.h"
#include "loop/http/url.h"
#include "loop/websocket.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_http_response *res;
    struct loop_websocket ws;
    struct loop_task task;
    char body[256];
    size_t size;
} fixture;

static char bytes[12 * 1024 * 1024];

static void begin(void **state, loop_http_request_cb on_request, struct loop_http_limits limits)
{
    const struct loop_http_options options = {.on_request = on_request, .limits = limits};
    fixture = (struct fixture){.loop = *state};
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.1", 0, 0));
    loopback_begin(fixture.loop);
}

static void on_server_closed(struct loop_http_server *server)
{
    (void)server;
    loopback_end();
    say("server-closed");
}

static void end(void)
{
    loop_http_server_close(&fixture.server, 0, NULL);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    loopback_end();
}

static void turn(void)
{
    loop_run(fixture.loop, LOOP_RUN_NOWAIT);
}

static void on_pass(struct loop_timer *timer)
{
    (void)timer;
}

/* On the virtual clock, which goes to the next timer when nothing else is to be done. */
static void pass(uint64_t ns)
{
    struct loop_timer timer;
    loop_timer_init(fixture.loop, &timer);
    assert_int_equal(0, loop_timer_start(&timer, ns, 0, on_pass));
    while (loop_is_active(&timer.handle))
        loop_run(fixture.loop, LOOP_RUN_ONCE);
}

static int dial(int buffer)
{
    struct loop_address address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1",
                                           loop_http_server_port(&fixture.server)));
    assert_int_equal(0, connect(fd, &address.any, address.size));
    return fd;
}

static void give(int fd, const char *text)
{
    assert_int_equal(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
}

/* Some bytes that have come, or 0 at the end. */
static size_t take(int fd, size_t max)
{
    ssize_t got = -1;
    while (got < 0) {
        turn();
        got = recv(fd, bytes, max < sizeof(bytes) ? max : sizeof(bytes) - 1, MSG_DONTWAIT);
        assert_true(got >= 0 || errno == EAGAIN);
    }
    bytes[got] = '\0';
    return (size_t)got;
}

/* --- slow readers --- */

static void on_large(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_write(res, bytes, sizeof(bytes));
    fixture.res = res;
}

static void on_gone(struct loop_http_response *res)
{
    say("gone");
    loop_http_end(res, NULL, 0);
}

static void a_reader_is_given_up_for_taking_nothing_not_for_being_slow(void **state)
{
    begin(state, on_large, (struct loop_http_limits){.write_stall_ns = 10 * LOOP_SEC});
    int fd = dial(4096);
    give(fd, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    while (!fixture.res)
        turn();
    loop_http_on_close(fixture.res, on_gone);
    for (int i = 0; i < 8; i++) {
        for (size_t size = 0; size < 1024 * 1024;)
            size += take(fd, 64 * 1024);
        pass(6 * LOOP_SEC);
        assert_said("");
    }
    while (fixture.server.stats.timed_out == 0)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said("gone");
    assert_int_equal(1, fixture.server.stats.timed_out);
    close(fd);
    end();
}

/* --- early answers --- */

static void on_json(struct loop_http_request *req, int status, struct json_t *json)
{
    (void)req;
    (void)json;
    say("json %d", status);
}

static void on_form(struct loop_http_request *req, int status, struct loop_text form)
{
    (void)req;
    (void)form;
    say("form %d", status);
}

static void on_early(struct loop_http_request *req, struct loop_http_response *res)
{
    int error = strcmp(req->path, "/json") == 0 ? loop_http_read_json(req, 0, on_json)
                                                : loop_http_read_form(req, 0, on_form);
    assert_int_equal(0, error);
    loop_http_end_text(res, "no thanks");
}

/* The type is wrong, which the reader is about to say; or right, and the body has yet to come. */
static void a_response_that_is_ended_ends_the_reading_of_its_body(void **state)
{
    static const char *const requests[] = {
        "POST /json HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n",
        "POST /json HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"
        "content-length: 2\r\n\r\n",
        "POST /form HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n",
        "POST /form HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        "content-length: 2\r\n\r\n",
    };
    begin(state, on_early, (struct loop_http_limits){0});
    int fd = dial(0);
    for (size_t i = 0; i < ARRAY_LENGTH(requests); i++) {
        give(fd, requests[i]);
        take(fd, SIZE_MAX);
        assert_non_null(strstr(bytes, "no thanks"));
        give(fd, "{}");
    }
    assert_said("");
    assert_int_equal(ARRAY_LENGTH(requests), fixture.server.stats.requests);
    close(fd);
    end();
}

static void on_saved(struct loop_http_request *req, int status, const struct loop_http_saved *parts,
                     size_t count)
{
    (void)req;
    (void)parts;
    (void)count;
    say("saved %d", status);
}

static char folder[] = "/tmp/loop-faults-XXXXXX";

static void on_upload(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct loop_http_save_options options = {.folder = folder};
    assert_int_equal(0, loop_http_save_parts(req, &options, on_saved));
    fixture.res = res;
}

static size_t files_in_folder(void)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* turns: between the first bytes of the file and the end, so that it falls into each step. */
static void end_an_upload_after(int turns)
{
    int fd = dial(0);
    fixture.res = NULL;
    give(fd, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n"
             "content-type: multipart/form-data; boundary=b\r\n\r\n"
             "--b\r\ncontent-disposition: form-data; name=f; filename=f\r\n\r\nsome bytes");
    while (!fixture.res)
        turn();
    for (int i = 0; i < turns; i++)
        turn();
    loop_http_end_text(fixture.res, "no thanks");
    take(fd, SIZE_MAX);
    assert_non_null(strstr(bytes, "no thanks"));
    close(fd);
}

static void an_upload_that_is_given_up_leaves_no_file(void **state)
{
    assert_non_null(mkdtemp(folder));
    begin(state, on_upload, (struct loop_http_limits){0});
    for (int turns = 0; turns < 12; turns++)
        end_an_upload_after(turns);
    end();
    assert_said("");
    assert_int_equal(0, files_in_folder());
    assert_int_equal(0, rmdir(folder));
}

/* --- the end of a server --- */

static void on_ws_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)reason;
    say("ws-closed %u %d", code, ws->error);
}

static void on_handshake(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    const struct loop_websocket_options options = {.on_close = on_ws_close};
    assert_int_equal(0, loop_websocket_accept(res, &fixture.ws, &options));
}

static int open_websocket(void)
{
    int fd = dial(0);
    give(fd, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    while (fixture.ws.state != LOOP_WEBSOCKET_OPEN)
        turn();
    take(fd, SIZE_MAX);
    return fd;
}

static void a_server_that_closes_says_goodbye_to_its_websockets(void **state)
{
    static const char answer[] = "\x88\x82\0\0\0\0\x03\xe9";
    begin(state, on_handshake, (struct loop_http_limits){0});
    int fd = open_websocket();
    loop_http_server_close(&fixture.server, LOOP_NEVER, on_server_closed);
    assert_int_equal(4, take(fd, SIZE_MAX));
    assert_memory_equal("\x88\x02\x03\xe9", bytes, 4);
    turn();
    assert_said("");
    assert_int_equal(8, send(fd, answer, 8, MSG_NOSIGNAL));
    assert_int_equal(0, take(fd, SIZE_MAX));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("ws-closed 1001 0 server-closed");
    close(fd);
}

static void a_websocket_that_does_not_answer_is_cut_off_with_the_rest(void **state)
{
    char words[64];
    begin(state, on_handshake, (struct loop_http_limits){0});
    int fd = open_websocket();
    uint64_t start_ns = loop_now(fixture.loop);
    loop_http_server_close(&fixture.server, 3 * LOOP_SEC, on_server_closed);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    snprintf(words, sizeof(words), "ws-closed 1006 %d server-closed", -ECANCELED);
    assert_said(words);
    assert_int_equal(3 * LOOP_SEC, loop_now(fixture.loop) - start_ns);
    close(fd);
}

static void on_end(struct loop_task *task)
{
    (void)task;
    loop_http_end(fixture.res, "b", 1);
}

static void on_begun(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_write(res, "a", 1);
    fixture.res = res;
    loop_http_server_close(req->server, LOOP_NEVER, on_server_closed);
    loop_immediate(fixture.loop, &fixture.task, on_end);
}

/* Its head has gone without "connection: close", which is no reason to wait for another request. */
static void what_was_being_answered_is_the_last(void **state)
{
    begin(state, on_begun, (struct loop_http_limits){0});
    int fd = dial(0);
    uint64_t start_ns = loop_now(fixture.loop);
    give(fd, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("server-closed");
    assert_true(loop_now(fixture.loop) - start_ns < LOOP_SEC);
    assert_true(recv(fd, bytes, sizeof(bytes) - 1, 0) > 0);
    close(fd);
}

/* --- headers, paths --- */

static void on_cookies(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    char line[256] = "";
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct loop_text value = loop_http_cookie(req, names[i]);
        size_t size = strlen(line);
        snprintf(line + size, sizeof(line) - size, "%s=%.*s ", names[i], (int)value.size,
                 value.bytes ? value.bytes : "");
    }
    loop_http_end_text(res, line);
}

static void cookies_may_come_in_several_headers(void **state)
{
    const char *question = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncookie: a=1; b=2\r\n"
                           "x: y\r\nCookie: b=3; c=4\r\n\r\n";
    begin_asking(state, on_cookies);
    const char *answer = ask_bytes(question, strlen(question), strlen(question));
    assert_string_equal("a=1 b=2 c=4 d= ", body_of_answer(answer));
    end_asking();
}

static void on_whom(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_end_text(res, loop_http_peer(req)->size == 0 ? "somebody" : "an address");
}

static void a_server_may_listen_on_a_path(void **state)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    const struct loop_http_options options = {.on_request = on_whom};
    fixture = (struct fixture){.loop = *state};
    snprintf(where.sun_path, sizeof(where.sun_path), "/tmp/loop-faults-%d", (int)getpid());
    unlink(where.sun_path);
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(-EINVAL, loop_http_listen_path(&fixture.server, NULL));
    assert_int_equal(-ENOENT, loop_http_listen_path(&fixture.server, "/tmp/not/there/at/all"));
    assert_int_equal(0, loop_http_listen_path(&fixture.server, where.sun_path));
    assert_int_equal(-EADDRINUSE, loop_http_listen_path(&fixture.server, where.sun_path));
    assert_int_equal(0, loop_http_server_port(&fixture.server));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, (const struct sockaddr *)&where, sizeof(where)));
    give(fd, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    take(fd, SIZE_MAX);
    assert_non_null(strstr(bytes, "\r\n\r\nsomebody"));
    loop_http_server_close(&fixture.server, LOOP_NEVER, on_server_closed);
    assert_int_equal(-ECANCELED, loop_http_listen_path(&fixture.server, where.sun_path));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("server-closed");
    close(fd);
    unlink(where.sun_path);
}

/* --- body callbacks --- */

static void on_go_on(struct loop_task *task)
{
    (void)task;
    loop_http_resume_body(fixture.res->request);
}

/* Pauses in its middle, each time, and goes on later. */
static void on_piece(struct loop_http_request *req, ssize_t size, const void *piece)
{
    if (size < 0) {
        assert_int_equal(LOOP_EOF, size);
        loop_http_end(fixture.res, fixture.body, fixture.size);
        return;
    }
    memcpy(fixture.body + fixture.size, piece, (size_t)size);
    fixture.size += (size_t)size;
    loop_http_pause_body(req);
    loop_immediate(asking.loop, &fixture.task, on_go_on);
}

static void on_ending_piece(struct loop_http_request *req, ssize_t size, const void *piece)
{
    (void)req;
    (void)piece;
    say(size > 0 ? "piece" : "end");
    loop_http_end_text(fixture.res, "enough");
}

static void on_body(struct loop_http_request *req, struct loop_http_response *res)
{
    fixture.res = res;
    fixture.size = 0;
    bool ends = strcmp(req->path, "/end") == 0;
    assert_int_equal(0, loop_http_read_body(req, ends ? on_ending_piece : on_piece));
}

static const char *const chunked = "HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
                                   "transfer-encoding: chunked\r\n\r\n"
                                   "3\r\nabc\r\n1\r\nd\r\n6\r\nefghij\r\n0\r\n\r\n";
static const char *const sized = "HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
                                 "content-length: 10\r\n\r\nabcdefghij";

static void ask_at_every_offset(const char *path, const char *rest, const char *body)
{
    char question[512];
    size_t size = (size_t)snprintf(question, sizeof(question), "POST %s %s", path, rest);
    for (size_t at = 1; at <= size; at++) {
        const char *answer = ask_bytes(question, size, at);
        assert_int_equal(200, status_of_answer(answer));
        assert_string_equal(body, body_of_answer(answer));
    }
}

static void a_body_callback_may_pause_in_its_middle(void **state)
{
    begin_asking(state, on_body);
    ask_at_every_offset("/pause", chunked, "abcdefghij");
    ask_at_every_offset("/pause", sized, "abcdefghij");
    end_asking();
}

static void a_body_callback_may_end_the_response(void **state)
{
    begin_asking(state, on_body);
    ask_at_every_offset("/end", chunked, "enough");
    ask_at_every_offset("/end", sized, "enough");
    assert_null(strstr(said(), "end"));
    end_asking();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(a_reader_is_given_up_for_taking_nothing_not_for_being_slow),
        real_test(a_response_that_is_ended_ends_the_reading_of_its_body),
        real_test(an_upload_that_is_given_up_leaves_no_file),
        virtual_test(a_server_that_closes_says_goodbye_to_its_websockets),
        virtual_test(a_websocket_that_does_not_answer_is_cut_off_with_the_rest),
        virtual_test(what_was_being_answered_is_the_last),
        real_test(cookies_may_come_in_several_headers),
        real_test(a_server_may_listen_on_a_path),
        real_test(a_body_callback_may_pause_in_its_middle),
        real_test(a_body_callback_may_end_the_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
