/* multipart/form-data (RFC 7578), parsed as it comes, however it is cut.
 *
 * Between two parts stands a delimiter: CR LF "--" and the boundary. A CR is in none but its first
 * place, so a match that fails need not look back: what had matched was data, and is known without
 * having been kept, since it is the beginning of the delimiter itself. The first delimiter may
 * stand at the very front, as if a CR LF had come before. What is in front of it, and behind the
 * last, is thrown away, as RFC 2046 says.
 *
 * Heads of parts are gathered, since a few hundred bytes are easier to read whole, and read by
 * multipart_head.c. Bytes of parts are passed on where they lie.
 *
 * Debian has no library in C for this but inside larger ones; those of other languages would not
 * help, and libraries for mail do far more, and keep whole parts.
 *
 * SPDX-License-Identifier: MIT */
#include "body/multipart.h"

#include <stdlib.h>

enum state {
    PREAMBLE,  /* before the first delimiter */
    DELIMITED, /* behind a delimiter: "--", or spaces and the end of the line */
    LAST,      /* behind its "-" */
    PADDED,    /* behind spaces */
    LINE_END,  /* behind its CR */
    HEAD,      /* gathering */
    BODY,      /* of a part */
    EPILOGUE,  /* behind the last delimiter */
};

enum {
    PART_BYTES = 1024 * 1024,       /* as the limit of any body */
    TOTAL_BYTES = 16 * 1024 * 1024, /* a few photographs */
    PARTS = 100,                    /* as headers */
    HEADER_BYTES = 4096,            /* a name of a file has at most 255 bytes, mostly */
};

static struct loop_multipart_limits with_defaults(const struct loop_multipart_limits *limits)
{
    struct loop_multipart_limits filled = limits ? *limits : (struct loop_multipart_limits){0};
    filled.part_bytes = filled.part_bytes ? filled.part_bytes : PART_BYTES;
    filled.total_bytes = filled.total_bytes ? filled.total_bytes : TOTAL_BYTES;
    filled.parts = filled.parts ? filled.parts : PARTS;
    filled.header_bytes = filled.header_bytes ? filled.header_bytes : HEADER_BYTES;
    return filled;
}

int loop_multipart_init(struct loop_multipart *form, const char *content_type,
                        const struct loop_multipart_limits *limits,
                        const struct loop_multipart_events *events)
{
    struct loop_multipart made = {.data = form->data, .events = *events};
    char boundary[LOOP_MULTIPART_BOUNDARY_MAX + 1];
    int error = multipart_boundary(content_type, boundary);
    if (error)
        return error;
    made.limits = with_defaults(limits);
    made.delimiter_size = (uint32_t)strlen(boundary) + 4;
    memcpy(made.delimiter, "\r\n--", 4);
    memcpy(made.delimiter + 4, boundary, strlen(boundary) + 1);
    made.matched = 2; /* the front counts as the beginning of a line */
    made.state = PREAMBLE;
    made.head = malloc(made.limits.header_bytes);
    if (!made.head)
        return -ENOMEM;
    *form = made;
    return 0;
}

void loop_multipart_fini(struct loop_multipart *form)
{
    free(form->head);
    form->head = NULL;
    form->error = -ECANCELED;
}

/* Passes on bytes of the part, if there is one, up to the limit and then fails: so the bytes that
 * are seen do not depend on how they came. */
static int give(struct loop_multipart *form, const char *bytes, size_t size)
{
    if (form->state != BODY || size == 0)
        return 0;
    uint64_t room = form->limits.part_bytes - form->part.size;
    size_t some = size < room ? size : (size_t)room;
    form->part.size += some;
    int result = 0;
    if (some > 0 && form->events.bytes)
        result = form->events.bytes(form, &form->part, bytes, some);
    return some < size && result >= 0 ? -EFBIG : result;
}

/* A delimiter is complete: the part before it is over. */
static int end_part(struct loop_multipart *form)
{
    bool was_part = form->state == BODY;
    form->state = DELIMITED;
    form->matched = 0;
    form->head_size = 0;
    return was_part && form->events.end ? form->events.end(form, &form->part) : 0;
}

/* The bytes that had matched were none of a delimiter. */
static int give_matched(struct loop_multipart *form)
{
    size_t size = form->matched;
    form->matched = 0;
    return give(form, form->delimiter, size);
}

/* Bytes up to the next one that may begin a delimiter. */
static int take_plain(struct loop_multipart *form, const char *bytes, size_t size, size_t *used)
{
    const char *end = memchr(bytes, '\r', size);
    *used = end ? (size_t)(end - bytes) : size;
    return give(form, bytes, *used);
}

/* Of the preamble or of a part: looks for the delimiter. */
static int take_body(struct loop_multipart *form, const char *bytes, size_t size, size_t *used)
{
    *used = 0;
    if (form->matched == 0 && bytes[0] != '\r')
        return take_plain(form, bytes, size, used);
    if (bytes[0] != form->delimiter[form->matched])
        return give_matched(form); /* and the byte is looked at anew */
    *used = 1;
    form->matched++;
    return form->matched == form->delimiter_size ? end_part(form) : 0;
}

static int take_head(struct loop_multipart *form, char byte)
{
    static const char blank_line[] = "\r\n\r\n";
    if (form->head_size == form->limits.header_bytes)
        return -E2BIG;
    form->head[form->head_size++] = byte;
    bool over =
        form->head_size >= 4 && memcmp(form->head + form->head_size - 4, blank_line, 4) == 0;
    if (!over)
        return 0;
    int error = multipart_head(form->head, form->head_size, &form->part);
    if (!error && form->parts == form->limits.parts)
        error = -E2BIG;
    if (error)
        return error;
    form->parts++;
    form->state = BODY;
    return form->events.begin ? form->events.begin(form, &form->part) : 0;
}

/* What may follow a delimiter, byte by byte. */
static int take_between(struct loop_multipart *form, char byte)
{
    if (form->state == DELIMITED && byte == '-')
        form->state = LAST;
    else if (form->state == LAST && byte == '-')
        form->state = EPILOGUE;
    else if ((form->state == DELIMITED || form->state == PADDED) && (byte == ' ' || byte == '\t'))
        form->state = PADDED;
    else if ((form->state == DELIMITED || form->state == PADDED) && byte == '\r')
        form->state = LINE_END;
    else if (form->state == LINE_END && byte == '\n')
        form->state = HEAD;
    else
        return -EBADMSG;
    return 0;
}

static int take(struct loop_multipart *form, const char *bytes, size_t size, size_t *used)
{
    switch ((enum state)form->state) {
    case PREAMBLE:
    case BODY:
        return take_body(form, bytes, size, used);
    case HEAD:
        *used = 1;
        return take_head(form, bytes[0]);
    case EPILOGUE:
        *used = size;
        return 0;
    default:
        *used = 1;
        return take_between(form, bytes[0]);
    }
}

ssize_t loop_multipart_feed(struct loop_multipart *form, const void *bytes, size_t size)
{
    size_t done = 0;
    uint64_t room = form->limits.total_bytes - form->total;
    size_t some = size < room ? size : (size_t)room;
    int result = form->error;
    while (!result && done < some) {
        size_t used = 0;
        result = take(form, (const char *)bytes + done, some - done, &used);
        done += used;
    }
    form->total += done;
    if (!result && done < size)
        result = -EFBIG;
    if (result < 0)
        form->error = result;
    return result < 0 ? result : (ssize_t)done;
}

int loop_multipart_finish(struct loop_multipart *form)
{
    if (!form->error && form->state != EPILOGUE)
        form->error = -EBADMSG;
    return form->error;
}
