/* Both ends of a WebSocket are ours here: a client and a server on one loop.
 *
 * Both hear on_open, then messages in their order, then on_close, once, whoever closes and when:
 * after a message, in any callback, both at the same time. Code and reason arrive at the other end.
 * Behind a close nothing is told and nothing can be sent.
 *
 * A send says when to wait and on_drain when to go on; beyond the cap it is refused, and no message
 * is lost or cut. While a socket is paused nothing is told, whatever has come already, and all of
 * it is told afterwards. What is sent to a group reaches all its members but one, built once.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 3, BIG = 100000 };

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_websocket_options options[2]; /* of clients, of the server */
    struct loop_websocket clients[CLIENTS], servers[CLIENTS];
    struct loop_websocket_group group;
    int wanted, accepted, closed;
    size_t got, sent, refused;
    struct loop_task task;
    char *big;
    char url[64];
} fixture;

static struct loop_websocket *client(void)
{
    return &fixture.clients[0];
}

static struct loop_websocket *server(void)
{
    return &fixture.servers[0];
}

static const char *name_of(const struct loop_websocket *ws)
{
    return ws->data;
}

static void on_open(struct loop_websocket *ws)
{
    assert_int_equal(LOOP_WEBSOCKET_OPEN, ws->state);
    say("%s:open", name_of(ws));
}

static void on_message(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                       size_t size)
{
    assert_int_equal('\0', bytes[size]);
    say("%s:%s%.*s", name_of(ws), type == LOOP_WEBSOCKET_BINARY ? "#" : "", (int)size, bytes);
}

/* The server goes last: its end would be that of the sockets, too. */
static void count_closed(void)
{
    if (++fixture.closed == 2 * fixture.wanted)
        loop_http_server_close(&fixture.server, 0, NULL);
}

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    assert_int_equal(LOOP_PHASE_CLOSING, loop_phase(fixture.loop));
    say("%s:closed:%u%s%s%s%s", name_of(ws), code, *reason ? ":" : "", reason, ws->error ? ":" : "",
        ws->error ? loop_error_name(ws->error) : "");
    assert_int_equal(-EPIPE, loop_websocket_send_text(ws, "late"));
    memset(ws, 0, sizeof(*ws));
    count_closed();
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    struct loop_websocket *ws = &fixture.servers[fixture.accepted++];
    assert_int_equal(0, loop_websocket_accept(res, ws, &fixture.options[1]));
}

static int set_up(void **state)
{
    const struct loop_http_options options = {.on_request = on_request};
    static const struct loop_websocket_options both = {.on_open = on_open,
                                                       .on_message = on_message,
                                                       .on_close = on_close};
    if (setup_real(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state, .options = {both, both}, .wanted = 1};
    for (int i = 0; i < CLIENTS; i++) {
        static const char *const names[] = {"c", "s", "c2", "s2", "c3", "s3"};
        fixture.clients[i].data = (void *)(uintptr_t)names[2 * i];
        fixture.servers[i].data = (void *)(uintptr_t)names[2 * i + 1];
    }
    loop_websocket_group_init(&fixture.group);
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.1", 0, 0));
    snprintf(fixture.url, sizeof(fixture.url), "ws://127.0.0.1:%u/a?b",
             loop_http_server_port(&fixture.server));
    return 0;
}

/* Connects all, and runs until all is over. */
static void run(void)
{
    for (int i = 0; i < fixture.wanted; i++)
        assert_int_equal(0, loop_websocket_connect(fixture.loop, &fixture.clients[i], fixture.url,
                                                   &fixture.options[0]));
    assert_int_equal(-EBUSY, loop_websocket_connect(fixture.loop, client(), fixture.url, NULL));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_int_equal(2 * fixture.wanted, fixture.closed);
    free(fixture.big);
    fixture.big = NULL;
}

/* --- messages --- */

static void talk(struct loop_websocket *ws)
{
    on_open(ws);
    assert_int_equal(0, loop_websocket_send_text(ws, "one"));
    assert_int_equal(0, loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, "two", 3));
    assert_int_equal(0, loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, NULL, 0));
    assert_int_equal(-EINVAL, loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, NULL, 1));
    assert_int_equal(-EINVAL, loop_websocket_send(ws, (enum loop_websocket_type)8, "x", 1));
    assert_int_equal(-EINVAL, loop_websocket_send_text(ws, NULL));
    assert_int_equal(-EILSEQ, loop_websocket_send_text(ws, "\xff"));
    assert_int_equal(-EILSEQ, loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, "\xc3\xa4", 1));
    assert_int_equal(0, loop_websocket_close(ws, 4000, "done"));
    assert_int_equal(-EALREADY, loop_websocket_close(ws, 1000, NULL));
    assert_int_equal(-EPIPE, loop_websocket_send_text(ws, "late"));
    assert_int_equal(-EPIPE, loop_websocket_ping(ws, "late", 4));
}

static void messages_arrive_in_order_and_then_the_close(void **state)
{
    (void)state;
    fixture.options[0].on_open = talk;
    run();
    assert_said("s:open c:open s:one s:#two s: s:closed:4000:done c:closed:4000");
}

static void a_server_may_talk_first(void **state)
{
    (void)state;
    fixture.options[1].on_open = talk;
    run();
    assert_said("s:open c:open c:one c:#two c: s:closed:4000 c:closed:4000:done");
}

static void send_parts(struct loop_websocket *ws)
{
    assert_int_equal(0, loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, "\xc3", 1, false));
    assert_int_equal(-EBUSY, loop_websocket_send_text(ws, "another"));
    assert_int_equal(-EINVAL, loop_websocket_send_part(ws, LOOP_WEBSOCKET_BINARY, "x", 1, true));
    assert_int_equal(0, loop_websocket_ping(ws, "between", 7));
    assert_int_equal(0, loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, "\xa4", 1, false));
    assert_int_equal(0, loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, NULL, 0, true));
    assert_int_equal(0, loop_websocket_send_part(ws, LOOP_WEBSOCKET_BINARY, "all", 3, true));
    assert_int_equal(0, loop_websocket_send_text(ws, "another"));
}

static void on_pong(struct loop_websocket *ws, const char *bytes, size_t size)
{
    say("%s:pong:%.*s", name_of(ws), (int)size, bytes);
    assert_int_equal(-EMSGSIZE, loop_websocket_ping(ws, bytes, 126));
    assert_int_equal(0, loop_websocket_close(ws, 0, NULL));
}

static void a_message_may_be_sent_in_parts(void **state)
{
    (void)state;
    fixture.options[0].on_open = send_parts;
    fixture.options[0].on_pong = on_pong;
    run();
    assert_said("s:open s:\xc3\xa4 s:#all s:another c:pong:between s:closed:1005 c:closed:1005");
}

static void on_piece(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                     size_t size, bool ends)
{
    assert_int_equal(LOOP_WEBSOCKET_BINARY, type);
    for (size_t i = 0; i < size; i++)
        assert_int_equal((char)((fixture.got + i) * 7), bytes[i]);
    fixture.got += size;
    if (ends)
        loop_websocket_close(ws, 1000, NULL);
}

static void fill_big(size_t size)
{
    fixture.big = malloc(size);
    for (size_t i = 0; i < size; i++)
        fixture.big[i] = (char)(i * 7);
}

static void send_big(struct loop_websocket *ws)
{
    size_t size = 30 * BIG;
    fill_big(size);
    assert_true(loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, fixture.big, size) >= 0);
}

static void pieces_are_told_as_they_come_and_have_no_limit(void **state)
{
    (void)state;
    fixture.options[0].on_open = send_big;
    fixture.options[1].on_piece = on_piece;
    run();
    assert_int_equal(30 * BIG, fixture.got);
    assert_said("s:open s:closed:1000 c:closed:1000");
}

/* --- closing --- */

static void close_at_once(struct loop_websocket *ws)
{
    on_open(ws);
    assert_int_equal(0, loop_websocket_close(ws, 1000, name_of(ws)));
}

static void both_may_close_at_the_same_time(void **state)
{
    (void)state;
    fixture.options[0].on_open = fixture.options[1].on_open = close_at_once;
    run();
    assert_said("s:open c:open s:closed:1000:c c:closed:1000:s");
}

static void close_in_message(struct loop_websocket *ws, enum loop_websocket_type type,
                             const char *bytes, size_t size)
{
    on_message(ws, type, bytes, size);
    assert_int_equal(0, loop_websocket_close(ws, 3000, "enough"));
}

static void behind_a_close_no_message_is_told(void **state)
{
    (void)state;
    fixture.options[0].on_open = talk;
    fixture.options[1].on_message = close_in_message;
    run();
    assert_said("s:open c:open s:one s:closed:4000:done c:closed:3000:enough");
}

static void reset_in_message(struct loop_websocket *ws, enum loop_websocket_type type,
                             const char *bytes, size_t size)
{
    on_message(ws, type, bytes, size);
    loop_websocket_reset(ws);
    loop_websocket_reset(ws);
    assert_int_equal(-EALREADY, loop_websocket_close(ws, 1000, NULL));
}

static void send_one(struct loop_websocket *ws)
{
    assert_int_equal(0, loop_websocket_send_text(ws, "one"));
}

static void a_reset_ends_both(void **state)
{
    (void)state;
    fixture.options[0].on_open = send_one;
    fixture.options[1].on_message = reset_in_message;
    run();
    assert_said("s:open s:one s:closed:1006:ECANCELED c:closed:1006:ECONNRESET");
}

static void bad_closes(struct loop_websocket *ws)
{
    static const unsigned codes[] = {1, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 70536};
    char reason[125] = {0};
    memset(reason, 'r', 124);
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
        assert_int_equal(-EINVAL, loop_websocket_close(ws, codes[i], NULL));
    assert_int_equal(-EINVAL, loop_websocket_close(ws, 1000, reason));
    assert_int_equal(-EINVAL, loop_websocket_close(ws, 1000, "\xff"));
    assert_int_equal(-EINVAL, loop_websocket_close(ws, 0, "no code"));
    assert_int_equal(0, loop_websocket_close(ws, 1000, reason + 1));
}

static void a_close_that_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    fixture.options[0].on_open = bad_closes;
    fixture.options[0].on_close = fixture.options[1].on_close = on_close;
    run();
    assert_non_null(strstr(said(), "c:closed:1000"));
}

/* --- pausing --- */

static void send_hundred(struct loop_websocket *ws)
{
    char text[12];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(0, loop_websocket_send_text(ws, text));
    }
    assert_int_equal(0, loop_websocket_close(ws, 1000, NULL));
}

static void close_after(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                        size_t size)
{
    on_message(ws, type, bytes, size);
    assert_int_equal(0, loop_websocket_close(ws, 1000, NULL));
}

static void go_on(struct loop_task *task)
{
    (void)task;
    loop_websocket_resume(server());
    loop_websocket_resume(server());
}

static void pause_each(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                       size_t size)
{
    (void)type;
    (void)size;
    assert_int_equal(fixture.got++, atoi(bytes));
    loop_websocket_pause(ws);
    loop_websocket_pause(ws);
    if (fixture.got % 3 == 0)
        loop_websocket_resume(ws);
    else
        loop_immediate(fixture.loop, &fixture.task, go_on);
}

static void a_paused_socket_tells_everything_later(void **state)
{
    (void)state;
    fixture.options[0].on_open = send_hundred;
    fixture.options[1].on_message = pause_each;
    run();
    assert_int_equal(100, fixture.got);
    assert_said("s:open s:closed:1000 c:closed:1000");
}

static void close_paused(struct loop_task *task)
{
    (void)task;
    assert_int_equal(0, loop_websocket_close(server(), 1000, "paused"));
}

static void pause_and_close(struct loop_websocket *ws, enum loop_websocket_type type,
                            const char *bytes, size_t size)
{
    on_message(ws, type, bytes, size);
    loop_websocket_pause(ws);
    loop_immediate(fixture.loop, &fixture.task, close_paused);
}

static void a_paused_socket_can_be_closed(void **state)
{
    (void)state;
    fixture.options[0].on_open = send_one;
    fixture.options[1].on_message = pause_and_close;
    run();
    assert_said("s:open s:one s:closed:1000 c:closed:1000:paused");
}

/* --- too much --- */

static void send_until_told(struct loop_websocket *ws)
{
    int status = 0;
    while (status == 0 && fixture.sent < 100) {
        status = loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, fixture.big, BIG);
        assert_true(status >= 0);
        fixture.sent++;
    }
    if (fixture.sent == 100)
        assert_int_equal(0, loop_websocket_close(ws, 1000, NULL));
    else
        assert_true(loop_websocket_waiting(ws) > LOOP_WRITE_HIGH);
}

static void on_drain(struct loop_websocket *ws)
{
    assert_true(loop_websocket_waiting(ws) <= LOOP_WRITE_LOW);
    fixture.refused++;
    send_until_told(ws);
}

static void count_big(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                      size_t size)
{
    (void)ws;
    assert_int_equal(LOOP_WEBSOCKET_BINARY, type);
    assert_int_equal(BIG, size);
    for (size_t i = 0; i < size; i += 997)
        assert_int_equal((char)(i * 7), bytes[i]);
    fixture.got++;
}

static void a_sender_waits_for_the_drain(void **state)
{
    (void)state;
    fill_big(BIG);
    fixture.options[1].on_open = send_until_told;
    fixture.options[1].on_drain = on_drain;
    fixture.options[0].on_message = count_big;
    run();
    assert_int_equal(100, fixture.got);
    assert_true(fixture.refused > 0);
    assert_said("c:open s:closed:1000 c:closed:1000");
}

static void send_past_the_cap(struct loop_websocket *ws)
{
    int status = 0;
    while (status != -ENOBUFS) {
        status = loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, fixture.big, BIG);
        fixture.sent += status >= 0;
        assert_true(status >= 0 || status == -ENOBUFS);
    }
    assert_true(loop_websocket_waiting(ws) <= LOOP_WRITE_MAX);
    assert_int_equal(-ENOBUFS,
                     loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, fixture.big, SIZE_MAX - 5));
    assert_int_equal(0, loop_websocket_close(ws, 1000, NULL));
}

static void ask_the_crowded(struct loop_websocket *ws)
{
    loop_websocket_pause(ws);
    assert_int_equal(0, loop_websocket_ping(ws, "first", 5));
    assert_int_equal(0, loop_websocket_ping(ws, "last", 4));
}

/* When both pings have come, and neither could be answered. */
static void read_again(struct loop_task *task)
{
    if (server()->answer_due && server()->answer_size == 4)
        loop_websocket_resume(client());
    else
        loop_immediate(fixture.loop, task, read_again);
}

static void crowd(struct loop_websocket *ws)
{
    int status = 0;
    while (status == 0)
        status = loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, fixture.big, BIG);
    assert_int_equal(1, status);
    loop_immediate(fixture.loop, &fixture.task, read_again);
}

static void on_late_pong(struct loop_websocket *ws, const char *bytes, size_t size)
{
    say("%s:pong:%.*s", name_of(ws), (int)size, bytes);
    assert_int_equal(0, loop_websocket_close(ws, 1000, NULL));
}

static void one_that_is_crowded_answers_the_last_ping_when_there_is_room(void **state)
{
    (void)state;
    fill_big(BIG);
    fixture.options[0].on_open = ask_the_crowded;
    fixture.options[0].on_message = count_big;
    fixture.options[0].on_pong = on_late_pong;
    fixture.options[1].on_open = crowd;
    run();
    assert_true(fixture.got > 0);
    assert_said("c:pong:last s:closed:1000 c:closed:1000");
}

static void past_the_cap_a_message_is_refused_and_none_is_lost(void **state)
{
    (void)state;
    fill_big(BIG);
    fixture.options[0].on_open = send_past_the_cap;
    fixture.options[1].on_message = count_big;
    run();
    assert_int_equal(fixture.sent, fixture.got);
    assert_true(fixture.sent > LOOP_WRITE_MAX / BIG - 2);
    assert_said("s:open s:closed:1000 c:closed:1000");
}

/* --- many --- */

static void leave_and_end(struct loop_task *task)
{
    (void)task;
    loop_websocket_leave(&fixture.servers[1]);
    loop_websocket_leave(&fixture.servers[1]);
    assert_int_equal(2, fixture.group.count);
    assert_int_equal(0,
                     loop_websocket_broadcast(&fixture.group, LOOP_WEBSOCKET_TEXT, "two", 3, NULL));
    assert_int_equal(-EINVAL, loop_websocket_group_close(&fixture.group, 1006, NULL));
    assert_int_equal(0, loop_websocket_group_close(&fixture.group, 1001, "over"));
    assert_int_equal(0, fixture.group.count);
    assert_int_equal(0, loop_websocket_close(&fixture.servers[1], 1000, NULL));
}

static void join(struct loop_websocket *ws)
{
    assert_int_equal(0, loop_websocket_join(&fixture.group, ws));
    assert_int_equal(-EEXIST, loop_websocket_join(&fixture.group, ws));
    if (fixture.group.count < CLIENTS)
        return;
    assert_int_equal(0, loop_websocket_broadcast(&fixture.group, LOOP_WEBSOCKET_BINARY, "one", 3,
                                                 &fixture.servers[2]));
    assert_int_equal(-EILSEQ, loop_websocket_broadcast(&fixture.group, LOOP_WEBSOCKET_TEXT, "\xff",
                                                       1, NULL));
    loop_immediate(fixture.loop, &fixture.task, leave_and_end);
}

static void never_join(struct loop_websocket *ws)
{
    assert_int_equal(-EINVAL, loop_websocket_join(&fixture.group, ws));
}

static void count_words(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                        size_t size)
{
    (void)type;
    assert_int_equal(3, size);
    char *words = (char *)ws->data;
    (void)words;
    fixture.got += strcmp(bytes, "one") == 0 ? 1 : 100;
}

static void on_close_quietly(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)ws;
    (void)reason;
    fixture.sent += code == 1001;
    count_closed();
}

static void a_group_hears_what_is_broadcast(void **state)
{
    (void)state;
    fixture.wanted = CLIENTS;
    fixture.options[0].on_open = never_join;
    fixture.options[1].on_open = join;
    fixture.options[0].on_message = count_words;
    fixture.options[0].on_close = fixture.options[1].on_close = on_close_quietly;
    run();
    assert_int_equal(202, fixture.got);
    assert_int_equal(4, fixture.sent);
}

static void flood(struct loop_websocket *ws)
{
    assert_int_equal(0, loop_websocket_join(&fixture.group, ws));
    while (fixture.group.count > 0)
        assert_int_equal(0, loop_websocket_broadcast(&fixture.group, LOOP_WEBSOCKET_BINARY,
                                                     fixture.big, BIG, NULL));
}

static void send_in_parts(struct loop_websocket *ws)
{
    fill_big(BIG);
    assert_int_equal(0,
                     loop_websocket_broadcast(&fixture.group, LOOP_WEBSOCKET_TEXT, "x", 1, NULL));
    assert_int_equal(0, loop_websocket_join(&fixture.group, ws));
    assert_int_equal(0, loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, "be", 2, false));
    assert_int_equal(-EINVAL,
                     loop_websocket_send_part(ws, (enum loop_websocket_type)8, "x", 1, true));
    assert_int_equal(-EINVAL, loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, NULL, 1, true));
    assert_int_equal(-ENOBUFS, loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, fixture.big,
                                                        LOOP_WRITE_MAX, true));
    assert_int_equal(0,
                     loop_websocket_broadcast(&fixture.group, LOOP_WEBSOCKET_TEXT, "not", 3, NULL));
    assert_int_equal(-EINVAL, loop_websocket_broadcast(&fixture.group, (enum loop_websocket_type)8,
                                                       "x", 1, NULL));
    assert_int_equal(-ENOBUFS, loop_websocket_broadcast(&fixture.group, LOOP_WEBSOCKET_BINARY,
                                                        fixture.big, LOOP_WRITE_MAX, NULL));
    assert_int_equal(0, loop_websocket_send_part(ws, LOOP_WEBSOCKET_TEXT, "gun", 3, true));
    assert_int_equal(0, loop_websocket_close(ws, 1000, NULL));
    assert_int_equal(-EPIPE, loop_websocket_join(&fixture.group, ws));
}

/* It could not be told where the other begins. */
static void in_the_middle_of_a_message_no_other_is_broadcast(void **state)
{
    (void)state;
    fixture.options[1].on_open = send_in_parts;
    run();
    assert_said("c:open c:begun s:closed:1000 c:closed:1000");
}

static void a_member_that_reads_nothing_is_given_up(void **state)
{
    (void)state;
    fill_big(BIG);
    fixture.options[1].on_open = flood;
    fixture.options[0].on_message = NULL;
    run();
    const char *words = said();
    assert_non_null(strstr(words, "s:closed:1006:ENOBUFS"));
    assert_non_null(strstr(words, "c:closed:1006"));
}

/* --- subprotocols and pings --- */

static void say_protocol(struct loop_websocket *ws)
{
    say("%s:%s", name_of(ws), ws->protocol);
    loop_websocket_reset(ws);
}

static void both_agree_on_a_subprotocol(void **state)
{
    static const char *const offered[] = {"a", "b", "c", NULL};
    static const char *const known[] = {"x", "c", "b", NULL};
    (void)state;
    fixture.options[0].protocols = offered;
    fixture.options[1].protocols = known;
    fixture.options[0].on_open = say_protocol;
    run();
    assert_said("s:open c:c c:closed:1006:ECANCELED s:closed:1006:ECONNRESET");
}

static void rest_early(struct loop_http_request *req, struct loop_http_response *res)
{
    on_request(req, res);
    loop_websocket_pause(server());
    loop_websocket_resume(server());
    loop_websocket_pause(server());
    loop_websocket_resume(server());
}

static void rest_and_go_on(struct loop_websocket *ws)
{
    assert_int_equal(0, loop_websocket_waiting(ws));
    for (int i = 0; i < 2; i++) {
        loop_websocket_pause(ws);
        loop_websocket_resume(ws);
    }
    send_one(ws);
}

static void rest_late(struct loop_websocket *ws, unsigned code, const char *reason)
{
    loop_websocket_pause(ws);
    loop_websocket_resume(ws);
    assert_int_equal(0, loop_websocket_waiting(ws));
    loop_websocket_reset(ws);
    on_close(ws, code, reason);
}

static void a_rest_that_is_over_at_once_changes_nothing(void **state)
{
    (void)state;
    fixture.server.options.on_request = rest_early;
    fixture.options[0].on_open = rest_and_go_on;
    fixture.options[0].on_close = rest_late;
    fixture.options[1].on_message = close_after;
    run();
    assert_said("s:open s:one s:closed:1000 c:closed:1000");
}

static void patience_may_be_without_end(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct loop_websocket_options *options = &fixture.options[i];
        options->ping_ns = options->pong_ns = options->stall_ns = LOOP_NEVER;
        options->close_ns = options->open_ns = LOOP_NEVER;
    }
    fixture.options[0].on_open = send_one;
    fixture.options[1].on_message = close_after;
    run();
    assert_said("s:open s:one s:closed:1000 c:closed:1000");
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    fixture.options[1] = (struct loop_websocket_options){.on_close = on_close};
    fixture.options[0] =
        (struct loop_websocket_options){.on_open = send_hundred, .on_close = on_close};
    run();
    assert_said("s:closed:1000 c:closed:1000");
}

#define life_test(name) cmocka_unit_test_setup_teardown(name, set_up, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        life_test(messages_arrive_in_order_and_then_the_close),
        life_test(a_server_may_talk_first),
        life_test(a_message_may_be_sent_in_parts),
        life_test(pieces_are_told_as_they_come_and_have_no_limit),
        life_test(both_may_close_at_the_same_time),
        life_test(behind_a_close_no_message_is_told),
        life_test(a_reset_ends_both),
        life_test(a_close_that_cannot_be_sent_is_refused),
        life_test(a_paused_socket_tells_everything_later),
        life_test(a_paused_socket_can_be_closed),
        life_test(a_sender_waits_for_the_drain),
        life_test(one_that_is_crowded_answers_the_last_ping_when_there_is_room),
        life_test(past_the_cap_a_message_is_refused_and_none_is_lost),
        life_test(a_group_hears_what_is_broadcast),
        life_test(in_the_middle_of_a_message_no_other_is_broadcast),
        life_test(a_member_that_reads_nothing_is_given_up),
        life_test(both_agree_on_a_subprotocol),
        life_test(a_rest_that_is_over_at_once_changes_nothing),
        life_test(patience_may_be_without_end),
        life_test(nobody_has_to_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
