/* Internal. A message of HTTP/1, read by pulling: message_next() says what comes next in the input,
 * and stops there. No function of a user is ever called from inside the parser, so whatever such a
 * function does, pausing, ending or closing the connection, the parser is not in the middle of
 * anything. Servers read requests with it and clients responses.
 *
 * However the input is cut, the events are the same, but that one piece of a body may come as
 * several.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_MESSAGE_H
#define LOOP_HTTP_MESSAGE_H

#include "loop/http.h"

#include <llhttp.h>

/* A head as text that does not move: all strings of a message point into it. */
struct head {
    const char *target; /* of a request */
    const char *reason; /* of a response */
    struct loop_http_header *headers;
    uint32_t count, count_max;
    uint32_t trailers; /* once the head is complete: the index of the first of them */
    uint32_t begin;    /* of the string under way */
    uint32_t used, size, target_max;
    char *text; /* size bytes; behind them is room for a copy of the path */
};

/* Unread bytes. */
struct input {
    const char *bytes;
    size_t size;
};

enum message_event {
    MESSAGE_MORE,  /* the input is used up */
    MESSAGE_HEAD,  /* message->head is complete */
    MESSAGE_BODY,  /* message->piece of the body, inside the input */
    MESSAGE_END,   /* the message is over; the next begins with what is left of the input */
    MESSAGE_ERROR, /* this is not HTTP: message->status is the answer; nothing more can be read */
};

enum message_place {
    PLACE_BEFORE, /* but for empty lines nothing has come */
    PLACE_LINE,   /* in the request line */
    PLACE_BEHIND,
};

struct message {
    llhttp_t parser;
    struct head *head;
    struct input piece;
    enum message_event event;
    int status;
    uint32_t head_bytes;      /* of this message's head, so far */
    uint32_t spaces;          /* in its first line */
    uint32_t extension_bytes; /* of chunks, in this message */
    char before;              /* the byte before those that come; 0: none, or of a body */
    enum message_place place; /* of a request */
    bool has_head;            /* and what comes is not of it */
};

/* Begins a stream of messages. The head that the next is read into may be set later. */
void message_init(struct message *message, bool request);

/* Memory for a head within the limits; NULL: none. head_reset() makes it fit for the next. */
struct head *head_new(const struct loop_http_limits *limits);
void head_free(struct head *head);
void head_reset(struct head *head);

/* The value of the first header called name (in lower case); NULL: none. */
const char *head_find(const struct head *head, const char *name);

/* How long a name is; 0: it may not be the name of a header (RFC 9110 5.6.2). */
size_t token_size(const char *name);
bool is_token(const char *name);

/* Whether a value that is a list ("a, b;q=1") has this word, whatever its case. */
bool list_has(const char *list, const char *word);

/* message_check.c. Whether bytes outside of bodies can be read in one way only; of a complete head,
 * and of trailers: 0, or the status to answer with. */
bool message_lines_are_clear(struct message *message, const char *bytes, size_t size);
int message_check_head(const struct message *message);
int message_check_trailers(const struct message *message);

enum message_event message_next(struct message *message, struct input *input);

/* The stream has ended: MESSAGE_END if that ends the body of a response, MESSAGE_ERROR if it is in
 * the middle of something, else MESSAGE_MORE. */
enum message_event message_finish(struct message *message);

/* A response to HEAD has no body, whatever its headers say; from MESSAGE_HEAD on. */
void message_skip_body(struct message *message);

/* How large the body is; -1: not known before its end. From MESSAGE_HEAD on. */
int64_t message_body_size(const struct message *message);

#endif
