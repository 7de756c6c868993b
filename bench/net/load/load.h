/* Internal. The load client: what its files offer one another.
 *
 * One program puts load on every server, whatever library that is made with, and takes the figures
 * from outside: the server does its work and knows nothing of being measured. The client is on bare
 * epoll, level-triggered, and runs on the last CPU that it may use, the server on the first.
 *
 * The figures are those of the server's process alone, between two marks that the client sets: its
 * CPU time, all threads, user and kernel, is a clock that others may read too.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "bench.h"

#include <sys/types.h>

/* subject.c: the server that is measured, a child of ours that dies with us. */

struct subject {
    pid_t pid;
    clockid_t clock;       /* its CPU time */
    uint16_t port;         /* on 127.0.0.1 */
    uint64_t handle_bytes; /* of memory that its author gives for each connection; 0: unknown */
};

void subject_start(struct subject *subject, char *const words[]);
void subject_stop(const struct subject *subject);
uint64_t subject_rss_bytes(const struct subject *subject);
int subject_connect(const struct subject *subject); /* a blocking socket, without Nagle's delay */

/* window.c: when to measure, or how much to do. */

struct window {
    const struct subject *subject;
    uint64_t operations_max; /* so many and no more, uncounted; 0: for a time, with figures */

    /* the figures, when the window has closed */
    uint64_t operations;
    uint64_t cpu_ns;
    uint64_t wall_ns;

    /* private */
    bool open;
    uint64_t until_ns; /* warming up, or measuring; 0: not begun */
};

/* With the operations done so far, after each or after a few; false: enough. */
bool window_goes_on(struct window *window, uint64_t operations);

/* echo.c, stream.c, accept.c: the workloads. */

void load_echo_100(struct window *window);
void load_echo_1(struct window *window);
void load_idle_10k(struct window *window);
void load_stream_in(struct window *window);
void load_stream_out(struct window *window);
void load_accept_close(struct window *window);

#endif
