/* What may be asked of a resolver, and what need not be.
 *
 * Names are checked before anything is started, since resolvers differ in what they make of others:
 * one that cuts a long name looks up another name than its caller has checked (CVE-2024-24806), and
 * glibc takes the port "65616" modulo 65536, for 80. Nothing is cut or mended here; what is neither
 * an address nor a possible name of a host is refused.
 *
 * An address with the number of a port is its own answer. Addresses in the loose forms of
 * inet_aton(3), "127.1", are left to the resolver, as everything else is.
 *
 * SPDX-License-Identifier: MIT */
#include "dns.h"

enum {
    FLAGS = AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV | AI_V4MAPPED | AI_ALL |
            AI_ADDRCONFIG,
    NAMED = UINT16_MAX + 1, /* in place of a port: the resolver has to look it up */
};

/* In ASCII, and nothing that a terminal would not show. */
static bool visible(char byte)
{
    return byte > ' ' && byte <= '~';
}

static bool starts_a_service(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z');
}

static int check_label(const char *label, size_t length)
{
    if (length == 0)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        if (!visible(label[i]))
            return -EINVAL;
    return length > LOOP_DNS_LABEL_MAX ? -ENAMETOOLONG : 0;
}

/* One dot may close a name: it says that no search domain is to be added. */
static int check_host(const char *host)
{
    size_t length = strnlen(host, LOOP_DNS_NAME_MAX + 2);
    if (length > 1 && host[length - 1] == '.')
        length--;
    if (length > LOOP_DNS_NAME_MAX)
        return -ENAMETOOLONG;
    int error = 0;
    for (size_t start = 0, end; start <= length && !error; start = end + 1) {
        const char *dot = memchr(host + start, '.', length - start);
        end = dot ? (size_t)(dot - host) : length;
        error = check_label(host + start, end - start);
    }
    return error;
}

/* The port, or NAMED. */
static int read_service(const char *service)
{
    size_t length = strnlen(service, LOOP_DNS_SERVICE_MAX + 1);
    if (length > LOOP_DNS_SERVICE_MAX)
        return -ENAMETOOLONG;
    if (!starts_a_service(service[0]))
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        if (!visible(service[i]))
            return -EINVAL;
    if (service[strspn(service, "0123456789")])
        return NAMED;
    unsigned long port = strtoul(service, NULL, 10);
    return port <= UINT16_MAX ? (int)port : -EINVAL;
}

static bool hints_are_known(const struct loop_dns_hints *hints)
{
    bool family =
        hints->family == AF_UNSPEC || hints->family == AF_INET || hints->family == AF_INET6;
    bool type = hints->socket_type == 0 || hints->socket_type == SOCK_STREAM ||
                hints->socket_type == SOCK_DGRAM || hints->socket_type == SOCK_RAW;
    return family && type && !(hints->flags & ~FLAGS);
}

/* What is no address is for the resolver; so is one that is not of the family that is wanted. */
static int read_literal(struct dns_query *query, uint16_t port)
{
    struct loop_address literal;
    int error = loop_address_parse(&literal, query->host, port);
    if (error == -EINVAL || error == -ENAMETOOLONG)
        return 0;
    int family = query->hints.family;
    if (!error && (family == AF_UNSPEC || family == literal.any.sa_family))
        query->literal = literal;
    return error;
}

int dns_query_init(struct dns_query *query, const char *host, const char *service,
                   const struct loop_dns_hints *hints)
{
    *query = (struct dns_query){.host = host, .service = service};
    if (hints)
        query->hints = *hints;
    if (!hints_are_known(&query->hints) || (!host && !service))
        return -EINVAL;
    int port = service ? read_service(service) : 0;
    if (port < 0)
        return port;
    if (!host)
        return query->hints.flags & AI_CANONNAME ? -EINVAL : 0;
    int error = check_host(host);
    if (!error && port != NAMED)
        error = read_literal(query, (uint16_t)port);
    return error;
}
