/* What goes through the pool beside the traffic, and what need not: a look-up of a number, a file
 * that is read, an empty piece of work, and a file that is written as a stream.
 *
 * Each kind is under way at most once, and all begin anew a millisecond after the last has ended.
 * So what is counted says how the pool keeps up, and a request that is never told shows as chores
 * that stand still.
 *
 * SPDX-License-Identifier: MIT */
#include "soak.h"

#include <sys/mman.h>
#include <unistd.h>

static struct loop_timer again;
static struct loop_getaddrinfo lookup;
static struct loop_fs file;
static struct loop_work work;
static struct loop_file stream;
static struct loop_write write_request;
static struct loop_shutdown shutdown_request;
static int in_flight;
static char page[8192];

static void chore_done(int status)
{
    done.chores++;
    done.errors += status < 0;
    in_flight--;
}

static void on_lookup(struct loop_getaddrinfo *req)
{
    chore_done(req->status);
}

static void on_file(struct loop_fs *fs)
{
    chore_done((int)fs->result);
}

static void on_work(struct loop_work *request, int status)
{
    (void)request;
    chore_done(status);
}

static void compute(void *data)
{
    (void)data;
}

static void on_stream_closed(struct loop_handle *handle)
{
    (void)handle;
    chore_done(0);
}

static void on_written(struct loop_shutdown *shutdown, int status)
{
    (void)shutdown;
    done.errors += status < 0;
    loop_close(&stream.handle, on_stream_closed);
}

static void write_a_file(void)
{
    struct loop_buf buf = {page, sizeof(page)};
    int fd = memfd_create("soak", MFD_CLOEXEC);
    check(fd < 0 ? -errno : 0, "memfd");
    loop_file_init(&loop, &stream);
    check(loop_file_open(&stream, fd, 0), "file stream");
    check(loop_write(&stream.stream, &write_request, &buf, 1, NULL), "writing");
    check(loop_shutdown(&stream.stream, &shutdown_request, on_written), "shutdown");
}

static void on_again(struct loop_timer *timer)
{
    (void)timer;
    if (in_flight > 0 || ending)
        return;
    in_flight = 4;
    check(loop_getaddrinfo(&loop, &lookup, "127.0.0.1", "80", NULL, on_lookup), "look-up");
    check(loop_fs_read_file(&loop, &file, "/etc/passwd", on_file), "file");
    check(loop_work(&loop, &work, compute, on_work), "work");
    write_a_file();
}

void chores_begin(void)
{
    loop_timer_init(&loop, &again);
    check(loop_timer_start(&again, LOOP_MS, LOOP_MS, on_again), "timer");
}

void chores_end(void)
{
    loop_timer_stop(&again);
}
