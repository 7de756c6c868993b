/* A loop per thread: servers that share a port, and end together.
 *
 * Each thread's start runs on that thread, with its loop, before the call that makes them returns;
 * what one of them fails with is what the call returns, with no thread left. Requests are answered
 * by all threads together, and their statistics, asked for one thread after the other, sum up to
 * exactly what was answered. A signal, or a call, has each thread finish what it has under way; the
 * end is told once, behind all questions that were asked before.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/http/workers.h"
#include "loop/tcp.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 3, CLIENTS = 16 };

struct part {
    struct loop_http_server server;
    struct loop_task slow;
    struct loop_http_response *waiting; /* for the end */
};

struct client {
    struct loop_tcp tcp;
    struct loop_connect connect;
    char text[512];
    size_t size;
    const char *request;
    bool open;
};

static struct fixture {
    struct loop *loop;
    struct loop_threads threads;
    struct loop_threads_options options;
    struct part parts[THREADS];
    struct client clients[CLIENTS];
    struct loop_http_stats sum;
    uint16_t port;
    unsigned wanted, answered, failed;
    unsigned fails_at; /* the thread whose start fails, and 1 */
    unsigned asked;
    bool ended;
} fixture;

/* --- on the threads --- */

static void on_slow(struct loop_task *task)
{
    struct part *part = loop_container_of(task, struct part, slow);
    loop_http_end_text(part->waiting, "answer\n");
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    struct part *part = loop_container_of(req->server, struct part, server);
    if (strcmp(req->path, "/slow") != 0) {
        loop_http_end_text(res, "answer\n");
        return;
    }
    part->waiting = res;
}

static int start(struct loop_thread *thread)
{
    static const struct loop_http_options options = {.on_request = on_request};
    struct part *part = &fixture.parts[thread->number];
    assert_ptr_equal(&fixture.threads, thread->threads);
    if (fixture.fails_at == thread->number + 1)
        return -EXDEV;
    thread->data = part;
    int error = loop_http_server_init(&thread->loop, &part->server, &options);
    if (!error)
        error = loop_http_listen(&part->server, "127.0.0.1", fixture.port, LOOP_TCP_REUSE_PORT);
    if (error)
        return error;
    fixture.port = loop_http_server_port(&part->server); /* threads start one after the other */
    return 0;
}

static void drain(struct loop_thread *thread)
{
    struct part *part = thread->data;
    loop_http_server_close(&part->server, LOOP_NEVER, NULL);
    if (part->waiting)
        loop_immediate(&thread->loop, &part->slow, on_slow);
}

static void ask(struct loop_thread *thread, void *arg)
{
    struct part *part = thread->data;
    fixture.asked++;
    loop_http_stats_add(arg, &part->server.stats);
}

/* --- on the main loop --- */

static void on_client_closed(struct loop_handle *handle)
{
    struct client *client = loop_container_of(handle, struct client, tcp.handle);
    bool whole = strstr(client->text, "HTTP/1.1 200 OK\r\n") && strstr(client->text, "answer\n");
    client->open = false;
    fixture.answered += whole;
    fixture.failed += !whole;
    if (fixture.answered + fixture.failed == fixture.wanted)
        loop_stop(fixture.loop);
}

static void on_heard(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct client *client = loop_container_of(stream, struct client, tcp.stream);
    if (size < 0) {
        loop_close(&stream->handle, on_client_closed);
        return;
    }
    assert_true(client->size + (size_t)size < sizeof(client->text));
    memcpy(client->text + client->size, bytes, (size_t)size);
    client->size += (size_t)size;
}

static void on_connected(struct loop_connect *connect, int status)
{
    struct client *client = loop_container_of(connect, struct client, connect);
    assert_int_equal(0, status);
    assert_true(loop_write_copy(&client->tcp.stream, client->request, strlen(client->request)) >=
                0);
    loop_read_start(&client->tcp.stream, on_heard);
}

static void start_client(struct client *client, const char *request)
{
    struct loop_address address;
    *client = (struct client){.request = request, .open = true};
    fixture.wanted++;
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", fixture.port));
    loop_tcp_init(fixture.loop, &client->tcp);
    assert_int_equal(0, loop_tcp_connect(&client->tcp, &client->connect, &address, on_connected));
}

static void request_all(void)
{
    for (size_t i = 0; i < CLIENTS; i++)
        start_client(&fixture.clients[i],
                     "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
}

static void on_end(struct loop_threads *threads)
{
    assert_ptr_equal(&fixture.threads, threads);
    for (unsigned i = 0; i < THREADS; i++)
        assert_ptr_equal(&fixture.parts[i], threads->threads[i].data);
    fixture.ended = true;
    say("ended");
}

static int setup(void **state)
{
    if (setup_real(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    fixture.options = (struct loop_threads_options){.count = THREADS,
                                                    .start = start,
                                                    .drain = drain,
                                                    .on_end = on_end};
    return 0;
}

static void begin(void)
{
    assert_int_equal(0, loop_threads_start(fixture.loop, &fixture.threads, &fixture.options));
}

static void end(void)
{
    loop_threads_stop(&fixture.threads);
    assert_false(fixture.ended);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_true(fixture.ended);
    assert_said("ended");
}

static void on_asked(struct loop_threads *threads, void *arg)
{
    (void)threads;
    assert_ptr_equal(&fixture.sum, arg);
    say("asked");
    loop_stop(fixture.loop);
}

/* --- the tests --- */

static void all_threads_answer_and_their_statistics_sum_up(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 10; i++)
        request_all();
    assert_int_equal(10 * CLIENTS, fixture.answered);
    assert_int_equal(0, fixture.failed);
    assert_int_equal(0, loop_threads_ask(&fixture.threads, ask, on_asked, &fixture.sum));
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    assert_said("asked");
    assert_int_equal(THREADS, fixture.asked);
    assert_int_equal(10 * CLIENTS, fixture.sum.requests);
    assert_int_equal(10 * CLIENTS, fixture.sum.responses[2]);
    uint64_t in_buckets = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(fixture.sum.buckets); i++)
        in_buckets += fixture.sum.buckets[i];
    assert_int_equal(10 * CLIENTS, in_buckets);
    end();
}

static void what_is_under_way_at_the_end_is_answered(void **state)
{
    (void)state;
    begin();
    start_client(&fixture.clients[0],
                 "GET /slow HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    do {
        memset(&fixture.sum, 0, sizeof(fixture.sum));
        assert_int_equal(0, loop_threads_ask(&fixture.threads, ask, on_asked, &fixture.sum));
        loop_run(fixture.loop, LOOP_RUN_DEFAULT);
        said();
    } while (fixture.sum.requests == 0);
    loop_threads_stop(&fixture.threads);
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    assert_int_equal(1, fixture.answered);
    assert_true(fixture.ended);
    assert_said("ended");
}

static void a_signal_stops_all_threads(void **state)
{
    (void)state;
    begin();
    kill(getpid(), SIGTERM);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("ended");
}

static void what_was_asked_is_answered_before_the_end(void **state)
{
    (void)state;
    fixture.options.no_signals = true;
    begin();
    assert_int_equal(0, loop_threads_ask(&fixture.threads, ask, on_asked, &fixture.sum));
    loop_threads_stop(&fixture.threads);
    assert_int_equal(-ECANCELED, loop_threads_ask(&fixture.threads, ask, on_asked, &fixture.sum));
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_said("asked ended");
}

static void a_start_that_fails_fails_the_call_and_leaves_no_thread(void **state)
{
    (void)state;
    for (fixture.fails_at = 1; fixture.fails_at <= THREADS; fixture.fails_at++) {
        fixture.port = 0;
        assert_int_equal(-EXDEV,
                         loop_threads_start(fixture.loop, &fixture.threads, &fixture.options));
        assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    }
    assert_said("");
}

static pthread_t waiting;
static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals = signals + 1;
}

static int start_with_signals(struct loop_thread *thread)
{
    (void)thread;
    for (int i = 0; i < 100; i++) {
        pthread_kill(waiting, SIGUSR2);
        sched_yield();
    }
    return 0;
}

static void drain_nothing(struct loop_thread *thread);

static void whoever_waits_for_a_start_is_not_woken_by_signals(void **state)
{
    const struct loop_threads_options options = {.count = 1,
                                                 .start = start_with_signals,
                                                 .drain = drain_nothing};
    const struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    waiting = pthread_self();
    assert_int_equal(0, sigaction(SIGUSR2, &action, &before));
    assert_int_equal(0, loop_threads_start(*state, &fixture.threads, &options));
    assert_true(signals > 0);
    loop_threads_stop(&fixture.threads);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(0, sigaction(SIGUSR2, &before, NULL));
}

static int start_nothing(struct loop_thread *thread)
{
    (void)thread;
    return 0;
}

static void drain_nothing(struct loop_thread *thread)
{
    (void)thread;
}

/* A thread for each processor, and nobody who wants to know of the end. */
static void most_options_may_be_left_out(void **state)
{
    const struct loop_threads_options options = {.start = start_nothing, .drain = drain_nothing};
    assert_int_equal(0, loop_threads_start(*state, &fixture.threads, &options));
    assert_int_equal(loop_processors(), fixture.threads.count);
    loop_threads_stop(&fixture.threads);
    loop_threads_stop(&fixture.threads);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct loop_threads_options options = fixture.options;
    struct loop_threads none = {.data = NULL};
    assert_int_equal(-EINVAL, loop_threads_start(NULL, &fixture.threads, &options));
    assert_int_equal(-EINVAL, loop_threads_start(*state, NULL, &options));
    assert_int_equal(-EINVAL, loop_threads_start(*state, &fixture.threads, NULL));
    assert_int_equal(-EINVAL, loop_threads_ask(NULL, ask, on_asked, NULL));
    assert_int_equal(-EINVAL, loop_threads_ask(&none, NULL, on_asked, NULL));
    assert_int_equal(-EINVAL, loop_threads_ask(&none, ask, NULL, NULL));
    assert_int_equal(-ECANCELED, loop_threads_ask(&none, ask, on_asked, NULL));
    options.start = NULL;
    assert_int_equal(-EINVAL, loop_threads_start(*state, &fixture.threads, &options));
    options = fixture.options;
    options.drain = NULL;
    assert_int_equal(-EINVAL, loop_threads_start(*state, &fixture.threads, &options));
    options = fixture.options;
    options.count = LOOP_WORKERS_MAX + 1;
    assert_int_equal(-EINVAL, loop_threads_start(*state, &fixture.threads, &options));
    assert_true(loop_processors() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_threads_answer_and_their_statistics_sum_up, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_under_way_at_the_end_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_stops_all_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_asked_is_answered_before_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_that_fails_fails_the_call_and_leaves_no_thread,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_waits_for_a_start_is_not_woken_by_signals, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(most_options_may_be_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
