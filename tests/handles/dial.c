/* Connecting by name.
 *
 * A dial looks a name up and tries its addresses, one shortly after the other; the first that
 * connects gives its socket to the user's handle, and all other attempts are closed. An attempt
 * that fails is followed by the next at once. Whatever happens, the callback comes once; a handle
 * that is closed meanwhile, a cancel and a deadline end the dial and all that belongs to it.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct loop_tcp server;
    struct loop_tcp accepted;
    struct loop_tcp client;
    struct loop_dial dial;
    char service[8];
    struct loop_task task;
};

static struct fixture fixture;

static void on_accept(struct loop_stream *listener, int status)
{
    assert_int_equal(0, status);
    loop_tcp_init(fixture.loop, &fixture.accepted);
    assert_int_equal(0, loop_accept(listener, &fixture.accepted.stream));
    say("accepted");
    loop_close(&fixture.accepted.handle, NULL);
    loop_close(&fixture.server.handle, NULL);
}

/* On the one address only, whatever other addresses a name has. */
static void listen_on(struct loop *loop, const char *text)
{
    struct loop_address address;
    fixture = (struct fixture){.loop = loop};
    loop_tcp_init(loop, &fixture.server);
    loop_tcp_init(loop, &fixture.client);
    assert_int_equal(0, loop_address_parse(&address, text, 0));
    assert_int_equal(0, loop_tcp_bind(&fixture.server, &address, LOOP_TCP_IPV6_ONLY));
    assert_int_equal(0, loop_listen(&fixture.server.stream, LOOP_BACKLOG, on_accept));
    assert_int_equal(0, loop_tcp_local(&fixture.server, &address));
    snprintf(fixture.service, sizeof(fixture.service), "%u", loop_address_port(&address));
}

static void on_dialled(struct loop_dial *dial, int status)
{
    struct loop_address peer;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    assert_ptr_equal(&fixture.dial, dial);
    say("%s", loop_error_name(status));
    if (status == 0) {
        assert_int_equal(0, loop_tcp_peer(&fixture.client, &peer));
        assert_int_equal(atoi(fixture.service), loop_address_port(&peer));
        assert_non_null(strchr(loop_address_text(&peer, text), ':'));
    }
    if (!loop_is_closing(&fixture.client.handle))
        loop_close(&fixture.client.handle, NULL);
}

/* In the check phase of the turn whose pending phase has resolved a literal. */
static void close_client(struct loop_task *task)
{
    (void)task;
    if (!loop_is_closing(&fixture.client.handle))
        loop_close(&fixture.client.handle, NULL);
}

static int dial(const char *host)
{
    return loop_dial(&fixture.client, &fixture.dial, host, fixture.service, on_dialled);
}

/* Either end may hear of it first. */
static void assert_accepted(void)
{
    const char *words = said();
    assert_non_null(strstr(words, "accepted"));
    assert_non_null(strstr(words, "OK"));
    assert_int_equal(strlen("accepted OK"), strlen(words));
}

static void a_literal_is_connected_to(void **state)
{
    listen_on(*state, "127.0.0.1");
    assert_int_equal(0, dial("127.0.0.1"));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_accepted();
}

static void a_name_is_connected_to_by_whichever_address_listens(void **state)
{
    listen_on(*state, "127.0.0.1");
    assert_int_equal(0, dial("localhost"));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_non_null(strstr(said(), "OK"));
}

/* The port is somebody's, so that nobody else gets it meanwhile. */
static void nobody_listening_is_told_once(void **state)
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(deaf, &address.any, address.size));
    assert_int_equal(0, getsockname(deaf, &address.any, &address.size));
    fixture = (struct fixture){.loop = *state};
    loop_tcp_init(*state, &fixture.client);
    snprintf(fixture.service, sizeof(fixture.service), "%u", loop_address_port(&address));
    assert_int_equal(0, dial("127.0.0.1"));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ECONNREFUSED");
    close(deaf);
}

static void a_name_that_does_not_exist_is_told(void **state)
{
    listen_on(*state, "127.0.0.1");
    loop_close(&fixture.server.handle, NULL);
    assert_int_equal(0, dial("nobody.invalid"));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    const char *words = said();
    assert_true(strcmp(words, "ENOENT") == 0 || strcmp(words, "EAGAIN") == 0);
}

static void the_handle_may_dial_again_after_a_failure(void **state)
{
    listen_on(*state, "127.0.0.1");
    fixture.dial.request.data = NULL;
    assert_int_equal(0, loop_dial(&fixture.client, &fixture.dial, "127.0.0.2", "1", on_dialled));
    loop_request_cancel(&fixture.dial.request);
    loop_run(*state, LOOP_RUN_NOWAIT);
    assert_said("ECANCELED");
    loop_run(*state, LOOP_RUN_NOWAIT);
    loop_tcp_init(*state, &fixture.client);
    assert_int_equal(0, dial("127.0.0.1"));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_accepted();
}

static void closing_the_handle_cancels_a_look_up(void **state)
{
    listen_on(*state, "127.0.0.1");
    assert_int_equal(0, dial("localhost"));
    loop_close(&fixture.client.handle, NULL);
    loop_close(&fixture.server.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ECANCELED");
}

/* A port of this machine that answers nobody: the first who waits fills its backlog. */
static struct silence {
    int listener, waiting[8];
    char service[8];
} silence;

static void be_silent(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address = (struct sockaddr *)(void *)&name;
    socklen_t size = sizeof(name);
    silence.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(silence.listener, address, size));
    assert_int_equal(0, getsockname(silence.listener, address, &size));
    assert_int_equal(0, listen(silence.listener, 0));
    snprintf(silence.service, sizeof(silence.service), "%u", ntohs(name.sin_port));
    for (size_t i = 0; i < ARRAY_LENGTH(silence.waiting); i++) {
        int flags = SOCK_CLOEXEC | (i > 0 ? SOCK_NONBLOCK : 0);
        silence.waiting[i] = socket(AF_INET, SOCK_STREAM | flags, 0);
        connect(silence.waiting[i], address, size);
    }
}

static void end_silence(void)
{
    for (size_t i = 0; i < ARRAY_LENGTH(silence.waiting); i++)
        close(silence.waiting[i]);
    close(silence.listener);
}

static void closing_the_handle_cancels_an_attempt(void **state)
{
    be_silent();
    listen_on(*state, "127.0.0.1");
    loop_close(&fixture.server.handle, NULL);
    assert_int_equal(0, loop_dial(&fixture.client, &fixture.dial, "127.0.0.1", silence.service,
                                  on_dialled));
    loop_immediate(*state, &fixture.task, close_client);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ECANCELED");
    end_silence();
}

static void on_never(struct loop_stream *listener, int status)
{
    (void)listener;
    (void)status;
    say("connected");
}

/* Closed before the loop runs: by the time of the close callback the name would be resolved, and a
 * socket connected that nobody closes. */
static void closing_the_handle_at_once_connects_to_nobody(void **state)
{
    struct loop_address address;
    int before = open_descriptors();
    listen_on(*state, "127.0.0.1");
    loop_close(&fixture.server.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    loop_tcp_init(*state, &fixture.server);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&fixture.server, &address, 0));
    assert_int_equal(0, loop_listen(&fixture.server.stream, LOOP_BACKLOG, on_never));
    assert_int_equal(0, loop_tcp_local(&fixture.server, &address));
    snprintf(fixture.service, sizeof(fixture.service), "%u", loop_address_port(&address));
    assert_int_equal(0, dial("127.0.0.1"));
    loop_close(&fixture.client.handle, NULL);
    loop_unref(&fixture.server.handle);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ECANCELED");
    loop_close(&fixture.server.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(before, open_descriptors());
}

/* On the virtual clock nothing but the deadline can come. */
static void a_deadline_ends_all_attempts(void **state)
{
    be_silent();
    listen_on(*state, "127.0.0.1");
    loop_close(&fixture.server.handle, NULL);
    assert_int_equal(0, loop_dial(&fixture.client, &fixture.dial, "127.0.0.1", silence.service,
                                  on_dialled));
    assert_int_equal(0, loop_request_deadline(&fixture.dial.request, 2 * LOOP_SEC));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_said("ETIMEDOUT");
    end_silence();
}

static void a_handle_that_dials_is_busy(void **state)
{
    struct loop_connect connect = {.request.data = NULL};
    struct loop_address address;
    listen_on(*state, "127.0.0.1");
    assert_int_equal(0, loop_tcp_local(&fixture.server, &address));
    assert_int_equal(0, dial("127.0.0.1"));
    struct loop_dial other = {.request.data = NULL};
    assert_int_equal(-EBUSY, loop_dial(&fixture.client, &other, "127.0.0.1", "1", on_dialled));
    assert_int_equal(-EBUSY, loop_tcp_bind(&fixture.client, &address, 0));
    assert_int_equal(-EBUSY, loop_tcp_connect(&fixture.client, &connect, &address,
                                              (loop_connect_cb)(loop_function)on_dialled));
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_accepted();
}

static void wrong_arguments_are_refused(void **state)
{
    char name[300];
    listen_on(*state, "127.0.0.1");
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(-EINVAL, loop_dial(NULL, &fixture.dial, "a", "1", on_dialled));
    assert_int_equal(-EINVAL, loop_dial(&fixture.client, NULL, "a", "1", on_dialled));
    assert_int_equal(-EINVAL, loop_dial(&fixture.client, &fixture.dial, NULL, "1", on_dialled));
    assert_int_equal(-EINVAL, loop_dial(&fixture.client, &fixture.dial, "a", NULL, on_dialled));
    assert_int_equal(-EINVAL, loop_dial(&fixture.client, &fixture.dial, "a", "1", NULL));
    assert_int_equal(-ENAMETOOLONG, dial(name));
    assert_int_equal(-EINVAL, dial("a b"));
    loop_close(&fixture.client.handle, NULL);
    assert_int_equal(-ECANCELED, dial("127.0.0.1"));
    loop_close(&fixture.server.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

static const struct CMUnitTest tests[] = {
    real_test(a_literal_is_connected_to),
    real_test(a_name_is_connected_to_by_whichever_address_listens),
    real_test(nobody_listening_is_told_once),
    real_test(a_name_that_does_not_exist_is_told),
    real_test(the_handle_may_dial_again_after_a_failure),
    real_test(closing_the_handle_cancels_a_look_up),
    real_test(closing_the_handle_cancels_an_attempt),
    real_test(closing_the_handle_at_once_connects_to_nobody),
    virtual_test(a_deadline_ends_all_attempts),
    real_test(a_handle_that_dials_is_busy),
    real_test(wrong_arguments_are_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
