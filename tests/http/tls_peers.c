/* TLS with others: openssl(1) and curl(1) as clients of ours, openssl(1) as our server.
 *
 * What they and we agree on works, what they must refuse they refuse: a wrong name, an expired
 * certificate, one that nobody has signed. What we must refuse we refuse: versions before 1.2, and
 * a second handshake on a connection. Sessions are resumed by either version, certificates chosen
 * by name, protocols by ALPN. And while many connect, certificates are loaded again and again, also
 * broken ones, and nobody notices.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"
#include "tls_certs.h"

#include "loop/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"
                             "hello\n";

/* --- a server that answers whatever ends with an empty line --- */

struct connection {
    struct loop_tcp tcp;
    struct loop_tls tls;
    char tail[4];
};

static struct loop_tcp listener;
static struct loop_tls_context *server_context, *client_context;
static unsigned port;
static int shaken, refused, resumed;

static void on_connection_closed(struct loop_handle *handle)
{
    free(loop_container_of(handle, struct connection, tcp.handle));
}

static void end(struct connection *connection)
{
    loop_tls_close(&connection->tls, NULL);
    loop_close(&connection->tcp.handle, on_connection_closed);
}

static void on_request(struct loop_tls *tls, ssize_t size, void *bytes)
{
    struct connection *connection = loop_container_of(tls, struct connection, tls);
    if (size < 0) {
        end(connection);
        return;
    }
    for (ssize_t i = 0; i < size; i++) {
        memmove(connection->tail, connection->tail + 1, 3);
        connection->tail[3] = ((char *)bytes)[i];
    }
    if (memcmp(connection->tail, "\r\n\r\n", 4) == 0) {
        loop_tls_write(tls, answer, strlen(answer));
        loop_tls_shutdown(tls, NULL);
    }
}

static void on_shaken(struct loop_tls *tls, int status)
{
    struct connection *connection = loop_container_of(tls, struct connection, tls);
    if (status == -ECANCELED)
        return;
    shaken += status == 0;
    refused += status < 0;
    resumed += tls->resumed;
    if (status < 0)
        end(connection);
    else
        assert_int_equal(0, loop_tls_read_start(tls, on_request));
}

static void on_connection(struct loop_stream *stream, int status)
{
    assert_int_equal(0, status);
    struct connection *connection = calloc(1, sizeof(*connection));
    assert_non_null(connection);
    loop_tcp_init(stream->handle.loop, &connection->tcp);
    assert_int_equal(0, loop_accept(stream, &connection->tcp.stream));
    assert_int_equal(0, loop_tls_start(&connection->tls, &connection->tcp.stream, server_context,
                                       NULL, on_shaken));
}

static void serve(struct loop *loop, const struct loop_tls_options *options)
{
    char why[200] = "";
    struct loop_address address;
    shaken = refused = resumed = 0;
    if (loop_tls_context_new(&server_context, options, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    loop_tcp_init(loop, &listener);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", 0));
    assert_int_equal(0, loop_tcp_bind(&listener, &address, 0));
    assert_int_equal(0, loop_listen(&listener.stream, 100, on_connection));
    assert_int_equal(0, loop_tcp_local(&listener, &address));
    port = loop_address_port(&address);
    loop_unref(&listener.handle);
}

static void serve_file(struct loop *loop, const char *file)
{
    serve(loop, &(struct loop_tls_options){.server = true,
                                           .certificate_file = certs_path(file),
                                           .alpn = "http/1.1"});
}

static void serve_no_more(struct loop *loop)
{
    loop_close(&listener.handle, NULL);
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_tls_context_unref(server_context);
}

/* --- commands --- */

static char output[65536]; /* of both kinds */
static int exit_status;

static void on_done(struct loop_exec *exec, int status)
{
    assert_int_equal(0, status);
    exit_status = exec->exit_status;
    snprintf(output, sizeof(output), "%s%s", exec->out ? exec->out : "",
             exec->err ? exec->err : "");
}

/* In the command $PORT and $CERTS stand for what they say. */
static void run(struct loop *loop, const char *command)
{
    char line[2000];
    struct loop_exec exec = {.job = NULL};
    snprintf(line, sizeof(line), "PORT=%u; CERTS=%s; %s", port, certs_path("."), command);
    const char *const args[] = {"sh", "-c", line, NULL};
    struct loop_exec_options options = {.process = {.file = "sh", .args = args}};
    assert_int_equal(0, loop_exec(loop, &exec, &options, on_done));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
}

static void assert_output(const char *words)
{
    if (!strstr(output, words))
        fail_msg("\"%s\" is not in: %s", words, output);
}

/* --- clients --- */

/* Whatever proxies and settings there are for others. */
#define CURL "curl -q -sS --noproxy '*' --cacert $CERTS/ca.pem "

static void curl_is_answered(void **state)
{
    serve_file(*state, "server.pem");
    run(*state, CURL "--resolve localhost:$PORT:127.0.0.1 https://localhost:$PORT/");
    assert_string_equal("hello\n", output);
    run(*state, CURL "--tls-max 1.2 https://127.0.0.1:$PORT/");
    assert_string_equal("hello\n", output);
    assert_int_equal(2, shaken);
    serve_no_more(*state);
}

static void curl_refuses(struct loop *loop, const char *file, const char *host, const char *words)
{
    char command[500];
    serve_file(loop, file);
    snprintf(command, sizeof(command), CURL "--resolve %s:$PORT:127.0.0.1 https://%s:$PORT/", host,
             host);
    run(loop, command);
    assert_int_equal(60, exit_status);
    assert_output(words);
    serve_no_more(loop);
}

static void curl_refuses_what_it_must(void **state)
{
    curl_refuses(*state, "server.pem", "other.example", "no alternative certificate subject name");
    curl_refuses(*state, "expired.pem", "localhost", "expired");
    curl_refuses(*state, "self.pem", "localhost", "self-signed");
}

static void old_versions_are_refused(void **state)
{
    serve_file(*state, "server.pem");
    run(*state, "openssl s_client -tls1_1 -cipher DEFAULT@SECLEVEL=0 -connect 127.0.0.1:$PORT "
                "</dev/null");
    assert_output("alert protocol version");
    assert_int_equal(1, refused);
    run(*state, "openssl s_client -tls1_2 -cipher AES128-SHA -connect 127.0.0.1:$PORT </dev/null");
    assert_output("alert handshake failure");
    assert_int_equal(2, refused);
    assert_int_equal(0, shaken);
    serve_no_more(*state);
}

static void a_server_may_want_the_latest_version_alone(void **state)
{
    serve(*state, &(struct loop_tls_options){.server = true,
                                             .certificate_file = certs_path("server.pem"),
                                             .min_version = 13});
    run(*state, "openssl s_client -tls1_2 -connect 127.0.0.1:$PORT </dev/null");
    assert_output("alert protocol version");
    serve_no_more(*state);
}

static void sessions_of_tls_1_2_are_resumed(void **state)
{
    serve_file(*state, "server.pem");
    run(*state, "openssl s_client -tls1_2 -reconnect -connect 127.0.0.1:$PORT </dev/null");
    assert_output("Reused, TLSv1.2");
    assert_int_equal(6, shaken);
    assert_int_equal(5, resumed);
    serve_no_more(*state);
}

static void sessions_of_tls_1_3_are_resumed(void **state)
{
    serve_file(*state, "server.pem");
    run(*state, "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -ign_eof -sess_out "
                "$CERTS/session -connect 127.0.0.1:$PORT");
    assert_output("New, TLSv1.3");
    assert_output("hello");
    run(*state, "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -ign_eof -sess_in "
                "$CERTS/session -connect 127.0.0.1:$PORT");
    assert_output("Reused, TLSv1.3");
    assert_int_equal(1, resumed);
    serve_no_more(*state);
}

static void nobody_gets_a_second_handshake(void **state)
{
    serve_file(*state, "server.pem");
    run(*state, "echo R | openssl s_client -tls1_2 -connect 127.0.0.1:$PORT");
    assert_output("no renegotiation");
    serve_no_more(*state);
}

static void keys_may_change(void **state)
{
    serve_file(*state, "server.pem");
    run(*state, "echo K | openssl s_client -tls1_3 -connect 127.0.0.1:$PORT");
    assert_output("KEYUPDATE");
    assert_int_equal(1, shaken);
    assert_int_equal(0, refused);
    serve_no_more(*state);
}

static void a_protocol_is_chosen(void **state)
{
    serve_file(*state, "server.pem");
    run(*state, "openssl s_client -alpn h2,http/1.1 -connect 127.0.0.1:$PORT </dev/null");
    assert_output("ALPN protocol: http/1.1");
    run(*state, "openssl s_client -alpn h2 -connect 127.0.0.1:$PORT </dev/null");
    assert_output("alert no application protocol");
    run(*state, "openssl s_client -connect 127.0.0.1:$PORT </dev/null");
    assert_output("No ALPN negotiated");
    serve_no_more(*state);
}

static void a_certificate_is_chosen_by_name(void **state)
{
    struct loop_tls_host host = {"a.example", certs_path("a.pem"), NULL};
    serve(*state, &(struct loop_tls_options){.server = true,
                                             .certificate_file = certs_path("server.pem"),
                                             .hosts = &host,
                                             .host_count = 1});
    run(*state, CURL "--resolve a.example:$PORT:127.0.0.1 https://a.example:$PORT/");
    assert_string_equal("hello\n", output);
    run(*state, "openssl s_client -servername b.example -connect 127.0.0.1:$PORT </dev/null");
    assert_output("subject=CN = localhost");
    serve_no_more(*state);
}

static void a_client_shows_its_certificate(void **state)
{
    serve(*state, &(struct loop_tls_options){.server = true,
                                             .certificate_file = certs_path("server.pem"),
                                             .ca_file = certs_path("ca.pem")});
    run(*state, CURL "https://127.0.0.1:$PORT/");
    assert_output("certificate required");
    run(*state, CURL "--cert $CERTS/alice.pem https://127.0.0.1:$PORT/");
    assert_string_equal("hello\n", output);
    run(*state, CURL "--cert $CERTS/self.pem https://127.0.0.1:$PORT/");
    assert_int_not_equal(0, exit_status);
    serve_no_more(*state);
}

/* --- their server --- */

static struct loop_process process;
static struct loop_pipe process_output;
static struct loop_tcp tcp;
static struct loop_tls tls;
static struct loop_connect connecting;
static const char *expected_host;
static char said_by_server[4000];
static size_t said_size;

static void on_exit_of_server(struct loop_process *ended, int status, int number)
{
    (void)status;
    (void)number;
    loop_close(&ended->handle, NULL);
    loop_close(&process_output.handle, NULL);
}

static void part(void)
{
    loop_tls_close(&tls, NULL);
    loop_close(&tcp.handle, NULL);
    loop_process_kill(&process, 9);
}

static void on_page(struct loop_tls *end, ssize_t size, void *bytes)
{
    (void)end;
    if (size > 0 && said_size + (size_t)size < sizeof(output)) {
        memcpy(output + said_size, bytes, (size_t)size);
        said_size += (size_t)size;
    }
    if (size < 0) {
        output[said_size] = '\0';
        say("%s", loop_error_name((int)size));
        part();
    }
}

static void on_client_shaken(struct loop_tls *end, int status)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    say("%s", status < 0 ? loop_error_name(status) : end->version);
    if (status < 0) {
        part();
        return;
    }
    said_size = 0;
    assert_int_equal(0, loop_tls_write(end, request, strlen(request)));
    assert_int_equal(0, loop_tls_read_start(end, on_page));
}

static void on_connected(struct loop_connect *connect, int status)
{
    (void)connect;
    assert_int_equal(0, status);
    assert_int_equal(0, loop_tls_start(&tls, &tcp.stream, client_context, expected_host,
                                       on_client_shaken));
}

/* It says where it listens. */
static void on_server_said(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct loop_address address;
    if (size <= 0 || loop_is_closing(&process.handle))
        return;
    size_t room = sizeof(said_by_server) - 1 - said_size;
    memcpy(said_by_server + said_size, bytes, (size_t)size < room ? (size_t)size : room);
    said_size += (size_t)size < room ? (size_t)size : room;
    said_by_server[said_size] = '\0';
    const char *place = strstr(said_by_server, "ACCEPT 127.0.0.1:");
    if (!place || !strchr(place, '\n') || tcp.handle.loop)
        return;
    loop_tcp_init(stream->handle.loop, &tcp);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1",
                                           (uint16_t)atoi(strchr(place, ':') + 1)));
    assert_int_equal(0, loop_tcp_connect(&tcp, &connecting, &address, on_connected));
}

static void visit(struct loop *loop, const char *version, const char *host)
{
    const char *const args[] = {"openssl",     "s_server", "-accept",
                                "127.0.0.1:0", "-cert",    certs_path("server.pem"),
                                "-www",        version,    NULL};
    struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                 {.kind = LOOP_STDIO_OUTPUT, .pipe = &process_output}};
    struct loop_tls_options options = {.ca_file = certs_path("ca.pem")};
    assert_int_equal(0, loop_tls_context_new(&client_context, &options, NULL, 0));
    memset(&tcp, 0, sizeof(tcp));
    memset(&tls, 0, sizeof(tls));
    memset(&connecting, 0, sizeof(connecting));
    expected_host = host;
    said_size = 0;
    loop_process_init(loop, &process);
    loop_pipe_init(loop, &process_output);
    assert_int_equal(0, loop_process_spawn(&process,
                                           &(struct loop_process_options){.file = "openssl",
                                                                          .args = args,
                                                                          .stdio = stdio,
                                                                          .stdio_count = 2},
                                           on_exit_of_server));
    assert_int_equal(0, loop_read_start(&process_output.stream, on_server_said));
    assert_int_equal(0, loop_run(loop, LOOP_RUN_DEFAULT));
    loop_tls_context_unref(client_context);
}

static void we_speak_with_their_server(void **state)
{
    visit(*state, "-tls1_3", "localhost");
    assert_said("TLSv1.3 EOF");
    assert_output("HTTP/1.0 200 ok");
    visit(*state, "-tls1_2", "127.0.0.1");
    assert_said("TLSv1.2 EOF");
    assert_output("HTTP/1.0 200 ok");
}

static void we_refuse_what_we_must(void **state)
{
    visit(*state, "-tls1_2", "other.example");
    assert_said("EKEYREJECTED");
    visit(*state, "-tls1_1", "localhost");
    assert_said("EPROTO");
}

/* --- many --- */

enum { CLIENTS = 10, VISITS = 300 };

static struct visitor {
    struct loop_tcp tcp;
    struct loop_tls tls;
    struct loop_connect connect;
    size_t got;
} visitors[CLIENTS];

static int begun, done, reloads, failed_reloads;

static void begin(struct visitor *visitor, struct loop *loop);

static void on_visitor_closed(struct loop_handle *handle)
{
    struct visitor *visitor = loop_container_of(handle, struct visitor, tcp.handle);
    done++;
    begin(visitor, handle->loop);
}

static void on_visitor_read(struct loop_tls *end, ssize_t size, void *bytes)
{
    struct visitor *visitor = loop_container_of(end, struct visitor, tls);
    (void)bytes;
    if (size > 0) {
        visitor->got += (size_t)size;
        return;
    }
    assert_int_equal(LOOP_EOF, size);
    assert_int_equal(strlen(answer), visitor->got);
    loop_tls_close(end, NULL);
    loop_close(&visitor->tcp.handle, on_visitor_closed);
}

/* The file is now whole, now broken. */
static void reload(void)
{
    if (begun % 20 == 0)
        certs_renew("changing.pem", "localhost");
    else
        rename(certs_path("changing.pem"), certs_path("changed.pem"));
    int status = loop_tls_context_reload(server_context, NULL, 0);
    assert_true(status == 0 || status == -ENOENT);
    reloads += status == 0;
    failed_reloads += status != 0;
}

static void on_visitor_shaken(struct loop_tls *end, int status)
{
    if (status < 0)
        fail_msg("%s", loop_tls_error_text(end));
    assert_int_equal(0, loop_tls_write(end, "\r\n\r\n", 4));
    assert_int_equal(0, loop_tls_read_start(end, on_visitor_read));
}

static void on_visitor_connected(struct loop_connect *connect, int status)
{
    struct visitor *visitor = loop_container_of(connect, struct visitor, connect);
    assert_int_equal(0, status);
    assert_int_equal(0, loop_tls_start(&visitor->tls, &visitor->tcp.stream, client_context,
                                       "localhost", on_visitor_shaken));
}

static void begin(struct visitor *visitor, struct loop *loop)
{
    struct loop_address address;
    if (begun == VISITS)
        return;
    if (++begun % 10 == 0)
        reload();
    visitor->got = 0;
    loop_tcp_init(loop, &visitor->tcp);
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1", (uint16_t)port));
    assert_int_equal(0, loop_tcp_connect(&visitor->tcp, &visitor->connect, &address,
                                         on_visitor_connected));
}

static void reloading_disturbs_nobody(void **state)
{
    struct loop_tls_options options = {.ca_file = certs_path("ca.pem")};
    begun = done = reloads = failed_reloads = 0;
    certs_renew("changing.pem", "localhost");
    assert_int_equal(0, loop_tls_context_new(&client_context, &options, NULL, 0));
    serve_file(*state, "changing.pem");
    for (int i = 0; i < CLIENTS; i++)
        begin(&visitors[i], *state);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(VISITS, done);
    assert_int_equal(VISITS, shaken);
    assert_int_equal(VISITS / 20, reloads);
    assert_int_equal(VISITS / 20, failed_reloads);
    assert_true(resumed > 0);
    loop_tls_context_unref(client_context);
    serve_no_more(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        real_test(curl_is_answered),
        real_test(curl_refuses_what_it_must),
        real_test(old_versions_are_refused),
        real_test(a_server_may_want_the_latest_version_alone),
        real_test(sessions_of_tls_1_2_are_resumed),
        real_test(sessions_of_tls_1_3_are_resumed),
        real_test(nobody_gets_a_second_handshake),
        real_test(keys_may_change),
        real_test(a_protocol_is_chosen),
        real_test(a_certificate_is_chosen_by_name),
        real_test(a_client_shows_its_certificate),
        real_test(we_speak_with_their_server),
        real_test(we_refuse_what_we_must),
        real_test(reloading_disturbs_nobody),
    };
    certs_make();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    certs_remove();
    return failed;
}
