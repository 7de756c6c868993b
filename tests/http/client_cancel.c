/* Ending calls early: each on its own, or all with their client, wherever they are.
 *
 * A call may wait in the queue, be looking up a name, be connecting, have asked, be sending its
 * body, be in the middle of the response, be paused, follow a redirect, or be decided already.
 * Cancelled there, from a callback of its own or from outside, it ends with -ECANCELED, once, with
 * nothing after that; its connection is not used again. A call whose end is decided is not
 * cancelled any more. Closing the client does that to all, in the order of their start, and its
 * callback comes behind the last of them.
 *
 * SPDX-License-Identifier: MIT */
#include "scripted.h"

#include "loop/http/client.h"

#include <stdlib.h>

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"

enum stage {
    IN_THE_CALLER,
    QUEUED,
    CONNECTING,
    LOOKING_UP,
    ASKED,
    SENDING,
    IN_HEAD,
    IN_BODY,
    BEHIND_BODY,
    PAUSED,
    PAUSED_PACKED,
    IN_DRAIN,
    REDIRECTED,
    STAGES
};

static struct fixture {
    struct loop *loop;
    struct loop_http_client client;
    struct loop_http_client_options options;
    struct loop_http_call call, before;
    struct loop_http_call_options ask;
    struct loop_task task;
    enum stage stage;
    bool closes; /* the client, in place of cancelling the call */
    bool ended, cancelled;
    int turns;
    char *big;
} fixture;

static void end_it(void)
{
    if (fixture.cancelled)
        return;
    fixture.cancelled = true;
    if (fixture.closes)
        loop_http_client_close(&fixture.client, NULL);
    else
        assert_int_equal(0, loop_http_call_cancel(&fixture.call));
    assert_false(fixture.ended);
    assert_int_equal(-EALREADY, loop_http_call_cancel(&fixture.call));
    assert_int_equal(-EALREADY, loop_http_call_deadline(&fixture.call, 0));
    loop_http_call_resume(&fixture.call);
}

static void on_later(struct loop_task *task)
{
    if (--fixture.turns > 0)
        loop_immediate(fixture.loop, task, on_later);
    else
        end_it();
}

static void end_it_after(int turns)
{
    fixture.turns = turns;
    loop_immediate(fixture.loop, &fixture.task, on_later);
}

/* --- callbacks of the call --- */

static void on_head(struct loop_http_call *call)
{
    assert_false(fixture.cancelled);
    if (fixture.stage == IN_HEAD)
        end_it();
    if (fixture.stage != PAUSED)
        return;
    loop_http_call_pause(call);
    end_it_after(5);
}

static void on_body(struct loop_http_call *call, const void *bytes, size_t size)
{
    (void)bytes, (void)size;
    assert_false(fixture.cancelled);
    if (fixture.stage == IN_BODY)
        end_it();
    if (fixture.stage == PAUSED_PACKED) {
        loop_http_call_pause(call);
        end_it_after(5);
    }
    if (fixture.stage == BEHIND_BODY)
        end_it_after(1);
}

static void on_drain(struct loop_http_call *call)
{
    (void)call;
    assert_false(fixture.cancelled);
    end_it();
}

static void on_end(struct loop_http_call *call, int status)
{
    assert_ptr_equal(&fixture.call, call);
    assert_false(fixture.ended);
    fixture.ended = true;
    assert_null(call->body);
    say("%s", loop_error_name(status));
    loop_http_client_close(&fixture.client, NULL);
}

static void on_before_ended(struct loop_http_call *call, int status)
{
    (void)call;
    assert_int_equal(-ECANCELED, status);
    assert_true(fixture.closes || fixture.ended);
}

/* --- the server --- */

/* 60,000 times the letter a: several rounds of the decoder. */
static const char packed[] =
    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 94\r\n\r\n"
    "\037\213\010\000\000\000\000\000\002\003\355\301\061\001\000\000\000\302"
    "\240\254\353\137\302\032\036\100\001\000\000\000\000\000\000\000\000\000"
    "\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000"
    "\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000"
    "\000\000\000\000\000\000\000\000\000\000\000\000\174\031\222\211\342\262"
    "\140\352\000\000";

static void on_request(struct peer *peer)
{
    switch (fixture.stage) {
    case ASKED:
    case SENDING:
        end_it_after(5);
        break;
    case IN_HEAD:
    case IN_BODY:
    case PAUSED:
        peer_send(peer, ANSWER);
        break;
    case BEHIND_BODY:
        peer_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody");
        break;
    case PAUSED_PACKED:
        peer_send_bytes(peer, packed, sizeof(packed) - 1);
        break;
    case REDIRECTED:
        if (peer->index == 0)
            peer_send(peer, "HTTP/1.1 302 Go\r\nLocation: /there\r\nConnection: close\r\n\r\n");
        else
            end_it_after(3);
        break;
    default:
        break;
    }
}

static void on_accept(struct peer *peer)
{
    peer->deaf = fixture.stage == SENDING || fixture.stage == IN_DRAIN;
    if (fixture.stage == SENDING)
        end_it_after(20);
    if (fixture.stage == IN_DRAIN) {
        peer->deaf = false;
        loop_http_call_write(&fixture.call, fixture.big, 1000);
    }
}

/* --- */

static int set_up(void **state)
{
    if (setup_real(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    fixture.ask = (struct loop_http_call_options){.on_head = on_head,
                                                  .on_body = on_body,
                                                  .on_drain = on_drain,
                                                  .on_end = on_end};
    fixture.big = calloc(1, LOOP_WRITE_MAX);
    scripted_begin(*state, on_request);
    scripted.on_accept = on_accept;
    return 0;
}

static int tear_down(void **state)
{
    loop_http_client_close(&fixture.client, NULL);
    scripted_end();
    free(fixture.big);
    return teardown(state);
}

static void start_before(void)
{
    const struct loop_http_call_options ask = {.url = scripted_url("/"), .on_end = on_before_ended};
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.before, &ask));
}

static void start(void)
{
    char name[64];
    snprintf(name, sizeof(name), "http://localhost:%u/", scripted.port);
    fixture.ask.url = fixture.stage == LOOKING_UP ? name : scripted_url("/");
    fixture.ask.decode = fixture.stage == PAUSED_PACKED;
    fixture.ask.streamed = fixture.stage == IN_DRAIN;
    fixture.ask.method = fixture.stage == SENDING ? "PUT" : NULL;
    fixture.ask.body = fixture.stage == SENDING ? fixture.big : NULL;
    fixture.ask.body_size = fixture.stage == SENDING ? LOOP_WRITE_MAX : 0;
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
}

static void one(enum stage stage, bool closes)
{
    fixture.stage = stage;
    fixture.closes = closes;
    fixture.ended = fixture.cancelled = false;
    fixture.options.origin_connections = stage == QUEUED ? 1 : 0;
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, &fixture.options));
    if (stage == QUEUED)
        start_before();
    start();
    if (stage == IN_THE_CALLER)
        end_it();
    if (stage == QUEUED)
        end_it_after(10);
    if (stage == CONNECTING || stage == LOOKING_UP)
        end_it_after(1);
    if (stage == IN_DRAIN)
        for (int i = 0; i < 3; i++)
            loop_http_call_write(&fixture.call, fixture.big, LOOP_WRITE_MAX / 4);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_true(fixture.ended);
    assert_int_equal(0, fixture.client.stats.connections);
    assert_int_equal(0, fixture.client.stats.waiting);
    if (strcmp(said(), "ECANCELED") != 0)
        fail_msg("stage %d", (int)stage);
    for (int i = 0; i < PEERS; i++)
        peer_close(&scripted.peers[i]);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    scripted.accepted = 0;
}

static void a_call_may_be_cancelled_at_any_stage(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++)
        for (enum stage stage = 0; stage < STAGES; stage++)
            one(stage, false);
}

static void a_client_may_be_closed_at_any_stage(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++)
        for (enum stage stage = 0; stage < STAGES; stage++)
            one(stage, true);
}

/* --- several --- */

static void on_numbered(struct loop_http_call *call, int status)
{
    say("%d:%s", *(int *)call->data, loop_error_name(status));
}

static void on_client_closed(struct loop_http_client *client)
{
    assert_ptr_equal(&fixture.client, client);
    say("closed");
}

static void closing_ends_all_calls_in_the_order_of_their_start(void **state)
{
    static int numbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct loop_http_call calls[8] = {{0}};
    (void)state;
    fixture.stage = STAGES;
    fixture.options.origin_connections = 3;
    fixture.ask = (struct loop_http_call_options){.url = scripted_url("/"), .on_end = on_numbered};
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, &fixture.options));
    for (int i = 0; i < 8; i++) {
        calls[i].data = &numbers[i];
        assert_int_equal(0, loop_http_call_start(&fixture.client, &calls[i], &fixture.ask));
    }
    while (scripted.accepted < 3)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_int_equal(0, loop_http_call_cancel(&calls[5]));
    loop_http_client_close(&fixture.client, on_client_closed);
    loop_http_client_close(&fixture.client, NULL);
    assert_int_equal(-ECANCELED,
                     loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("5:ECANCELED 0:ECANCELED 1:ECANCELED 2:ECANCELED 3:ECANCELED 4:ECANCELED "
                "6:ECANCELED 7:ECANCELED closed");
}

static void a_client_that_was_never_used_is_closed_too(void **state)
{
    (void)state;
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, NULL));
    loop_http_client_close(&fixture.client, on_client_closed);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("closed");
}

static void on_end_close(struct loop_http_call *call, int status)
{
    say("%s", loop_error_name(status));
    assert_int_equal(-EALREADY, loop_http_call_cancel(call));
    loop_http_client_close(&fixture.client, on_client_closed);
}

/* A call that has its answer ends with it, though the client is closed before it is told. */
static void what_is_decided_stays(void **state)
{
    (void)state;
    fixture.stage = IN_BODY;
    fixture.cancelled = true;
    fixture.ask = (struct loop_http_call_options){.url = scripted_url("/"), .on_end = on_end_close};
    assert_int_equal(0, loop_http_client_init(fixture.loop, &fixture.client, NULL));
    assert_int_equal(0, loop_http_call_start(&fixture.client, &fixture.call, &fixture.ask));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("OK closed");
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(a_call_may_be_cancelled_at_any_stage),
        ONE(a_client_may_be_closed_at_any_stage),
        ONE(closing_ends_all_calls_in_the_order_of_their_start),
        ONE(a_client_that_was_never_used_is_closed_too),
        ONE(what_is_decided_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
