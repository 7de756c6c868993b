/* Messages of HTTP/1, pulled out of llhttp: see message.h.
 *
 * llhttp calls back from inside its loop. Each callback that stands for an event of ours asks it to
 * pause, and message_next() returns; the next call resumes. A pause costs a few instructions, and
 * buys that users' functions run outside the parser.
 *
 * llhttp's strict mode refuses most of what servers have been smuggled with: a body announced twice
 * (RFC 9112 6.3), spaces before a colon, signs and commas in lengths. What it lets pass and we do
 * not stands in check_head() and lines_are_clear(), with the reason. All limits are ours.
 *
 * SPDX-License-Identifier: MIT */
#include "message.h"

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

/* Other servers may drop a header with a space in its name, or find one in it (RFC 9112 5.1). */
static bool names_are_tokens(const struct head *head)
{
    for (uint32_t i = 0; i < head->count; i++)
        if (!is_token(head->headers[i].name))
            return false;
    return true;
}

static unsigned count_of(const struct head *head, const char *name)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < head->count; i++)
        count += strcmp(head->headers[i].name, name) == 0;
    return count;
}

/* The one transfer coding is "chunked", once, which HTTP/1.0 does not have: whatever else stands
 * there, somebody reads it in another way (RFC 9112 6.1). */
static bool coding_is_clear(const struct message *message)
{
    const char *name = "transfer-encoding";
    const struct head *head = message->head;
    unsigned count = count_of(head, name);
    for (uint32_t i = 0; i < head->count; i++)
        if (strcmp(head->headers[i].name, name) == 0 &&
            strcasecmp(head->headers[i].value, "chunked") != 0)
            return false;
    return count == 0 || (count == 1 && message->parser.http_minor == 1);
}

/* A request of HTTP/1.1 names one host (RFC 9112 3.2). */
static bool request_is_clear(const struct message *message)
{
    unsigned hosts = count_of(message->head, "host");
    return hosts == 1 || (hosts == 0 && message->parser.http_minor == 0);
}

/* What has no body must not announce one (RFC 9110 8.6, RFC 9112 6.1): who believes it takes the
 * next response for that. To a request for the head alone, and with 304, that is another thing. */
static bool response_is_clear(const struct message *message)
{
    const llhttp_t *parser = &message->parser;
    bool bodiless = parser->status_code < 200 || parser->status_code == 204;
    return !bodiless ||
           (parser->content_length == 0 && count_of(message->head, "transfer-encoding") == 0);
}

static bool is_unambiguous(const struct message *message)
{
    return names_are_tokens(message->head) && coding_is_clear(message) &&
           (message->parser.type == HTTP_REQUEST ? request_is_clear(message)
                                                 : response_is_clear(message));
}

static int check_head(struct message *message)
{
    const llhttp_t *parser = &message->parser;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return refuse(message, 505);
    if (parser->type == HTTP_REQUEST && parser->method == HTTP_CONNECT)
        return refuse(message, 501); /* what follows would be somebody else's protocol */
    return is_unambiguous(message) ? 0 : refuse(message, 400);
}

static int on_headers_complete(llhttp_t *parser)
{
    struct head *head = of(parser)->head;
    head->trailers = head->count;
    int error = check_head(of(parser));
    return error ? error : stop_at(parser, MESSAGE_HEAD);
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
    return stop_at(parser, MESSAGE_END);
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

/* Outside bodies a line ends with CRLF, and the next does not begin with a space: a line that goes
 * on in the next was a header of its own to some (RFC 9112 2.2, 5.2). Which lines these bytes are
 * part of does not matter. */
static bool lines_are_clear(struct message *message, const char *bytes, size_t size)
{
    const char *end = bytes + size;
    if (size == 0)
        return true;
    if (message->before == '\n' && (*bytes == ' ' || *bytes == '\t'))
        return false;
    for (const char *at = bytes; (at = memchr(at, '\n', (size_t)(end - at))); at++) {
        char before = at > bytes ? at[-1] : message->before;
        if (before != '\r' || (at + 1 < end && (at[1] == ' ' || at[1] == '\t')))
            return false;
    }
    message->before = end[-1];
    return true;
}

/* Of what llhttp has taken, all but the piece of a body. */
static bool is_clear(struct message *message, const char *from, const char *to)
{
    if (message->event != MESSAGE_BODY)
        return lines_are_clear(message, from, (size_t)(to - from));
    bool clear = lines_are_clear(message, from, (size_t)(message->piece.bytes - from));
    message->before = '\0';
    return clear;
}

static enum message_event failed(struct message *message, llhttp_errno_t error)
{
    if (error == HPE_INVALID_VERSION || error == HPE_PAUSED_H2_UPGRADE)
        message->status = 505;
    else if (message->status == 0)
        message->status = 400;
    return MESSAGE_ERROR;
}

enum message_event message_next(struct message *message, struct input *input)
{
    if (message->status)
        return MESSAGE_ERROR;
    if (input->size == 0 && message->event != MESSAGE_HEAD && message->event != MESSAGE_BODY)
        return MESSAGE_MORE;
    llhttp_resume(&message->parser);
    message->event = MESSAGE_MORE;
    const char *end = input->bytes + input->size;
    llhttp_errno_t error = llhttp_execute(&message->parser, input->bytes, input->size);
    const char *at = error == HPE_OK ? end : llhttp_get_error_pos(&message->parser);
    if (error == HPE_PAUSED_UPGRADE) { /* the same to us: a message is over */
        llhttp_resume_after_upgrade(&message->parser);
        message->event = MESSAGE_END;
    } else if (error != HPE_OK && error != HPE_PAUSED) {
        return failed(message, error);
    }
    if (!is_clear(message, input->bytes, at))
        return failed(message, HPE_USER);
    if (message->event == MESSAGE_END) {
        message->extension_bytes = 0;
        message->before = '\0';
    }
    *input = (struct input){at, (size_t)(end - at)};
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
