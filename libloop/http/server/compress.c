/* Responses compressed by gzip.
 *
 * Worth it is text of a kibibyte or more, or of unknown length; not what is encoded already, is a
 * part of something, has no body, or says "no-transform". Whoever could have got it compressed is
 * told so by Vary, compressed or not, so that caches keep the two apart; and its entity tag is
 * weak, since the bytes are no longer those that were tagged.
 *
 * A body that is ended in one piece is compressed in one piece and keeps a length. Others are
 * compressed as they are written and flushed when the callback that wrote has returned: many small
 * writes cost one flush, and an event on a stream leaves as soon as without compression.
 *
 * The level is the fastest: on the loop's thread time is dearer than bytes. The memory of a
 * compressor is fixed, and so is how many of them there are at once in the process: beyond that
 * responses go as they are, which is always right.
 *
 * SPDX-License-Identifier: MIT */
#include "server/compress.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum {
    LEVEL = 1,
    WINDOW_BITS = 14 + 16, /* 16 says gzip: with MEMORY, 128 KiB for each */
    MEMORY = 7,
    COMPRESSORS_MAX = 128,
    WORTH_IT = 1024,
    ROOM = 16 * 1024,
};

struct compressor {
    z_stream stream;
    struct exchange *exchange;
    struct loop_task flush;
    bool flushing; /* the task is queued */
};

static _Atomic int compressors;

/* --- whether --- */

static bool starts(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

/* Of "application/json; charset=utf-8" the end of the type counts, too: "+json". */
static bool is_text(const char *type)
{
    size_t size = strcspn(type, "; \t\r");
    bool structured =
        size > 5 && (starts(type + size - 5, "+json") || starts(type + size - 4, "+xml"));
    return starts(type, "text/") || starts(type, "application/json") ||
           starts(type, "application/javascript") || starts(type, "application/xml") ||
           starts(type, "application/wasm") || structured;
}

static bool forbidden(const struct exchange *exchange)
{
    const char *control = response_find(exchange, "cache-control");
    return control && memmem(control, strcspn(control, "\r"), "no-transform", 12);
}

/* Whether it would be compressed for somebody. */
static bool is_worth_it(const struct exchange *exchange, uint64_t size)
{
    int status = exchange->res.status;
    const char *type = exchange->typed ? response_find(exchange, "content-type") : NULL;
    return exchange->req.server->options.compress && !exchange->encoded && size >= WORTH_IT &&
           status != 204 && status != 206 && type && is_text(type) &&
           !response_find(exchange, "content-range") && !forbidden(exchange);
}

bool compress_would(const struct exchange *exchange, uint64_t size)
{
    return is_worth_it(exchange, size) && accepts_encoding(&exchange->req, "gzip");
}

/* --- the headers --- */

static void tell_caches(struct exchange *exchange)
{
    const char *vary = response_find(exchange, "vary");
    if (!vary || !memmem(vary, strcspn(vary, "\r"), "Accept-Encoding", 15))
        loop_http_add_header(&exchange->res, "Vary", "Accept-Encoding");
}

static int weaken_tag(struct exchange *exchange)
{
    const char *tag = response_find(exchange, "etag");
    if (!tag || tag[0] == 'W')
        return 0;
    char *weak;
    if (asprintf(&weak, "W/%.*s", (int)strcspn(tag, "\r"), tag) < 0)
        return -ENOMEM;
    int error = loop_http_set_header(&exchange->res, "ETag", weak);
    free(weak);
    return error;
}

/* A part of these bytes cannot be asked for: they are not the file's. */
static void refuse_ranges(struct exchange *exchange)
{
    if (response_find(exchange, "accept-ranges"))
        loop_http_set_header(&exchange->res, "Accept-Ranges", "none");
}

/* A tag that stayed strong would be that of other bytes: without a weak one nothing is encoded. */
static int mark_encoded(struct exchange *exchange)
{
    int error = weaken_tag(exchange);
    if (error == 0)
        error = loop_http_add_header(&exchange->res, "Content-Encoding", "gzip");
    if (error == 0)
        refuse_ranges(exchange);
    return error;
}

void compress_vary(struct exchange *exchange, uint64_t size)
{
    if (is_worth_it(exchange, size))
        tell_caches(exchange);
}

void compress_tag(struct exchange *exchange, uint64_t size)
{
    compress_vary(exchange, size);
    if (compress_would(exchange, size))
        weaken_tag(exchange);
}

/* --- all at once --- */

static bool begin(z_stream *stream)
{
    *stream = (z_stream){0};
    return deflateInit2(stream, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
}

/* NULL: no memory, or it would not be smaller. */
static char *pack(const void *bytes, size_t size, size_t *packed_size)
{
    z_stream stream;
    char *packed = malloc(size);
    if (!packed || size > UINT32_MAX || !begin(&stream)) {
        free(packed);
        return NULL;
    }
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = (Bytef *)packed;
    stream.avail_out = (uInt)size;
    int status = deflate(&stream, Z_FINISH);
    *packed_size = stream.total_out;
    deflateEnd(&stream);
    if (status == Z_STREAM_END)
        return packed;
    free(packed);
    return NULL;
}

static bool has_no_reader(const struct exchange *exchange)
{
    return !exchange->conn || exchange->answered || strcmp(exchange->req.method, "HEAD") == 0;
}

char *compress_whole(struct exchange *exchange, const void **bytes, size_t *size)
{
    bool held = exchange->length >= 0 && (uint64_t)exchange->length != *size;
    if (exchange->res.head_sent || has_no_reader(exchange) || held || exchange->trailers ||
        !is_worth_it(exchange, *size))
        return NULL;
    tell_caches(exchange);
    char *packed = NULL;
    size_t packed_size;
    if (accepts_encoding(&exchange->req, "gzip"))
        packed = pack(*bytes, *size, &packed_size);
    if (packed && mark_encoded(exchange) < 0) {
        free(packed);
        packed = NULL;
    }
    if (packed) {
        exchange->length = (int64_t)packed_size;
        *bytes = packed;
        *size = packed_size;
    }
    exchange->encoded = true; /* it is decided */
    return packed;
}

/* --- piece by piece --- */

/* Gives on what there is; false: the link took an error. */
static int squeeze(struct compressor *compressor, const void *bytes, size_t size, int flush)
{
    char room[ROOM];
    z_stream *stream = &compressor->stream;
    stream->next_in = (Bytef *)(uintptr_t)bytes;
    stream->avail_in = (uInt)size;
    int status = 0;
    do {
        stream->next_out = (Bytef *)room;
        stream->avail_out = ROOM;
        deflate(stream, flush);
        size_t made = ROOM - stream->avail_out;
        if (made > 0)
            status = response_frame(compressor->exchange, room, made);
    } while (stream->avail_out == 0 && status >= 0);
    return status;
}

static void on_flush(struct loop_task *task)
{
    struct compressor *compressor = loop_container_of(task, struct compressor, flush);
    compressor->flushing = false;
    if (compressor->exchange->conn)
        squeeze(compressor, NULL, 0, Z_SYNC_FLUSH);
}

/* Of a head and the first piece, the flush is queued before the link queues the tick that sends, so
 * that both leave together. */
static void flush_soon(struct compressor *compressor)
{
    if (compressor->flushing)
        return;
    compressor->flushing = true;
    loop_next_tick(compressor->exchange->req.server->loop, &compressor->flush, on_flush);
}

static struct compressor *new_compressor(void)
{
    if (atomic_load(&compressors) >= COMPRESSORS_MAX)
        return NULL;
    struct compressor *compressor = calloc(1, sizeof(*compressor));
    if (compressor && begin(&compressor->stream)) {
        atomic_fetch_add(&compressors, 1);
        return compressor;
    }
    free(compressor);
    return NULL;
}

void compress_free(struct compressor *compressor)
{
    if (!compressor)
        return;
    atomic_fetch_sub(&compressors, 1);
    loop_task_cancel(&compressor->flush);
    deflateEnd(&compressor->stream);
    free(compressor);
}

void compress_begin(struct exchange *exchange)
{
    if (!exchange->req.server->options.compress || exchange->res.status == 304)
        return;
    uint64_t size = exchange->length >= 0 ? (uint64_t)exchange->length : UINT64_MAX;
    bool would = compress_would(exchange, size);
    compress_vary(exchange, size);
    if (!would)
        return;
    if (strcmp(exchange->req.method, "HEAD") == 0) {
        if (mark_encoded(exchange) == 0)
            exchange->length = -1; /* of what GET would get */
        return;
    }
    struct compressor *compressor = new_compressor();
    if (!compressor || mark_encoded(exchange) < 0) {
        compress_free(compressor);
        return;
    }
    compressor->exchange = exchange;
    exchange->compressor = compressor;
    flush_soon(compressor);
}

int compress_write(struct exchange *exchange, const void *bytes, size_t size)
{
    enum { AT_ONCE = 1 << 30 }; /* zlib counts in 32 bits */
    const char *at = bytes;
    int status = 0;
    flush_soon(exchange->compressor);
    while (size > 0 && status >= 0) {
        size_t part = size < AT_ONCE ? size : AT_ONCE;
        status = squeeze(exchange->compressor, at, part, Z_NO_FLUSH);
        at += part;
        size -= part;
    }
    return status < 0 ? status : exchange->conn->wire->crowded;
}

int compress_end(struct exchange *exchange)
{
    int status = squeeze(exchange->compressor, NULL, 0, Z_FINISH);
    return status < 0 ? status : 0;
}
