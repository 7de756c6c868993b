/* What the two ends agree on to deflate messages (RFC 7692, 7.1), as text of the handshake.
 *
 * There is one form of it here: neither end keeps its window from one message to the next, so that
 * an idle connection holds no compressor. A server may ask that of its client unasked, and says so
 * in each answer; a client asks it of its server and believes no answer without it.
 *
 * A parameter that is unknown, comes twice, or has a value that it may not have spoils the offer
 * that it is in, and the next one is looked at. What is no list of extensions at all spoils the
 * handshake (RFC 6455, 9.1). A window of 8 bits is agreed on, but zlib has none so small: what we
 * send then goes as it is, which each message may.
 *
 * SPDX-License-Identifier: MIT */
#include "url/url_text.h"
#include "websocket/websocket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BITS_MAX = 15, VALUE_SIZE = 4 };

enum parameter { SERVER_FORGETS, CLIENT_FORGETS, SERVER_BITS, CLIENT_BITS, PARAMETERS };

static const char *const names[PARAMETERS] = {"server_no_context_takeover",
                                              "client_no_context_takeover",
                                              "server_max_window_bits", "client_max_window_bits"};

/* One of the list. */
struct extension {
    bool known; /* it is permessage-deflate */
    bool bad;   /* but not as it should be */
    bool seen[PARAMETERS];
    uint8_t bits[PARAMETERS]; /* 0: without a value */
};

/* --- words --- */

static void skip_gap(const char **at)
{
    *at += strspn(*at, " \t");
}

/* Its size; 0: there is none. */
static size_t word_size(const char *at)
{
    size_t size = 0;
    while (is_token_byte(at[size]))
        size++;
    return size;
}

static bool is(const char *token, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(token, name, size) == 0;
}

/* Between quotation marks, where a backslash may stand before any letter; what is in there must be
 * a token all the same. */
static bool read_quoted(const char **at, char value[VALUE_SIZE], size_t *size)
{
    for (++*at; **at != '"'; ++*at) {
        if (**at == '\\')
            ++*at;
        if (word_size(*at) == 0)
            return false;
        if (*size < VALUE_SIZE)
            value[(*size)++] = **at;
    }
    ++*at;
    return *size > 0;
}

/* As much of it as counts: what is longer is no number that we know. */
static bool read_value(const char **at, char value[VALUE_SIZE], size_t *size)
{
    skip_gap(at);
    *size = 0;
    if (**at == '"')
        return read_quoted(at, value, size);
    size_t whole = word_size(*at);
    *size = whole < VALUE_SIZE ? whole : VALUE_SIZE;
    memcpy(value, *at, *size);
    *at += whole;
    return whole > 0;
}

/* --- one extension --- */

/* 8 to 15 in the shortest form; 0: it is something else. */
static uint8_t read_bits(const char *value, size_t size)
{
    if (size == 1 && (value[0] == '8' || value[0] == '9'))
        return (uint8_t)(value[0] - '0');
    if (size == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5')
        return (uint8_t)(10 + value[1] - '0');
    return 0;
}

static bool value_good(const struct extension *extension, int i, bool valued, bool response)
{
    if (i == SERVER_FORGETS || i == CLIENT_FORGETS)
        return !valued;
    return valued ? extension->bits[i] != 0 : i == CLIENT_BITS && !response;
}

/* False: this is no parameter. */
static bool read_parameter(const char **at, struct extension *extension, bool response)
{
    char value[VALUE_SIZE];
    size_t size = 0;
    skip_gap(at);
    const char *name = *at;
    size_t name_size = word_size(name);
    *at += name_size;
    skip_gap(at);
    bool valued = **at == '=';
    *at += valued;
    if (name_size == 0 || (valued && !read_value(at, value, &size)))
        return false;
    int i = 0;
    while (i < PARAMETERS && !is(name, name_size, names[i]))
        i++;
    if (i == PARAMETERS || extension->seen[i]) {
        extension->bad = true;
        return true;
    }
    extension->seen[i] = true;
    extension->bits[i] = read_bits(value, size);
    if (!value_good(extension, i, valued, response))
        extension->bad = true;
    return true;
}

/* False: this is no extension. */
static bool read_extension(const char **at, struct extension *extension, bool response)
{
    *extension = (struct extension){0};
    size_t size = word_size(*at);
    extension->known = is(*at, size, "permessage-deflate");
    *at += size;
    skip_gap(at);
    while (size > 0 && **at == ';') {
        ++*at;
        if (!read_parameter(at, extension, response))
            return false;
        skip_gap(at);
    }
    return size > 0 && (**at == ',' || **at == '\0');
}

/* --- agreeing --- */

static void agree(struct websocket_terms *terms, const struct extension *extension,
                  enum parameter ours)
{
    terms->agreed = true;
    terms->bounded = extension->seen[ours];
    terms->bits = extension->bits[ours] ? extension->bits[ours] : BITS_MAX;
}

int websocket_offers_read(const char *list, struct websocket_terms *terms)
{
    struct extension extension;
    while (*(list += strspn(list, " \t,")) != '\0') {
        if (!read_extension(&list, &extension, false))
            return -EPROTO;
        if (!terms->agreed && extension.known && !extension.bad)
            agree(terms, &extension, SERVER_BITS);
    }
    return 0;
}

int websocket_answer_read(const char *list, struct websocket_terms *terms)
{
    struct extension extension;
    while (*(list += strspn(list, " \t,")) != '\0') {
        if (!read_extension(&list, &extension, true) || terms->agreed || !extension.known ||
            extension.bad || !extension.seen[SERVER_FORGETS])
            return -EPROTO;
        agree(terms, &extension, CLIENT_BITS);
    }
    return terms->agreed ? 0 : -EPROTO;
}

void websocket_answer_print(const struct websocket_terms *terms, char line[WEBSOCKET_ANSWER_SIZE])
{
    char bits[32] = "";
    if (terms->bounded)
        snprintf(bits, sizeof(bits), "; %s=%u", names[SERVER_BITS], (unsigned)terms->bits);
    snprintf(line, WEBSOCKET_ANSWER_SIZE,
             "Sec-WebSocket-Extensions: permessage-deflate; %s; %s%s\r\n", names[SERVER_FORGETS],
             names[CLIENT_FORGETS], bits);
}
