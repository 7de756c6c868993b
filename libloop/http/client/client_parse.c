/* The parsing side of a client's connection: one event of the response at a time, as long as there
 * is input and the program wants it.
 *
 * Whatever the program does in a callback, pausing, cancelling, closing the client, the next round
 * looks at it: a call that was cancelled has left the connection. What cannot be parsed yet because
 * the program has paused is held, and the link paused: a server can make a client remember one
 * read's worth and no more. The end of the stream is looked at behind all input.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- the body --- */

static int collect(struct fetch *fetch, const char *bytes, size_t size)
{
    size_t needed = fetch->collected_size + size + 1;
    if (needed > fetch->collected_capacity) {
        size_t capacity = 2 * fetch->collected_capacity;
        capacity = capacity < needed ? needed : capacity;
        char *grown = realloc(fetch->collected, capacity);
        if (!grown)
            return -ENOMEM;
        fetch->collected = grown;
        fetch->collected_capacity = capacity;
    }
    if (size > 0)
        memcpy(fetch->collected + fetch->collected_size, bytes, size);
    fetch->collected_size += size;
    fetch->collected[fetch->collected_size] = '\0';
    return 0;
}

static void deliver(struct fetch *fetch, const char *bytes, size_t size)
{
    const struct loop_http_call_options *options = &fetch->options;
    struct loop_http_call *call = fetch->call;
    if (size > options->body_bytes - call->body_read) {
        fetch_decide(fetch, -EFBIG);
        return;
    }
    call->body_read += size;
    int error = options->collect ? collect(fetch, bytes, size) : 0;
    if (error)
        fetch_decide(fetch, error);
    else if (options->on_body)
        options->on_body(call, bytes, size);
}

/* One buffer's worth of what is packed. */
static void unpack(struct fetch *fetch)
{
    const char *bytes;
    size_t size;
    int status = decoder_next(fetch->decoder, &fetch->packed, &bytes, &size);
    fetch->unpacking = status == 1;
    if (status < 0)
        fetch_decide(fetch, status);
    else if (status == 1)
        deliver(fetch, bytes, size);
}

static void on_piece(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    const struct input piece = conn->message.piece;
    fetch->since_ns = loop_now(fetch->client->loop);
    if (fetch->next_url) {
        fetch->discarded += piece.size;
        if (fetch->discarded > REDIRECT_BODY_MAX)
            fetch_fail(fetch, -EFBIG);
    } else if (fetch->decoder) {
        fetch->packed = piece;
        fetch->unpacking = true;
    } else {
        deliver(fetch, piece.bytes, piece.size);
    }
}

/* --- the head --- */

static bool has_body(const struct fetch *fetch, int status)
{
    return status >= 200 && status != 204 && status != 304 && strcmp(fetch->method, "HEAD") != 0;
}

static bool is_packed(const struct fetch *fetch)
{
    const char *coding = head_find(fetch->head, "content-encoding");
    return fetch->options.decode && coding &&
           (strcasecmp(coding, "gzip") == 0 || strcasecmp(coding, "x-gzip") == 0);
}

static void publish(struct fetch *fetch, int status, int64_t body_size)
{
    struct loop_http_call *call = fetch->call;
    call->url = fetch->url;
    call->status = status;
    call->reason = fetch->head->reason;
    call->headers = fetch->head->headers;
    call->header_count = fetch->head->count;
    call->body_size = fetch->decoder ? -1 : body_size;
}

/* 101 would be another protocol, which nobody has asked for. */
static void on_interim_head(struct client_conn *conn, int status)
{
    struct fetch *fetch = conn->fetch;
    message_skip_body(&conn->message);
    if (status < 100 || status == 101 || ++fetch->interim > INTERIM_MAX)
        fetch_fail(fetch, -EPROTO);
    else if (status == 100 && fetch->expecting)
        fetch_send_body(fetch);
}

static void on_answer(struct client_conn *conn, int status)
{
    struct fetch *fetch = conn->fetch;
    bool body = has_body(fetch, status);
    fetch->decoder = body && is_packed(fetch) ? decoder_new() : NULL;
    if (body && is_packed(fetch) && !fetch->decoder) {
        fetch_decide(fetch, -ENOMEM);
        return;
    }
    publish(fetch, status, message_body_size(&conn->message));
    if (fetch->options.on_head)
        fetch->options.on_head(fetch->call);
}

/* Where the end of a body is that of its connection, a redirect does not wait for it. */
static void on_head(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    int status = conn->message.parser.status_code;
    if (status < 200) {
        on_interim_head(conn, status);
        return;
    }
    if (!has_body(fetch, status))
        message_skip_body(&conn->message);
    conn->keep_alive = llhttp_should_keep_alive(&conn->message.parser);
    fetch_enter(fetch, FETCH_BODY);
    int planned = redirect_plan(fetch, status);
    if (planned < 0)
        fetch_decide(fetch, planned);
    else if (planned == 0)
        on_answer(conn, status);
    else if (!conn->keep_alive)
        fetch_fail(fetch, -ECONNRESET);
}

/* --- the end --- */

static int end_of_body(struct fetch *fetch)
{
    if (fetch->decoder && !decoder_is_whole(fetch->decoder))
        return -EBADMSG;
    return fetch->options.collect ? collect(fetch, NULL, 0) : 0;
}

static void on_message_end(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    if (fetch->phase == FETCH_ASKED) {
        head_reset(fetch->head); /* that was an interim response */
        return;
    }
    conn_release(conn);
    if (fetch->next_url) {
        redirect_follow(fetch);
        return;
    }
    fetch->call->trailers = fetch->head->headers + fetch->head->trailers;
    fetch->call->trailer_count = fetch->head->count - fetch->head->trailers;
    fetch_decide(fetch, end_of_body(fetch));
}

static void on_input_ended(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    enum message_event event =
        conn->ended == LOOP_EOF ? message_finish(&conn->message) : MESSAGE_ERROR;
    if (event == MESSAGE_END && fetch->phase == FETCH_BODY)
        on_message_end(conn);
    else
        fetch_fail(fetch, conn->ended == LOOP_EOF ? -ECONNRESET : conn->ended);
}

/* --- one event after another --- */

static bool is_paused(const struct fetch *fetch)
{
    return fetch->paused && fetch->phase == FETCH_BODY && !fetch->next_url;
}

static bool wanted(const struct client_conn *conn)
{
    return conn->fetch && !is_paused(conn->fetch);
}

/* False: the input is used up. */
static bool step(struct client_conn *conn)
{
    if (conn->fetch->unpacking) {
        unpack(conn->fetch);
        return true;
    }
    switch (message_next(&conn->message, &conn->input)) {
    case MESSAGE_HEAD:
        on_head(conn);
        return true;
    case MESSAGE_BODY:
        on_piece(conn);
        return true;
    case MESSAGE_END:
        on_message_end(conn);
        return true;
    case MESSAGE_ERROR:
        fetch_fail(conn->fetch, conn->message.status == 431 ? -EMSGSIZE : -EPROTO);
        return true;
    case MESSAGE_MORE:
        break;
    }
    return false;
}

/* What is left must outlive the read that brought it: the packed piece and all behind it. */
static bool hold(struct client_conn *conn)
{
    struct fetch *fetch = conn->fetch;
    if (conn->held)
        return true; /* it is in there */
    const char *from = fetch->unpacking ? fetch->packed.bytes : conn->input.bytes;
    size_t size = (size_t)(conn->input.bytes - from) + conn->input.size;
    if (size == 0)
        return true;
    conn->held = malloc(size);
    if (!conn->held)
        return false;
    memcpy(conn->held, from, size);
    conn->input.bytes = conn->held + (conn->input.bytes - from);
    if (fetch->unpacking)
        fetch->packed.bytes = conn->held;
    return true;
}

static void settle(struct client_conn *conn)
{
    bool waits = conn->fetch && (conn->input.size > 0 || conn->fetch->unpacking);
    if (!waits) {
        free(conn->held);
        conn->held = NULL;
    }
    if (!conn->fetch)
        return;
    fetch_watch(conn->fetch);
    if (waits && hold(conn))
        link_pause(conn->wire);
    else if (waits)
        fetch_decide(conn->fetch, -ENOMEM);
    else if (is_paused(conn->fetch))
        link_pause(conn->wire); /* an end that was decided already may be to come */
    else if (conn->ended)
        on_input_ended(conn);
    else if (link_read(conn->wire) < 0)
        fetch_fail(conn->fetch, -ENOMEM);
}

void conn_parse(struct client_conn *conn)
{
    while (wanted(conn) && step(conn))
        ;
    settle(conn);
}

static void on_tick(struct loop_task *task)
{
    struct client_conn *conn = loop_container_of(task, struct client_conn, tick);
    conn->ticking = false;
    conn_parse(conn);
}

/* From a user's call, which must not call the user back. */
void conn_go_on(struct client_conn *conn)
{
    if (conn->ticking)
        return;
    conn->ticking = true;
    loop_next_tick(conn->origin->client->loop, &conn->tick, on_tick);
}
