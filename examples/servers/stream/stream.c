/* Large files, in and out, with little memory: videos that are played while they come, and uploads
 * with progress.
 *
 *     ./run example stream --folder uploads           then open http://127.0.0.1:8080
 *     curl -F file=@video.mp4 127.0.0.1:8080/files    the same from a terminal
 *     curl -C - -O 127.0.0.1:8080/files/video.mp4     a download, or what is left of one
 *
 * A download is loop/http/files.h: ranges are how a browser seeks in a video, and how anybody goes
 * on where a download broke off. An upload goes to disk as it comes, no faster than the disk takes
 * it. Room is set aside for the whole of it before its first byte is read, so that what does not
 * fit is refused at once, and all that are under way always do. If it breaks off, or the disk is
 * full all the same, nothing of it remains.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/embed.h"
#include "../common/serve.h"
#include "store.h"

#include <errno.h>
#include <jansson.h>
#include <loop/http/body.h>
#include <loop/http/files.h>
#include <loop/http/router.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FORM_BYTES = 8 * 1024, /* of a form besides the file in it */
    CONNECTIONS = 1000,    /* each may be an upload, which has a read or two in memory */
    MIB = 1024 * 1024,
};

static struct stream_server {
    struct serve serve;
    struct loop_http_router router;
    struct loop_http_files files;
    struct store store;
    struct store_use use, reserved; /* reserved: by uploads that are under way */
    uint64_t file_max, total_max;
    const char *folder, *file_max_mib, *total_max_mib;
} server = {.folder = "uploads",
            .file_max_mib = "4096",
            .total_max_mib = "16384",
            .store = {-1, -1, ""}};

/* A request that the pool does something for: what is asked of the store, and what it says. */
struct ask {
    struct loop_work work;
    struct loop_http_request *req;
    void (*run)(struct ask *ask);  /* on a thread of the pool */
    void (*done)(struct ask *ask); /* ends the response */
    int error;
    char *path, *wanted;
    char name[STORE_NAME_SIZE];
    uint64_t size;
    uint64_t reserved;
    json_t *list;
};

/* --- asks --- */

static void free_ask(struct ask *ask)
{
    if (ask->reserved > 0) {
        server.reserved.bytes -= ask->reserved;
        server.reserved.files--;
    }
    json_decref(ask->list);
    free(ask->path);
    free(ask->wanted);
    free(ask);
}

static struct ask *new_ask(struct loop_http_request *req, void (*run)(struct ask *ask),
                           void (*done)(struct ask *ask))
{
    struct ask *ask = calloc(1, sizeof(*ask));
    if (!ask) {
        loop_http_end_error(req->response, 503, NULL);
        return NULL;
    }
    ask->req = req;
    ask->run = run;
    ask->done = done;
    return ask;
}

static void run_ask(void *data)
{
    struct ask *ask = data;
    ask->run(ask);
}

static void refuse_error(struct loop_http_response *res, int error)
{
    if (error == -ENOENT) {
        loop_http_end_error(res, 404, NULL);
    } else if (error == -EEXIST) {
        loop_http_end_error(res, 409, "There are too many files of this name");
    } else if (error == -ENOSPC || error == -EDQUOT) {
        loop_http_end_error(res, 507, "The disk is full");
    } else {
        serve_complain("the folder", error);
        loop_http_end_error(res, error == -ENOMEM || error == -EAGAIN ? 503 : 500, NULL);
    }
}

static void on_ran(struct loop_work *work, int status)
{
    (void)status; /* nobody cancels it */
    struct ask *ask = loop_container_of(work, struct ask, work);
    if (ask->error < 0)
        refuse_error(ask->req->response, ask->error);
    else
        ask->done(ask);
    free_ask(ask);
}

static int start(struct ask *ask)
{
    ask->work.request.data = ask;
    return loop_work_class(&server.serve.loop, &ask->work, LOOP_POOL_FS, run_ask, on_ran);
}

static void start_or_refuse(struct ask *ask)
{
    int error = start(ask);
    if (error < 0) {
        refuse_error(ask->req->response, error);
        free_ask(ask);
    }
}

/* --- the list --- */

static void run_list(struct ask *ask)
{
    ask->error = store_list(&server.store, &ask->list);
}

static void end_list(struct ask *ask)
{
    struct loop_http_response *res = ask->req->response;
    uint64_t used = server.use.bytes + server.reserved.bytes;
    json_t *answer =
        json_pack("{s:O, s:I, s:I, s:I}", "files", ask->list, "used", (json_int_t)used, "total_max",
                  (json_int_t)server.total_max, "file_max", (json_int_t)server.file_max);
    loop_http_set_header(res, "cache-control", "no-store");
    if (loop_http_end_json(res, 200, answer) < 0)
        loop_http_end_error(res, 503, NULL);
    json_decref(answer);
}

static void on_list(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)res;
    struct ask *ask = new_ask(req, run_list, end_list);
    if (ask)
        start_or_refuse(ask);
}

/* --- uploads --- */

/* It is whole: it gets its name. */
static void run_keep(struct ask *ask)
{
    ask->error = store_keep(&server.store, ask->path, ask->wanted, ask->name);
}

static void end_kept(struct ask *ask)
{
    struct loop_http_response *res = ask->req->response;
    char location[3 * STORE_NAME_SIZE + 16] = "/files/";
    size_t size = strlen(location);
    server.use.bytes += ask->size;
    server.use.files++;
    loop_percent_encode(loop_text_of(ask->name), NULL, location + size, sizeof(location) - size);
    json_t *answer = json_pack("{s:s, s:I}", "name", ask->name, "size", (json_int_t)ask->size);
    loop_http_set_header(res, "location", location);
    if (loop_http_end_json(res, 201, answer) < 0)
        loop_http_end_error(res, 503, NULL);
    json_decref(answer);
}

/* A file that nobody will keep. It blocks, for as long as a name takes to be removed. */
static void drop(struct ask *ask, const char *path, int status, const char *message)
{
    if (path)
        unlink(path);
    loop_http_end_error(ask->req->response, status, message);
    free_ask(ask);
}

static void on_saved(struct loop_http_request *req, int status, const struct loop_http_saved *parts,
                     size_t count)
{
    struct ask *ask = req->data;
    if (status < 0) { /* the library answers, if there is anybody left: 400, 413, 415, 507 */
        free_ask(ask);
        return;
    }
    if (count == 0 || !parts[0].path) {
        drop(ask, NULL, 400, "There is no file in the form");
        return;
    }
    ask->path = strdup(parts[0].path);
    ask->wanted = strdup(parts[0].filename);
    ask->size = parts[0].size;
    if (!ask->path || !ask->wanted || start(ask) < 0)
        drop(ask, parts[0].path, 503, NULL);
}

/* 0, or the status for what cannot be taken, before anything of it is read. */
static int check_size(const struct loop_http_request *req, const char **message)
{
    uint64_t size = (uint64_t)req->body_size;
    *message = NULL;
    if (req->body_size < 0)
        return 411;
    *message = "The file is too large";
    if (size > server.file_max + FORM_BYTES)
        return 413;
    *message = "There is no room for it";
    uint64_t used = server.use.bytes + server.reserved.bytes;
    uint64_t files = server.use.files + server.reserved.files;
    bool fits = used <= server.total_max && size <= server.total_max - used;
    return fits && files < STORE_FILES_MAX ? 0 : 507;
}

static void on_upload(struct loop_http_request *req, struct loop_http_response *res)
{
    const char *message;
    int refused = check_size(req, &message);
    struct ask *ask = refused ? NULL : new_ask(req, run_keep, end_kept);
    if (refused)
        loop_http_end_error(res, refused, message);
    if (!ask)
        return;
    ask->reserved = req->body_size > 0 ? (uint64_t)req->body_size : 1;
    server.reserved.bytes += ask->reserved;
    server.reserved.files++;
    req->data = ask;
    const struct loop_http_save_options options = {
        .folder = server.store.parts,
        .limits = {.part_bytes = server.file_max, .total_bytes = ask->reserved, .parts = 1},
    };
    int error = loop_http_save_parts(req, &options, on_saved);
    if (error < 0) {
        refuse_error(res, error);
        free_ask(ask);
    }
}

/* --- one file --- */

/* Somebody else has made it, and it may be a page with scripts: those would be this site's. */
static void on_download(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_set_header(res, "content-security-policy",
                         "default-src 'none'; img-src 'self'; media-src 'self'; "
                         "style-src 'unsafe-inline'; sandbox");
    loop_http_files_serve(&server.files, req, res, req->path + strlen("/files"));
}

static void run_remove(struct ask *ask)
{
    ask->error = store_remove(&server.store, ask->name, &ask->size);
}

static void end_removed(struct ask *ask)
{
    server.use.bytes -= ask->size < server.use.bytes ? ask->size : server.use.bytes;
    server.use.files -= server.use.files > 0;
    loop_http_set_status(ask->req->response, 204);
    loop_http_end(ask->req->response, NULL, 0);
}

static void on_delete(struct loop_http_request *req, struct loop_http_response *res)
{
    struct ask *ask = new_ask(req, run_remove, end_removed);
    if (!ask)
        return;
    if (loop_http_param(req, "name", ask->name, sizeof(ask->name)) < 0) {
        loop_http_end_error(res, 404, NULL);
        free_ask(ask);
    } else {
        start_or_refuse(ask);
    }
}

/* --- the program --- */

/* A page of another site can send forms here, from the browser of whoever looks at it. Browsers say
 * where a form is from; curl, which nobody can be tricked into, does not. */
static bool is_from_elsewhere(const struct loop_http_request *req)
{
    const char *origin = loop_http_header(req, "origin");
    const char *host = loop_http_header(req, "host");
    if (!origin || strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0)
        return false;
    const char *name = strstr(origin, "://");
    return !name || !host || strcmp(name + 3, host) != 0;
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_set_header(res, "x-content-type-options", "nosniff");
    if (is_from_elsewhere(req))
        loop_http_end_error(res, 403, "This form is not from here");
    else
        loop_http_router_handle(&server.router, req, res);
}

static int add_routes(struct loop_http_router *router)
{
    static const struct {
        const char *method, *pattern;
        loop_http_request_cb handler;
    } routes[] = {
        {"GET", "/files", on_list},
        {"POST", "/files", on_upload},
        {"GET", "/files/:name", on_download},
        {"DELETE", "/files/:name", on_delete},
    };
    int error = loop_http_router_init(router);
    for (size_t i = 0; error == 0 && i < sizeof(routes) / sizeof(routes[0]); i++)
        error =
            loop_http_route(router, routes[i].method, routes[i].pattern, routes[i].handler, NULL);
    loop_http_on_missing(router, embed_handle);
    return error;
}

static int read_mib(const char *option, const char *text, uint64_t *bytes)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number == 0 || number > INT64_MAX / 2 / MIB)
        return serve_complain(option, -EINVAL), -EINVAL;
    *bytes = number * MIB;
    return 0;
}

static int open_stream(struct serve *serve)
{
    (void)serve;
    const struct loop_http_files_options options = {.root = server.folder,
                                                    .cache_control = "no-cache"};
    json_object_seed(0); /* before there are threads */
    int error = read_mib("--file-max", server.file_max_mib, &server.file_max);
    if (error == 0)
        error = read_mib("--total-max", server.total_max_mib, &server.total_max);
    if (error < 0)
        return error;
    error = store_open(&server.store, server.folder, &server.use);
    if (error == 0)
        error = loop_http_files_init(&server.files, &options);
    if (error < 0)
        return serve_complain(server.folder, error), error;
    return add_routes(&server.router);
}

static void close_stream(struct serve *serve)
{
    (void)serve;
    loop_http_router_fini(&server.router);
    if (server.files.root)
        loop_http_files_fini(&server.files);
    store_close(&server.store);
}

int main(int argc, char **argv)
{
    static const struct serve_option options[] = {
        {"folder", "FOLDER", "where files are kept, made if missing (uploads)", &server.folder,
         NULL},
        {"file-max", "MIB", "how large one may be (4096)", &server.file_max_mib, NULL},
        {"total-max", "MIB", "how large all together (16384)", &server.total_max_mib, NULL},
        {0}};
    server.serve.about = "Takes files of any size, and plays them.";
    server.serve.http.on_request = on_request;
    server.serve.http.limits.connections = CONNECTIONS;
    server.serve.options = options;
    server.serve.open = open_stream;
    server.serve.close = close_stream;
    return serve(argc, argv, &server.serve);
}
