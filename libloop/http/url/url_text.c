/* Text in small: tokens, what is before a byte, percent-encoding.
 *
 * A "%" is an escape if two hexadecimal digits follow, of either case, and a mistake otherwise:
 * to let it pass as a "%" would have two readers understand two things. What is decoded is never
 * looked at again for escapes. Encoding writes capital digits, as RFC 3986 asks. Letters are
 * those of ASCII, whatever the locale of the process: <ctype.h> asks it.
 *
 * SPDX-License-Identifier: MIT */
#include "url/url_text.h"

bool loop_text_equal(struct loop_text text, const char *string)
{
    if (!text.bytes || !string)
        return !text.bytes && !string;
    return text.size == strlen(string) && memcmp(text.bytes, string, text.size) == 0;
}

bool text_is_token(struct loop_text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!is_token_byte(text.bytes[i]))
            return false;
    return text.size > 0;
}

bool text_begins(struct loop_text text, const char *string)
{
    for (size_t i = 0; string[i] != '\0'; i++)
        if (i == text.size || lower(text.bytes[i]) != lower(string[i]))
            return false;
    return true;
}

bool text_is(struct loop_text text, const char *string)
{
    return text.size == strlen(string) && text_begins(text, string);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct loop_text text_trim(struct loop_text text)
{
    while (text.size > 0 && is_blank(text.bytes[0])) {
        text.bytes++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.bytes[text.size - 1]))
        text.size--;
    return text;
}

struct loop_text text_cut(struct loop_text *rest, char byte)
{
    if (rest->size == 0)
        return *rest; /* whose bytes may be NULL */
    const char *end = memchr(rest->bytes, byte, rest->size);
    struct loop_text front = {rest->bytes, end ? (size_t)(end - rest->bytes) : rest->size};
    rest->bytes += front.size + (end != NULL);
    rest->size -= front.size + (end != NULL);
    return front;
}

static int digit_value(char byte)
{
    if (is_digit(byte))
        return byte - '0';
    return lower(byte) >= 'a' && lower(byte) <= 'f' ? lower(byte) - 'a' + 10 : -1;
}

int text_escape(struct loop_text text)
{
    if (text.size < 3)
        return -1;
    int high = digit_value(text.bytes[1]);
    int low = digit_value(text.bytes[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool text_decode(struct writer *writer, struct loop_text text, bool plus)
{
    for (size_t i = 0; i < text.size; i++) {
        int byte = text.bytes[i] == '+' && plus ? ' ' : (unsigned char)text.bytes[i];
        if (byte == '%') {
            byte = text_escape((struct loop_text){text.bytes + i, text.size - i});
            i += 2;
        }
        if (byte < 0)
            return false;
        write_byte(writer, (char)byte);
    }
    return true;
}

void text_encode(struct writer *writer, char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    write_byte(writer, '%');
    write_byte(writer, digits[(unsigned char)byte >> 4]);
    write_byte(writer, digits[(unsigned char)byte & 15]);
}

ssize_t loop_percent_decode(struct loop_text text, char *bytes, size_t capacity)
{
    struct writer writer = {.bytes = bytes, .capacity = capacity};
    return text_decode(&writer, text, false) ? write_end(&writer) : -EINVAL;
}

ssize_t loop_percent_encode(struct loop_text bytes, const char *keep, char *text, size_t capacity)
{
    struct writer writer = {.bytes = text, .capacity = capacity};
    for (size_t i = 0; i < bytes.size; i++)
        if (is_unreserved(bytes.bytes[i]) || (keep && is_one_of(bytes.bytes[i], keep)))
            write_byte(&writer, bytes.bytes[i]);
        else
            text_encode(&writer, bytes.bytes[i]);
    return write_end(&writer);
}

const char *loop_html_entity(char byte)
{
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}
