/* The pages of a server, which are part of its program: real files beside its source, put into the
 * binary when it is built, so that it runs from any folder and there is nothing to install.
 *
 * meson.build names them; embed.py makes the table. Answers carry an ETag, so a browser asks again
 * each time and gets 304: what it shows is always that of the program that runs. All carry a
 * Content-Security-Policy: scripts, styles, images and connections of this server alone, nothing
 * inline, no frame.
 *
 * SPDX-License-Identifier: MIT */
#ifndef EMBED_H
#define EMBED_H

#include <loop/http.h>

struct embed_page {
    const char *name; /* "index.html" */
    const char *type;
    const char *etag; /* with its quotes */
    const unsigned char *bytes;
    size_t size; /* a 0 stands behind them */
};

/* Ended by a name that is NULL. */
extern const struct embed_page embed_pages[];

/* NULL: there is none of that name. */
const struct embed_page *embed_find(const char *name);

/* Answers a path that is a page: "/index.html", and "/" for that one. False: it is none, and
 * nothing is done. */
bool embed_answer(struct loop_http_request *req, struct loop_http_response *res);

/* The same as a request callback, 404 for what is no page: as on_missing of a router, or alone. */
void embed_handle(struct loop_http_request *req, struct loop_http_response *res);

/* Ends the response with one page, and the status that was set. */
void embed_end(struct loop_http_response *res, const struct embed_page *page);

/* The headers that every page has, for pages that are made at run time. */
void embed_headers(struct loop_http_response *res);

#endif
