/* Headers from one side to the other: see headers.h.
 *
 * What is passed on is everything but what is named here: a gateway that knew all headers would be
 * out of date. Strings are lent from the request; the client copies them.
 *
 * SPDX-License-Identifier: MIT */
#include "headers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++) {
        if (strcasecmp(name, *names) == 0)
            return true;
    }
    return false;
}

/* Of the connection, not of the message; Trailer, too, as trailers are not passed on. */
static const char *const of_connection[] = {"connection",
                                            "keep-alive",
                                            "proxy-authenticate",
                                            "proxy-authorization",
                                            "proxy-connection",
                                            "te",
                                            "trailer",
                                            "transfer-encoding",
                                            "upgrade",
                                            NULL};

/* Made anew by the library; it has sent "100 Continue" itself. */
static const char *const of_request[] = {"host", "content-length", "expect", NULL};

static const char *const of_origin[] = {
    "forwarded",          "x-forwarded-for",  "x-forwarded-host",
    "x-forwarded-proto",  "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-server", "x-real-ip",        NULL};

/* Whether a list of tokens has this one. */
static bool has_token(const char *list, const char *token)
{
    size_t size = strlen(token);
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        size_t length = strcspn(at, " \t,");
        if (length == size && strncasecmp(at, token, size) == 0)
            return true;
        at += length;
    }
    return false;
}

/* There may be several Connection headers, and each names more. */
static bool stays_here(const struct loop_http_header *all, size_t count, const char *name)
{
    if (is_one_of(name, of_connection))
        return true;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(all[i].name, "connection") == 0 && has_token(all[i].value, name))
            return true;
    }
    return false;
}

bool headers_ask_upgrade(const struct loop_http_request *req)
{
    for (size_t i = 0; i < req->header_count; i++) {
        if (strcmp(req->headers[i].name, "connection") == 0 &&
            has_token(req->headers[i].value, "upgrade"))
            return loop_http_header(req, "upgrade") != NULL;
    }
    return false;
}

/* --- to an upstream --- */

static void add(struct headers *headers, const char *name, const char *value)
{
    headers->list[headers->count++] = (struct loop_http_header){name, value};
    headers->list[headers->count].name = NULL;
}

/* The number of whoever asks, without its port: "127.0.0.1", "::1". */
static void read_peer(struct headers *headers, const struct loop_http_request *req)
{
    char text[LOOP_ADDRESS_TEXT_SIZE];
    const struct loop_address *peer = loop_http_peer(req);
    snprintf(headers->peer, sizeof(headers->peer), "unknown");
    if (!peer || peer->size == 0)
        return;
    loop_address_text(peer, text);
    size_t begin = *text == '[' ? 1 : 0;
    size_t end = begin ? strcspn(text, "]") : strcspn(text, ":");
    snprintf(headers->peer, sizeof(headers->peer), "%.*s", (int)(end - begin), text + begin);
}

/* It goes into a header with a grammar of its own, so it may be nothing but a host and a port. */
static bool is_host(const char *host)
{
    size_t size = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789-._~:[]");
    return size < HEADERS_HOST_SIZE && host[size] == '\0';
}

static void add_origin(struct headers *headers, const struct loop_http_request *req,
                       const char *host)
{
    const char *scheme = req->secure ? "https" : "http";
    bool brackets = strchr(headers->peer, ':') != NULL;
    snprintf(headers->forwarded, sizeof(headers->forwarded), "for=%s%s%s;host=\"%s\";proto=%s",
             brackets ? "\"[" : "", headers->peer, brackets ? "]\"" : "", host, scheme);
    add(headers, "Forwarded", headers->forwarded);
    add(headers, "X-Forwarded-For", headers->peer);
    add(headers, "X-Forwarded-Host", host);
    add(headers, "X-Forwarded-Proto", scheme);
}

int headers_for_upstream(struct headers *headers, const struct loop_http_request *req,
                         bool trust_client)
{
    const char *host = loop_http_header(req, "host");
    host = host ? host : "";
    headers->count = 0;
    if (!is_host(host))
        return -EINVAL;
    if (req->header_count > HEADERS_MAX)
        return -E2BIG;
    for (size_t i = 0; i < req->header_count; i++) {
        const struct loop_http_header *header = &req->headers[i];
        if (!stays_here(req->headers, req->header_count, header->name) &&
            !is_one_of(header->name, of_request) &&
            (trust_client || !is_one_of(header->name, of_origin)))
            add(headers, header->name, header->value);
    }
    read_peer(headers, req);
    add_origin(headers, req, host);
    add(headers, "Via", req->version == 10 ? "1.0 gateway" : "1.1 gateway");
    return 0;
}

/* --- to a client --- */

int headers_for_client(struct loop_http_response *res, const struct loop_http_call *call)
{
    static const char *const of_response[] = {"date", NULL}; /* the library has its own */
    int error = loop_http_set_status(res, call->status);
    for (size_t i = 0; error == 0 && i < call->header_count; i++) {
        const struct loop_http_header *header = &call->headers[i];
        if (!stays_here(call->headers, call->header_count, header->name) &&
            !is_one_of(header->name, of_response))
            error = loop_http_add_header(res, header->name, header->value);
    }
    return error == 0 ? loop_http_add_header(res, "Via", "1.1 gateway") : error;
}
