/* Cookies of a request and of its response: the two headers by which they travel.
 *
 * HTTP/1.1 has one Cookie header for all cookies that a browser sends, and one Set-Cookie header
 * for each that a server sends: joined by commas they would fall apart again at the comma of a
 * date. Apart from cookie.c, which knows of no server, so that what only reads and writes text
 * can be tested, and used, alone.
 *
 * SPDX-License-Identifier: MIT */
#include "loop/http.h"
#include "loop/http/url.h"

struct loop_text loop_http_cookie(const struct loop_http_request *req, const char *name)
{
    return loop_cookie_get(loop_http_header(req, "cookie"), name);
}

int loop_http_set_cookie(struct loop_http_response *res, const struct loop_cookie *cookie)
{
    char text[LOOP_COOKIE_TEXT_SIZE];
    ssize_t size = loop_cookie_build(cookie, text, sizeof(text));
    return size < 0 ? (int)size : loop_http_add_header(res, "set-cookie", text);
}
