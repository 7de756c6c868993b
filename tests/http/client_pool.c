/* The pool of connections, and calls that share it.
 *
 * A connection whose response was read is used again, as long as the server and the idle time let
 * it. There are no more than the caps say, to one origin and in all; who finds none waits, and goes
 * in the order of starting, whatever the origin. A kept connection that the server has closed is
 * noticed, at the latest when it is used: then what may be sent twice is, once. What comes on a
 * kept connection without having been asked for is nobody's answer.
 *
 * A call that is kept waiting keeps the loop alive, a connection that is kept does not.
 *
 * SPDX-License-Identifier: MIT */
#include "loopback.h"
#include "scripted.h"

#include "loop/http/client.h"

#include <stdlib.h>

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

enum { CALLS = 10000 };

static struct fixture {
    struct loop *loop;
    struct loop_http_client client;
    struct loop_http_client_options options;
    struct loop_http_call calls[32];
    struct loop_http_call_options ask;
    struct loop_http_server server;
    struct loop_task later;
    struct peer *waiting[8]; /* peers that are not answered yet, the oldest first */
    int waits;
    int left;      /* calls that are to end */
    int answered;  /* requests to the server */
    int most;      /* connections at once */
    bool restarts; /* a call starts the next one in its end */
} fixture;

static int number_of(const struct loop_http_call *call)
{
    return (int)(call - fixture.calls);
}

static void on_end(struct loop_http_call *call, int status)
{
    if (status == 0)
        say("%d:%d", number_of(call), call->status);
    else
        say("%d:%s", number_of(call), loop_error_name(status));
}

/* --- scripts --- */

static void answer(struct peer *peer)
{
    peer_next(peer);
    peer_send(peer, ANSWER);
}

/* One says hello, and is gone at the second request. */
static void answer_once(struct peer *peer)
{
    if (peer->requests == 0)
        answer(peer);
    else
        peer_close(peer);
}

static void answer_once_and_then_half(struct peer *peer)
{
    if (peer->requests == 0) {
        answer(peer);
        return;
    }
    peer_send(peer, "HTTP/1.1 200 OK\r\n");
    peer_close(peer);
}

static void close_all_but_the_first_answer(struct peer *peer)
{
    if (peer->index == 0 && peer->requests == 0)
        answer(peer);
    else
        peer_close(peer);
}

static void answer_and_close(struct peer *peer)
{
    peer_send(peer, ANSWER);
    peer_close(peer);
}

static void answer_twice(struct peer *peer)
{
    answer(peer);
    if (peer->requests == 0 && peer->index == 0)
        peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
}

static void keep_waiting(struct peer *peer)
{
    fixture.waiting[fixture.waits++] = peer;
}

static void on_peer_gone(struct peer *peer)
{
    say("peer %d gone", peer->index);
    peer_close(peer);
}

/* --- */

static int set_up_with(void **state, int (*set_up_loop)(void **state))
{
    if (set_up_loop(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    fixture.ask = (struct loop_http_call_options){.collect = true, .on_end = on_end};
    scripted_begin(*state, answer);
    loopback_begin(*state);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, setup_real);
}

static int set_up_virtual(void **state)
{
    return set_up_with(state, setup_virtual);
}

static int tear_down(void **state)
{
    loop_http_client_close(&fixture.client, NULL);
    scripted_end();
    loopback_end();
    assert_int_equal(0, fixture.client.stats.connections);
    return teardown(state);
}

static void begin(void)
{
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, &fixture.options));
}

static int start(int number, const char *path)
{
    fixture.ask.url = scripted_url(path);
    return loop_http_call_start(&fixture.client, &fixture.calls[number], &fixture.ask);
}

static void run(void)
{
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
}

static void on_turn(struct loop_task *task)
{
    (void)task;
}

/* One turn, also if nothing keeps the loop alive. */
static void turn(void)
{
    loop_immediate(fixture.loop, &fixture.later, on_turn);
    loop_run(fixture.loop, LOOP_RUN_NOWAIT);
}

/* Until all that is under way has come to where it waits for something outside. */
static void settle(void)
{
    for (int i = 0; i < 50; i++)
        turn();
}

static void run_until_over(int number)
{
    while (fixture.calls[number].fetch)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
}

static void a_connection_is_used_again(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(0, start(i, "/"));
        run_until_over(i);
    }
    assert_said("0:200 1:200 2:200");
    assert_int_equal(1, fixture.client.stats.opened);
    assert_int_equal(2, fixture.client.stats.reused);
    assert_int_equal(1, fixture.client.stats.idle);
}

static void a_kept_connection_does_not_keep_the_loop_alive(void **state)
{
    (void)state;
    scripted.on_request = answer;
    begin();
    assert_int_equal(0, start(0, "/"));
    run_until_over(0);
    assert_int_equal(1, fixture.client.stats.idle);
    loop_unref(&scripted.peers[0].tcp.handle);
    run();
    assert_int_equal(1, fixture.client.stats.idle);
    assert_said("0:200");
}

static void it_is_closed_when_its_time_is_over(void **state)
{
    (void)state;
    fixture.options.idle_ns = LOOP_SEC / 100;
    scripted.on_end = on_peer_gone;
    begin();
    assert_int_equal(0, start(0, "/"));
    run();
    assert_said("0:200 peer 0 gone");
    assert_int_equal(0, fixture.client.stats.idle);
}

static void an_origin_has_no_more_than_its_share(void **state)
{
    (void)state;
    fixture.options.origin_connections = 3;
    scripted.on_request = keep_waiting;
    begin();
    for (int i = 0; i < 5; i++)
        assert_int_equal(0, start(i, "/"));
    while (fixture.waits < 3)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    settle();
    assert_int_equal(3, fixture.waits);
    assert_int_equal(2, fixture.client.stats.waiting);
    assert_int_equal(5, fixture.client.stats.active);
    answer(fixture.waiting[1]);
    while (fixture.waits < 4)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_ptr_equal(fixture.waiting[1], fixture.waiting[3]);
    assert_int_equal(1, fixture.client.stats.waiting);
    assert_int_equal(3, scripted.accepted);
    loop_http_client_close(&fixture.client, NULL);
    run();
    assert_non_null(strstr(said(), "ECANCELED"));
}

static void calls_go_in_the_order_of_their_start(void **state)
{
    char words[256] = "";
    (void)state;
    fixture.options.origin_connections = 1;
    begin();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(0, start(i, "/"));
        snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%d:200", i ? " " : "", i);
    }
    while (fixture.client.stats.active > 0)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said(words);
    assert_int_equal(1, fixture.client.stats.opened);
}

/* One connection for two origins, though each time one is kept for the next of the same. */
static void no_origin_holds_what_others_wait_for(void **state)
{
    char other[64];
    struct loop_address address;
    struct loop_tcp everywhere;
    (void)state;
    fixture.options.connections = 1;
    begin();
    loop_tcp_init(fixture.loop, &everywhere);
    assert_int_equal(0, loop_address_parse(&address, "0.0.0.0", 0));
    assert_int_equal(0, loop_tcp_bind(&everywhere, &address, 0));
    assert_int_equal(0, loop_listen(&everywhere.stream, 100, on_peer));
    assert_int_equal(0, loop_tcp_local(&everywhere, &address));
    loop_unref(&everywhere.handle);
    scripted.port = loop_address_port(&address);
    snprintf(other, sizeof(other), "http://127.0.0.2:%u/", scripted.port);
    for (int i = 0; i < 6; i++) {
        fixture.ask.url = i % 2 ? other : scripted_url("/");
        assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.calls[i], &fixture.ask));
    }
    while (fixture.client.stats.active > 0) {
        loop_run(fixture.loop, LOOP_RUN_ONCE);
        assert_true(fixture.client.stats.connections <= 1);
    }
    assert_said("0:200 1:200 2:200 3:200 4:200 5:200");
    assert_int_equal(6, fixture.client.stats.opened);
    loop_close(&everywhere.handle, NULL);
    settle();
}

static void only_so_many_wait(void **state)
{
    (void)state;
    fixture.options.origin_connections = 1;
    fixture.options.waiting = 2;
    begin();
    assert_int_equal(0, start(0, "/"));
    assert_int_equal(0, start(1, "/"));
    assert_int_equal(-ENOBUFS, start(2, "/"));
    settle();
    loop_http_client_close(&fixture.client, NULL);
    run();
    assert_non_null(strstr(said(), "1:"));
}

/* --- connections that are gone --- */

static void the_end_of_a_kept_connection_is_noticed(void **state)
{
    (void)state;
    scripted.on_request = answer_and_close;
    begin();
    assert_int_equal(0, start(0, "/"));
    run();
    while (fixture.client.stats.connections > 0)
        turn();
    assert_int_equal(0, start(1, "/"));
    run();
    assert_said("0:200 1:200");
    assert_int_equal(0, fixture.client.stats.retried);
}

/* By then all has come that the server has said, and whether it has closed. */
static void on_end_ask_again(struct loop_http_call *call, int status)
{
    on_end(call, status);
    let_arrive();
    if (number_of(call) == 0)
        assert_int_equal(0, start(1, "/"));
}

static void what_may_be_sent_twice_is_if_the_connection_was_gone(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    (void)state;
    begin();
    fixture.ask.on_end = on_end_ask_again;
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
        scripted.on_request = strcmp(methods[i], "HEAD") == 0 ? answer_and_close : answer_once;
        fixture.ask.method = methods[i];
        assert_int_equal(0, start(0, "/"));
        while (fixture.client.stats.active > 0)
            loop_run(fixture.loop, LOOP_RUN_ONCE);
        assert_said("0:200 1:200");
        for (int j = 0; j < PEERS; j++)
            peer_close(&scripted.peers[j]);
        run();
    }
    assert_int_equal(5, fixture.client.stats.retried);
}

static void a_body_from_memory_is_sent_again_too(void **state)
{
    (void)state;
    begin();
    fixture.ask.on_end = on_end_ask_again;
    fixture.ask.method = "PUT";
    fixture.ask.body = "whole";
    fixture.ask.body_size = 5;
    scripted.on_request = answer_once;
    assert_int_equal(0, start(0, "/"));
    while (fixture.client.stats.active > 0)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said("0:200 1:200");
    assert_int_equal(1, fixture.client.stats.retried);
}

static void what_must_not_be_sent_twice_is_not(void **state)
{
    static const char *const methods[] = {"POST", "PATCH", "get"};
    (void)state;
    begin();
    fixture.ask.on_end = on_end_ask_again;
    scripted.on_request = answer_once;
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
        fixture.ask.method = methods[i];
        assert_int_equal(0, start(0, "/"));
        run();
        assert_said("0:200 1:ECONNRESET");
    }
    assert_int_equal(0, fixture.client.stats.retried);
}

static void nor_what_has_been_answered_in_part(void **state)
{
    (void)state;
    begin();
    fixture.ask.on_end = on_end_ask_again;
    scripted.on_request = answer_once_and_then_half;
    assert_int_equal(0, start(0, "/"));
    run();
    assert_said("0:200 1:ECONNRESET");
}

static void and_nothing_is_sent_three_times(void **state)
{
    (void)state;
    begin();
    fixture.ask.on_end = on_end_ask_again;
    scripted.on_request = close_all_but_the_first_answer;
    assert_int_equal(0, start(0, "/"));
    run();
    assert_said("0:200 1:ECONNRESET");
    assert_int_equal(2, scripted.accepted);
    assert_int_equal(1, fixture.client.stats.retried);
}

static void a_stream_that_has_begun_is_not_sent_again(void **state)
{
    (void)state;
    begin();
    scripted.on_request = answer_once;
    assert_int_equal(0, start(0, "/"));
    run_until_over(0);
    fixture.ask.method = "PUT";
    fixture.ask.streamed = true;
    assert_int_equal(0, start(1, "/"));
    assert_int_equal(0, loop_http_call_write(&fixture.calls[1], "begun", 5));
    run();
    assert_said("0:200 1:ECONNRESET");
}

static void a_stream_that_has_not_is(void **state)
{
    (void)state;
    begin();
    scripted.on_request = answer_once;
    assert_int_equal(0, start(0, "/"));
    run_until_over(0);
    fixture.ask.method = "PUT";
    fixture.ask.streamed = true;
    assert_int_equal(0, start(1, "/"));
    while (fixture.client.stats.retried == 0)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_int_equal(0, loop_http_call_write(&fixture.calls[1], "late", 4));
    assert_int_equal(0, loop_http_call_end(&fixture.calls[1], NULL, 0));
    run_until_over(1);
    assert_said("0:200 1:200");
}

/* A second answer to one request, sent right behind the first or a little later, must not be taken
 * for that to the next. */
static void an_answer_that_nobody_asked_for_is_nobody_s(void **state)
{
    (void)state;
    begin();
    scripted.on_request = answer_twice;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(0, start(i, "/"));
        run_until_over(i);
        let_arrive();
        assert_int_equal(2, fixture.calls[i].body_read);
    }
    assert_said("0:200 1:200 2:200");
    peer_send(&scripted.peers[1], "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    let_arrive();
    assert_int_equal(0, start(3, "/"));
    run_until_over(3);
    assert_int_equal(2, fixture.calls[3].body_read);
    assert_said("3:200");
    assert_int_equal(3, scripted.accepted);
}

/* --- many --- */

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    fixture.answered++;
    if ((int)fixture.server.stats.connections > fixture.most)
        fixture.most = (int)fixture.server.stats.connections;
    loop_http_end_text(res, "fine");
}

static void on_one_of_many(struct loop_http_call *call, int status)
{
    assert_int_equal(0, status);
    assert_int_equal(200, call->status);
    assert_string_equal("fine", call->body);
    if (--fixture.left == 0) {
        loop_http_client_close(&fixture.client, NULL);
        loop_http_server_close(&fixture.server, LOOP_NEVER, NULL);
    }
}

/* Nor is it taken for the answer to the next, if it comes when all is quiet. */
static void what_comes_on_a_kept_connection_closes_it(void **state)
{
    (void)state;
    scripted.on_end = on_peer_gone;
    begin();
    assert_int_equal(0, start(0, "/"));
    run_until_over(0);
    settle();
    assert_int_equal(1, fixture.client.stats.idle);
    peer_send(&scripted.peers[0], ANSWER);
    settle();
    assert_int_equal(0, fixture.client.stats.idle);
    assert_int_equal(0, fixture.client.stats.connections);
    assert_said("0:200 peer 0 gone");
}

/* Whoever was to be sent again goes before all who came later. */
static void what_is_sent_again_keeps_its_turn(void **state)
{
    (void)state;
    fixture.options.origin_connections = 2;
    scripted.on_request = keep_waiting;
    begin();
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, start(i, "/"));
    while (fixture.waits < 2)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    for (int i = 0; i < 2; i++)
        answer(fixture.waiting[i]);
    run_until_over(0);
    run_until_over(1);
    settle();
    said();
    scripted.on_request = answer_once;
    for (int i = 0; i < 6; i++)
        assert_int_equal(0, start(i, "/"));
    while (fixture.client.stats.active > 0)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_true(fixture.client.stats.retried >= 2);
    const char *words = said();
    assert_true(strstr(words, "0:200") < strstr(words, "2:200"));
    assert_true(strstr(words, "1:200") < strstr(words, "3:200"));
    assert_non_null(strstr(words, "5:200"));
}

static void on_pass(struct loop_timer *timer)
{
    (void)timer;
}

static void pass(uint64_t ns)
{
    struct loop_timer timer;
    loop_timer_init(fixture.loop, &timer);
    assert_int_equal(0, loop_timer_start(&timer, ns, 0, on_pass));
    while (loop_is_active(&timer.handle))
        loop_run(fixture.loop, LOOP_RUN_ONCE);
}

/* By a clock that jumps. The one that was used last has its time, too. */
static void each_is_closed_when_its_own_time_is_over(void **state)
{
    (void)state;
    fixture.options.idle_ns = 4 * LOOP_SEC;
    scripted.on_request = keep_waiting;
    scripted.on_end = on_peer_gone;
    begin();
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, start(i, "/"));
    while (fixture.waits < 2)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    answer(fixture.waiting[0]);
    pass(2 * LOOP_SEC);
    answer(fixture.waiting[1]);
    pass(LOOP_SEC);
    assert_int_equal(2, fixture.client.stats.idle);
    pass(2 * LOOP_SEC);
    assert_int_equal(1, fixture.client.stats.idle);
    pass(2 * LOOP_SEC);
    assert_int_equal(0, fixture.client.stats.idle);
    assert_said("0:200 1:200 peer 0 gone peer 1 gone");
}

/* The kernel knows it, though nobody has been told yet. */
static void a_kept_connection_that_was_reset_is_not_used(void **state)
{
    (void)state;
    begin();
    assert_int_equal(0, start(0, "/"));
    run_until_over(0);
    settle();
    peer_reset(&scripted.peers[0]);
    assert_int_equal(0, start(1, "/"));
    run_until_over(1);
    assert_said("0:200 1:200");
    assert_int_equal(0, fixture.client.stats.reused);
    assert_int_equal(0, fixture.client.stats.retried);
}

static void ten_thousand_calls_take_ten_connections(void **state)
{
    const struct loop_http_options options = {.on_request = on_request};
    struct loop_http_call *calls = calloc(CALLS, sizeof(*calls));
    char url[64];
    (void)state;
    fixture.options.origin_connections = 10;
    fixture.left = CALLS;
    begin();
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &options));
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.1", 0, 0));
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", loop_http_server_port(&fixture.server));
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(0, loop_http_get(&fixture.client, &calls[i], url, on_one_of_many));
    run();
    assert_int_equal(CALLS, fixture.answered);
    assert_int_equal(10, fixture.most);
    assert_int_equal(10, fixture.client.stats.opened);
    assert_int_equal(CALLS - 10, fixture.client.stats.reused);
    free(calls);
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(a_connection_is_used_again),
        ONE(a_kept_connection_does_not_keep_the_loop_alive),
        ONE(it_is_closed_when_its_time_is_over),
        ONE(an_origin_has_no_more_than_its_share),
        ONE(calls_go_in_the_order_of_their_start),
        ONE(no_origin_holds_what_others_wait_for),
        ONE(only_so_many_wait),
        ONE(the_end_of_a_kept_connection_is_noticed),
        ONE(what_may_be_sent_twice_is_if_the_connection_was_gone),
        ONE(a_body_from_memory_is_sent_again_too),
        ONE(what_must_not_be_sent_twice_is_not),
        ONE(nor_what_has_been_answered_in_part),
        ONE(and_nothing_is_sent_three_times),
        ONE(a_stream_that_has_begun_is_not_sent_again),
        ONE(a_stream_that_has_not_is),
        ONE(an_answer_that_nobody_asked_for_is_nobody_s),
        ONE(what_comes_on_a_kept_connection_closes_it),
        ONE(what_is_sent_again_keeps_its_turn),
        cmocka_unit_test_setup_teardown(each_is_closed_when_its_own_time_is_over, set_up_virtual,
                                        tear_down),
        ONE(a_kept_connection_that_was_reset_is_not_used),
        ONE(ten_thousand_calls_take_ten_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
