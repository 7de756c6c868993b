/* TLS, both ends in one process, whose outside calls fail one after the other.
 *
 * Contexts are made, of all that one may have: hosts, protocols, an authority; and loaded again.
 * Two ends shake hands over a pair of pipes, talk, rest, and say goodbye; a client asks a server by
 * "https". In each run one allocation of ours, one call of the loop or one of OpenSSL is refused.
 * Then too a context is either whole or not there, each end that was started is told the outcome of
 * its handshake once, and what is closed is closed. A process that cannot have the one thing that
 * it makes for its whole life has no TLS, and says why.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include "tls_certs.h"

#include "loop/http.h"
#include "loop/http/client.h"
#include "loop/pipe.h"
#include "loop/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

SSL *__real_SSL_new(SSL_CTX *ctx);
SSL *__wrap_SSL_new(SSL_CTX *ctx);
SSL_CTX *__real_SSL_CTX_new(const SSL_METHOD *method);
SSL_CTX *__wrap_SSL_CTX_new(const SSL_METHOD *method);
BIO *__real_BIO_new(const BIO_METHOD *method);
BIO *__wrap_BIO_new(const BIO_METHOD *method);
BIO_METHOD *__real_BIO_meth_new(int type, const char *name);
BIO_METHOD *__wrap_BIO_meth_new(int type, const char *name);
int __real_SSL_CTX_set_default_verify_paths(SSL_CTX *ctx);
int __wrap_SSL_CTX_set_default_verify_paths(SSL_CTX *ctx);
STACK_OF(X509_NAME) * __real_SSL_load_client_CA_file(const char *file);
STACK_OF(X509_NAME) * __wrap_SSL_load_client_CA_file(const char *file);
int __real_SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protocols, unsigned size);
int __wrap_SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protocols, unsigned size);
int __real_SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *ciphers);
int __wrap_SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *ciphers);
int __real_SSL_CTX_use_PrivateKey_file(SSL_CTX *ctx, const char *file, int type);
int __wrap_SSL_CTX_use_PrivateKey_file(SSL_CTX *ctx, const char *file, int type);
int __real_SSL_set1_host(SSL *ssl, const char *name);
int __wrap_SSL_set1_host(SSL *ssl, const char *name);
int __real_SSL_do_handshake(SSL *ssl);
int __wrap_SSL_do_handshake(SSL *ssl);

void __real_SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **name, unsigned *size);
void __wrap_SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **name, unsigned *size);

static bool other_protocol; /* is what OpenSSL says was chosen */

void __wrap_SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **name, unsigned *size)
{
    __real_SSL_get0_alpn_selected(ssl, name, size);
    if (other_protocol)
        *name = (const unsigned char *)"tow";
}

/* As OpenSSL says that there is no memory. */
static bool without_memory(const char *call)
{
    if (!refused(call))
        return false;
    ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);
    return true;
}

SSL *__wrap_SSL_new(SSL_CTX *ctx)
{
    return without_memory("SSL_new") ? NULL : __real_SSL_new(ctx);
}

SSL_CTX *__wrap_SSL_CTX_new(const SSL_METHOD *method)
{
    return without_memory("SSL_CTX_new") ? NULL : __real_SSL_CTX_new(method);
}

BIO *__wrap_BIO_new(const BIO_METHOD *method)
{
    return without_memory("BIO_new") ? NULL : __real_BIO_new(method);
}

BIO_METHOD *__wrap_BIO_meth_new(int type, const char *name)
{
    return without_memory("BIO_meth_new") ? NULL : __real_BIO_meth_new(type, name);
}

int __wrap_SSL_CTX_set_default_verify_paths(SSL_CTX *ctx)
{
    return without_memory("SSL_CTX_set_default_verify_paths")
               ? 0
               : __real_SSL_CTX_set_default_verify_paths(ctx);
}

STACK_OF(X509_NAME) * __wrap_SSL_load_client_CA_file(const char *file)
{
    return without_memory("SSL_load_client_CA_file") ? NULL : __real_SSL_load_client_CA_file(file);
}

int __wrap_SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protocols, unsigned size)
{
    return without_memory("SSL_CTX_set_alpn_protos")
               ? 1
               : __real_SSL_CTX_set_alpn_protos(ctx, protocols, size);
}

int __wrap_SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *ciphers)
{
    return without_memory("SSL_CTX_set_cipher_list") ? 0
                                                     : __real_SSL_CTX_set_cipher_list(ctx, ciphers);
}

int __wrap_SSL_CTX_use_PrivateKey_file(SSL_CTX *ctx, const char *file, int type)
{
    return without_memory("SSL_CTX_use_PrivateKey_file")
               ? 0
               : __real_SSL_CTX_use_PrivateKey_file(ctx, file, type);
}

int __wrap_SSL_set1_host(SSL *ssl, const char *name)
{
    return without_memory("SSL_set1_host") ? 0 : __real_SSL_set1_host(ssl, name);
}

int __wrap_SSL_do_handshake(SSL *ssl)
{
    return without_memory("SSL_do_handshake") ? 0 : __real_SSL_do_handshake(ssl);
}

/* --- contexts --- */

static const struct loop_tls_options *server_options(void)
{
    static struct loop_tls_host host;
    static struct loop_tls_options options;
    host = (struct loop_tls_host){.name = "A.Example", .certificate_file = certs_path("a.pem")};
    options = (struct loop_tls_options){.server = true,
                                        .certificate_file = certs_path("server.pem"),
                                        .ca_file = certs_path("ca.pem"),
                                        .hosts = &host,
                                        .host_count = 1,
                                        .alpn = "one,two"};
    return &options;
}

static const struct loop_tls_options *client_options(void)
{
    static struct loop_tls_options options;
    options = (struct loop_tls_options){.certificate_file = certs_path("alice.pem"),
                                        .ca_file = certs_path("ca.pem"),
                                        .alpn = "two"};
    return &options;
}

static void make_context(const struct loop_tls_options *options)
{
    struct loop_tls_context *context;
    char why[256] = "";
    arm();
    int status = loop_tls_context_new(&context, options, why, sizeof(why));
    if (status == 0)
        status = loop_tls_context_reload(context, why, sizeof(why));
    disarm();
    assert_true(status <= 0);
    assert_int_equal(status < 0, why[0] != '\0');
    loop_tls_context_unref(context);
}

static void make_server_context(void **state)
{
    (void)state;
    make_context(server_options());
}

static void make_client_context(void **state)
{
    (void)state;
    make_context(client_options());
}

/* Which trusts whom the system trusts. */
static void make_plain_context(void **state)
{
    static const struct loop_tls_options options;
    (void)state;
    make_context(&options);
}

static void a_context_is_whole_or_not_there(void **state)
{
    refuse_each(state, make_server_context);
    refuse_each(state, make_client_context);
    refuse_each(state, make_plain_context);
}

/* --- two ends --- */

static struct end {
    struct loop_pipe pipe;
    struct loop_tls tls;
    struct loop_task task;
    bool started, shaken, rested, over;
    int status; /* of the handshake */
} ends[2];

enum { CLIENT, SERVER };

static struct loop *loop;
static struct loop_tls_context *contexts[2];
static char big[100000], words[256];

static struct end *end_of(struct loop_tls *tls)
{
    return loop_container_of(tls, struct end, tls);
}

static void on_closed(struct loop_tls *tls)
{
    struct end *end = end_of(tls);
    assert_true(end->shaken);
    loop_task_cancel(&end->task);
    loop_close(&end->pipe.handle, NULL);
}

static void finish(struct end *end)
{
    if (!end->over)
        loop_tls_close(&end->tls, on_closed);
    end->over = true;
}

static void on_said_all(struct loop_tls *tls, int status)
{
    (void)status;
    finish(end_of(tls));
}

static void on_read(struct loop_tls *tls, ssize_t size, void *bytes);

static void on_rested(struct loop_task *task)
{
    struct end *end = loop_container_of(task, struct end, task);
    if (loop_tls_read_start(&end->tls, on_read) < 0)
        finish(end);
}

/* The server rests behind the first piece; the client has heard enough with it. */
static void on_read(struct loop_tls *tls, ssize_t size, void *bytes)
{
    struct end *end = end_of(tls);
    if (size < 0) {
        finish(end);
    } else if (end == &ends[CLIENT]) {
        loop_tls_read_stop(tls);
        int status = loop_tls_read_start(tls, on_read);
        loop_tls_read_stop(tls);
        if (status < 0 || loop_tls_shutdown(tls, on_said_all) < 0)
            finish(end);
    } else if (!end->rested) {
        end->rested = true;
        loop_tls_read_stop(tls);
        loop_immediate(loop, &end->task, on_rested);
        if (loop_tls_write(tls, bytes, (size_t)size) < 0)
            finish(end);
    }
}

static void on_handshake(struct loop_tls *tls, int status)
{
    struct end *end = end_of(tls);
    char name[64];
    assert_false(end->shaken);
    end->shaken = true;
    end->status = status;
    if (status < 0 && end == &ends[CLIENT])
        snprintf(words, sizeof(words), "%s", loop_tls_error_text(tls));
    if (status == 0)
        loop_tls_peer_subject(tls, name, sizeof(name));
    if (status == -ECANCELED)
        return;
    if (status < 0 || loop_tls_read_start(tls, on_read) < 0)
        finish(end);
    else if (end == &ends[CLIENT] && loop_tls_write(tls, big, sizeof(big)) < 0)
        finish(end);
}

/* The other end is over by then, or its deadline comes. */
static void start(int which)
{
    struct end *end = &ends[which];
    int status = loop_tls_start(&end->tls, &end->pipe.stream, contexts[which],
                                which == CLIENT ? "localhost" : NULL, on_handshake);
    end->started = status == 0;
    if (status < 0)
        loop_close(&end->pipe.handle, NULL);
}

static void make_contexts(void)
{
    assert_int_equal(0, loop_tls_context_new(&contexts[CLIENT], client_options(), NULL, 0));
    assert_int_equal(0, loop_tls_context_new(&contexts[SERVER], server_options(), NULL, 0));
}

static void drop_contexts(void)
{
    loop_tls_context_unref(contexts[CLIENT]);
    loop_tls_context_unref(contexts[SERVER]);
}

static void talk(void **state)
{
    loop = *state;
    memset(ends, 0, sizeof(ends));
    make_contexts();
    loop_pipe_init(loop, &ends[CLIENT].pipe);
    loop_pipe_init(loop, &ends[SERVER].pipe);
    assert_int_equal(0, loop_pipe_pair(&ends[CLIENT].pipe, &ends[SERVER].pipe));
    arm();
    start(SERVER);
    start(CLIENT);
    loop_run(loop, LOOP_RUN_DEFAULT);
    disarm();
    for (int i = 0; i < 2; i++)
        assert_int_equal(ends[i].started, ends[i].over);
    drop_contexts();
}

static void a_connection_has_one_end_whatever_is_refused(void **state)
{
    refuse_each(state, talk);
}

/* OpenSSL leaves it to its user to look whether the server has kept to what was offered. */
static void a_protocol_that_was_not_offered_ends_the_handshake(void **state)
{
    other_protocol = true;
    talk(state);
    other_protocol = false;
    assert_int_equal(-EPROTO, ends[CLIENT].status);
    assert_non_null(strstr(words, "not offered"));
}

/* --- https --- */

static struct loop_http_server server;
static struct loop_http_client client;
static struct loop_http_call call;
static unsigned told;

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end(res, big, sizeof(big));
}

static void on_end(struct loop_http_call *ended, int status)
{
    (void)ended;
    assert_true(status <= 0);
    told++;
    loop_stop(loop);
}

static void ask(void **state)
{
    char url[64];
    loop = *state;
    told = 0;
    make_contexts();
    const struct loop_http_options options = {.on_request = on_request, .tls = contexts[SERVER]};
    const struct loop_http_client_options asks = {.tls = contexts[CLIENT]};
    assert_int_equal(0, loop_http_server_init(loop, &server, &options));
    assert_int_equal(0, loop_http_listen(&server, "127.0.0.1", 0, 0));
    assert_int_equal(0, loop_http_client_init(loop, &client, &asks));
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", loop_http_server_port(&server));
    arm();
    bool started = loop_http_get(&client, &call, url, on_end) == 0;
    while (started && told == 0)
        loop_run(loop, LOOP_RUN_DEFAULT);
    disarm();
    loop_http_client_close(&client, NULL);
    loop_http_server_close(&server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(started, told);
    drop_contexts();
}

static void a_call_by_https_ends_whatever_is_refused(void **state)
{
    refuse_each(state, ask);
}

/* In a process of its own, since it is made once. */
static int want_method(void *arg)
{
    struct loop own;
    struct loop_pipe pipe_handle;
    struct loop_tls tls = {.data = NULL};
    int fds[2];
    (void)arg;
    make_contexts();
    if (loop_init(&own, NULL) < 0 || pipe(fds) < 0)
        return 1;
    loop_pipe_init(&own, &pipe_handle);
    if (loop_pipe_open(&pipe_handle, fds[0]) < 0)
        return 2;
    refuse("BIO_meth_new", 1);
    int status = loop_tls_start(&tls, &pipe_handle.stream, contexts[SERVER], NULL, on_handshake);
    disarm();
    loop_close(&pipe_handle.handle, NULL);
    loop_run(&own, LOOP_RUN_DEFAULT);
    drop_contexts();
    return status == -ENOMEM && refused_call() && loop_fini(&own) == 0 ? 0 : 3;
}

static void what_is_made_once_may_be_refused_too(void **state)
{
    (void)state;
    in_child(want_method, NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_made_once_may_be_refused_too), /* before any other makes it */
    spared_test(a_context_is_whole_or_not_there),
    spared_test(a_connection_has_one_end_whatever_is_refused),
    spared_test(a_protocol_that_was_not_offered_ends_the_handshake),
    spared_test(a_call_by_https_ends_whatever_is_refused),
};

int main(void)
{
    certs_make();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    certs_remove();
    return failed;
}
