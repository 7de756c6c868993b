/* Messages of HTTP/1, pulled out of llhttp: see message.h.
 *
 * llhttp calls back from inside its loop. Each callback that stands for an event of ours asks it to
 * pause, and message_next() returns; the next call resumes. A pause costs a few instructions, and
 * buys that users' functions run outside the parser.
 *
 * llhttp's strict mode refuses most of what servers have been smuggled with: a body announced twice
 * (RFC 9112 6.3), spaces before a colon, signs and commas in lengths. What it lets pass and we do
 * not stands in message_check.c, with the reason. All limits are ours.
 *
 * SPDX-License-Identifier: MIT */
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* CVE-2024-22019: what stands behind the size of a chunk means nothing to anybody. */
enum { EXTENSION_BYTES_MAX = 16 * 1024 };

/* --- what llhttp calls --- */

static struct message *of(llhttp_t *parser)
{
    return loop_container_of(parser, struct message, parser);
}

static int refuse(struct message *message, int status)
{
    message->status = status;
    return HPE_USER;
}

static int stop_at(llhttp_t *parser, enum message_event event)
{
    of(parser)->event = event;
    return HPE_PAUSED;
}

/* Adds to the string at the end of the text. */
static bool append(struct head *head, const char *bytes, size_t size)
{
    if (size >= head->size - head->used)
        return false;
    memcpy(head->text + head->used, bytes, size);
    head->used += (uint32_t)size;
    return true;
}

/* Ends the string; each append() has left room for that. */
static void terminate(struct head *head)
{
    head->text[head->used++] = '\0';
    head->begin = head->used;
}

static int on_url(llhttp_t *parser, const char *bytes, size_t size)
{
    struct head *head = of(parser)->head;
    if (!append(head, bytes, size) || head->used > head->target_max)
        return refuse(of(parser), 414);
    head->target = head->text;
    return 0;
}

static int on_status(llhttp_t *parser, const char *bytes, size_t size)
{
    struct head *head = of(parser)->head;
    if (!append(head, bytes, size))
        return refuse(of(parser), 431);
    head->reason = head->text;
    return 0;
}

static int on_line_complete(llhttp_t *parser)
{
    terminate(of(parser)->head);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *bytes, size_t size)
{
    struct head *head = of(parser)->head;
    uint32_t begin = head->used;
    if (head->count == head->count_max || !append(head, bytes, size))
        return refuse(of(parser), 431);
    for (char *at = head->text + begin; at < head->text + head->used; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at | 0x20);
    return 0;
}

static int on_header_field_complete(llhttp_t *parser)
{
    struct head *head = of(parser)->head;
    head->headers[head->count].name = head->text + head->begin;
    terminate(head);
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *bytes, size_t size)
{
    if (!append(of(parser)->head, bytes, size))
        return refuse(of(parser), 431);
    return 0;
}

/* Spaces behind a value are none of it. */
static int on_header_value_complete(llhttp_t *parser)
{
    struct head *head = of(parser)->head;
    const char *value = head->text + head->begin;
    const char *end = head->text + head->used;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    head->used = (uint32_t)(end - head->text);
    if (head->used == head->size)
        return refuse(of(parser), 431);
    terminate(head);
    head->headers[head->count++].value = value;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct head *head = of(parser)->head;
    head->trailers = head->count;
    parser->upgrade = 0; /* whether there is another protocol is for the program to say */
    int status = message_check_head(of(parser));
    return status ? refuse(of(parser), status) : stop_at(parser, MESSAGE_HEAD);
}

static int on_body(llhttp_t *parser, const char *bytes, size_t size)
{
    if (size == 0)
        return 0; /* resumed in the middle of a body, with no input: nothing has come */
    of(parser)->piece = (struct input){bytes, size};
    return stop_at(parser, MESSAGE_BODY);
}

static int on_message_complete(llhttp_t *parser)
{
    int status = message_check_trailers(of(parser));
    return status ? refuse(of(parser), status) : stop_at(parser, MESSAGE_END);
}

static int on_extension(llhttp_t *parser, const char *bytes, size_t size)
{
    (void)bytes;
    struct message *message = of(parser);
    if (size > EXTENSION_BYTES_MAX - message->extension_bytes)
        return refuse(message, 400);
    message->extension_bytes += (uint32_t)size;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_url_complete = on_line_complete,
    .on_status = on_status,
    .on_status_complete = on_line_complete,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
};

/* --- pulling --- */

void message_init(struct message *message, bool request)
{
    *message = (struct message){0};
    llhttp_init(&message->parser, request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
}

/* Of what llhttp has taken, all but the piece of a body. */
static bool is_clear(struct message *message, const char *from, const char *to)
{
    if (message->event != MESSAGE_BODY)
        return message_lines_are_clear(message, from, (size_t)(to - from));
    bool clear = message_lines_are_clear(message, from, (size_t)(message->piece.bytes - from));
    message->before = '\0';
    return clear;
}

static enum message_event failed(struct message *message, llhttp_errno_t error)
{
    const llhttp_t *parser = &message->parser;
    bool other_version = parser->http_major != 1 || parser->http_minor > 1;
    if ((error == HPE_INVALID_VERSION && other_version) || error == HPE_PAUSED_H2_UPGRADE)
        message->status = 505;
    else if (message->status == 0)
        message->status = 400;
    return MESSAGE_ERROR;
}

/* So much of it is given to the parser at once that a head cannot be over its limit unnoticed. */
static size_t portion(const struct message *message, size_t size)
{
    if (message->has_head)
        return size;
    size_t room = message->head->size + 1 - message->head_bytes;
    return size < room ? size : room;
}

/* Keeps count of where in a message this is. */
static bool note(struct message *message, size_t size)
{
    if (!message->has_head)
        message->head_bytes += (uint32_t)size;
    if (message->head_bytes > message->head->size)
        return false;
    message->has_head = message->has_head || message->event == MESSAGE_HEAD;
    if (message->event == MESSAGE_END) {
        message->has_head = false;
        message->before = '\0';
        message->place = PLACE_BEFORE;
        message->extension_bytes = message->head_bytes = message->spaces = 0;
    }
    return true;
}

enum message_event message_next(struct message *message, struct input *input)
{
    if (message->status)
        return MESSAGE_ERROR;
    if (input->size == 0 && message->event != MESSAGE_HEAD && message->event != MESSAGE_BODY)
        return MESSAGE_MORE;
    llhttp_resume(&message->parser);
    message->event = MESSAGE_MORE;
    const char *end = input->bytes + portion(message, input->size);
    llhttp_errno_t error =
        llhttp_execute(&message->parser, input->bytes, (size_t)(end - input->bytes));
    const char *at = error == HPE_OK ? end : llhttp_get_error_pos(&message->parser);
    if (!is_clear(message, input->bytes, at))
        message->status = 400;
    else if (error != HPE_OK && error != HPE_PAUSED)
        return failed(message, error);
    else if (!note(message, (size_t)(at - input->bytes)))
        message->status = 431;
    if (message->status)
        return MESSAGE_ERROR;
    input->size -= (size_t)(at - input->bytes);
    input->bytes = at;
    return message->event;
}

enum message_event message_finish(struct message *message)
{
    if (message->status)
        return MESSAGE_ERROR;
    message->event = MESSAGE_MORE;
    llhttp_resume(&message->parser);
    llhttp_errno_t error = llhttp_finish(&message->parser);
    if (error != HPE_OK && error != HPE_PAUSED)
        return failed(message, error);
    return message->event;
}

void message_skip_body(struct message *message)
{
    message->parser.flags |= F_SKIPBODY;
}

int64_t message_body_size(const struct message *message)
{
    const llhttp_t *parser = &message->parser;
    if (parser->flags & F_CHUNKED)
        return -1;
    if (parser->flags & F_CONTENT_LENGTH)
        return (int64_t)parser->content_length;
    return parser->type == HTTP_REQUEST ? 0 : -1;
}
