/* The life of a call, from its start to the tick that tells its end.
 *
 * Everything that can be refused is refused before anything is started: the URL, the headers, made
 * into text as they will be sent. After that each outcome goes through fetch_decide(), which takes
 * the call off whatever it is on and lets a tick tell it; so on_end is never called from inside a
 * function of the program, nor while a connection is parsing.
 *
 * A connection that fails does not always mean that the call has: a kept one may have been closed
 * by the server at the very moment when it was used again, which the server's silence shows. The
 * request is then sent once more, on a new connection, if sending it twice does no harm (RFC 9110
 * 9.2.2, RFC 9112 9.3.1) and what was sent is still there.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void fetch_enter(struct fetch *fetch, enum fetch_phase phase)
{
    fetch->phase = phase;
    fetch->since_ns = loop_now(fetch->client->loop);
    fetch_watch(fetch);
}

/* --- its end --- */

void fetch_free(struct fetch *fetch)
{
    decoder_free(fetch->decoder);
    head_free(fetch->head);
    free(fetch->method);
    free(fetch->url);
    free(fetch->lines);
    free(fetch->early);
    free(fetch->next_url);
    free(fetch->collected);
    free(fetch);
}

static void on_tell(struct loop_task *task)
{
    struct fetch *fetch = loop_container_of(task, struct fetch, tick);
    struct loop_http_client *client = fetch->client;
    struct loop_http_call *call = fetch->call;
    list_remove(&fetch->link);
    client->stats.active--;
    call->fetch = NULL;
    call->url = fetch->url;
    call->body = fetch->status == 0 ? fetch->collected : NULL;
    fetch->options.on_end(call, fetch->status);
    fetch_free(fetch); /* the call may be gone by now, or another's */
    client_end_if_done(client);
}

void fetch_decide(struct fetch *fetch, int status)
{
    if (fetch->phase == FETCH_DECIDED)
        return;
    if (fetch->phase == FETCH_WAITING && fetch->origin)
        pool_unqueue(fetch);
    fetch->phase = FETCH_DECIDED;
    fetch->status = status;
    if (fetch->conn)
        conn_leave(fetch->conn);
    loop_timer_stop(&fetch->timer);
    loop_next_tick(fetch->client->loop, &fetch->tick, on_tell);
}

static bool is_idempotent(const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(method, methods[i]) == 0)
            return true;
    return false;
}

static bool may_retry(const struct fetch *fetch)
{
    const struct client_conn *conn = fetch->conn;
    return conn && conn->responses > 0 && !conn->heard && !fetch->retried &&
           !(fetch->options.streamed && fetch->body_begun) && is_idempotent(fetch->method);
}

void fetch_fail(struct fetch *fetch, int status)
{
    if (fetch->phase == FETCH_DECIDED)
        return;
    bool retry = may_retry(fetch);
    if (fetch->conn)
        conn_leave(fetch->conn);
    if (fetch->next_url) {
        redirect_follow(fetch);
        return;
    }
    if (retry) {
        fetch->retried = true;
        fetch->body_open = fetch->expecting = false;
        fetch->client->stats.retried++;
        status = pool_queue(fetch);
    }
    if (status < 0)
        fetch_decide(fetch, status);
}

/* --- its start --- */

static int check_options(const struct loop_http_client *client,
                         const struct loop_http_call_options *options)
{
    struct loop_url url;
    const char *method = options->method ? options->method : "GET";
    if (!options->url || !options->on_end || !is_token(method) || strcmp(method, "CONNECT") == 0 ||
        (options->streamed ? options->body || options->body_size > 0 : options->stream_size > 0) ||
        (options->body_size > 0 && !options->body) || (options->collect && options->on_body) ||
        options->redirects < -1)
        return -EINVAL;
    int error = loop_url_parse_http(&url, loop_text_of(options->url));
    if (error)
        return error;
    if (url.scheme.bytes[0] != 'h' && url.scheme.bytes[0] != 'H')
        return -EINVAL; /* a WebSocket's */
    return url.scheme.size == 5 && !client->options.tls ? -EPROTONOSUPPORT : 0;
}

static int copy(struct fetch *fetch, const struct loop_http_call_options *options)
{
    const struct loop_http_limits limits = {.head_bytes = fetch->client->options.head_bytes,
                                            .headers = fetch->client->options.headers};
    fetch->options = *options;
    fetch->options.url = fetch->options.method = NULL;
    fetch->options.headers = NULL;
    if (options->redirects == 0)
        fetch->options.redirects = REDIRECTS;
    if (options->body_bytes == 0)
        fetch->options.body_bytes = options->collect ? COLLECT_BYTES : UINT64_MAX;
    fetch->url = strdup(options->url);
    fetch->method = strdup(options->method ? options->method : "GET");
    fetch->head = head_new(&limits);
    if (!fetch->url || !fetch->method || !fetch->head)
        return -ENOMEM;
    return headers_to_lines(options, &fetch->lines, &fetch->lines_size);
}

static struct fetch *fetch_new(struct loop_http_client *client, struct loop_http_call *call)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (!fetch)
        return NULL;
    fetch->client = client;
    fetch->call = call;
    fetch->seq = client->seq + 1;
    fetch->due_ns = LOOP_NEVER;
    list_init(&fetch->link);
    list_init(&fetch->queue);
    loop_timer_init(client->loop, &fetch->timer);
    return fetch;
}

/* The queue takes it last of all that can fail. */
static int start(struct fetch *fetch, const struct loop_http_call_options *options)
{
    struct loop_http_client *client = fetch->client;
    int error = copy(fetch, options);
    if (error)
        return error;
    if (options->total_ns > 0)
        fetch->due_ns = ns_later(loop_now(client->loop), options->total_ns);
    error = pool_queue(fetch);
    if (error)
        return error;
    client->seq++;
    client->stats.calls++;
    client->stats.active++;
    list_append(&client->fetches, &fetch->link);
    return 0;
}

int loop_http_call_start(struct loop_http_client *client, struct loop_http_call *call,
                         const struct loop_http_call_options *options)
{
    if (!client || !call || !options)
        return -EINVAL;
    if (call->fetch)
        return -EALREADY;
    if (client->closing)
        return -ECANCELED;
    int error = check_options(client, options);
    if (error)
        return error;
    if (client->stats.waiting >= client->options.waiting)
        return -ENOBUFS;
    struct fetch *fetch = fetch_new(client, call);
    if (!fetch)
        return -ENOMEM;
    error = start(fetch, options);
    if (error) {
        fetch_free(fetch);
        return error;
    }
    *call = (struct loop_http_call){
        .data = call->data, .client = client, .url = fetch->url, .body_size = -1, .fetch = fetch};
    return 0;
}

int loop_http_get(struct loop_http_client *client, struct loop_http_call *call, const char *url,
                  loop_http_call_end_cb on_end)
{
    const struct loop_http_call_options options = {
        .url = url, .collect = true, .decode = true, .total_ns = GET_NS, .on_end = on_end};
    return loop_http_call_start(client, call, &options);
}

/* --- while it is under way --- */

static struct fetch *under_way(const struct loop_http_call *call)
{
    return call->fetch && call->fetch->phase != FETCH_DECIDED ? call->fetch : NULL;
}

int loop_http_call_cancel(struct loop_http_call *call)
{
    struct fetch *fetch = under_way(call);
    if (!fetch)
        return -EALREADY;
    fetch_decide(fetch, -ECANCELED);
    return 0;
}

int loop_http_call_deadline(struct loop_http_call *call, uint64_t after_ns)
{
    struct fetch *fetch = under_way(call);
    if (!fetch)
        return -EALREADY;
    fetch->due_ns = ns_later(loop_now(fetch->client->loop), after_ns);
    fetch_watch(fetch);
    return 0;
}

void loop_http_call_pause(struct loop_http_call *call)
{
    struct fetch *fetch = under_way(call);
    if (fetch)
        fetch->paused = true;
}

void loop_http_call_resume(struct loop_http_call *call)
{
    struct fetch *fetch = under_way(call);
    if (!fetch || !fetch->paused)
        return;
    fetch->paused = false;
    fetch->since_ns = loop_now(fetch->client->loop);
    if (fetch->conn && fetch->conn->open)
        conn_go_on(fetch->conn);
}

const char *loop_http_call_header(const struct loop_http_call *call, const char *name)
{
    for (size_t i = 0; i < call->header_count; i++)
        if (strcasecmp(call->headers[i].name, name) == 0)
            return call->headers[i].value;
    return NULL;
}
