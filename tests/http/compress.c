/* Responses compressed on their way.
 *
 * Compressed is what is text, is of a kibibyte or more, and goes to somebody who takes gzip and
 * would rather have it. Nothing is compressed that is encoded already, a part, empty by its status,
 * or not to be transformed; the answer to HEAD has the headers of GET and nothing else. Whoever
 * might have got the other form is told by Vary, and a tag of what was compressed is weak.
 *
 * What is ended in one piece has a length. What is written piece by piece leaves when the callback
 * that wrote has returned, so that each event of a stream can be read when it is sent. A length
 * that was announced is that of what is written, and is held to. Only so many responses are
 * compressed at once; others go as they are.
 *
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include <zlib.h>

enum { BODY_MAX = 400000, COMPRESSORS_MAX = 128 };

static struct {
    struct loop_http_server server;
    char text[BODY_MAX + 1];
    const char *const *headers; /* names and values, NULL behind them */
    int status;
    size_t size;
    void (*answer)(struct loop_http_response *res);
} here;

static void answer_whole(struct loop_http_response *res)
{
    loop_http_end(res, here.text, here.size);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    for (const char *const *at = here.headers; at && *at; at += 2)
        assert_int_equal(0, loop_http_set_header(res, at[0], at[1]));
    if (here.status)
        assert_int_equal(0, loop_http_set_status(res, here.status));
    here.answer(res);
}

static const char *const as_text[] = {"Content-Type", "text/plain; charset=utf-8", NULL};

static int begin(void **state)
{
    memset(&here, 0, sizeof(here));
    for (size_t i = 0; i < BODY_MAX; i++)
        here.text[i] = (char)('a' + (i * 7 + i / 100) % 26);
    here.headers = as_text;
    here.size = 5000;
    here.answer = answer_whole;
    setup_real(state);
    const struct loop_http_options options = {.on_request = on_request, .compress = true};
    assert_int_equal(0, loop_http_server_init(*state, &here.server, &options));
    assert_int_equal(0, loop_http_listen(&here.server, "127.0.0.1", 0, 0));
    return 0;
}

static int end(void **state)
{
    loop_http_server_close(&here.server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(0, here.server.stats.active);
    return teardown(state);
}

static struct peer *request(const char *method, const char *version, const char *headers)
{
    static char question[2048];
    snprintf(question, sizeof(question),
             "%s / HTTP/%s\r\nHost: here\r\nConnection: close\r\n%s\r\n", method, version, headers);
    return ask(&here.server, question);
}

static struct peer *get(const char *headers)
{
    return request("GET", "1.1", headers);
}

#define GZIP "Accept-Encoding: gzip\r\n"

static bool is_packed(const struct peer *peer)
{
    return strcmp(header_of(peer, "content-encoding"), "gzip") == 0;
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

/* The body unpacked, which is the text from its beginning, so long, and whole. */
static void assert_unpacks(struct peer *peer, size_t size)
{
    static char unpacked[BODY_MAX + 1];
    char *body = strstr(peer->bytes, "\r\n\r\n") + 4;
    size_t packed = body_size_of(peer);
    if (*header_of(peer, "transfer-encoding"))
        packed = join_chunks(body);
    z_stream stream = {0};
    assert_int_equal(Z_OK, inflateInit2(&stream, 15 + 16));
    stream.next_in = (Bytef *)body;
    stream.avail_in = (uInt)packed;
    stream.next_out = (Bytef *)unpacked;
    stream.avail_out = sizeof(unpacked);
    assert_int_equal(Z_STREAM_END, inflate(&stream, Z_FINISH));
    assert_int_equal(0, stream.avail_in);
    assert_int_equal(size, stream.total_out);
    assert_memory_equal(here.text, unpacked, size);
    inflateEnd(&stream);
}

/* --- who gets what --- */

static const struct {
    const char *accept;
    bool packed;
} wishes[] = {
    {"gzip", true},
    {"GZIP", true},
    {"gzip, deflate, br", true},
    {"br , gzip", true},
    {"br;q=1.0, gzip;q=0.8, *;q=0.1", true},
    {"gzip;q=0.001", true},
    {"gzip;q=1.000", true},
    {"gzip ; q=0.5", true},
    {"*", true},
    {"*;q=0.5", true},
    {"identity;q=0.5, gzip", true},
    {"identity;q=0", false}, /* gzip is not named, and nothing else can be had */
    {"identity;q=0, *", true},
    {"", false},
    {"br", false},
    {"gzip;q=0", false},
    {"gzip;q=0.000", false},
    {"*;q=0", false},
    {"gzip;q=0, *", false},
    {"*, gzip;q=0", false},
    {"identity, gzip;q=0.5", false}, /* it would rather have it as it is */
    {"x-gzip-like", false},
    {"gzipped", false},
    {"gzip;q=2", false},
    {"gzip;q=-1", false},
    {"gzip;q=0.1234", false},
    {"gzip;q=", false},
    {"gzip;q=abc", false},
    {"gzip;level=9", false},
    {"gzip;q=1.001", false},
    {"gzip;q=0.x", false},
    {"gzip;q=0./", false},
    {"gzip;q=0x5", false},
    {"gzip zipped", false},
    {"lzma, gzip", true},
    {"lzma,", false},
    {"gzip ", true},
    {";;,,q=1", false},
};

static void only_who_takes_it_gets_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(wishes); i++) {
        char headers[128];
        snprintf(headers, sizeof(headers), "Accept-Encoding: %s\r\n", wishes[i].accept);
        struct peer *peer = get(headers);
        if (is_packed(peer) != wishes[i].packed)
            fail_msg("\"%s\": %s expected", wishes[i].accept, wishes[i].packed ? "gzip" : "plain");
        assert_string_equal("Accept-Encoding", header_of(peer, "vary"));
        if (wishes[i].packed)
            assert_unpacks(peer, here.size);
        else
            assert_memory_equal(here.text, body_of(peer), here.size);
    }
    assert_false(is_packed(get("")));
}

static void what_ends_in_one_piece_has_a_length(void **state)
{
    (void)state;
    static const size_t sizes[] = {1024, 5000, 65536, 200000, BODY_MAX};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        here.size = sizes[i];
        struct peer *peer = get(GZIP);
        assert_true(is_packed(peer));
        assert_int_equal(body_size_of(peer), atoi(header_of(peer, "content-length")));
        assert_true(body_size_of(peer) < sizes[i]);
        assert_unpacks(peer, sizes[i]);
    }
}

static void only_what_is_text_and_worth_it_is_compressed(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        size_t size;
        int status;
        bool packed;
    } table[] = {
        {"text/html", 1024, 200, true},
        {"text/html", 1023, 200, false},
        {"text/css; charset=utf-8", 5000, 200, true},
        {"TEXT/PLAIN", 5000, 200, true},
        {"application/json", 5000, 200, true},
        {"application/problem+json; charset=utf-8", 5000, 200, true},
        {"image/svg+xml", 5000, 200, true},
        {"application/wasm", 5000, 200, true},
        {"text/html", 5000, 404, true},
        {"text/html", 5000, 500, true},
        {"image/png", 5000, 200, false},
        {"application/gzip", 5000, 200, false},
        {"application/octet-stream", 5000, 200, false},
        {"json", 5000, 200, false},
        {"", 5000, 200, false},
        {"text/html", 5000, 206, false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        const char *const headers[] = {"Content-Type", table[i].type, NULL};
        here.headers = headers;
        here.size = table[i].size;
        here.status = table[i].status;
        const struct peer *peer = get(GZIP);
        if (is_packed(peer) != table[i].packed)
            fail_msg("%s, %zu", table[i].type, table[i].size);
        assert_string_equal(table[i].packed ? "Accept-Encoding" : "", header_of(peer, "vary"));
    }
    here.headers = NULL; /* no type at all */
    here.status = 0;
    assert_false(is_packed(get(GZIP)));
}

static void what_is_text_need_not_say_so(void **state)
{
    static const char *const types[] = {
        "application/javascript",
        "application/xml; charset=utf-8",
        "application/atom+xml",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        const char *const headers[] = {"Content-Type", types[i], NULL};
        here.headers = headers;
        assert_true(is_packed(get(GZIP)));
    }
    here.headers = NULL;
}

static void a_wish_may_come_in_several_lines(void **state)
{
    static const char *const headers[] = {"Content-Type", "text/plain", NULL};
    (void)state;
    here.headers = headers;
    here.size = 5000;
    assert_true(is_packed(get("Accept-Encoding: br\r\nX: y\r\n" GZIP)));
    assert_false(is_packed(get("Accept-Encoding: *\r\nAccept-Encoding: gzip;q=0\r\n")));
    assert_false(is_packed(get("Accept-Encoding: br\r\nAccept-Encoding: deflate\r\n")));
    assert_false(is_packed(get("Accept-Encoding: gzip;q=0.5\r\nAccept-Encoding: identity\r\n")));
    static char lines[1400]; /* more than anybody means */
    snprintf(lines, sizeof(lines), "%sAccept-Encoding: %0600d\r\nAccept-Encoding: %0500d\r\n", GZIP,
             0, 0);
    assert_false(is_packed(get(lines)));
    here.headers = NULL;
}

static void what_is_encoded_or_not_to_be_touched_goes_as_it_is(void **state)
{
    (void)state;
    static const char *const table[][5] = {
        {"Content-Type", "text/plain", "Content-Encoding", "br", NULL},
        {"Content-Type", "text/plain", "Cache-Control", "max-age=9, no-transform", NULL},
        {"Content-Type", "text/plain", "Content-Range", "bytes 0-4999/9000", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        here.headers = table[i];
        const struct peer *peer = get(GZIP);
        assert_false(is_packed(peer));
        assert_int_equal(5000, body_size_of(peer));
        assert_string_equal("5000", header_of(peer, "content-length"));
    }
}

static void answers_without_a_body_have_none(void **state)
{
    (void)state;
    struct peer *peer = request("HEAD", "1.1", GZIP);
    assert_true(is_packed(peer)); /* as GET would be */
    assert_string_equal("", header_of(peer, "content-length"));
    assert_string_equal("Accept-Encoding", header_of(peer, "vary"));
    assert_int_equal(0, body_size_of(peer));
    here.size = 0;
    static const int statuses[] = {204, 304};
    for (size_t i = 0; i < ARRAY_LENGTH(statuses); i++) {
        here.status = statuses[i];
        peer = get(GZIP);
        assert_int_equal(statuses[i], status_of(peer));
        assert_false(is_packed(peer));
        assert_string_equal("", header_of(peer, "content-length"));
        assert_string_equal("", header_of(peer, "transfer-encoding"));
        assert_int_equal(0, body_size_of(peer));
    }
}

static void a_tag_of_what_was_compressed_is_weak(void **state)
{
    (void)state;
    static const char *const strong[] = {"Content-Type", "text/plain", "ETag", "\"abc\"", NULL};
    static const char *const weak[] = {"Content-Type", "text/plain", "ETag", "W/\"abc\"", NULL};
    here.headers = strong;
    assert_string_equal("W/\"abc\"", header_of(get(GZIP), "etag"));
    assert_string_equal("\"abc\"", header_of(get(""), "etag"));
    assert_string_equal("W/\"abc\"", header_of(request("HEAD", "1.1", GZIP), "etag"));
    here.headers = weak;
    assert_string_equal("W/\"abc\"", header_of(get(GZIP), "etag"));
    static char tag[400], weakened[sizeof(tag) + 2];
    const char *const large[] = {"Content-Type", "text/plain", "ETag", tag, NULL};
    memset(tag, '"', 399);
    memset(tag + 1, 'x', 397);
    snprintf(weakened, sizeof(weakened), "W/%s", tag);
    here.headers = large;
    struct peer *peer = get(GZIP);
    assert_true(is_packed(peer));
    assert_string_equal(weakened, header_of(peer, "etag"));
}

static void what_gets_no_smaller_goes_as_it_is(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (size_t i = 0; i < here.size; i++) {
        seed = seed * 1664525 + 1013904223;
        here.text[i] = (char)(seed >> 24);
    }
    const struct peer *peer = get(GZIP);
    assert_false(is_packed(peer));
    assert_string_equal("Accept-Encoding", header_of(peer, "vary"));
    assert_int_equal(here.size, body_size_of(peer));
    assert_memory_equal(here.text, body_of(peer), here.size);
}

/* One header more would be too much. */
static void without_room_for_its_header_nothing_is_compressed(void **state)
{
    (void)state;
    static char large[65536 - 64];
    const char *const headers[] = {"Content-Type", "text/plain", "X", large, NULL};
    memset(large, 'x', sizeof(large) - 1);
    here.headers = headers;
    const struct peer *peer = get(GZIP);
    assert_null(strstr(peer->bytes, "Content-Encoding"));
    assert_int_equal(here.size, body_size_of(peer));
    assert_memory_equal(here.text, body_of(peer), here.size);
}

static void vary_is_said_once(void **state)
{
    (void)state;
    static const char *const same[] = {"Content-Type", "text/plain", "Vary",
                                       "Origin, Accept-Encoding", NULL};
    static const char *const other[] = {"Content-Type", "text/plain", "Vary", "Origin", NULL};
    here.headers = same;
    const struct peer *peer = get(GZIP);
    const char *first = strstr(peer->bytes, "Vary:");
    assert_non_null(first);
    assert_null(strstr(first + 1, "Vary:"));
    here.headers = other;
    peer = get(GZIP);
    assert_non_null(strstr(peer->bytes, "Vary: Origin\r\n"));
    assert_non_null(strstr(peer->bytes, "Vary: Accept-Encoding\r\n"));
}

/* --- piece by piece --- */

static void answer_in_pieces(struct loop_http_response *res)
{
    size_t at = 0;
    for (size_t size = 1; at + size < here.size; at += size, size = size * 3 / 2 + 1)
        assert_true(loop_http_write(res, here.text + at, size) >= 0);
    assert_true(loop_http_end(res, here.text + at, here.size - at) >= 0);
}

static void pieces_are_one_stream(void **state)
{
    (void)state;
    static const size_t sizes[] = {2, 1000, 70000, BODY_MAX};
    here.answer = answer_in_pieces;
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        here.size = sizes[i];
        struct peer *peer = get(GZIP);
        assert_true(is_packed(peer));
        assert_string_equal("chunked", header_of(peer, "transfer-encoding"));
        assert_unpacks(peer, sizes[i]);
        peer = request("GET", "1.0", GZIP); /* until the connection closes */
        assert_string_equal("", header_of(peer, "transfer-encoding"));
        assert_string_equal("", header_of(peer, "content-length"));
        assert_unpacks(peer, sizes[i]);
    }
}

static void answer_with_trailer(struct loop_http_response *res)
{
    assert_int_equal(0, loop_http_add_trailer(res, "X-Sum", "42"));
    loop_http_end(res, here.text, here.size);
}

static void trailers_come_behind_what_was_compressed(void **state)
{
    (void)state;
    here.answer = answer_with_trailer;
    struct peer *peer = get(GZIP);
    assert_true(is_packed(peer));
    assert_string_equal("X-Sum: 42\r\n\r\n", peer->bytes + peer->size - 13);
    assert_unpacks(peer, here.size);
}

static const char *const long_enough[] = {"Content-Type", "text/plain", "Content-Length", "5000",
                                          NULL};

static void answer_too_short(struct loop_http_response *res)
{
    assert_true(loop_http_write(res, here.text, 4000) >= 0);
    assert_int_equal(-EMSGSIZE, loop_http_end(res, NULL, 0));
}

static void answer_too_long(struct loop_http_response *res)
{
    assert_true(loop_http_write(res, here.text, 4000) >= 0);
    assert_int_equal(-EMSGSIZE, loop_http_write(res, here.text, 1001));
    assert_true(loop_http_end(res, here.text + 4000, 1000) >= 0);
}

static void an_announced_length_is_that_of_what_is_written(void **state)
{
    (void)state;
    here.headers = long_enough;
    here.answer = answer_in_pieces;
    struct peer *peer = get(GZIP);
    assert_string_equal("", header_of(peer, "content-length"));
    assert_unpacks(peer, 5000);
    here.answer = answer_too_long;
    assert_unpacks(get(GZIP), 5000);
    here.answer = answer_too_short;
    peer = get(GZIP);
    assert_true(is_packed(peer));
    assert_memory_not_equal("0\r\n\r\n", peer->bytes + peer->size - 5, 5);
}

/* --- events --- */

enum { EVENTS = 20, EVENT_SIZE = 31 };

static struct {
    struct loop_http_response *res;
    struct loop_task task;
    z_stream stream;
    struct peer peer;
    char line[64]; /* of a chunk, or of the head */
    size_t line_size, chunk_left;
    bool in_body;
    size_t sent, read;
} events;

static void send_event(struct loop_task *task)
{
    (void)task;
    assert_true(loop_http_write(events.res, here.text + EVENT_SIZE * events.sent, EVENT_SIZE) >= 0);
    if (++events.sent == EVENTS)
        loop_http_end(events.res, NULL, 0);
}

static void answer_with_events(struct loop_http_response *res)
{
    events.res = res;
    loop_immediate(here.server.loop, &events.task, send_event);
}

static void unpack(const char *bytes, size_t size)
{
    char room[1024];
    events.stream.next_in = (Bytef *)(uintptr_t)bytes;
    events.stream.avail_in = (uInt)size;
    events.stream.next_out = (Bytef *)room;
    events.stream.avail_out = sizeof(room);
    int status = inflate(&events.stream, Z_SYNC_FLUSH);
    assert_true(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR);
    size_t made = sizeof(room) - events.stream.avail_out;
    assert_memory_equal(here.text + events.read, room, made);
    events.read += made;
}

/* A line has ended: of the head, or before a chunk, or behind one. */
static void on_line(void)
{
    events.line[events.line_size] = '\0';
    if (!events.in_body)
        events.in_body = events.line_size == 0;
    else if (events.line_size > 0)
        events.chunk_left = strtoul(events.line, NULL, 16);
    events.line_size = 0;
}

/* The next event is sent when the last can be read: a flush that is missing stops it all. */
static void read_events(struct peer *peer, const char *bytes, size_t size)
{
    for (; size > 0; bytes++, size--) {
        if (events.chunk_left > 0) {
            unpack(bytes, 1);
            events.chunk_left--;
        } else if (*bytes == '\n') {
            on_line();
        } else if (*bytes != '\r') {
            events.line[events.line_size] = *bytes;
            events.line_size += events.line_size < sizeof(events.line) - 1;
        }
    }
    if (events.read == EVENT_SIZE * events.sent && events.sent > 0 && events.sent < EVENTS)
        loop_immediate(peer->tcp.handle.loop, &events.task, send_event);
}

static void each_event_can_be_read_when_it_is_sent(void **state)
{
    memset(&events, 0, sizeof(events));
    static const char *const headers[] = {"Content-Type", "text/event-stream", NULL};
    here.headers = headers;
    here.answer = answer_with_events;
    assert_int_equal(Z_OK, inflateInit2(&events.stream, 15 + 16));
    events.peer.on_piece = read_events;
    peer_open(*state, loop_http_server_port(&here.server), &events.peer,
              "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n" GZIP "\r\n");
    loop_run(*state, LOOP_RUN_DEFAULT);
    assert_int_equal(EVENTS, events.sent);
    assert_int_equal(EVENTS * EVENT_SIZE, events.read);
    inflateEnd(&events.stream);
}

static void answer_and_lose(struct loop_http_response *res)
{
    events.res = res;
    assert_true(loop_http_write(res, here.text, 3000) >= 0);
}

static void end_of_lost(struct loop_http_response *res)
{
    loop_http_end(res, here.text, 3000);
}

static void answer_to_who_goes(struct loop_http_response *res)
{
    answer_and_lose(res);
    loop_http_on_close(res, end_of_lost);
}

static void go(struct peer *peer, const char *bytes, size_t size)
{
    (void)bytes, (void)size;
    loop_read_stop(&peer->tcp.stream);
    loop_stream_reset(&peer->tcp.stream, peer_closed);
}

static void a_peer_may_go_in_the_middle(void **state)
{
    memset(&events, 0, sizeof(events));
    here.answer = answer_to_who_goes;
    events.peer.on_piece = go;
    peer_open(*state, loop_http_server_port(&here.server), &events.peer,
              "GET / HTTP/1.1\r\nHost: here\r\n" GZIP "\r\n");
    loop_run(*state, LOOP_RUN_DEFAULT);
    while (here.server.stats.active > 0)
        loop_run(*state, LOOP_RUN_ONCE);
}

/* --- no more than so many --- */

enum { CROWD = COMPRESSORS_MAX + 12 };

static struct {
    struct peer peers[CROWD];
    struct loop_http_response *responses[CROWD];
    size_t asked, over;
} crowd;

static void answer_crowd(struct loop_http_response *res)
{
    assert_true(loop_http_write(res, here.text, 2000) >= 0);
    crowd.responses[crowd.asked++] = res;
    for (size_t i = 0; crowd.asked == CROWD && i < CROWD; i++)
        loop_http_end(crowd.responses[i], here.text + 2000, 3000);
}

static void on_member_over(struct peer *peer)
{
    if (++crowd.over == CROWD)
        loop_stop(peer->tcp.handle.loop);
}

static void beyond_a_number_responses_go_as_they_are(void **state)
{
    memset(&crowd, 0, sizeof(crowd));
    here.answer = answer_crowd;
    for (size_t i = 0; i < CROWD; i++) {
        crowd.peers[i].on_over = on_member_over;
        peer_open(*state, loop_http_server_port(&here.server), &crowd.peers[i],
                  "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n" GZIP "\r\n");
    }
    loop_run(*state, LOOP_RUN_DEFAULT);
    size_t packed = 0;
    for (size_t i = 0; i < CROWD; i++) {
        struct peer *peer = &crowd.peers[i];
        assert_string_equal("Accept-Encoding", header_of(peer, "vary"));
        packed += is_packed(peer);
        if (is_packed(peer))
            assert_unpacks(peer, 5000);
        else
            assert_int_equal(5000, join_chunks(strstr(peer->bytes, "\r\n\r\n") + 4));
        forget_answer(peer);
    }
    assert_int_equal(COMPRESSORS_MAX, packed);
    here.answer = answer_in_pieces; /* and all are free again */
    assert_true(is_packed(get(GZIP)));
}

#define compress_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        compress_test(only_who_takes_it_gets_it),
        compress_test(what_ends_in_one_piece_has_a_length),
        compress_test(only_what_is_text_and_worth_it_is_compressed),
        compress_test(what_is_text_need_not_say_so),
        compress_test(a_wish_may_come_in_several_lines),
        compress_test(what_is_encoded_or_not_to_be_touched_goes_as_it_is),
        compress_test(answers_without_a_body_have_none),
        compress_test(a_tag_of_what_was_compressed_is_weak),
        compress_test(what_gets_no_smaller_goes_as_it_is),
        compress_test(without_room_for_its_header_nothing_is_compressed),
        compress_test(vary_is_said_once),
        compress_test(pieces_are_one_stream),
        compress_test(trailers_come_behind_what_was_compressed),
        compress_test(an_announced_length_is_that_of_what_is_written),
        compress_test(each_event_can_be_read_when_it_is_sent),
        compress_test(a_peer_may_go_in_the_middle),
        compress_test(beyond_a_number_responses_go_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
