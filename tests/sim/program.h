/* Internal. The program: what its two halves, program.c and streams.c, offer each other.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIM_PROGRAM_H
#define LOOP_SIM_PROGRAM_H

#include "model.h"

extern struct loop the_loop;

enum {
    TIMER_BIT = 1 << A_TIMER,
    HOOK_BITS = 1 << AN_IDLE | 1 << A_PREPARE | 1 << A_CHECK,
    TASK_BITS = 1 << A_TICK | 1 << A_MICROTASK | 1 << AN_IMMEDIATE | 1 << A_POST,
    ASYNC_BIT = 1 << AN_ASYNC,
    POLL_BIT = 1 << A_POLL,
    STREAM_BIT = 1 << A_STREAM,
    REQUEST_BIT = 1 << A_REQUEST,
};

/* What a callback does at its end: anything, or nothing. The thing may be gone afterwards. */
void react(void);

/* program.c */

void program_main(void);
void check_result(const char *what, int result, bool expected);

/* streams.c */

void streams_begin(void);
void stream_act(void);
void request_act(void);
void stream_close_now(struct thing *thing, bool reset);
void streams_calm(void);          /* read everything, accept everything */
struct thing *request_left(void); /* in flight, and may not wait for ever; or NULL */
void jobs_end(void);
void copies_close(void);  /* what other processes hold */
void streams_check(void); /* what epoll watches is what is under way */

/* watching.c */

void watching_act(void);
void watching_close(struct thing *thing);
void watching_calm(void);
struct thing *watching_left(void); /* that is to be told something; or NULL */

/* family.c */

void family_begin(void);
void process_act(void);
void signal_act(void);
void process_close(struct thing *thing);
void signal_close(struct thing *thing);
void family_calm(void);
struct thing *family_left(void); /* as watching_left() */

/* transfer.c: bytes in are bytes out */

struct piece;

/* What has been sent and received, of a stream. */
struct transfer {
    struct piece *pieces; /* in the order of the calls */
    unsigned pieces_made;
    char *given; /* read by the library and not yet told */
    size_t given_size;
    size_t copied;                /* bytes sent that were given to another */
    int end;                      /* what the last read without bytes returned */
    struct transfer *copied_from; /* what was given to that is sent by this */
};

struct piece *piece_add(struct transfer *transfer, size_t size);
char *piece_bytes(const struct piece *piece);
size_t piece_size(const struct piece *piece);
bool piece_is_over(const struct piece *piece);
void pieces_may_stop(struct transfer *transfer);
size_t piece_taken(const struct piece *piece);
void piece_may_stop(struct piece *piece); /* its rest may never be sent */
void piece_drop(struct transfer *transfer, struct piece *piece);
void pieces_drop_all(struct transfer *transfer);
void given_check(struct transfer *transfer, const void *bytes, size_t size);

#endif
