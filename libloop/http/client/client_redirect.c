/* Redirects (RFC 9110 15.4): what may be followed, and what is left of the request on the way.
 *
 * A redirect is planned when its head has come. Its body is thrown away, so that the connection can
 * be used again, unless there is much of it; then the call waits for its turn in the queue of the
 * new origin, with the age that it had. What only the program can decide is not decided here: a
 * redirect to plain HTTP, or one that would need a streamed body again, is handed out as the
 * response that it is.
 *
 * What was meant for one origin alone, credentials, is not sent to another, and stays away even if
 * the next redirect leads back.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool becomes_get(const char *method, int status)
{
    if (status == 303)
        return strcmp(method, "HEAD") != 0 && strcmp(method, "GET") != 0;
    return (status == 301 || status == 302) && strcmp(method, "POST") == 0;
}

static bool same_text(struct loop_text a, struct loop_text b)
{
    return a.size == b.size && strncasecmp(a.bytes, b.bytes, a.size) == 0;
}

static bool same_origin(const struct loop_url *a, const struct loop_url *b)
{
    return same_text(a->scheme, b->scheme) && same_text(a->host, b->host) && a->port == b->port;
}

/* Whether the client may go from one to the other. */
static bool may_go(const struct fetch *fetch, const struct loop_url *from,
                   const struct loop_url *to)
{
    if (to->scheme.bytes[0] != 'h' && to->scheme.bytes[0] != 'H')
        return false;
    if (to->scheme.size == 5)
        return fetch->client->options.tls != NULL;
    return from->scheme.size == 4 || fetch->options.insecure;
}

/* Where it leads, allocated; NULL: nowhere that could be followed, or no memory for it. */
static char *next_url(const struct fetch *fetch, struct loop_url *from, struct loop_url *to)
{
    struct loop_url reference;
    const char *location = head_find(fetch->head, "location");
    if (!location || loop_url_parse(&reference, loop_text_of(location)) < 0 ||
        loop_url_parse_http(from, loop_text_of(fetch->url)) < 0)
        return NULL;
    char *text = malloc(LOOP_URL_MAX + 1);
    ssize_t size = text ? loop_url_resolve(from, &reference, text, LOOP_URL_MAX + 1) : -ENOMEM;
    if (size >= 0 && loop_url_parse_http(to, loop_text_of(text)) == 0 && may_go(fetch, from, to))
        return text;
    free(text);
    return NULL;
}

/* The body is not there any more. */
static bool needs_lost_body(const struct fetch *fetch, bool to_get)
{
    return fetch->options.streamed && fetch->body_begun && !to_get && !fetch->bodiless;
}

static int take_body_away(struct fetch *fetch)
{
    char *method = strdup("GET");
    if (!method)
        return -ENOMEM;
    free(fetch->method);
    fetch->method = method;
    fetch->bodiless = true;
    return 0;
}

int redirect_plan(struct fetch *fetch, int status)
{
    struct loop_url from, to;
    if (!is_redirect(status) || fetch->options.redirects < 0)
        return 0;
    bool to_get = becomes_get(fetch->method, status);
    char *url = needs_lost_body(fetch, to_get) ? NULL : next_url(fetch, &from, &to);
    if (!url)
        return 0;
    int error = fetch->call->redirects == fetch->options.redirects ? -ELOOP : 0;
    if (!error && to_get)
        error = take_body_away(fetch);
    if (error) {
        free(url);
        return error;
    }
    fetch->nameless = fetch->nameless || !same_origin(&from, &to);
    fetch->next_url = url;
    fetch->discarded = 0;
    fetch->call->redirects++;
    return 1;
}

void redirect_follow(struct fetch *fetch)
{
    free(fetch->url);
    fetch->url = fetch->next_url;
    fetch->call->url = fetch->url;
    fetch->next_url = NULL;
    fetch->retried = fetch->body_open = fetch->expecting = false;
    fetch->interim = 0;
    head_reset(fetch->head);
    int error = pool_queue(fetch);
    if (error)
        fetch_decide(fetch, error);
}
