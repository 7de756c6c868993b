/* Internal. The objects of the program's streams: streams.c makes, opens and closes them,
 * requests.c does with them what takes time.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIM_STREAMS_H
#define LOOP_SIM_STREAMS_H

#include "program.h"

struct stream_object {
    struct thing thing;
    struct transfer transfer;
    union {
        struct loop_tcp tcp;
        struct loop_pipe pipe;
    };
    unsigned requests; /* in flight, of all kinds */
    unsigned writes, reads_into;
    char path[16]; /* empty: it has none */
    bool is_tcp, is_listener, is_fifo, only_reads, only_writes;
    bool open, connecting, listening, reading, shut;
    bool hidden; /* requests that nobody is told of may be in flight */
    bool copies_from, copies_to;
};

enum request_kind { A_CONNECT, A_READ, A_WRITE, A_SHUTDOWN, A_COPY, A_JOB };

struct request_object {
    struct thing thing;
    enum request_kind kind;
    struct stream_object *stream; /* NULL: none */
    struct stream_object *to;     /* of a copy */
    struct piece *piece;          /* of a write */
    char *bytes;
    bool canceled, has_deadline;
    uint64_t ready_ns; /* of a job: before it no thread has done it */
    bool ran;
    union {
        struct loop_request request;
        struct loop_connect connect;
        struct loop_read read;
        struct loop_write write;
        struct loop_shutdown shutdown;
        struct loop_stream_pipe copy;
        struct loop_work work;
    };
};

struct loop_stream *stream_of(struct stream_object *mine);
struct stream_object *mine_of(struct loop_stream *stream);
void stream_refresh(struct stream_object *mine); /* the model and the kernel hear of it */

/* requests.c */

struct request_object *request_make(struct stream_object *stream, enum request_kind kind);
void request_undo(struct request_object *req); /* it was refused */
bool request_may_last(const struct thing *thing);
void on_connect(struct loop_connect *connect, int status);
void on_drain(struct loop_stream *stream);
void transfer_act(struct stream_object *mine);
void requests_calm(void);
void read_calmly(struct stream_object *mine);

#endif
