/* Fuzzing requests: a stream of them, pulled out event by event.
 *
 * What comes is a head, then pieces of a body, then an end, and again; behind an error nothing. A
 * head that was let pass has names that are tokens, values without controls but tabs, one host and
 * one way to know the length of the body, and as many bytes come as were announced. However the
 * input is cut in two, the events are the same, and so is whether it is refused: with which status
 * may depend, if there are several reasons. Pieces of one body count as one.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "wire/message.h"

#include <string.h>

enum { INPUT_MAX = 2000, CUTS_MAX = 400, LOG_MAX = 64 * 1024 };

static const struct loop_http_limits limits = {.head_bytes = 512,
                                               .headers = 8,
                                               .target_bytes = 128};

struct reading {
    struct message message;
    struct head *head;
    char log[LOG_MAX];
    size_t used;
    bool in_message;
    int64_t announced, came;
};

static void put(struct reading *reading, const char *bytes, size_t size)
{
    demand(size <= sizeof(reading->log) - reading->used);
    memcpy(reading->log + reading->used, bytes, size);
    reading->used += size;
}

static void check_headers(struct reading *reading, uint32_t from)
{
    const struct head *head = reading->head;
    for (uint32_t i = from; i < head->count; i++) {
        const char *name = head->headers[i].name, *value = head->headers[i].value;
        demand(is_token(name));
        for (const char *at = value; *at; at++)
            demand((unsigned char)*at >= ' ' ? *at != 0x7f : *at == '\t');
        put(reading, name, strlen(name));
        put(reading, ": ", 2);
        put(reading, value, strlen(value));
        put(reading, "\n", 1);
    }
}

static unsigned count(const struct head *head, const char *name)
{
    unsigned found = 0;
    for (uint32_t i = 0; i < head->trailers; i++)
        found += strcmp(head->headers[i].name, name) == 0;
    return found;
}

static void on_head(struct reading *reading)
{
    const struct head *head = reading->head;
    const llhttp_t *parser = &reading->message.parser;
    demand(!reading->in_message && parser->http_major == 1 && parser->http_minor <= 1);
    demand(count(head, "host") + (parser->http_minor == 0) >= 1 && count(head, "host") <= 1);
    demand(count(head, "content-length") + count(head, "transfer-encoding") <= 1);
    demand(strlen(head->target) > 0 && !strpbrk(head->target, " \t\r\n#"));
    reading->announced = message_body_size(&reading->message);
    demand((reading->announced == -1) == (count(head, "transfer-encoding") == 1));
    reading->came = 0;
    reading->in_message = true;
    put(reading, "HEAD ", 5);
    put(reading, head->target, strlen(head->target));
    check_headers(reading, 0);
}

static void on_end(struct reading *reading)
{
    demand(reading->announced == -1 || reading->announced == reading->came);
    put(reading, "END\n", 4);
    check_headers(reading, reading->head->trailers);
    reading->in_message = false;
    head_reset(reading->head);
}

/* false: there is no more to come of it. */
static bool read_all(struct reading *reading, const uint8_t *bytes, size_t size)
{
    struct input input = {(const char *)bytes, size};
    for (;;) {
        size_t left = input.size;
        enum message_event event = message_next(&reading->message, &input);
        demand(input.size <= left);
        demand(event != MESSAGE_BODY || (reading->in_message && reading->message.piece.size > 0));
        if (event == MESSAGE_HEAD)
            on_head(reading);
        else if (event == MESSAGE_END)
            on_end(reading);
        else if (event == MESSAGE_BODY)
            put(reading, reading->message.piece.bytes, reading->message.piece.size);
        else
            return event == MESSAGE_MORE;
        reading->came += event == MESSAGE_BODY ? (int64_t)reading->message.piece.size : 0;
    }
}

static void read_cut(struct reading *reading, const uint8_t *bytes, size_t size, size_t at)
{
    message_init(&reading->message, true);
    reading->head = head_new(&limits);
    reading->message.head = reading->head;
    reading->used = 0;
    reading->in_message = false;
    bool more = read_all(reading, bytes, at) && read_all(reading, bytes + at, size - at);
    demand(more || reading->message.status >= 400);
    put(reading, more ? "MORE" : "ERROR", 4);
    head_free(reading->head);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct reading whole, cut;
    if (size > INPUT_MAX)
        return 0;
    read_cut(&whole, bytes, size, size);
    size_t step = size > CUTS_MAX ? size / CUTS_MAX : 1;
    for (size_t at = 1; at < size; at += step) {
        read_cut(&cut, bytes, size, at);
        demand(cut.used == whole.used && memcmp(cut.log, whole.log, cut.used) == 0);
    }
    return 0;
}
