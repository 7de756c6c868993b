/* Fuzzing what a server is sent before anybody has proved to be somebody: each input is what a
 * client sends, byte for byte, from its first hello on. It comes whole, and again in pieces of one
 * byte and of a size that the input chooses; each time the server must come to an end of the
 * handshake or wait for more, tell the same, and give everything back.
 *
 * No input can have guessed the server's half of the keys, so what is behind the hello is refused;
 * what is to be found is in the parsing of records, hellos and extensions, and in what we do with
 * names and protocols.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "../http/tls_certs.h"

#include "loop.h"
#include "loop/tls.h"

#include <string.h>

struct outcome {
    bool told;
    int status;
    char text[128];
};

static struct loop_tls_context *context;
static struct loop loop;
static struct loop_tls tls;
static struct outcome outcome;

static void on_handshake(struct loop_tls *end, int status)
{
    if (status == -ECANCELED)
        return;
    demand(!outcome.told);
    outcome.told = true;
    outcome.status = status;
    strcpy(outcome.text, loop_tls_error_text(end));
}

static void on_answer(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)stream;
    (void)size;
    (void)bytes;
}

static void prepare(void)
{
    certs_make();
    struct loop_tls_host host = {"*.example", certs_path("a.pem"), NULL};
    struct loop_tls_options options = {.server = true,
                                       .certificate_file = certs_path("server.pem"),
                                       .hosts = &host,
                                       .host_count = 1,
                                       .alpn = "h2,http/1.1"};
    demand(loop_init(&loop, NULL) == 0);
    demand(loop_tls_context_new(&context, &options, NULL, 0) == 0);
    certs_remove();
}

/* In pieces of piece bytes. */
static struct outcome feed(const uint8_t *bytes, size_t size, size_t piece)
{
    struct loop_pipe ours, theirs;
    loop_pipe_init(&loop, &ours);
    loop_pipe_init(&loop, &theirs);
    memset(&outcome, 0, sizeof(outcome));
    demand(loop_pipe_pair(&ours, &theirs) == 0);
    demand(loop_tls_start(&tls, &ours.stream, context, NULL, on_handshake) == 0);
    demand(loop_read_start(&theirs.stream, on_answer) == 0);
    for (size_t at = 0; at < size && !outcome.told; at += piece) {
        loop_write_copy(&theirs.stream, bytes + at, piece < size - at ? piece : size - at);
        loop_run(&loop, LOOP_RUN_NOWAIT);
    }
    loop_tls_close(&tls, NULL);
    loop_close(&ours.handle, NULL);
    loop_close(&theirs.handle, NULL);
    demand(loop_run(&loop, LOOP_RUN_DEFAULT) == 0);
    return outcome;
}

/* A second later record may be seen in the same read, or not: the first error is the same. */
static void demand_same(const struct outcome *a, const struct outcome *b)
{
    demand(a->told == b->told && a->status == b->status && strcmp(a->text, b->text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!context)
        prepare();
    if (size == 0 || size > 2000)
        return 0;
    struct outcome whole = feed(bytes, size, size);
    struct outcome cut = feed(bytes, size, 1);
    demand_same(&whole, &cut);
    cut = feed(bytes, size, 1 + bytes[size - 1]);
    demand_same(&whole, &cut);
    return 0;
}
