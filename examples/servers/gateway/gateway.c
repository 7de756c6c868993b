/* A reverse proxy before several servers: whoever has the least to do is asked.
 *
 *     ./run example rest --port 8081                  and once more with --port 8082
 *     ./run example gateway --upstream 127.0.0.1:8081 --upstream 127.0.0.1:8082 --admin 9090
 *     curl -i http://127.0.0.1:8080/notes             and http://127.0.0.1:9090/metrics
 *
 * This file is the way of a request: a server is chosen (upstreams.h), the head goes there
 * (headers.h), bodies flow both ways no faster than the other side takes them, and what goes wrong
 * becomes a status: 502 (it failed), 503 (there is none), 504 (too slow). A request that may be
 * sent twice, of a method that is idempotent and without a body, goes to one more server if the
 * first fails before it answers. Other protocols (Upgrade, CONNECT) are refused with 501, TRACE
 * with 405, because it would tell what the gateway adds. Trailers are not passed on.
 *
 * A relay is one exchange on both sides. It ends in on_end() of the upstream's side, always: if the
 * client goes, that side is cancelled first.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/serve.h"
#include "admin.h"
#include "headers.h"
#include "upstreams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS = 256, WAITING = 1000 }; /* to one upstream; and requests that wait for one */

struct relay {
    struct loop_http_call call;
    struct loop_http_request *req;
    struct loop_http_response *res;
    struct upstream *upstream;
    struct upstream *failed; /* that was asked before; or NULL */
    bool answered;           /* the head has gone to the client */
    bool gone;               /* the client has */
    int fault;               /* what was wrong with the body of the request; or 0 */
};

static struct gateway {
    struct serve serve;
    struct upstreams upstreams;
    struct admin admin;
    const char *upstream; /* the last; main() has read them all */
    const char *admin_port, *health, *check_ms, *connect_ms, *first_byte_ms, *total_ms;
    uint64_t total_ns;
    bool round_robin, trust;
    const char *names[UPSTREAMS_MAX + 1];
    unsigned name_count;
} gateway = {.health = "/health", .check_ms = "1000"};

static int start(struct relay *relay);

/* --- the end --- */

static void fail(struct relay *relay, int status, const char *why)
{
    struct loop_http_response *res = relay->res;
    free(relay);
    loop_http_end_error(res, status, why);
}

/* It may be better in a moment. */
static void fail_for_now(struct relay *relay, const char *why)
{
    struct loop_http_response *res = relay->res;
    free(relay);
    loop_http_set_status(res, 503);
    loop_http_set_header(res, "Retry-After", "1");
    loop_http_end_text(res, why);
}

static void fail_for(struct relay *relay, int error)
{
    switch (error) {
    case -ETIMEDOUT:
        fail(relay, relay->fault ? 408 : 504, "The server behind this gateway took too long.");
        break;
    case -ENOBUFS:
        fail_for_now(relay, "Too many requests wait for the servers behind this gateway.\n");
        break;
    case -EINVAL:
        fail(relay, 400, "This target or these headers are not passed on.");
        break;
    case -EPROTO:
        fail(relay, relay->fault ? 400 : 502, "What came was not HTTP.");
        break;
    case -ENAMETOOLONG:
        fail(relay, 414, NULL);
        break;
    case -E2BIG:
        fail(relay, 431, NULL);
        break;
    default:
        fail(relay, 502, "The server behind this gateway failed.");
    }
}

static bool is_idempotent(const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(method, methods[i]) == 0)
            return true;
    }
    return false;
}

/* Time that has run out is out for the client, too; what is no HTTP will not be at the next. */
static bool may_try_again(const struct relay *relay, int error)
{
    return !relay->failed && !relay->answered && !relay->gone && relay->req->body_size == 0 &&
           error != -ETIMEDOUT && error != -EPROTO && error != -EMSGSIZE && error != -ENOMEM &&
           is_idempotent(relay->req->method);
}

static void on_end(struct loop_http_call *call, int error)
{
    struct relay *relay = call->data;
    upstream_done(relay->upstream, error, call->status);
    if (error == 0) {
        struct loop_http_response *res = relay->res;
        free(relay);
        loop_http_end(res, NULL, 0);
        return;
    }
    if (may_try_again(relay, error)) {
        relay->failed = relay->upstream;
        if (start(relay) == 0)
            return;
    }
    fail_for(relay, relay->fault ? relay->fault : error);
}

static void on_client_gone(struct loop_http_response *res)
{
    struct relay *relay = res->request->data;
    relay->gone = true;
    loop_http_call_cancel(&relay->call);
}

/* --- the answer, towards the client --- */

static void on_room_for_answer(struct loop_http_response *res)
{
    struct relay *relay = res->request->data;
    loop_http_call_resume(&relay->call);
}

static void pass_on(struct relay *relay, const void *bytes, size_t size)
{
    if (loop_http_write(relay->res, bytes, size) != 1)
        return; /* or the client has gone, which we will hear */
    loop_http_call_pause(&relay->call);
    loop_http_on_drain(relay->res, on_room_for_answer);
}

static void on_answer(struct loop_http_call *call)
{
    struct relay *relay = call->data;
    if (headers_for_client(relay->res, call) < 0) {
        loop_http_call_cancel(call);
        return;
    }
    relay->answered = true;
    if (call->body_size != 0 && strcmp(relay->req->method, "HEAD") != 0)
        pass_on(relay, "", 0); /* the body may take its time, as that of event streams */
}

static void on_answer_piece(struct loop_http_call *call, const void *bytes, size_t size)
{
    pass_on(call->data, bytes, size);
}

/* --- the body of the request, towards the upstream --- */

static void on_room_for_body(struct loop_http_call *call)
{
    struct relay *relay = call->data;
    loop_http_resume_body(relay->req);
}

static void on_body(struct loop_http_request *req, ssize_t size, const void *bytes)
{
    struct relay *relay = req->data;
    if (size == LOOP_EOF) {
        loop_http_call_end(&relay->call, NULL, 0);
    } else if (size < 0) {
        relay->fault = (int)size;
        loop_http_call_cancel(&relay->call);
    } else if (loop_http_call_write(&relay->call, bytes, (size_t)size) != 0) {
        loop_http_pause_body(req); /* or nobody wants it any more, and the end is near */
    }
}

/* --- the beginning --- */

static int send_to(struct relay *relay, struct upstream *upstream)
{
    const struct loop_http_request *req = relay->req;
    struct headers headers;
    char url[LOOP_URL_MAX + 1];
    int size = snprintf(url, sizeof(url), "http://%s%s", upstream->name, req->target);
    if ((size_t)size >= sizeof(url))
        return -ENAMETOOLONG;
    int error = headers_for_upstream(&headers, req, gateway.trust);
    if (error < 0)
        return error;
    const struct loop_http_call_options options = {
        .url = url,
        .method = req->method,
        .headers = headers.list,
        .streamed = req->body_size != 0,
        .stream_size = req->body_size > 0 ? (uint64_t)req->body_size : 0,
        .redirects = -1,
        .total_ns = gateway.total_ns,
        .on_head = on_answer,
        .on_body = on_answer_piece,
        .on_drain = on_room_for_body,
        .on_end = on_end,
    };
    relay->call.data = relay;
    return loop_http_call_start(&upstream->client, &relay->call, &options);
}

/* -EHOSTDOWN: there is nobody to ask. */
static int start(struct relay *relay)
{
    struct upstream *upstream = upstreams_take(&gateway.upstreams, relay->failed);
    if (!upstream)
        return -EHOSTDOWN;
    int error = send_to(relay, upstream);
    if (error < 0)
        upstream_give_back(upstream);
    else
        relay->upstream = upstream;
    return error;
}

/* 0: it may pass. */
static int refuse(const struct loop_http_request *req)
{
    if (strcmp(req->method, "CONNECT") == 0 || headers_ask_upgrade(req))
        return 501;
    if (strcmp(req->method, "TRACE") == 0)
        return 405;
    return *req->target == '/' && !strchr(req->target, '#') ? 0 : 400;
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    int status = refuse(req);
    struct relay *relay = status ? NULL : calloc(1, sizeof(*relay));
    if (!relay) {
        loop_http_end_error(res, status ? status : 503, NULL);
        return;
    }
    relay->req = req;
    relay->res = res;
    req->data = relay;
    int error = start(relay);
    if (error == -EHOSTDOWN) {
        fail_for_now(relay, "No server behind this gateway is there.\n");
    } else if (error < 0) {
        fail_for(relay, error);
    } else {
        loop_http_on_close(res, on_client_gone);
        loop_http_limit_body(req, UINT64_MAX); /* that is for the upstream to say */
        if (req->body_size != 0)
            loop_http_read_body(req, on_body);
    }
}

/* --- its life --- */

static int read_ms(const char *text, uint64_t *ns)
{
    char *end;
    unsigned long ms = strtoul(text, &end, 10);
    *ns = ms * LOOP_MS;
    return *text < '0' || *text > '9' || *end != '\0' || ms == 0 || ms > 86400000 ? -EINVAL : 0;
}

/* An option that is not given has its usual value, or no limit if nobody is put out. */
static int read_limit(const char *text, uint64_t usual_ns, uint64_t *ns)
{
    *ns = gateway.serve.patient ? LOOP_NEVER : usual_ns;
    return text ? read_ms(text, ns) : 0;
}

static int read_times(struct upstreams_options *options)
{
    struct loop_http_client_options *client = &options->client;
    if (gateway.serve.patient)
        client->idle_ns = client->stall_ns = options->probe_ns = LOOP_NEVER;
    int error = read_ms(gateway.check_ms, &options->probe_every_ns);
    if (error == 0)
        error = read_limit(gateway.connect_ms, LOOP_SEC, &client->connect_ns);
    if (error == 0)
        error = read_limit(gateway.first_byte_ms, 10 * LOOP_SEC, &client->head_ns);
    return error == 0 ? read_limit(gateway.total_ms, 300 * LOOP_SEC, &gateway.total_ns) : error;
}

static int open_upstreams(struct serve *serve)
{
    struct upstreams_options options = {.health = gateway.health,
                                        .probe_ns = LOOP_SEC,
                                        .round_robin = gateway.round_robin,
                                        .client.origin_connections = CONNECTIONS,
                                        .client.connections = CONNECTIONS,
                                        .client.waiting = WAITING};
    int error = read_times(&options);
    upstreams_init(&serve->loop, &gateway.upstreams, &options);
    if (error < 0)
        return serve_complain("times are milliseconds over 0", error), error;
    if (gateway.name_count == 0 || *gateway.health != '/' || strlen(gateway.health) > 255)
        return serve_complain("--upstream ADDRESS:PORT is missing, or --health no path", -EINVAL),
               -EINVAL;
    for (unsigned i = 0; i < gateway.name_count; i++) {
        error = upstreams_add(&gateway.upstreams, gateway.names[i]);
        if (error < 0)
            return serve_complain(gateway.names[i], error), error;
    }
    return upstreams_start(&gateway.upstreams);
}

static int open_gateway(struct serve *serve)
{
    int error = open_upstreams(serve);
    return error == 0
               ? admin_open(&gateway.admin, &gateway.upstreams, &serve->server, gateway.admin_port)
               : error;
}

static void drain_gateway(struct serve *serve)
{
    (void)serve;
    upstreams_stop(&gateway.upstreams);
    admin_close(&gateway.admin);
}

static void close_gateway(struct serve *serve)
{
    if (!gateway.upstreams.loop)
        return; /* open_gateway() was not called */
    admin_close(&gateway.admin);
    upstreams_close(&gateway.upstreams);
    loop_run(&serve->loop, LOOP_RUN_DEFAULT);
}

/* The table of options keeps the last of a name; there are several of this one. */
static void read_upstreams(int argc, char **argv)
{
    static const char name[] = "--upstream";
    for (int i = 1; i < argc && gateway.name_count <= UPSTREAMS_MAX; i++) {
        if (strcmp(argv[i], name) == 0 && i + 1 < argc)
            gateway.names[gateway.name_count++] = argv[++i];
        else if (strncmp(argv[i], name, strlen(name)) == 0 && argv[i][strlen(name)] == '=')
            gateway.names[gateway.name_count++] = argv[i] + strlen(name) + 1;
    }
}

int main(int argc, char **argv)
{
    static const struct serve_option options[] = {
        {"upstream", "ADDRESS:PORT", "a server to ask; give it several times", &gateway.upstream,
         NULL},
        {"round-robin", NULL, "one after the other, not whoever has the least to do", NULL,
         &gateway.round_robin},
        {"admin", "PORT", "/metrics and /health of the gateway, on 127.0.0.1", &gateway.admin_port,
         NULL},
        {"health", "PATH", "that is probed (/health)", &gateway.health, NULL},
        {"check", "MS", "between two probes of a server (1000)", &gateway.check_ms, NULL},
        {"connect", "MS", "that connecting may take (1000)", &gateway.connect_ms, NULL},
        {"first-byte", "MS", "until an answer begins (10000)", &gateway.first_byte_ms, NULL},
        {"total", "MS", "until it has come whole (300000)", &gateway.total_ms, NULL},
        {"trust", NULL, "clients are proxies: pass on what they say of theirs", NULL,
         &gateway.trust},
        {0}};
    gateway.serve.about = "Passes requests on to several servers.";
    gateway.serve.http.on_request = on_request;
    gateway.serve.http.limits.headers = HEADERS_MAX;
    gateway.serve.options = options;
    gateway.serve.open = open_gateway;
    gateway.serve.drain = drain_gateway;
    gateway.serve.close = close_gateway;
    read_upstreams(argc, argv);
    return serve(argc, argv, &gateway.serve);
}
