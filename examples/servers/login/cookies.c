/* The two cookies of the login server: see cookies.h.
 *
 * SameSite is Lax: a link from another site finds its reader logged in, and a form that another
 * site has made finds nobody. The forms here are signed besides.
 *
 * SPDX-License-Identifier: MIT */
#include "cookies.h"

#include <loop/http/url.h>
#include <stdio.h>
#include <string.h>

static const char *name_of(enum cookie which, bool secure)
{
    if (which == COOKIE_FORM)
        return secure ? "__Host-form" : "form";
    return secure ? "__Host-session" : "session";
}

bool cookies_get(const struct loop_http_request *req, enum cookie which,
                 char token[SECRET_TOKEN_SIZE])
{
    struct loop_text value = loop_http_cookie(req, name_of(which, req->secure));
    if (!value.bytes || !secret_is_token(value.bytes, value.size))
        return false;
    memcpy(token, value.bytes, value.size);
    token[value.size] = '\0';
    return true;
}

void cookies_set(struct loop_http_response *res, enum cookie which, const char *token,
                 int64_t max_age_s)
{
    bool secure = res->request->secure;
    const struct loop_cookie cookie = {.name = name_of(which, secure),
                                       .value = token,
                                       .path = "/",
                                       .max_age_s = token ? max_age_s : -1,
                                       .same_site = LOOP_SAME_SITE_LAX,
                                       .secure = secure,
                                       .http_only = true};
    loop_http_set_cookie(res, &cookie);
}
