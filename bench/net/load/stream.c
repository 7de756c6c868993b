/* stream_in, stream_out: one connection, bytes in one direction, pieces of 64 KiB, full speed.
 *
 * In: the server reads and drops what the client writes. Out: it writes and the client reads. What
 * is in the kernel's queues when the window opens is made up for by what is there when it closes.
 *
 * One operation is one byte; the figure is the server's CPU time for a gigabyte, 10^9 of them.
 *
 * SPDX-License-Identifier: MIT */
#include "load.h"

#include <sys/socket.h>

enum { PIECE = 65536 };

static char piece[PIECE];

static void print_figures(const struct window *window)
{
    if (window->operations_max > 0)
        return;
    bench_print("cpu_ms_per_gb", window->cpu_ns * 1000, window->operations);
    bench_print("mb_per_s", window->operations * 1000, window->wall_ns);
}

void load_stream_in(struct window *window)
{
    uint64_t bytes = 0;
    int fd = subject_connect(window->subject);
    while (window_goes_on(window, bytes)) {
        ssize_t size = send(fd, piece, PIECE, MSG_NOSIGNAL);
        bench_require(size > 0, "send");
        bytes += (uint64_t)size;
    }
    print_figures(window);
}

void load_stream_out(struct window *window)
{
    uint64_t bytes = 0;
    int fd = subject_connect(window->subject);
    while (window_goes_on(window, bytes)) {
        ssize_t size = recv(fd, piece, PIECE, 0);
        bench_require(size > 0, "recv");
        bytes += (uint64_t)size;
    }
    print_figures(window);
}
