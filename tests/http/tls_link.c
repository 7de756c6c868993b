/* Links that speak TLS: what link.h promises holds for them as for plain ones.
 *
 * What is written before the handshake is over arrives, in order, and so does a half-close that was
 * asked for by then; a link that has gathered too much asks its user to wait. Closing says
 * close_notify behind what waits, so the other side sees a proper end; a reset does not, and the
 * other side sees that. Closing before the handshake is over is possible, too.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"
#include "tls_certs.h"

#include "wire/link.h"
#include "loop/tls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct side {
    struct link *link;
    const char *name;
    size_t got;
    int status;
    bool closed, drained, counts, closes_at_bytes;
};

static struct loop_tls_context *server_context, *client_context;
static struct side server, client;

static void on_bytes(struct link *link, const char *bytes, size_t size)
{
    struct side *side = link->owner;
    side->got += size;
    if (!side->counts)
        say("%s:%.*s", side->name, (int)size, bytes);
    if (side->closes_at_bytes)
        link_close(link);
}

static void on_ended(struct link *link, int status)
{
    struct side *side = link->owner;
    side->status = status;
    say("%s-%s", side->name, loop_error_name(status));
    link_close(link);
}

static void on_drained(struct link *link)
{
    struct side *side = link->owner;
    side->drained = true;
}

static void on_closed(struct link *link)
{
    struct side *side = link->owner;
    side->closed = true;
}

static const struct link_user user = {on_bytes, on_ended, on_drained, on_closed};

static void open_link(struct loop *loop, struct side *side, int fd,
                      struct loop_tls_context *context, const char *host)
{
    side->link = link_new(loop, false);
    assert_non_null(side->link);
    assert_int_equal(0, loop_pipe_open(&side->link->pipe, fd));
    assert_int_equal(0, link_open(side->link, &user, side, context, host));
    assert_int_equal(0, link_read(side->link));
}

static void connect_links(struct loop *loop)
{
    int fds[2];
    server = (struct side){.name = "server"};
    client = (struct side){.name = "client"};
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    open_link(loop, &server, fds[0], server_context, NULL);
    open_link(loop, &client, fds[1], client_context, "localhost");
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    assert_true(server.closed && client.closed);
}

static void what_is_written_early_arrives(void **state)
{
    connect_links(*state);
    assert_int_equal(0, link_write(client.link, "early ", 6));
    assert_int_equal(0, link_write(client.link, "bird", 4));
    assert_int_equal(0, link_flush(client.link));
    assert_int_equal(10, link_waiting(client.link));
    assert_int_equal(0, link_shutdown(client.link));
    run(*state);
    assert_said("server:early bird server-EOF client-EOF");
}

static void large_writes_arrive_too(void **state)
{
    static const char bytes[1000000];
    connect_links(*state);
    server.counts = true;
    assert_int_equal(0, link_write(client.link, "x", 1));
    assert_int_equal(1, link_write(client.link, bytes, sizeof(bytes)));
    assert_false(client.drained);
    while (server.got < sizeof(bytes) + 1)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_true(client.drained);
    assert_in_range(link_write(client.link, bytes, sizeof(bytes)), 0, 1);
    link_close(client.link);
    run(*state);
    assert_int_equal(2 * sizeof(bytes) + 1, server.got);
    assert_said("server-EOF");
}

static void too_much_before_the_handshake_is_refused(void **state)
{
    static const char bytes[1024 * 1024];
    connect_links(*state);
    int status = 0;
    for (int i = 0; i < 20 && status >= 0; i++)
        status = link_write(client.link, bytes, sizeof(bytes));
    assert_int_equal(-ENOBUFS, status);
    run(*state);
    assert_non_null(strstr(said(), "client-ENOBUFS"));
}

static void a_reset_is_no_proper_end(void **state)
{
    connect_links(*state);
    assert_int_equal(0, link_write(server.link, "part", 4));
    while (client.got < 4)
        loop_run(*state, LOOP_RUN_ONCE);
    link_reset(server.link);
    run(*state);
    assert_int_equal(LOOP_TLS_TRUNCATED, client.status);
    assert_said("client:part client-ECONNABORTED");
}

static void a_link_may_close_in_the_middle_of_bytes(void **state)
{
    connect_links(*state);
    client.closes_at_bytes = true;
    assert_int_equal(0, link_write(server.link, "one", 3));
    run(*state);
    assert_said("client:one server-EOF");
}

static void a_link_may_close_before_the_handshake_is_over(void **state)
{
    connect_links(*state);
    assert_int_equal(0, link_write(client.link, "lost", 4));
    assert_int_equal(0, link_shutdown(client.link));
    link_close(client.link);
    link_close(client.link);
    run(*state);
    assert_said("server-EPIPE");
}

static void a_paused_link_waits(void **state)
{
    connect_links(*state);
    link_pause(client.link);
    assert_int_equal(0, link_write(server.link, "one", 3));
    for (int turns = 0; turns < 20; turns++)
        loop_run(*state, LOOP_RUN_NOWAIT);
    assert_int_equal(0, client.got);
    assert_int_equal(0, link_read(client.link));
    while (client.got < 3)
        loop_run(*state, LOOP_RUN_ONCE);
    link_close(client.link);
    run(*state);
    assert_said("client:one server-EOF");
}

static void whom_it_does_not_believe_ends_it(void **state)
{
    int fds[2];
    server = (struct side){.name = "server"};
    client = (struct side){.name = "client"};
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    open_link(*state, &server, fds[0], server_context, NULL);
    open_link(*state, &client, fds[1], client_context, "elsewhere");
    run(*state);
    assert_said("client-EKEYREJECTED server-EPROTO");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(what_is_written_early_arrives),
        real_test(large_writes_arrive_too),
        real_test(too_much_before_the_handshake_is_refused),
        real_test(a_reset_is_no_proper_end),
        real_test(a_link_may_close_in_the_middle_of_bytes),
        real_test(a_link_may_close_before_the_handshake_is_over),
        real_test(a_paused_link_waits),
        real_test(whom_it_does_not_believe_ends_it),
    };
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
