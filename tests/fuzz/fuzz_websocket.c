/* Fuzzing the frames of WebSockets. The first byte says which end reads, what limit a message has,
 * and whether the ear stops after every event; the rest is what the peer sends. However it is cut,
 * into two pieces at any place or into single bytes, the same messages and control frames come out
 * and the same verdict. Where pieces of a message are cut does not count, nor how much was told of
 * one that turned out to be bad.
 *
 * What comes out obeys: no message is over the limit, text is UTF-8 by the measure of a second,
 * plain decoder, control frames are small. And what one end writes of those bytes the other reads
 * as it was. As a list of extensions the bytes are agreed on only with a window that there is, and
 * our client believes our server's answer.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "websocket/websocket.h"

#include <string.h>

enum { WORDS_MAX = 64 * 1024, SPLIT_MAX = 200 };

/* What was heard: "T" and the bytes of a text, and so on, one behind the other. */
struct transcript {
    char bytes[WORDS_MAX];
    size_t size;
    size_t begin; /* of the message under way */
    uint64_t limit;
    bool stops;
};

static void note(struct transcript *transcript, const void *bytes, size_t size)
{
    demand(transcript->size + size <= sizeof(transcript->bytes));
    if (size > 0)
        memcpy(transcript->bytes + transcript->size, bytes, size);
    transcript->size += size;
}

/* By the definition: a number of the Unicode range, in the shortest form, and no surrogate. */
static bool plain_utf8(const unsigned char *at, size_t size)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    while (size > 0) {
        unsigned more = *at < 0x80 ? 0 : *at >> 5 == 6 ? 1 : *at >> 4 == 14 ? 2 : 3;
        uint32_t number = more == 0 ? *at : *at & (0x3fU >> more);
        if (more >= size || (more == 3 && *at >> 3 != 30))
            return false;
        for (unsigned i = 1; i <= more; i++) {
            if (at[i] >> 6 != 2)
                return false;
            number = number << 6 | (at[i] & 0x3f);
        }
        if (number < least[more] || number > 0x10ffff || (number >= 0xd800 && number < 0xe000))
            return false;
        at += more + 1;
        size -= more + 1;
    }
    return true;
}

static bool on_piece(void *owner, enum loop_websocket_type type, const char *bytes, size_t size,
                     bool ends)
{
    struct transcript *transcript = owner;
    note(transcript, bytes, size);
    const unsigned char *message = (unsigned char *)transcript->bytes + transcript->begin;
    size_t whole = transcript->size - transcript->begin;
    demand(whole <= transcript->limit);
    demand(!ends || type != LOOP_WEBSOCKET_TEXT || plain_utf8(message, whole));
    if (ends) {
        note(transcript, type == LOOP_WEBSOCKET_TEXT ? "T" : "B", 1);
        transcript->begin = transcript->size;
    }
    return !transcript->stops;
}

/* Control frames come between the pieces of a message: they are kept in front of it. */
static bool on_control(void *owner, unsigned opcode, const char *bytes, size_t size)
{
    struct transcript *transcript = owner;
    size_t begin = transcript->begin;
    demand(size <= 125 && opcode >= 8 && opcode <= 10);
    demand(transcript->size + size + 1 <= sizeof(transcript->bytes));
    memmove(transcript->bytes + begin + size + 1, transcript->bytes + begin,
            transcript->size - begin);
    transcript->bytes[begin] = (char)opcode;
    memcpy(transcript->bytes + begin + 1, bytes, size);
    transcript->begin += size + 1;
    transcript->size += size + 1;
    return !transcript->stops;
}

static int on_write(void *owner, const void *bytes, size_t size)
{
    note(owner, bytes, size);
    return 0;
}

static const struct websocket_ear ear = {.piece = on_piece,
                                         .control = on_control,
                                         .write = on_write};

static void feed(struct websocket_wire *wire, const char *bytes, size_t size)
{
    size_t used = 0;
    while (used < size && wire->verdict == 0) {
        size_t more = websocket_wire_read(wire, bytes + used, size - used);
        demand((more > 0 || wire->verdict != 0) && more <= size - used);
        used += more;
    }
}

/* The whole in two pieces, or, if step is not 0, in pieces of that size. The verdict. */
static unsigned read_all(struct transcript *transcript, bool client, const char *bytes, size_t size,
                         size_t cut, size_t step)
{
    transcript->size = transcript->begin = 0;
    struct websocket_wire *wire = websocket_wire_new(&ear, transcript, client, transcript->limit);
    demand(wire != NULL);
    for (size_t at = 0; step > 0 && at < size; at += step)
        feed(wire, bytes + at, step < size - at ? step : size - at);
    if (step == 0) {
        feed(wire, bytes, cut);
        feed(wire, bytes + cut, size - cut);
    }
    unsigned verdict = wire->verdict;
    if (verdict != 0)
        transcript->size = transcript->begin;
    websocket_wire_free(wire);
    return verdict;
}

static struct transcript whole, other, frames;

static void check_cuts(bool client, const char *bytes, size_t size)
{
    unsigned verdict = read_all(&whole, client, bytes, size, size, 0);
    for (size_t cut = 0; cut <= size && size <= SPLIT_MAX; cut++) {
        demand(read_all(&other, client, bytes, size, cut, 0) == verdict);
        demand(other.size == whole.size && memcmp(other.bytes, whole.bytes, whole.size) == 0);
    }
    demand(read_all(&other, client, bytes, size, 0, 1) == verdict);
    demand(other.size == whole.size && memcmp(other.bytes, whole.bytes, whole.size) == 0);
}

/* What a client writes a server reads, and the other way round. */
static void check_round_trip(bool client, const char *bytes, size_t size)
{
    frames.size = 0;
    struct websocket_wire *writer = websocket_wire_new(&ear, &frames, !client, 0);
    demand(writer != NULL);
    demand(websocket_wire_write(writer, LOOP_WEBSOCKET_BINARY, bytes, size / 2, false) == 0);
    demand(websocket_wire_write(writer, WSLAY_CONTINUATION_FRAME, bytes + size / 2, size - size / 2,
                                true) == 0);
    websocket_wire_free(writer);
    whole.limit = size;
    demand(read_all(&whole, client, frames.bytes, frames.size, 0, 0) == 0);
    demand(whole.size == size + 1 && memcmp(whole.bytes, bytes, size) == 0);
}

/* As what the other end says of deflated messages: never agreed on by what is no list. */
static void check_extensions(const char *bytes, size_t size)
{
    char list[8192], line[WEBSOCKET_ANSWER_SIZE];
    struct websocket_terms offered = {0}, answered = {0};
    memcpy(list, bytes, size);
    list[size] = '\0';
    if (websocket_offers_read(list, &offered) == 0 && offered.agreed) {
        demand(offered.bits >= 8 && offered.bits <= 15);
        websocket_answer_print(&offered, line);
        line[strlen(line) - 2] = '\0';
        demand(websocket_answer_read(strchr(line, ' ') + 1, &answered) == 0);
        demand(answered.bits == 15);
        answered = (struct websocket_terms){0};
    }
    demand(websocket_answer_read(list, &answered) < 0 || offered.agreed);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1 || size > 8192)
        return 0;
    bool client = bytes[0] & 1;
    whole.stops = bytes[0] & 2;
    other.stops = bytes[0] & 4;
    whole.limit = other.limit = (uint64_t)(bytes[0] >> 3) * (bytes[0] & 8 ? 1000 : 3);
    check_cuts(client, (const char *)bytes + 1, size - 1);
    check_round_trip(client, (const char *)bytes + 1, size - 1);
    check_extensions((const char *)bytes + 1, size - 1);
    return 0;
}
