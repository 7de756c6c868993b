/* Pages out of the binary: see embed.h.
 *
 * They are small and in memory, so nothing here waits. A large file, or one that may change, is for
 * loop/http/files.h.
 *
 * SPDX-License-Identifier: MIT */
#include "embed.h"

#include <string.h>

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'";

const struct embed_page *embed_find(const char *name)
{
    for (const struct embed_page *page = embed_pages; page->name; page++) {
        if (strcmp(page->name, name) == 0)
            return page;
    }
    return NULL;
}

void embed_headers(struct loop_http_response *res)
{
    loop_http_set_header(res, "content-security-policy", policy);
    loop_http_set_header(res, "x-content-type-options", "nosniff");
    loop_http_set_header(res, "referrer-policy", "same-origin");
    loop_http_set_header(res, "cross-origin-opener-policy", "same-origin");
}

void embed_end(struct loop_http_response *res, const struct embed_page *page)
{
    embed_headers(res);
    loop_http_set_header(res, "etag", page->etag);
    loop_http_set_header(res, "cache-control", "no-cache");
    const char *known = loop_http_header(res->request, "if-none-match");
    if (res->status == 200 && known && strstr(known, page->etag)) {
        loop_http_set_status(res, 304);
        loop_http_end(res, NULL, 0);
        return;
    }
    loop_http_set_header(res, "content-type", page->type);
    loop_http_end(res, page->bytes, page->size);
}

static const struct embed_page *asked_for(const struct loop_http_request *req)
{
    if (*req->path != '/')
        return NULL;
    return embed_find(req->path[1] == '\0' ? "index.html" : req->path + 1);
}

bool embed_answer(struct loop_http_request *req, struct loop_http_response *res)
{
    const struct embed_page *page = asked_for(req);
    if (!page)
        return false;
    if (strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0) {
        embed_end(res, page);
    } else {
        loop_http_set_status(res, 405);
        loop_http_set_header(res, "allow", "GET, HEAD");
        loop_http_end_text(res, "Method Not Allowed\n");
    }
    return true;
}

void embed_handle(struct loop_http_request *req, struct loop_http_response *res)
{
    if (!embed_answer(req, res))
        loop_http_end_error(res, 404, NULL);
}
