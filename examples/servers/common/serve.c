/* The frame of a server: see serve.h.
 *
 * Read it once, and copy what you need: options by getopt(3), a loop, a server, and an end that
 * waits for its clients. Everything that can fail says so on standard error, in a sentence, and the
 * program ends with a status that is not 0.
 *
 * SPDX-License-Identifier: MIT */
#include "serve.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 32 };

int serve_complain(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return -1;
}

/* --- options --- */

/* The options of every server, and then its own. */
static size_t all_options(struct serve *serve, bool *help, struct serve_option *all)
{
    const struct serve_option common[] = {
        {"port", "PORT", "where to listen; 0: any free port (8080)", &serve->port_text, NULL},
        {"host", "ADDRESS", "\"\" is every address of this machine (127.0.0.1)", &serve->host,
         NULL},
        {"cert", "FILE", "a certificate chain, PEM: speak TLS", &serve->cert, NULL},
        {"key", "FILE", "its private key, if it is not in the same file", &serve->key, NULL},
        {"log", NULL, "a line on standard error for each request", NULL, &serve->log},
        {"patient", NULL, "no time limits: for debuggers and tests", NULL, &serve->patient},
        {"help", NULL, "this", NULL, help},
    };
    size_t count = 0;
    for (; count < sizeof(common) / sizeof(common[0]); count++)
        all[count] = common[count];
    for (const struct serve_option *own = serve->options; own && own->name; own++)
        all[count++] = *own;
    return count;
}

static void print_help(const char *program, const char *about, const struct serve_option *all,
                       size_t count)
{
    printf("Usage: %s [OPTIONS]\n%s\n\n", program, about);
    for (size_t i = 0; i < count; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", all[i].name,
                 all[i].value_name ? all[i].value_name : "");
        printf("  %-18s %s\n", left, all[i].help);
    }
}

static int read_options(int argc, char **argv, const struct serve_option *all, size_t count)
{
    struct option table[OPTIONS_MAX + 1] = {{0}};
    for (size_t i = 0; i < count; i++)
        table[i] = (struct option){.name = all[i].name,
                                   .has_arg = all[i].flag ? no_argument : required_argument};
    int found, index;
    while ((found = getopt_long(argc, argv, "", table, &index)) == 0) {
        if (all[index].flag)
            *all[index].flag = true;
        else
            *all[index].value = optarg;
    }
    return found == -1 && optind == argc ? 0 : -1;
}

static int read_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number > UINT16_MAX)
        return -1;
    *port = (uint16_t)number;
    return 0;
}

/* A peer may be as slow as it likes, or stand still in a debugger. */
static void be_patient(struct serve *serve)
{
    struct loop_http_limits *limits = &serve->http.limits;
    limits->head_ns = limits->keep_alive_ns = LOOP_NEVER;
    limits->body_grace_ns = limits->write_stall_ns = LOOP_NEVER;
}

/* --- its life --- */

static void write_log(struct loop_http_server *server, const struct loop_http_request *req,
                      int error)
{
    (void)server;
    char line[1024];
    loop_http_log_line(line, sizeof(line), req, error);
    fprintf(stderr, "%s\n", line);
}

static void on_signal(struct loop_graceful *graceful, int number)
{
    struct serve *serve = loop_container_of(graceful, struct serve, graceful);
    fprintf(stderr, "signal %d: finishing what is under way\n", number);
    if (serve->drain)
        serve->drain(serve);
    loop_http_server_close(&serve->server, serve->patient ? LOOP_NEVER : 10 * LOOP_SEC, NULL);
}

static int open_tls(struct serve *serve)
{
    char why[256];
    const struct loop_tls_options options = {.server = true,
                                             .certificate_file = serve->cert,
                                             .key_file = serve->key,
                                             .alpn = "http/1.1"};
    if (!serve->cert)
        return 0;
    int error = loop_tls_context_new(&serve->http.tls, &options, why, sizeof(why));
    if (error < 0)
        fprintf(stderr, "%s\n", why);
    return error;
}

static int open_server(struct serve *serve)
{
    int error = open_tls(serve);
    if (error == 0)
        error = loop_http_server_init(&serve->loop, &serve->server, &serve->http);
    if (error == 0 && serve->open)
        error = serve->open(serve);
    serve->opened = error == 0;
    if (error == 0)
        error = loop_http_listen(&serve->server, serve->host, serve->port, 0);
    if (error == 0)
        error = loop_graceful_start(&serve->loop, &serve->graceful, LOOP_NEVER, on_signal, NULL);
    return error;
}

static void say_where(struct serve *serve)
{
    const char *host = *serve->host ? serve->host : "localhost";
    bool brackets = strchr(host, ':') != NULL;
    serve->port = loop_http_server_port(&serve->server);
    printf("listening on %s://%s%s%s:%u\n", serve->cert ? "https" : "http", brackets ? "[" : "",
           host, brackets ? "]" : "", serve->port);
    fflush(stdout);
}

static int run(struct serve *serve)
{
    int error = open_server(serve);
    bool begun = serve->server.loop != NULL; /* or there is nothing to close */
    if (error < 0)
        serve_complain("cannot listen", error);
    if (error < 0 && begun) {
        if (serve->opened && serve->drain)
            serve->drain(serve); /* what it opened may keep the loop alive */
        loop_http_server_close(&serve->server, 0, NULL);
    } else if (begun) {
        say_where(serve);
    }
    loop_run(&serve->loop, LOOP_RUN_DEFAULT);
    if (serve->close && begun)
        serve->close(serve);
    loop_tls_context_unref(serve->http.tls);
    return error < 0 || loop_fini(&serve->loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int serve(int argc, char **argv, struct serve *serve)
{
    struct serve_option all[OPTIONS_MAX];
    bool help = false;
    serve->host = serve->host ? serve->host : "127.0.0.1";
    serve->port_text = serve->port_text ? serve->port_text : "8080";
    size_t count = all_options(serve, &help, all);
    if (read_options(argc, argv, all, count) < 0 || help) {
        print_help(argv[0], serve->about, all, count);
        return help ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (read_port(serve->port_text, &serve->port) < 0) {
        fprintf(stderr, "--port %s: a port is a number up to 65535\n", serve->port_text);
        return EXIT_FAILURE;
    }
    if (serve->patient)
        be_patient(serve);
    serve->http.on_log = serve->log ? write_log : serve->http.on_log;
    int error = loop_init(&serve->loop, NULL);
    return error < 0 ? (serve_complain("no loop", error), EXIT_FAILURE) : run(serve);
}
