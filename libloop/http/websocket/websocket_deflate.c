/* Messages that are deflated (RFC 7692): between the wire and those who hear it, if it was agreed.
 *
 * The wire lets pieces of a deflated message through with WEBSOCKET_PACKED in their type. They come
 * here, since the one who hears the wire is then what this file puts there, and go on inflated.
 * A connection without the extension has none of this, neither memory nor a test of a flag.
 *
 * No window is kept from one message to the next, in either direction. So a compressor lives as
 * long as the call that sends, with a window no larger than the message, 128 KiB at most; and an
 * inflater, about 40 KiB, from the first piece of a message to its last. Between messages there is
 * struct websocket_deflate, 152 bytes.
 *
 * A byte can inflate to a thousand. So what comes out goes on in rooms of fixed size, each counted
 * against the limit of messages, and after a quarter of a mebibyte the socket rests for a turn, its
 * link unread. What is left of the input then is where wslay has it, which reads on no earlier.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LEVEL = 1, /* on the loop's thread time is dearer than bytes */
    BITS_MIN = 9,
    BITS_MAX = 14,
    INFLATE_BITS = 15,
    MEMORY_BEHIND = 7, /* MEMORY is so much less than the bits: tables as large as the window */
    WORTH_IT = 1024,   /* less fits into one packet anyway */
    TAIL_SIZE = 4,
    ROOM = 16 * 1024,
    REST_AFTER = 256 * 1024,
};

/* The end of an empty block, which every message would end with: it is left out. RFC 7692, 7.2. */
static const uint8_t tail[TAIL_SIZE] = {0, 0, 0xff, 0xff};

struct websocket_deflate {
    struct loop_websocket *ws;
    uint8_t bits;                  /* of the window that the peer grants us */
    enum loop_websocket_type type; /* of the message under way */
    bool inflating;                /* the stream is there: a message is under way */
    bool pending;                  /* and there is more to come of the piece that came last */
    bool ends;                     /* which is its last */
    bool tailed;                   /* and the tail has been given */
    bool whole;                    /* and blocks have ended where they should */
    bool dropping;                 /* nobody wants messages any more */
    bool garbled;                  /* the verdict is ours */
    uint64_t size;                 /* of the message, inflated, so far */
    size_t since_rest;
    z_stream stream;
};

static struct websocket_deflate *deflate_of(const struct loop_websocket *ws)
{
    return ws->wire->owner;
}

/* --- inflating --- */

static bool refuse(struct websocket_deflate *deflate, unsigned code)
{
    deflate->ws->wire->verdict = code;
    deflate->pending = false;
    return false;
}

static bool begin_message(struct websocket_deflate *deflate)
{
    deflate->size = 0;
    deflate->stream = (z_stream){0};
    deflate->inflating = inflateInit2(&deflate->stream, -INFLATE_BITS) == Z_OK;
    return deflate->inflating || refuse(deflate, LOOP_WEBSOCKET_INTERNAL_ERROR);
}

static void end_message(struct websocket_deflate *deflate)
{
    if (deflate->inflating)
        inflateEnd(&deflate->stream);
    deflate->inflating = false;
}

/* A step. A final block may come in the middle: behind it another stream begins (7.2.3.4). False:
 * this is not what deflating makes. */
static bool step(struct websocket_deflate *deflate)
{
    int status = inflate(&deflate->stream, Z_SYNC_FLUSH);
    if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END)
        return false;
    deflate->whole = status == Z_STREAM_END || (deflate->stream.data_type & 128);
    return status != Z_STREAM_END || inflateReset(&deflate->stream) == Z_OK;
}

/* As much as there is room for; nothing is pending once there is room left over. */
static bool fill(struct websocket_deflate *deflate, char room[ROOM])
{
    z_stream *stream = &deflate->stream;
    stream->next_out = (Bytef *)room;
    stream->avail_out = ROOM;
    do {
        if (stream->avail_in == 0 && deflate->ends && !deflate->tailed) {
            deflate->tailed = true;
            stream->next_in = (Bytef *)(uintptr_t)tail;
            stream->avail_in = TAIL_SIZE;
        }
        if (!step(deflate))
            return false;
    } while (stream->avail_out > 0 &&
             (stream->avail_in > 0 || (deflate->ends && !deflate->tailed)));
    deflate->pending = stream->avail_out == 0;
    return deflate->pending || !deflate->ends || deflate->whole;
}

/* 0, or the code to close with. */
static unsigned check(struct websocket_deflate *deflate, const char *bytes, size_t size)
{
    struct websocket_wire *wire = deflate->ws->wire;
    bool ends = deflate->ends && !deflate->pending;
    if (size > wire->limit - deflate->size)
        return LOOP_WEBSOCKET_TOO_BIG;
    deflate->size += size;
    if (deflate->type == LOOP_WEBSOCKET_TEXT &&
        (!utf8_feed(&wire->utf8, bytes, size) || (ends && !utf8_whole(&wire->utf8))))
        return LOOP_WEBSOCKET_BAD_DATA;
    return 0;
}

/* One room more. False: read no further now. */
static bool go_on(struct websocket_deflate *deflate)
{
    char room[ROOM];
    if (!fill(deflate, room)) {
        deflate->garbled = true;
        return refuse(deflate, LOOP_WEBSOCKET_BAD_DATA);
    }
    size_t size = ROOM - deflate->stream.avail_out;
    unsigned code = check(deflate, room, size);
    if (code != 0)
        return refuse(deflate, code);
    bool ends = deflate->ends && !deflate->pending;
    if (ends)
        end_message(deflate);
    deflate->since_rest += size;
    return (size == 0 && !ends) ||
           websocket_ear.piece(deflate->ws, deflate->type, room, size, ends);
}

static void on_rested(struct loop_task *task)
{
    struct loop_websocket *ws = loop_container_of(task, struct loop_websocket, resuming);
    websocket_clear(ws, WEBSOCKET_RESUMING);
    websocket_read_on(ws);
}

/* Others first: reading goes on in the next turn. */
static bool rest(struct websocket_deflate *deflate)
{
    struct loop_websocket *ws = deflate->ws;
    deflate->since_rest = 0;
    link_pause(ws->link);
    if (!websocket_is(ws, WEBSOCKET_RESUMING)) {
        websocket_set(ws, WEBSOCKET_RESUMING);
        loop_immediate(ws->loop, &ws->resuming, on_rested);
    }
    return false;
}

static bool inflate_pending(struct websocket_deflate *deflate)
{
    struct loop_websocket *ws = deflate->ws;
    bool more;
    do {
        more = go_on(deflate);
        if (deflate->dropping)
            return more;
        if (deflate->since_rest >= REST_AFTER)
            more = rest(deflate);
    } while (more && deflate->pending);
    websocket_clear(ws, WEBSOCKET_INFLATING);
    if (deflate->pending)
        websocket_set(ws, WEBSOCKET_INFLATING);
    return more;
}

static bool inflate_piece(struct websocket_deflate *deflate, enum loop_websocket_type type,
                          const char *bytes, size_t size, bool ends)
{
    if (deflate->dropping)
        return true;
    if (!deflate->inflating && !begin_message(deflate))
        return false;
    deflate->type = type;
    deflate->ends = ends;
    deflate->tailed = false;
    deflate->stream.next_in = (Bytef *)(uintptr_t)bytes;
    deflate->stream.avail_in = (uInt)size; /* at most wslay's buffer */
    return inflate_pending(deflate);
}

void websocket_inflate_on(struct loop_websocket *ws)
{
    inflate_pending(deflate_of(ws));
    if (ws->wire->verdict != 0 && !websocket_is(ws, WEBSOCKET_DEAF))
        websocket_fail(ws, ws->wire->verdict);
}

void websocket_inflate_drop(struct loop_websocket *ws)
{
    deflate_of(ws)->dropping = true;
    websocket_clear(ws, WEBSOCKET_INFLATING);
}

bool websocket_is_garbled(const struct loop_websocket *ws)
{
    return websocket_is(ws, WEBSOCKET_DEFLATES) && deflate_of(ws)->garbled;
}

/* --- between the wire and the socket --- */

static bool on_piece(void *owner, enum loop_websocket_type type, const char *bytes, size_t size,
                     bool ends)
{
    struct websocket_deflate *deflate = owner;
    unsigned plain = (unsigned)type & ~(unsigned)WEBSOCKET_PACKED;
    if (plain == (unsigned)type)
        return websocket_ear.piece(deflate->ws, type, bytes, size, ends);
    return inflate_piece(deflate, (enum loop_websocket_type)plain, bytes, size, ends);
}

static bool on_control(void *owner, unsigned opcode, const char *bytes, size_t size)
{
    struct websocket_deflate *deflate = owner;
    return websocket_ear.control(deflate->ws, opcode, bytes, size);
}

static int on_write(void *owner, const void *bytes, size_t size)
{
    struct websocket_deflate *deflate = owner;
    return websocket_ear.write(deflate->ws, bytes, size);
}

int websocket_deflate_begin(struct loop_websocket *ws, const struct websocket_terms *terms)
{
    static const struct websocket_ear ear = {.piece = on_piece,
                                             .control = on_control,
                                             .write = on_write};
    struct websocket_deflate *deflate = calloc(1, sizeof(*deflate));
    if (!deflate)
        return -ENOMEM;
    deflate->ws = ws;
    deflate->bits = terms->bits;
    ws->wire->owner = deflate;
    ws->wire->ear = &ear;
    ws->wire->packs = true;
    websocket_set(ws, WEBSOCKET_DEFLATES);
    return 0;
}

void websocket_deflate_free(struct loop_websocket *ws)
{
    if (!websocket_is(ws, WEBSOCKET_DEFLATES))
        return;
    end_message(deflate_of(ws));
    free(deflate_of(ws));
}

/* --- deflating --- */

/* No larger than the message; 0: nothing could be gained. */
static unsigned window_of(size_t size)
{
    unsigned bits = BITS_MIN;
    if (size < WORTH_IT || size > LOOP_WRITE_MAX)
        return 0;
    while (bits < BITS_MAX && (size_t)1 << bits < size)
        bits++;
    return bits;
}

/* False: it has not become smaller. */
static bool squeeze(z_stream *stream, const void *bytes, size_t size,
                    struct websocket_packed *packed)
{
    stream->next_in = (Bytef *)(uintptr_t)bytes;
    stream->avail_in = (uInt)size;
    stream->next_out = (Bytef *)packed->bytes;
    stream->avail_out = (uInt)size;
    if (deflate(stream, Z_SYNC_FLUSH) != Z_OK || stream->avail_out == 0)
        return false;
    packed->size = size - stream->avail_out - TAIL_SIZE;
    return true;
}

void websocket_pack(struct websocket_packed *packed, const void *bytes, size_t size, unsigned bits)
{
    z_stream stream = {0};
    unsigned wanted = window_of(size);
    *packed = (struct websocket_packed){.bits = wanted < bits ? wanted : bits};
    if (packed->bits < BITS_MIN)
        return;
    packed->bytes = malloc(size);
    bool good = packed->bytes &&
                deflateInit2(&stream, LEVEL, Z_DEFLATED, -(int)packed->bits,
                             (int)packed->bits - MEMORY_BEHIND, Z_DEFAULT_STRATEGY) == Z_OK;
    good = good && squeeze(&stream, bytes, size, packed);
    deflateEnd(&stream);
    if (good)
        return;
    free(packed->bytes);
    packed->bytes = NULL;
}

unsigned websocket_deflate_bits(const struct loop_websocket *ws)
{
    return websocket_is(ws, WEBSOCKET_DEFLATES) ? deflate_of(ws)->bits : 0;
}

int websocket_deflate_send(struct loop_websocket *ws, enum loop_websocket_type type,
                           const void *bytes, size_t size)
{
    struct websocket_packed packed;
    websocket_pack(&packed, bytes, size, deflate_of(ws)->bits);
    if (!packed.bytes)
        return websocket_frame(ws, type, bytes, size, true);
    int status = -ENOBUFS;
    if (websocket_fits(ws, packed.size))
        status = websocket_wire_write(ws->wire, (unsigned)type | WEBSOCKET_PACKED, packed.bytes,
                                      packed.size, true);
    free(packed.bytes);
    return status;
}
