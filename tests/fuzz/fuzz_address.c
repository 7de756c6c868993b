/* Fuzzing text that may be an address: the first two bytes are a port, the rest is the
 * text. What is parsed can be written, and what was written is parsed as the same
 * address: the round trip holds for every text that is one. Nothing is ever written
 * behind the room for it, and a text that is none leaves the address as it was, to the
 * last byte.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "loop.h"

#include <string.h>

/* The number part, as loop_address_parse() takes it, of "1.2.3.4:80" or "[::1%lo]:80". */
static void strip(const char *text, char *number)
{
    bool bracketed = text[0] == '[';
    const char *end = strrchr(text, bracketed ? ']' : ':');
    demand(end != NULL);
    size_t length = (size_t)(end - text) - bracketed;
    memcpy(number, text + bracketed, length);
    number[length] = '\0';
}

static void check_round_trip(const struct loop_address *address, uint16_t port)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    char number[LOOP_ADDRESS_TEXT_SIZE];
    struct loop_address again;
    demand(loop_address_port(address) == port);
    demand(loop_address_text(address, text) == text);
    demand(strnlen(text, sizeof(text)) < sizeof(text));
    strip(text, number);
    demand(loop_address_parse(&again, number, port) == 0);
    demand(loop_address_equal(address, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char text[300];
    struct loop_address address;
    struct loop_address before;
    if (size < 2 || size - 2 >= sizeof(text))
        return 0;
    uint16_t port = (uint16_t)(bytes[0] << 8 | bytes[1]);
    memcpy(text, bytes + 2, size - 2);
    text[size - 2] = '\0';
    memset(&address, 0xa5, sizeof(address));
    before = address;
    int error = loop_address_parse(&address, text, port);
    if (error == 0)
        check_round_trip(&address, port);
    else
        demand(memcmp(&address, &before, sizeof(address)) == 0);
    return 0;
}
