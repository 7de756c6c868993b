/* accept_close: connect, send one byte, wait for it to come back, reset the connection; again.
 *
 * The reset (SO_LINGER 0) leaves no port behind that must wait, so that a machine does not run out
 * of them. The server sees an error where it would see the end, and does the same for both.
 *
 * One operation is one connection.
 *
 * SPDX-License-Identifier: MIT */
#include "load.h"

#include <sys/socket.h>
#include <unistd.h>

static void visit(const struct subject *subject)
{
    const struct linger at_once = {.l_onoff = 1};
    char byte = 0;
    int fd = subject_connect(subject);
    bench_require(send(fd, &byte, 1, MSG_NOSIGNAL) == 1, "send");
    bench_require(recv(fd, &byte, 1, 0) == 1, "recv");
    int error = setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    bench_require(error == 0, "setsockopt");
    bench_require(close(fd) == 0, "close");
}

void load_accept_close(struct window *window)
{
    uint64_t connections = 0;
    while (window_goes_on(window, connections)) {
        visit(window->subject);
        connections++;
    }
    if (window->operations_max > 0)
        return;
    bench_print("cpu_us", window->cpu_ns, window->operations * 1000);
    bench_print("connections_per_s", window->operations * bench_second_ns, window->wall_ns);
}
