/* JSON in and out, by jansson, and what all readers of bodies share.
 *
 * A name that comes twice in an object is refused, since parsers differ in which of the two counts;
 * so is what follows the value, text that is not UTF-8, and nesting beyond jansson's limit of 2048.
 * The answer to a body that is no JSON tells the line and the column, and nothing of what was
 * there: an answer that repeats what a client has sent is for others to see, too.
 *
 * SPDX-License-Identifier: MIT */
#include "body/reader.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_SIZE = 96 };

/* --- readers --- */

struct body_reader *reader_of(const struct loop_http_request *req)
{
    const struct route_mark *mark = req->route;
    if (!mark || mark->kind != ROUTE_READER)
        return NULL;
    /* What hangs there was attached by us, and is not constant. */
    return (struct body_reader *)(uintptr_t)req->route;
}

static void on_gone(struct exchange_hook *hook)
{
    struct body_reader *reader = loop_container_of(hook, struct body_reader, hook);
    loop_task_cancel(&reader->task);
    reader->drop(reader);
}

bool reader_is_late(const struct loop_http_request *req)
{
    return reader_of(req) || exchange_of(req)->body_cb;
}

void reader_attach(struct loop_http_request *req, struct body_reader *reader)
{
    reader->mark.mark.kind = ROUTE_READER;
    reader->mark.route = req->route;
    reader->req = req;
    reader->hook.gone = on_gone;
    req->route = reader;
    exchange_hook(exchange_of(req), &reader->hook);
}

void reader_detach(struct body_reader *reader)
{
    reader->req->route = reader->mark.route;
    exchange_unhook(exchange_of(reader->req), &reader->hook);
}

static int status_of(int error)
{
    switch (error) {
    case -EMEDIUMTYPE:
        return 415;
    case -EFBIG:
    case -E2BIG:
        return 413;
    case -ETIMEDOUT:
        return 408;
    case -EBADMSG:
    case -EPROTO:
    case -EPIPE: /* nobody reads it */
        return 400;
    case -ENOMEM:
    case -EAGAIN:
        return 503;
    case -ENOSPC:
    case -EDQUOT:
        return 507;
    default:
        return 500;
    }
}

/* Sees whether the program has ended the response itself. */
struct witness {
    struct exchange_hook hook;
    bool gone;
};

static void on_witness_gone(struct exchange_hook *hook)
{
    loop_container_of(hook, struct witness, hook)->gone = true;
}

void reader_finish(struct body_reader *reader, int status, const char *message)
{
    struct exchange *exchange = exchange_of(reader->req);
    struct witness witness = {.hook = {.gone = on_witness_gone}};
    reader_detach(reader);
    exchange_hook(exchange, &witness.hook);
    reader->done(reader, status, message);
    if (witness.gone)
        return;
    exchange_unhook(exchange, &witness.hook);
    if (status < 0 && !exchange->ended)
        loop_http_end_error(&exchange->res, status_of(status), message);
}

static void on_refuse(struct loop_task *task)
{
    struct body_reader *reader = loop_container_of(task, struct body_reader, task);
    reader_finish(reader, reader->status, NULL);
}

void reader_refuse(struct body_reader *reader, int status)
{
    reader->status = status;
    loop_next_tick(reader->req->server->loop, &reader->task, on_refuse);
}

/* The type in a Content-Type header, without its parameters. */
static struct loop_text type_of(const struct loop_http_request *req)
{
    struct loop_text type = loop_text_of(loop_http_header(req, "content-type"));
    return text_trim(text_cut(&type, ';'));
}

bool loop_http_has_type(const struct loop_http_request *req, const char *type)
{
    return text_is(type_of(req), type);
}

/* --- JSON in --- */

struct json_reader {
    struct body_reader reader;
    loop_http_json_cb cb;
    json_t *json;
};

static void on_json_done(struct body_reader *reader, int status, const char *message)
{
    struct json_reader *json_reader = loop_container_of(reader, struct json_reader, reader);
    struct json_reader copy = *json_reader;
    (void)message;
    free(json_reader);
    copy.cb(copy.reader.req, status, copy.json);
    json_decref(copy.json);
}

static void on_json_drop(struct body_reader *reader)
{
    free(loop_container_of(reader, struct json_reader, reader));
}

/* Of the text there are always words. Of memory there may be neither words nor a code; inside of a
 * string or a number jansson cannot tell the two apart. */
static bool is_of_memory(const json_error_t *error)
{
    return json_error_code(error) == json_error_out_of_memory || error->text[0] == '\0';
}

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    struct body_reader *reader = reader_of(req);
    struct json_reader *json_reader = loop_container_of(reader, struct json_reader, reader);
    char message[MESSAGE_SIZE];
    json_error_t error;
    if (status < 0) {
        reader_finish(reader, status, NULL);
        return;
    }
    json_reader->json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json_reader->json) {
        reader_finish(reader, 0, NULL);
        return;
    }
    bool memory = is_of_memory(&error);
    snprintf(message, sizeof(message), "Not JSON: line %d, column %d (byte %d)", error.line,
             error.column, error.position);
    reader_finish(reader, memory ? -ENOMEM : -EBADMSG, memory ? NULL : message);
}

static bool is_json(const struct loop_http_request *req)
{
    struct loop_text type = type_of(req);
    if (type.size <= 5)
        return false;
    struct loop_text end = {type.bytes + type.size - 5, 5};
    return text_is(type, "application/json") || text_is(end, "+json");
}

int loop_http_read_json(struct loop_http_request *req, size_t max, loop_http_json_cb cb)
{
    if (!cb)
        return -EINVAL;
    if (reader_is_late(req))
        return -EALREADY;
    struct json_reader *json_reader = calloc(1, sizeof(*json_reader));
    if (!json_reader)
        return -ENOMEM;
    json_reader->reader.done = on_json_done;
    json_reader->reader.drop = on_json_drop;
    json_reader->cb = cb;
    reader_attach(req, &json_reader->reader);
    if (is_json(req))
        loop_http_collect_body(req, max, on_collected); /* which nobody else does */
    else
        reader_refuse(&json_reader->reader, -EMEDIUMTYPE);
    return 0;
}

/* --- JSON out --- */

static int end_with(struct loop_http_response *res, int status, const char *text, size_t size)
{
    int error = loop_http_set_header(res, "content-type", "application/json");
    if (!error)
        error = loop_http_set_status(res, status);
    if (!error)
        loop_http_end(res, text, size); /* its own error is that of a peer who has gone */
    return error;
}

int loop_http_end_json(struct loop_http_response *res, int status, const struct json_t *json)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t size = json_dumpb(json, NULL, 0, flags);
    if (size == 0)
        return -EINVAL;
    char *text = malloc(size);
    if (!text)
        return -ENOMEM;
    size = json_dumpb(json, text, size, flags);
    int error = size > 0 ? end_with(res, status, text, size) : -ENOMEM;
    free(text);
    return error;
}
