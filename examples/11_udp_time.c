/* A time server: each datagram is answered with the time of day, as a line of text.
 *
 *     ./run example udp_time               then: echo | nc -u -w1 127.0.0.1 7037
 *     ./run example udp_time 8000          another port; 0 lets the kernel choose
 *     ./run example udp_time --count 3     ends after three answers
 *
 * Expect: the client prints "2026-11-21T09:30:00Z", the server a line for each question. Ctrl-C
 * ends the server: it has nothing to tidy up.
 *
 * There are no connections, so there is nothing to accept and nobody to forget: from is whom to
 * answer. An answer that does not fit into the kernel's buffer now is worth nothing later, so it is
 * tried, and dropped if it cannot be sent; a client that cares asks again.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct server {
    struct loop_udp udp;
    long left; /* answers until it ends; 0: it does not */
};

static size_t write_time(char *text, size_t size)
{
    time_t now = time(NULL);
    struct tm utc;
    return gmtime_r(&now, &utc) ? strftime(text, size, "%Y-%m-%dT%H:%M:%SZ\n", &utc) : 0;
}

/* What was asked does not matter, not even whether anything was. */
static void on_question(struct loop_udp *udp, ssize_t size, void *bytes,
                        const struct loop_address *from, unsigned flags)
{
    struct server *server = loop_container_of(udp, struct server, udp);
    char text[32], who[LOOP_ADDRESS_TEXT_SIZE];
    (void)bytes;
    (void)flags;
    if (size < 0 || !from) {
        fprintf(stderr, "receiving: %s\n", loop_strerror(size < 0 ? (int)size : 0));
        return;
    }
    struct loop_buf answer = {text, write_time(text, sizeof(text))};
    ssize_t sent = loop_udp_try_send(udp, &answer, 1, from);
    printf("%s asked: %s\n", loop_address_text(from, who),
           sent < 0 ? loop_strerror((int)sent) : "answered");
    fflush(stdout);
    if (server->left > 0 && --server->left == 0)
        loop_close(&udp->handle, NULL);
}

static int start(struct server *server, uint16_t port)
{
    struct loop_address address;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    int error = loop_address_parse(&address, "127.0.0.1", port);
    if (!error)
        error = loop_udp_bind(&server->udp, &address, 0);
    if (!error)
        error = loop_udp_recv_start(&server->udp, on_question);
    if (!error)
        error = loop_udp_local(&server->udp, &address);
    if (error)
        return error;
    printf("listening on %s\n", loop_address_text(&address, text));
    fflush(stdout);
    return 0;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
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
    fprintf(file, "usage: udp_time [PORT] [--count ANSWERS]\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

static int serve(struct server *server, uint16_t port)
{
    struct loop loop;
    int error = loop_init(&loop, NULL);
    if (error)
        return fail("loop_init", error);
    loop_udp_init(&loop, &server->udp);
    error = start(server, port);
    if (error)
        return fail("cannot listen", error);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct server server = {.left = 0};
    long port = 7037;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'c')
            return print_usage(option == 'h' ? stdout : stderr);
        server.left = number(optarg, 1000000);
    }
    if (optind < argc)
        port = number(argv[optind++], UINT16_MAX);
    if (optind < argc || port < 0 || server.left < 0)
        return print_usage(stderr);
    return serve(&server, (uint16_t)port);
}
