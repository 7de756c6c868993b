/* Server-sent events, as they arrive at a client that reads the bytes.
 *
 * A subscriber is answered with a head that keeps everybody from storing, gathering or changing the
 * stream, and at once with the id of the newest event. What is published comes to all subscribers,
 * each line of the data on its own, and nothing in data can make an event of its own. Names that
 * could are refused.
 *
 * Who comes back with an id gets what was published behind it; of what is over the limits of the
 * memory nothing is left, and who missed some of it is told so. A subscriber that takes nothing is
 * cut off when too much waits for it, and finds the rest when it comes back. Nothing of that holds
 * up others. When all is silent a comment is sent, by the clock. The end of the server, and that of
 * the channel, are the end of each stream, at once.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"
#include "loopback.h"

#include "loop/http/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

enum { CLIENTS_MAX = 1000, TEXT_MAX = 32 * 1024 * 1024 };

static struct fixture {
    struct loop *loop;
    struct loop_http_server server;
    struct loop_http_events events;
    struct loop_http_events_options options;
    int subscribed; /* what that returned last */
    int over;       /* exchanges that the log has heard of */
    bool own_cache_control;
    const char *publish_then; /* in the request callback, before it subscribes */
    bool end_in_log, close_in_log, closed;
} fixture;

static char text[TEXT_MAX];

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    if (fixture.own_cache_control)
        loop_http_set_header(res, "cache-control", "no-store");
    if (fixture.publish_then)
        loop_http_publish_text(&fixture.events, NULL, fixture.publish_then);
    fixture.subscribed = loop_http_subscribe(&fixture.events, res);
}

static void on_closed(struct loop_http_server *server)
{
    (void)server;
    fixture.closed = true;
    loopback_end();
}

static void on_log(struct loop_http_server *server, const struct loop_http_request *req, int error)
{
    (void)req;
    (void)error;
    fixture.over++;
    if (fixture.end_in_log)
        loop_http_events_fini(&fixture.events);
    if (fixture.close_in_log)
        loop_http_server_close(server, LOOP_NEVER, on_closed);
}

static void begin(void **state, struct loop_http_events_options options, bool compress)
{
    const struct loop_http_options server_options = {.on_request = on_request,
                                                     .on_log = on_log,
                                                     .compress = compress};
    fixture = (struct fixture){.loop = *state, .options = options};
    assert_int_equal(0, loop_http_events_init(fixture.loop, &fixture.events, &options));
    assert_int_equal(0, loop_http_server_init(fixture.loop, &fixture.server, &server_options));
    assert_int_equal(0, loop_http_listen(&fixture.server, "127.0.0.1", 0, 0));
    loopback_begin(fixture.loop);
}

static void end(void)
{
    loop_http_events_fini(&fixture.events);
    loop_http_server_close(&fixture.server, 0, on_closed);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_true(fixture.closed);
}

static void turn(void)
{
    loop_run(fixture.loop, LOOP_RUN_NOWAIT);
}

/* --- a client --- */

static int dial(int buffer)
{
    struct loop_address address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1",
                                           loop_http_server_port(&fixture.server)));
    assert_int_equal(0, connect(fd, &address.any, address.size));
    return fd;
}

static void ask(int fd, const char *method, const char *headers)
{
    char request[1024];
    int size =
        snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nhost: h\r\n%s\r\n", method, headers);
    assert_int_equal(size, send(fd, request, (size_t)size, MSG_NOSIGNAL));
}

static int subscribe(const char *headers)
{
    size_t count = fixture.events.count;
    int fd = dial(0);
    ask(fd, "GET", headers);
    while (fixture.events.count == count)
        turn();
    turn();
    return fd;
}

static int come_back(const char *id)
{
    char header[256];
    snprintf(header, sizeof(header), "last-event-id: %s\r\n", id);
    return subscribe(header);
}

/* All that comes until the text has this in it, or, if it is NULL, until the end: in text. */
static size_t read_until(int fd, const char *words)
{
    size_t size = 0, looked = 0, overlap = words ? strlen(words) : 0;
    text[0] = '\0';
    while (!words || !strstr(text + looked, words)) {
        looked = size > overlap ? size - overlap : 0;
        turn();
        ssize_t got = recv(fd, text + size, TEXT_MAX - 1 - size, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            assert_null(words);
            return size;
        }
        size += got > 0 ? (size_t)got : 0;
        text[size] = '\0';
    }
    return size;
}

/* Without heads of chunks: lines that the stream of events never has. */
static const char *unchunked(void)
{
    char *from = strstr(text, "\r\n\r\n"), *to = text;
    from = from ? from + 4 : text;
    for (;;) {
        size_t size = strtoul(from, &from, 16);
        if (size == 0 || strncmp(from, "\r\n", 2) != 0)
            break;
        memmove(to, from + 2, size);
        to += size;
        from += size + 4;
    }
    *to = '\0';
    return text;
}

static void publish(const char *id, const char *data)
{
    const struct loop_http_event event = {.id = id, .data = data, .size = strlen(data)};
    assert_int_equal(0, loop_http_publish(&fixture.events, &event));
}

/* What a subscriber with this id hears, all in one piece, before an event "z". */
static const char *heard_since(const char *id)
{
    int fd = come_back(id);
    publish("z", "z");
    read_until(fd, "data: z\n\n\r\n");
    close(fd);
    while (fixture.events.count > 0)
        turn();
    return unchunked();
}

/* --- */

static void the_head_keeps_everybody_from_touching_the_stream(void **state)
{
    begin(state, (struct loop_http_events_options){.retry_ms = 2500}, true);
    publish("first", "missed");
    int fd = subscribe("accept-encoding: gzip\r\n");
    read_until(fd, "id: first\n\n\r\n");
    assert_int_equal(0, fixture.subscribed);
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strcasestr(text, "content-type: text/event-stream\r\n"));
    assert_non_null(strcasestr(text, "cache-control: no-store, no-transform\r\n"));
    assert_non_null(strcasestr(text, "x-accel-buffering: no\r\n"));
    assert_null(strcasestr(text, "content-encoding"));
    assert_null(strcasestr(text, "content-length"));
    assert_string_equal("retry: 2500\nid: first\n\n", unchunked());
    close(fd);
    end();
}

static void silence_may_be_left_as_it_is(void **state)
{
    begin(state, (struct loop_http_events_options){.quiet_ns = LOOP_NEVER}, false);
    int fd = subscribe("");
    read_until(fd, "\n\n\r\n");
    assert_int_equal(0, loop_http_publish_text(&fixture.events, NULL, NULL));
    read_until(fd, "data: \n\n\r\n");
    assert_false(loop_is_active(&fixture.events.quiet.handle));
    close(fd);
    end();
}

static void each_line_of_the_data_is_a_line_of_its_own(void **state)
{
    static const struct {
        const char *type, *data, *said;
    } cases[] = {
        {NULL, "a", "id: i\ndata: a\n\n"},
        {"tick", "a", "id: i\nevent: tick\ndata: a\n\n"},
        {NULL, "", "id: i\ndata: \n\n"},
        {NULL, "a\nb", "id: i\ndata: a\ndata: b\n\n"},
        {NULL, "a\r\nb", "id: i\ndata: a\ndata: b\n\n"},
        {NULL, "a\rb", "id: i\ndata: a\ndata: b\n\n"},
        {NULL, "a\n\rb", "id: i\ndata: a\ndata: \ndata: b\n\n"},
        {NULL, "a\n\n", "id: i\ndata: a\ndata: \ndata: \n\n"},
        {NULL, "\nid: 7\n\nevent: x", "id: i\ndata: \ndata: id: 7\ndata: \ndata: event: x\n\n"},
        {NULL, "  \xc3\xa4 ", "id: i\ndata:   \xc3\xa4 \n\n"},
    };
    begin(state, (struct loop_http_events_options){0}, false);
    int fd = subscribe("");
    read_until(fd, "\n\n\r\n");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const struct loop_http_event event = {.id = "i",
                                              .type = cases[i].type,
                                              .data = cases[i].data,
                                              .size = strlen(cases[i].data)};
        assert_int_equal(0, loop_http_publish(&fixture.events, &event));
        read_until(fd, "\n\n\r\n");
        assert_string_equal(cases[i].said, unchunked());
    }
    close(fd);
    end();
}

static void what_would_break_the_stream_is_refused(void **state)
{
    static char big[LOOP_HTTP_EVENT_ID_MAX + 2];
    memset(big, 'x', sizeof(big) - 1);
    const struct {
        struct loop_http_event event;
        int error;
    } cases[] = {
        {{.id = ""}, -EINVAL},
        {{.id = "a\nb"}, -EINVAL},
        {{.id = "a\rb"}, -EINVAL},
        {{.id = " a"}, -EINVAL},
        {{.id = "a "}, -EINVAL},
        {{.id = "\xff"}, -EILSEQ},
        {{.id = big}, -ENAMETOOLONG},
        {{.id = big + 1}, 0},
        {{.type = ""}, -EINVAL},
        {{.type = "a\nb"}, -EINVAL},
        {{.type = "a\rb"}, -EINVAL},
        {{.type = "a\x7f"}, -EINVAL},
        {{.type = "\xc3"}, -EILSEQ},
        {{.data = "\xff", .size = 1}, -EILSEQ},
        {{.data = NULL, .size = 1}, -EINVAL},
        {{.data = "a\0b", .size = 3}, 0},
        {{.data = NULL, .size = 0}, 0},
    };
    begin(state, (struct loop_http_events_options){0}, false);
    uint64_t published = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(cases[i].error, loop_http_publish(&fixture.events, &cases[i].event));
        published += cases[i].error == 0;
        assert_int_equal(published, fixture.events.published);
    }
    end();
}

static void a_channel_without_sense_is_not_made(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    struct loop_http_events other = {0};
    struct loop_http_events_options bad = {.lost = "a\nb"};
    assert_int_equal(-EINVAL, loop_http_events_init(fixture.loop, &other, &bad));
    bad = (struct loop_http_events_options){.waiting_bytes = 2 * LOOP_WRITE_HIGH - 1};
    assert_int_equal(-EINVAL, loop_http_events_init(fixture.loop, &other, &bad));
    bad = (struct loop_http_events_options){.waiting_bytes = LOOP_WRITE_MAX + 1};
    assert_int_equal(-EINVAL, loop_http_events_init(fixture.loop, &other, &bad));
    end();
}

static void an_event_may_have_half_of_what_may_wait(void **state)
{
    begin(state, (struct loop_http_events_options){.waiting_bytes = 2 * LOOP_WRITE_HIGH}, false);
    static char data[LOOP_WRITE_HIGH];
    memset(data, 'x', sizeof(data));
    size_t around = strlen("id: i\ndata: \n\n");
    struct loop_http_event event = {.id = "i", .data = data, .size = LOOP_WRITE_HIGH - around};
    int fd = subscribe("");
    assert_int_equal(0, loop_http_publish(&fixture.events, &event));
    event.size++;
    assert_int_equal(-EMSGSIZE, loop_http_publish(&fixture.events, &event));
    event.size = SIZE_MAX;
    assert_int_equal(-EMSGSIZE, loop_http_publish(&fixture.events, &event));
    read_until(fd, "x\n\n\r\n");
    close(fd);
    end();
}

/* --- replay --- */

static void who_comes_back_gets_what_it_missed(void **state)
{
    begin(state, (struct loop_http_events_options){.keep_events = 4, .lost = "lost"}, false);
    const char *a = "id: a\ndata: 1\n\n", *rest = "id: b\ndata: 2\n\nid: c\ndata: 3\n\n";
    const char *z = "id: z\ndata: z\n\n";
    char start[LOOP_HTTP_EVENT_ID_MAX + 1], words[1024];
    memcpy(start, fixture.events.last, sizeof(start));
    publish("a", "1");
    publish("b", "2");
    publish("c", "3");
    snprintf(words, sizeof(words), ":\n\n%s%s%s", a, rest, z);
    assert_string_equal(words, heard_since(start)); /* the ring holds a, b, c, z by now */
    snprintf(words, sizeof(words), ":\n\n%s%s%s", rest, z, z);
    assert_string_equal(words, heard_since("a")); /* b, c, z, z; a is known as what was before */
    end();
}

static void the_memory_holds_so_many_events(void **state)
{
    begin(state, (struct loop_http_events_options){.keep_events = 2, .lost = "lost"}, false);
    publish("a", "1");
    publish("b", "2");
    publish("c", "3");
    assert_string_equal(":\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\nid: z\ndata: z\n\n",
                        heard_since("a")); /* holds c and z */
    assert_string_equal(":\n\nevent: lost\ndata:\n\nid: c\ndata: 3\n\nid: z\ndata: z\n\n"
                        "id: z\ndata: z\n\n",
                        heard_since("a")); /* holds z and z */
    assert_string_equal(":\n\nevent: lost\ndata:\n\nid: z\ndata: z\n\nid: z\ndata: z\n\n"
                        "id: z\ndata: z\n\n",
                        heard_since("never"));
    assert_string_equal(":\n\nid: z\ndata: z\n\n", heard_since("z"));
    end();
}

static void the_memory_holds_so_many_bytes(void **state)
{
    const char *one = "id: a\ndata: 1\n\n";
    begin(state, (struct loop_http_events_options){.keep_bytes = (uint32_t)(2 * strlen(one))},
          false);
    publish("a", "1");
    publish("b", "2");
    assert_int_equal(2, fixture.events.published - fixture.events.first);
    publish("c", "3");
    assert_int_equal(2, fixture.events.published - fixture.events.first);
    publish("d", "44");
    assert_int_equal(1, fixture.events.published - fixture.events.first);
    assert_string_equal("c", fixture.events.before);
    publish("e", "01234567890123456789012345678901234567890123456789");
    assert_int_equal(0, fixture.events.published - fixture.events.first);
    assert_string_equal("e", fixture.events.before);
    assert_string_equal("e", fixture.events.last);
    assert_string_equal(":\n\nid: z\ndata: z\n\n", heard_since("e"));
    end();
}

static void ids_are_made_that_no_other_run_makes(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    struct loop_http_events other = {0};
    char words[512];
    assert_int_equal(0, loop_http_publish_text(&fixture.events, "t", "x"));
    snprintf(words, sizeof(words), "%llx-1", (unsigned long long)fixture.events.run);
    assert_string_equal(words, fixture.events.last);
    while (other.run == 0 || other.run == fixture.events.run) {
        loop_http_events_fini(&other);
        assert_int_equal(0, loop_http_events_init(fixture.loop, &other, NULL));
    }
    assert_string_not_equal(other.before, fixture.events.before);
    loop_http_events_fini(&other);
    end();
}

/* More than a link and the kernel take at once: it comes piece by piece, and nothing is lost. */
static void a_long_replay_goes_at_the_pace_of_its_reader(void **state)
{
    enum { COUNT = 160 };
    static char data[100000];
    memset(data, 'x', sizeof(data) - 1);
    begin(state, (struct loop_http_events_options){.keep_bytes = 20 * 1024 * 1024}, false);
    publish("start", "0");
    for (int i = 0; i < COUNT; i++)
        publish("x", data);
    publish("end", "the end");
    int fd = dial(4096);
    ask(fd, "GET", "last-event-id: start\r\n");
    while (fixture.events.count == 0)
        turn();
    publish("live", "and on");
    assert_int_equal(1, fixture.events.count); /* it is behind, not too slow */
    read_until(fd, "data: and on\n\n\r\n");
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, "id: x\n")); at++)
        count++;
    assert_int_equal(COUNT, count);
    assert_true(strstr(text, "data: the end\n") < strstr(text, "data: and on\n"));
    publish("live", "really");
    read_until(fd, "data: really\n\n\r\n");
    assert_int_equal(0, fixture.events.cut_off);
    close(fd);
    end();
}

/* What it still misses is more than its link takes, and is forgotten in the meantime. */
static void who_cannot_catch_up_when_its_connection_breaks_is_forgotten(void **state)
{
    static char data[100000];
    memset(data, 'x', sizeof(data) - 1);
    begin(state, (struct loop_http_events_options){.keep_bytes = 20 * 1024 * 1024}, false);
    publish("start", "0");
    for (int i = 0; i < 160; i++)
        publish("x", data);
    int fd = dial(4096);
    ask(fd, "GET", "last-event-id: start\r\n");
    while (fixture.events.count == 0)
        turn();
    close(fd);
    while (fixture.events.count > 0)
        turn();
    assert_int_equal(0, fixture.events.cut_off);
    end();
}

static void on_begun(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_write(res, "begun", 5);
    fixture.subscribed = loop_http_subscribe(&fixture.events, res);
}

static void a_response_that_has_begun_becomes_no_stream(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    fixture.server.options.on_request = on_begun;
    int fd = dial(0);
    ask(fd, "GET", "");
    read_until(fd, NULL);
    assert_int_equal(-EALREADY, fixture.subscribed);
    assert_int_equal(0, fixture.events.count);
    close(fd);
    end();
}

static void on_last(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_server_close(req->server, LOOP_NEVER, on_closed);
    fixture.subscribed = loop_http_subscribe(&fixture.events, res);
}

/* It would only be ended at once. */
static void a_server_that_closes_takes_no_subscriber(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    fixture.server.options.on_request = on_last;
    int fd = dial(0);
    ask(fd, "GET", "");
    read_until(fd, NULL);
    assert_int_equal(-EPIPE, fixture.subscribed);
    assert_non_null(strstr(text, " 503 "));
    close(fd);
    end();
}

/* --- the slow, and the gone --- */

/* The last whole event of what is in the kernel's hands, behind which comes the reset; -1: none. */
static int last_seen(int fd)
{
    size_t size = 0;
    int seen = -1;
    turn();
    for (ssize_t got; (got = recv(fd, text + size, TEXT_MAX - 1 - size, 0)) > 0;)
        size += (size_t)got;
    text[size] = '\0';
    for (const char *at = text; (at = strstr(at, "id: e")) && strstr(at, "\n\n\r\n"); at++)
        sscanf(at, "id: e%d", &seen);
    return seen;
}

static void a_slow_subscriber_is_cut_off_and_finds_the_rest(void **state)
{
    static char data[20000];
    memset(data, 'x', sizeof(data) - 1);
    begin(state, (struct loop_http_events_options){.keep_bytes = 64 * 1024 * 1024}, false);
    int slow = dial(4096);
    ask(slow, "GET", "");
    while (fixture.events.count == 0)
        turn();
    int fast = subscribe("");
    int published = 0;
    char id[32];
    while (fixture.events.cut_off == 0) {
        snprintf(id, sizeof(id), "e%d", published++);
        publish(id, data);
        read_until(fast, "x\n\n\r\n");
    }
    assert_int_equal(1, fixture.events.count);
    int seen = last_seen(slow);
    assert_true(seen < published - 1);
    close(slow);
    snprintf(id, sizeof(id), "e%d", seen);
    slow = come_back(seen < 0 ? fixture.events.before : id);
    snprintf(id, sizeof(id), "id: e%d\n", published - 1);
    read_until(slow, id);
    snprintf(id, sizeof(id), "id: e%d\n", seen + 1);
    assert_non_null(strstr(text, id));
    close(slow);
    close(fast);
    end();
}

/* It is behind, and what it is to get next is forgotten. */
static void who_is_overtaken_by_the_memory_is_cut_off(void **state)
{
    static char data[60000];
    memset(data, 'x', sizeof(data) - 1);
    begin(state, (struct loop_http_events_options){.keep_events = 100, .keep_bytes = 10000000},
          false);
    for (int i = 0; i < 100; i++)
        publish("x", data);
    int fd = dial(4096);
    ask(fd, "GET", "last-event-id: not-known\r\n");
    while (fixture.events.count == 0)
        turn();
    int more = 0;
    for (; fixture.events.count > 0; more++)
        publish("y", "y");
    assert_true(more <= 100);
    assert_int_equal(1, fixture.events.cut_off);
    close(fd);
    end();
}

static void a_subscriber_that_goes_is_forgotten(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    int polite = subscribe(""), rude = subscribe("");
    const struct linger at_once = {1, 0};
    setsockopt(rude, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(rude);
    while (fixture.events.count > 1)
        turn();
    close(polite); /* just says that it will send no more */
    while (fixture.events.count > 0)
        turn();
    assert_int_equal(0, fixture.events.cut_off);
    assert_int_equal(2, fixture.over);
    publish("a", "nobody");
    end();
}

/* --- in callbacks, by the clock, and at the end --- */

static void publishing_in_a_callback_reaches_all_but_who_is_not_there_yet(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    int first = subscribe("");
    fixture.publish_then = "somebody comes";
    int second = subscribe("");
    fixture.publish_then = NULL;
    publish("z", "z");
    read_until(first, "data: z\n\n\r\n");
    assert_non_null(strstr(text, "data: somebody comes\n"));
    read_until(second, "data: z\n\n\r\n");
    assert_null(strstr(text, "data: somebody comes\n"));
    close(first);
    close(second);
    end();
}

/* The log is called when one that is too slow is ended, in the middle of publishing. */
static void the_channel_may_be_finished_while_it_publishes(void **state)
{
    static char data[100000];
    memset(data, 'x', sizeof(data) - 1);
    begin(state, (struct loop_http_events_options){0}, false);
    int slow = dial(4096), also = dial(4096);
    ask(slow, "GET", "");
    ask(also, "GET", "");
    while (fixture.events.count < 2)
        turn();
    fixture.end_in_log = true;
    struct loop_http_event event = {.data = data, .size = sizeof(data) - 1};
    int status = 0;
    for (int i = 0; status == 0; i++) {
        status = loop_http_publish(&fixture.events, &event);
        assert_true(i < 1000);
        turn();
    }
    assert_int_equal(-ECANCELED, status);
    assert_int_equal(2, fixture.over);
    close(slow);
    close(also);
    end();
}

/* Closing ends all responses, also that of the second who is too slow, whose turn it is next. */
static void the_server_may_be_closed_while_the_slow_are_cut_off(void **state)
{
    static char data[100000];
    memset(data, 'x', sizeof(data) - 1);
    begin(state, (struct loop_http_events_options){0}, false);
    int slow = dial(4096), also = dial(4096);
    ask(slow, "GET", "");
    ask(also, "GET", "");
    while (fixture.events.count < 2)
        turn();
    fixture.close_in_log = true;
    struct loop_http_event event = {.data = data, .size = sizeof(data) - 1};
    while (fixture.events.cut_off == 0)
        assert_int_equal(0, loop_http_publish(&fixture.events, &event));
    assert_int_equal(2, fixture.events.cut_off);
    assert_int_equal(2, fixture.over);
    assert_int_equal(0, fixture.events.count);
    close(slow);
    close(also);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_true(fixture.closed);
    loop_http_events_fini(&fixture.events);
}

static void on_pass(struct loop_timer *timer)
{
    (void)timer;
    say("passed");
}

/* On the virtual clock, which goes to the next timer when nothing else is to be done. */
static void pass(uint64_t ns)
{
    struct loop_timer timer;
    loop_timer_init(fixture.loop, &timer);
    assert_int_equal(0, loop_timer_start(&timer, ns, 0, on_pass));
    while (loop_is_active(&timer.handle))
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    assert_said("passed");
}

static void silence_is_broken_by_a_comment(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    int fd = subscribe("");
    read_until(fd, "\n\n\r\n");
    pass(10 * LOOP_SEC);
    publish("a", "1");
    read_until(fd, "data: 1\n\n\r\n");
    pass(14 * LOOP_SEC);
    turn();
    turn();
    assert_int_equal(-1, recv(fd, text, 1, MSG_DONTWAIT)); /* 24 s, but 14 since the event */
    pass(1 * LOOP_SEC);
    read_until(fd, "\n\n\r\n");
    assert_string_equal(":\n\n", unchunked());
    pass(15 * LOOP_SEC);
    read_until(fd, "\n\n\r\n");
    assert_string_equal(":\n\n", unchunked());
    close(fd);
    while (fixture.events.count > 0)
        turn();
    end();
}

static void the_end_of_the_server_is_the_end_of_the_stream(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    int fd = subscribe("");
    publish("a", "goodbye");
    loop_http_server_close(&fixture.server, LOOP_NEVER, on_closed);
    assert_int_equal(0, fixture.events.count);
    read_until(fd, NULL);
    assert_true(strlen(text) > 7);
    assert_string_equal("\r\n0\r\n\r\n", text + strlen(text) - 7);
    assert_non_null(strstr(text, "data: goodbye\n"));
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_true(fixture.closed);
    close(fd);
    loop_http_events_fini(&fixture.events);
}

/* Nobody reads: the server would wait for the last bytes to be taken. */
static void a_slow_subscriber_does_not_hold_up_the_end_of_the_server(void **state)
{
    static char data[60000];
    memset(data, 'x', sizeof(data) - 1);
    begin(state, (struct loop_http_events_options){.keep_bytes = 10000000}, false);
    for (int i = 0; i < 100; i++)
        publish("x", data);
    int fd = dial(4096);
    ask(fd, "GET", "last-event-id: not-known\r\n");
    while (fixture.events.count == 0)
        turn();
    loop_http_server_close(&fixture.server, LOOP_NEVER, on_closed);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_true(fixture.closed);
    close(fd);
    loop_http_events_fini(&fixture.events);
}

static void finishing_the_channel_ends_its_streams(void **state)
{
    begin(state, (struct loop_http_events_options){0}, false);
    int fd = subscribe("connection: close\r\n");
    publish("a", "last");
    loop_http_events_fini(&fixture.events);
    loop_http_events_fini(&fixture.events);
    assert_int_equal(0, fixture.events.count);
    assert_int_equal(-ECANCELED, loop_http_publish_text(&fixture.events, NULL, "x"));
    read_until(fd, NULL);
    assert_non_null(strstr(text, "data: last\n"));
    close(fd);
    fd = dial(0);
    ask(fd, "GET", "connection: close\r\n");
    read_until(fd, NULL);
    assert_int_equal(-ECANCELED, fixture.subscribed);
    assert_non_null(strstr(text, "HTTP/1.1 204"));
    close(fd);
    end();
}

static void there_may_be_so_many_subscribers(void **state)
{
    begin(state, (struct loop_http_events_options){.subscribers = 1}, false);
    int first = subscribe("");
    int second = dial(0);
    ask(second, "GET", "connection: close\r\n");
    read_until(second, NULL);
    assert_int_equal(-EBUSY, fixture.subscribed);
    assert_non_null(strstr(text, "HTTP/1.1 503"));
    close(second);
    second = dial(0);
    close(first);
    while (fixture.events.count > 0)
        turn();
    ask(second, "HEAD", "connection: close\r\n");
    read_until(second, NULL);
    assert_non_null(strcasestr(text, "content-type: text/event-stream\r\n"));
    assert_int_equal(0, fixture.subscribed);
    assert_int_equal(0, fixture.events.count);
    close(second);
    end();
}

/* --- compressed, and many --- */

static size_t inflate_all(const char *bytes, size_t size, char *out, size_t out_size)
{
    z_stream stream = {0};
    assert_int_equal(Z_OK, inflateInit2(&stream, 15 + 16));
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)out_size;
    int status = inflate(&stream, Z_SYNC_FLUSH);
    assert_true(status == Z_OK || status == Z_BUF_ERROR);
    size_t made = stream.total_out;
    inflateEnd(&stream);
    return made;
}

/* Chunks have bytes of any kind here, so the text functions do not do. */
static size_t join_chunks(size_t size)
{
    char *from = (char *)memmem(text, size, "\r\n\r\n", 4) + 4, *to = text, *end_of = text + size;
    while (from < end_of) {
        size_t piece = strtoul(from, &from, 16);
        memmove(to, from + 2, piece);
        to += piece;
        from += piece + 4;
    }
    return (size_t)(to - text);
}

static void a_stream_may_be_compressed_if_the_program_says_so(void **state)
{
    static char plain[4096];
    begin(state, (struct loop_http_events_options){0}, true);
    fixture.own_cache_control = true;
    int fd = subscribe("accept-encoding: gzip\r\n");
    publish("a", "each event leaves when it is published");
    size_t size = 0, made = 0;
    do {
        turn();
        ssize_t got = recv(fd, text + size, TEXT_MAX - size, MSG_DONTWAIT);
        size += got > 0 ? (size_t)got : 0;
        static char copy[sizeof(plain)];
        assert_true(size < sizeof(copy));
        memcpy(copy, text, size);
        if (memmem(text, size, "\r\n\r\n", 4))
            made = inflate_all(text, join_chunks(size), plain, sizeof(plain) - 1);
        memcpy(text, copy, size);
    } while (!memmem(plain, made, "published\n\n", 11));
    assert_non_null(memmem(text, size, "gzip", 4));
    close(fd);
    end();
}

static void a_thousand_subscribers_hear_the_same(void **state)
{
    static int clients[CLIENTS_MAX];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 2 * CLIENTS_MAX + 64 ? limit.rlim_max : 2 * CLIENTS_MAX + 64;
    setrlimit(RLIMIT_NOFILE, &limit);
    size_t count = limit.rlim_cur < 2 * CLIENTS_MAX + 64 ? 100 : CLIENTS_MAX;
    begin(state, (struct loop_http_events_options){0}, false);
    for (size_t i = 0; i < count; i++)
        clients[i] = subscribe("");
    assert_int_equal(count, fixture.events.count);
    publish("a", "to all");
    for (size_t i = 0; i < count; i++) {
        read_until(clients[i], "id: a\ndata: to all\n\n\r\n");
        if (i % 2)
            close(clients[i]);
    }
    while (fixture.events.count > (count + 1) / 2)
        turn();
    publish("b", "to half");
    for (size_t i = 0; i < count; i += 2) {
        read_until(clients[i], "id: b\ndata: to half\n\n\r\n");
        close(clients[i]);
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(the_head_keeps_everybody_from_touching_the_stream),
        real_test(each_line_of_the_data_is_a_line_of_its_own),
        real_test(what_would_break_the_stream_is_refused),
        real_test(a_channel_without_sense_is_not_made),
        real_test(an_event_may_have_half_of_what_may_wait),
        real_test(who_comes_back_gets_what_it_missed),
        real_test(the_memory_holds_so_many_events),
        real_test(the_memory_holds_so_many_bytes),
        real_test(ids_are_made_that_no_other_run_makes),
        real_test(a_long_replay_goes_at_the_pace_of_its_reader),
        real_test(who_cannot_catch_up_when_its_connection_breaks_is_forgotten),
        real_test(a_response_that_has_begun_becomes_no_stream),
        real_test(a_server_that_closes_takes_no_subscriber),
        virtual_test(silence_may_be_left_as_it_is),
        real_test(a_slow_subscriber_is_cut_off_and_finds_the_rest),
        real_test(who_is_overtaken_by_the_memory_is_cut_off),
        real_test(a_subscriber_that_goes_is_forgotten),
        real_test(publishing_in_a_callback_reaches_all_but_who_is_not_there_yet),
        real_test(the_channel_may_be_finished_while_it_publishes),
        real_test(the_server_may_be_closed_while_the_slow_are_cut_off),
        virtual_test(silence_is_broken_by_a_comment),
        real_test(the_end_of_the_server_is_the_end_of_the_stream),
        real_test(a_slow_subscriber_does_not_hold_up_the_end_of_the_server),
        real_test(finishing_the_channel_ends_its_streams),
        real_test(there_may_be_so_many_subscribers),
        real_test(a_stream_may_be_compressed_if_the_program_says_so),
        real_test(a_thousand_subscribers_hear_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
