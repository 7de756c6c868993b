/* Peers that say nothing, take nothing, or do not go.
 *
 * A peer that is silent for ping_ns is pinged; if it is silent for pong_ns more it is given up, and
 * on_close says 1006 and -ETIMEDOUT. Whatever it sends, an answer or anything else, is a sign of
 * life. A paused peer cannot give one, and need not. One that takes nothing of what waits for
 * stall_ns is given up too, and so is one that does not answer a close frame within close_ns.
 *
 * All of that on the virtual clock: the peer is the other end of a unix-domain socket, whose bytes
 * are there as soon as they are written.
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

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_websocket ws;
    struct loop_websocket_options options;
    struct loop_timer timer;
    char *big;
    int peer;
    int pings;
    uint64_t opened_ns;
} fixture;

static unsigned passed_s(void)
{
    return (unsigned)((loop_now(fixture.loop) - fixture.opened_ns) / LOOP_SEC);
}

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)reason;
    say("%u:%s after %u s", code, loop_error_name(ws->error), passed_s());
    loop_timer_stop(&fixture.timer);
    loop_http_server_close(&fixture.server, 0, NULL);
}

static void on_open(struct loop_websocket *ws)
{
    (void)ws;
    fixture.opened_ns = loop_now(fixture.loop);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    assert_int_equal(0, loop_websocket_accept(res, &fixture.ws, &fixture.options));
}

/* The peer asks as soon as it is connected. */
static int set_up(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const struct loop_http_options options = {.on_request = on_request};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(path);
    if (setup_virtual(state) != 0)
        return -1;
    fixture = (struct fixture){.loop = *state};
    fixture.options.on_open = on_open;
    fixture.options.on_close = on_close;
    loop_timer_init(fixture.loop, &fixture.timer);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&path, sizeof(sa_family_t)));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&path, &size));
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen_fd(&fixture.server, fd));
    fixture.peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fixture.peer, (struct sockaddr *)&path, size));
    return send(fixture.peer, request, sizeof(request) - 1, 0) < 0;
}

static int tear_down(void **state)
{
    close(fixture.peer);
    free(fixture.big);
    return teardown(state);
}

static void run(const char *words)
{
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said(words);
}

/* Takes what has come, and counts the pings in it. */
static void take(void)
{
    static const char ping[] = "\x89\x07libloop";
    char bytes[4096];
    ssize_t size = recv(fixture.peer, bytes, sizeof(bytes), MSG_DONTWAIT);
    for (ssize_t i = 0; i + 9 <= size; i++)
        fixture.pings += memcmp(bytes + i, ping, 9) == 0;
}

static void every(uint64_t period_ns, loop_timer_cb cb)
{
    loop_timer_start(&fixture.timer, period_ns, period_ns, cb);
    loop_unref(&fixture.timer.handle);
}

/* --- silence --- */

static void a_silent_peer_is_pinged_and_given_up(void **state)
{
    (void)state;
    run("1006:ETIMEDOUT after 40 s");
    take();
    assert_int_equal(1, fixture.pings);
}

static void the_times_can_be_set(void **state)
{
    (void)state;
    fixture.options.ping_ns = 5 * LOOP_SEC;
    fixture.options.pong_ns = 2 * LOOP_SEC;
    run("1006:ETIMEDOUT after 7 s");
}

static void answer_pings(struct loop_timer *timer)
{
    static const char pong[] = "\x8a\x87\0\0\0\0libloop";
    int before = fixture.pings;
    (void)timer;
    take();
    if (fixture.pings > before && fixture.pings < 5)
        assert_int_equal(13, send(fixture.peer, pong, 13, MSG_NOSIGNAL));
}

/* Asked every 30 s, it answers at once, but for the fifth time. */
static void who_answers_is_asked_again_later(void **state)
{
    (void)state;
    every(LOOP_SEC, answer_pings);
    run("1006:ETIMEDOUT after 160 s");
    assert_int_equal(5, fixture.pings);
}

static void talk(struct loop_timer *timer)
{
    (void)timer;
    take();
    if (passed_s() < 1000)
        assert_int_equal(7, send(fixture.peer, "\x81\x81\0\0\0\0x", 7, MSG_NOSIGNAL));
}

/* The last word comes at 980 s. */
static void who_talks_is_never_asked(void **state)
{
    (void)state;
    every(20 * LOOP_SEC, talk);
    run("1006:ETIMEDOUT after 1020 s");
    assert_int_equal(1, fixture.pings);
}

static void end_of_pause(struct loop_timer *timer)
{
    (void)timer;
    say("resumed after %u s", passed_s());
    loop_websocket_resume(&fixture.ws);
}

static void pause_long(struct loop_websocket *ws)
{
    on_open(ws);
    loop_websocket_pause(ws);
    loop_timer_start(&fixture.timer, 1000 * LOOP_SEC, 0, end_of_pause);
}

static void a_paused_peer_is_not_given_up(void **state)
{
    (void)state;
    fixture.options.on_open = pause_long;
    run("resumed after 1000 s 1006:ETIMEDOUT after 1040 s");
}

static void hang_up(struct loop_timer *timer)
{
    (void)timer;
    shutdown(fixture.peer, SHUT_RDWR);
}

static void without_pings_a_silent_peer_may_stay(void **state)
{
    (void)state;
    fixture.options.ping_ns = LOOP_NEVER;
    loop_timer_start(&fixture.timer, 5000 * LOOP_SEC, 0, hang_up);
    run("1006:EOF after 5000 s");
    take();
    assert_int_equal(0, fixture.pings);
}

/* --- a peer that takes nothing --- */

static void send_much(struct loop_websocket *ws)
{
    on_open(ws);
    fixture.big = calloc(1, 1000000);
    assert_int_equal(1, loop_websocket_send(ws, LOOP_WEBSOCKET_BINARY, fixture.big, 1000000));
}

static void a_peer_that_takes_nothing_is_given_up(void **state)
{
    (void)state;
    fixture.options.on_open = send_much;
    fixture.options.stall_ns = 20 * LOOP_SEC;
    fixture.options.ping_ns = LOOP_NEVER;
    run("1006:ETIMEDOUT after 20 s");
}

static void take_slowly(struct loop_timer *timer)
{
    static char bytes[300000];
    (void)timer;
    (void)recv(fixture.peer, bytes, sizeof(bytes), MSG_DONTWAIT);
}

/* Some of it every 15 s. */
static void a_slow_peer_may_stay(void **state)
{
    (void)state;
    fixture.options.on_open = send_much;
    fixture.options.stall_ns = 20 * LOOP_SEC;
    fixture.options.ping_ns = 200 * LOOP_SEC;
    every(15 * LOOP_SEC, take_slowly);
    run("1006:ETIMEDOUT after 210 s");
}

/* --- a peer that does not go --- */

static void close_now(struct loop_websocket *ws)
{
    on_open(ws);
    assert_int_equal(0, loop_websocket_close(ws, 1000, NULL));
}

static void a_close_frame_that_is_not_answered_has_an_end(void **state)
{
    (void)state;
    fixture.options.on_open = close_now;
    run("1006:ETIMEDOUT after 10 s");
}

static void break_rules(struct loop_timer *timer)
{
    (void)timer;
    assert_int_equal(2, send(fixture.peer, "\xff\xff", 2, MSG_NOSIGNAL));
}

static void who_broke_the_rules_and_stays_is_cut_off(void **state)
{
    (void)state;
    fixture.options.close_ns = 3 * LOOP_SEC;
    loop_timer_start(&fixture.timer, 5 * LOOP_SEC, 0, break_rules);
    run("1002:EPROTO after 8 s");
}

#define silence_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        silence_test(a_silent_peer_is_pinged_and_given_up),
        silence_test(the_times_can_be_set),
        silence_test(who_answers_is_asked_again_later),
        silence_test(who_talks_is_never_asked),
        silence_test(a_paused_peer_is_not_given_up),
        silence_test(without_pings_a_silent_peer_may_stay),
        silence_test(a_peer_that_takes_nothing_is_given_up),
        silence_test(a_slow_peer_may_stay),
        silence_test(a_close_frame_that_is_not_answered_has_an_end),
        silence_test(who_broke_the_rules_and_stays_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
