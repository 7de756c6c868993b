/* WebSockets, both ends in one process, whose outside calls fail one after the other.
 *
 * A client connects, with a subprotocol and with messages deflated, says something long, gets it
 * back from a group, rests for a moment and closes. In each run one allocation, or one call of the
 * loop, of zlib, of wslay, of OpenSSL's hash or for random bytes, is refused. Then too each socket
 * that was begun has one last word, on_close, and what cannot be begun says so at once.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include "loop/http.h"
#include "loop/websocket.h"

#include <openssl/evp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>
#include <zlib.h>

int __real_inflateInit2_(z_streamp stream, int bits, const char *version, int size);
int __wrap_inflateInit2_(z_streamp stream, int bits, const char *version, int size);
int __real_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size);
int __wrap_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size);
int __real_inflate(z_streamp stream, int flush);
int __wrap_inflate(z_streamp stream, int flush);
int __real_wslay_frame_context_init(wslay_frame_context_ptr *context,
                                    const struct wslay_frame_callbacks *callbacks, void *data);
int __wrap_wslay_frame_context_init(wslay_frame_context_ptr *context,
                                    const struct wslay_frame_callbacks *callbacks, void *data);
int __real_EVP_Q_digest(OSSL_LIB_CTX *library, const char *name, const char *properties,
                        const void *bytes, size_t size, unsigned char *hash, size_t *hash_size);
int __wrap_EVP_Q_digest(OSSL_LIB_CTX *library, const char *name, const char *properties,
                        const void *bytes, size_t size, unsigned char *hash, size_t *hash_size);
ssize_t __real_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);
FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);

int __wrap_inflateInit2_(z_streamp stream, int bits, const char *version, int size)
{
    return refused("inflateInit2") ? Z_MEM_ERROR
                                   : __real_inflateInit2_(stream, bits, version, size);
}

int __wrap_deflateInit2_(z_streamp stream, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size)
{
    return refused("deflateInit2")
               ? Z_MEM_ERROR
               : __real_deflateInit2_(stream, level, method, bits, memory, strategy, version, size);
}

int __wrap_inflate(z_streamp stream, int flush)
{
    return refused("inflate") ? Z_MEM_ERROR : __real_inflate(stream, flush);
}

int __wrap_wslay_frame_context_init(wslay_frame_context_ptr *context,
                                    const struct wslay_frame_callbacks *callbacks, void *data)
{
    return refused("wslay_frame_context_init")
               ? WSLAY_ERR_NOMEM
               : __real_wslay_frame_context_init(context, callbacks, data);
}

int __wrap_EVP_Q_digest(OSSL_LIB_CTX *library, const char *name, const char *properties,
                        const void *bytes, size_t size, unsigned char *hash, size_t *hash_size)
{
    return refused("EVP_Q_digest")
               ? 0
               : __real_EVP_Q_digest(library, name, properties, bytes, size, hash, hash_size);
}

static int random_error;     /* what a getrandom(2) that is refused says */
static ssize_t random_short; /* or how much it gives */

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    if (!refused("getrandom"))
        return __real_getrandom(bytes, size, flags);
    errno = random_error;
    return random_error ? -1 : random_short;
}

FILE *__wrap_open_memstream(char **text, size_t *size)
{
    return refused("open_memstream") ? NULL : __real_open_memstream(text, size);
}

static struct loop *loop;
static struct loop_http_server server;
static struct loop_websocket_group group;
static struct loop_websocket served, asking;
static struct loop_task task, serving;
static bool deflates;
static unsigned begun, over;
static char text[3000];

static void on_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    (void)reason;
    over++;
    loop_stop(loop);
    assert_true(code >= 1000);
    assert_int_equal(LOOP_WEBSOCKET_CLOSED, ws->state);
}

static void on_serve(struct loop_task *resumed)
{
    (void)resumed;
    loop_websocket_resume(&served);
}

/* The server rests behind its first question, and the second, which came with it, is held. */
static void on_question(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                        size_t size)
{
    if (!ws->data) {
        ws->data = &serving;
        loop_websocket_pause(ws);
        loop_immediate(loop, &serving, on_serve);
    }
    loop_websocket_join(&group, ws);
    int status = loop_websocket_broadcast(&group, type, bytes, size, NULL);
    if (status < 0 || loop_websocket_send(ws, type, bytes, size) < 0)
        loop_websocket_reset(ws);
}

static void on_open(struct loop_websocket *ws)
{
    if (loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, text, sizeof(text)) < 0 ||
        loop_websocket_send(ws, LOOP_WEBSOCKET_TEXT, text, sizeof(text)) < 0)
        loop_websocket_reset(ws);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    static const char *const protocols[] = {"chat", NULL};
    const struct loop_websocket_options options = {.protocols = protocols,
                                                   .deflate = deflates,
                                                   .on_open = on_open,
                                                   .on_message = on_question,
                                                   .on_close = on_close};
    (void)req;
    begun += loop_websocket_accept(res, &served, &options) == 0;
}

static void on_resume(struct loop_task *resumed)
{
    (void)resumed;
    loop_websocket_resume(&asking);
}

/* The second comes while it rests, and is held. */
static void on_answer(struct loop_websocket *ws, enum loop_websocket_type type, const char *bytes,
                      size_t size)
{
    assert_int_equal(LOOP_WEBSOCKET_TEXT, type);
    assert_int_equal(sizeof(text), size);
    assert_memory_equal(text, bytes, size);
    if (ws->data) {
        loop_websocket_close(ws, 1000, "enough");
        return;
    }
    ws->data = &task;
    loop_websocket_pause(ws);
    loop_immediate(loop, &task, on_resume);
}

static void begin(void **state)
{
    const struct loop_http_options options = {.on_request = on_request};
    loop = *state;
    memset(text, 't', sizeof(text));
    memset(&served, 0, sizeof(served));
    memset(&asking, 0, sizeof(asking));
    begun = over = 0;
    loop_websocket_group_init(&group);
    assert_int_equal(0, loop_http_server_init(loop, &server, &options));
    assert_int_equal(0, loop_http_listen(&server, "127.0.0.1", 0, 0));
    arm();
}

static void end(void)
{
    while (over < begun)
        loop_run(loop, LOOP_RUN_DEFAULT);
    disarm();
    loop_task_cancel(&task);
    loop_task_cancel(&serving);
    loop_http_server_close(&server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(begun, over);
    assert_int_equal(0, group.count);
}

static int connect_to_it(void)
{
    static const char *const protocols[] = {"chat", NULL};
    static const struct loop_http_header headers[] = {{"X-A", "b"}, {NULL, NULL}};
    const struct loop_websocket_options options = {.protocols = protocols,
                                                   .headers = headers,
                                                   .deflate = deflates,
                                                   .on_open = on_open,
                                                   .on_message = on_answer,
                                                   .on_close = on_close};
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/", loop_http_server_port(&server));
    int status = loop_websocket_connect(loop, &asking, url, &options);
    begun += status == 0;
    return status;
}

static void on_time(struct loop_timer *timer)
{
    (void)timer;
}

/* The handshake and what follows come in one piece: a message, and what is none. All patience has
 * come to its end by a clock that jumps. */
static void break_a_rule(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                                  "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
                                  "\x81\x05hello";
    struct loop_address address;
    begin(state);
    disarm();
    uint16_t port = loop_http_server_port(&server);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", port));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, &address.any, address.size));
    arm();
    assert_int_equal(sizeof(request) - 1, send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL));
    shutdown(fd, SHUT_WR);
    struct loop_timer timer;
    loop_timer_init(loop, &timer);
    loop_timer_start(&timer, 100 * LOOP_SEC, 0, on_time);
    while (loop_is_active(&timer.handle))
        loop_run(loop, LOOP_RUN_ONCE);
    close(fd);
    end();
}

static void a_rule_that_is_broken_is_an_end_whatever_is_refused(void **state)
{
    deflates = false;
    refuse_each(state, break_a_rule);
}

static void chat(void **state)
{
    begin(state);
    connect_to_it();
    end();
}

static void a_socket_has_one_end_whatever_is_refused(void **state)
{
    random_error = ENOSYS;
    deflates = false;
    refuse_each(state, chat);
}

static void a_socket_that_deflates_has_one_end_whatever_is_refused(void **state)
{
    random_error = ENOSYS;
    deflates = true;
    refuse_each(state, chat);
}

static void connect_refused(void **state, const char *call, int expected)
{
    begin(state);
    refuse(call, 1);
    assert_int_equal(expected, connect_to_it());
    assert_string_equal(call, refused_call());
    end();
}

/* What is random must be so: there is no key without it. */
static void there_is_no_key_without_randomness(void **state)
{
    random_error = ENOSYS;
    connect_refused(state, "getrandom", -ENOSYS);
    random_error = 0;
    random_short = 3;
    connect_refused(state, "getrandom", -EIO);
}

static void a_signal_does_not_end_the_making_of_a_key(void **state)
{
    random_error = EINTR;
    deflates = false;
    connect_refused(state, "getrandom", 0);
}

static const struct CMUnitTest tests[] = {
    spared_real_test(a_socket_has_one_end_whatever_is_refused),
    spared_real_test(a_socket_that_deflates_has_one_end_whatever_is_refused),
    spared_test(a_rule_that_is_broken_is_an_end_whatever_is_refused),
    spared_real_test(there_is_no_key_without_randomness),
    spared_real_test(a_signal_does_not_end_the_making_of_a_key),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
