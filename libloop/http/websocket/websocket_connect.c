/* The client's side: a name is looked up and dialled, the request sent, its answer checked.
 *
 * What that takes is the dialler's, memory of its own that goes when the socket is open. Until then
 * every failure has one way out: what went wrong is noted, the link, or the handle that was to
 * become one, is closed, and on_close comes behind that.
 *
 * All that could be refused is refused before anything is started: the request is made as text, so
 * that a header with a line break in it is the caller's error and not the server's.
 *
 * SPDX-License-Identifier: MIT */
#include "loop/dial.h"
#include "wire/message.h"
#include "websocket/websocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct websocket_dialler {
    struct loop_websocket *ws;
    struct link *link;
    struct loop_dial dial;
    struct websocket_url *url;
    char *request;
    size_t request_size;
    struct message message; /* the answer */
    struct head *head;
    char key[WEBSOCKET_KEY_SIZE];
    bool connected; /* the link has been opened */
    bool stopping;
};

/* All but the link, which frees itself, or was never opened. */
static void release(struct websocket_dialler *dialler)
{
    head_free(dialler->head);
    free(dialler->request);
    free(dialler->url);
    free(dialler);
}

/* --- the request --- */

static bool value_valid(const char *value)
{
    for (; *value; value++)
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

/* A header that the handshake does not have itself. */
static bool header_valid(const struct loop_http_header *header)
{
    static const char *const own[] = {"host",           "upgrade",           "connection",
                                      "content-length", "transfer-encoding", NULL};
    for (const char *const *at = own; *at; at++)
        if (strcasecmp(header->name, *at) == 0)
            return false;
    return strncasecmp(header->name, "sec-websocket-", 14) != 0 && is_token(header->name) &&
           header->value && value_valid(header->value);
}

static bool options_valid(const struct loop_websocket_options *options, bool secure)
{
    for (const struct loop_http_header *at = options->headers; at && at->name; at++)
        if (!header_valid(at))
            return false;
    for (const char *const *at = options->protocols; at && *at; at++)
        if (!is_token(*at))
            return false;
    return !secure || options->tls;
}

static void print(FILE *out, const struct websocket_dialler *dialler)
{
    const struct loop_websocket_options *options = &dialler->ws->options;
    fprintf(out,
            "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
            dialler->url->target, dialler->url->authority, dialler->key);
    for (const char *const *at = options->protocols; at && *at; at++)
        fprintf(out, "%s%s", at == options->protocols ? "Sec-WebSocket-Protocol: " : ", ", *at);
    if (options->protocols && *options->protocols)
        fprintf(out, "\r\n");
    if (options->deflate)
        fprintf(out, "Sec-WebSocket-Extensions: %s\r\n", WEBSOCKET_OFFER);
    for (const struct loop_http_header *at = options->headers; at && at->name; at++)
        fprintf(out, "%s: %s\r\n", at->name, at->value);
    fprintf(out, "\r\n");
}

static int compose(struct websocket_dialler *dialler)
{
    if (!options_valid(&dialler->ws->options, dialler->url->secure))
        return -EINVAL;
    int status = websocket_key_make(dialler->key);
    if (status < 0)
        return status;
    FILE *out = open_memstream(&dialler->request, &dialler->request_size);
    if (!out)
        return -ENOMEM;
    print(out, dialler);
    bool failed = ferror(out);
    return fclose(out) != 0 || failed ? -ENOMEM : 0;
}

/* --- the answer --- */

/* The value of a header that comes once; NULL: it does not. */
static const char *only(const struct head *head, const char *name)
{
    const char *value = NULL;
    for (uint32_t i = 0; i < head->trailers; i++) {
        if (strcmp(head->headers[i].name, name) != 0)
            continue;
        if (value)
            return NULL;
        value = head->headers[i].value;
    }
    return value;
}

/* Whether a list, which may come in several lines, has this token. */
static bool any_has(const struct head *head, const char *name, const char *token)
{
    for (uint32_t i = 0; i < head->trailers; i++)
        if (strcmp(head->headers[i].name, name) == 0 &&
            websocket_list_has(head->headers[i].value, token, true))
            return true;
    return false;
}

/* Without the header there is no subprotocol, which is good; with it, it must be one of ours. */
static bool protocol_valid(struct websocket_dialler *dialler)
{
    const char *const *at = dialler->ws->options.protocols;
    if (!head_find(dialler->head, "sec-websocket-protocol"))
        return true;
    const char *chosen = only(dialler->head, "sec-websocket-protocol");
    while (chosen && at && *at && strcmp(*at, chosen) != 0)
        at++;
    if (!chosen || !at || !*at)
        return false;
    dialler->ws->protocol = *at;
    return true;
}

/* Without the header nothing is agreed on, which is good; with it, it must be what we offered. */
static int read_extensions(struct websocket_dialler *dialler)
{
    const struct head *head = dialler->head;
    struct websocket_terms terms = {0};
    bool come = head_find(head, "sec-websocket-extensions");
    if (come && !dialler->ws->options.deflate)
        return -EPROTO;
    for (uint32_t i = 0; i < head->trailers; i++)
        if (strcmp(head->headers[i].name, "sec-websocket-extensions") == 0 &&
            websocket_answer_read(head->headers[i].value, &terms) < 0)
            return -EPROTO;
    return come ? websocket_deflate_begin(dialler->ws, &terms) : 0;
}

/* RFC 6455, 4.1. */
static int judge(struct websocket_dialler *dialler)
{
    const struct head *head = dialler->head;
    char expected[WEBSOCKET_ACCEPT_SIZE];
    dialler->ws->status = dialler->message.parser.status_code;
    if (dialler->ws->status != 101)
        return dialler->ws->status < 200 ? -EPROTO : -ECONNREFUSED;
    const char *upgrade = only(head, "upgrade");
    const char *accept = only(head, "sec-websocket-accept");
    int status = websocket_key_answer(dialler->key, expected);
    if (status < 0)
        return status;
    if (!upgrade || strcasecmp(upgrade, "websocket") != 0 || !accept ||
        !any_has(head, "connection", "upgrade") || strcmp(accept, expected) != 0)
        return -EPROTO;
    return protocol_valid(dialler) ? read_extensions(dialler) : -EPROTO;
}

/* --- the connection --- */

static void open_socket(struct websocket_dialler *dialler, const struct input *rest)
{
    struct loop_websocket *ws = dialler->ws;
    int status = websocket_open(ws, dialler->link, rest->bytes, rest->size);
    if (status < 0) {
        websocket_drop(ws, status);
        return;
    }
    ws->dialler = NULL;
    release(dialler);
}

static void on_bytes(struct link *link, const char *bytes, size_t size)
{
    struct loop_websocket *ws = link->owner;
    struct websocket_dialler *dialler = ws->dialler;
    struct input input = {bytes, size};
    enum message_event event = message_next(&dialler->message, &input);
    if (event == MESSAGE_MORE)
        return;
    int status = event == MESSAGE_HEAD ? judge(dialler) : -EPROTO;
    if (status == 0 && message_next(&dialler->message, &input) != MESSAGE_END)
        status = -EPROTO; /* unreachable: a 101 with a body has no good head (message_check.c) */
    if (status < 0)
        websocket_drop(ws, status);
    else
        open_socket(dialler, &input);
}

static void on_ended(struct link *link, int status)
{
    websocket_drop(link->owner, status);
}

static void on_drained(struct link *link)
{
    (void)link;
}

static void end(struct loop_websocket *ws)
{
    release(ws->dialler);
    ws->dialler = NULL;
    websocket_finish(ws);
}

static void on_closed(struct link *link)
{
    end(link->owner);
}

static void on_never_opened(struct loop_handle *handle)
{
    struct link *link = loop_container_of(handle, struct link, tcp.handle);
    struct loop_websocket *ws = link->owner;
    link_free(link);
    end(ws);
}

void websocket_dialler_stop(struct loop_websocket *ws)
{
    struct websocket_dialler *dialler = ws->dialler;
    if (dialler->stopping)
        return;
    dialler->stopping = true;
    ws->state = LOOP_WEBSOCKET_CLOSING;
    loop_timer_stop(&ws->timer);
    if (!dialler->connected)
        loop_close(&dialler->link->tcp.handle, on_never_opened);
    else if (link_waiting(dialler->link) > 0)
        link_reset(dialler->link);
    else
        link_close(dialler->link);
}

static int connected(struct websocket_dialler *dialler)
{
    static const struct link_user user = {.bytes = on_bytes,
                                          .ended = on_ended,
                                          .drained = on_drained,
                                          .closed = on_closed};
    struct loop_websocket *ws = dialler->ws;
    struct link *link = dialler->link;
    dialler->connected = true;
    int status = link_open(link, &user, ws, dialler->url->secure ? ws->options.tls : NULL,
                           dialler->url->host);
    if (status == 0)
        status = loop_tcp_nodelay(&link->tcp, true);
    if (status == 0)
        status = link_write(link, dialler->request, dialler->request_size);
    return status < 0 ? status : link_read(link);
}

static void on_dialled(struct loop_dial *dial, int status)
{
    struct websocket_dialler *dialler = loop_container_of(dial, struct websocket_dialler, dial);
    if (dialler->stopping)
        return;
    if (status == 0)
        status = connected(dialler);
    if (status < 0)
        websocket_drop(dialler->ws, status);
}

/* --- starting --- */

static int prepare(struct websocket_dialler *dialler, const char *url)
{
    static const struct loop_http_limits limits = {.head_bytes = 16 * 1024, .headers = 100};
    int status = websocket_url_parse(url, &dialler->url);
    if (status == 0)
        status = compose(dialler);
    if (status < 0)
        return status;
    dialler->head = head_new(&limits);
    dialler->link = link_new(dialler->ws->loop, true);
    if (!dialler->head || !dialler->link)
        return -ENOMEM;
    message_init(&dialler->message, false);
    dialler->message.head = dialler->head;
    dialler->link->owner = dialler->ws;
    return loop_dial(&dialler->link->tcp, &dialler->dial, dialler->url->host, dialler->url->port,
                     on_dialled);
}

int loop_websocket_connect(struct loop *loop, struct loop_websocket *ws, const char *url,
                           const struct loop_websocket_options *options)
{
    int status = websocket_begin(loop, ws, options, true);
    if (status < 0)
        return status;
    struct websocket_dialler *dialler = calloc(1, sizeof(*dialler));
    if (!dialler) {
        websocket_abandon(ws);
        return -ENOMEM;
    }
    dialler->ws = ws;
    status = prepare(dialler, url);
    if (status < 0) {
        if (dialler->link)
            link_free(dialler->link);
        release(dialler);
        websocket_abandon(ws);
        return status;
    }
    ws->dialler = dialler;
    websocket_deadline(ws, ws->options.open_ns);
    return 0;
}
