/* A REST API: notes in SQLite, with everything that such an API owes its clients.
 *
 *     ./run example rest --database notes.db
 *     curl -i 127.0.0.1:8080/notes --json '{"title": "Buy milk"}'
 *     curl -i '127.0.0.1:8080/notes?limit=10&done=false&q=milk'
 *
 * Each request is one struct ask: made when its route is known, filled in with what was sent, lent
 * to a job of the database, and freed where the response ends. What is wrong with a request is said
 * in application/problem+json (RFC 9457), field by field. An ETag is the version of a note, so
 * If-Match keeps two people from undoing each other's work. A database that is locked or busy is
 * 503 with Retry-After, and nothing ever waits without an end.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/serve.h"
#include "asking.h"
#include "notes.h"

#include <errno.h>
#include <loop/http/body.h>
#include <loop/http/router.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 64 * 1024 };

static struct rest {
    struct serve serve;
    struct loop_http_router router;
    struct database database;
    const char *path, *patience_ms;
} rest = {.path = ":memory:"};

struct ask {
    struct note_job note;
    struct loop_http_request *req;
};

/* --- answers that are no --- */

/* faults: what is wrong with which field, this function's from now on; or NULL. */
static void refuse(struct loop_http_response *res, int status, json_t *faults)
{
    json_t *problem = json_pack("{s:s, s:i, s:o*}", "title", loop_http_status_name(status),
                                "status", status, "errors", faults);
    char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;
    loop_http_set_status(res, status);
    loop_http_set_header(res, "content-type", "application/problem+json");
    loop_http_end(res, text, text ? strlen(text) : 0);
    free(text);
    json_decref(problem);
}

static void refuse_field(struct loop_http_response *res, int status, const char *field,
                         const char *message)
{
    refuse(res, status, json_pack("[{s:s, s:s}]", "field", field, "message", message));
}

/* The failure callback of the router: 404, 405. */
static void on_failure(struct loop_http_request *req, struct loop_http_response *res, int status,
                       const char *message)
{
    (void)req;
    (void)message;
    refuse(res, status, NULL);
}

/* What the database could not do. That is said to whoever runs this, and not to the client. */
static void refuse_error(struct loop_http_response *res, int error)
{
    if (error == -EBUSY || error == -EAGAIN || error == -ENOMEM) {
        loop_http_set_header(res, "retry-after", "1");
        refuse(res, 503, NULL);
        return;
    }
    serve_complain("the database", error);
    refuse(res, error == -ENOSPC ? 507 : 500, NULL);
}

/* On a thread of the pool: the headers are there until the response is ended. */
static bool allows(struct note_job *note, int64_t version)
{
    struct ask *ask = loop_container_of(note, struct ask, note);
    const char *wanted = loop_http_header(ask->req, "if-match");
    return !wanted || asking_names_version(wanted, version, false);
}

/* --- answers that are yes --- */

static void end_note(struct ask *ask, struct loop_http_response *res, int status)
{
    char tag[32];
    json_t *note = ask->note.output;
    int64_t version = json_integer_value(json_object_get(note, "version"));
    const char *known = loop_http_header(ask->req, "if-none-match");
    snprintf(tag, sizeof(tag), "\"%lld\"", (long long)version);
    loop_http_set_header(res, "etag", tag);
    loop_http_set_header(res, "cache-control", "no-cache");
    if (ask->note.action == NOTE_READ && known && asking_names_version(known, version, true)) {
        loop_http_set_status(res, 304);
        loop_http_end(res, NULL, 0);
    } else if (loop_http_end_json(res, status, note) < 0) {
        refuse(res, 500, NULL);
    }
}

static void end_created(struct ask *ask, struct loop_http_response *res)
{
    char location[64];
    json_t *id = json_object_get(ask->note.output, "id");
    snprintf(location, sizeof(location), "/notes/%lld", (long long)json_integer_value(id));
    loop_http_set_header(res, "location", location);
    end_note(ask, res, 201);
}

/* Where the next page is: the same question, behind the last note of this one. */
static void set_next(struct ask *ask, struct loop_http_response *res)
{
    static const char *const done[] = {"false", "true"};
    const struct note_filter *filter = &ask->note.filter;
    char query[4 * NOTE_SEARCH_SIZE], link[sizeof(query) + 32];
    size_t last = json_array_size(ask->note.output) - 1;
    json_t *id = json_object_get(json_array_get(ask->note.output, last), "id");
    ssize_t size = snprintf(query, sizeof(query), "limit=%lld&after=%lld", (long long)filter->limit,
                            (long long)json_integer_value(id));
    if (filter->done >= 0)
        size = loop_query_add(query, (size_t)size, sizeof(query), loop_text_of("done"),
                              loop_text_of(done[filter->done]));
    if (*filter->search)
        size = loop_query_add(query, (size_t)size, sizeof(query), loop_text_of("q"),
                              loop_text_of(filter->search));
    if (size < 0)
        return;
    snprintf(link, sizeof(link), "</notes?%s>; rel=\"next\"", query);
    loop_http_set_header(res, "link", link);
}

static void end_list(struct ask *ask, struct loop_http_response *res)
{
    if (ask->note.more)
        set_next(ask, res);
    loop_http_set_header(res, "cache-control", "no-cache");
    if (loop_http_end_json(res, 200, ask->note.output) < 0)
        refuse(res, 500, NULL);
}

static void end_well(struct ask *ask, struct loop_http_response *res)
{
    switch (ask->note.action) {
    case NOTE_CREATE:
        end_created(ask, res);
        break;
    case NOTE_LIST:
        end_list(ask, res);
        break;
    case NOTE_DELETE:
        loop_http_set_status(res, 204);
        loop_http_end(res, NULL, 0);
        break;
    default:
        end_note(ask, res, 200);
    }
}

/* --- the life of a request --- */

static void free_ask(struct ask *ask)
{
    json_decref(ask->note.input);
    json_decref(ask->note.output);
    free(ask);
}

static void on_worked(struct database_job *job, int result)
{
    struct ask *ask = loop_container_of(job, struct ask, note.job);
    struct loop_http_response *res = ask->req->response;
    if (result < 0)
        refuse_error(res, result);
    else if (result == 0)
        end_well(ask, res);
    else
        refuse(res, result == NOTE_MISSING ? 404 : 412, NULL);
    free_ask(ask);
}

static struct ask *new_ask(struct loop_http_request *req, enum note_action action)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    if (!ask) {
        refuse_error(req->response, -ENOMEM);
        return NULL;
    }
    ask->req = req;
    ask->note.action = action;
    ask->note.allows = action == NOTE_READ ? NULL : allows;
    ask->note.job.fn = note_work;
    ask->note.job.done = on_worked;
    ask->note.job.writes = action != NOTE_READ && action != NOTE_LIST;
    return ask;
}

static void start(struct ask *ask)
{
    int error = database_run(&rest.database, &ask->note.job);
    if (error < 0) {
        refuse_error(ask->req->response, error);
        free_ask(ask);
    }
}

/* Begins a request about one note; NULL: it was answered. */
static struct ask *ask_about(struct loop_http_request *req, enum note_action action)
{
    int64_t id;
    if (!asking_id(req, &id)) {
        refuse(req->response, 404, NULL);
        return NULL;
    }
    struct ask *ask = new_ask(req, action);
    if (ask)
        ask->note.id = id;
    return ask;
}

static void on_json(struct loop_http_request *req, int status, json_t *input)
{
    struct ask *ask = req->data;
    if (status < 0) { /* the library answers: 415, 413, 400, 408 */
        free_ask(ask);
        return;
    }
    json_t *faults = note_check(input, ask->note.action != NOTE_CHANGE);
    if (faults) {
        refuse(req->response, 422, faults);
        free_ask(ask);
        return;
    }
    ask->note.input = json_incref(input);
    start(ask);
}

static void read_input(struct ask *ask)
{
    if (!ask)
        return;
    ask->req->data = ask;
    int error = loop_http_read_json(ask->req, 0, on_json);
    if (error < 0) {
        refuse_error(ask->req->response, error);
        free_ask(ask);
    }
}

/* --- routes --- */

static void on_create(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    read_input(new_ask(req, NOTE_CREATE));
}

static void on_replace(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    read_input(ask_about(req, NOTE_REPLACE));
}

static void on_change(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    read_input(ask_about(req, NOTE_CHANGE));
}

static void on_read(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    struct ask *ask = ask_about(req, NOTE_READ);
    if (ask)
        start(ask);
}

static void on_delete(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    struct ask *ask = ask_about(req, NOTE_DELETE);
    if (ask)
        start(ask);
}

static void on_list(struct loop_http_request *req, struct loop_http_response *res)
{
    const char *message;
    struct ask *ask = new_ask(req, NOTE_LIST);
    const char *wrong = ask ? asking_filter(req->query, &ask->note.filter, &message) : NULL;
    if (wrong) {
        refuse_field(res, 400, wrong, message);
        free_ask(ask);
    } else if (ask) {
        start(ask);
    }
}

static void on_index(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    json_t *index = json_pack("{s:s, s:s, s:s, s:s}", "notes", "/notes{?limit,after,done,q}",
                              "note", "/notes/{id}", "health", "/health", "metrics", "/metrics");
    if (loop_http_end_json(res, 200, index) < 0)
        refuse(res, 500, NULL);
    json_decref(index);
}

static void on_healthy(struct database_job *job, int result)
{
    struct ask *ask = loop_container_of(job, struct ask, note.job);
    if (result < 0)
        refuse_error(ask->req->response, result);
    else
        loop_http_end_text(ask->req->response, "ok\n");
    free_ask(ask);
}

/* Whether the whole way to the database works: a list of no notes. */
static void on_health(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    struct ask *ask = new_ask(req, NOTE_LIST);
    if (!ask)
        return;
    ask->note.filter.done = -1;
    ask->note.job.done = on_healthy;
    start(ask);
}

static void on_metrics(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_metrics(res, "rest");
}

static int add_routes(struct loop_http_router *router)
{
    static const struct {
        const char *method, *pattern;
        loop_http_request_cb handler;
    } routes[] = {
        {"GET", "/", on_index},
        {"GET", "/notes", on_list},
        {"POST", "/notes", on_create},
        {"GET", "/notes/:id", on_read},
        {"PUT", "/notes/:id", on_replace},
        {"PATCH", "/notes/:id", on_change},
        {"DELETE", "/notes/:id", on_delete},
        {"GET", "/health", on_health},
        {"GET", "/metrics", on_metrics},
    };
    int error = loop_http_router_init(router);
    for (size_t i = 0; error == 0 && i < sizeof(routes) / sizeof(routes[0]); i++)
        error =
            loop_http_route(router, routes[i].method, routes[i].pattern, routes[i].handler, NULL);
    loop_http_on_failure(router, on_failure);
    return error;
}

/* --- the program --- */

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_set_header(res, "x-content-type-options", "nosniff");
    loop_http_router_handle(&rest.router, req, res);
}

static int open_rest(struct serve *serve)
{
    struct database_options options = {.path = rest.path,
                                       .schema = note_schema,
                                       .texts = note_statements};
    int error = database_read_patience(rest.patience_ms, serve->patient, &options.patience_ns);
    if (error < 0)
        return serve_complain("--patience", error), error;
    json_object_seed(0); /* before there are threads */
    error = add_routes(&rest.router);
    return error < 0 ? error : database_open(&serve->loop, &rest.database, &options);
}

static void close_rest(struct serve *serve)
{
    (void)serve;
    database_close(&rest.database);
    loop_http_router_fini(&rest.router);
}

int main(int argc, char **argv)
{
    static const struct serve_option options[] = {
        {"database", "FILE", "where notes are kept, made if missing (:memory:)", &rest.path, NULL},
        {"patience", "MS", "how long a request waits for the database (2000)", &rest.patience_ms,
         NULL},
        {0}};
    rest.serve.about = "Notes by HTTP and JSON, in SQLite.";
    rest.serve.http.on_request = on_request;
    rest.serve.http.limits.body_bytes = BODY_MAX;
    rest.serve.options = options;
    rest.serve.open = open_rest;
    rest.serve.close = close_rest;
    return serve(argc, argv, &rest.serve);
}
