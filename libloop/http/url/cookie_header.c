/* Cookies of a request and of its response: the two headers by which they travel.
 *
 * HTTP/1.1 has one Cookie header for all cookies that a browser sends, and one Set-Cookie header
 * for each that a server sends: joined by commas they would fall apart again at the comma of a
 * date. Something between the two may have split the first all the same; several are looked
 * through as if they were joined by "; ", which is what RFC 9113 8.2.3 asks for. Apart from
 * cookie.c, which knows of no server, so that what only reads and writes text can be tested, and
 * used, alone.
 *
 * SPDX-License-Identifier: MIT */
#include "loop/http.h"
#include "loop/http/url.h"

#include <strings.h>

struct loop_text loop_http_cookie(const struct loop_http_request *req, const char *name)
{
    struct loop_text value = {0};
    for (size_t i = 0; i < req->header_count && !value.bytes; i++)
        if (strcasecmp(req->headers[i].name, "cookie") == 0)
            value = loop_cookie_get(req->headers[i].value, name);
    return value;
}

int loop_http_set_cookie(struct loop_http_response *res, const struct loop_cookie *cookie)
{
    char text[LOOP_COOKIE_TEXT_SIZE];
    ssize_t size = loop_cookie_build(cookie, text, sizeof(text));
    return size < 0 ? (int)size : loop_http_add_header(res, "set-cookie", text);
}
