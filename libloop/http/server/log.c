/* What can be said of an exchange in one line, and of a server in numbers.
 *
 * The line is the combined format that log analysers know. What the peer wrote is escaped: a log is
 * read in terminals, and by programs that take a quote for the end of a field. A peer that went
 * before it was answered is written down as 499, as nginx has it; there is no such status in HTTP.
 * The time is the machine's own, since that is what other logs have.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Text that counts on where it is cut off, as snprintf(3) does. */
struct line {
    char *text;
    size_t size, used;
};

static void put_char(struct line *line, char c)
{
    if (line->used + 1 < line->size)
        line->text[line->used] = c;
    line->used++;
}

static void put_escaped(struct line *line, const char *text)
{
    for (const char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
            put_char(line, *at);
            continue;
        }
        put_char(line, '\\');
        put_char(line, 'x');
        put_char(line, "0123456789abcdef"[c >> 4]);
        put_char(line, "0123456789abcdef"[c & 15]);
    }
}

static void put_text(struct line *line, const char *text)
{
    while (*text)
        put_char(line, *text++);
}

static void put_quoted(struct line *line, const char *text)
{
    put_text(line, " \"");
    put_escaped(line, text ? text : "-");
    put_char(line, '"');
}

static void put_peer(struct line *line, const struct loop_http_request *req)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    const struct loop_address *peer = loop_http_peer(req);
    if (peer->size == 0) {
        put_char(line, '-');
        return;
    }
    loop_address_text(peer, text);
    *strrchr(text, ':') = '\0'; /* the port says nothing */
    put_text(line, text);
}

static void put_time(struct line *line)
{
    char text[64];
    struct tm tm;
    time_t now = time(NULL);
    localtime_r(&now, &tm);
    strftime(text, sizeof(text), " - - [%d/%b/%Y:%H:%M:%S %z]", &tm);
    put_text(line, text);
}

size_t loop_http_log_line(char *line, size_t size, const struct loop_http_request *req, int error)
{
    struct line out = {.text = line, .size = size};
    char numbers[64];
    put_peer(&out, req);
    put_time(&out);
    put_text(&out, " \"");
    put_escaped(&out, req->method);
    put_char(&out, ' ');
    put_escaped(&out, req->target);
    put_text(&out, req->version == 11 ? " HTTP/1.1\"" : " HTTP/1.0\"");
    snprintf(numbers, sizeof(numbers), " %d %" PRIu64,
             error && !req->response->head_sent ? 499 : req->response->status,
             req->response->written);
    put_text(&out, numbers);
    put_quoted(&out, loop_http_header(req, "referer"));
    put_quoted(&out, loop_http_header(req, "user-agent"));
    if (size > 0)
        line[out.used < size ? out.used : size - 1] = '\0';
    return out.used;
}
