/* The program's requests: what takes time on a stream or on the pool, and is told once.
 *
 * Each has memory of its own, which is freed in its callback. Bytes to write are freed there too,
 * and those of loop_write_copy() at once, so that whoever uses them longer than the contract says
 * is found. A request that may be cancelled or late is marked before that can happen, for the
 * comparison of bytes; what its callback is then told must fit.
 *
 * SPDX-License-Identifier: MIT */
#include "streams.h"

struct job {
    struct job *next;
    uint64_t ns;
    bool done;
};

static struct job *jobs; /* may outlive their requests */

void jobs_end(void)
{
    while (jobs) {
        struct job *job = jobs;
        jobs = job->next;
        free(job);
    }
}

struct request_object *request_make(struct stream_object *stream, enum request_kind kind)
{
    struct request_object *req = calloc(1, sizeof(*req));
    model_add(&req->thing, A_REQUEST);
    model_start(&req->thing);
    req->kind = kind;
    req->stream = stream;
    note("request %u is a %s of %u", req->thing.number,
         (const char *[]){"connect", "read", "write", "shutdown", "copy", "job"}[kind],
         stream ? stream->thing.number : 0);
    if (stream)
        stream->requests++;
    return req;
}

static void release(struct request_object *req)
{
    if (req->stream)
        req->stream->requests--;
    if (req->to)
        req->to->requests--;
    if (req->kind == A_WRITE)
        req->stream->writes--;
    free(req->bytes);
    model_remove(&req->thing);
}

void request_undo(struct request_object *req)
{
    release(req);
}

bool request_may_last(const struct thing *thing)
{
    const struct request_object *req = (const struct request_object *)(const void *)thing;
    return req->kind == A_READ || req->kind == A_COPY;
}

/* It was in flight, and what was asked of it has happened. */
static void done(struct request_object *req, int status)
{
    model_event(&req->thing);
    note("status %d", status);
    if (req->canceled && status != -ECANCELED)
        fail("P3: request %u was canceled and is told %s", req->thing.number,
             loop_error_name(status));
    if (req->stream && status < 0)
        pieces_may_stop(&req->stream->transfer);
}

static bool usual(int error)
{
    static const int errors[] = {ENOTCONN, EPIPE, ENOBUFS,  ECONNRESET,   ENOMEM,   ENOSPC,
                                 EAGAIN,   EBUSY, EALREADY, ECONNREFUSED, ETIMEDOUT};
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
        if (error == -errors[i])
            return true;
    return error >= 0;
}

void on_connect(struct loop_connect *connect, int status)
{
    struct request_object *req = loop_container_of(connect, struct request_object, connect);
    struct stream_object *mine = req->stream;
    done(req, status);
    mine->connecting = false;
    if (status < 0)
        mine->open = mine->reading = false;
    if (!mine->thing.closing)
        stream_refresh(mine);
    release(req);
    react();
}

void on_drain(struct loop_stream *stream)
{
    model_event(&mine_of(stream)->thing);
    if (stream->queued > stream->low)
        fail("P11: drained, with %zu bytes queued", stream->queued);
    react();
}

static void on_read(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct stream_object *mine = mine_of(stream);
    model_event(&mine->thing);
    if (!mine->reading)
        fail("P2: stream %u is told of bytes and does not read", mine->thing.number);
    if (size > 0)
        given_check(&mine->transfer, bytes, (size_t)size);
    if (mine->transfer.given_size > 0)
        fail("P7: %zu bytes were read and not told", mine->transfer.given_size);
    if (size < 0) {
        if (mine->transfer.end != (size == LOOP_EOF ? 0 : (int)size))
            fail("P7: stream %u is told %zd, and the kernel said %d", mine->thing.number, size,
                 mine->transfer.end);
        mine->reading = false;
        stream_refresh(mine);
    } else if (has(NESTED) && run.faults && program_chance(50)) {
        model_call_begins();
        stream_close_now(&mine->thing, false);
        model_call_ends();
    }
    react();
}

static void on_read_into(struct loop_read *read, int status)
{
    struct request_object *req = loop_container_of(read, struct request_object, read);
    done(req, status);
    req->stream->reads_into--;
    if (!req->canceled)
        given_check(&req->stream->transfer, req->bytes, read->size);
    if (!req->canceled && req->stream->transfer.given_size > 0)
        fail("P7: %zu bytes were read and not told", req->stream->transfer.given_size);
    if (status == 0 && read->size < read->min)
        fail("P7: %zu bytes were read of %zu", read->size, read->min);
    release(req);
    react();
}

static void in_order(const struct request_object *req)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next) {
        const struct request_object *other = (const struct request_object *)(const void *)thing;
        if (thing->kind == A_REQUEST && thing->active && other->kind == A_WRITE &&
            other->stream == req->stream && thing->seq < req->thing.seq && !other->canceled &&
            !other->has_deadline)
            fail("P3: write %u is told before %u", req->thing.number, thing->number);
    }
}

static void on_write(struct loop_write *write, int status)
{
    struct request_object *req = loop_container_of(write, struct request_object, write);
    done(req, status);
    if (!req->has_deadline && !req->canceled)
        in_order(req);
    if (write->written != piece_taken(req->piece))
        fail("P7: write %u says %zu bytes and sent %zu", req->thing.number, write->written,
             piece_taken(req->piece));
    if (status == 0 && !piece_is_over(req->piece))
        fail("P7: write %u is done and its bytes are not sent", req->thing.number);
    piece_drop(&req->stream->transfer, req->piece);
    release(req);
    react();
}

static void on_shutdown(struct loop_shutdown *shutdown, int status)
{
    struct request_object *req = loop_container_of(shutdown, struct request_object, shutdown);
    done(req, status);
    release(req);
    react();
}

static void on_copy(struct loop_stream_pipe *copy, int status)
{
    struct request_object *req = loop_container_of(copy, struct request_object, copy);
    struct stream_object *from = req->stream, *to = req->to;
    done(req, status);
    if (status == 0 && from->transfer.given_size > 0)
        fail("P7: %zu bytes were not copied", from->transfer.given_size);
    if (copy->copied != to->transfer.copied)
        fail("P7: %zu bytes were copied and %llu are said", to->transfer.copied,
             (unsigned long long)copy->copied);
    from->transfer.given_size = 0;
    to->transfer.copied_from = NULL;
    to->transfer.copied = 0;
    from->copies_from = to->copies_to = false;
    release(req);
    react();
}

static void work(void *data)
{
    struct job *job = data;
    thread_busy(job->ns);
    job->done = true;
}

static void on_work(struct loop_work *loop_work, int status)
{
    struct request_object *req = loop_container_of(loop_work, struct request_object, work);
    const struct job *job = req->request.data;
    done(req, status);
    if (status == 0 && !job->done)
        fail("P3: work %u is told before it is done", req->thing.number);
    release(req);
    react();
}

static void work_act(void)
{
    struct request_object *req = request_make(NULL, A_JOB);
    struct job *job = calloc(1, sizeof(*job));
    job->next = jobs;
    job->ns = program_below(5 * MS);
    jobs = job;
    req->request.data = job;
    int error = loop_work(&the_loop, &req->work, work, on_work);
    check_result("work", error, usual(error));
    if (error)
        request_undo(req);
}

static size_t some_bytes(void)
{
    return program_chance(60) ? 1 + program_below(150000) : program_below(900);
}

enum { BUFS_MAX = 10 };

static unsigned cut(struct loop_buf *bufs, const char *bytes, size_t size)
{
    unsigned count = 0;
    for (; count < BUFS_MAX && size > 0; count++) {
        size_t part = count == BUFS_MAX - 1 ? size : program_below((uint32_t)size / 4 + 1);
        bufs[count] = (struct loop_buf){bytes, part};
        bytes += part;
        size -= part;
    }
    return count;
}

static void write_some(struct stream_object *mine)
{
    struct request_object *req = request_make(mine, A_WRITE);
    struct loop_buf bufs[BUFS_MAX];
    size_t size = some_bytes();
    mine->writes++;
    req->piece = piece_add(&mine->transfer, size);
    req->bytes = piece_bytes(req->piece);
    bufs[0] = (struct loop_buf){req->bytes, size};
    unsigned count = program_chance(600) ? 1 : cut(bufs, req->bytes, size);
    int error = loop_write(stream_of(mine), &req->write, bufs, count, on_write);
    check_result("write", error, usual(error));
    if (stream_of(mine)->queued > stream_of(mine)->max)
        fail("P11: %zu bytes are queued", stream_of(mine)->queued);
    if (error >= 0)
        return;
    if (error != -EBUSY && req->write.written != piece_taken(req->piece))
        fail("P7: a refused write says %zu and sent %zu", req->write.written,
             piece_taken(req->piece));
    piece_drop(&mine->transfer, req->piece);
    request_undo(req);
}

static void write_copied(struct stream_object *mine, bool only_try)
{
    struct piece *piece = piece_add(&mine->transfer, some_bytes());
    size_t size = piece_size(piece);
    char *bytes = piece_bytes(piece);
    ssize_t result;
    if (only_try)
        result = loop_try_write(stream_of(mine), &(struct loop_buf){bytes, size}, 1);
    else
        result = loop_write_copy(stream_of(mine), bytes, size);
    check_result(only_try ? "try write" : "write copy", (int)result, usual((int)result));
    if (stream_of(mine)->queued > stream_of(mine)->max)
        fail("P11: %zu bytes are queued", stream_of(mine)->queued);
    free(bytes);
    if (only_try && result >= 0 && (size_t)result != piece_taken(piece))
        fail("P7: try write says %zd and sent %zu", result, piece_taken(piece));
    if (only_try || result < 0 || piece_is_over(piece))
        piece_drop(&mine->transfer, piece);
    else
        mine->hidden = true;
}

static void read_something(struct stream_object *mine)
{
    if (program_chance(600)) {
        int error = loop_read_start(stream_of(mine), on_read);
        check_result("read start", error, usual(error));
        mine->reading |= error == 0;
        return;
    }
    struct request_object *req = request_make(mine, A_READ);
    size_t max = 1 + program_below(5000), min = 1 + program_below((uint32_t)max);
    req->bytes = malloc(max);
    int error = loop_read_into(stream_of(mine), &req->read, req->bytes, min, max, on_read_into);
    check_result("read into", error, usual(error));
    if (error)
        request_undo(req);
    else
        mine->reads_into++;
}

void read_calmly(struct stream_object *mine)
{
    if (mine->reading || mine->reads_into > 0 || mine->copies_from || mine->connecting)
        return;
    int error = loop_read_start(stream_of(mine), on_read);
    mine->reading = error == 0;
}

static void end_writing(struct stream_object *mine)
{
    struct request_object *req = request_make(mine, A_SHUTDOWN);
    int error = loop_shutdown(stream_of(mine), &req->shutdown, on_shutdown);
    check_result("shutdown", error, usual(error));
    if (error)
        request_undo(req);
}

static void copy_to(struct stream_object *from)
{
    struct stream_object *to = (struct stream_object *)(void *)model_pick(STREAM_BIT);
    if (from->only_writes || to->is_listener || to->only_reads || to->copies_to ||
        to->transfer.pieces || from->copies_from || from->is_listener)
        return;
    struct request_object *req = request_make(from, A_COPY);
    int error = loop_stream_pipe(stream_of(from), stream_of(to), &req->copy, on_copy);
    check_result("copy", error, usual(error));
    if (error) {
        request_undo(req);
        return;
    }
    req->to = to;
    to->requests++;
    from->copies_from = to->copies_to = true;
    to->transfer.copied_from = &from->transfer;
    if (program_chance(300))
        loop_stream_pipe_keep_open(&req->copy);
}

void transfer_act(struct stream_object *mine)
{
    bool may_write = !mine->only_reads && !mine->copies_to;
    unsigned choice = program_below(12);
    if (choice < 3 && !mine->only_writes) {
        read_something(mine);
    } else if (choice < 4) {
        loop_read_stop(stream_of(mine));
        mine->reading = false;
    } else if (choice < 8 && may_write) {
        write_some(mine);
    } else if (choice < 10 && may_write) {
        write_copied(mine, choice == 8);
    } else if (choice == 10 && may_write && program_chance(300)) {
        end_writing(mine);
    } else if (choice == 11 && has(COPIES)) {
        copy_to(mine);
    }
}

static void cancel(struct request_object *req)
{
    int error = loop_request_cancel(&req->request);
    check_result("cancel", error, error == 0 || error == -EALREADY);
    req->canceled |= error == 0;
    if (req->kind == A_READ && error == 0) /* what it has is its, the next read's comes behind */
        given_check(&req->stream->transfer, req->bytes, req->read.size);
    if (req->piece)
        piece_may_stop(req->piece);
    if (req->kind == A_CONNECT)
        pieces_may_stop(&req->stream->transfer);
}

static void set_deadline(struct request_object *req)
{
    int error = loop_request_deadline(&req->request, program_below(30 * MS));
    check_result("deadline", error, error == 0 || error == -EOPNOTSUPP);
    req->has_deadline |= error == 0;
    if (req->piece)
        piece_may_stop(req->piece);
    if (req->kind == A_CONNECT)
        pieces_may_stop(&req->stream->transfer);
}

void request_act(void)
{
    struct thing *thing = model_pick(REQUEST_BIT);
    if (has(WORK) && model_count(REQUEST_BIT) < 20 && (!thing || program_chance(500))) {
        work_act();
        return;
    }
    if (!thing || !thing->active)
        return;
    struct request_object *req = (struct request_object *)(void *)thing;
    if (program_chance(400))
        cancel(req);
    else
        set_deadline(req);
}

void requests_calm(void)
{
    for (struct thing *thing = model_things(); thing; thing = thing->next) {
        struct request_object *req = (struct request_object *)(void *)thing;
        if (thing->kind == A_REQUEST && thing->active && req->kind == A_COPY && !req->canceled)
            cancel(req);
    }
}
