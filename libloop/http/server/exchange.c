/* The life of an exchange: from the first byte of a head to the end of its response.
 *
 * Its memory, 20 KiB of which a small request touches 2, is kept for the next. While the program
 * has it nothing frees it but the end of the response: a peer that goes first leaves the exchange
 * on the server's list of those that are gone, where it waits for its program. The alternative, an
 * exchange that may vanish, makes every answer from a thread a race that each program must win by
 * itself.
 *
 * SPDX-License-Identifier: MIT */
#include "server/compress.h"
#include "server/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct exchange *take_spare(struct loop_http_server *server)
{
    struct loop_link *link = list_pop(&server->spares);
    if (link) {
        server->spare_count--;
        return loop_container_of(link, struct exchange, link);
    }
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange)
        exchange->head = head_new(&server->options.limits);
    if (exchange && !exchange->head) {
        free(exchange);
        return NULL;
    }
    if (exchange)
        list_init(&exchange->link);
    return exchange;
}

/* --- hooks --- */

void exchange_hook(struct exchange *exchange, struct exchange_hook *hook)
{
    hook->next = exchange->hooks;
    exchange->hooks = hook;
}

void exchange_unhook(struct exchange *exchange, struct exchange_hook *hook)
{
    struct exchange_hook **at = &exchange->hooks;
    while (*at && *at != hook)
        at = &(*at)->next;
    if (*at)
        *at = hook->next;
}

/* The first that ends the response takes all others along. */
void exchange_leave(struct exchange *exchange)
{
    struct exchange_hook *hook = exchange->ended ? NULL : exchange->hooks;
    while (hook && !hook->leave)
        hook = hook->next;
    if (hook)
        hook->leave(hook);
}

static void let_go(struct exchange *exchange)
{
    struct exchange_hook *hook;
    while ((hook = exchange->hooks)) {
        exchange->hooks = hook->next;
        hook->gone(hook);
    }
}

/* --- its memory --- */

static void free_buffers(struct exchange *exchange)
{
    let_go(exchange);
    free(exchange->trailers);
    free(exchange->collected);
    free(exchange->piece);
    free(exchange->found);
    compress_free(exchange->compressor);
}

/* Room for headers is kept with it, if it is no more than is usual. */
static void reset(struct exchange *exchange)
{
    enum { LINES_KEPT = 1024 };
    struct head *head = exchange->head;
    char *lines = exchange->lines;
    size_t lines_capacity = exchange->lines_capacity;
    loop_task_cancel(&exchange->decided);
    if (lines_capacity > LINES_KEPT) {
        free(lines);
        lines = NULL;
        lines_capacity = 0;
    }
    free_buffers(exchange);
    head_reset(head);
    memset(exchange, 0, sizeof(*exchange));
    exchange->head = head;
    exchange->lines = lines;
    exchange->lines_capacity = lines_capacity;
    list_init(&exchange->link);
}

struct exchange *exchange_new(struct loop_http_connection *conn)
{
    struct loop_http_server *server = conn->server;
    struct exchange *exchange = take_spare(server);
    if (!exchange)
        return NULL;
    exchange->conn = conn;
    exchange->length = -1;
    exchange->body_limit = server->options.limits.body_bytes;
    exchange->req.server = server;
    exchange->req.response = &exchange->res;
    exchange->req.method = exchange->req.target = exchange->req.path = exchange->req.query = "";
    exchange->req.version = 11;
    exchange->req.secure = server->options.tls != NULL;
    exchange->req.started_ns = loop_now(server->loop);
    exchange->res.request = &exchange->req;
    exchange->res.status = 200;
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    list_remove(&exchange->link);
    loop_task_cancel(&exchange->decided);
    free(exchange->lines);
    free_buffers(exchange);
    head_free(exchange->head);
    free(exchange);
}

/* --- its beginning --- */

/* "http://host/path" is a form that servers must take too (RFC 9112 3.2.2). */
static const char *path_of(const char *target)
{
    const char *authority = target[0] == '/' ? NULL : strstr(target, "://");
    if (!authority)
        return target;
    const char *path = authority + 3 + strcspn(authority + 3, "/?");
    return *path == '/' ? path : "/";
}

static void split_target(struct loop_http_request *req, struct head *head)
{
    req->target = head->target;
    req->path = path_of(req->target);
    const char *mark = strchr(req->target, '?');
    if (!mark)
        return;
    req->query = mark + 1;
    if (strchr(req->path, '?') == NULL)
        return;
    size_t size = (size_t)(mark - req->path);
    char *copy = head->text + head->size; /* there is room for a target */
    memcpy(copy, req->path, size);
    copy[size] = '\0';
    req->path = copy;
}

static void read_head(struct exchange *exchange)
{
    struct loop_http_request *req = &exchange->req;
    struct loop_http_connection *conn = exchange->conn;
    const struct message *message = &conn->message;
    req->method = llhttp_method_name((llhttp_method_t)message->parser.method);
    req->version = 10 + (unsigned)message->parser.http_minor;
    req->headers = exchange->head->headers;
    req->header_count = exchange->head->count;
    req->body_size = message_body_size(message);
    req->keep_alive = !conn->last && llhttp_should_keep_alive(&message->parser);
    req->started_ns = loop_now(conn->server->loop);
    exchange->body = req->body_size == 0 ? BODY_OVER : BODY_UNASKED;
    split_target(req, exchange->head);
}

void exchange_begin(struct exchange *exchange)
{
    struct loop_http_server *server = exchange->req.server;
    read_head(exchange);
    exchange->conn->last = !exchange->req.keep_alive;
    server->stats.requests++;
    server->stats.active++;
    server->options.on_request(&exchange->req, &exchange->res);
}

/* --- its body --- */

static void deliver(struct exchange *exchange, ssize_t size, const void *bytes)
{
    if (size < 0) {
        exchange->body = BODY_OVER;
        exchange->req.trailers = exchange->head->headers + exchange->head->trailers;
        exchange->req.trailer_count = exchange->head->count - exchange->head->trailers;
    }
    exchange->body_cb(&exchange->req, size, bytes);
}

void exchange_body(struct exchange *exchange, ssize_t size, const void *bytes)
{
    struct loop_http_request *req = &exchange->req;
    if (exchange->body == BODY_OVER)
        return; /* else somebody reads it, or nothing of it would have been parsed */
    if (size > 0 && req->body_read + (uint64_t)size > exchange->body_limit) {
        exchange->conn->last = true;
        deliver(exchange, -EFBIG, NULL);
        return;
    }
    req->body_read += size > 0 ? (uint64_t)size : 0;
    deliver(exchange, size, bytes);
}

/* --- its end --- */

static void note(struct loop_http_server *server, const struct exchange *exchange)
{
    struct loop_http_stats *stats = &server->stats;
    enum { BUCKETS = sizeof(stats->buckets) / sizeof(stats->buckets[0]) };
    uint64_t took_ns = loop_now(server->loop) - exchange->req.started_ns;
    size_t bucket = 0;
    while (bucket < BUCKETS - 1 && took_ns >> bucket >= 64 * LOOP_US)
        bucket++;
    stats->buckets[bucket]++;
    stats->duration_ns += took_ns;
    stats->responses[exchange->res.head_sent ? exchange->res.status / 100 % 6 : 0]++;
}

void exchange_over(struct exchange *exchange, int error)
{
    struct loop_http_server *server = exchange->req.server;
    struct loop_http_connection *conn = exchange->conn;
    note(server, exchange);
    server->stats.active -= exchange->req.method[0] != '\0';
    if (conn)
        conn->exchange = NULL; /* before the callback: it may close the server, which ends others */
    if (server->options.on_log)
        server->options.on_log(server, &exchange->req, error);
    list_remove(&exchange->link);
    if (server->spare_count < SPARES_MAX && !server->closing) {
        reset(exchange);
        list_append(server->spares.next, &exchange->link); /* first: its memory is warm */
        server->spare_count++;
    } else {
        exchange_free(exchange);
    }
    if (conn)
        connection_exchange_over(conn, error == 0);
    else
        server_end_if_done(server);
}

/* The program may end it in either callback. */
void exchange_lost(struct exchange *exchange)
{
    exchange->peer = exchange->conn->peer;
    exchange->conn = NULL;
    list_append(&exchange->req.server->gone, &exchange->link);
    exchange->telling = true;
    if (exchange->body != BODY_OVER && exchange->body_cb)
        deliver(exchange, -EPIPE, NULL);
    exchange->body = BODY_OVER;
    if (!exchange->ended && exchange->close_cb)
        exchange->close_cb(&exchange->res);
    exchange->telling = false;
    if (exchange->from)
        response_stream_cancel(exchange);
    else if (exchange->ended)
        exchange_over(exchange, -EPIPE);
}

void exchange_refuse(struct exchange *exchange, int status)
{
    loop_http_end_error(&exchange->res, status, NULL);
}
