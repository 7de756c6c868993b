/* Internet addresses as text, and back.
 *
 * The forms are those of RFC 4291 and RFC 4007, read and written by inet_pton(3) and inet_ntop(3),
 * which accept nothing else: no "127.1", no "0x7f.0.0.1", no leading zeros, which other programs
 * read as octal. Text that does not fit is refused as a whole, and what is written always fits: the
 * longest IPv6 address has 45 characters, the name of an interface 15.
 *
 * A zone is looked up as a name before it is read as a number, as the C library does: Linux lets an
 * interface be called "5". Either way the kernel has the last word when the address is used, so a
 * number is not compared with the interfaces there are.
 *
 * SPDX-License-Identifier: MIT */
#include "loop/address.h"

#include "sys.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { NUMBERS_MAX = INET6_ADDRSTRLEN - 1, ZONE_MAX = IF_NAMESIZE - 1 };

/* -ENODEV: it is none, or none that an interface can have. */
static int read_number(const char *zone, uint32_t *index)
{
    uint64_t number = 0;
    for (; *zone; zone++) {
        if (*zone < '0' || *zone > '9' || number > UINT32_MAX)
            return -ENODEV;
        number = 10 * number + (uint64_t)(*zone - '0');
    }
    if (number > UINT32_MAX)
        return -ENODEV;
    *index = (uint32_t)number;
    return 0;
}

static int read_zone(const char *zone, uint32_t *index)
{
    size_t length = strnlen(zone, ZONE_MAX + 1);
    if (length == 0)
        return -EINVAL;
    if (length > ZONE_MAX)
        return -ENAMETOOLONG;
    int error = sys_interface_index(zone, index);
    return error && read_number(zone, index) == 0 ? 0 : error;
}

/* The numbers end at the zone's "%", if there is one. */
static int read_ip6(struct sockaddr_in6 *ip6, const char *text)
{
    char numbers[NUMBERS_MAX + 1] = "";
    const char *percent = strchr(text, '%');
    size_t length = percent ? (size_t)(percent - text) : strlen(text);
    if (length > NUMBERS_MAX)
        return -EINVAL;
    memcpy(numbers, text, length);
    if (inet_pton(AF_INET6, numbers, &ip6->sin6_addr) != 1)
        return -EINVAL;
    return percent ? read_zone(percent + 1, &ip6->sin6_scope_id) : 0;
}

int loop_address_parse(struct loop_address *address, const char *text, uint16_t port)
{
    if (!address || !text)
        return -EINVAL;
    if (strnlen(text, LOOP_ADDRESS_TEXT_SIZE) == LOOP_ADDRESS_TEXT_SIZE)
        return -ENAMETOOLONG;
    struct loop_address ip4 = {.ip4 = {.sin_family = AF_INET, .sin_port = htons(port)},
                               .size = sizeof(ip4.ip4)};
    if (inet_pton(AF_INET, text, &ip4.ip4.sin_addr) == 1) {
        *address = ip4;
        return 0;
    }
    struct loop_address ip6 = {.ip6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)},
                               .size = sizeof(ip6.ip6)};
    int error = *text ? read_ip6(&ip6.ip6, text) : 0;
    if (!error)
        *address = ip6;
    return error;
}

/* The name of an interface, or its number if it has gone. */
static void write_zone(char zone[ZONE_MAX + 2], uint32_t index)
{
    zone[0] = '%';
    if (sys_interface_name(index, zone + 1) < 0)
        snprintf(zone, ZONE_MAX + 2, "%%%u", index);
}

static void write_ip6(const struct sockaddr_in6 *ip6, char text[LOOP_ADDRESS_TEXT_SIZE])
{
    char numbers[NUMBERS_MAX + 1];
    char zone[ZONE_MAX + 2] = "";
    inet_ntop(AF_INET6, &ip6->sin6_addr, numbers, sizeof(numbers));
    if (ip6->sin6_scope_id)
        write_zone(zone, ip6->sin6_scope_id);
    snprintf(text, LOOP_ADDRESS_TEXT_SIZE, "[%s%s]:%u", numbers, zone, ntohs(ip6->sin6_port));
}

static void write_ip4(const struct sockaddr_in *ip4, char text[LOOP_ADDRESS_TEXT_SIZE])
{
    char numbers[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &ip4->sin_addr, numbers, sizeof(numbers));
    snprintf(text, LOOP_ADDRESS_TEXT_SIZE, "%s:%u", numbers, ntohs(ip4->sin_port));
}

const char *loop_address_text(const struct loop_address *address, char text[LOOP_ADDRESS_TEXT_SIZE])
{
    if (address->any.sa_family == AF_INET)
        write_ip4(&address->ip4, text);
    else if (address->any.sa_family == AF_INET6)
        write_ip6(&address->ip6, text);
    else
        memcpy(text, "?", sizeof("?"));
    return text;
}

uint16_t loop_address_port(const struct loop_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(address->ip4.sin_port);
    return address->any.sa_family == AF_INET6 ? ntohs(address->ip6.sin6_port) : 0;
}

/* The flow label of an IPv6 address is a wish for packets, not part of whom they go to. */
bool loop_address_equal(const struct loop_address *a, const struct loop_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->ip4.sin_port == b->ip4.sin_port &&
               a->ip4.sin_addr.s_addr == b->ip4.sin_addr.s_addr;
    if (a->any.sa_family == AF_INET6)
        return a->ip6.sin6_port == b->ip6.sin6_port &&
               a->ip6.sin6_scope_id == b->ip6.sin6_scope_id &&
               IN6_ARE_ADDR_EQUAL(&a->ip6.sin6_addr, &b->ip6.sin6_addr);
    return a->size == 0 && b->size == 0;
}
