/* Queries and urlencoded forms: "name=value&name=value", read by iteration and written field by
 * field, as the URL standard's application/x-www-form-urlencoded has it.
 *
 * Fields are cut before they are decoded, so that an encoded "&" or "=" is one of a value. Empty
 * fields ("a&&b") are passed over, one without "=" has an empty value. An escape that is none is a
 * mistake (-EINVAL), where browsers let it pass as it stands. Nothing is built from the fields: a
 * table of them is what clients have overflowed, or filled with names that hash alike.
 *
 * SPDX-License-Identifier: MIT */
#include "url/url_text.h"

void loop_query_init(struct loop_query *query, struct loop_text text)
{
    *query = (struct loop_query){.rest = text};
}

/* The next field that is not empty, cut at its first "="; false: there is none. */
static bool take_field(struct loop_text *rest, struct loop_text *name, struct loop_text *value)
{
    while (rest->size > 0) {
        *value = text_cut(rest, '&');
        if (value->size == 0)
            continue;
        *name = text_cut(value, '=');
        return true;
    }
    return false;
}

/* Decodes one text to the buffer's end, and puts a 0 behind it. */
static int decode_piece(struct writer *writer, struct loop_text *text)
{
    size_t start = writer->size;
    if (!text_decode(writer, *text, true))
        return -EINVAL;
    *text = (struct loop_text){writer->bytes + start, writer->size - start};
    write_byte(writer, '\0');
    return writer->full ? -ENOBUFS : 0;
}

int loop_query_next(struct loop_query *query, struct loop_text *name, struct loop_text *value,
                    char *buffer, size_t capacity)
{
    struct writer writer = {.bytes = buffer, .capacity = capacity};
    struct loop_text field_name;
    struct loop_text field_value;
    if (!take_field(&query->rest, &field_name, &field_value))
        return 0;
    int error = query->fields++ < LOOP_QUERY_FIELDS_MAX ? 0 : -E2BIG;
    if (!error)
        error = decode_piece(&writer, &field_name);
    if (!error)
        error = decode_piece(&writer, &field_value);
    if (error) {
        query->rest.size = 0;
        return error;
    }
    *name = field_name;
    *value = field_value;
    return 1;
}

/* Whether an encoded name is this one, without a place to decode it to. */
static bool decodes_to(struct loop_text text, const char *name)
{
    while (text.size > 0) {
        int byte = text.bytes[0] == '+' ? ' ' : (unsigned char)text.bytes[0];
        size_t size = byte == '%' ? 3 : 1;
        if (byte == '%')
            byte = text_escape(text);
        if (byte <= 0 || byte != (unsigned char)*name++)
            return false;
        text.bytes += size;
        text.size -= size;
    }
    return *name == '\0';
}

ssize_t loop_query_get(struct loop_text text, const char *name, char *value, size_t capacity)
{
    struct writer writer = {.bytes = value, .capacity = capacity};
    struct loop_text field_name;
    struct loop_text field_value;
    for (unsigned i = 0; take_field(&text, &field_name, &field_value); i++) {
        if (i == LOOP_QUERY_FIELDS_MAX)
            return -E2BIG;
        if (decodes_to(field_name, name))
            return text_decode(&writer, field_value, true) ? write_end(&writer) : -EINVAL;
    }
    return -ENOENT;
}

static void encode_piece(struct writer *writer, struct loop_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.bytes[i];
        if (is_letter(byte) || is_digit(byte) || is_one_of(byte, "*-._"))
            write_byte(writer, byte);
        else if (byte == ' ')
            write_byte(writer, '+');
        else
            text_encode(writer, byte);
    }
}

ssize_t loop_query_add(char *text, size_t length, size_t capacity, struct loop_text name,
                       struct loop_text value)
{
    struct writer writer = {.bytes = text, .size = length, .capacity = capacity};
    if (length >= capacity)
        return -ENOBUFS;
    if (length > 0)
        write_byte(&writer, '&');
    encode_piece(&writer, name);
    write_byte(&writer, '=');
    encode_piece(&writer, value);
    ssize_t size = write_end(&writer);
    if (size < 0)
        text[length] = '\0';
    return size;
}
