/* Fuzzing what is asked of a resolver: a byte of hints, then the host, then, behind a 0,
 * the service. No question is ever asked here: only what is checked before. What passes
 * holds to the limits that the header names, has nothing in it that a terminal would not
 * show, and if it is an address with the number of a port it is answered as
 * loop_address_parse() would.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "pool/dns.h"

#include <string.h>

static bool visible(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static void check_host(const char *host)
{
    size_t length = strlen(host);
    demand(length > 0 && length <= LOOP_DNS_NAME_MAX + 1);
    demand(visible(host));
    demand(strcmp(host, ".") != 0 && !strstr(host, "..") && host[0] != '.');
}

static void check_literal(const struct dns_query *query)
{
    struct loop_address address;
    if (query->literal.size == 0)
        return;
    demand(loop_address_parse(&address, query->host, loop_address_port(&query->literal)) == 0);
    demand(loop_address_equal(&address, &query->literal));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char text[600];
    struct dns_query query;
    if (size < 1 || size - 1 >= sizeof(text))
        return 0;
    memcpy(text, bytes + 1, size - 1);
    text[size - 1] = '\0';
    const char *host = text;
    const char *service = strlen(text) + 1 < size ? text + strlen(text) + 1 : NULL;
    struct loop_dns_hints hints = {.family = bytes[0] & 1 ? AF_INET : AF_UNSPEC,
                                   .flags = bytes[0] & 2 ? AI_PASSIVE : 0};
    if (dns_query_init(&query, bytes[0] & 4 ? NULL : host, service, &hints) < 0)
        return 0;
    if (query.host)
        check_host(query.host);
    if (query.service)
        demand(strlen(query.service) <= LOOP_DNS_SERVICE_MAX && visible(query.service));
    check_literal(&query);
    return 0;
}
