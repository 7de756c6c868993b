/* What a message must not have, beyond what llhttp refuses: whatever two servers might read in two
 * ways, so that nothing can be hidden from one of them behind the other.
 *
 * Lines are looked at as bytes, since the parser does not tell how they ended; a head as a whole,
 * once it is complete. All of it is refused with 400, but for a few things that have a status of
 * their own. Being lenient would please nobody: no client that people use sends any of this.
 *
 * SPDX-License-Identifier: MIT */
#include "wire/message.h"

#include <string.h>
#include <strings.h>

/* --- lines, as bytes --- */

/* A request line has two spaces and no fragment, and is of HTTP (RFC 9112 3): llhttp skips more
 * spaces, and speaks RTSP, too. The empty lines before it end with CRLF as others do. */
static bool first_line_is_clear(struct message *message, const char *bytes, size_t size)
{
    char before = message->before;
    const char *end = bytes + size;
    uint32_t spaces = message->spaces; /* copies, which bytes cannot be the same memory as */
    enum message_place place = message->place;
    for (const char *at = bytes; at < end && place != PLACE_BEHIND; before = *at++) {
        if (before > ' ' && *at > '#') /* nearly all: part of a word */
            continue;
        bool foreign = before == ' ' && spaces == 2 && *at != 'H';
        if ((before == '\r' && *at != '\n') || *at == '#' || foreign)
            return false;
        spaces += *at == ' ';
        if (*at != '\r' && *at != '\n')
            place = PLACE_LINE;
        else if (*at == '\n' && place == PLACE_LINE)
            place = PLACE_BEHIND;
    }
    message->spaces = spaces;
    message->place = place;
    return spaces <= 2;
}

/* Outside bodies a line ends with CRLF, and the next does not begin with a space: a line that goes
 * on in the next was a header of its own to some (RFC 9112 2.2, 5.2). Which lines these bytes are
 * part of does not matter. */
bool message_lines_are_clear(struct message *message, const char *bytes, size_t size)
{
    const char *end = bytes + size;
    if (size == 0)
        return true;
    if (message->before == '\n' && (*bytes == ' ' || *bytes == '\t'))
        return false;
    if (message->parser.type == HTTP_REQUEST && !first_line_is_clear(message, bytes, size))
        return false;
    for (const char *at = bytes; (at = memchr(at, '\n', (size_t)(end - at))); at++) {
        char before = at > bytes ? at[-1] : message->before;
        if (before != '\r' || (at + 1 < end && (at[1] == ' ' || at[1] == '\t')))
            return false;
    }
    message->before = end[-1];
    return true;
}

/* --- heads and trailers --- */

/* Other servers may drop a header with a space in its name, or find one in it (RFC 9112 5.1). */
static bool names_are_tokens(const struct head *head, uint32_t from)
{
    for (uint32_t i = from; i < head->count; i++)
        if (!is_token(head->headers[i].name))
            return false;
    return true;
}

/* The number of headers of that name, and the value of the last. */
static unsigned count_of(const struct head *head, const char *name, const char **value)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < head->count; i++)
        if (strcmp(head->headers[i].name, name) == 0) {
            *value = head->headers[i].value;
            count++;
        }
    return count;
}

/* The one transfer coding is "chunked", once, which HTTP/1.0 does not have: whatever else stands
 * there, somebody reads it in another way (RFC 9112 6.1), and llhttp does if a tab follows. */
static bool coding_is_clear(const struct message *message)
{
    const char *coding = "";
    unsigned count = count_of(message->head, "transfer-encoding", &coding);
    return count == 0 || (count == 1 && strcasecmp(coding, "chunked") == 0 &&
                          message->parser.flags & F_CHUNKED && message->parser.http_minor == 1);
}

/* RFC 3986 3.2.2, of which no name needs the rest; a proxy may take what is behind "/" or "@" for
 * another host. */
static bool host_is_clear(const char *host)
{
    const char *at = host;
    while ((*at >= 'a' && *at <= 'z') || (*at >= '-' && *at <= ':' && *at != '/') ||
           (*at >= 'A' && *at <= 'Z') || (*at != '\0' && strchr("[]_~%!$&'()*+;=", *at)))
        at++;
    return *at == '\0';
}

/* A request of HTTP/1.1 names one host (RFC 9112 3.2). "*" is the server itself, for OPTIONS. */
static bool request_is_clear(const struct message *message)
{
    const char *host = "", *target = message->head->target;
    unsigned hosts = count_of(message->head, "host", &host);
    if (*target == '*' && (target[1] != '\0' || message->parser.method != HTTP_OPTIONS))
        return false;
    return (hosts == 1 || (hosts == 0 && message->parser.http_minor == 0)) && host_is_clear(host);
}

/* What has no body must not announce one (RFC 9110 8.6, RFC 9112 6.1): who believes it takes the
 * next response for that. To a request for the head alone, and with 304, that is another thing. */
static bool response_is_clear(const struct message *message)
{
    const llhttp_t *parser = &message->parser;
    const char *coding;
    bool bodiless = parser->status_code < 200 || parser->status_code == 204;
    return !bodiless || (parser->content_length == 0 &&
                         count_of(message->head, "transfer-encoding", &coding) == 0);
}

int message_check_head(const struct message *message)
{
    const llhttp_t *parser = &message->parser;
    bool request = parser->type == HTTP_REQUEST;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return 505;
    if (request && parser->method == HTTP_CONNECT)
        return 501; /* what follows would be somebody else's protocol */
    if (parser->flags & F_CONTENT_LENGTH && parser->content_length > INT64_MAX)
        return 413;
    bool clear = names_are_tokens(message->head, 0) && coding_is_clear(message) &&
                 (request ? request_is_clear(message) : response_is_clear(message));
    return clear ? 0 : 400;
}

/* RFC 9110 6.5.1: a trailer is too late to say where the message ends, or whose it is. */
int message_check_trailers(const struct message *message)
{
    const struct head *head = message->head;
    for (uint32_t i = head->trailers; i < head->count; i++) {
        const char *name = head->headers[i].name;
        if (strcmp(name, "content-length") == 0 || strcmp(name, "transfer-encoding") == 0 ||
            strcmp(name, "host") == 0)
            return 400;
    }
    return names_are_tokens(head, head->trailers) ? 0 : 400;
}
