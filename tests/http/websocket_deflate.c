/* Deflated messages (RFC 7692): what is agreed on, what then may be sent, and what it costs.
 *
 * The server takes the first offer in which every parameter is known, comes once and has a value
 * that it may have; a list that is none is answered with 400. The client believes an answer to what
 * it has offered, in which the server forgets its window. Without the option there is no answer,
 * and a reserved bit is what it was, 1002.
 *
 * A message is deflated if its first frame has the bit, which no other frame may have. The examples
 * of the RFC inflate, cut at every byte. What does not inflate, or needs a window from before, is
 * closed with 1007, and so is text that is not UTF-8 when it is inflated; what inflates to more
 * than the limit with 1009. Pieces of a message without a limit come in rooms of 16 KiB, others
 * have their turn in between, and a pause stops them at once.
 *
 * What is sent comes as it was at the other end, whatever its size. It is deflated from a kibibyte
 * on if that makes it smaller, and if the peer grants a window that zlib has; never in parts. A
 * broadcast reaches each member in the form that it can read.
 *
 * SPDX-License-Identifier: MIT */
#include "server.h"

#include "websocket/websocket.h"

#include <zlib.h>

enum { ROOM = 16 * 1024, BIG = 1 << 20, BOMB = 64 << 20 };

#define RSV1 0x40U

/* --- what is agreed on --- */

/* "" or what else is answered; "-": nothing is agreed on; "!": that is no list. */
static const struct {
    const char *list, *answer;
} offers[] = {
    {"", "-"},
    {" , ,", "-"},
    {"x-webkit-deflate-frame", "-"},
    {"Permessage-Deflate", "-"},
    {"permessage-deflate", ""},
    {"\tpermessage-deflate ,", ""},
    {"permessage-deflate; client_max_window_bits", ""},
    {"permessage-deflate; client_max_window_bits=8", ""},
    {"permessage-deflate; client_max_window_bits=7", "-"},
    {"permessage-deflate;client_no_context_takeover;server_no_context_takeover", ""},
    {"permessage-deflate; client_no_context_takeover=1", "-"},
    {"permessage-deflate; server_no_context_takeover=\"true\"", "-"},
    {"permessage-deflate; server_max_window_bits=8", "; server_max_window_bits=8"},
    {"permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9"},
    {"permessage-deflate; server_max_window_bits = 10", "; server_max_window_bits=10"},
    {"permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15"},
    {"permessage-deflate; server_max_window_bits=\"1\\2\"", "; server_max_window_bits=12"},
    {"permessage-deflate; server_max_window_bits", "-"},
    {"permessage-deflate; server_max_window_bits=16", "-"},
    {"permessage-deflate; server_max_window_bits=08", "-"},
    {"permessage-deflate; server_max_window_bits=1", "-"},
    {"permessage-deflate; server_max_window_bits=100", "-"},
    {"permessage-deflate; server_max_window_bits=15000", "-"},
    {"permessage-deflate; server_max_window_bits=ten", "-"},
    {"permessage-deflate; unknown", "-"},
    {"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", "-"},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits", "-"},
    {"permessage-deflate; unknown, permessage-deflate", ""},
    {"foo; bar=\"baz\", permessage-deflate; server_max_window_bits=11",
     "; server_max_window_bits=11"},
    {"permessage-deflate; server_max_window_bits=9, permessage-deflate",
     "; server_max_window_bits=9"},
    {";", "!"},
    {"permessage-deflate;", "!"},
    {"permessage-deflate; ;", "!"},
    {"permessage-deflate foo", "!"},
    {"permessage-deflate; server_max_window_bits=", "!"},
    {"permessage-deflate; server_max_window_bits=\"\"", "!"},
    {"permessage-deflate; server_max_window_bits=\"10", "!"},
    {"permessage-deflate; server_max_window_bits=\"1 0\"", "!"},
    {"permessage-deflate; server_max_window_bits=\"10\\", "!"},
    {"permessage-deflate, \"", "!"},
    {"permessage-deflate; =9", "!"},
};

static void the_server_takes_the_first_offer_that_is_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(offers); i++) {
        struct websocket_terms terms = {0};
        char line[WEBSOCKET_ANSWER_SIZE], expected[WEBSOCKET_ANSWER_SIZE];
        bool list = websocket_offers_read(offers[i].list, &terms) == 0;
        if (!list || !terms.agreed) {
            assert_string_equal(list ? "-" : "!", offers[i].answer);
            continue;
        }
        snprintf(expected, sizeof(expected),
                 "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                 "client_no_context_takeover%s\r\n",
                 offers[i].answer);
        websocket_answer_print(&terms, line);
        assert_string_equal(expected, line);
    }
}

#define FORGETS "permessage-deflate; server_no_context_takeover"

static void the_client_believes_an_answer_to_its_offer_alone(void **state)
{
    static const struct {
        const char *list;
        unsigned bits; /* 0: it does not believe that */
    } table[] = {
        {FORGETS, 15},
        {FORGETS "; client_no_context_takeover", 15},
        {FORGETS "; client_max_window_bits=8", 8},
        {FORGETS "; client_max_window_bits=10; server_max_window_bits=9", 10},
        {FORGETS "; client_max_window_bits=\"11\"", 11},
        {"", 0},
        {"permessage-deflate", 0},
        {"permessage-deflate; client_no_context_takeover", 0},
        {FORGETS "=1", 0},
        {FORGETS "; client_max_window_bits", 0},
        {FORGETS "; client_max_window_bits=16", 0},
        {FORGETS "; server_max_window_bits=7", 0},
        {FORGETS "; server_no_context_takeover", 0},
        {FORGETS "; unknown", 0},
        {FORGETS ", " FORGETS, 0},
        {FORGETS ", foo", 0},
        {"foo", 0},
        {FORGETS ";", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        struct websocket_terms terms = {0};
        int status = websocket_answer_read(table[i].list, &terms);
        assert_int_equal(table[i].bits ? 0 : -EPROTO, status);
        if (status == 0)
            assert_int_equal(table[i].bits, terms.bits);
    }
}

/* --- a server, and a peer that sends what it wants --- */

static struct loop_websocket_options served;
static struct loop_websocket accepted[3];
static size_t accepted_count;
static struct peer peer;

static void echo(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                 size_t size)
{
    assert_int_equal('\0', bytes[size]);
    assert_true(loop_websocket_send(ws, type, bytes, size) >= 0);
}

static void on_end(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)reason;
    say("%u %s", code, loop_error_name(ws->error));
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_websocket_accept(res, &accepted[accepted_count++ % 3], &served);
}

static void serve(void **state, struct loop_websocket_options options)
{
    const struct loop_http_options server_options = {.on_request = on_request};
    served = options;
    served.on_close = on_end;
    accepted_count = 0;
    open_server_with(state, &server_options);
}

static void visit(struct peer *visitor, const char *extensions)
{
    peer_open(visitor);
    peer_send(visitor, "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    peer_send(visitor, extensions);
    peer_send(visitor, "\r\n");
    expect(visitor, "\r\n\r\n");
}

#define OFFER "Sec-WebSocket-Extensions: permessage-deflate\r\n"

/* A masked frame. */
static size_t frame(char *to, unsigned first, const void *bytes, size_t size)
{
    size_t head = 2;
    int more = size < 126 ? 0 : size < 65536 ? 2 : 8;
    to[0] = (char)first;
    to[1] = (char)(0x80 | (more == 0 ? size : more == 2 ? 126 : 127));
    for (int i = more; i-- > 0;)
        to[head++] = (char)((uint64_t)size >> (8 * i));
    memcpy(to + head, "mask", 4);
    head += 4;
    for (size_t i = 0; i < size; i++)
        to[head + i] = (char)(((const char *)bytes)[i] ^ "mask"[i % 4]);
    return head + size;
}

static void send_frame(unsigned first, const void *bytes, size_t size)
{
    char *text = malloc(size + 14);
    assert_non_null(text);
    peer_send_bytes(&peer, text, frame(text, first, bytes, size));
    free(text);
}

/* A frame of the server, whole; its payload is lent. */
static const char *receive(struct peer *from, unsigned *first, size_t *size)
{
    for (;; loop_run(loop, LOOP_RUN_ONCE)) {
        const unsigned char *at = (const unsigned char *)from->in + from->seen;
        size_t come = from->size - from->seen, head = 2;
        if (come < 2 || (at[1] >= 126 && come < 10))
            continue;
        int more = at[1] < 126 ? 0 : at[1] == 126 ? 2 : 8;
        *first = at[0];
        *size = more == 0 ? at[1] : 0;
        for (; more > 0; more--)
            *size = *size << 8 | at[head++];
        if (come < head + *size)
            continue;
        from->seen += head + *size;
        return (const char *)at + head;
    }
}

/* As zlib sees it: the form without the tail. Freed by the caller. */
static char *pack(const void *bytes, size_t size, size_t *packed_size)
{
    z_stream stream = {0};
    size_t room = size + size / 100 + 64;
    char *packed = malloc(room);
    assert_int_equal(Z_OK, deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY));
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = (Bytef *)packed;
    stream.avail_out = (uInt)room;
    assert_int_equal(Z_OK, deflate(&stream, Z_SYNC_FLUSH));
    *packed_size = stream.total_out - 4;
    deflateEnd(&stream);
    return packed;
}

/* What is behind a packed frame, with so many bits of window. */
static void assert_inflates(const char *packed, size_t packed_size, int bits, const char *bytes,
                            size_t size)
{
    z_stream stream = {0};
    char *room = malloc(size + 1);
    char *whole = malloc(packed_size + 4);
    memcpy(whole, packed, packed_size);
    memcpy(whole + packed_size, "\0\0\xff\xff", 4);
    assert_int_equal(Z_OK, inflateInit2(&stream, -bits));
    stream.next_in = (Bytef *)whole;
    stream.avail_in = (uInt)packed_size + 4;
    stream.next_out = (Bytef *)room;
    stream.avail_out = (uInt)size + 1;
    assert_int_equal(Z_OK, inflate(&stream, Z_SYNC_FLUSH));
    assert_int_equal(size, stream.total_out);
    assert_memory_equal(bytes, room, size);
    inflateEnd(&stream);
    free(whole);
    free(room);
}

static void the_handshake_says_what_was_agreed_on(void **state)
{
    serve(state, (struct loop_websocket_options){.deflate = true});
    visit(&peer, OFFER);
    assert_non_null(strstr(peer.in, "\r\nSec-WebSocket-Extensions: permessage-deflate; "
                                    "server_no_context_takeover; client_no_context_takeover\r\n"));
    peer_close(&peer);
    visit(&peer, "");
    assert_null(strstr(peer.in, "Extensions"));
    peer_close(&peer);
    visit(&peer, "Sec-WebSocket-Extensions: foo\r\n" OFFER);
    assert_non_null(strstr(peer.in, "Extensions"));
    peer_close(&peer);
    visit(&peer, "Sec-WebSocket-Extensions: permessage-deflate;\r\n");
    assert_non_null(strstr(peer.in, " 400 "));
    peer_close(&peer);
    served.deflate = false;
    visit(&peer, "Sec-WebSocket-Extensions: permessage-deflate;\r\n");
    assert_non_null(strstr(peer.in, " 101 "));
    assert_null(strstr(peer.in, "Extensions"));
    peer_close(&peer);
    close_server();
    said();
}

/* --- what may come --- */

struct part {
    unsigned first;
    const char *bytes;
    size_t size;
};

#define PART(first, bytes)                                                                         \
    {                                                                                              \
        first, bytes, sizeof(bytes) - 1                                                            \
    }

/* Frames, and what is answered: a text, or the code of a close frame. */
static const struct {
    struct part parts[3];
    const char *answer;
    unsigned code;
} cases[] = {
    /* RFC 7692, 7.2.3 */
    {{PART(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00")}, "Hello", 0},
    {{PART(0x41, "\xf2\x48\xcd"), PART(0x80, "\xc9\xc9\x07\x00")}, "Hello", 0},
    {{PART(0x41, "\xf2\x48\xcd"), PART(0x89, ""), PART(0x80, "\xc9\xc9\x07\x00")}, "Hello", 0},
    {{PART(0x41, "\xf2\x48\xcd\xc9\xc9\x07\x00"), PART(0x80, "")}, "Hello", 0},
    {{PART(0x41, ""), PART(0x80, "\xf2\x48\xcd\xc9\xc9\x07\x00")}, "Hello", 0},
    {{PART(0xc1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")}, "Hello", 0},
    {{PART(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")}, "Hello", 0},
    {{PART(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")}, "Hello", 0},
    {{PART(0xc1, "\x00")}, "", 0},
    {{PART(0x81, "Hello")}, "Hello", 0},
    {{PART(0x01, "Hel"), PART(0x80, "lo")}, "Hello", 0},
    /* a window of the message before */
    {{PART(0xc1, "\xf2\x00\x11\x00\x00")}, NULL, 1007},
    {{PART(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), PART(0xc1, "\xf2\x00\x11\x00\x00")},
     "Hello",
     1007},
    /* no blocks, or not whole ones */
    {{PART(0xc1, "")}, NULL, 1007},
    {{PART(0xc1, "Hello")}, NULL, 1007},
    {{PART(0xc2, "\xff\xff\xff\xff")}, NULL, 1007},
    {{PART(0xc2, "\xf2\x48\xcd\xc9")}, NULL, 1007},
    {{PART(0xc2, "\x00\x05\x00\xfa")}, NULL, 1007},
    {{PART(0x42, "\xff")}, NULL, 1007},
    /* text that is not UTF-8: a byte ff, and half a character at the end, stored */
    {{PART(0xc1, "\x00\x01\x00\xfe\xff\xff\x00")}, NULL, 1007},
    {{PART(0xc1, "\x00\x02\x00\xfd\xff\xe2\x82\x00")}, NULL, 1007},
    {{PART(0x41, "\x00\x02\x00\xfd\xff\xe2\x82"), PART(0x80, "\x00\x01\x00\xfe\xff\xac\x00")},
     "\xe2\x82\xac",
     0},
    /* the bit where it may not be, and the other two */
    {{PART(0x01, "Hel"), PART(0xc0, "lo")}, NULL, 1002},
    {{PART(0x41, "\xf2\x48\xcd"), PART(0xc0, "\xc9\xc9\x07\x00")}, NULL, 1002},
    {{PART(0xc9, "ping")}, NULL, 1002},
    {{PART(0xca, "")}, NULL, 1002},
    {{PART(0xc8, "\x03\xe8")}, NULL, 1002},
    {{PART(0xa1, "Hello")}, NULL, 1002},
    {{PART(0x91, "Hello")}, NULL, 1002},
    {{PART(0xe1, "\xf2\x48\xcd\xc9\xc9\x07\x00")}, NULL, 1002},
    {{PART(0xc3, "")}, NULL, 1002},
    {{PART(0x41, "\xf2\x48\xcd"), PART(0xc1, "\xc9\xc9\x07\x00")}, NULL, 1002},
};

static const char *receive_data(unsigned *first, size_t *size)
{
    const char *bytes = receive(&peer, first, size);
    return *first == 0x8a ? receive(&peer, first, size) : bytes; /* it has been pinged */
}

static void check_case(size_t which, const char *bytes, size_t size, size_t cut)
{
    unsigned first;
    size_t got;
    visit(&peer, OFFER);
    peer_send_bytes(&peer, bytes, cut);
    settle();
    peer_send_bytes(&peer, bytes + cut, size - cut);
    if (cases[which].answer) {
        const char *answer = receive_data(&first, &got);
        assert_int_equal(0x81, first);
        assert_int_equal(strlen(cases[which].answer), got);
        assert_memory_equal(cases[which].answer, answer, got);
    }
    if (cases[which].code) {
        const char *answer = receive_data(&first, &got);
        assert_int_equal(0x88, first);
        assert_int_equal(cases[which].code, (unsigned)(uint8_t)answer[0] << 8 | (uint8_t)answer[1]);
    }
    peer_reset(&peer);
}

static void frames_have_the_same_verdict_wherever_they_are_cut(void **state)
{
    char bytes[128];
    serve(state, (struct loop_websocket_options){.deflate = true, .on_message = echo});
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        size_t size = 0;
        for (const struct part *part = cases[i].parts; part->bytes; part++) {
            size += frame(bytes + size, part->first, part->bytes, part->size);
            if (part == &cases[i].parts[2])
                break;
        }
        for (size_t cut = 0; cut < size; cut++)
            check_case(i, bytes, size, cut);
        said();
    }
    close_server();
}

static void what_does_not_inflate_is_told_from_what_is_not_text(void **state)
{
    serve(state, (struct loop_websocket_options){.deflate = true, .on_message = echo});
    visit(&peer, OFFER);
    send_frame(0xc1, "Hello", 5);
    expect(&peer, "data that does not inflate");
    peer_close(&peer);
    visit(&peer, OFFER);
    send_frame(0xc1, "\x00\x01\x00\xfe\xff\xff\x00", 7);
    expect(&peer, "text that is not UTF-8");
    peer_close(&peer);
    assert_said("1007 EBADMSG 1007 EILSEQ");
    close_server();
}

static void without_the_option_a_reserved_bit_is_refused(void **state)
{
    serve(state, (struct loop_websocket_options){.on_message = echo});
    visit(&peer, OFFER);
    send_frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    expect(&peer, "not the WebSocket protocol");
    peer_close(&peer);
    assert_said("1002 EPROTO");
    close_server();
}

/* --- too much --- */

static void a_message_that_inflates_beyond_the_limit_is_refused(void **state)
{
    size_t size;
    char *zeros = calloc(1, BIG + 1);
    serve(state, (struct loop_websocket_options){.deflate = true, .on_message = echo});
    for (size_t more = 0; more < 2; more++) {
        char *bomb = pack(zeros, BIG + more, &size);
        unsigned first;
        visit(&peer, OFFER);
        send_frame(0xc2, bomb, size);
        const char *answer = receive(&peer, &first, &size);
        assert_int_equal(more ? 0x88 : 0xc2, first);
        if (more)
            assert_memory_equal("\x03\xf1", answer, 2);
        else
            assert_inflates(answer, size, 15, zeros, BIG);
        peer_close(&peer);
        free(bomb);
    }
    assert_said("1006 EOF 1009 EMSGSIZE");
    free(zeros);
    close_server();
}

static void a_message_of_the_limit_may_be_larger_on_the_wire(void **state)
{
    size_t size;
    char noise[1000];
    unsigned first;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(i * i * 2654435761U >> 9);
    serve(state, (struct loop_websocket_options){.deflate = true,
                                                 .on_message = echo,
                                                 .message_bytes = sizeof(noise)});
    visit(&peer, OFFER);
    char stored[sizeof(noise) + 6] = {0, (char)0xe8, 3, 0x17, (char)0xfc};
    memcpy(stored + 5, noise, sizeof(noise));
    send_frame(0xc2, stored, sizeof(stored));
    const char *answer = receive(&peer, &first, &size);
    assert_int_equal(0x82, first);
    assert_int_equal(sizeof(noise), size);
    assert_memory_equal(noise, answer, size);
    peer_close(&peer);
    said();
    close_server();
}

static struct flow {
    uint64_t size;
    size_t pieces, ends, turns, piece_max;
    size_t pause_at; /* the number of a piece */
    size_t close_at;
} flow;

static void on_piece(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                     size_t size, bool ends)
{
    (void)type;
    (void)bytes;
    flow.size += size;
    flow.ends += ends;
    flow.piece_max = size > flow.piece_max ? size : flow.piece_max;
    flow.pieces++;
    if (flow.pieces == flow.pause_at)
        loop_websocket_pause(ws);
    if (flow.pieces == flow.close_at)
        loop_websocket_close(ws, 1000, NULL);
}

static void open_flow(void **state)
{
    size_t size;
    char *zeros = calloc(1, BOMB);
    flow = (struct flow){0};
    serve(state, (struct loop_websocket_options){.deflate = true, .on_piece = on_piece});
    visit(&peer, OFFER);
    char *bomb = pack(zeros, BOMB, &size);
    free(zeros);
    send_frame(0xc2, bomb, size);
    free(bomb);
}

static void a_bomb_comes_in_small_pieces_and_many_turns(void **state)
{
    open_flow(state);
    while (flow.ends == 0) {
        uint64_t before = flow.size;
        loop_run(loop, LOOP_RUN_ONCE);
        assert_true(flow.size - before <= 2 * 256 * 1024);
        flow.turns++;
    }
    assert_true(flow.size == BOMB);
    assert_int_equal(ROOM, flow.piece_max);
    assert_true(flow.turns >= BOMB / (2 * 256 * 1024));
    peer_close(&peer);
    assert_said("1006 EOF");
    close_server();
}

static void a_pause_stops_the_pieces_at_once(void **state)
{
    open_flow(state);
    for (flow.pause_at = 1; flow.pause_at < 60; flow.pause_at++) {
        while (flow.pieces < flow.pause_at)
            loop_run(loop, LOOP_RUN_NOWAIT);
        settle();
        assert_int_equal(flow.pause_at, flow.pieces);
        loop_websocket_resume(&accepted[0]);
    }
    flow.pause_at = 0;
    while (flow.ends == 0)
        loop_run(loop, LOOP_RUN_NOWAIT);
    assert_true(flow.size == BOMB);
    send_frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    while (flow.ends == 1)
        loop_run(loop, LOOP_RUN_NOWAIT);
    assert_true(flow.size == BOMB + 5);
    peer_close(&peer);
    said();
    close_server();
}

static void a_socket_may_be_closed_while_it_inflates(void **state)
{
    for (size_t at = 1; at < 40; at++) {
        unsigned first;
        size_t size;
        open_flow(state);
        flow.close_at = at;
        receive(&peer, &first, &size);
        assert_int_equal(0x88, first);
        assert_int_equal(at, flow.pieces);
        send_frame(0x88, "\x03\xe8", 2);
        assert_int_equal(0, expect_end(&peer));
        assert_int_equal(at, flow.pieces);
        peer_close(&peer);
        assert_said("1000 OK");
        close_server();
    }
}

/* The rest of a piece that has waited for its turn is bad, and more had come behind it. */
static void who_breaks_the_rules_after_a_rest_is_let_go(void **state)
{
    size_t size;
    unsigned first;
    char *zeros = calloc(1, BIG);
    serve(state, (struct loop_websocket_options){.deflate = true, .on_piece = on_piece});
    visit(&peer, OFFER);
    char *packed = pack(zeros, BIG, &size);
    char *both = malloc(size + 64);
    packed[size - 1] = (char)0xff; /* the head of the empty block, now of no kind */
    size = frame(both, 0xc2, packed, size);
    size += frame(both + size, 0x81, "Hello", 5);
    peer_send_bytes(&peer, both, size);
    const char *answer = receive(&peer, &first, &size);
    assert_int_equal(0x88, first);
    assert_memory_equal("\x03\xef", answer, 2);
    peer_close(&peer);
    assert_said("1007 EBADMSG");
    free(both);
    free(packed);
    free(zeros);
    close_server();
}

static void a_socket_that_is_lost_in_a_message_leaves_nothing(void **state)
{
    serve(state, (struct loop_websocket_options){.deflate = true, .on_message = echo});
    visit(&peer, OFFER);
    send_frame(0x41, "\xf2\x48\xcd", 3);
    settle();
    peer_close(&peer);
    assert_said("1006 EOF");
    close_server();
}

/* --- both ends --- */

static struct loop_websocket client;
static char *payload;
static uint64_t got_bytes, sent_bytes; /* of the client's link */
static size_t at_size;
static int round_trips;
static const size_t sizes[] = {0,     1,     125,   1023,  1024,   1025,   4095,    16383,
                               16384, 16385, 65535, 65536, 262144, 300000, 1000000, BIG};

/* Text, then the same as noise. */
static void fill_payload(void)
{
    uint32_t number = 1;
    for (size_t i = 0; i < BIG; i++) {
        number = number * 1664525 + 1013904223;
        payload[i] =
            round_trips % 2 ? (char)(number >> 24) : (char)('a' + number / 5 % 7 * (i / 64 % 3));
    }
}

static void send_next(struct loop_websocket *ws)
{
    fill_payload();
    enum loop_websocket_type type = round_trips % 2 ? LOOP_WEBSOCKET_BINARY : LOOP_WEBSOCKET_TEXT;
    size_t size = sizes[at_size];
    if (at_size % 4 != 3) {
        assert_true(loop_websocket_send(ws, type, payload, size) >= 0);
        return;
    }
    assert_true(loop_websocket_send_part(ws, type, payload, size / 2, false) >= 0);
    assert_true(loop_websocket_send_part(ws, type, payload + size / 2, size - size / 2, true) >= 0);
}

static void compare(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                    size_t size)
{
    assert_int_equal(round_trips % 2 ? LOOP_WEBSOCKET_BINARY : LOOP_WEBSOCKET_TEXT, type);
    assert_int_equal(sizes[at_size], size);
    assert_memory_equal(payload, bytes, size);
    at_size += (size_t)(round_trips++ % 2);
    if (at_size < ARRAY_LENGTH(sizes))
        send_next(ws);
    else
        loop_websocket_close(ws, 1000, NULL);
    got_bytes = ws->link->bytes_in;
    sent_bytes = ws->link->bytes_out;
}

/* Half of it is noise, and of the other half every fourth message is sent in parts. */
static void check_traffic(bool deflated)
{
    uint64_t total = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++)
        total += 2 * sizes[i];
    assert_true((got_bytes < total * 7 / 10) == deflated);
    assert_true((sent_bytes < total * 9 / 10) == deflated);
}

static void visit_with(bool server_deflates, bool client_deflates)
{
    char url[64];
    const struct loop_websocket_options options = {.deflate = client_deflates,
                                                   .on_open = send_next,
                                                   .on_message = compare,
                                                   .on_close = on_end};
    served.deflate = server_deflates;
    at_size = 0;
    round_trips = 0;
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/", loop_http_server_port(&server));
    client = (struct loop_websocket){0};
    assert_int_equal(0, loop_websocket_connect(loop, &client, url, &options));
    while (client.state != LOOP_WEBSOCKET_CLOSED)
        loop_run(loop, LOOP_RUN_ONCE);
    settle();
    assert_int_equal(2 * ARRAY_LENGTH(sizes), round_trips);
    assert_said("1000 OK 1000 OK");
    check_traffic(server_deflates && client_deflates);
}

static void messages_of_all_sizes_come_as_they_were_at_both_ends(void **state)
{
    payload = malloc(BIG + 1);
    serve(state, (struct loop_websocket_options){.on_message = echo});
    visit_with(true, true);
    visit_with(true, false);
    visit_with(false, true);
    free(payload);
    close_server();
}

/* --- what is sent --- */

/* What is sent to a peer with such an offer: the first byte of the frame, and its window. */
static const struct {
    const char *offer;
    size_t size;
    unsigned first;
    int bits;
} sends[] = {
    {"permessage-deflate", 1023, 0x81, 0},
    {"permessage-deflate", 1024, 0xc1, 10},
    {"permessage-deflate", 1 << 20, 0xc1, 15},
    {"permessage-deflate; server_max_window_bits=9", 1 << 20, 0xc1, 9},
    {"permessage-deflate; server_max_window_bits=12", 1 << 20, 0xc1, 12},
    {"permessage-deflate; server_max_window_bits=8", 1 << 20, 0x81, 0},
    {"foo", 1 << 20, 0x81, 0},
};

static void check_send(size_t i, const char *text)
{
    char line[128];
    unsigned first;
    size_t size;
    struct loop_websocket *ws = &accepted[i % 3];
    snprintf(line, sizeof(line), "Sec-WebSocket-Extensions: %s\r\n", sends[i].offer);
    visit(&peer, line);
    assert_true(loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, text, sends[i].size) >= 0);
    const char *bytes = receive(&peer, &first, &size);
    assert_int_equal(sends[i].first, first);
    if (first & RSV1)
        assert_inflates(bytes, size, sends[i].bits, text, sends[i].size);
    assert_true(loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, text, 5000, false) >= 0);
    assert_int_equal(-EBUSY, loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, text, 5000));
    assert_true(loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, "", 0, true) >= 0);
    receive(&peer, &first, &size);
    assert_int_equal(0x01, first);
    peer_close(&peer);
    assert_int_equal(-EPIPE, loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, text, 5000));
}

static void only_what_is_worth_it_is_deflated(void **state)
{
    char *text = malloc(BIG);
    uint32_t number = 1;
    for (size_t i = 0; i < BIG; i++)
        text[i] = (char)('a' + (number = number * 1664525 + 1013904223) / 65536 % 4);
    serve(state, (struct loop_websocket_options){.deflate = true});
    for (size_t i = 0; i < ARRAY_LENGTH(sends); i++)
        check_send(i, text);
    free(text);
    said();
    close_server();
}

static void each_member_hears_a_broadcast_in_its_own_form(void **state)
{
    static const char *const asked[] = {
        OFFER, "", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n"};
    static const unsigned expected[] = {0xc1, 0x81, 0x81};
    struct loop_websocket_group group;
    struct peer peers[3];
    char text[5000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i / 7 % 26);
    serve(state, (struct loop_websocket_options){.deflate = true});
    loop_websocket_group_init(&group);
    for (size_t i = 0; i < 3; i++) {
        visit(&peers[i], asked[i]);
        assert_int_equal(0, loop_websocket_join(&group, &accepted[i]));
    }
    for (size_t size = 1000; size <= sizeof(text); size += 4000) {
        assert_int_equal(0,
                         loop_websocket_broadcast(&group, LOOP_WEBSOCKET_TEXT, text, size, NULL));
        for (size_t i = 0; i < 3; i++) {
            unsigned first;
            size_t got;
            const char *bytes = receive(&peers[i], &first, &got);
            assert_int_equal(size < 1024 ? 0x81 : expected[i], first);
            if (first & RSV1) {
                assert_inflates(bytes, got, 15, text, size);
            } else {
                assert_int_equal(size, got);
                assert_memory_equal(text, bytes, size);
            }
        }
    }
    for (size_t i = 0; i < 3; i++)
        peer_close(&peers[i]);
    said();
    close_server();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(the_server_takes_the_first_offer_that_is_good),
        real_test(the_client_believes_an_answer_to_its_offer_alone),
        real_test(the_handshake_says_what_was_agreed_on),
        real_test(frames_have_the_same_verdict_wherever_they_are_cut),
        real_test(what_does_not_inflate_is_told_from_what_is_not_text),
        real_test(without_the_option_a_reserved_bit_is_refused),
        real_test(a_message_that_inflates_beyond_the_limit_is_refused),
        real_test(a_message_of_the_limit_may_be_larger_on_the_wire),
        real_test(a_bomb_comes_in_small_pieces_and_many_turns),
        real_test(a_pause_stops_the_pieces_at_once),
        real_test(a_socket_may_be_closed_while_it_inflates),
        real_test(who_breaks_the_rules_after_a_rest_is_let_go),
        real_test(a_socket_that_is_lost_in_a_message_leaves_nothing),
        real_test(messages_of_all_sizes_come_as_they_were_at_both_ends),
        real_test(only_what_is_worth_it_is_deflated),
        real_test(each_member_hears_a_broadcast_in_its_own_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
