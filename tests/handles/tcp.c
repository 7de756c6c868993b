/* TCP.
 *
 * A socket is bound, or made by connect; the addresses of both ends can be asked for. What the
 * network says of a connect is told to its callback and never returned, and the handle may then
 * connect again; a connect can be cancelled and can have a deadline, with the writes that wait for
 * it told after it. Options have the kernel's ranges. A descriptor may be adopted, and taken out
 * again, also to be served by the loop of another thread. A reset is told once, to whatever is
 * under way, in whatever state the connection is.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct conn {
    struct loop_tcp tcp;
    struct loop_connect connect;
    struct loop_write writes[2];
    struct loop_read read;
    struct loop_shutdown shutdown;
    const struct loop_address *again; /* where to connect if the first attempt fails */
    const char *name;
};

struct server {
    struct loop_tcp tcp;
    struct loop_address address;
    struct conn accepted;
};

static struct conn *conn_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct conn, tcp.stream);
}

static void open_conn(struct loop *loop, struct conn *conn, const char *name)
{
    memset(conn, 0, sizeof(*conn));
    conn->name = name;
    loop_tcp_init(loop, &conn->tcp);
}

static struct loop_address address_of(const char *text)
{
    struct loop_address address;
    assert_int_equal(0, loop_address_parse(&address, text, 0));
    return address;
}

static const char *outcome(int status)
{
    return status == LOOP_EOF ? "EOF" : loop_error_name(status);
}

static void on_connect(struct loop_connect *connect, int status)
{
    const struct conn *conn = loop_container_of(connect, struct conn, connect);
    say("%s-connect-%s", conn->name, outcome(status));
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size >= 0)
        say("%s:%.*s", conn_of(stream)->name, (int)size, (const char *)bytes);
    else
        say("%s:%s", conn_of(stream)->name, outcome((int)size));
}

static void on_write(struct loop_write *write, int status)
{
    say("write-%s", outcome(status));
    (void)write;
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    say("shutdown-%s", outcome(status));
    (void)shutdown;
}

static void on_close(struct loop_handle *handle)
{
    say("%s-closed", loop_container_of(handle, struct conn, tcp.handle)->name);
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct server *server = loop_container_of(listener, struct server, tcp.stream);
    assert_int_equal(0, status);
    assert_int_equal(0, loop_accept(listener, &server->accepted.tcp.stream));
}

static void open_server(struct loop *loop, struct server *server, const char *text, unsigned flags)
{
    memset(server, 0, sizeof(*server));
    server->address = address_of(text);
    loop_tcp_init(loop, &server->tcp);
    open_conn(loop, &server->accepted, "s");
    assert_int_equal(0, loop_tcp_bind(&server->tcp, &server->address, flags));
    assert_int_equal(0, loop_tcp_local(&server->tcp, &server->address));
    assert_int_not_equal(0, loop_address_port(&server->address));
    assert_int_equal(0, loop_listen(&server->tcp.stream, 16, on_connection));
}

static void start_connect(struct conn *conn, const struct loop_address *address)
{
    assert_int_equal(0, loop_tcp_connect(&conn->tcp, &conn->connect, address, on_connect));
}

static int queue(struct conn *conn, int i, const char *text)
{
    struct loop_buf buf = {text, strlen(text)};
    return loop_write(&conn->tcp.stream, &conn->writes[i], &buf, 1, on_write);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void run_turns(struct loop *loop, int turns)
{
    while (turns-- > 0)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void await_accepted(struct loop *loop, const struct server *server)
{
    while (loop_stream_fd(&server->accepted.tcp.stream) < 0)
        assert_int_equal(1, loop_run(loop, LOOP_RUN_ONCE));
}

/* All that the other end had to say has come. */
static void await_end(const struct conn *conn)
{
    struct pollfd end = {.fd = loop_stream_fd(&conn->tcp.stream), .events = POLLRDHUP};
    assert_int_equal(1, poll(&end, 1, -1));
}

/* The reset has come, and nobody has been told of it. */
static void await_reset(const struct conn *conn)
{
    struct pollfd error = {.fd = loop_stream_fd(&conn->tcp.stream)};
    assert_int_equal(1, poll(&error, 1, -1));
}

/* A client c and a server s that are connected. */
static void open_both(struct loop *loop, struct server *server, struct conn *client)
{
    open_server(loop, server, "127.0.0.1", 0);
    open_conn(loop, client, "c");
    start_connect(client, &server->address);
    await_accepted(loop, server);
    assert_will_say(loop, "c-connect-OK");
}

static void close_conn(struct conn *conn)
{
    if (!loop_is_closing(&conn->tcp.handle))
        loop_close(&conn->tcp.handle, NULL);
}

static void close_server(struct server *server)
{
    loop_close(&server->tcp.handle, NULL);
    close_conn(&server->accepted);
}

static void close_both(struct loop *loop, struct server *server, struct conn *client)
{
    close_server(server);
    close_conn(client);
    run(loop);
}

/* Addresses. */

static void exchange(struct loop *loop, const char *listen_at, const char *connect_to)
{
    struct server server;
    struct conn client;
    open_server(loop, &server, listen_at, 0);
    struct loop_address address = address_of(connect_to);
    if (address.any.sa_family == AF_INET)
        address.ip4.sin_port = htons(loop_address_port(&server.address));
    else
        address.ip6.sin6_port = htons(loop_address_port(&server.address));
    open_conn(loop, &client, "c");
    start_connect(&client, &address);
    assert_int_equal(0, queue(&client, 0, "hello"));
    await_accepted(loop, &server);
    assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
    const char *words = said_of_length(loop, strlen("c-connect-OK write-OK s:hello"));
    assert_non_null(strstr(words, "c-connect-OK"));
    assert_non_null(strstr(words, "s:hello"));
    struct loop_address peer, local;
    assert_int_equal(0, loop_tcp_peer(&client.tcp, &peer));
    assert_true(loop_address_equal(&address, &peer));
    assert_int_equal(0, loop_tcp_local(&client.tcp, &local));
    assert_int_equal(0, loop_tcp_peer(&server.accepted.tcp, &peer));
    assert_int_equal(loop_address_port(&local), loop_address_port(&peer));
    close_both(loop, &server, &client);
}

static void an_ipv4_client_reaches_an_ipv4_server(void **state)
{
    exchange(*state, "127.0.0.1", "127.0.0.1");
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return has;
}

static void an_ipv6_client_reaches_an_ipv6_server(void **state)
{
    if (!has_ipv6())
        skip();
    exchange(*state, "::1", "::1");
}

static void a_server_at_every_address_hears_both_families(void **state)
{
    if (!has_ipv6())
        skip();
    exchange(*state, "", "127.0.0.1");
    exchange(*state, "::", "::1");
    exchange(*state, "0.0.0.0", "127.0.0.1");
}

static void with_ipv6_only_an_ipv4_client_is_refused(void **state)
{
    struct server server;
    struct conn client;
    if (!has_ipv6())
        skip();
    open_server(*state, &server, "::", LOOP_TCP_IPV6_ONLY);
    struct loop_address address = address_of("127.0.0.1");
    address.ip4.sin_port = htons(loop_address_port(&server.address));
    open_conn(*state, &client, "c");
    start_connect(&client, &address);
    assert_will_say(*state, "c-connect-ECONNREFUSED");
    close_both(*state, &server, &client);
}

static void without_a_socket_there_are_no_addresses(void **state)
{
    struct loop_tcp tcp;
    struct loop_address address = address_of("127.0.0.1"), answer = {.size = 0};
    loop_tcp_init(*state, &tcp);
    assert_int_equal(-ENOTCONN, loop_tcp_local(&tcp, &answer));
    assert_int_equal(-ENOTCONN, loop_tcp_peer(&tcp, &answer));
    assert_int_equal(-ENOTCONN, loop_tcp_nodelay(&tcp, true));
    assert_int_equal(-ENOTCONN, loop_tcp_keepalive(&tcp, 1, 1, 1));
    assert_int_equal(-ENOTCONN, loop_stream_detach(&tcp.stream));
    assert_int_equal(-1, loop_stream_fd(&tcp.stream));
    assert_int_equal(0, loop_tcp_bind(&tcp, &address, 0));
    assert_int_equal(0, loop_tcp_local(&tcp, &answer));
    assert_int_equal(-ENOTCONN, loop_tcp_peer(&tcp, &address));
    loop_close(&tcp.handle, NULL);
    assert_int_equal(-ECANCELED, loop_tcp_local(&tcp, &answer));
    run(*state);
}

/* Binding. */

static void what_cannot_be_bound_is_refused_and_nothing_is_open(void **state)
{
    struct server server;
    struct loop_tcp tcp;
    struct loop_address foreign = address_of("203.0.113.1"), any = address_of("127.0.0.1");
    struct loop_address unix_address = {.any.sa_family = AF_UNIX, .size = sizeof(struct sockaddr)};
    open_server(*state, &server, "127.0.0.1", 0);
    loop_tcp_init(*state, &tcp);
    assert_int_equal(-EADDRINUSE, loop_tcp_bind(&tcp, &server.address, 0));
    assert_int_equal(-EADDRNOTAVAIL, loop_tcp_bind(&tcp, &foreign, 0));
    assert_int_equal(-EINVAL, loop_tcp_bind(&tcp, &any, 4));
    assert_int_equal(-EINVAL, loop_tcp_bind(&tcp, &unix_address, 0));
    assert_int_equal(-EINVAL, loop_tcp_bind(&tcp, NULL, 0));
    assert_int_equal(-EINVAL, loop_tcp_bind(NULL, &any, 0));
    assert_int_equal(-1, loop_stream_fd(&tcp.stream));
    assert_int_equal(0, loop_tcp_bind(&tcp, &any, 0));
    assert_int_equal(-EBUSY, loop_tcp_bind(&tcp, &any, 0));
    loop_close(&tcp.handle, NULL);
    assert_int_equal(-ECANCELED, loop_tcp_bind(&tcp, &any, 0));
    close_server(&server);
    run(*state);
}

static void a_client_may_bind_before_it_connects(void **state)
{
    struct server server;
    struct conn client;
    struct loop_address mine = address_of("127.0.0.2"), peer;
    open_server(*state, &server, "127.0.0.1", 0);
    open_conn(*state, &client, "c");
    assert_int_equal(0, loop_tcp_bind(&client.tcp, &mine, 0));
    start_connect(&client, &server.address);
    await_accepted(*state, &server);
    assert_will_say(*state, "c-connect-OK");
    assert_int_equal(0, loop_tcp_peer(&server.accepted.tcp, &peer));
    assert_int_equal(mine.ip4.sin_addr.s_addr, peer.ip4.sin_addr.s_addr);
    close_both(*state, &server, &client);
}

/* Connecting. */

/* A port that nobody else can have, and at which nobody listens. */
static struct {
    int fd;
    struct loop_address address;
} deaf;

static int open_deaf(void **state)
{
    (void)state;
    deaf.address = address_of("127.0.0.1");
    deaf.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(deaf.fd, &deaf.address.any, deaf.address.size) < 0 ||
           getsockname(deaf.fd, &deaf.address.any, &deaf.address.size) < 0;
}

static int close_deaf(void **state)
{
    (void)state;
    return close(deaf.fd);
}

static struct loop_address closed_port(void)
{
    return deaf.address;
}

static void on_connect_again(struct loop_connect *connect, int status)
{
    struct conn *conn = loop_container_of(connect, struct conn, connect);
    on_connect(connect, status);
    assert_int_equal(-1, loop_stream_fd(&conn->tcp.stream));
    start_connect(conn, conn->again);
}

static void a_refused_connect_is_told_and_may_be_tried_again_in_its_callback(void **state)
{
    struct server server;
    struct conn client;
    struct loop_address closed = closed_port();
    open_server(*state, &server, "127.0.0.1", 0);
    open_conn(*state, &client, "c");
    client.again = &server.address;
    assert_int_equal(0, loop_tcp_connect(&client.tcp, &client.connect, &closed, on_connect_again));
    assert_int_equal(0, queue(&client, 0, "lost"));
    assert_said("");
    assert_will_say(*state, "c-connect-ECONNREFUSED write-ECONNREFUSED c-connect-OK");
    await_accepted(*state, &server);
    assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
    assert_int_equal(0, queue(&client, 1, "found"));
    const char *words = said_of_length(*state, strlen("write-OK s:found"));
    assert_non_null(strstr(words, "s:found"));
    assert_null(strstr(words, "lost"));
    close_both(*state, &server, &client);
}

static void after_a_refused_connect_the_handle_need_not_be_closed(void **state)
{
    struct conn *client = malloc(sizeof(*client));
    struct loop_address closed = closed_port();
    assert_non_null(client);
    open_conn(*state, client, "c");
    start_connect(client, &closed);
    run(*state);
    assert_said("c-connect-ECONNREFUSED");
    free(client);
}

/* What connect(2) refuses at once is told no earlier and no differently. */
static void an_address_that_cannot_be_reached_is_told_to_the_callback(void **state)
{
    struct conn client;
    struct loop_address mine = address_of("127.0.0.1"), other = address_of("::1");
    other.ip6.sin6_port = htons(9);
    open_conn(*state, &client, "c");
    assert_int_equal(0, loop_tcp_bind(&client.tcp, &mine, 0));
    start_connect(&client, &other);
    assert_said("");
    run(*state);
    assert_said("c-connect-EAFNOSUPPORT");
    assert_int_equal(-1, loop_stream_fd(&client.tcp.stream));
}

static void writes_before_the_connection_is_there_follow_its_callback_in_order(void **state)
{
    struct server server;
    struct conn client;
    open_server(*state, &server, "127.0.0.1", 0);
    open_conn(*state, &client, "c");
    start_connect(&client, &server.address);
    assert_int_equal(0, queue(&client, 0, "one,"));
    assert_int_equal(0, queue(&client, 1, "two"));
    assert_int_equal(7, client.tcp.stream.queued);
    assert_int_equal(0, loop_shutdown(&client.tcp.stream, &client.shutdown, on_shutdown));
    assert_int_equal(-EPIPE, loop_write_copy(&client.tcp.stream, "late", 4));
    assert_will_say(*state, "c-connect-OK write-OK write-OK shutdown-OK");
    await_accepted(*state, &server);
    await_end(&server.accepted);
    assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
    assert_will_say(*state, "s:one,two s:EOF");
    close_both(*state, &server, &client);
}

static void connecting_twice_or_a_listener_is_refused(void **state)
{
    struct server server;
    struct conn client, bad;
    struct loop_connect second = {0};
    open_server(*state, &server, "127.0.0.1", 0);
    struct loop_address *to = &server.address;
    open_conn(*state, &client, "c");
    open_conn(*state, &bad, "b");
    assert_int_equal(-EINVAL, loop_tcp_connect(NULL, &second, to, on_connect));
    assert_int_equal(-EINVAL, loop_tcp_connect(&bad.tcp, NULL, to, on_connect));
    assert_int_equal(-EINVAL, loop_tcp_connect(&bad.tcp, &second, NULL, on_connect));
    assert_int_equal(-EINVAL, loop_tcp_connect(&bad.tcp, &second, to, NULL));
    assert_int_equal(-1, loop_stream_fd(&bad.tcp.stream));
    start_connect(&client, to);
    assert_int_equal(-EBUSY, loop_tcp_connect(&client.tcp, &second, to, on_connect));
    assert_int_equal(-EBUSY, loop_tcp_connect(&server.tcp, &second, to, on_connect));
    assert_int_equal(-EBUSY, loop_listen(&client.tcp.stream, 16, on_connection));
    assert_int_equal(-EBUSY, loop_stream_detach(&client.tcp.stream));
    await_accepted(*state, &server);
    assert_will_say(*state, "c-connect-OK");
    assert_int_equal(-EBUSY, loop_tcp_connect(&client.tcp, &second, to, on_connect));
    assert_int_equal(-EBUSY, loop_tcp_connect(&server.accepted.tcp, &second, to, on_connect));
    loop_close(&bad.tcp.handle, NULL);
    assert_int_equal(-ECANCELED, loop_tcp_connect(&bad.tcp, &second, to, on_connect));
    close_both(*state, &server, &client);
}

static void use_a_connect_twice(void)
{
    struct loop loop;
    struct conn a, b;
    struct loop_address closed = closed_port();
    loop_init(&loop, NULL);
    open_conn(&loop, &a, "a");
    open_conn(&loop, &b, "b");
    loop_tcp_connect(&a.tcp, &a.connect, &closed, on_connect);
    loop_tcp_connect(&b.tcp, &a.connect, &closed, on_connect);
}

static void a_connect_request_in_flight_may_not_be_used_for_another(void **state)
{
    (void)state;
    assert_panics(use_a_connect_twice, "the connect request was started again");
}

/* A black hole: a listener whose queue is full drops what comes. The first who knocks fills it. */

struct hole {
    int fds[4];
    struct loop_address address;
};

static void open_hole(struct hole *hole)
{
    hole->address = address_of("127.0.0.1");
    for (size_t i = 0; i < ARRAY_LENGTH(hole->fds); i++)
        hole->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (i > 1 ? SOCK_NONBLOCK : 0), 0);
    assert_int_equal(0, bind(hole->fds[0], &hole->address.any, hole->address.size));
    assert_int_equal(0, getsockname(hole->fds[0], &hole->address.any, &hole->address.size));
    assert_int_equal(0, listen(hole->fds[0], 0));
    for (size_t i = 1; i < ARRAY_LENGTH(hole->fds); i++)
        connect(hole->fds[i], &hole->address.any, hole->address.size);
}

static void close_hole(const struct hole *hole)
{
    for (size_t i = 0; i < ARRAY_LENGTH(hole->fds); i++)
        close(hole->fds[i]);
}

static void a_connect_that_nobody_answers_ends_at_its_deadline(void **state)
{
    struct hole hole;
    struct conn client;
    open_hole(&hole);
    open_conn(*state, &client, "c");
    start_connect(&client, &hole.address);
    assert_int_equal(0, loop_request_deadline(&client.connect.request, 3 * LOOP_SEC));
    assert_int_equal(0, queue(&client, 0, "hello"));
    assert_int_equal(0, loop_request_deadline(&client.writes[0].request, 5 * LOOP_SEC));
    run(*state);
    assert_int_equal(3 * LOOP_SEC, loop_now(*state));
    assert_said("c-connect-ETIMEDOUT write-ETIMEDOUT");
    assert_int_equal(-1, loop_stream_fd(&client.tcp.stream));
    close_hole(&hole);
}

static void a_write_may_give_up_before_the_connection_does(void **state)
{
    struct hole hole;
    struct conn client;
    open_hole(&hole);
    open_conn(*state, &client, "c");
    start_connect(&client, &hole.address);
    assert_int_equal(0, loop_request_deadline(&client.connect.request, 3 * LOOP_SEC));
    assert_int_equal(0, queue(&client, 0, "one"));
    assert_int_equal(0, queue(&client, 1, "two"));
    assert_int_equal(0, loop_request_deadline(&client.writes[0].request, LOOP_SEC));
    run(*state);
    assert_said("write-ETIMEDOUT c-connect-ETIMEDOUT write-ETIMEDOUT");
    close_hole(&hole);
}

static void a_connect_may_be_cancelled_and_tried_again(void **state)
{
    struct hole hole;
    struct server server;
    struct conn client;
    open_hole(&hole);
    open_server(*state, &server, "127.0.0.1", 0);
    open_conn(*state, &client, "c");
    client.again = &server.address;
    assert_int_equal(0, loop_tcp_connect(&client.tcp, &client.connect, &hole.address,
                                         on_connect_again));
    assert_int_equal(0, queue(&client, 0, "hello"));
    run_turns(*state, 2);
    assert_int_equal(0, loop_request_cancel(&client.connect.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&client.connect.request));
    assert_int_equal(-EALREADY, loop_request_cancel(&client.writes[0].request));
    assert_said("");
    assert_will_say(*state, "c-connect-ECANCELED write-ECANCELED c-connect-OK");
    close_both(*state, &server, &client);
    close_hole(&hole);
}

static void closing_while_connecting_cancels_the_connect_then_the_writes(void **state)
{
    struct hole hole;
    struct conn client;
    open_hole(&hole);
    open_conn(*state, &client, "c");
    start_connect(&client, &hole.address);
    assert_int_equal(0, queue(&client, 0, "one"));
    assert_int_equal(0, queue(&client, 1, "two"));
    assert_int_equal(0, loop_shutdown(&client.tcp.stream, &client.shutdown, on_shutdown));
    loop_close(&client.tcp.handle, on_close);
    assert_said("");
    run(*state);
    assert_said("c-connect-ECANCELED write-ECANCELED write-ECANCELED shutdown-ECANCELED c-closed");
    close_hole(&hole);
}

static void on_timer(struct loop_timer *timer)
{
    (void)timer;
}

static void on_idle(struct loop_stream *stream)
{
    say("%s-idle", conn_of(stream)->name);
}

static void on_connect_free(struct loop_connect *connect, int status)
{
    on_connect(connect, status);
    free(loop_container_of(connect, struct conn, connect));
}

/* Without a descriptor a stream has no idle deadline, and nothing of it is left in the wheel. */
static void a_handle_whose_connect_is_late_may_be_freed_though_it_has_an_idle_deadline(void **state)
{
    struct hole hole;
    struct loop_timer timer;
    struct conn *client = malloc(sizeof(*client));
    assert_non_null(client);
    open_hole(&hole);
    open_conn(*state, client, "c");
    assert_int_equal(0, loop_stream_set_idle(&client->tcp.stream, 2 * LOOP_SEC, on_idle));
    assert_int_equal(0, loop_tcp_connect(&client->tcp, &client->connect, &hole.address,
                                         on_connect_free));
    assert_int_equal(0, loop_request_deadline(&client->connect.request, LOOP_SEC));
    run(*state);
    assert_said("c-connect-ETIMEDOUT");
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, 5 * LOOP_SEC, 0, on_timer);
    run(*state);
    assert_said("");
    close_hole(&hole);
}

static void on_close_free(struct loop_handle *handle)
{
    on_close(handle);
    free(loop_container_of(handle, struct conn, tcp.handle));
}

/* Between loop_close() and the close callback the request is still in flight. */
static void a_deadline_for_a_write_of_a_closing_stream_is_harmless(void **state)
{
    struct hole hole;
    struct loop_timer timer;
    struct conn *client = malloc(sizeof(*client));
    assert_non_null(client);
    open_hole(&hole);
    open_conn(*state, client, "c");
    start_connect(client, &hole.address);
    assert_int_equal(0, queue(client, 0, "hello"));
    loop_close(&client->tcp.handle, on_close_free);
    loop_request_deadline(&client->writes[0].request, LOOP_SEC);
    run(*state);
    assert_said("c-connect-ECANCELED write-ECANCELED c-closed");
    loop_timer_init(*state, &timer);
    loop_timer_start(&timer, 5 * LOOP_SEC, 0, on_timer);
    run(*state);
    close_hole(&hole);
}

static char much[8 << 20];

static void cancelling_a_write_of_a_closing_stream_leaves_its_shutdown_cancelled(void **state)
{
    struct server server;
    struct conn client;
    struct loop_buf buf = {much, sizeof(much)};
    open_both(*state, &server, &client);
    assert_int_equal(1, loop_write(&client.tcp.stream, &client.writes[0], &buf, 1, on_write));
    assert_int_equal(0, loop_shutdown(&client.tcp.stream, &client.shutdown, on_shutdown));
    loop_close(&client.tcp.handle, on_close);
    assert_int_equal(0, loop_request_cancel(&client.writes[0].request));
    close_server(&server);
    run(*state);
    assert_said("write-ECANCELED shutdown-ECANCELED c-closed");
}

/* Options. */

static int option(const struct conn *conn, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);
    assert_int_equal(0, getsockopt(loop_stream_fd(&conn->tcp.stream), level, name, &value, &size));
    return value;
}

static void nodelay_is_set_and_inherited_from_the_listener(void **state)
{
    struct server server;
    struct conn client;
    open_server(*state, &server, "127.0.0.1", 0);
    assert_int_equal(0, loop_tcp_nodelay(&server.tcp, true));
    open_conn(*state, &client, "c");
    start_connect(&client, &server.address);
    await_accepted(*state, &server);
    assert_will_say(*state, "c-connect-OK");
    assert_int_equal(0, option(&client, IPPROTO_TCP, TCP_NODELAY));
    assert_int_not_equal(0, option(&server.accepted, IPPROTO_TCP, TCP_NODELAY));
    assert_int_equal(0, loop_tcp_nodelay(&client.tcp, true));
    assert_int_not_equal(0, option(&client, IPPROTO_TCP, TCP_NODELAY));
    assert_int_equal(0, loop_tcp_nodelay(&client.tcp, false));
    assert_int_equal(0, option(&client, IPPROTO_TCP, TCP_NODELAY));
    assert_int_equal(-EINVAL, loop_tcp_nodelay(NULL, true));
    close_both(*state, &server, &client);
}

static void keepalive_has_the_kernel_s_ranges(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    struct loop_tcp *tcp = &client.tcp;
    assert_int_equal(-EINVAL, loop_tcp_keepalive(tcp, 32768, 1, 1));
    assert_int_equal(-EINVAL, loop_tcp_keepalive(tcp, 1, 0, 1));
    assert_int_equal(-EINVAL, loop_tcp_keepalive(tcp, 1, 32768, 1));
    assert_int_equal(-EINVAL, loop_tcp_keepalive(tcp, 1, 1, 0));
    assert_int_equal(-EINVAL, loop_tcp_keepalive(tcp, 1, 1, 128));
    assert_int_equal(-EINVAL, loop_tcp_keepalive(tcp, UINT32_MAX, UINT32_MAX, UINT32_MAX));
    assert_int_equal(0, option(&client, SOL_SOCKET, SO_KEEPALIVE));
    assert_int_equal(0, loop_tcp_keepalive(tcp, 1, 1, 1));
    assert_int_equal(0, loop_tcp_keepalive(tcp, 32767, 32766, 127));
    assert_int_equal(1, option(&client, SOL_SOCKET, SO_KEEPALIVE));
    assert_int_equal(32767, option(&client, IPPROTO_TCP, TCP_KEEPIDLE));
    assert_int_equal(32766, option(&client, IPPROTO_TCP, TCP_KEEPINTVL));
    assert_int_equal(127, option(&client, IPPROTO_TCP, TCP_KEEPCNT));
    assert_int_equal(0, loop_tcp_keepalive(tcp, 0, 0, 0));
    assert_int_equal(0, option(&client, SOL_SOCKET, SO_KEEPALIVE));
    close_both(*state, &server, &client);
}

/* What the server reads may be told before the client's callbacks. */
static void assert_said_early(struct loop *loop, const char *read)
{
    static const char own[] = "c-connect-OK write-OK";
    const char *words = said_of_length(loop, strlen(own) + 1 + strlen(read));
    const char *connected = strstr(words, "c-connect-OK");
    assert_non_null(connected);
    assert_non_null(strstr(connected, "write-OK"));
    assert_non_null(strstr(words, read));
}

/* Where the kernel has it off, the connection is made as any other. */
static void fast_open_is_asked_for_and_everything_works_with_or_without_it(void **state)
{
    struct server server;
    struct conn client;
    open_server(*state, &server, "127.0.0.1", 0);
    assert_int_equal(-EBUSY, loop_tcp_fast_open(&server.tcp, 16));
    loop_close(&server.tcp.handle, NULL);
    loop_close(&server.accepted.tcp.handle, NULL);
    run(*state);
    loop_tcp_init(*state, &server.tcp);
    assert_int_equal(0, loop_tcp_bind(&server.tcp, &server.address, 0));
    assert_int_equal(0, loop_tcp_fast_open(&server.tcp, 16));
    assert_int_equal(0, loop_listen(&server.tcp.stream, 16, on_connection));
    for (int i = 0; i < 3; i++) {
        open_conn(*state, &server.accepted, "s");
        open_conn(*state, &client, "c");
        assert_int_equal(-EINVAL, loop_tcp_fast_open(&client.tcp, UINT32_MAX));
        assert_int_equal(0, loop_tcp_fast_open(&client.tcp, 1));
        start_connect(&client, &server.address);
        assert_int_equal(0, queue(&client, 0, "early"));
        await_accepted(*state, &server);
        assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
        assert_said_early(*state, "s:early");
        assert_int_equal(-EBUSY, loop_tcp_fast_open(&client.tcp, 1));
        close_conn(&client);
        close_conn(&server.accepted);
        run_turns(*state, 2);
    }
    loop_close(&server.tcp.handle, NULL);
    run(*state);
}

/* With a cookie of the first connection the second has succeeded before the kernel knows a peer. */
static void one_who_has_connected_early_does_not_connect_again(void **state)
{
    struct server server;
    struct conn client;
    struct loop_connect second = {.cb = NULL};
    struct loop_address mine = address_of("127.0.0.2");
    open_server(*state, &server, "127.0.0.1", 0);
    int on = 16;
    assert_int_equal(0, setsockopt(loop_stream_fd(&server.tcp.stream), IPPROTO_TCP, TCP_FASTOPEN,
                                   &on, sizeof(on)));
    for (int i = 0; i < 3; i++) {
        open_conn(*state, &server.accepted, "s");
        open_conn(*state, &client, "c");
        assert_int_equal(0, loop_tcp_fast_open(&client.tcp, 1));
        if (i == 2)
            assert_int_equal(0, loop_tcp_bind(&client.tcp, &mine, 0));
        start_connect(&client, &server.address);
        run_turns(*state, 2);
        assert_int_equal(-EBUSY,
                         loop_tcp_connect(&client.tcp, &second, &server.address, on_connect));
        assert_int_equal(0, queue(&client, 0, "hello"));
        await_accepted(*state, &server);
        assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
        assert_said_early(*state, "s:hello");
        close_conn(&client);
        close_conn(&server.accepted);
        run_turns(*state, 2);
        said();
    }
    loop_close(&server.tcp.handle, NULL);
    run(*state);
}

/* Adopting and detaching. */

static void what_is_no_tcp_socket_is_not_adopted(void **state)
{
    struct loop_tcp tcp;
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), pair[2];
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    loop_tcp_init(*state, &tcp);
    assert_int_equal(-EBADF, loop_tcp_open(&tcp, -1));
    assert_int_equal(-EBADF, loop_tcp_open(&tcp, 1 << 20));
    assert_int_equal(-ENOTSOCK, loop_tcp_open(&tcp, file));
    assert_int_equal(-EPROTOTYPE, loop_tcp_open(&tcp, udp));
    assert_int_equal(-EPROTOTYPE, loop_tcp_open(&tcp, pair[0]));
    assert_int_equal(-EINVAL, loop_tcp_open(NULL, udp));
    assert_int_equal(0, fcntl(pair[0], F_GETFL) & O_NONBLOCK);
    int fds[] = {udp, file, pair[0], pair[1]};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        assert_int_equal(0, close(fds[i])); /* they are still ours */
}

/* Its protocol is TCP, but it is no stream. Only root may have one. */
static void a_raw_socket_is_not_adopted(void **state)
{
    struct loop_tcp tcp;
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        skip();
    loop_tcp_init(*state, &tcp);
    int error = loop_tcp_open(&tcp, fd);
    if (error == 0)
        loop_close(&tcp.handle, NULL);
    else
        close(fd);
    run(*state);
    assert_int_equal(-EPROTOTYPE, error);
}

static void a_connected_socket_is_adopted_and_taken_out_again(void **state)
{
    struct server server;
    struct conn client;
    open_server(*state, &server, "127.0.0.1", 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, &server.address.any, server.address.size));
    open_conn(*state, &client, "c");
    assert_int_equal(0, loop_tcp_open(&client.tcp, fd));
    assert_int_equal(-EBUSY, loop_tcp_open(&client.tcp, fd));
    assert_int_equal(O_NONBLOCK, fcntl(fd, F_GETFL) & O_NONBLOCK);
    await_accepted(*state, &server);
    assert_int_equal(0, loop_read_start(&client.tcp.stream, on_read));
    assert_int_equal(0, loop_write_copy(&server.accepted.tcp.stream, "one", 3));
    assert_will_say(*state, "c:one");
    assert_int_equal(fd, loop_stream_detach(&client.tcp.stream));
    assert_false(loop_is_active(&client.tcp.handle));
    assert_int_equal(-1, loop_stream_fd(&client.tcp.stream));
    assert_int_equal(-ENOTCONN, loop_stream_detach(&client.tcp.stream));
    assert_int_equal(0, loop_write_copy(&server.accepted.tcp.stream, "two", 3));
    run_turns(*state, 1);
    assert_said("");
    assert_int_equal(0, loop_tcp_open(&client.tcp, fd));
    assert_int_equal(0, loop_read_start(&client.tcp.stream, on_read));
    assert_will_say(*state, "c:two");
    close_both(*state, &server, &client);
}

static void on_read_detach_and_free(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct conn *conn = conn_of(stream);
    on_read(stream, size, bytes);
    close(loop_stream_detach(stream));
    free(conn);
}

static void a_stream_may_be_detached_and_freed_in_its_read_callback(void **state)
{
    struct server server;
    struct conn *client = malloc(sizeof(*client));
    assert_non_null(client);
    open_both(*state, &server, client);
    assert_int_equal(0, loop_read_start(&client->tcp.stream, on_read_detach_and_free));
    assert_int_equal(0, loop_write_copy(&server.accepted.tcp.stream, "go", 2));
    assert_will_say(*state, "c:go");
    close_server(&server);
    run(*state);
}

/* Threads. */

struct worker {
    struct loop loop;
    struct loop_async alive;
    struct loop_tcp tcp;
    struct loop_task task;
    pthread_t thread;
    int fd;
    int served;
};

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    loop_run(&worker->loop, LOOP_RUN_DEFAULT);
    return NULL;
}

static void on_ring(struct loop_async *async)
{
    (void)async;
}

static void open_worker(struct worker *worker)
{
    struct loop_options options = test_options(LOOP_CLOCK_MONOTONIC);
    memset(worker, 0, sizeof(*worker));
    assert_int_equal(0, loop_init(&worker->loop, &options));
    assert_int_equal(0, loop_async_init(&worker->loop, &worker->alive, on_ring));
    loop_tcp_init(&worker->loop, &worker->tcp);
}

static void start_worker(struct worker *worker)
{
    assert_int_equal(0, pthread_create(&worker->thread, NULL, run_worker, worker));
}

static void join_worker(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    assert_int_equal(0, loop_fini(&worker->loop));
}

static void on_read_echo(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct worker *worker = loop_container_of(stream, struct worker, tcp.stream);
    if (size > 0) {
        loop_write_copy(stream, bytes, (size_t)size);
        return;
    }
    loop_close(&worker->alive.handle, NULL);
    loop_close(&stream->handle, NULL);
}

static void on_arrive(struct loop_task *task)
{
    struct worker *worker = loop_container_of(task, struct worker, task);
    if (loop_tcp_open(&worker->tcp, worker->fd) < 0 ||
        loop_read_start(&worker->tcp.stream, on_read_echo) < 0)
        abort();
}

static void a_connection_is_handed_to_the_loop_of_another_thread(void **state)
{
    struct server server;
    struct worker worker;
    char bytes[16] = "";
    open_server(*state, &server, "127.0.0.1", 0);
    open_worker(&worker);
    start_worker(&worker);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(fd, &server.address.any, server.address.size));
    assert_int_equal(4, send(fd, "here", 4, 0));
    await_accepted(*state, &server);
    assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
    assert_will_say(*state, "s:here");
    assert_int_equal(5, send(fd, "there", 5, 0));
    worker.fd = loop_stream_detach(&server.accepted.tcp.stream);
    assert_true(worker.fd >= 0);
    assert_int_equal(0, loop_post(&worker.loop, &worker.task, on_arrive));
    assert_int_equal(5, recv(fd, bytes, 5, MSG_WAITALL));
    assert_string_equal("there", bytes);
    close(fd);
    join_worker(&worker);
    close_server(&server);
    run(*state);
    assert_said("");
}

static void on_visitor_close(struct loop_handle *handle)
{
    free(loop_container_of(handle, struct loop_tcp, handle));
}

static void on_visitor(struct loop_stream *listener, int status)
{
    struct worker *worker = loop_container_of(listener, struct worker, tcp.stream);
    struct loop_tcp *visitor = malloc(sizeof(*visitor));
    if (status < 0 || !visitor)
        abort();
    loop_tcp_init(&worker->loop, visitor);
    if (loop_accept(listener, &visitor->stream) < 0)
        abort();
    loop_write_copy(&visitor->stream, "x", 1);
    loop_close(&visitor->handle, on_visitor_close);
    worker->served++;
}

static void on_stop(struct loop_task *task)
{
    struct worker *worker = loop_container_of(task, struct worker, task);
    loop_close(&worker->tcp.handle, NULL);
    loop_close(&worker->alive.handle, NULL);
}

static void two_loops_in_two_threads_share_the_connections_of_one_port(void **state)
{
    enum { VISITORS = 64 };
    struct worker workers[2];
    struct loop_address address = address_of("127.0.0.1");
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        open_worker(&workers[i]);
        assert_int_equal(0, loop_tcp_bind(&workers[i].tcp, &address, LOOP_TCP_REUSE_PORT));
        assert_int_equal(0, loop_tcp_local(&workers[i].tcp, &address));
        assert_int_equal(0, loop_listen(&workers[i].tcp.stream, LOOP_BACKLOG, on_visitor));
    }
    for (size_t i = 0; i < 2; i++)
        start_worker(&workers[i]);
    for (int i = 0; i < VISITORS; i++) {
        char byte = 0;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(0, connect(fd, &address.any, address.size));
        assert_int_equal(1, recv(fd, &byte, 1, 0));
        close(fd);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(0, loop_post(&workers[i].loop, &workers[i].task, on_stop));
    for (size_t i = 0; i < 2; i++)
        join_worker(&workers[i]);
    assert_int_equal(VISITORS, workers[0].served + workers[1].served);
    assert_true(workers[0].served > 0 && workers[1].served > 0);
}

/* The end of a connection. */

static void both_may_shut_down_at_once_and_both_read_the_end(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    struct loop_stream *c = &client.tcp.stream, *s = &server.accepted.tcp.stream;
    assert_int_equal(0, loop_read_start(c, on_read));
    assert_int_equal(0, loop_read_start(s, on_read));
    assert_int_equal(0, loop_shutdown(c, &client.shutdown, NULL));
    assert_int_equal(0, loop_shutdown(s, &server.accepted.shutdown, NULL));
    const char *words = said_of_length(*state, strlen("c:EOF s:EOF"));
    assert_non_null(strstr(words, "c:EOF"));
    assert_non_null(strstr(words, "s:EOF"));
    assert_int_equal(strlen("c:EOF s:EOF"), strlen(words));
    close_both(*state, &server, &client);
}

static void both_may_close_at_once(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    assert_int_equal(0, loop_read_start(&client.tcp.stream, on_read));
    assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
    loop_close(&client.tcp.handle, on_close);
    loop_close(&server.accepted.tcp.handle, on_close);
    loop_close(&server.tcp.handle, NULL);
    run(*state);
    assert_said("c-closed s-closed");
}

static void reset_client(struct loop *loop, struct conn *client)
{
    loop_stream_reset(&client->tcp.stream, NULL);
    run_turns(loop, 1);
}

static void a_reset_is_told_once_to_who_reads(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    assert_int_equal(0, loop_read_start(&server.accepted.tcp.stream, on_read));
    reset_client(*state, &client);
    assert_will_say(*state, "s:ECONNRESET");
    run_turns(*state, 3);
    assert_said("");
    assert_false(loop_is_active(&server.accepted.tcp.handle));
    close_both(*state, &server, &client);
}

static void on_read_into(struct loop_read *read, int status)
{
    say("read-into-%s-%d", outcome(status), (int)read->size);
}

static void a_reset_is_told_to_who_reads_once(void **state)
{
    struct server server;
    struct conn client;
    char bytes[8];
    open_both(*state, &server, &client);
    assert_int_equal(0, loop_read_into(&server.accepted.tcp.stream, &server.accepted.read, bytes, 8,
                                       8, on_read_into));
    assert_int_equal(0, loop_write_copy(&client.tcp.stream, "abc", 3));
    while (server.accepted.read.size < 3)
        assert_int_equal(1, loop_run(*state, LOOP_RUN_ONCE));
    reset_client(*state, &client);
    assert_will_say(*state, "read-into-ECONNRESET-3");
    close_both(*state, &server, &client);
}

/* More than the kernel takes waits, and is told the reset; so is the shutdown behind it. */
static void a_reset_fails_the_writes_that_wait_in_order_and_the_shutdown(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    struct conn *s = &server.accepted;
    struct loop_buf buf = {much, sizeof(much)};
    assert_int_equal(1, loop_write(&s->tcp.stream, &s->writes[0], &buf, 1, on_write));
    assert_int_equal(1, queue(s, 1, "more"));
    assert_int_equal(0, loop_shutdown(&s->tcp.stream, &s->shutdown, on_shutdown));
    run_turns(*state, 2);
    assert_said("");
    reset_client(*state, &client);
    assert_will_say(*state, "write-ECONNRESET write-ECONNRESET shutdown-ECONNRESET");
    assert_true(s->writes[0].written > 0 && s->writes[0].written < sizeof(much));
    assert_int_equal(0, s->writes[1].written);
    assert_int_equal(0, s->tcp.stream.queued);
    close_both(*state, &server, &client);
}

static void a_reset_of_one_who_neither_reads_nor_writes_waits_for_his_next_call(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    reset_client(*state, &client);
    await_reset(&server.accepted);
    uint64_t turn = loop_turn(*state);
    run_turns(*state, 3);
    assert_said("");
    assert_int_equal(3, loop_turn(*state) - turn);
    assert_int_equal(-ECONNRESET, queue(&server.accepted, 0, "hello"));
    assert_int_equal(-EPIPE, queue(&server.accepted, 0, "hello"));
    close_both(*state, &server, &client);
}

static void a_reset_after_a_half_close_is_told_to_who_reads(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    struct conn *s = &server.accepted;
    assert_int_equal(0, loop_read_start(&s->tcp.stream, on_read));
    assert_int_equal(0, loop_shutdown(&s->tcp.stream, &s->shutdown, on_shutdown));
    assert_will_say(*state, "shutdown-OK");
    reset_client(*state, &client);
    assert_will_say(*state, "s:ECONNRESET");
    close_both(*state, &server, &client);
}

static void a_reset_after_the_end_is_told_to_who_writes(void **state)
{
    struct server server;
    struct conn client;
    open_both(*state, &server, &client);
    struct conn *s = &server.accepted;
    assert_int_equal(0, loop_read_start(&s->tcp.stream, on_read));
    assert_int_equal(0, loop_shutdown(&client.tcp.stream, &client.shutdown, NULL));
    assert_will_say(*state, "s:EOF");
    reset_client(*state, &client);
    await_reset(s);
    assert_int_equal(-EPIPE, queue(s, 0, "hello"));
    close_both(*state, &server, &client);
}

static void a_handle_may_reset_a_connect_that_is_under_way(void **state)
{
    struct hole hole;
    struct conn client;
    open_hole(&hole);
    open_conn(*state, &client, "c");
    start_connect(&client, &hole.address);
    loop_stream_reset(&client.tcp.stream, on_close);
    run(*state);
    assert_said("c-connect-ECANCELED c-closed");
    close_hole(&hole);
}

static const struct CMUnitTest tests[] = {
    virtual_test(an_ipv4_client_reaches_an_ipv4_server),
    virtual_test(an_ipv6_client_reaches_an_ipv6_server),
    virtual_test(a_server_at_every_address_hears_both_families),
    virtual_test(with_ipv6_only_an_ipv4_client_is_refused),
    virtual_test(without_a_socket_there_are_no_addresses),
    virtual_test(what_cannot_be_bound_is_refused_and_nothing_is_open),
    virtual_test(a_client_may_bind_before_it_connects),
    virtual_test(a_refused_connect_is_told_and_may_be_tried_again_in_its_callback),
    virtual_test(after_a_refused_connect_the_handle_need_not_be_closed),
    virtual_test(an_address_that_cannot_be_reached_is_told_to_the_callback),
    virtual_test(writes_before_the_connection_is_there_follow_its_callback_in_order),
    virtual_test(connecting_twice_or_a_listener_is_refused),
    virtual_test(a_connect_request_in_flight_may_not_be_used_for_another),
    virtual_test(a_connect_that_nobody_answers_ends_at_its_deadline),
    virtual_test(a_write_may_give_up_before_the_connection_does),
    virtual_test(a_connect_may_be_cancelled_and_tried_again),
    virtual_test(closing_while_connecting_cancels_the_connect_then_the_writes),
    virtual_test(a_handle_whose_connect_is_late_may_be_freed_though_it_has_an_idle_deadline),
    virtual_test(a_deadline_for_a_write_of_a_closing_stream_is_harmless),
    virtual_test(cancelling_a_write_of_a_closing_stream_leaves_its_shutdown_cancelled),
    virtual_test(nodelay_is_set_and_inherited_from_the_listener),
    virtual_test(keepalive_has_the_kernel_s_ranges),
    virtual_test(fast_open_is_asked_for_and_everything_works_with_or_without_it),
    virtual_test(one_who_has_connected_early_does_not_connect_again),
    virtual_test(what_is_no_tcp_socket_is_not_adopted),
    virtual_test(a_raw_socket_is_not_adopted),
    virtual_test(a_connected_socket_is_adopted_and_taken_out_again),
    virtual_test(a_stream_may_be_detached_and_freed_in_its_read_callback),
    virtual_test(a_connection_is_handed_to_the_loop_of_another_thread),
    virtual_test(two_loops_in_two_threads_share_the_connections_of_one_port),
    virtual_test(both_may_shut_down_at_once_and_both_read_the_end),
    virtual_test(both_may_close_at_once),
    virtual_test(a_reset_is_told_once_to_who_reads),
    virtual_test(a_reset_is_told_to_who_reads_once),
    virtual_test(a_reset_fails_the_writes_that_wait_in_order_and_the_shutdown),
    virtual_test(a_reset_of_one_who_neither_reads_nor_writes_waits_for_his_next_call),
    virtual_test(a_reset_after_a_half_close_is_told_to_who_reads),
    virtual_test(a_reset_after_the_end_is_told_to_who_writes),
    virtual_test(a_handle_may_reset_a_connect_that_is_under_way),
};

int main(void)
{
    return cmocka_run_group_tests(tests, open_deaf, close_deaf);
}
