/* Answers of the resolver: addresses and a name, in one piece of memory.
 *
 * getaddrinfo(3) gives a list with an entry for each address and type of socket, so that each
 * address comes up to three times if no type was asked for. Here each is told once, where it came
 * first: the order is the system's, by RFC 6724. What comes of it is a value, of the loop's own
 * memory, that can be copied for each request that shares the look-up, and taken by the caller.
 *
 * The comparison of all with all is quadratic, on a thread of the pool; an answer of a server has
 * room for no more than four thousand addresses.
 *
 * SPDX-License-Identifier: MIT */
#include "dns.h"

static struct dns_answer failed(int code, int error)
{
    return (struct dns_answer){.status = dns_status(code, error), .code = code};
}

static struct dns_answer out_of_memory(void)
{
    return (struct dns_answer){.status = -ENOMEM};
}

const char *dns_answer_name(const struct dns_answer *answer)
{
    bool has_name = answer->size > answer->count * sizeof(*answer->addresses);
    return has_name ? (const char *)(answer->addresses + answer->count) : NULL;
}

/* Behind the addresses, for which all is done. */
static void set_name(struct dns_answer *answer, const char *name)
{
    size_t used = answer->count * sizeof(*answer->addresses);
    size_t size = name ? strlen(name) + 1 : 0;
    if (size > 0)
        memcpy(answer->addresses + answer->count, name, size);
    answer->size = used + size;
}

/* Room for so many addresses and the name; none of them is in it yet. */
static struct dns_answer reserve(const struct loop_allocator *allocator, size_t count,
                                 const char *name)
{
    size_t name_size = name ? strlen(name) + 1 : 0;
    struct dns_answer answer = {.status = 0};
    answer.addresses =
        memory_resize(allocator, NULL, count * sizeof(*answer.addresses) + name_size);
    return answer.addresses ? answer : out_of_memory();
}

struct dns_answer dns_answer_make(const struct loop_allocator *allocator,
                                  const struct loop_address *address, const char *name)
{
    struct dns_answer answer = reserve(allocator, 1, name);
    if (!answer.addresses)
        return answer;
    answer.addresses[answer.count++] = *address;
    set_name(&answer, name);
    return answer;
}

struct dns_answer dns_answer_copy(const struct loop_allocator *allocator,
                                  const struct dns_answer *answer)
{
    struct dns_answer copy = *answer;
    if (!answer->addresses)
        return copy;
    copy.addresses = memory_resize(allocator, NULL, answer->size);
    if (!copy.addresses)
        return out_of_memory();
    memcpy(copy.addresses, answer->addresses, answer->size);
    return copy;
}

/* Size 0: of a family that nobody has asked for. */
static struct loop_address address_of(const struct addrinfo *entry)
{
    struct loop_address address = {.size = 0};
    if (entry->ai_family == AF_INET)
        memcpy(&address.ip4, entry->ai_addr, address.size = sizeof(address.ip4));
    else if (entry->ai_family == AF_INET6)
        memcpy(&address.ip6, entry->ai_addr, address.size = sizeof(address.ip6));
    return address;
}

static bool has(const struct dns_answer *answer, const struct loop_address *address)
{
    for (size_t i = 0; i < answer->count; i++)
        if (loop_address_equal(&answer->addresses[i], address))
            return true;
    return false;
}

static struct dns_answer collect(const struct loop_allocator *allocator,
                                 const struct addrinfo *list)
{
    size_t entries = 0;
    for (const struct addrinfo *entry = list; entry; entry = entry->ai_next)
        entries++;
    struct dns_answer answer = reserve(allocator, entries, list->ai_canonname);
    if (!answer.addresses)
        return answer;
    for (const struct addrinfo *entry = list; entry; entry = entry->ai_next) {
        struct loop_address address = address_of(entry);
        if (address.size > 0 && !has(&answer, &address))
            answer.addresses[answer.count++] = address;
    }
    set_name(&answer, list->ai_canonname);
    return answer;
}

struct dns_answer dns_answer_ask(const struct loop_allocator *allocator, const char *host,
                                 const char *service, const struct loop_dns_hints *hints)
{
    struct addrinfo wanted = {.ai_family = hints->family,
                              .ai_socktype = hints->socket_type,
                              .ai_flags = hints->flags};
    struct addrinfo *list = NULL;
    int error;
    int code = sys_getaddrinfo(host, service, &wanted, &list, &error);
    if (code != 0)
        return failed(code, error);
    struct dns_answer answer = collect(allocator, list);
    sys_freeaddrinfo(list);
    return answer;
}
