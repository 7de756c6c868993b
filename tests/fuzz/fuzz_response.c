/* Fuzzing responses, as a client reads them: a stream of them, pulled out event by event, and then
 * its end. The first byte says whether they answer HEAD.
 *
 * A head that was let pass has names that are tokens, values without controls but tabs, and at most
 * one way to know the length of the body; as many bytes come as were announced; what has no body
 * brings none. Without a length the body is over when the stream is, and only then is an end that
 * the message did not tell itself. However the input is cut in two, the events are the same, and so
 * is whether it is refused. Pieces of one body count as one.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "wire/message.h"

#include <string.h>

enum { INPUT_MAX = 2000, CUTS_MAX = 400, LOG_MAX = 64 * 1024 };

static const struct loop_http_limits limits = {.head_bytes = 512, .headers = 8};

struct reading {
    struct message message;
    struct head *head;
    char log[LOG_MAX];
    size_t used;
    bool answers_head; /* the method was HEAD */
    bool in_message, bodiless;
    int64_t announced, came;
};

static void put(struct reading *reading, const char *bytes, size_t size)
{
    demand(size <= sizeof(reading->log) - reading->used);
    memcpy(reading->log + reading->used, bytes, size);
    reading->used += size;
}

static void put_text(struct reading *reading, const char *text)
{
    put(reading, text, strlen(text));
}

static void check_headers(struct reading *reading, uint32_t from)
{
    const struct head *head = reading->head;
    for (uint32_t i = from; i < head->count; i++) {
        demand(is_token(head->headers[i].name));
        for (const char *at = head->headers[i].value; *at; at++)
            demand((unsigned char)*at >= ' ' ? *at != 0x7f : *at == '\t');
        put_text(reading, head->headers[i].name);
        put_text(reading, ": ");
        put_text(reading, head->headers[i].value);
        put_text(reading, "\n");
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
    unsigned status = parser->status_code;
    demand(!reading->in_message && parser->http_major == 1 && parser->http_minor <= 1);
    demand(status <= 999);
    demand(count(head, "content-length") + count(head, "transfer-encoding") <= 1);
    reading->bodiless = reading->answers_head || status < 200 || status == 204 || status == 304;
    if (reading->bodiless)
        message_skip_body(&reading->message);
    reading->announced = message_body_size(&reading->message);
    reading->came = 0;
    reading->in_message = true;
    put_text(reading, "HEAD ");
    put(reading, (const char *)&parser->status_code, sizeof(parser->status_code));
    put_text(reading, llhttp_should_keep_alive(parser) ? "keep " : "close ");
    put_text(reading, head->reason);
    check_headers(reading, 0);
}

static void on_end(struct reading *reading)
{
    demand(reading->in_message);
    if (reading->bodiless)
        demand(reading->came == 0);
    else
        demand(reading->announced == -1 || reading->announced == reading->came);
    put_text(reading, "END\n");
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

/* A message that says itself how long it is cannot be over because the stream is. */
static void finish(struct reading *reading)
{
    bool has_length = reading->announced >= 0 || count(reading->head, "transfer-encoding") > 0;
    enum message_event event = message_finish(&reading->message);
    if (event == MESSAGE_END) {
        demand(reading->in_message && !reading->bodiless && !has_length);
        on_end(reading);
    }
    demand(event != MESSAGE_MORE || !reading->in_message);
    put_text(reading, event == MESSAGE_ERROR ? "CUT" : "OVER");
}

static void read_cut(struct reading *reading, bool head, const uint8_t *bytes, size_t size,
                     size_t at)
{
    message_init(&reading->message, false);
    reading->head = head_new(&limits);
    demand(reading->head != NULL);
    reading->message.head = reading->head;
    reading->used = 0;
    reading->in_message = false;
    reading->answers_head = head;
    if (read_all(reading, bytes, at) && read_all(reading, bytes + at, size - at))
        finish(reading);
    else
        put_text(reading, "ERROR");
    head_free(reading->head);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct reading whole, cut;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    bool head = bytes[0] & 1;
    bytes++;
    size--;
    read_cut(&whole, head, bytes, size, size);
    size_t step = size > CUTS_MAX ? size / CUTS_MAX : 1;
    for (size_t at = 1; at < size; at += step) {
        read_cut(&cut, head, bytes, size, at);
        demand(cut.used == whole.used && memcmp(cut.log, whole.log, cut.used) == 0);
    }
    return 0;
}
