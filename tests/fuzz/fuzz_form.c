/* Fuzzing forms that are built: each name and each value, of any bytes, is read as it was.
 *
 * A byte of 255 ends a text of the input; the texts are names and values in turn. What is built has
 * none but the bytes that a form may have, and is as long as its length says. There are as many
 * fields as were added, in their order, empty ones too. Other inputs than built ones are the matter
 * of fuzz_query.c.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop/http/url.h"

#include <string.h>

enum { ROOM = 16384, TEXTS = 256 };

static size_t divide(const uint8_t *bytes, size_t size, struct loop_text *texts)
{
    size_t count = 0;
    size_t start = 0;
    for (size_t i = 0; i <= size && count < TEXTS; i++) {
        if (i < size && bytes[i] != 255)
            continue;
        texts[count++] = (struct loop_text){(const char *)bytes + start, i - start};
        start = i + 1;
    }
    return count & ~(size_t)1;
}

static void check_same(struct loop_text a, struct loop_text b)
{
    demand(a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char form[ROOM], buffer[ROOM];
    struct loop_text texts[TEXTS];
    struct loop_text name, value;
    struct loop_query query;
    size_t length = 0;
    if (size > 4096)
        return 0;
    size_t count = divide(bytes, size, texts);
    for (size_t i = 0; i < count; i += 2) {
        ssize_t grown = loop_query_add(form, length, sizeof(form), texts[i], texts[i + 1]);
        demand(grown > (ssize_t)length && strlen(form) == (size_t)grown);
        length = (size_t)grown;
    }
    demand(length == 0 || strspn(form, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789*-._+%=&") == length);
    loop_query_init(&query, (struct loop_text){form, length});
    for (size_t i = 0; i < count; i += 2) {
        demand(loop_query_next(&query, &name, &value, buffer, sizeof(buffer)) == 1);
        check_same(texts[i], name);
        check_same(texts[i + 1], value);
    }
    demand(loop_query_next(&query, &name, &value, buffer, sizeof(buffer)) == 0);
    return 0;
}
