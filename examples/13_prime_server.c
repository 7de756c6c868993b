/* A server that computes: questions go to the thread pool, and the loop stays responsive.
 *
 *     ./run example prime_server          then: nc 127.0.0.1 7007
 *     ./run example prime_server 8000     another port; 0 lets the kernel choose
 *
 * Type numbers, one a line. "1000000000000000003 is prime" takes seconds of one thread; ask for it,
 * then for 7 and 8, and those answers come first. The server prints a line each second: how many
 * questions are with the pool, and by how much the latest of ten heartbeats missed its time. Were
 * the search made in a callback, that would be seconds.
 *
 * When a client goes, nobody wants its answers. A thread that is at one of them must not find its
 * memory freed, so each question is told to give up, by a flag that the thread reads, and is freed
 * in its own callback, when no thread is at it any more.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MAX_SIZE = 32, /* a number has at most 20 digits */
    QUESTIONS_MAX = 16, /* of one client: nobody shall have the pool for himself */
    HEARTBEAT_MS = 100,
};

struct server {
    struct loop loop;
    struct loop_tcp listener;
    struct loop_timer heartbeat;
    uint64_t expected_ns, late_ns;
    unsigned beats, asked, answered;
};

struct client {
    struct loop_tcp tcp;
    struct loop_shutdown end;
    struct server *server;
    struct question *questions; /* with the pool */
    unsigned count;             /* of them */
    bool ended;                 /* no more will be asked */
    size_t used;
    char line[LINE_MAX_SIZE];
};

struct question {
    struct loop_work work;
    struct server *server;
    struct client *client; /* NULL: it has gone */
    struct question *next; /* of the client */
    unsigned long number;
    bool prime; /* the thread's, until the callback */
    atomic_bool given_up;
};

static struct client *client_of(struct loop_stream *stream)
{
    return loop_container_of(stream, struct client, tcp.stream);
}

static void on_close(struct loop_handle *handle)
{
    struct client *client = loop_container_of(handle, struct client, tcp.handle);
    for (struct question *question = client->questions; question; question = question->next) {
        atomic_store(&question->given_up, true);
        question->client = NULL;
    }
    free(client);
}

static void close_client(struct client *client)
{
    if (!loop_is_closing(&client->tcp.handle))
        loop_close(&client->tcp.handle, on_close);
}

static void say(struct client *client, const char *line)
{
    if (!loop_is_closing(&client->tcp.handle) &&
        loop_write_copy(&client->tcp.stream, line, strlen(line)) < 0)
        close_client(client);
}

/* All that was said to it is with the kernel. */
static void on_end(struct loop_shutdown *end, int status)
{
    (void)status;
    close_client(loop_container_of(end, struct client, end));
}

/* It has asked all, and has all answers. */
static void end_if_done(struct client *client)
{
    if (client->ended && client->count == 0 && !loop_is_closing(&client->tcp.handle) &&
        loop_shutdown(&client->tcp.stream, &client->end, on_end) < 0)
        close_client(client);
}

/* On a thread of the pool. Looking at the flag for each divisor would cost more than dividing. */
static void examine(void *data)
{
    struct question *question = data;
    unsigned long n = question->number;
    bool prime = n == 2 || (n > 2 && n % 2 == 1);
    for (unsigned long divisor = 3; prime && divisor <= n / divisor; divisor += 2) {
        prime = n % divisor != 0;
        if (divisor % 65536 == 1 && atomic_load(&question->given_up))
            return;
    }
    question->prime = prime;
}

static void remove_question(struct client *client, struct question *question)
{
    struct question **at = &client->questions;
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    client->count--;
}

static void on_answer(struct loop_work *work, int status)
{
    struct question *question = loop_container_of(work, struct question, work);
    struct client *client = question->client;
    char line[64];
    question->server->answered++;
    if (client) {
        remove_question(client, question);
        snprintf(line, sizeof(line), "%lu is %s\n", question->number,
                 status < 0        ? "not examined"
                 : question->prime ? "prime"
                                   : "not prime");
        say(client, line);
        end_if_done(client);
    }
    free(question);
}

static void ask(struct client *client, unsigned long number)
{
    struct server *server = client->server;
    struct question *question = client->count < QUESTIONS_MAX ? calloc(1, sizeof(*question)) : NULL;
    if (question) {
        question->work.request.data = question;
        question->server = server;
        question->client = client;
        question->number = number;
    }
    if (!question || loop_work(&server->loop, &question->work, examine, on_answer) < 0) {
        free(question);
        say(client, "too many questions at a time\n");
        return;
    }
    question->next = client->questions;
    client->questions = question;
    client->count++;
    server->asked++;
}

static void on_line(struct client *client, const char *line)
{
    size_t digits = strspn(line, "0123456789");
    if (digits > 0 && digits < 20 && line[digits] == '\0')
        ask(client, strtoul(line, NULL, 10));
    else
        say(client, "a number has 1 to 19 digits\n");
}

/* A line that is too long for a number keeps its first bytes, and is none. */
static void on_byte(struct client *client, char byte)
{
    if (byte == '\n') {
        client->line[client->used] = '\0';
        client->used = 0;
        on_line(client, client->line);
    } else if (byte != '\r' && client->used < sizeof(client->line) - 1) {
        client->line[client->used++] = byte;
    }
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct client *client = client_of(stream);
    for (ssize_t i = 0; i < size && !loop_is_closing(&stream->handle); i++)
        on_byte(client, ((const char *)bytes)[i]);
    client->ended = size < 0;
    if (size == LOOP_EOF)
        end_if_done(client);
    else if (size < 0)
        close_client(client);
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct server *server = loop_container_of(listener, struct server, listener.stream);
    struct client *client = status < 0 ? NULL : calloc(1, sizeof(*client));
    if (!client) {
        fprintf(stderr, "a client has to wait: %s\n", loop_strerror(status < 0 ? status : -ENOMEM));
        if (status == 0)
            loop_refuse(listener);
        return;
    }
    client->server = server;
    loop_tcp_init(&server->loop, &client->tcp);
    int error = loop_accept(listener, &client->tcp.stream);
    if (!error)
        error = loop_read_start(&client->tcp.stream, on_read);
    if (error)
        close_client(client);
}

static void on_heartbeat(struct loop_timer *timer)
{
    struct server *server = loop_container_of(timer, struct server, heartbeat);
    uint64_t now_ns = loop_now(&server->loop);
    if (now_ns - server->expected_ns > server->late_ns)
        server->late_ns = now_ns - server->expected_ns;
    server->expected_ns = now_ns + HEARTBEAT_MS * LOOP_MS;
    if (++server->beats % 10 != 0)
        return;
    printf("%u questions with the pool, %u answered; heartbeat at most %.1f ms late\n",
           server->asked - server->answered, server->answered,
           (double)server->late_ns / (double)LOOP_MS);
    fflush(stdout);
    server->late_ns = 0;
}

static int start_heartbeat(struct server *server)
{
    uint64_t period_ns = HEARTBEAT_MS * LOOP_MS;
    server->expected_ns = loop_now(&server->loop) + period_ns;
    loop_timer_init(&server->loop, &server->heartbeat);
    return loop_timer_start(&server->heartbeat, period_ns, period_ns, on_heartbeat);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

/* 127.0.0.1: nobody on the net is to meet an example. */
static int listen_on(struct server *server, uint16_t port)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    struct loop_address address;
    loop_tcp_init(&server->loop, &server->listener);
    int error = loop_address_parse(&address, "127.0.0.1", port);
    if (!error)
        error = loop_tcp_bind(&server->listener, &address, 0);
    if (!error)
        error = loop_listen(&server->listener.stream, LOOP_BACKLOG, on_connection);
    if (!error)
        error = loop_tcp_local(&server->listener, &address);
    if (!error)
        printf("listening on %s\n", loop_address_text(&address, text));
    fflush(stdout);
    return error;
}

/* -1: no number up to max. */
static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end != '\0' || value < 0 || value > max ? -1 : value;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: prime_server [PORT]\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv)
{
    static struct server server;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout);
    long port = argc > 1 ? number(argv[1], 65535) : 7007;
    if (argc > 2 || port < 0)
        return print_usage(stderr);
    int error = loop_init(&server.loop, NULL);
    if (!error)
        error = listen_on(&server, (uint16_t)port);
    if (!error)
        error = start_heartbeat(&server);
    if (error)
        return fail("cannot listen", error);
    error = loop_run(&server.loop, LOOP_RUN_DEFAULT);
    return error < 0 ? fail("loop_run", error) : EXIT_SUCCESS;
}
