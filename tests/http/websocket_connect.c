/* The client: what it takes for a URL, what it asks, and which answers it believes.
 *
 * The server here is a listener that says what it is told to say. An answer is good if it is a 101
 * that names the protocol, the hash of the key, no extension, and no subprotocol that was not
 * offered; however it is cut, and whatever comes behind it, which belongs to the socket. All else
 * ends in on_close, once, with an error that says why. A socket that connects can be given up at
 * any time, and has a deadline.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>

#define UPGRADE "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPT  "Sec-WebSocket-Accept: $\r\n" /* the $ becomes the right one */
#define GOOD    UPGRADE ACCEPT

static struct fixture {
    struct loop *loop;
    struct loop_tcp listener, peer;
    struct loop_websocket ws;
    struct loop_websocket_options options;
    struct loop_task task;
    const char *answer;
    size_t answer_size; /* 0: that of the text */
    size_t cut;         /* the answer comes in two pieces */
    int turns;          /* until the second */
    char reply[1024];
    size_t reply_size, sent;
    char request[2048];
    size_t request_size;
    char url[64];
    bool peer_open;
} fixture;

/* --- the server --- */

static void on_peer_closed(struct loop_handle *handle)
{
    (void)handle;
    fixture.peer_open = false;
}

static void hash_key(char accept[32])
{
    static const char constant[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[64];
    const char *key = strstr(fixture.request, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    snprintf(text, sizeof(text), "%.24s%s", key + 19, constant);
    assert_int_equal(1, EVP_Digest(text, strlen(text), hash, NULL, EVP_sha1(), NULL));
    EVP_EncodeBlock((unsigned char *)accept, hash, 20);
}

static void compose(void)
{
    char accept[32];
    size_t size = fixture.answer_size ? fixture.answer_size : strlen(fixture.answer);
    hash_key(accept);
    fixture.reply_size = fixture.sent = 0;
    for (size_t i = 0; i < size; i++) {
        bool dollar = fixture.answer[i] == '$';
        memcpy(fixture.reply + fixture.reply_size, dollar ? accept : fixture.answer + i,
               dollar ? 28 : 1);
        fixture.reply_size += dollar ? 28 : 1;
    }
}

static void reply(struct loop_task *task)
{
    (void)task;
    if (!fixture.peer_open || loop_is_closing(&fixture.peer.handle))
        return;
    if (fixture.turns > 0) { /* in which the first is read */
        fixture.turns--;
        loop_immediate(fixture.loop, &fixture.task, reply);
        return;
    }
    bool first = fixture.sent == 0 && fixture.cut > 0 && fixture.cut < fixture.reply_size;
    size_t until = first ? fixture.cut : fixture.reply_size;
    loop_write_copy(&fixture.peer.stream, fixture.reply + fixture.sent, until - fixture.sent);
    fixture.sent = until;
    fixture.turns = first ? 3 : 0;
    if (first)
        loop_immediate(fixture.loop, &fixture.task, reply);
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size <= 0) {
        loop_close(&stream->handle, on_peer_closed);
        return;
    }
    if (fixture.reply_size > 0)
        return;
    assert_true(fixture.request_size + (size_t)size < sizeof(fixture.request));
    memcpy(fixture.request + fixture.request_size, bytes, (size_t)size);
    fixture.request_size += (size_t)size;
    if (!fixture.answer || !strstr(fixture.request, "\r\n\r\n"))
        return;
    compose();
    reply(&fixture.task);
}

static void on_connection(struct loop_stream *listener, int status)
{
    assert_int_equal(0, status);
    loop_tcp_init(fixture.loop, &fixture.peer);
    assert_int_equal(0, loop_accept(listener, &fixture.peer.stream));
    assert_int_equal(0, loop_tcp_nodelay(&fixture.peer, true));
    assert_int_equal(0, loop_read_start(&fixture.peer.stream, on_read));
    fixture.peer_open = true;
}

/* --- the client --- */

static void on_open(struct loop_websocket *ws)
{
    say("open%s%s", ws->protocol ? ":" : "", ws->protocol ? ws->protocol : "");
}

static void on_message(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                       size_t size)
{
    (void)type;
    say("%.*s", (int)size, bytes);
    loop_websocket_reset(ws);
}

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    assert_string_equal("", reason);
    assert_int_equal(1006, code);
    say("%s", loop_error_name(ws->error));
    if (ws->status)
        say("%d", ws->status);
}

static int set_up(void **state)
{
    struct loop_address address;
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state};
    fixture.options = (struct loop_websocket_options){.on_open = on_open,
                                                      .on_message = on_message,
                                                      .on_close = on_close};
    loop_tcp_init(fixture.loop, &fixture.listener);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&fixture.listener, &address, 0));
    assert_int_equal(0, loop_listen(&fixture.listener.stream, 10, on_connection));
    loop_unref(&fixture.listener.handle);
    assert_int_equal(0, loop_tcp_local(&fixture.listener, &address));
    snprintf(fixture.url, sizeof(fixture.url), "ws://127.0.0.1:%u", loop_address_port(&address));
    return 0;
}

static int tear_down(void **state)
{
    if (!loop_is_closing(&fixture.listener.handle))
        loop_close(&fixture.listener.handle, NULL);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    return teardown(state);
}

static void run(const char *answer, const char *words)
{
    fixture.answer = answer;
    fixture.request_size = fixture.reply_size = 0;
    memset(fixture.request, 0, sizeof(fixture.request));
    assert_int_equal(0, loop_websocket_connect(fixture.loop, &fixture.ws, fixture.url,
                                               &fixture.options));
    assert_int_equal(LOOP_WEBSOCKET_CONNECTING, fixture.ws.state);
    assert_int_equal(-EPIPE, loop_websocket_send_text(&fixture.ws, "early"));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_int_equal(LOOP_WEBSOCKET_CLOSED, fixture.ws.state);
    assert_said(words);
}

/* --- answers --- */

static void a_good_answer_opens_and_what_follows_belongs_to_the_socket(void **state)
{
    (void)state;
    run(GOOD "\r\n\x81\x05Hello", "open Hello ECANCELED 101");
    run("HTTP/1.1 101 Fine\r\nupgrade: WebSocket\r\nCONNECTION: keep-alive, upgrade\r\n" ACCEPT
        "\r\n\x81\x02Hi",
        "open Hi ECANCELED 101");
    run("HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n"
        "Connection: upgrade\r\n" ACCEPT "\r\n\x81\x02Hi",
        "open Hi ECANCELED 101"); /* a list in two lines */
}

static void however_the_answer_is_cut(void **state)
{
    (void)state;
    for (fixture.cut = 1; fixture.cut < sizeof(GOOD) + 28 + 8; fixture.cut++)
        run(GOOD "\r\n\x81\x05Hello", "open Hello ECANCELED 101");
}

static void an_answer_that_proves_nothing_is_not_believed(void **state)
{
    static const char *const answers[] = {
        UPGRADE "\r\n",
        UPGRADE "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        UPGRADE "Sec-WebSocket-Accept: $x\r\n\r\n",
        UPGRADE ACCEPT ACCEPT "\r\n",
        GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        GOOD "Sec-WebSocket-Protocol: unasked\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
        run(answers[i], "EPROTO 101");
    run("HTTP/1.1 101 No\r\nConnection: Upgrade\r\n" ACCEPT "\r\n", "EPROTO 101");
    run("HTTP/1.1 101 No\r\nUpgrade: websocket\r\n" ACCEPT "\r\n", "EPROTO 101");
    run("HTTP/1.1 101 No\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT "\r\n", "EPROTO 101");
    run("HTTP/1.1 100 Continue\r\n\r\n", "EPROTO 100");
    run(GOOD "Content-Length: 5\r\n\r\nhello", "EPROTO");
    run("nonsense\r\n\r\n", "EPROTO");
    run("HTTP/2.0 101 No\r\n\r\n", "EPROTO");
}

static void an_extension_must_be_as_it_was_offered(void **state)
{
    (void)state;
    fixture.options.deflate = true;
    run(GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "EPROTO 101");
    run(GOOD "Sec-WebSocket-Extensions: other\r\n\r\n", "EPROTO 101");
}

static void a_server_may_say_no(void **state)
{
    (void)state;
    run("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", "ECONNREFUSED 404");
    run("HTTP/1.1 200 OK\r\n\r\n", "ECONNREFUSED 200");
    run("HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", "ECONNREFUSED 302");
    run("HTTP/1.0 503 Busy\r\n\r\n", "ECONNREFUSED 503");
}

static void a_head_without_end_is_refused(void **state)
{
    static char answer[900];
    (void)state;
    size_t size = (size_t)snprintf(answer, sizeof(answer), UPGRADE);
    while (size + 5 < sizeof(answer))
        size += (size_t)snprintf(answer + size, sizeof(answer) - size, "a:\r\n");
    run(answer, "EPROTO");
}

static void a_subprotocol_must_have_been_offered(void **state)
{
    static const char *const protocols[] = {"chat", "superchat", NULL};
    (void)state;
    fixture.options.protocols = protocols;
    run(GOOD "Sec-WebSocket-Protocol: superchat\r\n\r\n\x81\x02Hi",
        "open:superchat Hi ECANCELED 101");
    assert_non_null(strstr(fixture.request, "Sec-WebSocket-Protocol: chat, superchat\r\n"));
    run(GOOD "\r\n\x81\x02Hi", "open Hi ECANCELED 101");
    run(GOOD "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n", "EPROTO 101");
    run(GOOD "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n\r\n", "EPROTO 101");
}

/* --- what it asks --- */

static void the_request_is_what_a_server_expects(void **state)
{
    static const struct loop_http_header headers[] = {{"Origin", "https://here"},
                                                      {"Cookie", "a=b"},
                                                      {NULL, NULL}};
    char first[128];
    (void)state;
    fixture.options.headers = headers;
    run(GOOD "\r\n\x81\x02Hi", "open Hi ECANCELED 101");
    snprintf(first, sizeof(first), "GET / HTTP/1.1\r\nHost: %s\r\n", fixture.url + 5);
    assert_int_equal(0, strncmp(first, fixture.request, strlen(first)));
    assert_non_null(strstr(fixture.request, "Sec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(fixture.request, "Origin: https://here\r\nCookie: a=b\r\n\r\n"));
}

static void headers_that_would_be_others_are_refused(void **state)
{
    static const struct loop_http_header bad[][2] = {
        {{"Host", "x"}, {NULL, NULL}},      {{"sec-websocket-key", "x"}, {NULL, NULL}},
        {{"UPGRADE", "h2c"}, {NULL, NULL}}, {{"a", "b\r\nc: d"}, {NULL, NULL}},
        {{"a b", "c"}, {NULL, NULL}},       {{"", "c"}, {NULL, NULL}},
        {{"a", NULL}, {NULL, NULL}},        {{"a:", "b"}, {NULL, NULL}},
        {{"a", "b\x7f"}, {NULL, NULL}},
    };
    static const char *const protocols[] = {"two words", NULL};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        fixture.options.headers = bad[i];
        assert_int_equal(-EINVAL, loop_websocket_connect(fixture.loop, &fixture.ws, fixture.url,
                                                         &fixture.options));
    }
    fixture.options.headers = NULL;
    fixture.options.protocols = protocols;
    assert_int_equal(-EINVAL, loop_websocket_connect(fixture.loop, &fixture.ws, fixture.url,
                                                     &fixture.options));
}

static void what_is_no_url_is_refused(void **state)
{
    static const char *const urls[] = {
        "",
        "ws:",
        "ws://",
        "ws:///path",
        "http://here/",
        "wss://here/", /* without a TLS context */
        "//here/",
        "ws://:80/",
        "ws://here:/",
        "ws://here:0/",
        "ws://here:080/",
        "ws://here:65536/",
        "ws://here:+1/",
        "ws://here:1x/",
        "ws://user@here/",
        "ws://user:word@here/",
        "ws://here/#part",
        "ws://here/a b",
        "ws://here/\r\nx: y",
        "ws://here/\xc3\xa4",
        "ws://[::1/",
        "ws://[]/",
        "ws://[::1]x/",
        "ws://here\\@there/",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(urls); i++)
        assert_int_equal(-EINVAL, loop_websocket_connect(fixture.loop, &fixture.ws, urls[i],
                                                         &fixture.options));
    assert_int_equal(-EINVAL,
                     loop_websocket_connect(fixture.loop, &fixture.ws, NULL, &fixture.options));
    assert_int_equal(LOOP_WEBSOCKET_CLOSED, fixture.ws.state);
    assert_int_equal(-EALREADY, loop_websocket_close(&fixture.ws, 1000, NULL));
    loop_websocket_reset(&fixture.ws);
}

/* --- what goes wrong --- */

/* On a port that is bound, so that nobody else will. */
static void nobody_listens(void **state)
{
    struct loop_address address;
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, bind(fd, &address.any, address.size));
    assert_int_equal(0, getsockname(fd, &address.any, &address.size));
    snprintf(fixture.url, sizeof(fixture.url), "ws://127.0.0.1:%u/", loop_address_port(&address));
    run("", "ECONNREFUSED");
    close(fd);
}

static void give_up(struct loop_task *task)
{
    (void)task;
    assert_int_equal(0, loop_websocket_close(&fixture.ws, 1000, NULL));
    loop_websocket_reset(&fixture.ws);
}

static void one_that_connects_can_be_given_up(void **state)
{
    (void)state;
    loop_next_tick(fixture.loop, &fixture.task, give_up);
    run(NULL, "ECANCELED");
    for (int turns = 1; turns < 6; turns++) {
        assert_int_equal(0, loop_websocket_connect(fixture.loop, &fixture.ws, fixture.url,
                                                   &fixture.options));
        for (int i = 0; i < turns; i++)
            loop_run(fixture.loop, LOOP_RUN_NOWAIT);
        give_up(NULL);
        assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
        assert_said("ECANCELED");
    }
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
    (void)state;
    fixture.options.open_ns = 20 * LOOP_MS;
    run(NULL, "ETIMEDOUT");
}

#define connect_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        connect_test(a_good_answer_opens_and_what_follows_belongs_to_the_socket),
        connect_test(however_the_answer_is_cut),
        connect_test(an_answer_that_proves_nothing_is_not_believed),
        connect_test(an_extension_must_be_as_it_was_offered),
        connect_test(a_server_may_say_no),
        connect_test(a_head_without_end_is_refused),
        connect_test(a_subprotocol_must_have_been_offered),
        connect_test(the_request_is_what_a_server_expects),
        connect_test(headers_that_would_be_others_are_refused),
        connect_test(what_is_no_url_is_refused),
        connect_test(nobody_listens),
        connect_test(one_that_connects_can_be_given_up),
        connect_test(a_server_that_says_nothing_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
