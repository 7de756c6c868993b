/* Fuzzing queries: whatever is read can be built again, field by field, and is then read as the
 * same fields; and the first of each name is what is found when one asks for it.
 *
 * A buffer as large as the text and 2 holds every field: that is promised, and given here in memory
 * of exactly that size. Text that is refused, for an escape or for too many fields, is refused at
 * the same place each time, and is of no further interest.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop/http/url.h"

#include <errno.h>
#include <string.h>

enum { ROOM = 3 * 8192 + 4096 };

static char built[ROOM];
static size_t built_size;

static void check_get(struct loop_text text, struct loop_text name)
{
    struct loop_query query;
    struct loop_text other, value;
    static char buffer[ROOM], got[ROOM];
    if (strlen(name.bytes) != name.size)
        return; /* a name with a 0 in it cannot be asked for */
    ssize_t size = loop_query_get(text, name.bytes, got, sizeof(got));
    loop_query_init(&query, text);
    while (loop_query_next(&query, &other, &value, buffer, sizeof(buffer)) == 1) {
        if (!loop_text_equal(other, name.bytes))
            continue;
        demand(size == (ssize_t)value.size && memcmp(got, value.bytes, value.size) == 0);
        return;
    }
    demand(size < 0);
}

static int build(struct loop_text text)
{
    struct loop_query query;
    struct loop_text name, value;
    char *buffer = malloc(text.size + 2);
    int result;
    demand(buffer != NULL);
    built_size = 0;
    loop_query_init(&query, text);
    while ((result = loop_query_next(&query, &name, &value, buffer, text.size + 2)) == 1) {
        ssize_t size = loop_query_add(built, built_size, sizeof(built), name, value);
        demand(size > 0);
        built_size = (size_t)size;
    }
    free(buffer);
    demand(result != -ENOBUFS);
    return result;
}

static void check_same(struct loop_text a, struct loop_text b)
{
    struct loop_query first, second;
    struct loop_text name, value, other_name, other_value;
    static char buffer[ROOM], other[ROOM];
    loop_query_init(&first, a);
    loop_query_init(&second, b);
    while (loop_query_next(&first, &name, &value, buffer, sizeof(buffer)) == 1) {
        demand(loop_query_next(&second, &other_name, &other_value, other, sizeof(other)) == 1);
        demand(name.size == other_name.size && value.size == other_value.size);
        demand(memcmp(name.bytes, other_name.bytes, name.size) == 0);
        demand(memcmp(value.bytes, other_value.bytes, value.size) == 0);
        check_get(a, name);
    }
    demand(loop_query_next(&second, &other_name, &other_value, other, sizeof(other)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct loop_text text = {(const char *)bytes, size};
    if (size > 4096)
        return 0;
    int ended = build(text);
    if (ended == 0)
        check_same(text, (struct loop_text){built, built_size});
    return 0;
}
