/* Internal. What the readers and writers of text share: classes of bytes, and a buffer that is
 * filled from the left and remembers that it was too small.
 *
 * A writer never looks at room before each step: it appends, and asks once in the end. What was
 * appended before the room ran out stays in the buffer, and the result is -ENOBUFS.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_URL_TEXT_H
#define LOOP_HTTP_URL_TEXT_H

#include "loop/http/url.h"

#include <errno.h>

struct writer {
    char *bytes;
    size_t size;
    size_t capacity;
    bool full;
};

static inline void write_byte(struct writer *writer, char byte)
{
    if (writer->size < writer->capacity)
        writer->bytes[writer->size++] = byte;
    else
        writer->full = true;
}

static inline void write_bytes(struct writer *writer, const char *bytes, size_t size)
{
    if (size > writer->capacity - writer->size) {
        writer->full = true;
        return;
    }
    if (size > 0)
        memmove(writer->bytes + writer->size, bytes, size);
    writer->size += size;
}

static inline void write_text(struct writer *writer, struct loop_text text)
{
    write_bytes(writer, text.bytes, text.size);
}

static inline void write_string(struct writer *writer, const char *string)
{
    write_bytes(writer, string, strlen(string));
}

/* Puts the 0 behind, and returns the length. */
static inline ssize_t write_end(struct writer *writer)
{
    if (writer->full || writer->size >= writer->capacity)
        return -ENOBUFS;
    writer->bytes[writer->size] = '\0';
    return (ssize_t)writer->size;
}

static inline bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static inline char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

static inline bool is_letter(char byte)
{
    return lower(byte) >= 'a' && lower(byte) <= 'z';
}

static inline bool is_control(char byte)
{
    return (unsigned char)byte < ' ' || byte == 127;
}

/* One of a string's; not its 0. */
static inline bool is_one_of(char byte, const char *set)
{
    return byte != '\0' && strchr(set, byte) != NULL;
}

/* RFC 3986, 2.3. */
static inline bool is_unreserved(char byte)
{
    return is_letter(byte) || is_digit(byte) || is_one_of(byte, "-._~");
}

/* RFC 9110, 5.6.2. */
static inline bool is_token_byte(char byte)
{
    return is_letter(byte) || is_digit(byte) || is_one_of(byte, "!#$%&'*+-.^_`|~");
}

bool text_is_token(struct loop_text text);

/* Whatever the case. */
bool text_is(struct loop_text text, const char *string);
bool text_begins(struct loop_text text, const char *string);

/* Without the spaces and tabs around it. */
struct loop_text text_trim(struct loop_text text);

/* What is before the first such byte, which goes away with it; all of it if there is none. */
struct loop_text text_cut(struct loop_text *rest, char byte);

/* The byte that "%41" at the front stands for; -1: it is no escape. */
int text_escape(struct loop_text text);

/* Decodes to the end of writer, "+" as a space if plus; false: an escape that is none. */
bool text_decode(struct writer *writer, struct loop_text text, bool plus);

/* One byte as "%41". */
void text_encode(struct writer *writer, char byte);

/* "a/b" to the end of writer, without "." and "..": RFC 3986, 5.2.4. From the place where the path
 * begins in writer on nothing is taken away. */
void url_remove_dots(struct writer *writer, struct loop_text path);

#endif
