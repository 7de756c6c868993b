/* Internal. chain: bytes that run round a ring of socket pairs, and an idle timer for each pair.
 *
 * There are 1000 pairs; 100 bytes are under way at any time. When a byte comes to a pair, it is
 * read, the pair's idle timer of 10 s is put off, and a byte is written to the next pair. This is
 * the classic benchmark of libevent and libev, and what idle timeouts do to a server; the read and
 * the write, two plain system calls on a socket of the same process, are the same for all.
 *
 * A program gives run(), which runs its loop until chain_pass() has said false once. One operation
 * is one event: a byte read, a timer put off, a byte written.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_CHAIN_H
#define BENCH_CHAIN_H

#include "bench.h"

#include <sys/resource.h>
#include <sys/socket.h>

enum {
    CHAIN_PAIRS = 1000,
    CHAIN_WRITERS = 100,
    CHAIN_WARM_UP = 20000, /* events; each pair has had its own and its timer */
    CHAIN_EVENTS = 150000, /* that count: about 0.3 s */
    CHAIN_IDLE_S = 10,     /* no timer ever fires */
};

struct chain {
    int pairs[CHAIN_PAIRS][2]; /* to read from, to write to */
    uint32_t writes_left;
    uint32_t in_flight;
};

static inline void chain_open(struct chain *chain)
{
    struct rlimit limit;
    bench_require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    bench_require(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
    for (uint32_t i = 0; i < CHAIN_PAIRS; i++) {
        int error =
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, chain->pairs[i]);
        bench_require(error == 0, "socketpair");
    }
}

static inline void chain_write(struct chain *chain, uint32_t index)
{
    const char byte = 'e';
    bench_require(send(chain->pairs[index][1], &byte, 1, MSG_NOSIGNAL) == 1, "send");
    chain->writes_left--;
    chain->in_flight++;
}

/* The byte of a pair has been read: writes one to the next. False: it was the last of all. */
static inline bool chain_pass(struct chain *chain, uint32_t index)
{
    chain->in_flight--;
    if (chain->writes_left > 0)
        chain_write(chain, (index + 1) % CHAIN_PAIRS);
    return chain->in_flight > 0;
}

static inline void chain_read(struct chain *chain, uint32_t index)
{
    char byte;
    bench_require(recv(chain->pairs[index][0], &byte, 1, 0) == 1, "recv");
}

static inline void chain_round(struct chain *chain, uint32_t events, void (*run)(void))
{
    chain->writes_left = events;
    for (uint32_t i = 0; i < CHAIN_WRITERS; i++)
        chain_write(chain, i * (CHAIN_PAIRS / CHAIN_WRITERS));
    run();
}

static inline void chain_measure(struct chain *chain, void (*run)(void))
{
    chain_round(chain, CHAIN_WARM_UP, run);
    const uint64_t start_ns = bench_cpu_ns();
    chain_round(chain, CHAIN_EVENTS, run);
    bench_print("cpu_ns", bench_cpu_ns() - start_ns, CHAIN_EVENTS);
}

#endif
