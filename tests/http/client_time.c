/* How long a call may take, and with what.
 *
 * Five times are limited: looking up and connecting; the request, while the server takes none of
 * it; from the request to the response's head, however that drips; a body, while no byte of it
 * comes; and all of it, if the call says so. While the program has to act nobody waits for the
 * server. A server that was asked whether it wants the body, and says nothing, gets it after a
 * second.
 *
 * On the virtual clock where something must not end a call, with a factor of ten between what comes
 * and what is allowed; on the real one where something must, for that does not depend on when.
 *
 * SPDX-License-Identifier: MIT */
#include "loopback.h"
#include "scripted.h"

#include "loop/http/client.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n"

enum { BIG = 16 * 1024 * 1024 };

static struct fixture {
    struct loop *loop;
    struct loop_http_client client;
    struct loop_http_client_options options;
    struct loop_http_call call;
    struct loop_http_call_options ask;
    struct loop_timer timer;
    struct peer *peer;
    const char *drips; /* what the server says, byte by byte */
    uint64_t started_ns;
    char *big;
    int rounds;
} fixture;

static unsigned passed_s(void)
{
    return (unsigned)((loop_now(fixture.loop) - fixture.started_ns) / LOOP_SEC);
}

static void on_end(struct loop_http_call *call, int status)
{
    say("%s:%d:%u", loop_error_name(status), call->status, (unsigned)call->body_read);
    loop_timer_stop(&fixture.timer);
    loop_http_client_close(&fixture.client, NULL);
}

/* --- servers --- */

static void say_nothing(struct peer *peer)
{
    fixture.peer = peer;
}

static void on_drip(struct loop_timer *timer)
{
    if (*fixture.drips)
        peer_send_bytes(fixture.peer, fixture.drips++, 1);
    else
        loop_timer_stop(timer);
}

static void drip_each(struct peer *peer, uint64_t every_ns)
{
    fixture.peer = peer;
    loop_timer_start(&fixture.timer, every_ns, every_ns, on_drip);
}

static void drip_slowly(struct peer *peer)
{
    drip_each(peer, LOOP_SEC);
}

static void drip_fast(struct peer *peer)
{
    drip_each(peer, LOOP_SEC / 500);
}

static void begin_the_body(struct peer *peer)
{
    fixture.peer = peer;
    peer_send(peer, HEAD "\r\nhello");
}

static void answer(struct peer *peer)
{
    peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

/* --- */

static void begin(struct loop *loop)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = loop;
    fixture.started_ns = loop_now(loop);
    fixture.ask.on_end = on_end;
    loop_timer_init(loop, &fixture.timer);
    fixture.big = calloc(1, BIG);
    scripted_begin(loop, say_nothing);
    loopback_begin(loop);
}

static int set_up_virtual(void **state)
{
    if (setup_virtual(state) != 0)
        return -1;
    begin(*state);
    return 0;
}

static int set_up_real(void **state)
{
    if (setup_real(state) != 0)
        return -1;
    begin(*state);
    return 0;
}

static int tear_down(void **state)
{
    scripted_end();
    loopback_end();
    free(fixture.big);
    return teardown(state);
}

static void start(void)
{
    fixture.ask.url = scripted_url("/");
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, &fixture.options));
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
}

static void run(const char *words)
{
    start();
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said(words);
}

/* --- what ends a call: any time will do --- */

static void connecting_has_a_deadline(void **state)
{
    struct loop_address address;
    struct loop_tcp full;
    int fds[8], flags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    char url[64];
    (void)state;
    loop_tcp_init(fixture.loop, &full);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&full, &address, 0));
    assert_int_equal(0, loop_tcp_local(&full, &address));
    assert_int_equal(0, listen(loop_stream_fd(&full.stream), 0));
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++) {
        fds[i] = socket(AF_INET, flags, 0);
        connect(fds[i], &address.any, address.size);
    }
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", loop_address_port(&address));
    fixture.options.connect_ns = LOOP_SEC / 50;
    fixture.ask.url = url;
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, &fixture.options));
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("ETIMEDOUT:0:0");
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        close(fds[i]);
    loop_close(&full.handle, NULL);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
}

static void a_head_has_a_deadline(void **state)
{
    (void)state;
    fixture.options.head_ns = LOOP_SEC / 50;
    run("ETIMEDOUT:0:0");
}

static void a_head_that_drips_has_it_too(void **state)
{
    char drips[20000] = HEAD "X: ";
    (void)state;
    memset(drips + strlen(drips), 'x', sizeof(drips) - strlen(drips) - 1);
    fixture.drips = drips;
    fixture.options.head_ns = LOOP_SEC / 20;
    scripted.on_request = drip_fast;
    run("ETIMEDOUT:0:0");
}

static void interim_responses_do_not_move_it(void **state)
{
    char drips[600] = "";
    (void)state;
    for (int i = 0; i < 15; i++)
        strcat(drips, "HTTP/1.1 102 Wait\r\n\r\n");
    fixture.drips = drips;
    fixture.options.head_ns = LOOP_SEC / 20;
    scripted.on_request = drip_fast;
    run("ETIMEDOUT:0:0");
}

static void a_body_that_stands_still_ends_the_call(void **state)
{
    (void)state;
    fixture.options.stall_ns = LOOP_SEC / 50;
    scripted.on_request = begin_the_body;
    run("ETIMEDOUT:200:5");
}

static void make_deaf(struct peer *peer)
{
    peer->deaf = true;
}

static void a_request_that_nobody_takes_ends_the_call(void **state)
{
    (void)state;
    fixture.options.stall_ns = LOOP_SEC / 50;
    scripted.on_accept = make_deaf;
    fixture.ask.method = "PUT";
    fixture.ask.body = fixture.big;
    fixture.ask.body_size = BIG;
    run("ETIMEDOUT:0:0");
}

static void on_drain(struct loop_http_call *call)
{
    assert_true(loop_http_call_write(call, fixture.big, LOOP_WRITE_MAX / 4) >= 0);
}

static void so_does_a_stream_that_nobody_takes(void **state)
{
    (void)state;
    fixture.options.stall_ns = LOOP_SEC / 50;
    scripted.on_accept = make_deaf;
    fixture.ask.method = "PUT";
    fixture.ask.streamed = true;
    fixture.ask.on_drain = on_drain;
    start();
    on_drain(&fixture.call);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("ETIMEDOUT:0:0");
}

static void the_whole_may_have_a_deadline(void **state)
{
    char drips[20000] = HEAD;
    (void)state;
    memset(drips + strlen(HEAD), 'x', sizeof(drips) - strlen(HEAD) - 1);
    fixture.drips = drips;
    fixture.ask.total_ns = LOOP_SEC / 20;
    scripted.on_request = drip_fast;
    run("ETIMEDOUT:0:0");
}

/* The deadline is set here, so that the head always comes before it. */
static void on_head_pause(struct loop_http_call *call)
{
    loop_http_call_pause(call);
    loop_http_call_deadline(call, LOOP_SEC / 50);
}

static void pausing_does_not_stop_that(void **state)
{
    (void)state;
    fixture.ask.on_head = on_head_pause;
    scripted.on_request = begin_the_body;
    run("ETIMEDOUT:200:0");
}

static void it_may_be_set_later(void **state)
{
    (void)state;
    start();
    assert_int_equal(0, loop_http_call_deadline(&fixture.call, LOOP_SEC / 50));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("ETIMEDOUT:0:0");
}

static void it_counts_in_the_queue(void **state)
{
    (void)state;
    const struct loop_http_call_options ask = {.url = scripted_url("/"),
                                               .total_ns = LOOP_SEC / 50,
                                               .on_end = on_end};
    struct loop_http_call second = {0};
    fixture.options.origin_connections = 1;
    start();
    assert_int_equal(0, loop_http_call_start(&fixture.client, &second, &ask));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("ETIMEDOUT:0:0 ECANCELED:0:0");
}

/* --- what does not --- */

static void a_body_may_drip(void **state)
{
    (void)state;
    fixture.drips = HEAD "\r\n123456789012345678901234567890";
    fixture.options.stall_ns = 10 * LOOP_SEC;
    fixture.options.head_ns = 1000 * LOOP_SEC;
    scripted.on_request = drip_slowly;
    run("OK:200:30");
    assert_true(passed_s() >= 30);
}

static void on_resume(struct loop_timer *timer)
{
    if (++fixture.rounds == 1) {
        loop_http_call_resume(&fixture.call);
        loop_timer_start(timer, LOOP_SEC, 0, on_resume);
    } else {
        peer_send(fixture.peer, "1234567890123456789012345");
    }
}

static void on_head_pause_long(struct loop_http_call *call)
{
    loop_http_call_pause(call);
    loop_timer_start(&fixture.timer, 1000 * LOOP_SEC, 0, on_resume);
}

static void a_paused_call_does_not_wait_for_the_server(void **state)
{
    (void)state;
    scripted.on_request = begin_the_body;
    fixture.ask.on_head = on_head_pause_long;
    run("OK:200:30");
    assert_true(passed_s() >= 1001);
}

static void on_write(struct loop_timer *timer)
{
    (void)timer;
    if (++fixture.rounds < 4)
        assert_int_equal(0, loop_http_call_write(&fixture.call, "slow", 4));
    else
        assert_int_equal(0, loop_http_call_end(&fixture.call, NULL, 0));
    if (fixture.rounds == 4)
        answer(fixture.peer);
}

static void a_slow_program_does_not_wait_for_the_server(void **state)
{
    (void)state;
    fixture.ask.method = "PUT";
    fixture.ask.streamed = true;
    start();
    loop_timer_start(&fixture.timer, 100 * LOOP_SEC, 100 * LOOP_SEC, on_write);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("OK:200:0");
    assert_int_equal(400, passed_s());
}

/* The head of the answer is there, and the rest of the request takes its time. */
static void nor_does_one_whose_answer_has_begun(void **state)
{
    (void)state;
    fixture.ask.method = "PUT";
    fixture.ask.streamed = true;
    scripted.on_request = begin_the_body;
    start();
    loop_timer_start(&fixture.timer, 100 * LOOP_SEC, 100 * LOOP_SEC, on_write);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("OK:200:30");
    assert_int_equal(400, passed_s());
}

static void expect(struct peer *peer)
{
    assert_non_null(strstr(peer->request, "\r\nExpect: 100-continue\r\n"));
    assert_null(strstr(peer->request, "body"));
    fixture.peer = peer;
    peer_next(peer);
    strcpy(peer->request, "\r\n\r\n"); /* what comes now is no head */
    peer->size = 4;
}

static void a_server_that_does_not_know_expect_gets_the_body_after_a_second(void **state)
{
    (void)state;
    fixture.ask.method = "PUT";
    fixture.ask.body = "body";
    fixture.ask.body_size = 4;
    fixture.ask.expect_continue = true;
    scripted.on_request = expect;
    start();
    while (!fixture.peer || !strstr(fixture.peer->request, "body"))
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_int_equal(1, passed_s());
    answer(fixture.peer);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("OK:200:0");
}

static void nothing_of_it_need_have_an_end(void **state)
{
    (void)state;
    struct loop_http_client_options *options = &fixture.client.options;
    options->head_ns = options->stall_ns = options->connect_ns = options->idle_ns = LOOP_NEVER;
    scripted.on_request = answer;
    start();
    assert_int_equal(0, loop_http_call_deadline(&fixture.call, LOOP_NEVER));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("OK:200:0");
}

static void on_room(struct loop_http_call *call)
{
    say("room");
    assert_int_equal(0, loop_http_call_cancel(call));
}

/* All that was held back goes, and whoever was told to wait is told that it has gone. */
static void a_stream_may_be_cancelled_when_its_second_is_over(void **state)
{
    static char big[LOOP_WRITE_HIGH + 1000];
    (void)state;
    fixture.ask.method = "PUT";
    fixture.ask.streamed = true;
    fixture.ask.expect_continue = true;
    fixture.ask.on_drain = on_room;
    start();
    assert_int_equal(1, loop_http_call_write(&fixture.call, big, sizeof(big)));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_int_equal(1, passed_s());
    assert_said("room ECANCELED:0:0");
}

int main(void)
{
#define REAL(name)    cmocka_unit_test_setup_teardown(name, set_up_real, tear_down)
#define VIRTUAL(name) cmocka_unit_test_setup_teardown(name, set_up_virtual, tear_down)
    const struct CMUnitTest tests[] = {
        REAL(connecting_has_a_deadline),
        REAL(a_head_has_a_deadline),
        REAL(a_head_that_drips_has_it_too),
        REAL(interim_responses_do_not_move_it),
        REAL(a_body_that_stands_still_ends_the_call),
        REAL(a_request_that_nobody_takes_ends_the_call),
        REAL(so_does_a_stream_that_nobody_takes),
        REAL(the_whole_may_have_a_deadline),
        REAL(pausing_does_not_stop_that),
        REAL(it_may_be_set_later),
        REAL(it_counts_in_the_queue),
        VIRTUAL(a_body_may_drip),
        VIRTUAL(a_paused_call_does_not_wait_for_the_server),
        VIRTUAL(a_slow_program_does_not_wait_for_the_server),
        VIRTUAL(nor_does_one_whose_answer_has_begun),
        VIRTUAL(a_server_that_does_not_know_expect_gets_the_body_after_a_second),
        VIRTUAL(nothing_of_it_need_have_an_end),
        VIRTUAL(a_stream_may_be_cancelled_when_its_second_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
