/* fetch: what is at a URL, as curl would bring it.
 *
 *     ./run example fetch http://example.org/
 *     ./run example fetch --head https://example.org/            the head alone
 *     ./run example fetch -o page.html https://example.org/      to a file; at a terminal it says
 *                                                                how far it is
 *
 * The body goes from the connection to the file as it comes. Where the file is slower, a full pipe
 * for instance, the call is paused, and soon the server has to wait: however large the body, few of
 * its bytes are in memory. Redirects are followed, gzip is unpacked, and with https the server has
 * to prove its name to whom the system trusts, or to the authority in --ca FILE.
 *
 * A status from 400 on is an answer, which is printed, and makes the program fail. Ctrl-C cancels
 * the call.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>
#include <loop/http/client.h>
#include <loop/tls.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct program {
    struct loop loop;
    struct loop_http_client client;
    struct loop_http_call call;
    struct loop_tls_context *tls;
    struct loop_file out;
    struct loop_shutdown written;
    struct loop_timer progress;
    struct loop_signal interrupt;
    const char *url, *path, *ca;
    bool head, shows_progress;
    bool refused; /* by the server: 400 and more */
    bool failed;
};

static void complain(struct program *program, const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    program->failed = true;
}

static void show(const struct program *program)
{
    const struct loop_http_call *call = &program->call;
    if (!program->shows_progress)
        return;
    if (call->body_size > 0)
        fprintf(stderr, "\r%3d %% of ", (int)(call->body_read * 100 / (uint64_t)call->body_size));
    fprintf(stderr, "%s%lld KiB", call->body_size > 0 ? "" : "\r",
            (long long)(call->body_size > 0 ? (uint64_t)call->body_size : call->body_read) / 1024);
}

/* The life of a call. */

static void on_head(struct loop_http_call *call)
{
    struct program *program = call->data;
    program->refused = call->status >= 400;
    if (!program->head)
        return;
    printf("HTTP/1.1 %d %s\n", call->status, call->reason);
    for (size_t i = 0; i < call->header_count; i++)
        printf("%s: %s\n", call->headers[i].name, call->headers[i].value);
}

static void on_body(struct loop_http_call *call, const void *bytes, size_t size)
{
    struct program *program = call->data;
    int status = loop_write_copy(&program->out.stream, bytes, size);
    if (status == 1)
        loop_http_call_pause(call);
    if (status >= 0)
        return;
    complain(program, program->path ? program->path : "standard output", status);
    loop_http_call_cancel(call);
}

static void on_drain(struct loop_stream *stream)
{
    struct program *program = loop_container_of(stream, struct program, out.stream);
    loop_http_call_resume(&program->call);
}

static void on_written(struct loop_shutdown *shutdown, int status)
{
    struct program *program = loop_container_of(shutdown, struct program, written);
    if (status < 0 && !program->failed)
        complain(program, program->path ? program->path : "standard output", status);
    loop_close(&program->out.handle, NULL);
}

static void on_end(struct loop_http_call *call, int status)
{
    struct program *program = call->data;
    show(program);
    if (program->shows_progress)
        fprintf(stderr, "\n");
    if (status < 0 && !program->failed)
        complain(program, call->url, status);
    loop_timer_stop(&program->progress);
    loop_signal_stop(&program->interrupt);
    loop_http_client_close(&program->client, NULL);
    if (loop_shutdown(&program->out.stream, &program->written, on_written) < 0)
        loop_close(&program->out.handle, NULL);
}

/* Beside it. */

static void on_progress(struct loop_timer *timer)
{
    show(loop_container_of(timer, struct program, progress));
}

static void on_interrupt(struct loop_signal *signal, int number)
{
    struct program *program = loop_container_of(signal, struct program, interrupt);
    (void)number;
    loop_http_call_cancel(&program->call);
}

/* Its beginning. */

static int open_output(struct program *program)
{
    int fd = program->path ? open(program->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                           : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    loop_file_init(&program->loop, &program->out);
    int error = loop_file_open(&program->out, fd, -1);
    if (error)
        close(fd);
    else
        loop_stream_set_marks(&program->out.stream, 0, 0, 0, on_drain);
    return error;
}

static int ask(struct program *program)
{
    const struct loop_http_client_options options = {.tls = program->tls};
    const struct loop_http_call_options request = {
        .url = program->url,
        .method = program->head ? "HEAD" : NULL,
        .decode = true,
        .on_head = on_head,
        .on_body = on_body,
        .on_end = on_end,
    };
    program->call.data = program;
    int error = loop_http_client_init(&program->loop, &program->client, &options);
    if (!error)
        error = loop_http_call_start(&program->client, &program->call, &request);
    if (error)
        loop_http_client_close(&program->client, NULL);
    return error;
}

static int begin(struct program *program)
{
    int error = open_output(program);
    if (error) {
        complain(program, program->path ? program->path : "standard output", error);
        return error;
    }
    error = ask(program);
    if (error) {
        complain(program, program->url, error);
        loop_close(&program->out.handle, NULL);
        return error;
    }
    loop_timer_init(&program->loop, &program->progress);
    if (program->shows_progress)
        loop_timer_start(&program->progress, 100 * LOOP_MS, 100 * LOOP_MS, on_progress);
    loop_signal_init(&program->loop, &program->interrupt);
    return loop_signal_start(&program->interrupt, SIGINT, on_interrupt);
}

static int run(struct program *program)
{
    char why[200];
    const struct loop_tls_options tls = {.ca_file = program->ca};
    if (loop_tls_context_new(&program->tls, &tls, why, sizeof(why)) < 0) {
        fprintf(stderr, "%s\n", why);
        return EXIT_FAILURE;
    }
    int error = loop_init(&program->loop, NULL);
    if (error) {
        complain(program, "fetch", error);
        return EXIT_FAILURE;
    }
    error = begin(program);
    loop_run(&program->loop, LOOP_RUN_DEFAULT);
    loop_pool_shutdown();
    loop_tls_context_unref(program->tls);
    bool failed = program->refused || program->failed || error;
    return loop_fini(&program->loop) < 0 || failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int usage(FILE *to, int status)
{
    fprintf(to, "usage: fetch [--head] [--progress] [--ca FILE] [-o FILE] URL\n");
    return status;
}

int main(int argc, char **argv)
{
    static struct program program;
    static const struct option options[] = {{"head", no_argument, NULL, 'h'},
                                            {"progress", no_argument, NULL, 'p'},
                                            {"ca", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'u'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        if (option == 'h')
            program.head = true;
        else if (option == 'p')
            program.shows_progress = true;
        else if (option == 'c')
            program.ca = optarg;
        else if (option == 'o')
            program.path = optarg;
        else
            return option == 'u' ? usage(stdout, EXIT_SUCCESS) : usage(stderr, 2);
    }
    if (optind != argc - 1)
        return usage(stderr, 2);
    program.url = argv[optind];
    program.shows_progress = program.shows_progress || (program.path && isatty(STDERR_FILENO));
    return run(&program);
}
