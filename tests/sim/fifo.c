/* Pipes, as pipe(2) makes them: one end is read and one is written, with a few pages between.
 *
 * Each end knows the other as long as it is open. The reading end hangs up when the last writer has
 * closed, with what is left still to be read; the writing end has an error when nobody reads. It is
 * writable with a page of room, and takes less if it is asked to: so a writer that was told of room
 * may still meet a short write. Both ends' buffers are one, so what is sent has arrived.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

enum { FIFO_MAX = 16384, FIFO_ATOMIC = 4096 };

struct fifo {
    struct file file;
    struct fifo *other;
    size_t size; /* of the reading end: what waits in it */
    char bytes[FIFO_MAX];
};

static struct fifo *fifo_of(const struct file *file)
{
    return (struct fifo *)(void *)(uintptr_t)file;
}

static uint32_t read_events(const struct file *file)
{
    const struct fifo *end = fifo_of(file);
    return (end->size > 0 ? EPOLLIN : 0) | (end->other ? 0 : EPOLLHUP);
}

static uint32_t write_events(const struct file *file)
{
    const struct fifo *end = fifo_of(file);
    if (!end->other)
        return EPOLLOUT | EPOLLERR;
    return FIFO_MAX - end->other->size >= FIFO_ATOMIC ? EPOLLOUT : 0;
}

static void release(struct file *file)
{
    struct fifo *end = fifo_of(file);
    if (end->other)
        end->other->other = NULL;
    free(end);
}

static ssize_t read_end(struct file *file, void *bytes, size_t size)
{
    struct fifo *end = fifo_of(file);
    size_t got = size < end->size ? size : end->size;
    if (got == 0)
        return end->other ? -EAGAIN : 0;
    if (fault(SHORT, 300))
        got = 1 + world_below((uint32_t)got);
    memcpy(bytes, end->bytes, got);
    memmove(end->bytes, end->bytes + got, end->size - got);
    end->size -= got;
    return (ssize_t)got;
}

static size_t append(struct fifo *end, const struct iovec *iov, size_t most)
{
    size_t got = iov->iov_len < most ? iov->iov_len : most;
    if (got > 0)
        memcpy(end->bytes + end->size, iov->iov_base, got);
    end->size += got;
    return got;
}

static ssize_t write_end(struct file *file, const struct iovec *iov, int count)
{
    struct fifo *reader = fifo_of(file)->other;
    if (!reader)
        return -EPIPE;
    size_t room = FIFO_MAX - reader->size;
    if (room == 0)
        return -EAGAIN;
    if (fault(SHORT, 300))
        room = 1 + world_below((uint32_t)room);
    size_t all = 0;
    for (int i = 0; i < count && all < room; i++) {
        size_t got = append(reader, &iov[i], room - all);
        told_sent(file, iov[i].iov_base, got);
        all += got;
    }
    return (ssize_t)all;
}

static const struct file_ops read_ops = {.mode = S_IFIFO,
                                         .events = read_events,
                                         .release = release,
                                         .read = read_end};
static const struct file_ops write_ops = {.mode = S_IFIFO,
                                          .events = write_events,
                                          .release = release,
                                          .write = write_end};

int world_pipe(int fds[2])
{
    struct fifo *ends[2] = {calloc(1, sizeof(*ends[0])), calloc(1, sizeof(*ends[1]))};
    ends[0]->other = ends[1];
    ends[1]->other = ends[0];
    ends[0]->file.ops = &read_ops;
    ends[1]->file.ops = &write_ops;
    ends[0]->file.flags = O_RDONLY;
    ends[1]->file.flags = O_WRONLY;
    for (int i = 0; i < 2; i++)
        fds[i] = file_open(&ends[i]->file);
    if (fds[0] >= 0 && fds[1] >= 0)
        return 0;
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            sys_close(fds[i]);
    return -EMFILE;
}
