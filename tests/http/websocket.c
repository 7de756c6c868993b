/* The protocol, as a peer sees it that does what it wants: bytes are sent to a real server, which
 * echoes every message, and what it answers is compared, to the end of the connection.
 *
 * The groups are those that conformance tests of RFC 6455 have long had: sizes of frames, pings,
 * reserved bits, opcodes, fragments, UTF-8, closing, limits. What a peer may do is echoed; for what
 * it may not do there is one code to close with, 1002 for broken rules, 1007 for text that is not
 * UTF-8, 1009 for too much, and it is sent as soon as it is certain.
 *
 * The bytes of a case come in one piece with the handshake, and then, if they are few, again for
 * every place at which they can be cut in two. The verdict is always the same.
 *
 * Answers are written as words: "T5:Hello" is a text, B a binary message, P a ping, Q a pong,
 * "C1000" a close frame; behind the slash stands what on_close said on the server's side.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FIN = 0x80,
    CONTINUATION = 0,
    TEXT = 1,
    BINARY = 2,
    CLOSE = 8,
    PING = 9,
    PONG = 10,
    ROOM = 3 << 20,
    SPLIT_MAX = 300,
    TURNS_MAX = 200000,
    MESSAGE_MAX = 1 << 20,
};

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_websocket ws;
    struct sockaddr_un path;
    socklen_t path_size;
    char *out, *in; /* what the peer sends; what it gets */
    size_t out_size, in_size, sent;
    size_t cases, runs;
    unsigned code;
    bool closed;
    bool half_closes; /* the peer, behind its last byte */
} fixture;

static const char handshake[] = "GET /chat HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/* --- the server --- */

static void on_message(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                       size_t size)
{
    assert_int_equal('\0', bytes[size]);
    assert_true(loop_websocket_send(ws, type, bytes, size) >= 0);
}

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)reason;
    assert_int_equal(LOOP_WEBSOCKET_CLOSED, ws->state);
    assert_false(fixture.closed);
    fixture.closed = true;
    fixture.code = code;
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static const struct loop_websocket_options options = {.on_message = on_message,
                                                          .on_close = on_close,
                                                          .message_bytes = MESSAGE_MAX};
    assert_true(loop_websocket_wanted(req));
    assert_int_equal(0, loop_websocket_accept(res, &fixture.ws, &options));
}

/* On a name without a file, which the kernel chooses: unix(7). */
static int bind_anywhere(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr *path = (struct sockaddr *)&fixture.path;
    fixture.path_size = sizeof(fixture.path);
    assert_int_equal(0, bind(fd, path, sizeof(sa_family_t)));
    assert_int_equal(0, getsockname(fd, path, &fixture.path_size));
    return fd;
}

static int set_up(void **state)
{
    const struct loop_http_options options = {.on_request = on_request};
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state, .path = {.sun_family = AF_UNIX}};
    fixture.out = malloc(ROOM);
    fixture.in = malloc(ROOM);
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen_fd(&fixture.server, bind_anywhere()));
    return 0;
}

static int tear_down(void **state)
{
    loop_http_server_close(&fixture.server, 0, NULL);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    free(fixture.out);
    free(fixture.in);
    printf("# %zu cases, %zu connections\n", fixture.cases, fixture.runs);
    return teardown(state);
}

/* --- the peer --- */

static void put_bytes(const void *bytes, size_t size)
{
    assert_true(fixture.out_size + size <= ROOM);
    if (size > 0)
        memcpy(fixture.out + fixture.out_size, bytes, size);
    fixture.out_size += size;
}

static void put_byte(unsigned byte)
{
    put_bytes(&(char){(char)byte}, 1);
}

static void put_number(uint64_t number, int bytes)
{
    while (bytes-- > 0)
        put_byte((number >> (8 * bytes)) & 0xff);
}

/* The head of a masked frame, its length in so many bytes: 0, 2 or 8. */
static void put_head(unsigned first, uint64_t size, int bytes)
{
    put_byte(first);
    put_byte(0x80 | (bytes == 0 ? (unsigned)size : bytes == 2 ? 126U : 127U));
    put_number(size, bytes);
    put_bytes("mask", 4);
}

static void put_masked(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        put_byte((unsigned char)(bytes[i] ^ "mask"[i % 4]));
}

static void put(unsigned first, const char *bytes, size_t size)
{
    put_head(first, size, size < 126 ? 0 : size < 65536 ? 2 : 8);
    put_masked(bytes, size);
}

static void put_text(unsigned first, const char *text)
{
    put(first, text, strlen(text));
}

static void put_many(unsigned first, char byte, size_t size)
{
    char *bytes = malloc(size + 1);
    memset(bytes, byte, size + 1);
    put(first, bytes, size);
    free(bytes);
}

static void put_close(unsigned code, const char *reason)
{
    char bytes[125] = {(char)(code >> 8), (char)(code & 0xff)};
    memcpy(bytes + 2, reason, strlen(reason));
    put(FIN | CLOSE, bytes, 2 + strlen(reason));
}

/* Sends up to an offset and takes what comes; false: the server has ended. */
static bool exchange(int fd, size_t until)
{
    if (fixture.sent < until) {
        ssize_t sent =
            send(fd, fixture.out + fixture.sent, until - fixture.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(sent > 0 || errno == EAGAIN || errno == EPIPE);
        fixture.sent += sent > 0 ? (size_t)sent : errno == EPIPE ? until - fixture.sent : 0;
    }
    assert_true(loop_run(fixture.loop, LOOP_RUN_NOWAIT) >= 0);
    ssize_t got = recv(fd, fixture.in + fixture.in_size, ROOM - fixture.in_size, MSG_DONTWAIT);
    fixture.in_size += got > 0 ? (size_t)got : 0;
    return got != 0 && (got > 0 || errno == EAGAIN);
}

static void visit(size_t split)
{
    int turns = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&fixture.path, fixture.path_size));
    fixture.sent = fixture.in_size = 0;
    fixture.closed = false;
    for (int i = 0; i < 6; i++)
        exchange(fd, split);
    while (exchange(fd, fixture.out_size)) {
        assert_true(turns++ < TURNS_MAX);
        if (fixture.half_closes && fixture.sent == fixture.out_size)
            shutdown(fd, SHUT_WR);
    }
    close(fd);
    while (!fixture.closed && turns++ < TURNS_MAX)
        loop_run(fixture.loop, LOOP_RUN_NOWAIT);
    assert_true(fixture.closed);
    fixture.runs++;
}

/* --- what it got --- */

static void say_frame(unsigned opcode, const unsigned char *bytes, size_t size)
{
    static const char letters[] = ".TB.....CPQ";
    bool plain = size <= 16;
    for (size_t i = 0; i < size; i++)
        plain = plain && bytes[i] > ' ' && bytes[i] < 0x7f;
    if (opcode == CLOSE && size >= 2)
        say("C%u", (unsigned)bytes[0] << 8 | bytes[1]);
    else if (plain && size > 0)
        say("%c%zu:%.*s", letters[opcode], size, (int)size, (const char *)bytes);
    else
        say("%c%zu", letters[opcode], size);
}

static size_t read_size(const unsigned char **at)
{
    size_t size = *(*at)++;
    int bytes = size == 126 ? 2 : size == 127 ? 8 : 0;
    assert_true(size < 128); /* a server does not mask */
    for (size = bytes ? 0 : size; bytes > 0; bytes--)
        size = size << 8 | *(*at)++;
    return size;
}

static void say_frames(void)
{
    const unsigned char *end = (const unsigned char *)fixture.in + fixture.in_size;
    fixture.in[fixture.in_size] = '\0';
    const char *head = strstr(fixture.in, "\r\n\r\n");
    assert_non_null(head);
    assert_non_null(strstr(fixture.in, "101 Switching"));
    assert_non_null(strstr(fixture.in, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for (const unsigned char *at = (const unsigned char *)head + 4; at < end;) {
        unsigned first = *at++;
        size_t size = read_size(&at);
        assert_int_equal(FIN, first & 0xf0);
        assert_true((size_t)(end - at) >= size);
        say_frame(first & 0x0f, at, size);
        at += size;
    }
    say("/ %u", fixture.code);
}

static void begin(void)
{
    fixture.out_size = 0;
    put_bytes(handshake, sizeof(handshake) - 1);
}

static void expect(const char *words)
{
    size_t head = sizeof(handshake) - 1;
    bool few = fixture.out_size - head <= SPLIT_MAX;
    fixture.cases++;
    for (size_t split = head; split <= (few ? fixture.out_size : head); split++) {
        visit(split == head ? fixture.out_size : split);
        say_frames();
        assert_said(words);
    }
    visit(head);
    say_frames();
    assert_said(words);
    begin();
}

/* A case that the server finds nothing wrong with ends by the peer's close frame. */
static void expect_good(const char *words)
{
    char all[512];
    put_close(1000, "");
    snprintf(all, sizeof(all), "%s%sC1000 / 1000", words, *words ? " " : "");
    expect(all);
}

/* --- 1: sizes --- */

static void messages_of_every_size_of_frame_are_echoed(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 128, 65535, 65536, 65537, MESSAGE_MAX};
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(sizes); i++) {
        size_t size = sizes[i / 2];
        char words[32];
        put_many(FIN | (i % 2 ? BINARY : TEXT), 'x', size);
        snprintf(words, sizeof(words), size == 1 ? "%c%zu:x" : "%c%zu", i % 2 ? 'B' : 'T', size);
        expect_good(words);
    }
}

static void messages_come_back_in_order(void **state)
{
    (void)state;
    put_text(FIN | TEXT, "one");
    put_text(FIN | BINARY, "two");
    put_text(FIN | TEXT, "");
    put_text(FIN | TEXT, "three");
    expect_good("T3:one B3:two T0 T5:three");
}

/* --- 2: pings --- */

static void pings_are_answered_with_what_they_carry(void **state)
{
    (void)state;
    put_text(FIN | PING, "");
    expect_good("Q0");
    put_text(FIN | PING, "Hello");
    expect_good("Q5:Hello");
    put(FIN | PING, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff", 8);
    expect_good("Q8");
    put_many(FIN | PING, 'p', 125);
    expect_good("Q125");
    for (int i = 0; i < 10; i++)
        put(FIN | PING, &"0123456789"[i], 1);
    expect_good("Q1:0 Q1:1 Q1:2 Q1:3 Q1:4 Q1:5 Q1:6 Q1:7 Q1:8 Q1:9");
}

static void pongs_that_nobody_asked_for_are_ignored(void **state)
{
    (void)state;
    put_text(FIN | PONG, "");
    expect_good("");
    put_text(FIN | PONG, "unasked");
    expect_good("");
    put_text(FIN | PONG, "unasked");
    put_text(FIN | PING, "asked");
    expect_good("Q5:asked");
}

static void a_control_frame_over_125_bytes_breaks_the_rules(void **state)
{
    static const unsigned opcodes[] = {PING, PONG, CLOSE};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(opcodes); i++) {
        put_many(FIN | opcodes[i], 'p', 126);
        expect("C1002 / 1002");
    }
}

/* --- 3: reserved bits --- */

static void reserved_bits_break_the_rules(void **state)
{
    (void)state;
    for (unsigned reserved = 1; reserved < 8; reserved++) {
        put_text(FIN | reserved << 4 | TEXT, "Hello");
        expect("C1002 / 1002");
        put_text(FIN | TEXT, "fine");
        put_text(FIN | reserved << 4 | (reserved % 2 ? PING : CLOSE), "");
        put_text(FIN | PING, "never read");
        expect("T4:fine C1002 / 1002");
    }
}

/* --- 4: opcodes --- */

static void opcodes_without_a_meaning_break_the_rules(void **state)
{
    (void)state;
    for (unsigned opcode = 3; opcode < 16; opcode++) {
        if (opcode >= CLOSE && opcode <= PONG)
            continue;
        put_text(FIN | opcode, "");
        expect("C1002 / 1002");
        put_text(FIN | TEXT, "fine");
        put_text(FIN | opcode, "payload");
        put_text(FIN | PING, "never read");
        expect("T4:fine C1002 / 1002");
    }
}

/* --- 5: fragments --- */

static void control_frames_are_never_fragmented(void **state)
{
    (void)state;
    put_text(PING, "half");
    put_text(FIN | CONTINUATION, "half");
    expect("C1002 / 1002");
    put_text(PONG, "half");
    put_text(FIN | CONTINUATION, "half");
    expect("C1002 / 1002");
    put_text(CLOSE, "");
    expect("C1002 / 1002");
}

static void fragments_become_one_message(void **state)
{
    (void)state;
    put_text(TEXT, "frag");
    put_text(FIN | CONTINUATION, "ment");
    expect_good("T8:fragment");
    put_text(BINARY, "frag");
    put_text(CONTINUATION, "");
    put_text(CONTINUATION, "men");
    put_text(FIN | CONTINUATION, "t");
    expect_good("B8:fragment");
    put_text(TEXT, "");
    put_text(CONTINUATION, "");
    put_text(FIN | CONTINUATION, "");
    expect_good("T0");
    put_text(TEXT, "all");
    put_text(FIN | CONTINUATION, "");
    put_text(FIN | TEXT, "next");
    expect_good("T3:all T4:next");
}

static void control_frames_may_stand_between_fragments(void **state)
{
    (void)state;
    put_text(TEXT, "frag");
    put_text(FIN | PING, "p1");
    put_text(CONTINUATION, "me");
    put_text(FIN | PONG, "p2");
    put_text(FIN | PING, "p3");
    put_text(FIN | CONTINUATION, "nt");
    expect_good("Q2:p1 Q2:p3 T8:fragment");
    put_text(TEXT, "never whole");
    put_close(1001, "");
    expect("C1001 / 1001");
}

static void a_continuation_needs_something_to_continue(void **state)
{
    (void)state;
    put_text(FIN | CONTINUATION, "nothing");
    expect("C1002 / 1002");
    put_text(CONTINUATION, "nothing");
    expect("C1002 / 1002");
    put_text(FIN | TEXT, "whole");
    put_text(CONTINUATION, "nothing");
    put_text(FIN | TEXT, "never read");
    expect("T5:whole C1002 / 1002");
    put_text(TEXT, "1");
    put_text(FIN | CONTINUATION, "2");
    put_text(FIN | CONTINUATION, "3");
    expect("T2:12 C1002 / 1002");
}

static void messages_do_not_mix(void **state)
{
    (void)state;
    put_text(TEXT, "begun");
    put_text(FIN | TEXT, "another");
    expect("C1002 / 1002");
    put_text(TEXT, "begun");
    put_text(BINARY, "another");
    expect("C1002 / 1002");
    put_text(BINARY, "");
    put_text(FIN | BINARY, "");
    expect("C1002 / 1002");
}

static void what_is_not_masked_breaks_the_rules(void **state)
{
    (void)state;
    put_bytes("\x81\x05Hello", 7);
    expect("C1002 / 1002");
    put_bytes("\x89\x00", 2);
    expect("C1002 / 1002");
    put_text(FIN | TEXT, "fine");
    put_bytes("\x82\x7e\x01\x00", 4);
    expect("T4:fine C1002 / 1002");
}

/* --- 6: text --- */

static void text_that_is_utf8_is_echoed(void **state)
{
    static const char *const good[] = {
        "\xce\xba\xcf\x8c\xcf\x83\xce\xbc\xce\xb5",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbd",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "\xf1\x80\x80\x80",
        "\xe1\x80\x80",
        "\xef\xbf\xbe",
        "\xf0\x9f\x98\x80",
        "\x7f",
        "ab\xc3\xa4ijklmnopq\xc3\xb6rs",
        "\xec\x80\x80",
        "\xf3\xbf\xbf\xbf",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        char words[32];
        snprintf(words, sizeof(words), "T%zu", strlen(good[i]));
        put_text(FIN | TEXT, good[i]);
        expect_good(words);
        for (const char *at = good[i]; *at; at++)
            put(at == good[i] ? TEXT : CONTINUATION, at, 1);
        put_text(FIN | CONTINUATION, "");
        expect_good(words);
    }
}

/* Each ends in the first byte that no text can have there, but for the last few, which lack one. */
static const char *const bad[] = {
    "\x80",
    "\xbf",
    "\xc0",
    "\xc1",
    "\xf5",
    "\xfe",
    "\xff",
    "ok\xe2\x82\x41",
    "\xe0\x80",
    "\xe0\x9f",
    "\xed\xa0",
    "\xed\xbf",
    "\xf0\x80",
    "\xf0\x8f",
    "\xf4\x90",
    "\xc2\x41",
    "\xe1\xc2",
    "\xf1\x80\x41",
    "\xf1\x80\x80\x41",
    "\xf1\x80\x80\xc2",
    "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0",
    "12345678\xff",
    "1234567812345678\x80",
    "\xef\xbf\xbf\x80",
    "\xc3\xa4\xc3\xa4\xc3\xc3",
};

static void text_that_is_not_utf8_is_refused(void **state)
{
    static const char *const cut[] = {"\xc2", "\xe1\x80", "\xf1", "\xf1\x80", "\xf1\x80\x80"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        put_text(FIN | TEXT, bad[i]);
        expect("C1007 / 1007");
    }
    for (size_t i = 0; i < ARRAY_LENGTH(cut); i++) {
        put_text(FIN | TEXT, cut[i]);
        expect("C1007 / 1007");
        put_text(TEXT, cut[i]);
        put_text(FIN | CONTINUATION, "");
        expect("C1007 / 1007");
    }
}

/* The frame says that more follows, and it never does. */
static void bad_text_is_refused_at_its_first_bad_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        put_head(TEXT, 1000, 2);
        put_masked(bad[i], strlen(bad[i]));
        expect("C1007 / 1007");
        for (const char *at = bad[i]; *at; at++)
            put(at == bad[i] ? TEXT : CONTINUATION, at, 1);
        expect("C1007 / 1007");
    }
}

static void binary_messages_may_hold_anything(void **state)
{
    (void)state;
    put(FIN | BINARY, "\xff\xfe\x80\x00", 4);
    expect_good("B4");
}

/* --- 7: closing --- */

static void a_close_frame_is_answered_with_its_code(void **state)
{
    static const unsigned codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                     1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++) {
        char words[32];
        snprintf(words, sizeof(words), "C%u / %u", codes[i], codes[i]);
        put_close(codes[i], i % 2 ? "bye" : "");
        expect(words);
    }
    put_text(FIN | CLOSE, "");
    expect("C0 / 1005");
    put_close(1000, "\xc3\xbc");
    expect("C1000 / 1000");
}

static void a_reason_may_have_123_bytes(void **state)
{
    char reason[124] = {0};
    (void)state;
    memset(reason, 'r', 123);
    put_close(1000, reason);
    expect("C1000 / 1000");
}

static void a_close_frame_without_a_good_code_breaks_the_rules(void **state)
{
    static const unsigned codes[] = {0,    1,    999,  1004, 1005, 1006, 1015,
                                     1016, 1100, 2000, 2999, 5000, 65535};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++) {
        put_close(codes[i], i % 2 ? "bye" : "");
        expect("C1002 / 1002");
    }
    put(FIN | CLOSE, "\x03", 1);
    expect("C1002 / 1002");
}

static void a_reason_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    put_close(1000, "\xff");
    expect("C1007 / 1007");
    put_close(1000, "cut\xe2\x82");
    expect("C1007 / 1007");
}

static void what_follows_a_close_frame_is_not_looked_at(void **state)
{
    (void)state;
    put_close(1000, "");
    put_text(FIN | TEXT, "late");
    put_text(FIN | PING, "late");
    put_bytes("\xff\xff\xff", 3);
    expect("C1000 / 1000");
    put_close(1000, "");
    put_close(1001, "");
    expect("C1000 / 1000");
}

/* --- 9: limits --- */

static void a_message_over_the_limit_is_too_big(void **state)
{
    (void)state;
    put_head(FIN | BINARY, MESSAGE_MAX + 1, 8);
    put_masked("x", 1);
    expect("C1009 / 1009");
    put_head(FIN | TEXT, INT64_MAX, 8);
    put_masked("x", 1);
    expect("C1009 / 1009");
    put_many(TEXT, 'x', MESSAGE_MAX);
    put_many(FIN | CONTINUATION, 'x', 1);
    expect("C1009 / 1009");
    put_many(BINARY, 'x', 10);
    put_head(FIN | CONTINUATION, INT64_MAX, 8);
    put_masked("x", 1);
    expect("C1009 / 1009");
    put_many(BINARY, 'x', MESSAGE_MAX - 1);
    put_many(FIN | CONTINUATION, 'x', 1);
    expect_good("B1048576");
}

static void lengths_are_as_short_as_they_can_be(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        put_head(FIN | BINARY, sizes[i], 2);
        expect("C1002 / 1002");
        put_head(FIN | BINARY, sizes[i], 8);
        expect("C1002 / 1002");
    }
    put_head(FIN | BINARY, 126, 8);
    expect("C1002 / 1002");
    put_head(FIN | BINARY, 65535, 8);
    expect("C1002 / 1002");
}

static void lengths_have_63_bits(void **state)
{
    (void)state;
    put_head(FIN | BINARY, UINT64_C(1) << 63, 8);
    expect("C1002 / 1002");
    put_head(FIN | BINARY, UINT64_MAX, 8);
    expect("C1002 / 1002");
}

static void many_small_frames_are_one_message(void **state)
{
    (void)state;
    put_text(TEXT, "");
    for (int i = 0; i < 20000; i++)
        put_text(CONTINUATION, "xyz");
    put_text(FIN | CONTINUATION, "");
    expect_good("T60000");
}

/* Random bytes behind random heads: whatever they are, the connection comes to an end. */
static void noise_comes_to_an_end(void **state)
{
    (void)state;
    unsigned seed = 4711;
    for (int i = 0; i < 300; i++) {
        put_text(FIN | TEXT, "fine");
        for (int j = 0; j < 40; j++) {
            seed = seed * 1103515245 + 12345;
            put_byte((seed >> 16) & 0xff);
        }
        fixture.half_closes = true;
        visit(fixture.out_size - 20);
        begin();
    }
}

#define case_test(name) cmocka_unit_test_setup_teardown(name, prepare, tear_down)

static int prepare(void **state)
{
    int status = set_up(state);
    begin();
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_test(messages_of_every_size_of_frame_are_echoed),
        case_test(messages_come_back_in_order),
        case_test(pings_are_answered_with_what_they_carry),
        case_test(pongs_that_nobody_asked_for_are_ignored),
        case_test(a_control_frame_over_125_bytes_breaks_the_rules),
        case_test(reserved_bits_break_the_rules),
        case_test(opcodes_without_a_meaning_break_the_rules),
        case_test(control_frames_are_never_fragmented),
        case_test(fragments_become_one_message),
        case_test(control_frames_may_stand_between_fragments),
        case_test(a_continuation_needs_something_to_continue),
        case_test(messages_do_not_mix),
        case_test(what_is_not_masked_breaks_the_rules),
        case_test(text_that_is_utf8_is_echoed),
        case_test(text_that_is_not_utf8_is_refused),
        case_test(bad_text_is_refused_at_its_first_bad_byte),
        case_test(binary_messages_may_hold_anything),
        case_test(a_close_frame_is_answered_with_its_code),
        case_test(a_reason_may_have_123_bytes),
        case_test(a_close_frame_without_a_good_code_breaks_the_rules),
        case_test(a_reason_that_is_not_utf8_is_refused),
        case_test(what_follows_a_close_frame_is_not_looked_at),
        case_test(a_message_over_the_limit_is_too_big),
        case_test(lengths_are_as_short_as_they_can_be),
        case_test(lengths_have_63_bits),
        case_test(many_small_frames_are_one_message),
        case_test(noise_comes_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
