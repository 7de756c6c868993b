/* The server's handshake: a request is checked, answered, and its connection taken over.
 *
 * Each condition of RFC 6455, 4.2.1 is checked, and headers that must be one are counted: what two
 * servers might read in two ways is refused here, too. What extensions the client offers is not
 * even read unless messages may be deflated.
 *
 * The origin is checked before anything is given: a browser lets any page open a socket to any
 * server, with the user's cookies, and relies on the server to look who asks.
 *
 * SPDX-License-Identifier: MIT */
#include "server/connection.h"
#include "websocket/websocket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { EXTRA_MAX = 512 }; /* the lines of the answer: the longest subprotocol is 255 */

/* Whether any header of a name that may come several times has this token. */
static bool any_has(const struct loop_http_request *req, const char *name, const char *token,
                    bool any_case)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (strcmp(req->headers[i].name, name) == 0 &&
            websocket_list_has(req->headers[i].value, token, any_case))
            return true;
    return false;
}

/* The value of a header that comes once; NULL: it does not. */
static const char *only(const struct loop_http_request *req, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < req->header_count; i++) {
        if (strcmp(req->headers[i].name, name) != 0)
            continue;
        if (value)
            return NULL;
        value = req->headers[i].value;
    }
    return value;
}

bool loop_websocket_wanted(const struct loop_http_request *req)
{
    return any_has(req, "upgrade", "websocket", true);
}

/* --- who asks --- */

/* The page and the request have the same host and port, whatever the scheme. */
static bool same_host(const struct loop_http_request *req, const char *origin)
{
    const char *host = loop_http_header(req, "host");
    const char *authority = strstr(origin, "://");
    return host && authority && strcasecmp(authority + 3, host) == 0;
}

static bool origin_allowed(const struct loop_http_request *req,
                           const struct loop_websocket_options *options)
{
    const char *origin = loop_http_header(req, "origin");
    for (const char *const *at = options->origins; origin && at && *at; at++)
        if (strcmp(*at, "*") == 0 || strcasecmp(*at, origin) == 0)
            return true;
    if (options->check_origin)
        return options->check_origin(req, origin);
    return !origin || (!options->origins && same_host(req, origin));
}

/* --- what is asked --- */

/* Whether the lists of extensions are such. */
static bool read_offers(const struct loop_http_request *req, struct websocket_terms *terms)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (strcmp(req->headers[i].name, "sec-websocket-extensions") == 0 &&
            websocket_offers_read(req->headers[i].value, terms) < 0)
            return false;
    return true;
}

/* 101, or the status to refuse with. */
static int judge(const struct loop_http_request *req, const struct loop_websocket_options *options,
                 struct websocket_terms *terms)
{
    const char *version = only(req, "sec-websocket-version");
    const char *key = only(req, "sec-websocket-key");
    if (strcmp(req->method, "GET") != 0)
        return 405;
    if (req->version != 11 || req->body_size != 0 || !loop_websocket_wanted(req) ||
        !any_has(req, "connection", "upgrade", true))
        return 400;
    if (!version || strcmp(version, "13") != 0)
        return 426;
    if (!key || !websocket_key_valid(key) || (options->deflate && !read_offers(req, terms)))
        return 400;
    return origin_allowed(req, options) ? 101 : 403;
}

/* With a status, and the header that tells the client what it should have sent. */
static int refuse(struct loop_http_response *res, int status)
{
    if (status == 405)
        loop_http_set_header(res, "allow", "GET");
    if (status == 426)
        loop_http_set_header(res, "sec-websocket-version", "13");
    loop_http_set_status(res, status);
    loop_http_end_text(res, status == 403   ? "This origin may not open a WebSocket here.\n"
                            : status == 503 ? "The server is out of memory.\n"
                                            : "This is not the handshake of a WebSocket.\n");
    return status == 403 ? -EACCES : status == 503 ? -ENOMEM : -EPROTO;
}

/* The first of ours that the client offers. */
static const char *choose(const struct loop_http_request *req, const char *const *protocols)
{
    for (; protocols && *protocols; protocols++)
        if (any_has(req, "sec-websocket-protocol", *protocols, false))
            return *protocols;
    return NULL;
}

/* --- the answer --- */

static int answer(const struct loop_http_request *req, const char *protocol,
                  const struct websocket_terms *terms, char *extra)
{
    char extension[WEBSOCKET_ANSWER_SIZE] = "";
    char accept[WEBSOCKET_ACCEPT_SIZE];
    int status = websocket_key_answer(only(req, "sec-websocket-key"), accept);
    if (terms->agreed)
        websocket_answer_print(terms, extension);
    int size = snprintf(extra, EXTRA_MAX,
                        "Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n"
                        "%s%s%s%s",
                        accept, protocol ? "Sec-WebSocket-Protocol: " : "",
                        protocol ? protocol : "", protocol ? "\r\n" : "", extension);
    return status == 0 && size >= EXTRA_MAX ? -ENAMETOOLONG : status;
}

/* The server closes. */
static void on_leave(struct link *link, bool now)
{
    struct loop_websocket *ws = link->owner;
    if (now)
        websocket_drop(ws, -ECANCELED);
    else
        loop_websocket_close(ws, LOOP_WEBSOCKET_GOING_AWAY, NULL);
}

static int take_over(struct loop_http_response *res, struct loop_websocket *ws, const char *extra)
{
    struct loop_http_server *server = res->request->server;
    struct link *link;
    const char *rest;
    size_t size;
    int status = http_upgrade(res, extra, &link, &rest, &size);
    if (status < 0) {
        loop_http_end_error(res, 500, NULL);
        return status;
    }
    status = websocket_open(ws, link, rest, size);
    if (status < 0) {
        link->user = NULL;
        link_reset(link);
    } else {
        upgrade_watch(server, link, on_leave);
    }
    return status;
}

int loop_websocket_accept(struct loop_http_response *res, struct loop_websocket *ws,
                          const struct loop_websocket_options *options)
{
    static const struct loop_websocket_options none;
    const struct loop_http_request *req = res->request;
    char extra[EXTRA_MAX];
    struct websocket_terms terms = {0};
    int verdict = judge(req, options ? options : &none, &terms);
    if (verdict != 101)
        return refuse(res, verdict);
    int status = websocket_begin(req->server->loop, ws, options, false);
    if (status < 0) {
        refuse(res, 503);
        return status;
    }
    ws->protocol = choose(req, ws->options.protocols);
    if (terms.agreed && websocket_deflate_begin(ws, &terms) < 0)
        terms.agreed = false; /* it does without */
    status = answer(req, ws->protocol, &terms, extra);
    if (status < 0)
        refuse(res, 503);
    else
        status = take_over(res, ws, extra);
    if (status < 0)
        websocket_abandon(ws);
    return status;
}
