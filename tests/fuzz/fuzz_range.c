/* Fuzzing the small grammars of static files: ranges, dates, tags that are compared, and what
 * encodings a client takes.
 *
 * A part lies inside of what there is, whatever the numbers. A date that was read can be written,
 * and is then read as the same. A weight is between none and full. The first eight bytes of an
 * input are the size of the file, the rest is the text of a header.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "server/compress.h"
#include "files/files.h"

#include <string.h>

static void check_range(const char *text, uint64_t size)
{
    uint64_t first = 0, last = 0;
    enum range range = range_parse(text, size, &first, &last);
    demand(range != RANGE_PART || (first <= last && last < size));
    demand(range == RANGE_ALL || range == RANGE_PART || range == RANGE_NONE);
}

static void check_date(const char *text)
{
    char written[HTTP_DATE_SIZE];
    time_t seconds, again;
    if (!http_date_read(text, &seconds))
        return;
    http_date_write(seconds, written);
    demand(strlen(written) == HTTP_DATE_SIZE - 1);
    demand(http_date_read(written, &again) && again == seconds);
}

static void check_conditions(const char *text)
{
    static const char *const names[] = {"if-match", "if-none-match", "if-modified-since",
                                        "if-unmodified-since", "if-range"};
    const struct validators of = {"\"1-2-3\"", 784111777};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct loop_http_header header = {names[i], text};
        const struct loop_http_request req = {.headers = &header, .header_count = 1};
        enum condition condition = condition_check(&req, &of);
        demand(condition != CONDITION_NOT_MODIFIED || i == 1 || i == 2);
        demand(condition != CONDITION_FAILED || i == 0 || i == 3);
        demand(condition_allows_range(&req, &of) || i == 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint64_t file_size = 0;
    if (size < sizeof(file_size))
        return 0;
    memcpy(&file_size, bytes, sizeof(file_size));
    char *text = malloc(size - sizeof(file_size) + 1);
    demand(text != NULL);
    memcpy(text, bytes + sizeof(file_size), size - sizeof(file_size));
    text[size - sizeof(file_size)] = '\0';
    check_range(text, file_size);
    check_range(text, file_size % 100);
    check_date(text);
    check_conditions(text);
    int weight = encoding_weight(text, "gzip");
    demand(weight >= 0 && weight <= 1000);
    free(text);
    return 0;
}
