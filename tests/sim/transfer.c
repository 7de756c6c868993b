/* Bytes in are bytes out, in order, or somebody is told.
 *
 * Each write has a number, and each of its bytes says from which write and from which place in it
 * it comes: the upper half of the byte is the number, so that neighbours are never mistaken for
 * each other. When the kernel is handed bytes they must go on where the last ended. A write may end
 * before its end only if it was cancelled, was late or failed.
 *
 * What the library reads from the kernel must be what it tells the program, byte by byte; what a
 * copy reads on one side it must send on the other.
 *
 * SPDX-License-Identifier: MIT */
#include "program.h"

struct piece {
    struct piece *next;
    size_t size, taken;
    unsigned number;
    bool may_stop;
};

static char pattern(const struct piece *piece, size_t place)
{
    return (char)(piece->number % 16 << 4 | (place * 7 + place / 16 + piece->number / 16) % 16);
}

struct piece *piece_add(struct transfer *transfer, size_t size)
{
    struct piece **place = &transfer->pieces;
    while (*place)
        place = &(*place)->next;
    *place = calloc(1, sizeof(**place));
    (*place)->size = size;
    (*place)->number = ++transfer->pieces_made;
    return *place;
}

char *piece_bytes(const struct piece *piece)
{
    char *bytes = malloc(piece->size + 1);
    for (size_t i = 0; i < piece->size; i++)
        bytes[i] = pattern(piece, i);
    return bytes;
}

size_t piece_size(const struct piece *piece)
{
    return piece->size;
}

bool piece_is_over(const struct piece *piece)
{
    return piece->taken == piece->size;
}

void pieces_may_stop(struct transfer *transfer)
{
    for (struct piece *piece = transfer->pieces; piece; piece = piece->next)
        piece->may_stop = true;
}

size_t piece_taken(const struct piece *piece)
{
    return piece->taken;
}

void piece_may_stop(struct piece *piece)
{
    piece->may_stop = true;
}

void piece_drop(struct transfer *transfer, struct piece *piece)
{
    struct piece **place = &transfer->pieces;
    while (*place && *place != piece)
        place = &(*place)->next;
    if (!*place)
        fail("P7: a write ended that was thought to be over");
    *place = piece->next;
    free(piece);
}

void pieces_drop_all(struct transfer *transfer)
{
    while (transfer->pieces)
        piece_drop(transfer, transfer->pieces);
}

/* The first piece that this byte may be of. */
static struct piece *piece_for(struct transfer *transfer, char byte)
{
    struct piece *piece = transfer->pieces;
    for (; piece; piece = piece->next) {
        if (piece->taken == piece->size)
            continue;
        if (pattern(piece, piece->taken) == byte)
            return piece;
        if (!piece->may_stop)
            fail("P7: byte %zu of write %u was to be sent, and another was", piece->taken,
                 piece->number);
    }
    fail("P7: a byte is sent that nobody wrote");
}

static void give_up(struct transfer *transfer, size_t size)
{
    memmove(transfer->given, transfer->given + size, transfer->given_size - size);
    transfer->given_size -= size;
}

void given_check(struct transfer *transfer, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    if (size > transfer->given_size || memcmp(transfer->given, bytes, size) != 0)
        fail("P7: %zu bytes are told or sent that are not those that came (%zu)", size,
             transfer->given_size);
    give_up(transfer, size);
}

void told_sent(struct file *file, const void *bytes, size_t size)
{
    struct transfer *transfer = file->owner;
    if (!transfer || size == 0)
        return;
    if (transfer->copied_from) {
        given_check(transfer->copied_from, bytes, size);
        transfer->copied += size;
        return;
    }
    for (size_t i = 0; i < size; i++)
        piece_for(transfer, ((const char *)bytes)[i])->taken++;
}

void told_received(struct file *file, const void *bytes, size_t size)
{
    struct transfer *transfer = file->owner;
    model_moved();
    if (!transfer)
        return;
    transfer->given = realloc(transfer->given, transfer->given_size + size);
    memcpy(transfer->given + transfer->given_size, bytes, size);
    transfer->given_size += size;
}

void told_end(struct file *file, int result)
{
    struct transfer *transfer = file->owner;
    if (transfer)
        transfer->end = result;
}
