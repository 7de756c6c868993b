/* The head of a response: its status and its headers.
 *
 * Headers are kept as they will be sent, so that sending is one copy; setting one again cuts the
 * old line out. Nothing is sent that could be read as more than one header: names are tokens,
 * values have no controls (RFC 9110 5.5), and what frames the message is the library's own. The
 * memory of a head that did not fit in what is usual is not kept for the next.
 *
 * SPDX-License-Identifier: MIT */
#include "server/compress.h"
#include "server/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINES_MAX = 64 * 1024, LINES_FIRST = 240 };

int loop_http_set_status(struct loop_http_response *res, int status)
{
    if (status < 200 || status > 999)
        return -EINVAL;
    if (res->head_sent)
        return -EALREADY;
    res->status = status;
    return 0;
}

/* Of eight bytes: whether one is below a space or 0x7f, by arithmetic on all at once. A byte less
 * than n borrows from its highest bit when n is taken off, and had none set. */
static bool may_have_controls(const char *bytes)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    uint64_t deletes = word ^ ones * 0x7f;
    uint64_t found = ((word - ones * ' ') & ~word) | ((deletes - ones) & ~deletes);
    return (found & ones * 0x80) != 0;
}

static bool has_controls(const char *value, size_t size)
{
    const unsigned char *at = (const unsigned char *)value, *end = at + size;
    while (end - at >= 8 && !may_have_controls((const char *)at))
        at += 8;
    for (; at < end; at++)
        if ((*at < ' ' && *at != '\t') || *at == 0x7f)
            return true;
    return false;
}

/* A header that may be sent, measured once. */
struct header {
    const char *name, *value;
    size_t name_size, value_size;
};

static bool read_header(struct header *header, const char *name, const char *value)
{
    if (!name || !value)
        return false;
    *header = (struct header){name, value, token_size(name), strlen(value)};
    return header->name_size > 0 && !has_controls(value, header->value_size);
}

/* Sizes differ more often than not, and cost nothing to compare. */
static inline bool is(const struct header *header, const char *name)
{
    size_t size = strlen(name);
    return header->name_size == size && strncasecmp(header->name, name, size) == 0;
}

/* The line that sets a header, or NULL. */
static char *find_line(const struct exchange *exchange, const char *name, size_t size)
{
    char *end = exchange->lines + exchange->lines_size;
    for (char *line = exchange->lines; line < end; line = strchr(line, '\n') + 1)
        if ((size_t)(end - line) > size && line[size] == ':' && strncasecmp(line, name, size) == 0)
            return line;
    return NULL;
}

static void cut_line(struct exchange *exchange, char *line)
{
    char *next = strchr(line, '\n') + 1;
    size_t left = exchange->lines_size - (size_t)(next - exchange->lines);
    memmove(line, next, left + 1);
    exchange->lines_size -= (size_t)(next - line);
}

const char *response_find(const struct exchange *exchange, const char *name)
{
    size_t size = strlen(name);
    const char *line = exchange->lines_size ? find_line(exchange, name, size) : NULL;
    return line ? line + size + 2 : NULL;
}

static int make_room(char **lines, size_t *capacity, size_t needed)
{
    if (needed > LINES_MAX)
        return -E2BIG;
    if (needed <= *capacity)
        return 0;
    size_t grown_capacity = 2 * *capacity > LINES_FIRST ? 2 * *capacity : LINES_FIRST;
    grown_capacity = grown_capacity < needed ? needed : grown_capacity;
    char *grown = realloc(*lines, grown_capacity);
    if (!grown)
        return -ENOMEM;
    *lines = grown;
    *capacity = grown_capacity;
    return 0;
}

static int add_line(char **lines, size_t *used, size_t *capacity, const struct header *header)
{
    size_t name_size = header->name_size, value_size = header->value_size;
    size_t needed = *used + name_size + value_size + sizeof(": \r\n");
    int error = make_room(lines, capacity, needed);
    if (error)
        return error;
    char *at = *lines + *used;
    memcpy(at, header->name, name_size);
    memcpy(at + name_size, ": ", 2);
    memcpy(at + name_size + 2, header->value, value_size);
    memcpy(at + name_size + 2 + value_size, "\r\n", 3);
    *used = needed - 1;
    return 0;
}

static int check_header(const struct loop_http_response *res, struct header *header,
                        const char *name, const char *value)
{
    if (!read_header(header, name, value))
        return -EINVAL;
    if (is(header, "transfer-encoding") || is(header, "connection") || is(header, "date"))
        return -EINVAL;
    return res->head_sent ? -EALREADY : 0;
}

/* A number, and nothing else. */
static int read_length(const char *value, int64_t *length)
{
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 18 || value[digits] != '\0')
        return -EINVAL;
    *length = strtoll(value, NULL, 10);
    return 0;
}

static int add(struct exchange *exchange, const struct header *header)
{
    if (is(header, "content-length"))
        return read_length(header->value, &exchange->length);
    int error =
        add_line(&exchange->lines, &exchange->lines_size, &exchange->lines_capacity, header);
    if (error == 0) {
        exchange->typed = exchange->typed || is(header, "content-type");
        exchange->encoded = exchange->encoded || is(header, "content-encoding");
    }
    return error;
}

int loop_http_add_header(struct loop_http_response *res, const char *name, const char *value)
{
    struct header header;
    int error = check_header(res, &header, name, value);
    return error ? error : add(exchange_of_response(res), &header);
}

/* They begin with the type, which the program may have set itself. */
int response_add_lines(struct exchange *exchange, const char *lines, size_t size)
{
    if (exchange->typed) {
        const char *next = strchr(lines, '\n') + 1;
        size -= (size_t)(next - lines);
        lines = next;
    }
    int error =
        make_room(&exchange->lines, &exchange->lines_capacity, exchange->lines_size + size + 1);
    if (error)
        return error;
    char *added = exchange->lines + exchange->lines_size;
    memcpy(added, lines, size);
    added[size] = '\0';
    exchange->lines_size += size;
    exchange->typed = true;
    exchange->encoded = exchange->encoded || strstr(added, "\nContent-Encoding:");
    return 0;
}

/* The new line is added before the old is cut, so that a failure changes nothing. */
int loop_http_set_header(struct loop_http_response *res, const char *name, const char *value)
{
    struct exchange *exchange = exchange_of_response(res);
    struct header header;
    int error = check_header(res, &header, name, value);
    if (error)
        return error;
    size_t size = header.name_size;
    bool again = exchange->lines_size > 0 && find_line(exchange, name, size) != NULL;
    error = add(exchange, &header);
    if (error || !again)
        return error;
    char *last = exchange->lines + exchange->lines_size - size - header.value_size - 4;
    for (char *line; (line = find_line(exchange, name, size)) != last;) {
        size_t before = exchange->lines_size;
        cut_line(exchange, line);
        last -= before - exchange->lines_size;
    }
    return 0;
}

int loop_http_add_trailer(struct loop_http_response *res, const char *name, const char *value)
{
    struct exchange *exchange = exchange_of_response(res);
    struct header header;
    if (!read_header(&header, name, value))
        return -EINVAL;
    if (res->request->version < 11 || exchange->length >= 0 ||
        (res->head_sent && exchange->framing != FRAMING_CHUNKED))
        return -EALREADY;
    return add_line(&exchange->trailers, &exchange->trailers_size, &exchange->trailers_capacity,
                    &header);
}

const char *loop_http_get_header(const struct loop_http_response *res, const char *name)
{
    struct exchange *exchange = exchange_of(res->request);
    const char *line = name ? response_find(exchange, name) : NULL;
    if (!line)
        return NULL;
    free(exchange->found);
    exchange->found = strndup(line, strcspn(line, "\r"));
    return exchange->found;
}

/* --- sending it --- */

static bool has_no_body(const struct exchange *exchange)
{
    int status = exchange->res.status;
    return status == 204 || status == 304 || strcmp(exchange->req.method, "HEAD") == 0;
}

/* How the end of the body will be known: RFC 9112 6.3. */
static enum framing choose_framing(const struct exchange *exchange)
{
    if (has_no_body(exchange))
        return FRAMING_NONE;
    if (exchange->length >= 0 && !exchange->compressor)
        return FRAMING_LENGTH;
    return exchange->req.version == 11 ? FRAMING_CHUNKED : FRAMING_CLOSE;
}

/* A body that will not be read ends the connection, or is small enough to be thrown away. */
static bool stays_open(const struct exchange *exchange)
{
    const struct loop_http_request *req = &exchange->req;
    bool unread = exchange->body == BODY_UNASKED;
    if (exchange->conn->last || req->server->closing || exchange->framing == FRAMING_CLOSE)
        return false;
    return !unread || (req->body_size < DISCARD_MAX && !loop_http_header(req, "expect"));
}

static char *put(char *at, const char *text, size_t size)
{
    if (size > 0) /* there may be no text */
        memcpy(at, text, size);
    return at + size;
}

static char *put_text(char *at, const char *text)
{
    return put(at, text, strlen(text));
}

static char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (count)
        *at++ = digits[--count];
    return at;
}

static char *put_status_line(char *at, const struct loop_http_response *res)
{
    if (res->status == 200)
        return put_text(at, "HTTP/1.1 200 OK\r\n");
    at = put_text(at, "HTTP/1.1 ");
    at = put_number(at, (unsigned)res->status);
    *at++ = ' ';
    at = put_text(at, loop_http_status_name(res->status));
    return put_text(at, "\r\n");
}

static char *put_framing(char *at, const struct exchange *exchange)
{
    if (exchange->framing == FRAMING_CHUNKED)
        return put_text(at, "Transfer-Encoding: chunked\r\n");
    if (exchange->length < 0 || exchange->compressor || exchange->res.status == 204)
        return at;
    at = put_text(at, "Content-Length: ");
    at = put_number(at, (uint64_t)exchange->length);
    return put_text(at, "\r\n");
}

int response_send_head(struct exchange *exchange)
{
    enum { FIXED = 256 }; /* status line, date, framing and connection, at their longest */
    struct link *wire = exchange->conn->wire;
    compress_begin(exchange);
    char *room = link_room(wire, FIXED + exchange->lines_size);
    if (!room)
        return -EPIPE;
    exchange->framing = choose_framing(exchange);
    exchange->conn->last = !stays_open(exchange);
    char *at = put_status_line(room, &exchange->res);
    at = put_text(at, server_date(exchange->req.server));
    if (exchange->lines_size > 0) /* there may be no memory for them */
        at = put(at, exchange->lines, exchange->lines_size);
    at = put_framing(at, exchange);
    if (exchange->conn->last)
        at = put_text(at, "Connection: close\r\n");
    else if (exchange->req.version < 11)
        at = put_text(at, "Connection: keep-alive\r\n");
    at = put_text(at, "\r\n");
    link_wrote(wire, (size_t)(at - room));
    exchange->res.head_sent = true;
    return 0;
}
