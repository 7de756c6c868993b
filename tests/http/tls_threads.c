/* Contexts shared by threads: two loops shake hands with themselves, again and again, by the same
 * two contexts, while a third thread loads both anew.
 *
 * Each loop belongs to its thread, and so does each end of a connection; a context does not.
 * Every handshake succeeds, and what the threads share is only touched under the lock: which is for
 * the thread sanitizer to say.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"
#include "tls_certs.h"

#include "loop/tls.h"

#include <pthread.h>
#include <stdlib.h>

enum { HANDSHAKES = 100 };

struct end {
    struct loop_pipe pipe;
    struct loop_tls tls;
};

static struct loop_tls_context *server_context, *client_context;
static unsigned running; /* threads that shake hands; atomic */

static void finish(struct loop_tls *tls)
{
    struct end *end = loop_container_of(tls, struct end, tls);
    loop_tls_close(tls, NULL);
    loop_close(&end->pipe.handle, NULL);
}

static void on_read(struct loop_tls *tls, ssize_t size, void *bytes)
{
    (void)size;
    (void)bytes;
    finish(tls);
}

static void on_handshake(struct loop_tls *tls, int status)
{
    unsigned *done = tls->data;
    if (status < 0) {
        finish(tls);
        return;
    }
    ++*done;
    loop_tls_read_start(tls, on_read);
    if (!tls->peer)
        loop_tls_write(tls, "x", 1);
}

/* Returns how many ends have shaken hands. */
static unsigned meet(struct loop *loop)
{
    struct end server = {.tls.data = NULL}, client = {.tls.data = NULL};
    unsigned done = 0;
    server.tls.data = client.tls.data = &done;
    loop_pipe_init(loop, &server.pipe);
    loop_pipe_init(loop, &client.pipe);
    if (loop_pipe_pair(&server.pipe, &client.pipe) < 0 ||
        loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL, on_handshake) < 0 ||
        loop_tls_start(&client.tls, &client.pipe.stream, client_context, "localhost",
                       on_handshake) < 0)
        abort();
    loop_run(loop, LOOP_RUN_DEFAULT);
    return done;
}

static void *shake_hands(void *arg)
{
    unsigned *done = arg;
    struct loop loop;
    if (loop_init(&loop, NULL) < 0)
        abort();
    for (int i = 0; i < HANDSHAKES; i++)
        *done += meet(&loop);
    if (loop_fini(&loop) < 0)
        abort();
    __atomic_sub_fetch(&running, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void contexts_are_shared_by_threads(void **state)
{
    (void)state;
    pthread_t threads[2];
    unsigned done[2] = {0, 0};
    running = 2;
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, shake_hands, &done[i]));
    do {
        assert_int_equal(0, loop_tls_context_reload(server_context, NULL, 0));
        assert_int_equal(0, loop_tls_context_reload(client_context, NULL, 0));
    } while (__atomic_load_n(&running, __ATOMIC_RELAXED) > 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(2 * HANDSHAKES, done[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {real_test(contexts_are_shared_by_threads)};
    certs_make();
    struct loop_tls_options options = {.server = true,
                                       .certificate_file = certs_path("server.pem")};
    if (loop_tls_context_new(&server_context, &options, NULL, 0) < 0)
        return 1;
    options = (struct loop_tls_options){.ca_file = certs_path("ca.pem")};
    if (loop_tls_context_new(&client_context, &options, NULL, 0) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    loop_tls_context_unref(server_context);
    loop_tls_context_unref(client_context);
    certs_remove();
    return failed;
}
