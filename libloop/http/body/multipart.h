/* Internal. The heads of multipart/form-data: where a boundary, and the names of a part, are read.
 *
 * Both are headers with parameters, in quotes or without. They are read strictly: a parameter that
 * comes twice, a quote that does not end, a control byte, a second header that says the same, all
 * these are things that two readers take in two ways.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_MULTIPART_H
#define LOOP_HTTP_MULTIPART_H

#include "loop/http/body.h"
#include "url/url_text.h"

/* Reads the boundary of a content type: 0, -EMEDIUMTYPE, -EINVAL. */
int multipart_boundary(const char *content_type, char boundary[LOOP_MULTIPART_BOUNDARY_MAX + 1]);

/* Reads a head that ends in a blank line, and turns it into the strings that part then points to:
 * 0 or -EBADMSG. The size of part is 0 afterwards. */
int multipart_head(char *head, size_t size, struct loop_multipart_part *part);

#endif
