/* The two cookies of the login server: the token of a session, and, before there is one, the token
 * that the form for logging in is tied to.
 *
 * Both are out of reach of scripts and are not sent along by other sites' forms. Over TLS they are
 * for TLS alone, and their names say so to the browser ("__Host-", RFC 6265bis), so that nobody on
 * a plain connection can plant one.
 *
 * SPDX-License-Identifier: MIT */
#ifndef COOKIES_H
#define COOKIES_H

#include "secret.h"

#include <loop/http.h>

enum cookie { COOKIE_FORM, COOKIE_SESSION };

/* Copies the token. False: there is none, or it has not the form of one. */
bool cookies_get(const struct loop_http_request *req, enum cookie which,
                 char token[SECRET_TOKEN_SIZE]);

/* token NULL: the browser is to forget it. */
void cookies_set(struct loop_http_response *res, enum cookie which, const char *token,
                 int64_t max_age_s);

#endif
