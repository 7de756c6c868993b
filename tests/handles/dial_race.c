/* Connecting by a name that has several addresses.
 *
 * They are tried in their order, but so that the families take turns; one that fails is followed by
 * the next at once, one that is silent by the next after a while. The first that answers wins, and
 * the others are closed. If none does, the last error is told, once.
 *
 * This program has a getaddrinfo() and a freeaddrinfo() of its own in front of the C library's,
 * which the library under test calls too: what names mean here must not depend on the machine.
 * Addresses 127.0.0.x are all this machine's, and nobody listens but where a test does.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const *answers; /* to any name, ended by NULL */
static struct loop_tcp server, accepted, client;
static struct loop_dial dial;
static char service[8];

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **list)
{
    (void)host;
    for (const char *const *text = answers; *text; text++) {
        struct loop_address address;
        struct addrinfo *entry = calloc(1, sizeof(*entry) + sizeof(address.ip6));
        if (!entry || loop_address_parse(&address, *text, (uint16_t)atoi(port)) < 0)
            abort();
        entry->ai_family = address.any.sa_family;
        entry->ai_socktype = hints ? hints->ai_socktype : SOCK_STREAM;
        entry->ai_addrlen = address.size;
        entry->ai_addr = (struct sockaddr *)(void *)(entry + 1);
        memcpy(entry->ai_addr, &address.any, address.size);
        *list = entry;
        list = &entry->ai_next;
    }
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

static void on_accept(struct loop_stream *listener, int status)
{
    assert_int_equal(0, status);
    loop_tcp_init(listener->handle.loop, &accepted);
    assert_int_equal(0, loop_accept(listener, &accepted.stream));
    loop_close(&accepted.handle, NULL);
    loop_close(&server.handle, NULL);
}

static void listen_on(struct loop *loop, const char *text)
{
    struct loop_address address;
    loop_tcp_init(loop, &server);
    loop_tcp_init(loop, &client);
    assert_int_equal(0, loop_address_parse(&address, text, 0));
    assert_int_equal(0, loop_tcp_bind(&server, &address, 0));
    assert_int_equal(0, loop_listen(&server.stream, LOOP_BACKLOG, on_accept));
    assert_int_equal(0, loop_tcp_local(&server, &address));
    snprintf(service, sizeof(service), "%u", loop_address_port(&address));
}

static void on_dialled(struct loop_dial *request, int status)
{
    struct loop_address peer;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    assert_ptr_equal(&dial, request);
    if (status < 0)
        say("failed");
    else if (loop_tcp_peer(&client, &peer) == 0)
        say("%.9s", loop_address_text(&peer, text));
    loop_close(&client.handle, NULL);
}

static void dial_any_of(struct loop *loop, const char *const *texts)
{
    answers = texts;
    assert_int_equal(0, loop_dial(&client, &dial, "name.test", service, on_dialled));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void an_address_that_refuses_is_followed_by_the_next(void **state)
{
    static const char *const texts[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1", NULL};
    listen_on(*state, "127.0.0.1");
    dial_any_of(*state, texts);
    assert_said("127.0.0.1");
}

/* A listener that accepts nobody, and whose queue is full, lets the kernel drop who comes. The
 * first caller fills it. */
static int listen_silently(const char *text, int *callers, int count)
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, text, (uint16_t)atoi(service)));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(0, bind(fd, &address.any, address.size));
    assert_int_equal(0, listen(fd, 0));
    for (int i = 0; i < count; i++) {
        callers[i] = socket(AF_INET, SOCK_STREAM | (i > 0 ? SOCK_NONBLOCK : 0), 0);
        connect(callers[i], &address.any, address.size);
    }
    return fd;
}

static void an_address_that_is_silent_is_not_waited_for(void **state)
{
    static const char *const texts[] = {"127.0.0.2", "127.0.0.1", NULL};
    int callers[4];
    listen_on(*state, "127.0.0.1");
    int silent = listen_silently("127.0.0.2", callers, 4);
    dial_any_of(*state, texts);
    assert_said("127.0.0.1");
    for (int i = 0; i < 4; i++)
        close(callers[i]);
    close(silent);
}

/* To a broadcast there is no connection: this machine itself refuses it. */
static void an_address_nobody_has_is_passed_over(void **state)
{
    static const char *const texts[] = {"255.255.255.255", "127.0.0.1", NULL};
    listen_on(*state, "127.0.0.1");
    dial_any_of(*state, texts);
    assert_said("127.0.0.1");
}

static void the_families_take_turns(void **state)
{
    static const char *const texts[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1", "::1", NULL};
    listen_on(*state, "127.0.0.1");
    dial_any_of(*state, texts);
    assert_said("127.0.0.1");
}

static void a_family_that_comes_first_goes_first(void **state)
{
    static const char *const texts[] = {"::1", "127.0.0.1", NULL};
    listen_on(*state, "127.0.0.1");
    dial_any_of(*state, texts);
    assert_said("127.0.0.1");
}

static void when_all_refuse_it_is_told_once(void **state)
{
    static const char *const texts[] = {"127.0.0.2", "::1", "127.0.0.3", NULL};
    listen_on(*state, "127.0.0.1");
    loop_unref(&server.handle);
    dial_any_of(*state, texts);
    assert_said("failed");
    loop_close(&server.handle, NULL);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(an_address_that_refuses_is_followed_by_the_next),
        real_test(an_address_that_is_silent_is_not_waited_for),
        real_test(an_address_nobody_has_is_passed_over),
        real_test(the_families_take_turns),
        real_test(a_family_that_comes_first_goes_first),
        real_test(when_all_refuse_it_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
