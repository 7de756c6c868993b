/* A client, and the server that it asks, whose outside calls fail one after the other.
 *
 * Each scenario is a call or several, of the kinds that differ inside: what comes packed, is
 * collected, held while the program has paused; what goes from memory, or streamed before there is
 * a connection; a redirect that takes the body away. In each run one allocation, or one call of the
 * loop or of zlib, is refused. Whatever that was for, a call that was started ends, once, with the
 * answer or with a reason, and one that was not has told so at once.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include "loop/http.h"
#include "loop/http/client.h"
#include "loop/pool.h"

#include <sched.h>
#include <zlib.h>

enum { BIG = 200000 };

int __real_inflateInit2_(z_streamp stream, int bits, const char *version, int size);
int __wrap_inflateInit2_(z_streamp stream, int bits, const char *version, int size);
int __real_inflate(z_streamp stream, int flush);
int __wrap_inflate(z_streamp stream, int flush);

int __wrap_inflateInit2_(z_streamp stream, int bits, const char *version, int size)
{
    return refused("inflateInit2") ? Z_MEM_ERROR
                                   : __real_inflateInit2_(stream, bits, version, size);
}

int __wrap_inflate(z_streamp stream, int flush)
{
    return refused("inflate") ? Z_MEM_ERROR : __real_inflate(stream, flush);
}

static struct loop *loop;
static struct loop_http_server server;
static struct loop_http_client client;
static struct loop_http_call calls[3];
static struct loop_task resuming;
static unsigned started, ended;
static char big[BIG];

/* --- the server --- */

static void on_body(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    loop_http_end(req->response, status == 0 ? bytes : NULL, status == 0 ? size : 0);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    if (strcmp(req->path, "/echo") == 0) {
        loop_http_collect_body(req, 0, on_body);
        return;
    }
    if (strcmp(req->path, "/away") == 0) {
        loop_http_set_status(res, 302);
        loop_http_set_header(res, "Location", "/big");
    }
    if (strcmp(req->path, "/far") == 0) {
        loop_http_set_status(res, 302);
        loop_http_set_header(res, "Location", "http://127.0.0.2:1/");
    }
    loop_http_set_header(res, "Content-Type", "text/plain");
    for (int i = 0; i < 4; i++)
        loop_http_write(res, big, sizeof(big) / 4);
    loop_http_end(res, NULL, 0);
}

/* --- the client --- */

static const char *url(const char *path)
{
    static char text[64];
    snprintf(text, sizeof(text), "http://127.0.0.1:%u%s", loop_http_server_port(&server), path);
    return text;
}

static void begin(void **state)
{
    const struct loop_http_options options = {.on_request = on_request, .compress = true};
    loop = *state;
    started = ended = 0;
    memset(calls, 0, sizeof(calls));
    memset(big, 'b', sizeof(big));
    assert_int_equal(0, loop_http_server_init(loop, &server, &options));
    assert_int_equal(0, loop_http_listen(&server, "127.0.0.1", 0, 0));
    assert_int_equal(0, loop_http_client_init(loop, &client, NULL));
    arm();
}

/* The client's memory may go once its last word was said. */
static void end(void)
{
    while (ended < started)
        loop_run(loop, LOOP_RUN_DEFAULT);
    loop_task_cancel(&resuming);
    disarm();
    loop_http_client_close(&client, NULL);
    loop_http_server_close(&server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(started, ended);
}

static void on_end(struct loop_http_call *call, int status)
{
    ended++;
    loop_stop(loop);
    assert_true(status <= 0);
    assert_true(status < 0 || call->status >= 200); /* the server, too, may want memory */
}

static void start(const struct loop_http_call_options *options)
{
    int status = loop_http_call_start(&client, &calls[started], options);
    assert_true(status <= 0);
    assert_true((status == 0) == (calls[started].fetch != NULL));
    started += status == 0;
}

static void get(void **state)
{
    begin(state);
    if (loop_http_get(&client, &calls[0], url("/big"), on_end) == 0)
        started++;
    end();
}

static void get_one_after_the_other(void **state)
{
    begin(state);
    for (int i = 0; i < 2; i++) {
        const struct loop_http_call_options options = {.url = url("/big"), .on_end = on_end};
        start(&options);
        while (ended < started)
            loop_run(loop, LOOP_RUN_DEFAULT);
    }
    end();
}

static void on_resume(struct loop_task *task)
{
    loop_http_call_resume(task->data);
}

static void on_head(struct loop_http_call *call)
{
    loop_http_call_pause(call);
    resuming.data = call;
    loop_immediate(loop, &resuming, on_resume);
}

static void get_with_a_pause(void **state)
{
    begin(state);
    const struct loop_http_call_options options = {
        .url = url("/big"), .decode = true, .collect = true, .on_head = on_head, .on_end = on_end};
    start(&options);
    end();
}

static void get_much_with_a_pause(void **state)
{
    begin(state);
    const struct loop_http_call_options options = {.url = url("/big"),
                                                   .collect = true,
                                                   .on_head = on_head,
                                                   .on_end = on_end};
    start(&options);
    end();
}

static void get_and_be_sent_far_away(void **state)
{
    begin(state);
    const struct loop_http_call_options options = {.url = url("/far"), .on_end = on_end};
    start(&options);
    end();
}

static void post_and_be_sent_away(void **state)
{
    static const struct loop_http_header headers[] = {{"Content-Type", "text/plain"},
                                                      {"X-A", "b"},
                                                      {NULL, NULL}};
    begin(state);
    const struct loop_http_call_options options = {.url = url("/away"),
                                                   .method = "POST",
                                                   .headers = headers,
                                                   .body = big,
                                                   .body_size = sizeof(big),
                                                   .collect = true,
                                                   .on_end = on_end};
    start(&options);
    end();
}

/* Before there is a connection: what is written is gathered, in memory that has to grow. */
static void stream(void **state)
{
    begin(state);
    const struct loop_http_call_options options = {
        .url = url("/echo"), .method = "POST", .streamed = true, .collect = true, .on_end = on_end};
    start(&options);
    if (started > 0) {
        loop_http_call_write(&calls[0], big, 1000);
        loop_http_call_write(&calls[0], big, sizeof(big));
        if (loop_http_call_end(&calls[0], "end", 3) < 0)
            loop_http_call_cancel(&calls[0]);
    }
    end();
}

static void on_answer(struct loop_http_call *call)
{
    loop_http_call_write(call, big, sizeof(big));
    if (loop_http_call_end(call, NULL, 0) < 0)
        loop_http_call_cancel(call);
}

/* And with one, when the answer has begun. */
static void stream_late(void **state)
{
    begin(state);
    const struct loop_http_call_options options = {.url = url("/big"),
                                                   .method = "POST",
                                                   .streamed = true,
                                                   .on_head = on_answer,
                                                   .on_end = on_end};
    start(&options);
    end();
}

static void a_call_ends_whatever_is_refused(void **state)
{
    refuse_each(state, get);
    refuse_each(state, get_one_after_the_other);
    refuse_each(state, get_with_a_pause);
    refuse_each(state, get_much_with_a_pause);
    refuse_each(state, get_and_be_sent_far_away);
}

static void a_call_with_a_body_ends_whatever_is_refused(void **state)
{
    refuse_each(state, post_and_be_sent_away);
    refuse_each(state, stream);
    refuse_each(state, stream_late);
}

/* Of a look-up that was given up the thread has files open until it has ended. */
static void await_lookups(void)
{
    struct loop_pool_stats stats;
    do {
        sched_yield();
        loop_pool_stats(NULL, &stats);
    } while (stats.of[LOOP_POOL_DNS].running + stats.of[LOOP_POOL_DNS].queued > 0);
}

/* A name is looked up by the pool. */
static void get_by_name(void **state)
{
    char text[64];
    begin(state);
    snprintf(text, sizeof(text), "http://LocalHost:%u/big", loop_http_server_port(&server));
    if (loop_http_get(&client, &calls[0], text, on_end) == 0)
        started++;
    end();
    await_lookups();
}

static void a_call_by_name_ends_whatever_is_refused(void **state)
{
    refuse_each(state, get_by_name);
}

static const struct CMUnitTest tests[] = {
    spared_test(a_call_ends_whatever_is_refused),
    spared_test(a_call_with_a_body_ends_whatever_is_refused),
    spared_test(a_call_by_name_ends_whatever_is_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
