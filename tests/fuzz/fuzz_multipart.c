/* Fuzzing forms in parts: however the input is cut, and wherever it pauses, the same is told.
 *
 * An input that begins with "multipart/" is a content type; what is taken for a boundary is none
 * but bytes of one. Any other is a body, between boundaries "X", with small limits: it is parsed
 * whole, in two pieces at every place, and in single bytes with a pause after everything, each time
 * into a record of what was told, which must be the same, and so must the error.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop/http/body.h"

#include <string.h>

enum { ROOM = 65536, SIZE_MAX_CUT = 600 };

static struct record {
    char bytes[ROOM];
    size_t size;
} records[2], *record;

static int pauses;

static void note(const void *bytes, size_t size)
{
    demand(size <= sizeof(record->bytes) - record->size);
    memcpy(record->bytes + record->size, bytes, size);
    record->size += size;
}

static int on_begin(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    demand(form->parts <= 4 && part->size == 0);
    note("{", 1);
    note(part->name, strlen(part->name) + 1);
    note(part->filename ? part->filename : "-", part->filename ? strlen(part->filename) + 1 : 1);
    note(part->type, strlen(part->type) + 1);
    return pauses;
}

static int on_bytes(struct loop_multipart *form, const struct loop_multipart_part *part,
                    const void *bytes, size_t size)
{
    (void)form;
    demand(size > 0 && part->size <= 64);
    note(bytes, size);
    return pauses;
}

static int on_end(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    (void)form;
    (void)part;
    note("}", 1);
    return pauses;
}

static const struct loop_multipart_events events = {on_begin, on_bytes, on_end};

static int feed(struct loop_multipart *form, const char *bytes, size_t size)
{
    size_t used = 0;
    ssize_t result = 0;
    while (result >= 0 && used < size) {
        result = loop_multipart_feed(form, bytes + used, size - used);
        used += result > 0 ? (size_t)result : 0;
    }
    return result < 0 ? (int)result : 0;
}

static int parse(const char *bytes, size_t size, size_t at, size_t step, struct record *into)
{
    static const struct loop_multipart_limits limits = {.part_bytes = 64,
                                                        .total_bytes = 500,
                                                        .parts = 4,
                                                        .header_bytes = 128};
    struct loop_multipart form = {0};
    record = into;
    record->size = 0;
    demand(loop_multipart_init(&form, "multipart/form-data; boundary=X", &limits, &events) == 0);
    int error = feed(&form, bytes, at);
    while (!error && at < size) {
        size_t some = step < size - at ? step : size - at;
        error = feed(&form, bytes + at, some);
        at += some;
    }
    int ended = loop_multipart_finish(&form);
    demand(!error || ended == error);
    loop_multipart_fini(&form);
    return ended;
}

static void check_same(int first, int second)
{
    demand(first == second && records[0].size == records[1].size);
    demand(memcmp(records[0].bytes, records[1].bytes, records[0].size) == 0);
}

static void check_type(const char *bytes, size_t size)
{
    struct loop_multipart form = {0};
    char type[SIZE_MAX_CUT + 1];
    memcpy(type, bytes, size);
    type[size] = '\0';
    if (loop_multipart_init(&form, type, NULL, &events) == 0) {
        size_t length = strlen(form.delimiter);
        demand(length == form.delimiter_size && length >= 5 && length <= 74);
        demand(!strpbrk(form.delimiter + 4, " \r\n\";<>@"));
    }
    loop_multipart_fini(&form);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    const char *bytes = (const char *)input;
    if (size > SIZE_MAX_CUT)
        return 0;
    if (size > 10 && memcmp(bytes, "multipart/", 10) == 0) {
        check_type(bytes, size);
        return 0;
    }
    pauses = 0;
    int ended = parse(bytes, size, size, 1, &records[0]);
    for (size_t at = 0; at < size; at++)
        check_same(ended, parse(bytes, size, at, size, &records[1]));
    pauses = LOOP_MULTIPART_PAUSE;
    check_same(ended, parse(bytes, size, 0, 1, &records[1]));
    check_same(ended, parse(bytes, size, size / 2, size, &records[1]));
    return 0;
}
