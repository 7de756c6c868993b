/* A file server for a folder: what `python3 -m http.server` is used for, made to be relied on.
 *
 *     ./run example static --root . --port 8000       then open http://127.0.0.1:8000
 *     curl -r 100-199 127.0.0.1:8000/README.md        a part of a file
 *
 * Files are the library's: loop/http/files.h keeps every lookup beneath the root, and knows ranges,
 * conditions, types and compressed siblings. What is added here is what people see in a browser,
 * the list of a folder and the page for what is not there, and the options that developers ask for.
 * A request is one struct visit, from its path to its answer. Nothing is kept, so that whoever
 * saves a file and reloads sees it.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/embed.h"
#include "../common/serve.h"
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <loop/http/files.h>
#include <loop/http/url.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static struct files_server {
    struct serve serve;
    struct loop_http_files files;
    const char *root;
    int fd;
    bool spa, cors, dot_files, no_listing;
} server = {.root = ".", .fd = -1};

struct visit {
    struct loop_work work;
    struct loop_http_request *req;
    struct look look;
    char path[];
};

/* --- answers --- */

static void end_listing(struct loop_http_response *res, const struct look *look)
{
    embed_headers(res);
    loop_http_set_header(res, "content-type", "text/html; charset=utf-8");
    loop_http_set_header(res, "cache-control", "no-cache");
    loop_http_end(res, look->page, look->page_size);
}

/* A program in one page has paths that are no files, and people who open them; but who asks for a
 * script wants to hear that it is not there. */
static bool wants_a_page(const struct loop_http_request *req)
{
    const char *accept = loop_http_header(req, "accept");
    return accept && strstr(accept, "text/html");
}

static void end_missing(struct loop_http_request *req, bool has_404)
{
    struct loop_http_response *res = req->response;
    if (server.spa && wants_a_page(req)) {
        loop_http_files_serve(&server.files, req, res, "/index.html");
        return;
    }
    loop_http_set_status(res, 404);
    if (has_404)
        loop_http_files_serve(&server.files, req, res, "/404.html");
    else
        embed_end(res, embed_find("missing.html"));
}

static void on_looked(struct loop_work *work, int status)
{
    (void)status; /* nobody cancels it */
    struct visit *visit = loop_container_of(work, struct visit, work);
    struct loop_http_request *req = visit->req;
    if (visit->look.found == LOOK_LISTING)
        end_listing(req->response, &visit->look);
    else if (visit->look.found == LOOK_MISSING)
        end_missing(req, visit->look.has_404);
    else
        loop_http_files_serve(&server.files, req, req->response, NULL);
    free(visit->look.page);
    free(visit);
}

/* --- the way of a request --- */

static void look_on_pool(void *data)
{
    struct visit *visit = data;
    look(&visit->look);
}

static void start_visit(struct loop_http_request *req, const char *path, size_t size)
{
    struct visit *visit = calloc(1, sizeof(*visit) + size + 1);
    int error = visit ? 0 : -ENOMEM;
    if (visit) {
        memcpy(visit->path, path, size);
        visit->req = req;
        visit->look = (struct look){.root = server.fd,
                                    .path = visit->path,
                                    .query = req->query,
                                    .dot_files = server.dot_files,
                                    .listing = !server.no_listing};
        visit->work.request.data = visit;
        error = loop_work_class(&server.serve.loop, &visit->work, LOOP_POOL_FS, look_on_pool,
                                on_looked);
    }
    if (error < 0) {
        free(visit);
        loop_http_end_error(req->response, 503, NULL);
    }
}

/* Scripts of other sites may read everything, and ask for parts. */
static void allow_others(struct loop_http_response *res)
{
    loop_http_set_header(res, "access-control-allow-origin", "*");
    loop_http_set_header(res, "access-control-expose-headers",
                         "content-length, content-range, accept-ranges, etag, last-modified");
    loop_http_set_header(res, "cross-origin-resource-policy", "cross-origin");
}

/* What a browser asks before it asks. */
static void end_preflight(struct loop_http_response *res)
{
    loop_http_set_header(res, "access-control-allow-methods", "GET, HEAD");
    loop_http_set_header(res, "access-control-allow-headers", "*");
    loop_http_set_header(res, "access-control-max-age", "600");
    loop_http_set_status(res, 204);
    loop_http_end(res, NULL, 0);
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    char path[PATH_SIZE];
    bool reads = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;
    loop_http_set_header(res, "x-content-type-options", "nosniff");
    if (server.cors)
        allow_others(res);
    ssize_t size = loop_url_path(loop_text_of(req->path), path, sizeof(path));
    if (server.cors && strcmp(req->method, "OPTIONS") == 0)
        end_preflight(res);
    else if (!reads || size < 0)
        loop_http_files_serve(&server.files, req, res, NULL); /* 405, 400, 414 */
    else if (strcmp(path, "/") == 0 && strcmp(req->query, "static.css") == 0)
        embed_end(res, embed_find("static.css"));
    else
        start_visit(req, path, (size_t)size);
}

/* --- the program --- */

/* A download is two descriptors, and a shell allows 1,024 of them unless asked. */
static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int open_files(struct serve *serve)
{
    (void)serve;
    const struct loop_http_files_options options = {
        .root = server.root,
        .cache_control = "no-cache",
        .dot_files = server.dot_files,
        .listing = !server.no_listing, /* where a look finds nothing out */
        .precompressed = true,
    };
    allow_descriptors();
    int error = loop_http_files_init(&server.files, &options);
    if (error < 0)
        return serve_complain(server.root, error), error;
    server.fd = open(server.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return server.fd < 0 ? -errno : 0;
}

static void close_files(struct serve *serve)
{
    (void)serve;
    if (server.files.root)
        loop_http_files_fini(&server.files);
    if (server.fd >= 0)
        close(server.fd);
}

int main(int argc, char **argv)
{
    static const struct serve_option options[] = {
        {"root", "FOLDER", "what is served (.)", &server.root, NULL},
        {"spa", NULL, "/index.html for pages that are not there", NULL, &server.spa},
        {"cors", NULL, "scripts of other sites may read everything", NULL, &server.cors},
        {"dot-files", NULL, "names that begin with a dot are there, too", NULL, &server.dot_files},
        {"no-listing", NULL, "folders without index.html are 404", NULL, &server.no_listing},
        {0}};
    server.serve.about = "Serves the files of a folder.";
    server.serve.port_text = "8000";
    server.serve.http.on_request = on_request;
    server.serve.http.compress = true;
    server.serve.options = options;
    server.serve.open = open_files;
    server.serve.close = close_files;
    return serve(argc, argv, &server.serve);
}
