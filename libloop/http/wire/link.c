/* A link over a stream: see link.h for what it promises.
 *
 * An idle link has no buffers: reading uses the one that the loop lends, and the one in which
 * output is gathered is given back when it has been written, a tick later. What the kernel does not
 * take is copied to the stream's queue, whose marks are the link's own.
 *
 * A write that fails is not told where it failed, in the middle of the user's work, but by ended()
 * from the tick, once. Whoever writes on meanwhile gets the same error.
 *
 * With TLS the bytes are those of tls_link.c, and wait here until its handshake is over.
 *
 * SPDX-License-Identifier: MIT */
#include "wire/link.h"

#include "tls/tls_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUT_FIRST = 1000,       /* most responses fit, and malloc keeps that size at hand */
    GATHER_MAX = 16 * 1024, /* what is larger is not copied behind what is gathered */
};

static struct link *of_stream(struct loop_stream *stream)
{
    return loop_container_of(stream, struct link, stream);
}

struct link *link_new(struct loop *loop, bool tcp)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    if (tcp)
        loop_tcp_init(loop, &link->tcp);
    else
        loop_pipe_init(loop, &link->pipe);
    return link;
}

void link_free(struct link *link)
{
    free(link->out);
    free(link);
}

static void end(struct link *link, int status)
{
    if (link->lost || link->closing || (link->ended && status == LOOP_EOF))
        return;
    link->ended = true;
    link->lost = status != LOOP_EOF;
    if (link->reading)
        link_pause(link);
    link->user->ended(link, status);
}

/* --- reading --- */

void link_came(struct link *link, ssize_t size, const void *bytes)
{
    if (size > 0) {
        link->bytes_in += (size_t)size;
        link->user->bytes(link, bytes, (size_t)size);
    } else {
        end(link, (int)size);
    }
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    link_came(of_stream(stream), size, bytes);
}

int link_read(struct link *link)
{
    if (link->reading || link->ended || link->closing)
        return 0;
    link->reading = true;
    int status = link->tls ? tls_link_read(link) : loop_read_start(&link->stream, on_read);
    if (status < 0)
        link->reading = false;
    return status;
}

void link_pause(struct link *link)
{
    link->reading = false;
    if (link->tls)
        tls_link_pause(link);
    else
        loop_read_stop(&link->stream);
}

/* --- writing --- */

void link_drained(struct link *link)
{
    link->moved_ns = loop_now(link->stream.handle.loop);
    if (!link->crowded || link->closing || link->failed)
        return;
    link->crowded = false;
    link->user->drained(link);
}

static void on_drain(struct loop_stream *stream)
{
    link_drained(of_stream(stream));
}

/* What the peer had to say before it went is read first: two immediates have a poll between. */
static void on_tick(struct loop_task *task)
{
    struct link *link = loop_container_of(task, struct link, tick);
    int status = link_flush(link);
    link->ticking = false; /* not before: a failure would queue the tick anew */
    if (status < 0 && link->reading && link->polls++ < 2) {
        link->ticking = true;
        loop_immediate(link->stream.handle.loop, task, on_tick);
    } else if (status < 0) {
        end(link, status);
    }
}

static void flush_soon(struct link *link)
{
    if (link->ticking)
        return;
    link->ticking = true;
    loop_next_tick(link->stream.handle.loop, &link->tick, on_tick);
}

static int fail(struct link *link, int status)
{
    link->failed = status;
    link->out_size = 0;
    flush_soon(link);
    return status;
}

/* Gives bytes to the stream behind what it has. */
static int give(struct link *link, const void *bytes, size_t size)
{
    link_moved_ns(link);
    size_t waited = link->stream.queued;
    int status =
        link->tls ? tls_link_write(link, bytes, size) : loop_write_copy(&link->stream, bytes, size);
    if (status < 0)
        return fail(link, status);
    link->bytes_out += size;
    link_gave(link, waited, size);
    link->crowded = link->crowded || status == 1;
    return 0;
}

/* It stays gathered, until link_secured(). */
static int hold_back(struct link *link)
{
    link->crowded = link->crowded || link->out_size > LOOP_WRITE_HIGH;
    return link->out_size > LOOP_WRITE_MAX ? fail(link, -ENOBUFS) : 0;
}

int link_flush(struct link *link)
{
    if (link->failed)
        return link->failed;
    if (tls_link_waits(link))
        return hold_back(link);
    if (link->out_size == 0)
        return 0;
    char *out = link->out;
    size_t size = link->out_size;
    link->out = NULL;
    link->out_size = link->out_capacity = 0;
    int status = give(link, out, size);
    free(out);
    return status;
}

char *link_room(struct link *link, size_t size)
{
    if (link->failed || link->closing)
        return NULL;
    size_t needed = link->out_size + size;
    if (needed > link->out_capacity) {
        size_t capacity = link->out_capacity ? 2 * link->out_capacity : OUT_FIRST;
        capacity = capacity < needed ? needed : capacity;
        char *out = realloc(link->out, capacity);
        if (!out && fail(link, -ENOMEM)) /* what is written behind the gap would look whole */
            return NULL;
        link->out = out;
        link->out_capacity = capacity;
    }
    return link->out + link->out_size;
}

void link_wrote(struct link *link, size_t size)
{
    link->out_size += size;
    flush_soon(link);
}

/* What is large goes on its way at once, in one call with what is gathered before it. */
static int write_large(struct link *link, const void *bytes, size_t size)
{
    if (link->tls) {
        int flushed = link_flush(link);
        return flushed < 0 ? flushed : give(link, bytes, size);
    }
    struct loop_buf bufs[2] = {{link->out, link->out_size}, {bytes, size}};
    size_t first = link->out_size ? 0 : 1;
    ssize_t taken = loop_try_write(&link->stream, bufs + first, 2 - first);
    if (taken > 0) {
        link->moved_ns = loop_now(link->stream.handle.loop);
        link->bytes_out += (size_t)taken;
    } else if (taken != -EAGAIN) {
        return fail(link, (int)taken);
    }
    size_t done = taken > 0 ? (size_t)taken : 0;
    size_t early = done < link->out_size ? done : link->out_size;
    if (early > 0) /* otherwise there may be nothing gathered, and no memory for it */
        memmove(link->out, link->out + early, link->out_size - early);
    link->out_size -= early;
    int status = link_flush(link);
    if (status == 0 && done - early < size)
        status = give(link, (const char *)bytes + (done - early), size - (done - early));
    return status;
}

int link_write(struct link *link, const void *bytes, size_t size)
{
    if (link->failed)
        return link->failed;
    if (link->closing)
        return -EPIPE;
    int status = 0;
    if (size >= GATHER_MAX && !tls_link_waits(link)) {
        status = write_large(link, bytes, size);
    } else if (size > 0) {
        char *room = link_room(link, size);
        if (!room)
            return link->failed;
        memcpy(room, bytes, size);
        link_wrote(link, size);
    }
    if (status == 0 && link->out_size > LOOP_WRITE_HIGH)
        status = link_flush(link);
    return status < 0 ? status : link->crowded;
}

/* --- its life --- */

static void on_closed(struct loop_handle *handle)
{
    struct link *link = loop_container_of(handle, struct link, stream.handle);
    if (link->user)
        link->user->closed(link);
    link_free(link);
}

/* All is with the kernel that ever will be. */
static void on_written(struct loop_shutdown *shutdown, int status)
{
    (void)status;
    struct link *link = loop_container_of(shutdown, struct link, last);
    if (link->closing && !loop_is_closing(&link->stream.handle))
        loop_close(&link->stream.handle, on_closed);
}

int link_open(struct link *link, const struct link_user *user, void *owner,
              struct loop_tls_context *tls, const char *name)
{
    link->user = user;
    link->owner = owner;
    link->moved_ns = loop_now(link->stream.handle.loop);
    if (tls)
        return tls_link_open(link, tls, name);
    return loop_stream_set_marks(&link->stream, 0, 0, 0, on_drain);
}

static int half_close(struct link *link)
{
    if (link->tls)
        tls_link_notify(link);
    return loop_shutdown(&link->stream, &link->last, on_written);
}

/* What was asked for in the meantime is done now. */
void link_secured(struct link *link, int status)
{
    bool was_crowded = link->crowded;
    link->crowded = false;
    if (status == 0)
        status = link_flush(link);
    if (status == 0 && link->half_closed)
        status = half_close(link);
    if (status == 0 && link->reading)
        status = tls_link_read(link);
    if (status < 0)
        end(link, status);
    else if (was_crowded && !link->crowded)
        link->user->drained(link);
}

/* Without a handshake there is nobody to say goodbye to. */
static void stop(struct link *link, bool kindly)
{
    loop_task_cancel(&link->tick);
    link->closing = true;
    if (link->tls) {
        tls_link_close(link, kindly);
        loop_stream_set_marks(&link->stream, 0, 0, 0, on_drain);
    }
}

void link_close(struct link *link)
{
    if (link->closing)
        return;
    if (link->reading)
        link_pause(link);
    bool clean = link_flush(link) == 0 && !tls_link_waits(link);
    stop(link, clean);
    if (clean && link->stream.queued > 0 &&
        (link->half_closed || loop_shutdown(&link->stream, &link->last, on_written) == 0))
        return;
    loop_close(&link->stream.handle, on_closed);
}

void link_reset(struct link *link)
{
    if (loop_is_closing(&link->stream.handle))
        return;
    stop(link, false);
    loop_stream_reset(&link->stream, on_closed);
}

int link_shutdown(struct link *link)
{
    if (link->half_closed || link->closing)
        return 0;
    int status = link_flush(link);
    if (status < 0)
        return status;
    link->half_closed = true;
    return tls_link_waits(link) ? 0 : half_close(link);
}
