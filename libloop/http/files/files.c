/* Serving files: from a request to an open file, and from that to a status.
 *
 * The path is decoded once, here, by the one function for paths of requests; nothing behind it
 * decodes again. Looking for the file is tried on the loop's thread with what the kernel has in
 * memory, and left to the pool otherwise. Everything about the answer, its conditions, its range,
 * its headers, is decided from the descriptor that was opened.
 *
 * What is not there and what may not be seen both are 404, but for files that the process itself
 * may not read (403): which names exist outside of what is served is nobody's business.
 *
 * SPDX-License-Identifier: MIT */
#include "server/compress.h"
#include "files/files.h"

#include "loop/http/url.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request whose file is looked for on the pool. */
struct serving {
    struct loop_work work;
    struct file_root *root;
    struct exchange *exchange;
    struct file_search search;
    int error;
    char path[];
};

/* --- the answer --- */

static void fail(struct exchange *exchange, int error)
{
    int status = 500;
    if (error == -ENOENT || error == -ENXIO || error == -ENODEV)
        status = 404;
    else if (error == -EACCES || error == -EPERM)
        status = 403;
    else if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EAGAIN)
        status = 503;
    loop_http_end_error(&exchange->res, status, NULL);
}

static void end_with(struct exchange *exchange, int status)
{
    exchange->res.status = status;
    if (status != 304)
        exchange->length = 0;
    loop_http_end(&exchange->res, NULL, 0);
}

static void refuse_range(struct exchange *exchange, const struct open_file *file)
{
    char text[48];
    snprintf(text, sizeof(text), "bytes */%" PRIu64, file->size);
    loop_http_set_header(&exchange->res, "Content-Range", text);
    end_with(exchange, 416);
}

static void send_part(struct exchange *exchange, struct open_file *file, uint64_t first,
                      uint64_t last)
{
    char text[80];
    snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, file->size);
    loop_http_set_header(&exchange->res, "Content-Range", text);
    exchange->res.status = 206;
    files_send(exchange, file, first, last - first + 1);
}

static enum range wanted_range(const struct exchange *exchange, const struct open_file *file,
                               const struct validators *of, uint64_t *first, uint64_t *last)
{
    const char *value = loop_http_header(&exchange->req, "range");
    if (!value || strcmp(exchange->req.method, "GET") != 0 ||
        !condition_allows_range(&exchange->req, of))
        return RANGE_ALL;
    return range_parse(value, file->size, first, last);
}

/* Takes the reference, as answer() does. */
static void send_wanted(struct exchange *exchange, struct open_file *file, enum range range,
                        uint64_t first, uint64_t last)
{
    if (range == RANGE_ALL) {
        files_send(exchange, file, 0, file->size);
    } else if (range == RANGE_PART) {
        send_part(exchange, file, first, last);
    } else {
        refuse_range(exchange, file);
        open_file_release(file);
    }
}

static int add_lines(struct exchange *exchange, const struct open_file *file)
{
    bool has_control = response_find(exchange, "cache-control") != NULL;
    size_t size = file->lines_size - (has_control ? file->control_size : 0);
    return response_add_lines(exchange, file->lines, size);
}

/* If the program has set a status, such as 404 for the page that says so, nothing but the whole
 * file will do. */
static void answer(struct exchange *exchange, struct open_file *file)
{
    const struct validators validators = {file->etag, file->modified_s};
    bool usual = exchange->res.status == 200;
    enum condition condition =
        usual ? condition_check(&exchange->req, &validators) : CONDITION_SEND;
    uint64_t first = 0, last = 0;
    if (condition == CONDITION_SEND && add_lines(exchange, file) == 0) {
        compress_vary(exchange, file->size);
        enum range range =
            usual ? wanted_range(exchange, file, &validators, &first, &last) : RANGE_ALL;
        send_wanted(exchange, file, range, first, last);
        return;
    }
    if (condition == CONDITION_FAILED) {
        loop_http_end_error(&exchange->res, 412, NULL);
    } else if (condition == CONDITION_NOT_MODIFIED && add_lines(exchange, file) == 0) {
        compress_tag(exchange, file->size);
        end_with(exchange, 304);
    } else {
        fail(exchange, -ENOMEM);
    }
    open_file_release(file);
}

/* With a "/" behind its name: relative, so that it holds wherever the root is mounted. */
static void redirect(struct exchange *exchange, const char *path)
{
    char location[3 * 256 + LOOP_URL_MAX + 8];
    struct loop_text name = loop_path_basename(path);
    ssize_t size = loop_percent_encode(name, NULL, location + 2, 3 * 256);
    if (size < 0) {
        /* unreachable: names of this length are none of Linux's own file systems */
        fail(exchange, -ENOENT);
        return; /* unreachable: as above, it does not exist */
    }
    memcpy(location, "./", 2);
    const char *query = exchange->req.query;
    snprintf(location + 2 + size, sizeof(location) - 2 - (size_t)size, "/%s%s", *query ? "?" : "",
             query);
    if (loop_http_set_header(&exchange->res, "Location", location) < 0)
        fail(exchange, -ENOENT);
    else
        end_with(exchange, 301);
}

static void send_listing(struct exchange *exchange, const struct file_search *search)
{
    loop_http_set_header(&exchange->res, "Content-Type", "text/html; charset=utf-8");
    loop_http_end(&exchange->res, search->listing, search->listing_size);
    free(search->listing);
}

/* The search is over: it was found, or there was an error. */
static void found(struct file_root *root, struct exchange *exchange, struct file_search *search,
                  int error)
{
    if (error < 0) {
        fail(exchange, error);
    } else if (search->directory) {
        redirect(exchange, search->path);
    } else if (search->listing) {
        send_listing(exchange, search);
    } else {
        struct open_file *file = open_file_new(search);
        if (!file) {
            fail(exchange, -ENOMEM);
            return;
        }
        files_cache_put(root, file, loop_now(exchange->req.server->loop));
        answer(exchange, file);
    }
}

/* --- the search --- */

static void search_on_pool(void *data)
{
    struct serving *serving = data;
    serving->error = files_find(&serving->search);
}

static void on_searched(struct loop_work *work, int status)
{
    (void)status; /* nobody cancels it */
    struct serving *serving = loop_container_of(work, struct serving, work);
    found(serving->root, serving->exchange, &serving->search, serving->error);
    file_root_release(serving->root);
    free(serving);
}

static void search_later(struct file_root *root, struct exchange *exchange,
                         const struct file_search *search)
{
    size_t size = strlen(search->path) + 1;
    struct serving *serving = calloc(1, sizeof(*serving) + size);
    if (!serving) {
        fail(exchange, -ENOMEM);
        return;
    }
    memcpy(serving->path, search->path, size);
    serving->root = root;
    serving->exchange = exchange;
    serving->search =
        (struct file_search){.root = root, .path = serving->path, .accepted = search->accepted};
    serving->work.request.data = serving;
    int error = loop_work_class(exchange->req.server->loop, &serving->work, LOOP_POOL_FS,
                                search_on_pool, on_searched);
    if (error < 0) {
        free(serving);
        fail(exchange, error);
    } else {
        root->refs++;
    }
}

static bool has_dot_file(const char *path)
{
    return strstr(path, "/.") != NULL;
}

static unsigned accepted_encodings(const struct file_root *root, struct loop_http_request *req)
{
    unsigned accepted = 0;
    if (!root->options.precompressed)
        return 0;
    accepted |= accepts_encoding(req, "br") ? 1U << FILE_BROTLI : 0;
    accepted |= accepts_encoding(req, "gzip") ? 1U << FILE_GZIP : 0;
    return accepted;
}

static void serve(struct file_root *root, struct exchange *exchange, const char *path)
{
    struct file_search search = {
        .root = root,
        .path = path,
        .accepted = accepted_encodings(root, &exchange->req),
        .in_memory = true,
    };
    uint64_t now_ns = loop_now(exchange->req.server->loop);
    struct open_file *file = files_cache_get(root, path, search.accepted, now_ns);
    if (file) {
        answer(exchange, file);
        return;
    }
    int error = files_find(&search);
    if (error == -EAGAIN)
        search_later(root, exchange, &search);
    else
        found(root, exchange, &search, error);
}

/* Only what reads is answered. */
static bool is_read(const struct loop_http_request *req)
{
    return strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;
}

/* end_error() forgets all headers, so this is ended by hand. */
static void refuse_method(struct exchange *exchange)
{
    loop_http_set_header(&exchange->res, "Allow", "GET, HEAD");
    end_with(exchange, 405);
}

void loop_http_files_serve(struct loop_http_files *files, struct loop_http_request *req,
                           struct loop_http_response *res, const char *path)
{
    struct exchange *exchange = exchange_of_response(res);
    char decoded[FILE_PATH_MAX];
    ssize_t size = loop_url_path(loop_text_of(path ? path : req->path), decoded, sizeof(decoded));
    loop_http_on_close(res, NULL);
    loop_http_on_drain(res, NULL);
    if (res->head_sent)
        loop_http_end_error(res, 500, NULL);
    else if (!is_read(req))
        refuse_method(exchange);
    else if (size < 0)
        loop_http_end_error(res, size == -ENOBUFS ? 414 : 400, NULL);
    else if (!files->root->options.dot_files && has_dot_file(decoded))
        fail(exchange, -ENOENT);
    else
        serve(files->root, exchange, decoded);
}
