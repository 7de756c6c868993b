/* TLS between two ends of ours, over a pair of sockets.
 *
 * The handshake callback comes once, with what was agreed on, however the bytes of the handshake
 * are cut. Whom the client does not believe it refuses, with a reason; a server shows the
 * certificate of the host that was asked for. What is written on one side is read on the other, in
 * any amount, and no faster than it is taken. The end is an end only if the peer has said so. What
 * is damaged, cut or invented on the way is an error on the side that sees it, told once. A peer
 * that is silent meets the deadline. Closing is possible in every callback, and completes what has
 * not completed. What a client has learned of a server makes the next handshake shorter, until the
 * server's certificates are loaded again, which disturbs nobody.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"
#include "tls_certs.h"

#include "loop/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    struct loop_pipe pipe;
    struct loop_tls tls;
    const char *name; /* in what is said */
    size_t got, wanted;
    uint32_t sum;         /* of what came, in order */
    const char *send;     /* after the handshake */
    size_t send_size;     /* and so many bytes of a pattern */
    bool quiet;           /* does not say what it reads */
    bool keeps;           /* does not close at the end of the peer */
    bool silent;          /* does not read */
    bool shuts;           /* says that it is done when all is sent */
    bool closes_early;    /* in the handshake callback */
    bool closes_at_bytes; /* in the read callback */
    bool abandons;        /* closes without a word */
    size_t sent;
    int send_status;
    int status;
};

static struct loop_tls_context *server_context, *client_context;
static struct end server, client;

/* --- contexts --- */

static struct loop_tls_options server_options(void)
{
    return (struct loop_tls_options){.server = true, .certificate_file = certs_path("server.pem")};
}

static struct loop_tls_options client_options(void)
{
    return (struct loop_tls_options){.ca_file = certs_path("ca.pem")};
}

static void make(struct loop_tls_context **context, const struct loop_tls_options *options)
{
    char why[200] = "";
    loop_tls_context_unref(*context);
    if (loop_tls_context_new(context, options, why, sizeof(why)) < 0)
        fail_msg("%s", why);
}

static void make_server(struct loop_tls_options options)
{
    make(&server_context, &options);
}

static void make_client(struct loop_tls_options options)
{
    make(&client_context, &options);
}

static int setup_contexts(void **state)
{
    make_server(server_options());
    make_client(client_options());
    memset(&server, 0, sizeof(server));
    memset(&client, 0, sizeof(client));
    server.name = "server";
    client.name = "client";
    return setup_real(state);
}

static int setup_contexts_virtual(void **state)
{
    setup_contexts(state);
    assert_int_equal(0, loop_fini(*state));
    return setup_virtual(state);
}

static int teardown_contexts(void **state)
{
    int failed = teardown(state);
    loop_tls_context_unref(server_context);
    loop_tls_context_unref(client_context);
    server_context = client_context = NULL;
    return failed;
}

/* --- ends --- */

static struct end *of(struct loop_tls *tls)
{
    return loop_container_of(tls, struct end, tls);
}

static void on_stream_closed(struct loop_handle *handle)
{
    struct end *end = loop_container_of(handle, struct end, pipe.stream.handle);
    assert_null(end->tls.ssl); /* its close callback comes first */
}

static void finish(struct end *end)
{
    if (loop_is_closing(&end->pipe.stream.handle))
        return;
    if (end->abandons)
        loop_tls_abandon(&end->tls, NULL);
    else
        loop_tls_close(&end->tls, NULL);
    loop_close(&end->pipe.stream.handle, on_stream_closed);
}

static void send_more(struct loop_tls *tls)
{
    static char bytes[10000];
    struct end *end = of(tls);
    int status = 0;
    while (end->sent < end->send_size && status == 0) {
        size_t size = end->send_size - end->sent;
        size = size < sizeof(bytes) ? size : sizeof(bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)((end->sent + i) * 7 >> 3);
        status = loop_tls_write(tls, bytes, size);
        assert_in_range(status, 0, 1);
        end->sent += size;
    }
    if (end->sent == end->send_size && end->shuts)
        assert_int_equal(0, loop_tls_shutdown(tls, NULL));
    end->shuts = end->shuts && end->sent < end->send_size;
}

static void look(struct end *end, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (char)((end->got + i) * 7 >> 3))
            fail_msg("byte %zu is wrong", end->got + i);
    end->got += size;
}

static void on_read(struct loop_tls *tls, ssize_t size, void *bytes)
{
    struct end *end = of(tls);
    if (size > 0 && end->quiet)
        look(end, bytes, (size_t)size);
    else if (size > 0)
        say("%s:%.*s", end->name, (int)size, (char *)bytes);
    if (size > 0 && end->closes_at_bytes)
        finish(end);
    if (size < 0) {
        end->status = (int)size;
        say("%s-%s", end->name, loop_error_name((int)size));
        if (!end->keeps)
            finish(end);
    }
}

static void on_handshake(struct loop_tls *tls, int status)
{
    struct end *end = of(tls);
    end->status = status;
    say("%s-%s", end->name, loop_error_name(status));
    if (status == -ECANCELED)
        return;
    if (status < 0 || end->closes_early) {
        finish(end);
        return;
    }
    if (end->send)
        end->send_status = loop_tls_write(tls, end->send, strlen(end->send));
    if (end->send_size > 0) {
        assert_int_equal(0, loop_tls_set_marks(tls, 1000, 8000, 0, send_more));
        send_more(tls);
    }
    if (!end->silent)
        assert_int_equal(0, loop_tls_read_start(tls, on_read));
}

static void open_end(struct loop *loop, struct end *end, int fd)
{
    loop_pipe_init(loop, &end->pipe);
    assert_int_equal(0, loop_pipe_open(&end->pipe, fd));
}

static void make_pair(int fds[2])
{
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
}

static void start_ends(const char *name)
{
    assert_int_equal(0, loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL,
                                       on_handshake));
    assert_int_equal(0, loop_tls_start(&client.tls, &client.pipe.stream, client_context, name,
                                       on_handshake));
}

static void connect_ends(struct loop *loop, const char *name)
{
    int fds[2];
    make_pair(fds);
    open_end(loop, &server, fds[0]);
    open_end(loop, &client, fds[1]);
    start_ends(name);
}

static void run(struct loop *loop)
{
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void run_until(struct loop *loop, const struct end *end)
{
    for (int turns = 0; turns < 10000 && !end->tls.version; turns++)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_non_null(end->tls.version);
}

static void finish_both(struct loop *loop)
{
    finish(&client);
    finish(&server);
    run(loop);
    said();
    const char *names[] = {server.name, client.name};
    memset(&server, 0, sizeof(server));
    memset(&client, 0, sizeof(client));
    server.name = names[0];
    client.name = names[1];
}

/* Both have shaken hands. */
static void meet(struct loop *loop, const char *name)
{
    server.keeps = client.keeps = true;
    connect_ends(loop, name);
    run_until(loop, &client);
    run_until(loop, &server);
}

/* --- a relay between them, which may do what a network may --- */

struct relay {
    struct loop_pipe from;
    struct loop_read read;
    struct relay *back;
    char byte;
    size_t count;      /* of bytes that have gone through */
    size_t damaged_at; /* this byte is changed */
    size_t cut_at;     /* before this byte it ends */
};

static struct relay there, back;

static void on_byte(struct loop_read *read, int status);

static void next_byte(struct relay *relay)
{
    assert_int_equal(0, loop_read_into(&relay->from.stream, &relay->read, &relay->byte, 1, 1,
                                       on_byte));
}

static void end_relays(void)
{
    struct loop_handle *handles[] = {&there.from.stream.handle, &back.from.stream.handle};
    for (size_t i = 0; i < ARRAY_LENGTH(handles); i++)
        if (!loop_is_closing(handles[i]))
            loop_close(handles[i], NULL);
}

/* Each pipe is both one's source and the other's sink. */
static void on_byte(struct loop_read *read, int status)
{
    struct relay *relay = loop_container_of(read, struct relay, read);
    if (status == -ECANCELED)
        return;
    if (status < 0 || relay->count == relay->cut_at) {
        end_relays();
        return;
    }
    if (relay->count == relay->damaged_at)
        relay->byte ^= 0x55;
    relay->count++;
    loop_write_copy(&relay->back->from.stream, &relay->byte, 1);
    next_byte(relay);
}

/* Client to server is there, server to client is back. */
static void connect_through_relay(struct loop *loop, size_t damaged_at, size_t cut_at)
{
    int left[2], right[2];
    make_pair(left);
    make_pair(right);
    open_end(loop, &client, left[0]);
    open_end(loop, &server, right[0]);
    there = (struct relay){.back = &back, .damaged_at = damaged_at, .cut_at = cut_at};
    back = (struct relay){.back = &there, .damaged_at = SIZE_MAX, .cut_at = SIZE_MAX};
    loop_pipe_init(loop, &there.from);
    loop_pipe_init(loop, &back.from);
    assert_int_equal(0, loop_pipe_open(&there.from, left[1]));
    assert_int_equal(0, loop_pipe_open(&back.from, right[1]));
    next_byte(&there);
    next_byte(&back);
    start_ends("localhost");
}

/* --- the handshake --- */

static void both_ends_learn_what_was_agreed_on(void **state)
{
    struct loop_tls_options options = server_options();
    char name[64];
    options.alpn = "h2,http/1.1";
    make_server(options);
    options = client_options();
    options.alpn = "x,http/1.1";
    make_client(options);
    server.send = "hello";
    meet(*state, "localhost");
    assert_string_equal("TLSv1.3", client.tls.version);
    assert_string_equal(client.tls.cipher, server.tls.cipher);
    assert_string_equal("http/1.1", client.tls.alpn);
    assert_string_equal("http/1.1", server.tls.alpn);
    assert_string_equal("localhost", client.tls.peer);
    assert_null(server.tls.peer);
    assert_string_equal("localhost", server.tls.server_name);
    assert_false(client.tls.resumed);
    assert_string_equal("", loop_tls_error_text(&client.tls));
    assert_int_equal(0, loop_tls_peer_name(&client.tls, 0, name, sizeof(name)));
    assert_string_equal("localhost", name);
    assert_int_equal(0, loop_tls_peer_name(&client.tls, 1, name, sizeof(name)));
    assert_string_equal("127.0.0.1", name);
    assert_int_equal(-ENOENT, loop_tls_peer_name(&client.tls, 2, name, sizeof(name)));
    assert_int_equal(-ENAMETOOLONG, loop_tls_peer_name(&client.tls, 0, name, 9));
    assert_int_equal(-ENAMETOOLONG, loop_tls_peer_name(&client.tls, 1, name, 9));
    assert_int_equal(-ENAMETOOLONG, loop_tls_peer_subject(&client.tls, name, 1));
    assert_int_equal(0, loop_tls_peer_subject(&client.tls, name, sizeof(name)));
    assert_string_equal("CN=localhost", name);
    assert_int_equal(-ENOENT, loop_tls_peer_subject(&server.tls, name, sizeof(name)));
    finish_both(*state);
}

static void a_handshake_may_come_byte_by_byte(void **state)
{
    server.quiet = client.quiet = true;
    server.send_size = client.send_size = 10;
    server.keeps = client.keeps = true;
    connect_through_relay(*state, SIZE_MAX, SIZE_MAX);
    while (server.got < 10 || client.got < 10)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_string_equal("localhost", client.tls.peer);
    end_relays();
    finish_both(*state);
}

static void an_address_is_verified_as_such(void **state)
{
    meet(*state, "127.0.0.1");
    assert_string_equal("127.0.0.1", client.tls.peer);
    assert_null(server.tls.server_name);
    finish_both(*state);
}

static void refused(struct loop *loop, const char *name)
{
    connect_ends(loop, name);
    while (client.status == 0)
        loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(-EKEYREJECTED, client.status);
    finish(&client);
    finish(&server);
    run(loop);
    assert_non_null(strstr(said(), "client-EKEYREJECTED"));
    client.status = server.status = 0;
}

static char last_text[128];

static void remember_text(struct loop_tls *tls, int status)
{
    struct end *end = of(tls);
    end->status = status;
    snprintf(last_text, sizeof(last_text), "%s", loop_tls_error_text(tls));
    say("%s-%s", end->name, loop_error_name(status));
    if (status != -ECANCELED)
        finish(end);
}

/* The server sees the alert, and learns of it as of any other error. */
static void who_is_not_believed_is_told_so(void **state)
{
    int fds[2];
    make_pair(fds);
    open_end(*state, &server, fds[0]);
    open_end(*state, &client, fds[1]);
    assert_int_equal(0, loop_tls_start(&client.tls, &client.pipe.stream, client_context, "other",
                                       on_handshake));
    assert_int_equal(0, loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL,
                                       remember_text));
    run(*state);
    assert_said("client-EKEYREJECTED server-EPROTO");
    assert_non_null(strstr(last_text, "the peer has refused"));
}

static void what_is_wrong_with_a_certificate_is_said(struct loop *loop, const char *file,
                                                     const char *name, const char *text)
{
    int fds[2];
    struct loop_tls_options options = server_options();
    options.certificate_file = certs_path(file);
    make_server(options);
    make_pair(fds);
    open_end(loop, &server, fds[0]);
    open_end(loop, &client, fds[1]);
    assert_int_equal(0, loop_tls_start(&client.tls, &client.pipe.stream, client_context, name,
                                       remember_text));
    assert_int_equal(0, loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL,
                                       on_handshake));
    run(loop);
    assert_said("client-EKEYREJECTED server-EPROTO");
    if (!strstr(last_text, text))
        fail_msg("%s", last_text);
}

static void a_client_refuses_whom_it_cannot_believe(void **state)
{
    what_is_wrong_with_a_certificate_is_said(*state, "server.pem", "localhos", "mismatch");
    what_is_wrong_with_a_certificate_is_said(*state, "server.pem", "127.0.0.2", "mismatch");
    what_is_wrong_with_a_certificate_is_said(*state, "expired.pem", "localhost", "expired");
    what_is_wrong_with_a_certificate_is_said(*state, "self.pem", "localhost", "self-signed");
    make_client((struct loop_tls_options){.server = false}); /* the system's trust */
    what_is_wrong_with_a_certificate_is_said(*state, "server.pem", "localhost", "unable to get");
}

static void a_client_that_is_told_so_believes_anybody(void **state)
{
    struct loop_tls_options options = server_options();
    options.certificate_file = certs_path("self.pem");
    make_server(options);
    make_client((struct loop_tls_options){.insecure = true});
    meet(*state, NULL);
    assert_null(client.tls.peer);
    finish_both(*state);
}

static void shown(struct loop *loop, const char *name, const char *expected)
{
    char shown_name[64];
    meet(loop, name);
    assert_int_equal(0, loop_tls_peer_name(&client.tls, 0, shown_name, sizeof(shown_name)));
    assert_string_equal(expected, shown_name);
    finish_both(loop);
}

static void a_server_shows_the_certificate_of_the_host_that_is_asked_for(void **state)
{
    struct loop_tls_options options = server_options();
    struct loop_tls_host hosts[] = {{"A.example", certs_path("a.pem"), NULL},
                                    {"*.wild.example", certs_path("wild.pem"),
                                     certs_path("wild.pem")}};
    options.hosts = hosts;
    options.host_count = ARRAY_LENGTH(hosts);
    make_server(options);
    make_client((struct loop_tls_options){.insecure = true, .no_resumption = true});
    shown(*state, "a.example", "a.example");
    shown(*state, "a.EXAMPLE", "a.example");
    shown(*state, "one.wild.example", "*.wild.example");
    shown(*state, "two.one.wild.example", "localhost");
    shown(*state, "wild.example", "localhost");
    shown(*state, "unknown.example", "localhost");
    shown(*state, "unknown", "localhost");
    shown(*state, ".wild.example", "localhost");
    shown(*state, NULL, "localhost");
}

static void a_certificate_by_host_is_verified_as_any(void **state)
{
    struct loop_tls_options options = server_options();
    struct loop_tls_host host = {"*.wild.example", certs_path("wild.pem"), NULL};
    options.hosts = &host;
    options.host_count = 1;
    options.alpn = "one";
    make_server(options);
    options = client_options();
    options.alpn = "one";
    make_client(options);
    meet(*state, "b.wild.example");
    assert_string_equal("b.wild.example", client.tls.peer);
    assert_string_equal("one", server.tls.alpn);
    finish_both(*state);
    refused(*state, "c.b.wild.example");
}

static void without_a_common_protocol_there_is_no_connection(void **state)
{
    struct loop_tls_options options = server_options();
    options.alpn = "http/1.1";
    make_server(options);
    options = client_options();
    options.alpn = "h2";
    make_client(options);
    connect_ends(*state, "localhost");
    run(*state);
    assert_string_equal("server-EPROTO client-EPROTO", said());
}

static void without_any_protocol_there_is_one(void **state)
{
    struct loop_tls_options options = server_options();
    options.alpn = "http/1.1";
    make_server(options);
    meet(*state, "localhost");
    assert_string_equal("", client.tls.alpn);
    assert_string_equal("", server.tls.alpn);
    finish_both(*state);
}

static void a_server_may_ask_for_certificates(void **state)
{
    char name[64];
    struct loop_tls_options options = server_options();
    options.ca_file = certs_path("ca.pem");
    make_server(options);
    options = client_options();
    options.certificate_file = certs_path("alice.pem");
    make_client(options);
    meet(*state, "localhost");
    assert_int_equal(0, loop_tls_peer_subject(&server.tls, name, sizeof(name)));
    assert_string_equal("CN=alice", name);
    assert_int_equal(0, loop_tls_peer_name(&server.tls, 0, name, sizeof(name)));
    assert_string_equal("alice.example", name);
    assert_int_equal(0, loop_tls_peer_name(&server.tls, 1, name, sizeof(name)));
    assert_string_equal("::1", name);
    finish_both(*state);
    make_client(client_options()); /* without: TLS 1.3 tells the client after its handshake */
    server.keeps = client.keeps = false;
    connect_ends(*state, "localhost");
    run(*state);
    assert_non_null(strstr(said(), "server-EPROTO"));
    assert_int_equal(-EPROTO, client.status);
}

/* --- resumption and reloading --- */

/* Tickets come behind the handshake, among what the client reads. */
static void meet_and_part(struct loop *loop, const char *name)
{
    server.send = "x";
    meet(loop, name);
    for (int turns = 0; turns < 10; turns++)
        loop_run(loop, LOOP_RUN_NOWAIT);
    bool resumed = client.tls.resumed;
    assert_int_equal(resumed, server.tls.resumed);
    if (resumed)
        assert_string_equal(name, client.tls.peer);
    finish_both(loop);
    say(resumed ? "resumed" : "full");
}

static void a_client_resumes_what_it_has_spoken_of(void **state)
{
    meet_and_part(*state, "localhost");
    assert_said("full");
    meet_and_part(*state, "localhost");
    assert_said("resumed");
    meet_and_part(*state, "localhost");
    assert_said("resumed");
    meet_and_part(*state, "127.0.0.1");
    assert_said("full");
}

static void who_does_not_want_to_resume_does_not(void **state)
{
    struct loop_tls_options options = client_options();
    options.no_resumption = true;
    make_client(options);
    meet_and_part(*state, "localhost");
    meet_and_part(*state, "localhost");
    assert_said("full");
    make_client(client_options());
    options = server_options();
    options.no_resumption = true;
    make_server(options);
    meet_and_part(*state, "localhost");
    meet_and_part(*state, "localhost");
    assert_said("full");
}

static void after_a_reload_nothing_is_resumed(void **state)
{
    meet_and_part(*state, "localhost");
    assert_int_equal(0, loop_tls_context_reload(server_context, NULL, 0));
    said();
    meet_and_part(*state, "localhost");
    assert_said("full");
    meet_and_part(*state, "localhost");
    assert_said("resumed");
    assert_int_equal(0, loop_tls_context_reload(client_context, NULL, 0));
    meet_and_part(*state, "localhost");
    assert_said("full");
}

static void a_client_remembers_only_so_many_hosts(void **state)
{
    char name[32];
    make_client((struct loop_tls_options){.insecure = true});
    for (int i = 0; i <= LOOP_TLS_SESSIONS; i++) {
        snprintf(name, sizeof(name), "host-%d", i);
        meet_and_part(*state, name);
    }
    said();
    client.tls.peer = NULL;
    server.send = "x";
    meet(*state, "host-0");
    assert_false(client.tls.resumed);
    finish_both(*state);
    meet(*state, "host-64");
    assert_true(client.tls.resumed);
    finish_both(*state);
}

static void a_reload_is_for_those_who_come_later(void **state)
{
    char name[64];
    struct loop_tls_options options = server_options();
    options.certificate_file = certs_path("changing.pem");
    certs_renew("changing.pem", "old.example");
    make_server(options);
    server.quiet = client.quiet = true;
    meet(*state, "old.example");
    certs_renew("changing.pem", "new.example");
    assert_int_equal(0, loop_tls_context_reload(server_context, NULL, 0));
    server.keeps = true;
    assert_int_equal(0, loop_tls_write(&client.tls, "", 1));
    while (server.got < 1)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(0, loop_tls_peer_name(&client.tls, 0, name, sizeof(name)));
    assert_string_equal("old.example", name);
    finish_both(*state);
    meet(*state, "new.example");
    finish_both(*state);
}

static void a_reload_of_what_is_broken_changes_nothing(void **state)
{
    char why[200] = "";
    struct loop_tls_options options = server_options();
    options.certificate_file = certs_path("changing.pem");
    certs_renew("changing.pem", "localhost");
    make_server(options);
    FILE *file = fopen(certs_path("changing.pem"), "w");
    assert_non_null(file);
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n", file);
    fclose(file);
    assert_int_equal(-EINVAL, loop_tls_context_reload(server_context, why, sizeof(why)));
    assert_non_null(strstr(why, "changing.pem: "));
    unlink(certs_path("changing.pem"));
    assert_int_equal(-ENOENT, loop_tls_context_reload(server_context, why, sizeof(why)));
    assert_non_null(strstr(why, "No such file"));
    meet(*state, "localhost");
    finish_both(*state);
}

/* --- plain bytes --- */

static void shrink_buffers(struct end *end)
{
    int size = 4096;
    int fd = loop_stream_fd(&end->pipe.stream);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void a_million_bytes_go_both_ways(void **state)
{
    int fds[2];
    make_pair(fds);
    open_end(*state, &server, fds[0]);
    open_end(*state, &client, fds[1]);
    shrink_buffers(&server);
    shrink_buffers(&client);
    server.send_size = client.send_size = 1000 * 1000;
    server.quiet = client.quiet = true;
    server.shuts = client.shuts = true;
    server.keeps = client.keeps = true;
    start_ends("localhost");
    while (server.status != LOOP_EOF || client.status != LOOP_EOF)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(1000 * 1000, server.got);
    assert_int_equal(1000 * 1000, client.got);
    finish_both(*state);
}

static void one_write_may_be_of_any_size_below_the_cap(void **state)
{
    static char bytes[300000];
    client.quiet = true;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 >> 3);
    meet(*state, "localhost");
    assert_int_equal(0, loop_tls_write(&server.tls, NULL, 0));
    assert_in_range(loop_tls_write(&server.tls, bytes, sizeof(bytes)), 0, 1);
    while (client.got < sizeof(bytes))
        loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(0, loop_tls_set_marks(&server.tls, 100, 200, 1000, NULL));
    assert_int_equal(-ENOBUFS, loop_tls_write(&server.tls, bytes, 1001));
    assert_int_equal(-ENOBUFS, loop_tls_write(&server.tls, bytes, 1000));
    client.got = 0;
    assert_in_range(loop_tls_write(&server.tls, bytes, 500), 0, 1);
    while (client.got < 500)
        loop_run(*state, LOOP_RUN_ONCE);
    finish_both(*state);
}

static void nobody_reads_behind_a_stop(void **state)
{
    client.silent = true;
    client.quiet = true;
    server.send_size = 100;
    meet(*state, "localhost");
    for (int turns = 0; turns < 10; turns++)
        loop_run(*state, LOOP_RUN_NOWAIT);
    assert_int_equal(0, client.got);
    assert_int_equal(0, loop_tls_read_start(&client.tls, on_read));
    assert_int_equal(-EALREADY, loop_tls_read_start(&client.tls, on_read));
    assert_int_equal(0, client.got); /* not inside the call */
    while (client.got < 100)
        loop_run(*state, LOOP_RUN_ONCE);
    loop_tls_read_stop(&client.tls);
    loop_tls_read_stop(&client.tls);
    assert_in_range(loop_tls_write(&server.tls, "more", 4), 0, 1);
    for (int turns = 0; turns < 10; turns++)
        loop_run(*state, LOOP_RUN_NOWAIT);
    assert_int_equal(100, client.got);
    finish_both(*state);
}

static void on_one_record(struct loop_tls *tls, ssize_t size, void *bytes)
{
    say("%.*s", (int)(size > 0 ? size : 0), size > 0 ? (char *)bytes : "");
    if (size < 0)
        say("%s", loop_error_name((int)size));
    loop_tls_read_stop(tls);
}

/* Four records in one read: each is given when it is asked for, and so is the end. */
static void what_has_come_waits_until_it_is_read(void **state)
{
    client.silent = true;
    meet(*state, "localhost");
    said();
    loop_tls_read_stop(&client.tls);
    for (int i = 0; i < 4; i++)
        assert_int_equal(0, loop_tls_write(&server.tls, &"abcd"[i], 1));
    assert_int_equal(0, loop_tls_shutdown(&server.tls, NULL));
    for (int i = 0; i < 7; i++) {
        int status = loop_tls_read_start(&client.tls, on_one_record);
        assert_int_equal(0, status);
        loop_run(*state, LOOP_RUN_NOWAIT);
        loop_run(*state, LOOP_RUN_NOWAIT);
    }
    assert_said("a b c d  EOF  EOF  EOF");
    finish_both(*state);
}

/* --- ends --- */

static void an_end_that_was_said_is_one(void **state)
{
    server.send = "bye";
    server.shuts = true;
    server.keeps = true;
    meet(*state, "localhost");
    client.keeps = false;
    assert_int_equal(0, loop_tls_shutdown(&server.tls, NULL));
    assert_int_equal(-EALREADY, loop_tls_shutdown(&server.tls, NULL));
    assert_int_equal(-EPIPE, loop_tls_write(&server.tls, "x", 1));
    while (client.status != LOOP_EOF)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_non_null(strstr(said(), "client:bye client-EOF"));
    finish_both(*state);
}

static void an_end_that_was_not_said_is_an_error(void **state)
{
    server.send = "part";
    client.keeps = true;
    meet(*state, "localhost");
    server.abandons = true;
    finish(&server);
    while (client.status == 0)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(LOOP_TLS_TRUNCATED, client.status);
    assert_non_null(strstr(said(), "client:part client-ECONNABORTED"));
    assert_non_null(strstr(loop_tls_error_text(&client.tls), "without a close_notify"));
    finish_both(*state);
}

static void on_shutdown(struct loop_tls *tls, int status)
{
    say("%s-shut-%s", of(tls)->name, loop_error_name(status));
}

static void half_a_connection_goes_on(void **state)
{
    meet(*state, "localhost");
    said();
    assert_int_equal(0, loop_tls_shutdown(&client.tls, on_shutdown));
    while (server.status != LOOP_EOF)
        loop_run(*state, LOOP_RUN_ONCE);
    assert_int_equal(0, loop_tls_write(&server.tls, "still", 5));
    for (int turns = 0; turns < 10; turns++)
        loop_run(*state, LOOP_RUN_NOWAIT);
    assert_said("client-shut-OK server-EOF client:still");
    finish_both(*state);
}

static void closing_completes_a_shutdown(void **state)
{
    client.silent = true;
    meet(*state, "localhost");
    said();
    shrink_buffers(&server);
    static const char bytes[200000];
    assert_int_equal(1, loop_tls_write(&server.tls, bytes, sizeof(bytes)));
    assert_int_equal(0, loop_tls_shutdown(&server.tls, on_shutdown));
    loop_tls_close(&server.tls, NULL);
    assert_int_equal(-ECANCELED, loop_tls_write(&server.tls, "x", 1));
    assert_int_equal(-ECANCELED, loop_tls_read_start(&server.tls, on_read));
    assert_int_equal(-ECANCELED, loop_tls_shutdown(&server.tls, NULL));
    assert_int_equal(-ECANCELED, loop_tls_set_marks(&server.tls, 0, 0, 0, NULL));
    loop_run(*state, LOOP_RUN_ONCE);
    assert_said("server-shut-ECANCELED");
    assert_int_equal(1, loop_stream_needs_drain(&server.pipe.stream)); /* still on its way */
    loop_close(&server.pipe.stream.handle, NULL);
    finish(&client);
    run(*state);
}

static void on_all_closed(struct loop_tls *tls)
{
    say("%s-closed-in-%s", of(tls)->name, loop_phase_name(loop_phase(of(tls)->pipe.handle.loop)));
}

static void closing_completes_a_handshake(void **state)
{
    connect_ends(*state, "localhost");
    void *mine = &mine;
    client.tls.data = mine;
    loop_tls_close(&client.tls, on_all_closed);
    loop_tls_abandon(&server.tls, on_all_closed);
    loop_close(&client.pipe.handle, NULL);
    loop_close(&server.pipe.handle, NULL);
    assert_said("");
    run(*state);
    assert_said("client-ECANCELED client-closed-in-closing server-ECANCELED "
                "server-closed-in-closing");
    assert_ptr_equal(mine, client.tls.data);
}

static void the_stream_is_given_back(void **state)
{
    int fds[2], mine = 0;
    make_pair(fds);
    open_end(*state, &server, fds[0]);
    open_end(*state, &client, fds[1]);
    client.pipe.handle.data = &mine;
    start_ends("localhost");
    assert_ptr_not_equal(&mine, client.pipe.handle.data);
    run_until(*state, &client);
    loop_tls_close(&client.tls, NULL);
    assert_ptr_equal(&mine, client.pipe.handle.data);
    assert_false(loop_is_active(&client.pipe.handle));
    loop_run(*state, LOOP_RUN_ONCE);
    loop_close(&client.pipe.handle, NULL);
    finish(&server);
    run(*state);
}

static void closing_is_possible_in_every_callback(void **state)
{
    for (int which = 0; which < 4; which++) {
        client.closes_early = which == 0;
        client.closes_at_bytes = which == 1;
        server.closes_early = which == 2;
        server.closes_at_bytes = which == 3;
        server.send = client.send = "x";
        server.keeps = client.keeps = false;
        connect_ends(*state, "localhost");
        run(*state);
        finish_both(*state);
    }
}

/* --- what a network may do --- */

static void a_silent_peer_meets_the_deadline(void **state)
{
    int fds[2];
    make_pair(fds);
    open_end(*state, &server, fds[0]);
    assert_int_equal(0, loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL,
                                       remember_text));
    run(*state);
    assert_said("server-ETIMEDOUT");
    assert_string_equal("the handshake took too long", last_text);
    assert_int_equal(10 * LOOP_SEC, loop_now(*state));
    close(fds[1]);
}

/* The deadline is that of the whole: a byte now and then does not move it. */
static void drip(struct loop_timer *timer)
{
    static const char hello[] = {0x16, 0x03, 0x01, 0x01, 0x00, 0x01};
    size_t *dripped = timer->handle.data;
    if (server.status != 0) {
        loop_timer_stop(timer);
        return;
    }
    assert_int_equal(1, write((int)dripped[1], &hello[dripped[0] < 5 ? dripped[0] : 5], 1));
    dripped[0]++;
}

static void a_slow_peer_meets_it_too(void **state)
{
    int fds[2];
    struct loop_timer timer;
    make_pair(fds);
    size_t dripped[2] = {0, (size_t)fds[1]};
    open_end(*state, &server, fds[0]);
    assert_int_equal(0, loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL,
                                       remember_text));
    loop_timer_init(*state, &timer);
    timer.handle.data = dripped;
    assert_int_equal(0, loop_timer_start(&timer, LOOP_SEC, LOOP_SEC, drip));
    run(*state);
    assert_said("server-ETIMEDOUT");
    assert_in_range(dripped[0], 9, 11);
    close(fds[1]);
}

static void a_peer_that_goes_in_the_handshake_is_told_of(void **state)
{
    int fds[2];
    make_pair(fds);
    open_end(*state, &server, fds[0]);
    assert_int_equal(0, loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL,
                                       remember_text));
    close(fds[1]);
    run(*state);
    assert_said("server-ECONNABORTED");
    assert_string_equal("the peer closed the connection during the handshake", last_text);
}

static void what_is_not_tls_is_refused(void **state)
{
    static const char *const garbage[] = {"GET / HTTP/1.1\r\n\r\n",
                                          "\x16\x03\x01\xff\xff\x01\x01\x01\x01\x01\x01\x01",
                                          "SSH-2.0-OpenSSH_9.2\r\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(garbage); i++) {
        int fds[2];
        char answer[64];
        make_pair(fds);
        open_end(*state, &server, fds[0]);
        assert_int_equal(0, loop_tls_start(&server.tls, &server.pipe.stream, server_context, NULL,
                                           remember_text));
        assert_true(write(fds[1], garbage[i], strlen(garbage[i])) > 0);
        run(*state);
        assert_said("server-EPROTO");
        assert_true(strlen(last_text) > 10);
        ssize_t size = read(fds[1], answer, sizeof(answer));
        assert_true(size == 0 || answer[0] == 0x15); /* an alert, if anything */
        close(fds[1]);
    }
}

/* Through the relay, with one byte changed, or the end before it. */
static void disturb(struct loop *loop, size_t damaged_at, size_t cut_at)
{
    server.send = "s";
    client.send = "c";
    server.keeps = client.keeps = false;
    server.shuts = client.shuts = false;
    connect_through_relay(loop, damaged_at, cut_at);
    loop_unref(&there.from.handle);
    loop_unref(&back.from.handle);
    for (int turns = 0; turns < 4000; turns++) {
        loop_run(loop, LOOP_RUN_NOWAIT);
        bool over = loop_is_closing(&server.pipe.handle) && loop_is_closing(&client.pipe.handle);
        if (over || there.count > 620)
            break;
    }
    assert_true(there.count > 620 || damaged_at > 5 || server.status < 0 || client.status < 0);
    end_relays();
    finish_both(loop);
}

static void damaged_bytes_are_errors_and_nothing_worse(void **state)
{
    for (size_t at = 0; at < 620; at += 13)
        disturb(*state, at, SIZE_MAX);
}

static void a_connection_cut_anywhere_is_an_error_on_both_sides(void **state)
{
    for (size_t at = 0; at < 520; at += 17) {
        server.status = client.status = 0;
        disturb(*state, SIZE_MAX, at);
    }
}

static void who_writes_to_a_peer_that_has_gone_is_told(void **state)
{
    client.silent = true;
    meet(*state, "localhost");
    server.abandons = true;
    finish(&server);
    loop_run(*state, LOOP_RUN_ONCE);
    int status = 0;
    for (int i = 0; i < 3 && status == 0; i++)
        status = loop_tls_write(&client.tls, "x", 1);
    assert_int_equal(-EPIPE, status);
    assert_int_equal(-EPIPE, loop_tls_write(&client.tls, "x", 1));
    assert_int_equal(-EPIPE, loop_tls_shutdown(&client.tls, NULL));
    finish_both(*state);
}

/* --- usage --- */

static void misuse_is_an_error(void **state)
{
    struct loop_pipe pipe;
    struct loop_tls tls = {.data = NULL};
    loop_pipe_init(*state, &pipe);
    struct loop_stream *stream = &pipe.stream;
    assert_int_equal(-EINVAL, loop_tls_start(NULL, stream, server_context, NULL, on_handshake));
    assert_int_equal(-EINVAL, loop_tls_start(&tls, NULL, server_context, NULL, on_handshake));
    assert_int_equal(-EINVAL, loop_tls_start(&tls, stream, NULL, NULL, on_handshake));
    assert_int_equal(-EINVAL, loop_tls_start(&tls, stream, server_context, NULL, NULL));
    assert_int_equal(-EINVAL, loop_tls_start(&tls, stream, server_context, "x", on_handshake));
    assert_int_equal(-EINVAL, loop_tls_start(&tls, stream, client_context, NULL, on_handshake));
    assert_int_equal(-ENOTCONN, loop_tls_start(&tls, stream, server_context, NULL, on_handshake));
    assert_null(tls.ssl);
    connect_ends(*state, "localhost");
    assert_int_equal(-EALREADY, loop_tls_start(&client.tls, &client.pipe.stream, client_context,
                                               "localhost", on_handshake));
    assert_int_equal(-ENOTCONN, loop_tls_write(&client.tls, "x", 1));
    assert_int_equal(-ENOTCONN, loop_tls_read_start(&client.tls, on_read));
    assert_int_equal(-ENOTCONN, loop_tls_shutdown(&client.tls, NULL));
    assert_int_equal(-EINVAL, loop_tls_write(&client.tls, NULL, 1));
    assert_int_equal(-EINVAL, loop_tls_read_start(&client.tls, NULL));
    assert_int_equal(-EINVAL, loop_tls_set_marks(&client.tls, 10, 5, 0, NULL));
    assert_int_equal(-EINVAL, loop_tls_shutdown(NULL, NULL));
    loop_tls_read_stop(&client.tls);
    finish_both(*state);
}

static void who_is_not_there_can_be_asked_nothing(void **state)
{
    struct loop_tls nobody = {.data = NULL};
    char name[8];
    (void)state;
    assert_int_equal(-EINVAL, loop_tls_write(NULL, "x", 1));
    assert_int_equal(-EINVAL, loop_tls_read_start(NULL, on_read));
    assert_int_equal(-EINVAL, loop_tls_set_marks(NULL, 0, 0, 0, NULL));
    assert_int_equal(-EINVAL, loop_tls_set_marks(&nobody, 0, 0, 0, NULL));
    loop_tls_read_stop(NULL);
    loop_tls_read_stop(&nobody);
    assert_int_equal(-ENOENT, loop_tls_peer_name(NULL, 0, name, sizeof(name)));
    assert_int_equal(-ENOENT, loop_tls_peer_name(&nobody, 0, name, sizeof(name)));
    assert_int_equal(-EINVAL, loop_tls_peer_name(&nobody, 0, NULL, 0));
    assert_int_equal(-ENOENT, loop_tls_peer_subject(NULL, name, sizeof(name)));
    assert_int_equal(-EINVAL, loop_tls_peer_subject(&nobody, NULL, 0));
}

static void bad(struct loop_tls_options options, int error, const char *words)
{
    char why[200] = "";
    struct loop_tls_context *context = server_context;
    assert_int_equal(error, loop_tls_context_new(&context, &options, why, sizeof(why)));
    assert_null(context);
    if (!strstr(why, words))
        fail_msg("%s", why);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct loop_tls_options options = {.server = true};
    bad(options, -EINVAL, "needs a certificate");
    options = server_options();
    options.certificate_file = certs_path("nowhere.pem");
    bad(options, -ENOENT, "nowhere.pem: No such file");
    options.certificate_file = certs_path("broken.pem");
    bad(options, -EINVAL, "broken.pem: ");
    options.certificate_file = certs_path("secret.pem");
    bad(options, -EINVAL, "secret.pem: ");
    options = server_options();
    options.key_file = certs_path("key.pem");
    bad(options, -EINVAL, "key.pem: key values mismatch");
    options = server_options();
    options.ca_file = certs_path("key.pem");
    bad(options, -EINVAL, "key.pem: ");
}

static void what_is_left_out_is_refused(void **state)
{
    char why[8] = "";
    struct loop_tls_options options = server_options();
    (void)state;
    options.host_count = 1;
    bad(options, -EINVAL, "a name and a certificate");
    options.hosts = &(struct loop_tls_host){.name = "a"};
    bad(options, -EINVAL, "a name and a certificate");
    assert_int_equal(-EINVAL, loop_tls_context_new(NULL, &options, NULL, 0));
    assert_int_equal(-EINVAL, loop_tls_context_new(&client_context, NULL, why, 0));
}

static void lists_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct loop_tls_options options = server_options();
    struct loop_tls_host host = {.name = NULL};
    options.alpn = "a,,b";
    bad(options, -EINVAL, "1 to 255");
    options.alpn = "";
    bad(options, -EINVAL, "1 to 255");
    char long_name[1100];
    memset(long_name, 'x', sizeof(long_name));
    long_name[256] = '\0';
    options.alpn = long_name;
    bad(options, -EINVAL, "1 to 255");
    long_name[256] = ',';
    long_name[1025] = '\0';
    bad(options, -EINVAL, "too long");
    options = server_options();
    options.min_version = 11;
    bad(options, -EINVAL, "12 or 13");
    options = server_options();
    options.hosts = &host;
    options.host_count = 1;
    bad(options, -EINVAL, "a name and a certificate");
    options = server_options();
    options.insecure = true;
    bad(options, -EINVAL, "ca_file");
    options = client_options();
    options.key_file = certs_path("key.pem");
    bad(options, -EINVAL, "without a certificate");
    options.host_count = 1;
    bad(options, -EINVAL, "by host name");
    assert_int_equal(-EINVAL, loop_tls_context_new(NULL, &options, NULL, 0));
    assert_int_equal(-EINVAL, loop_tls_context_reload(NULL, NULL, 0));
}

static void close_twice(void)
{
    struct loop loop;
    loop_init(&loop, NULL);
    connect_ends(&loop, "localhost");
    loop_tls_close(&client.tls, NULL);
    loop_tls_close(&client.tls, NULL);
}

static void closing_twice_panics(void **state)
{
    (void)state;
    assert_panics(close_twice, "closed");
}

#define with_contexts(name) cmocka_unit_test_setup_teardown(name, setup_contexts, teardown_contexts)
#define with_contexts_virtual(name)                                                                \
    cmocka_unit_test_setup_teardown(name, setup_contexts_virtual, teardown_contexts)

static const struct CMUnitTest tests[] = {
    with_contexts(both_ends_learn_what_was_agreed_on),
    with_contexts(a_handshake_may_come_byte_by_byte),
    with_contexts(an_address_is_verified_as_such),
    with_contexts(who_is_not_believed_is_told_so),
    with_contexts(a_client_refuses_whom_it_cannot_believe),
    with_contexts(a_client_that_is_told_so_believes_anybody),
    with_contexts(a_server_shows_the_certificate_of_the_host_that_is_asked_for),
    with_contexts(a_certificate_by_host_is_verified_as_any),
    with_contexts(without_a_common_protocol_there_is_no_connection),
    with_contexts(without_any_protocol_there_is_one),
    with_contexts(a_server_may_ask_for_certificates),
    with_contexts(a_client_resumes_what_it_has_spoken_of),
    with_contexts(who_does_not_want_to_resume_does_not),
    with_contexts(after_a_reload_nothing_is_resumed),
    with_contexts(a_client_remembers_only_so_many_hosts),
    with_contexts(a_reload_is_for_those_who_come_later),
    with_contexts(a_reload_of_what_is_broken_changes_nothing),
    with_contexts(a_million_bytes_go_both_ways),
    with_contexts(one_write_may_be_of_any_size_below_the_cap),
    with_contexts(nobody_reads_behind_a_stop),
    with_contexts(what_has_come_waits_until_it_is_read),
    with_contexts(an_end_that_was_said_is_one),
    with_contexts(an_end_that_was_not_said_is_an_error),
    with_contexts(half_a_connection_goes_on),
    with_contexts(closing_completes_a_shutdown),
    with_contexts(closing_completes_a_handshake),
    with_contexts(the_stream_is_given_back),
    with_contexts(closing_is_possible_in_every_callback),
    with_contexts_virtual(a_silent_peer_meets_the_deadline),
    with_contexts_virtual(a_slow_peer_meets_it_too),
    with_contexts(a_peer_that_goes_in_the_handshake_is_told_of),
    with_contexts(what_is_not_tls_is_refused),
    with_contexts(damaged_bytes_are_errors_and_nothing_worse),
    with_contexts(a_connection_cut_anywhere_is_an_error_on_both_sides),
    with_contexts(who_writes_to_a_peer_that_has_gone_is_told),
    with_contexts(misuse_is_an_error),
    with_contexts(who_is_not_there_can_be_asked_nothing),
    with_contexts(options_that_make_no_sense_are_refused),
    with_contexts(lists_that_make_no_sense_are_refused),
    with_contexts(what_is_left_out_is_refused),
    with_contexts(closing_twice_panics),
};

int main(void)
{
    certs_make();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    certs_remove();
    return failed;
}
