/* Listening and accepting.
 *
 * One connection is told at a time, and held until the server accepts it, at once or later, or
 * refuses it; the others wait in the kernel, and a server that puts one off is not told of it
 * again. Who has gone meanwhile is accepted all the same, and its end is read. Closing a listener
 * closes what it holds, in whatever callback that happens. When descriptors run out the server is
 * told once; the loop sleeps between its attempts, and nobody who waits is sent away. A child of
 * fork(2) that has called loop_after_fork() accepts from the same queue.
 *
 * Clients are plain sockets of this process. The loopback interface may take a moment from one end
 * to the other: the tests wait until a word is said.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
    struct loop_tcp tcp;
    struct loop_address address;
    struct loop_tcp client;
    struct loop_timer timer;
};

static struct server *server_of(struct loop_stream *listener)
{
    return loop_container_of(listener, struct server, tcp.stream);
}

static void open_server(struct loop *loop, struct server *server, int backlog,
                        loop_connection_cb cb)
{
    memset(server, 0, sizeof(*server));
    loop_tcp_init(loop, &server->tcp);
    loop_tcp_init(loop, &server->client);
    loop_timer_init(loop, &server->timer);
    assert_int_equal(0, loop_address_parse(&server->address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&server->tcp, &server->address, 0));
    assert_int_equal(0, loop_tcp_local(&server->tcp, &server->address));
    assert_int_equal(0, loop_listen(&server->tcp.stream, backlog, cb));
}

static int knock(const struct server *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(0, connect(fd, &server->address.any, server->address.size));
    return fd;
}

static void reset(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
    close(fd);
}

/* The client's end of a connection that the server has let go: 0 is the end, -errno a reset. */
static ssize_t last_words(int fd)
{
    char byte;
    ssize_t size = recv(fd, &byte, 1, 0);
    size = size < 0 ? -errno : size;
    close(fd);
    return size;
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

static void close_and_run(struct loop *loop, struct server *server)
{
    if (!loop_is_closing(&server->tcp.handle))
        loop_close(&server->tcp.handle, NULL);
    if (!loop_is_closing(&server->client.handle))
        loop_close(&server->client.handle, NULL);
    run(loop);
}

static void on_close(struct loop_handle *handle)
{
    (void)handle;
    say("closed");
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)stream;
    if (size >= 0)
        say("%.*s", (int)size, (const char *)bytes);
    else
        say("%s", size == LOOP_EOF ? "end" : loop_error_name((int)size));
}

static void on_connection(struct loop_stream *listener, int status)
{
    (void)listener;
    say("%s", status < 0 ? loop_error_name(status) : "connection");
}

static void on_connection_accept(struct loop_stream *listener, int status)
{
    struct server *server = server_of(listener);
    on_connection(listener, status);
    assert_int_equal(0, loop_accept(listener, &server->client.stream));
    assert_int_equal(0, loop_read_start(&server->client.stream, on_read));
}

/* Accepting. */

static void a_connection_is_accepted_in_its_callback(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection_accept);
    assert_true(loop_is_active(&server.tcp.handle));
    int fd = knock(&server);
    assert_int_equal(5, send(fd, "hello", 5, 0));
    assert_said("");
    assert_will_say(*state, "connection hello");
    close(fd);
    assert_will_say(*state, "end");
    close_and_run(*state, &server);
}

static void on_timer_accept(struct loop_timer *timer)
{
    struct server *server = loop_container_of(timer, struct server, timer);
    say("timer");
    assert_int_equal(0, loop_accept(&server->tcp.stream, &server->client.stream));
    assert_int_equal(0, loop_read_start(&server->client.stream, on_read));
}

static void a_connection_that_is_put_off_is_told_once_and_accepted_from_a_timer(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    int fds[] = {knock(&server), knock(&server), knock(&server)};
    assert_int_equal(5, send(fds[0], "first", 5, 0));
    assert_will_say(*state, "connection");
    run_turns(*state, 5);
    assert_said("");
    uint64_t turn = loop_turn(*state);
    loop_timer_start(&server.timer, LOOP_SEC, 0, on_timer_accept);
    while (loop_is_active(&server.timer.handle))
        assert_int_equal(1, loop_run(*state, LOOP_RUN_ONCE));
    assert_true(loop_turn(*state) - turn <= 3); /* it did not spin on those that wait */
    const char *words = said_of_length(*state, strlen("timer connection first"));
    assert_non_null(strstr(words, "timer "));
    assert_non_null(strstr(words, " connection"));
    assert_non_null(strstr(words, " first"));
    run_turns(*state, 5);
    assert_said("");
    close_and_run(*state, &server);
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        close(fds[i]);
}

static void those_that_wait_are_told_one_by_one(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    int fds[] = {knock(&server), knock(&server), knock(&server)};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++) {
        assert_will_say(*state, "connection");
        run_turns(*state, 3);
        assert_said("");
        assert_int_equal(0, loop_refuse(&server.tcp.stream));
    }
    run_turns(*state, 3);
    assert_said("");
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        assert_int_equal(-ECONNRESET, last_words(fds[i]));
    close_and_run(*state, &server);
}

static void on_connection_refuse(struct loop_stream *listener, int status)
{
    on_connection(listener, status);
    assert_int_equal(0, loop_refuse(listener));
    assert_int_equal(-EAGAIN, loop_refuse(listener));
    assert_int_equal(-EAGAIN, loop_accept(listener, &server_of(listener)->client.stream));
}

static void who_is_refused_sees_a_reset(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection_refuse);
    int first = knock(&server), second = knock(&server);
    assert_will_say(*state, "connection connection");
    assert_int_equal(-ECONNRESET, last_words(first));
    assert_int_equal(-ECONNRESET, last_words(second));
    close_and_run(*state, &server);
}

static void one_who_has_gone_before_it_was_accepted_is_read_to_its_end(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection_accept);
    close(knock(&server));
    assert_will_say(*state, "connection end");
    close_and_run(*state, &server);
}

static void one_who_was_reset_before_it_was_accepted_is_told_by_the_read(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection_accept);
    reset(knock(&server));
    assert_will_say(*state, "connection ECONNRESET");
    close_and_run(*state, &server);
}

static void one_who_goes_between_accept_and_the_first_read_leaves_its_bytes(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    int fd = knock(&server);
    assert_will_say(*state, "connection");
    assert_int_equal(0, loop_accept(&server.tcp.stream, &server.client.stream));
    assert_int_equal(3, send(fd, "bye", 3, 0));
    close(fd);
    run_turns(*state, 2);
    assert_said("");
    assert_int_equal(0, loop_read_start(&server.client.stream, on_read));
    assert_will_say(*state, "bye end");
    close_and_run(*state, &server);
}

static void the_backlog_says_how_many_may_wait_in_the_kernel(void **state)
{
    struct server server;
    struct pollfd polls[5];
    open_server(*state, &server, 2, on_connection);
    int fds[3]; /* the kernel's "backlog" is one more */
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        fds[i] = knock(&server);
    for (size_t i = 0; i < ARRAY_LENGTH(polls); i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fd, &server.address.any, server.address.size);
        polls[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
    }
    assert_int_equal(0, poll(polls, ARRAY_LENGTH(polls), 0));
    for (size_t i = 0; i < ARRAY_LENGTH(polls); i++)
        close(polls[i].fd);
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        close(fds[i]);
    assert_will_say(*state, "connection");
    close_and_run(*state, &server);
}

/* Errors. */

static void what_cannot_be_accepted_stays_where_it_was(void **state)
{
    struct server server;
    struct loop_pipe pipe;
    open_server(*state, &server, 16, on_connection);
    struct loop_stream *listener = &server.tcp.stream, *client = &server.client.stream;
    assert_int_equal(-EAGAIN, loop_accept(listener, client));
    assert_int_equal(-EAGAIN, loop_refuse(listener));
    int fd = knock(&server);
    assert_will_say(*state, "connection");
    loop_pipe_init(*state, &pipe);
    assert_int_equal(-EINVAL, loop_accept(listener, &pipe.stream));
    assert_int_equal(-EINVAL, loop_accept(listener, NULL));
    assert_int_equal(-EINVAL, loop_accept(NULL, client));
    assert_int_equal(-EINVAL, loop_refuse(NULL));
    assert_int_equal(-EBUSY, loop_accept(listener, listener));
    assert_int_equal(0, loop_accept(listener, client));
    assert_int_equal(-EBUSY, loop_accept(listener, client));
    int another = knock(&server);
    assert_will_say(*state, "connection");
    assert_int_equal(-EBUSY, loop_accept(listener, client));
    loop_close(&server.client.handle, NULL);
    assert_int_equal(-ECANCELED, loop_accept(listener, client));
    loop_close(&server.tcp.handle, NULL);
    struct loop_tcp late;
    loop_tcp_init(*state, &late);
    assert_int_equal(-ECANCELED, loop_accept(listener, &late.stream));
    assert_int_equal(-ECANCELED, loop_refuse(listener));
    run(*state);
    close(fd);
    close(another);
}

static void listening_twice_or_on_what_is_not_bound_is_refused(void **state)
{
    struct server server;
    struct loop_tcp other;
    open_server(*state, &server, 16, on_connection_accept);
    struct loop_stream *listener = &server.tcp.stream;
    assert_int_equal(-EALREADY, loop_listen(listener, 16, on_connection));
    loop_tcp_init(*state, &other);
    assert_int_equal(-ENOTCONN, loop_listen(&other.stream, 16, on_connection));
    assert_int_equal(-EINVAL, loop_listen(NULL, 16, on_connection));
    assert_int_equal(-EADDRINUSE, loop_tcp_bind(&other, &server.address, 0));
    assert_int_equal(-ENOTCONN, loop_accept(&other.stream, &server.client.stream));
    struct loop_address any = server.address;
    any.ip4.sin_port = 0;
    assert_int_equal(0, loop_tcp_bind(&other, &any, 0));
    assert_int_equal(-EINVAL, loop_listen(&other.stream, 16, NULL));
    assert_int_equal(-EINVAL, loop_listen(&other.stream, -1, on_connection));
    assert_false(loop_is_active(&other.handle));
    int fd = knock(&server);
    assert_will_say(*state, "connection");
    assert_int_equal(-EBUSY, loop_listen(&server.client.stream, 16, on_connection));
    loop_read_stop(&server.client.stream);
    assert_int_equal(-EINVAL, loop_listen(&server.client.stream, 16, on_connection));
    assert_int_equal(-EBUSY, loop_read_start(listener, on_read));
    struct loop_shutdown shutdown = {0};
    assert_int_equal(-EBUSY, loop_shutdown(listener, &shutdown, NULL));
    loop_close(&other.handle, NULL);
    close_and_run(*state, &server);
    close(fd);
}

/* With SO_REUSEADDR two sockets may bind the same port as long as none listens. */
static void the_second_to_listen_at_one_port_is_told_so_by_listen(void **state)
{
    struct loop_tcp a, b;
    struct loop_address address;
    loop_tcp_init(*state, &a);
    loop_tcp_init(*state, &b);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&a, &address, 0));
    assert_int_equal(0, loop_tcp_local(&a, &address));
    assert_int_equal(0, loop_tcp_bind(&b, &address, 0));
    assert_int_equal(0, loop_listen(&a.stream, 16, on_connection));
    assert_int_equal(-EADDRINUSE, loop_listen(&b.stream, 16, on_connection));
    assert_false(loop_is_active(&b.handle));
    loop_close(&a.handle, NULL);
    loop_close(&b.handle, NULL);
    run(*state);
}

/* shutdown(2) ends the listening of a socket, for all who share it. */
static void a_socket_that_cannot_accept_any_more_says_so_once(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    assert_int_equal(0, shutdown(loop_stream_fd(&server.tcp.stream), SHUT_RD));
    run_turns(*state, 3);
    assert_said("EINVAL");
    assert_false(loop_is_active(&server.tcp.handle));
    close_and_run(*state, &server);
}

static void on_poll(struct loop_poll *poll, int status, uint32_t events)
{
    (void)poll;
    say("poll-%d-%u", status, events);
}

/* Its number was given to another, which is how the loop finds out. */
static void a_listener_whose_descriptor_somebody_closed_is_told(void **state)
{
    struct server server;
    struct loop_poll poll;
    int ends[2];
    open_server(*state, &server, 16, on_connection);
    int fd = loop_stream_fd(&server.tcp.stream);
    close(fd);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    assert_int_equal(fd, ends[0]);
    loop_poll_init(*state, &poll, fd);
    assert_int_equal(0, loop_poll_start(&poll, LOOP_READABLE, on_poll));
    run_turns(*state, 2);
    assert_said("EBADF");
    assert_false(loop_is_active(&server.tcp.handle));
    assert_int_equal(-1, loop_stream_fd(&server.tcp.stream));
    assert_int_equal(0, fcntl(fd, F_GETFL) & O_NONBLOCK); /* and left alone */
    loop_poll_stop(&poll);
    close(ends[0]);
    close(ends[1]);
    close_and_run(*state, &server);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0)
        free(memory);
    return NULL;
}

static void a_connection_is_accepted_without_memory_and_read_when_there_is_some(void **state)
{
    struct loop *loop = *state;
    struct server server;
    open_server(loop, &server, 16, on_connection);
    int fd = knock(&server);
    assert_will_say(loop, "connection");
    struct loop_allocator before = loop->options.allocator;
    loop->options.allocator.resize = no_memory;
    assert_int_equal(0, loop_accept(&server.tcp.stream, &server.client.stream));
    assert_int_equal(-ENOMEM, loop_read_start(&server.client.stream, on_read));
    assert_false(loop_is_active(&server.client.handle));
    loop->options.allocator = before;
    assert_int_equal(0, loop_read_start(&server.client.stream, on_read));
    close(fd);
    assert_will_say(loop, "end");
    close_and_run(loop, &server);
}

/* Closing. */

static void closing_the_listener_closes_the_connection_that_it_holds(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    int held = knock(&server);
    assert_will_say(*state, "connection");
    int waiting = knock(&server);
    loop_close(&server.tcp.handle, on_close);
    assert_int_equal(0, last_words(held));
    assert_int_equal(-ECONNRESET, last_words(waiting));
    close_and_run(*state, &server);
    assert_said("closed");
}

static void on_connection_close(struct loop_stream *listener, int status)
{
    on_connection(listener, status);
    loop_close(&listener->handle, on_close);
}

static void a_listener_may_be_closed_in_its_callback(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection_close);
    int fd = knock(&server);
    run(*state);
    assert_said("connection closed");
    assert_int_equal(0, last_words(fd));
}

static void on_connection_accept_and_close(struct loop_stream *listener, int status)
{
    on_connection_accept(listener, status);
    loop_close(&listener->handle, on_close);
}

static void what_was_accepted_outlives_its_listener(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection_accept_and_close);
    int fd = knock(&server);
    assert_will_say(*state, "connection closed");
    assert_int_equal(5, send(fd, "still", 5, 0));
    assert_will_say(*state, "still");
    close_and_run(*state, &server);
    close(fd);
}

static void on_read_close_listener(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct server *server = loop_container_of(stream, struct server, client.stream);
    on_read(stream, size, bytes);
    loop_close(&server->tcp.handle, on_close);
    loop_close(&server->client.handle, on_close);
}

/* Both are ready in the same batch: whichever is dispatched first, the other has gone. */
static void an_accepted_client_may_close_the_listener_while_another_waits(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    int fd = knock(&server);
    assert_will_say(*state, "connection");
    assert_int_equal(0, loop_accept(&server.tcp.stream, &server.client.stream));
    assert_int_equal(0, loop_read_start(&server.client.stream, on_read_close_listener));
    run_turns(*state, 1);
    assert_int_equal(4, send(fd, "quit", 4, 0));
    int waiting = knock(&server);
    run(*state);
    const char *words = said();
    assert_non_null(strstr(words, "quit closed closed"));
    close(fd);
    close(waiting);
}

static void on_close_free(struct loop_handle *handle)
{
    on_close(handle);
    free(loop_container_of(handle, struct server, tcp.handle));
}

static void the_memory_of_a_listener_may_be_freed_in_its_close_callback(void **state)
{
    struct server *server = malloc(sizeof(*server));
    assert_non_null(server);
    open_server(*state, server, 16, on_connection);
    int fd = knock(server);
    assert_will_say(*state, "connection");
    loop_close(&server->tcp.handle, on_close_free);
    run(*state);
    assert_said("closed");
    close(fd);
}

static void an_unreferenced_listener_lets_the_loop_end(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    loop_unref(&server.tcp.handle);
    assert_false(loop_alive(*state));
    run(*state);
    assert_int_equal(-EBUSY, loop_fini(*state));
    close_and_run(*state, &server);
}

/* Detaching. */

static void a_listener_that_holds_a_connection_is_not_detached(void **state)
{
    struct server server;
    struct loop_tcp again;
    open_server(*state, &server, 16, on_connection);
    int fd = knock(&server);
    assert_will_say(*state, "connection");
    assert_int_equal(-EBUSY, loop_stream_detach(&server.tcp.stream));
    assert_int_equal(0, loop_refuse(&server.tcp.stream));
    int listening = loop_stream_detach(&server.tcp.stream);
    assert_true(listening >= 0);
    assert_false(loop_is_active(&server.tcp.handle));
    loop_tcp_init(*state, &again);
    assert_int_equal(0, loop_tcp_open(&again, listening));
    assert_int_equal(0, loop_listen(&again.stream, 16, on_connection));
    int another = knock(&server);
    assert_will_say(*state, "connection");
    loop_close(&again.handle, NULL);
    run(*state);
    close(fd);
    close(another);
}

/* Descriptors run out. The client is another process, with a table of its own; it connects all its
 * sockets first, and is served when it is told to go on. */

enum { CLIENTS = 200, TABLE_SIZE = 32 };

static int epoll_waits;

/* In the place of the C library's, to be counted. */
int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
    epoll_waits++;
    return epoll_pwait(epoll_fd, events, max, timeout_ms, NULL);
}

struct crowd {
    struct loop_tcp listener;
    struct loop_timer quiet;
    int go_fd; /* the client goes on when this is closed */
    int served, open, errors, accepted_since;
    uint64_t turn;
    int waits;
    bool failed;
};

struct guest {
    struct loop_tcp tcp;
    struct crowd *crowd;
};

static void on_guest_close(struct loop_handle *handle)
{
    struct guest *guest = loop_container_of(handle, struct guest, tcp.handle);
    struct crowd *crowd = guest->crowd;
    crowd->open--;
    if (++crowd->served == CLIENTS)
        loop_close(&crowd->listener.handle, NULL);
    free(guest);
}

static void on_guest_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size < 0)
        loop_close(&stream->handle, on_guest_close);
}

/* It has been quiet for a while: how often were we told, how often awake? That the library waits by
 * the function that counts is seen by its waits before. */
static void on_quiet(struct loop_timer *timer)
{
    struct crowd *crowd = loop_container_of(timer, struct crowd, quiet);
    uint64_t turns = loop_turn(timer->handle.loop) - crowd->turn;
    int waits = epoll_waits - crowd->waits;
    if (crowd->errors != 1 || turns > 12 || epoll_waits < 1 || waits > 24) {
        fprintf(stderr, "told %d times, %d turns, %d waits\n", crowd->errors, (int)turns, waits);
        crowd->failed = true;
    }
    close(crowd->go_fd);
}

static void on_crowd_error(struct crowd *crowd, int status)
{
    if (status != -EMFILE || (crowd->errors > 0 && crowd->accepted_since == 0))
        crowd->failed = true;
    crowd->accepted_since = 0;
    if (crowd->errors++ > 0)
        return;
    crowd->turn = loop_turn(crowd->listener.handle.loop);
    crowd->waits = epoll_waits;
    loop_timer_start(&crowd->quiet, 400 * LOOP_MS, 0, on_quiet);
}

static void on_crowd(struct loop_stream *listener, int status)
{
    struct crowd *crowd = loop_container_of(listener, struct crowd, listener.stream);
    if (status < 0) {
        on_crowd_error(crowd, status);
        return;
    }
    struct guest *guest = calloc(1, sizeof(*guest));
    guest->crowd = crowd;
    loop_tcp_init(listener->handle.loop, &guest->tcp);
    crowd->accepted_since++;
    crowd->open++;
    if (loop_accept(listener, &guest->tcp.stream) < 0 ||
        loop_write_copy(&guest->tcp.stream, "x", 1) < 0 ||
        loop_read_start(&guest->tcp.stream, on_guest_read) < 0)
        crowd->failed = true;
}

/* Each is greeted, and nobody is sent away. */
static int visit(const struct loop_address *address, int go_fd)
{
    int fds[CLIENTS];
    char byte;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[i] < 0 || connect(fds[i], &address->any, address->size) < 0)
            return 1;
    }
    if (read(go_fd, &byte, 1) != 0)
        return 2;
    for (int i = 0; i < CLIENTS; i++) {
        if (recv(fds[i], &byte, 1, 0) != 1)
            return 3;
        close(fds[i]);
    }
    return 0;
}

static pid_t send_visitors(struct crowd *crowd)
{
    struct loop_address address;
    int go[2];
    if (loop_tcp_local(&crowd->listener, &address) < 0 || pipe(go) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        close(go[1]);
        _exit(visit(&address, go[0]));
    }
    close(go[0]);
    crowd->go_fd = go[1];
    return child;
}

static int serve_with_a_small_table(void *arg)
{
    struct loop *loop = arg;
    struct crowd crowd = {0};
    struct loop_address address;
    struct rlimit limit = {TABLE_SIZE, TABLE_SIZE};
    int status;
    loop_timer_init(loop, &crowd.quiet);
    loop_tcp_init(loop, &crowd.listener);
    if (loop_after_fork(loop) < 0 || loop_address_parse(&address, "127.0.0.1", 0) < 0 ||
        loop_tcp_bind(&crowd.listener, &address, 0) < 0 ||
        loop_listen(&crowd.listener.stream, LOOP_BACKLOG, on_crowd) < 0)
        return 1;
    pid_t child = send_visitors(&crowd);
    if (child < 0 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0 || loop_fini(loop) < 0)
        return 3;
    if (waitpid(child, &status, 0) != child || status != 0)
        return 4;
    return crowd.failed || crowd.served != CLIENTS || crowd.errors < 1 ? 5 : 0;
}

static void when_descriptors_run_out_the_server_is_told_once_and_all_are_served(void **state)
{
    in_child(serve_with_a_small_table, *state);
}

static int close_while_out_of_descriptors(void *arg)
{
    struct loop *loop = arg;
    struct server server;
    struct rlimit limit = {0, 0};
    if (loop_after_fork(loop) < 0)
        return 1;
    open_server(loop, &server, 16, on_connection);
    int fd = knock(&server);
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    if (strcmp(said_towards(loop, "EMFILE"), "EMFILE") != 0)
        return 3;
    run_turns(loop, 3);
    loop_close(&server.tcp.handle, on_close);
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0 || strcmp(said(), "closed") != 0)
        return 4;
    close(fd);
    return loop_fini(loop) < 0 ? 5 : 0;
}

static void a_listener_may_be_closed_while_it_waits_for_descriptors(void **state)
{
    in_child(close_while_out_of_descriptors, *state);
}

static void on_connection_close_without_accepting(struct loop_stream *listener, int status)
{
    on_connection(listener, status);
    if (status < 0)
        loop_close(&listener->handle, on_close);
}

static int close_in_the_error(void *arg)
{
    struct loop *loop = arg;
    struct server server;
    struct rlimit limit = {0, 0};
    if (loop_after_fork(loop) < 0)
        return 1;
    open_server(loop, &server, 16, on_connection_close_without_accepting);
    int fd = knock(&server);
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0 || strcmp(said(), "EMFILE closed") != 0)
        return 3;
    close(fd);
    return loop_fini(loop) < 0 ? 4 : 0;
}

static void a_listener_may_be_closed_when_it_is_told_that_descriptors_ran_out(void **state)
{
    in_child(close_in_the_error, *state);
}

/* Forking. */

static int accept_in_the_child(void *arg)
{
    struct server *server = arg;
    struct loop *loop = server->tcp.handle.loop;
    char byte = 'c';
    if (loop_after_fork(loop) < 0 || loop_run(loop, LOOP_RUN_ONCE) != 1 ||
        strcmp(said(), "connection") != 0)
        return 1;
    struct loop_buf buf = {&byte, 1};
    if (loop_try_write(&server->client.stream, &buf, 1) != 1)
        return 2;
    loop_close(&server->client.handle, NULL);
    loop_close(&server->tcp.handle, NULL);
    return loop_run(loop, LOOP_RUN_DEFAULT) != 0 || loop_fini(loop) < 0 ? 3 : 0;
}

static void a_child_accepts_from_the_queue_that_it_shares_with_its_parent(void **state)
{
    struct server server;
    char byte = 0;
    open_server(*state, &server, 16, on_connection_accept);
    int fd = knock(&server);
    in_child(accept_in_the_child, &server);
    assert_int_equal(1, recv(fd, &byte, 1, 0));
    assert_int_equal('c', byte);
    run_turns(*state, 2);
    assert_said("");
    int another = knock(&server);
    assert_will_say(*state, "connection");
    close_and_run(*state, &server);
    close(fd);
    close(another);
}

static int close_in_the_child(void *arg)
{
    struct server *server = arg;
    struct loop *loop = server->tcp.handle.loop;
    loop_close(&server->tcp.handle, NULL);
    return loop_after_fork(loop) < 0 || loop_run(loop, LOOP_RUN_DEFAULT) != 0;
}

/* The child has a copy of the connection that is held, so its end does not reach the client. */
static void a_child_that_closes_its_listener_leaves_its_parent_s_alone(void **state)
{
    struct server server;
    open_server(*state, &server, 16, on_connection);
    int fd = knock(&server);
    assert_will_say(*state, "connection");
    in_child(close_in_the_child, &server);
    assert_int_equal(0, loop_accept(&server.tcp.stream, &server.client.stream));
    assert_int_equal(0, loop_read_start(&server.client.stream, on_read));
    assert_int_equal(2, send(fd, "hi", 2, 0));
    int another = knock(&server);
    const char *words = said_of_length(*state, strlen("hi connection"));
    assert_non_null(strstr(words, "hi"));
    assert_non_null(strstr(words, "connection"));
    close_and_run(*state, &server);
    close(fd);
    close(another);
}

static const struct CMUnitTest tests[] = {
    virtual_test(a_connection_is_accepted_in_its_callback),
    virtual_test(a_connection_that_is_put_off_is_told_once_and_accepted_from_a_timer),
    virtual_test(those_that_wait_are_told_one_by_one),
    virtual_test(who_is_refused_sees_a_reset),
    virtual_test(one_who_has_gone_before_it_was_accepted_is_read_to_its_end),
    virtual_test(one_who_was_reset_before_it_was_accepted_is_told_by_the_read),
    virtual_test(one_who_goes_between_accept_and_the_first_read_leaves_its_bytes),
    virtual_test(the_backlog_says_how_many_may_wait_in_the_kernel),
    virtual_test(what_cannot_be_accepted_stays_where_it_was),
    virtual_test(listening_twice_or_on_what_is_not_bound_is_refused),
    virtual_test(the_second_to_listen_at_one_port_is_told_so_by_listen),
    virtual_test(a_socket_that_cannot_accept_any_more_says_so_once),
    virtual_test(a_listener_whose_descriptor_somebody_closed_is_told),
    virtual_test(a_connection_is_accepted_without_memory_and_read_when_there_is_some),
    virtual_test(closing_the_listener_closes_the_connection_that_it_holds),
    virtual_test(a_listener_may_be_closed_in_its_callback),
    virtual_test(what_was_accepted_outlives_its_listener),
    virtual_test(an_accepted_client_may_close_the_listener_while_another_waits),
    virtual_test(the_memory_of_a_listener_may_be_freed_in_its_close_callback),
    virtual_test(an_unreferenced_listener_lets_the_loop_end),
    virtual_test(a_listener_that_holds_a_connection_is_not_detached),
    real_test(when_descriptors_run_out_the_server_is_told_once_and_all_are_served),
    virtual_test(a_listener_may_be_closed_while_it_waits_for_descriptors),
    virtual_test(a_listener_may_be_closed_when_it_is_told_that_descriptors_ran_out),
    virtual_test(a_child_accepts_from_the_queue_that_it_shares_with_its_parent),
    virtual_test(a_child_that_closes_its_listener_leaves_its_parent_s_alone),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
