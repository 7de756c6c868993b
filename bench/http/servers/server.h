/* Internal. What the servers on C libraries share: the answer that all of them give, and how they
 * say where they listen.
 *
 * A server is a whole program, as its library's manual would have it written. Its arguments are the
 * role (hello, static or websocket) and, for static, the directory. It listens on a port of
 * 127.0.0.1 that the kernel chooses, prints that, and ends when it is killed. Idle connections stay
 * for 75 s, which is nginx's default and longer than a round.
 *
 * All send the same headers: Server, Date, Content-Type and Content-Length, and one more for the
 * "Connection: keep-alive" that nginx cannot be told to leave out, of about its length.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_HTTP_SERVER_H
#define BENCH_HTTP_SERVER_H

#include "bench.h"

#define SERVER_TEXT       "Hello, world!"
#define SERVER_TYPE       "text/plain"
#define SERVER_NAME       "benchmark"
#define SERVER_KEEP_ALIVE "timeout=75"

enum { SERVER_BACKLOG = 511, SERVER_IDLE_S = 75, SERVER_CONNECTIONS = 20000 };

static inline void server_announce(uint16_t port)
{
    printf("%u\n", port);
    bench_require(fflush(stdout) == 0, "standard output");
}

#endif
