/* What a request asks for, beside its body: an id, versions, a page of a list.
 *
 * All of it is text that anybody can write, read strictly.
 *
 * SPDX-License-Identifier: MIT */
#ifndef ASKING_H
#define ASKING_H

#include "notes.h"

#include <loop/http.h>

/* The id in the path. False: what is no number, or too long to be one, is the id of no note. */
bool asking_id(const struct loop_http_request *req, int64_t *id);

/* Whether a list of entity tags (RFC 9110, 8.8.3) names a version. A weak tag counts only where
 * weak comparison is asked for. */
bool asking_names_version(const char *list, int64_t version, bool weak);

/* Reads a query. Returns the name of a parameter that is wrong, and what it should be; NULL: all is
 * well. */
const char *asking_filter(const char *text, struct note_filter *filter, const char **message);

#endif
