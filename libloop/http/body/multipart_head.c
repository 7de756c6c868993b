/* The heads of parts, and the boundary between them.
 *
 * A part must say "Content-Disposition: form-data" with a name; it may say the name of a file and
 * its type. Browsers write what is not ASCII in names as it is, and a quote as "%22", which is not
 * turned back: a name that had "%22" looks the same. Others write a quote behind a backslash, so
 * that is read; before any other byte a backslash is one, as in the paths of Windows. The form
 * "filename*=" is not for forms (RFC 7578, 4.2), and ignored like any parameter that is not known.
 * So are other headers, but Content-Transfer-Encoding, which may only say that there is none.
 *
 * Strings are made where they stand: what comes out is never longer than what it was.
 *
 * SPDX-License-Identifier: MIT */
#include "body/multipart.h"

/* Reads `"a b"` in place, without its quotes; the rest begins behind them. */
static bool unquote(struct loop_text *rest, char *start, struct loop_text *value)
{
    size_t size = 0;
    size_t i = 1;
    for (; i < rest->size && rest->bytes[i] != '"'; i++) {
        bool escaped =
            rest->bytes[i] == '\\' && i + 1 < rest->size && is_one_of(rest->bytes[i + 1], "\"\\");
        i += escaped;
        start[size++] = rest->bytes[i];
    }
    if (i >= rest->size)
        return false;
    *value = (struct loop_text){start, size};
    rest->bytes += i + 1;
    rest->size -= i + 1;
    return true;
}

static void skip_blanks(struct loop_text *rest)
{
    while (rest->size > 0 && (rest->bytes[0] == ' ' || rest->bytes[0] == '\t')) {
        rest->bytes++;
        rest->size--;
    }
}

/* Takes `; name=value` off the front, changing quoted text in place, in the memory that begins at
 * base. 1, 0: it is the end, -EBADMSG. */
static int take_param(struct loop_text *rest, char *base, struct loop_text *name,
                      struct loop_text *value)
{
    skip_blanks(rest);
    if (rest->size == 0)
        return 0;
    if (rest->bytes[0] != ';')
        return -EBADMSG;
    rest->bytes++;
    rest->size--;
    skip_blanks(rest);
    if (rest->size == 0)
        return 0; /* "; " at the end is harmless, and seen */
    if (!memchr(rest->bytes, '=', rest->size))
        return -EBADMSG;
    *name = text_cut(rest, '=');
    if (!text_is_token(*name))
        return -EBADMSG;
    if (rest->size > 0 && rest->bytes[0] == '"')
        return unquote(rest, base + (rest->bytes - base), value) ? 1 : -EBADMSG;
    *value = (struct loop_text){rest->bytes, 0};
    while (rest->size > 0 && is_token_byte(rest->bytes[0])) {
        rest->bytes++;
        rest->size--;
        value->size++;
    }
    return value->size > 0 ? 1 : -EBADMSG;
}

/* RFC 2046, 5.1.1; no space, which may not be the last, and which nobody uses. */
static bool is_boundary(struct loop_text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!is_letter(text.bytes[i]) && !is_digit(text.bytes[i]) &&
            !is_one_of(text.bytes[i], "'()+_,-./:=?"))
            return false;
    return text.size > 0 && text.size <= LOOP_MULTIPART_BOUNDARY_MAX;
}

int multipart_boundary(const char *content_type, char boundary[LOOP_MULTIPART_BOUNDARY_MAX + 1])
{
    char copy[512]; /* a boundary has 70 bytes at most, and there is little else to say */
    struct loop_text rest = loop_text_of(content_type);
    struct loop_text name, value, found = {0};
    int result;
    struct loop_text all = rest;
    if (!content_type || !text_is(text_trim(text_cut(&all, ';')), "multipart/form-data"))
        return -EMEDIUMTYPE;
    if (rest.size >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, content_type, rest.size + 1);
    rest.bytes = copy + strcspn(copy, ";");
    rest.size -= (size_t)(rest.bytes - copy);
    while ((result = take_param(&rest, copy, &name, &value)) == 1) {
        if (!text_is(name, "boundary"))
            continue;
        if (found.bytes)
            return -EINVAL;
        found = value;
    }
    if (result < 0 || !is_boundary(found))
        return -EINVAL;
    memcpy(boundary, found.bytes, found.size);
    boundary[found.size] = '\0';
    return 0;
}

/* What the headers of a part have said so far. */
struct said {
    struct loop_text name, filename, type;
    bool disposition;
    char *head;
};

static int read_disposition(struct said *said, struct loop_text value)
{
    struct loop_text kind = value;
    struct loop_text name, text;
    int result;
    kind = text_cut(&kind, ';');
    if (said->disposition || !text_is(text_trim(kind), "form-data"))
        return -EBADMSG;
    said->disposition = true;
    value.bytes += kind.size;
    value.size -= kind.size;
    while ((result = take_param(&value, said->head, &name, &text)) == 1) {
        struct loop_text *place = text_is(name, "name")       ? &said->name
                                  : text_is(name, "filename") ? &said->filename
                                                              : NULL;
        if (place && place->bytes)
            return -EBADMSG;
        if (place)
            *place = text;
    }
    return result < 0 || !said->name.bytes ? -EBADMSG : 0;
}

static int read_line(struct said *said, struct loop_text line)
{
    if (!memchr(line.bytes, ':', line.size))
        return -EBADMSG;
    for (size_t i = 0; i < line.size; i++)
        if (is_control(line.bytes[i]) && line.bytes[i] != '\t')
            return -EBADMSG;
    struct loop_text name = text_cut(&line, ':');
    struct loop_text value = text_trim(line);
    if (!text_is_token(name))
        return -EBADMSG; /* a space in front, too: lines are not folded */
    if (text_is(name, "content-disposition"))
        return read_disposition(said, value);
    if (text_is(name, "content-type")) {
        if (said->type.bytes)
            return -EBADMSG;
        said->type = value;
    }
    bool encoded = text_is(name, "content-transfer-encoding") && !text_is(value, "binary") &&
                   !text_is(value, "8bit") && !text_is(value, "7bit");
    return encoded ? -EBADMSG : 0;
}

/* Ends a text that lies in the head by a 0: what is behind it was read already. */
static const char *string_of(struct said *said, struct loop_text text)
{
    if (!text.bytes)
        return NULL;
    said->head[text.bytes - said->head + (ptrdiff_t)text.size] = '\0';
    return text.bytes;
}

int multipart_head(char *head, size_t size, struct loop_multipart_part *part)
{
    struct said said = {.head = head};
    struct loop_text rest = {head, size - 2}; /* without the blank line */
    while (rest.size > 0) {
        struct loop_text line = text_cut(&rest, '\n');
        if (line.size == 0 || line.bytes[line.size - 1] != '\r')
            return -EBADMSG;
        line.size--;
        int error = read_line(&said, line);
        if (error)
            return error;
    }
    if (!said.disposition)
        return -EBADMSG;
    part->name = string_of(&said, said.name);
    part->filename = string_of(&said, said.filename);
    part->type = said.type.size > 0 ? string_of(&said, said.type) : "text/plain";
    part->size = 0;
    return 0;
}
