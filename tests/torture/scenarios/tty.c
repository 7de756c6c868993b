/* A pseudo-terminal with a handle at either end: raw mode, its size, somebody who wants to
 * know when that changes, a word typed at one end and read at the other. The mode belongs
 * to the terminal, so setting it and putting it back may each fail by itself; whatever
 * fails, the terminal must not be left raw by a handle that is closed, nor a signal
 * handler behind.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct loop_tty tty, master;
static int master_fd, slave_fd;
static size_t got;
static bool sized;

static void on_resize(struct loop_tty *handle, unsigned columns, unsigned rows)
{
    (void)handle;
    (void)columns;
    (void)rows;
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    (void)bytes;
    if (!ok(size))
        return;
    got += (size_t)size;
    if (got < 5)
        return;
    ok(loop_tty_set_mode(&tty, LOOP_TTY_NORMAL));
    shut(&stream->handle);
    shut(&master.handle);
}

static void start(struct loop *loop)
{
    unsigned columns, rows;
    got = 0;
    sized = false;
    master_fd = must(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    must(grantpt(master_fd));
    must(unlockpt(master_fd));
    slave_fd = must(open(ptsname(master_fd), O_RDWR | O_NOCTTY | O_CLOEXEC));
    loop_tty_init(loop, &tty);
    loop_tty_init(loop, &master);
    if (!ok(loop_tty_open(&tty, slave_fd)) || !ok(loop_tty_open(&master, master_fd)) ||
        !ok(loop_tty_on_resize(&tty, on_resize)) || !ok(loop_tty_set_mode(&tty, LOOP_TTY_RAW)))
        return;
    sized = ok(loop_tty_size(&tty, &columns, &rows));
    loop_tty_restore(); /* as a signal handler would */
    if (!ok(loop_tty_set_mode(&tty, LOOP_TTY_NORMAL)) || !ok(loop_tty_set_mode(&tty, LOOP_TTY_RAW)))
        return;
    if (ok(loop_read_start(&tty.stream, on_read)))
        ok(loop_write_copy(&master.stream, "typed", 5));
}

static bool done(void)
{
    return got == 5 && sized;
}

static void clean(void)
{
    close(slave_fd);
    close(master_fd);
}

const struct scenario tty_scenario = {
    .name = "tty", .clock = LOOP_CLOCK_MONOTONIC, .start = start, .done = done, .clean = clean};
