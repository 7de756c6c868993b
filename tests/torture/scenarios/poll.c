/* Poll handles on the two ends of a socket pair that belongs to the program: one end writes, the
 * other reads and is then told of the hang-up. Forty more watch copies of a descriptor with high
 * numbers, so that the table of watchers has to grow several times while others are in it. Each
 * registration may be refused by the kernel, and each growth by memory; all that was started
 * before has to go on as if nothing had been asked.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop_poll writer, reader, many[40];
static int ends[2];
static int high[40];
static bool read_it, hung_up;

static void on_readable(struct loop_poll *poll, int status, uint32_t events)
{
    char bytes[16];
    if (!ok(status))
        return;
    if (events & LOOP_READABLE && read(ends[1], bytes, sizeof(bytes)) > 0)
        read_it = true;
    if (events & LOOP_DISCONNECT) {
        hung_up = true;
        loop_poll_stop(poll);
        for (int i = 0; i < 40; i++)
            loop_poll_stop(&many[i]);
    }
}

static void on_writable(struct loop_poll *poll, int status, uint32_t events)
{
    (void)events;
    if (!ok(status))
        return;
    must((int)write(ends[0], "ping", 4));
    loop_poll_stop(poll);
    shutdown(ends[0], SHUT_WR);
}

static void on_nothing(struct loop_poll *poll, int status, uint32_t events)
{
    (void)events;
    ok(status);
    loop_poll_stop(poll);
}

/* High numbers make the table of watchers grow. */
static void start_many(struct loop *loop)
{
    for (int i = 0; i < 40; i++) {
        high[i] = must(fcntl(ends[1], F_DUPFD_CLOEXEC, 100 + 20 * i));
        loop_poll_init(loop, &many[i], high[i]);
        ok(loop_poll_start(&many[i], LOOP_PRIORITY, on_nothing));
    }
}

static void start(struct loop *loop)
{
    read_it = hung_up = false;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    start_many(loop);
    loop_poll_init(loop, &writer, ends[0]);
    loop_poll_init(loop, &reader, ends[1]);
    ok(loop_poll_start(&reader, LOOP_READABLE | LOOP_DISCONNECT, on_readable));
    ok(loop_poll_start(&writer, LOOP_WRITABLE, on_writable));
}

static bool done(void)
{
    return read_it && hung_up;
}

static void clean(void)
{
    close(ends[0]);
    close(ends[1]);
    for (int i = 0; i < 40; i++)
        close(high[i]);
}

const struct scenario poll_scenario = {
    .name = "poll", .clock = LOOP_CLOCK_VIRTUAL, .start = start, .done = done, .clean = clean};
