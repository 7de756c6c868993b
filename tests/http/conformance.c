/* Whole requests, byte for byte, and what a server says to each: the table in conformance.txt.
 *
 * Each row is sent on a connection of its own, with a probe behind it: a request whose answer shows
 * that the connection is still a connection, and that the bytes after the row were taken for what
 * they are. Then the client half-closes, and reads until the server has closed. A row that ends the
 * connection gets no answer to its probe.
 *
 * However a row is cut, its verdict is the same: each is sent once more for each place at which it
 * can be cut in two, but not inside of what is repeated, where one place is like another. The
 * second part is sent when the server has had turns enough to read the first.
 *
 * The server says what it has understood: the method, the target, the body and the trailers.
 * With --serve the program is that server alone, for peers to be compared with and for those that
 * attack it: conformance.py and stress.py. With --patient behind that it has no time limits.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include "loop/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 96 * 1024, ANSWER_MAX = 256 * 1024, TURNS = 4 };

static const char probe[] = "GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";

static struct row {
    char name[160];
    char verdict[64]; /* statuses, then "open" or "close" */
    char words[256];  /* the body of the first answer; "": any */
    bool bare;        /* without the probe */
    char bytes[BYTES_MAX];
    size_t size;
    bool seam[BYTES_MAX]; /* where it is cut */
} row;

/* --- the table --- */

static int hex(char digit)
{
    return digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

static void put(char byte, bool seam)
{
    assert_true(row.size < sizeof(row.bytes) - sizeof(probe));
    row.seam[row.size] = seam;
    row.bytes[row.size++] = byte;
}

static char meaning(char letter)
{
    static const char letters[] = "rnt0\\", meanings[] = "\r\n\t\0\\";
    const char *found = letter ? strchr(letters, letter) : NULL;
    assert_non_null(found);
    return meanings[found - letters];
}

/* \{100:ab} stands for "ab" a hundred times. Returns what is behind it. */
static const char *repeat(const char *at)
{
    char *text;
    long count = strtol(at, &text, 10);
    size_t size = strcspn(++text, "}");
    for (long i = 0; i < count; i++)
        for (size_t j = 0; j < size; j++) {
            char byte = text[j] == '\\' ? meaning(text[++j]) : text[j];
            put(byte, i == 0 || i == count - 1);
        }
    return text + size + 1;
}

static const char *escape(const char *at)
{
    if (*at == '{')
        return repeat(at + 1);
    put(*at == 'x' ? (char)(hex(at[1]) * 16 + hex(at[2])) : meaning(*at), true);
    return at + (*at == 'x' ? 3 : 1);
}

static void read_bytes(const char *at)
{
    while (*at != '\n' && *at != '\0') {
        if (*at == '\\')
            at = escape(at + 1);
        else
            put(*at++, true);
    }
}

static void copy(char *to, size_t size, const char *from)
{
    size_t length = strcspn(from, "\n");
    assert_true(length < size);
    memcpy(to, from, length);
    to[length] = '\0';
}

/* "framing" is for who compares. */
static void read_verdict(const char *at)
{
    row.bare = strncmp(at, "bare ", 5) == 0;
    at += row.bare ? 5 : 0;
    at += strncmp(at, "framing ", 8) == 0 ? 8 : 0;
    copy(row.verdict, sizeof(row.verdict), at);
}

/* The next row; false: there is none. */
static bool next_row(FILE *table)
{
    char line[4096];
    row.name[0] = row.verdict[0] = row.words[0] = '\0';
    row.size = 0;
    while (fgets(line, sizeof(line), table) && !(line[0] == '\n' && row.size > 0)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (strncmp(line, "  : ", 4) == 0)
            read_bytes(line + 4);
        else if (strncmp(line, "  = ", 4) == 0)
            copy(row.words, sizeof(row.words), line + 4);
        else if (strncmp(line, "  > ", 4) == 0)
            read_verdict(line + 4);
        else if (strncmp(line, "  ! ", 4) != 0)
            copy(row.name, sizeof(row.name), line);
    }
    return row.size > 0;
}

/* --- the server --- */

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    char *text;
    size_t length;
    if (status < 0) {
        loop_http_end(req->response, NULL, 0); /* the library has answered */
        return;
    }
    FILE *out = open_memstream(&text, &length);
    fprintf(out, "%s %s ", req->method, req->target);
    fwrite(bytes, 1, size, out);
    for (size_t i = 0; i < req->trailer_count; i++)
        fprintf(out, " %s=%s", req->trailers[i].name, req->trailers[i].value);
    fclose(out);
    loop_http_end(req->response, text, length);
    free(text);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    loop_http_collect_body(req, 0, on_collected);
}

/* Patient: a verdict does not depend on how fast a client is. */
static void open_server(struct loop *loop, struct loop_http_server *server, bool patient)
{
    uint64_t limit_ns = patient ? LOOP_NEVER : 0; /* 0: what is usual */
    const struct loop_http_options options = {.on_request = on_request,
                                              .limits = {.head_ns = limit_ns,
                                                         .keep_alive_ns = limit_ns,
                                                         .body_grace_ns = limit_ns,
                                                         .write_stall_ns = limit_ns}};
    assert_int_equal(0, loop_http_server_init(loop, server, &options));
    assert_int_equal(0, loop_http_listen(server, "127.0.0.1", 0, 0));
}

/* --- the client --- */

static struct {
    struct loop *loop;
    struct loop_tcp tcp;
    struct loop_connect connect;
    struct loop_shutdown shutdown;
    struct loop_task later;
    const char *bytes;
    size_t size, at; /* cut there */
    int turns;
    char answer[ANSWER_MAX];
    size_t answered;
} client;

static void on_client_closed(struct loop_handle *handle)
{
    (void)handle;
    loop_stop(client.loop);
}

static void on_answer(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size < 0) {
        loop_task_cancel(&client.later);
        loop_close(&stream->handle, on_client_closed);
        return;
    }
    assert_true(client.answered + (size_t)size < sizeof(client.answer));
    memcpy(client.answer + client.answered, bytes, (size_t)size);
    client.answered += (size_t)size;
    client.answer[client.answered] = '\0';
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    (void)status;
}

/* The server may have closed by now. */
static void send_rest(struct loop_task *task)
{
    if (client.at > 0 && ++client.turns < TURNS) {
        loop_immediate(client.loop, task, send_rest);
        return;
    }
    loop_write_copy(&client.tcp.stream, client.bytes + client.at, client.size - client.at);
    loop_shutdown(&client.tcp.stream, &client.shutdown, on_shutdown);
}

static void on_connected(struct loop_connect *connect, int status)
{
    (void)connect;
    assert_int_equal(0, status);
    loop_tcp_nodelay(&client.tcp, true);
    assert_int_equal(0, loop_read_start(&client.tcp.stream, on_answer));
    if (client.at > 0)
        loop_write_copy(&client.tcp.stream, client.bytes, client.at);
    client.turns = 0;
    loop_immediate(client.loop, &client.later, send_rest);
}

static const char *ask(struct loop_http_server *server, const char *bytes, size_t size, size_t at)
{
    struct loop_address address;
    client.loop = server->loop;
    client.bytes = bytes;
    client.size = size;
    client.at = at;
    client.answered = 0;
    client.answer[0] = '\0';
    loop_address_parse(&address, "127.0.0.1", loop_http_server_port(server));
    loop_tcp_init(client.loop, &client.tcp);
    assert_int_equal(0, loop_tcp_connect(&client.tcp, &client.connect, &address, on_connected));
    loop_run(client.loop, LOOP_RUN_DEFAULT);
    return client.answer;
}

/* --- verdicts --- */

/* The statuses of all answers, "100" not among them, and whether the probe was answered, which is
 * the answer that names it. */
static const char *judge(const char *answer, char *verdict, size_t size)
{
    size_t used = 0;
    bool open = false;
    const char *last = NULL;
    verdict[0] = '\0';
    for (const char *at = answer; (at = strstr(at, "HTTP/1.1 ")); at += 9)
        last = strncmp(at + 9, "100", 3) != 0 ? at : last;
    open = last && strstr(last, "GET /probe ");
    for (const char *at = answer; (at = strstr(at, "HTTP/1.1 ")); at += 9)
        if (strncmp(at + 9, "100", 3) != 0 && !(open && at == last))
            used += (size_t)snprintf(verdict + used, size - used, "%.3s ", at + 9);
    snprintf(verdict + used, size - used, "%s", open ? "open" : "close");
    return verdict;
}

static void check(struct loop_http_server *server, size_t at)
{
    char verdict[256];
    const char *answer = ask(server, row.bytes, row.size, at);
    judge(answer, verdict, sizeof(verdict));
    bool right = strcmp(verdict, row.verdict) == 0;
    if (right && (row.words[0] == '\0' || strstr(answer, row.words)))
        return;
    print_error("%s, cut at %zu: %s, not %s %s\n%s\n", row.name, at, verdict, row.verdict,
                row.words, answer);
    fail();
}

static FILE *open_table(struct loop *loop, struct loop_http_server *server)
{
    FILE *table = fopen(getenv("CONFORMANCE_TABLE"), "r");
    assert_non_null(table);
    open_server(loop, server, true);
    return table;
}

static void close_table(FILE *table, struct loop_http_server *server)
{
    fclose(table);
    assert_int_equal(0, server->stats.connections);
    assert_int_equal(0, server->stats.active);
    loop_http_server_close(server, LOOP_NEVER, NULL);
    assert_int_equal(0, loop_run(server->loop, LOOP_RUN_DEFAULT));
}

static void add_probe(void)
{
    if (row.bare)
        return;
    memcpy(row.bytes + row.size, probe, sizeof(probe) - 1);
    row.size += sizeof(probe) - 1;
}

static void each_request_gets_its_verdict(void **state)
{
    struct loop_http_server server;
    FILE *table = open_table(*state, &server);
    unsigned rows = 0;
    for (; next_row(table); rows++) {
        add_probe();
        check(&server, 0);
    }
    assert_true(rows >= 220);
    close_table(table, &server);
}

static void each_request_gets_it_however_it_is_cut(void **state)
{
    struct loop_http_server server;
    FILE *table = open_table(*state, &server);
    while (next_row(table)) {
        size_t size = row.size;
        add_probe();
        for (size_t at = 1; at <= size && at < row.size; at++)
            if (row.seam[at - 1])
                check(&server, at);
    }
    close_table(table, &server);
}

/* --- the server alone --- */

static void on_input(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size < 0)
        loop_stop(stream->handle.loop);
}

static int serve(bool patient)
{
    static struct loop loop;
    struct loop_http_server server;
    struct loop_pipe input;
    if (loop_init(&loop, NULL) < 0)
        return 1;
    open_server(&loop, &server, patient);
    printf("%u\n", (unsigned)loop_http_server_port(&server));
    fflush(stdout);
    loop_pipe_init(&loop, &input);
    if (loop_pipe_open(&input, 0) < 0 || loop_read_start(&input.stream, on_input) < 0)
        return 1;
    loop_run(&loop, LOOP_RUN_DEFAULT);
    loop_close(&input.handle, NULL);
    loop_http_server_close(&server, 0, NULL);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    return loop_fini(&loop) < 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        real_test(each_request_gets_its_verdict),
        real_test(each_request_gets_it_however_it_is_cut),
    };
    if (argc > 1 && strcmp(argv[1], "--serve") == 0)
        return serve(argc > 2 && strcmp(argv[2], "--patient") == 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
