/* The text of an event, as the HTML standard (9.2.5, "Parsing an event stream") has it.
 *
 * Lines end with LF. What is a line end in the data, CR, LF or both, begins another "data:" line,
 * which the client joins again by LF; anything else that ended a line would let data make an event
 * of its own. In an id or a type a line end cannot be written at all, and is refused. A space
 * behind the colon is always there, since the client takes one away.
 *
 * What is not UTF-8 would arrive as other text than was sent, so it does not leave.
 *
 * SPDX-License-Identifier: MIT */
#include "events/events.h"

#include "url/url_text.h"
#include "websocket/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int event_check_name(const char *name)
{
    if (name[0] == '\0')
        return -EINVAL;
    for (const char *at = name; *at; at++)
        if (is_control(*at))
            return -EINVAL;
    return utf8_valid(name, strlen(name)) ? 0 : -EILSEQ;
}

/* It comes back in a header, where spaces around it would be lost. */
static int check_id(const char *id)
{
    size_t size = strlen(id);
    if (size > LOOP_HTTP_EVENT_ID_MAX)
        return -ENAMETOOLONG;
    int error = event_check_name(id);
    return error == 0 && (id[0] == ' ' || id[size - 1] == ' ') ? -EINVAL : error;
}

static int check(const struct loop_http_event *event, size_t max)
{
    if (!event->data && event->size > 0)
        return -EINVAL;
    int error = event->id ? check_id(event->id) : 0;
    if (!error && event->type)
        error = event_check_name(event->type);
    if (error)
        return error;
    if (event->size > max || (event->type && strlen(event->type) > max))
        return -EMSGSIZE;
    return event->size == 0 || utf8_valid(event->data, event->size) ? 0 : -EILSEQ;
}

static bool ends_line(char byte)
{
    return byte == '\r' || byte == '\n';
}

static char *put(char *at, const char *bytes, size_t size)
{
    if (size > 0)
        memcpy(at, bytes, size);
    return at + size;
}

static char *put_line(char *at, const char *field, const char *value, size_t size)
{
    at = put(at, field, strlen(field));
    at = put(at, ": ", 2);
    at = put(at, value, size);
    return put(at, "\n", 1);
}

/* The line at the beginning; *used: with its end. */
static size_t measure_line(const char *bytes, size_t size, size_t *used)
{
    size_t line = 0;
    while (line < size && !ends_line(bytes[line]))
        line++;
    bool both = line + 1 < size && bytes[line] == '\r' && bytes[line + 1] == '\n';
    *used = line + (line < size) + both;
    return line;
}

/* Text that ends in a line end has an empty line behind it. */
static char *put_data(char *at, const char *bytes, size_t size)
{
    bool more;
    do {
        size_t used, line = measure_line(bytes, size, &used);
        at = put_line(at, "data", bytes, line);
        more = used > line;
        bytes += used;
        size -= used;
    } while (more);
    return at;
}

/* Room for the text; a CR LF is counted twice, which does no harm. */
static size_t room_for(const struct loop_http_event *event)
{
    size_t lines = 1, per_line = strlen("data: \n");
    for (size_t i = 0; i < event->size; i++)
        lines += ends_line(event->data[i]);
    size_t fields = strlen("id: \nevent: \n\n") + LOOP_HTTP_EVENT_ID_MAX;
    return fields + (event->type ? strlen(event->type) : 0) + event->size + lines * per_line;
}

int event_make(const struct loop_http_event *event, const char *next, size_t max,
               struct event_text **made)
{
    int error = check(event, max);
    if (error)
        return error;
    struct event_text *text = malloc(sizeof(*text) + room_for(event));
    if (!text)
        return -ENOMEM;
    const char *id = event->id ? event->id : next;
    memcpy(text->id, id, strlen(id) + 1);
    char *at = put_line(text->bytes, "id", id, strlen(id));
    if (event->type)
        at = put_line(at, "event", event->type, strlen(event->type));
    at = put_data(at, event->data ? event->data : "", event->size);
    at = put(at, "\n", 1);
    text->size = (size_t)(at - text->bytes);
    if (text->size <= max) {
        *made = text;
        return 0;
    }
    free(text);
    return -EMSGSIZE;
}
