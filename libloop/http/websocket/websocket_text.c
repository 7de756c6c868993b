/* UTF-8 and the codes of close frames.
 *
 * A text comes in pieces that end anywhere, and must be refused with the first byte that no
 * character can have: RFC 6455 (8.1) asks for a failed connection, and a test of it that there be
 * no waiting for the rest. So what is kept between two pieces is how many bytes are to follow, and
 * which the next may be: that range alone rules out overlong forms, surrogates and what is past
 * U+10FFFF (Unicode, table 3-7).
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <string.h>

/* What may follow the first byte of a character. False: it is none. */
static bool lead(struct utf8 *utf8, uint8_t byte)
{
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    utf8->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    utf8->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    utf8->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static bool follow(struct utf8 *utf8, uint8_t byte)
{
    if (byte < utf8->low || byte > utf8->high)
        return false;
    utf8->left--;
    utf8->low = 0x80;
    utf8->high = 0xbf;
    return true;
}

/* How many bytes are ASCII, in steps of eight. */
static size_t skip_ascii(const char *bytes, size_t size)
{
    size_t at = 0;
    for (uint64_t eight; size - at >= sizeof(eight); at += sizeof(eight)) {
        memcpy(&eight, bytes + at, sizeof(eight));
        if (eight & UINT64_C(0x8080808080808080))
            break;
    }
    return at;
}

bool utf8_feed(struct utf8 *utf8, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint8_t byte = (uint8_t)bytes[i];
        if (utf8->left > 0) {
            if (!follow(utf8, byte))
                return false;
        } else if (byte < 0x80) {
            i += skip_ascii(bytes + i + 1, size - i - 1);
        } else if (!lead(utf8, byte)) {
            return false;
        }
        i++;
    }
    return true;
}

bool utf8_valid(const char *bytes, size_t size)
{
    struct utf8 utf8 = {0};
    return utf8_feed(&utf8, bytes, size) && utf8_whole(&utf8);
}

/* RFC 6455, 7.4, and the registry that it began: 1012 to 1014 came later. */
bool websocket_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
