/* Server-sent events whose outside calls fail one after the other.
 *
 * A channel is made, a client subscribes that had a place in another run's channel, so that it is
 * told what it has lost, an event is published, and silence is filled. In each run one allocation,
 * or one call of the loop, is refused. Then too an exchange ends, the channel can be ended, and the
 * server closed.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include "loop/http/events.h"

#include <sys/socket.h>
#include <unistd.h>

static struct loop_http_server server;
static struct loop_http_events events;
static unsigned begun, over;

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    begun++;
    loop_http_subscribe(&events, res);
}

static void on_log(struct loop_http_server *logged, const struct loop_http_request *req, int error)
{
    (void)logged;
    (void)req;
    (void)error;
    over++;
}

static void on_tick(struct loop_timer *timer)
{
    (void)timer;
}

static int dial(void)
{
    struct loop_address address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", loop_http_server_port(&server)));
    assert_int_equal(0, connect(fd, &address.any, address.size));
    return fd;
}

static void ask(int fd, const char *request)
{
    assert_int_equal(strlen(request), send(fd, request, strlen(request), MSG_NOSIGNAL));
}

/* Long enough for two silences, by a clock that jumps. */
static void pass(struct loop *loop)
{
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 40 * LOOP_SEC, 0, on_tick);
    while (loop_is_active(&timer.handle))
        loop_run(loop, LOOP_RUN_ONCE);
}

static void subscribe(void **state)
{
    const struct loop_http_options options = {.on_request = on_request, .on_log = on_log};
    const struct loop_http_events_options channel = {.lost = "lost", .retry_ms = 1000};
    begun = over = 0;
    assert_int_equal(0, loop_http_server_init(*state, &server, &options));
    assert_int_equal(0, loop_http_listen(&server, "127.0.0.1", 0, 0));
    int fd = dial();
    ask(fd, "GET / HTTP/1.1\r\nhost: h\r\nlast-event-id: another\r\n\r\n");
    arm();
    if (loop_http_events_init(*state, &events, &channel) == 0) {
        pass(*state);
        loop_http_publish_text(&events, "type", "text");
        pass(*state);
        loop_http_events_fini(&events);
    }
    disarm();
    close(fd);
    loop_http_server_close(&server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_true(begun <= over);
}

static void an_exchange_has_one_end_whatever_is_refused(void **state)
{
    refuse_each(state, subscribe);
}

static const struct CMUnitTest tests[] = {
    spared_test(an_exchange_has_one_end_whatever_is_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
