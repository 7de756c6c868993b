/* Pages that are made at run time: a file that is part of the program, with "{{name}}" where text
 * is to stand.
 *
 * A page is a few kilobytes, made whole in memory and sent with its length.
 *
 * SPDX-License-Identifier: MIT */
#ifndef PAGE_H
#define PAGE_H

#include <loop/http.h>

struct page_field {
    const char *name;
    const char *value;
};

/* Ends the response with a page, the status that was set, and the fields, ended by a name that is
 * NULL, each escaped: whatever it holds, it is text. What is not among them is left empty. It is
 * kept in no cache, so after logging out the back button finds nothing. */
void page_end(struct loop_http_response *res, const char *file, const struct page_field *fields);

#endif
