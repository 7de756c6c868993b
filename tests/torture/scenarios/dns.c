/* Look-ups: an address that needs no resolver, a name of /etc/hosts, twice at a time so
 * that the two share one look-up, and the names of an address, with and without a
 * resolver. The resolver may fail in each of its ways, threads and memory may be missing;
 * each request has its callback all the same, and of the two that share a look-up each has
 * its own.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

static struct loop_getaddrinfo literal, name, same;
static struct loop_getnameinfo numbers, names;
static int answers;

static void on_addresses(struct loop_getaddrinfo *req)
{
    ended();
    answers += ok(req->status) && req->count > 0;
}

static void on_names(struct loop_getnameinfo *req)
{
    ended();
    answers += ok(req->status) && req->host[0];
}

static void start(struct loop *loop)
{
    struct loop_address address;
    struct loop_dns_hints hints = {.socket_type = SOCK_STREAM, .flags = AI_CANONNAME};
    answers = 0;
    began(loop_getaddrinfo(loop, &literal, "127.0.0.1", "80", &hints, on_addresses));
    began(loop_getaddrinfo(loop, &name, "localhost", "80", &hints, on_addresses));
    began(loop_getaddrinfo(loop, &same, "localhost", "80", &hints, on_addresses));
    ok(loop_address_parse(&address, "127.0.0.1", 80));
    began(loop_getnameinfo(loop, &numbers, &address, NI_NUMERICHOST | NI_NUMERICSERV, on_names));
    began(loop_getnameinfo(loop, &names, &address, NI_NUMERICHOST, on_names));
}

static bool done(void)
{
    return answers == 5;
}

const struct scenario dns_scenario = {.name = "dns",
                                      .clock = LOOP_CLOCK_MONOTONIC,
                                      .start = start,
                                      .done = done};
