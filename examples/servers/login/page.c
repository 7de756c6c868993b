/* Pages that are made at run time: see page.h.
 *
 * The only way of putting text into a page escapes it, for elements and for quoted attributes
 * alike, so none can be forgotten. There is nothing else: no conditions, no loops; what may be
 * missing is an element that the style sheet hides when it is empty.
 *
 * SPDX-License-Identifier: MIT */
#include "page.h"

#include "../common/embed.h"

#include <loop/http/url.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_escaped(FILE *page, const char *text)
{
    for (; *text; text++) {
        const char *entity = loop_html_entity(*text);
        if (entity)
            fputs(entity, page);
        else
            fputc(*text, page);
    }
}

static void write_field(FILE *page, const struct page_field *fields, const char *name, size_t size)
{
    for (; fields->name; fields++) {
        if (strlen(fields->name) == size && memcmp(fields->name, name, size) == 0)
            write_escaped(page, fields->value);
    }
}

static void write_page(FILE *page, const char *text, const struct page_field *fields)
{
    const char *begin, *end;
    while ((begin = strstr(text, "{{")) && (end = strstr(begin, "}}"))) {
        fwrite(text, 1, (size_t)(begin - text), page);
        write_field(page, fields, begin + 2, (size_t)(end - begin - 2));
        text = end + 2;
    }
    fputs(text, page);
}

void page_end(struct loop_http_response *res, const char *file, const struct page_field *fields)
{
    char *text = NULL;
    size_t size = 0;
    FILE *page = open_memstream(&text, &size);
    if (page)
        write_page(page, (const char *)embed_find(file)->bytes, fields);
    if (!page || fclose(page) != 0) {
        free(text);
        loop_http_end_error(res, 503, NULL);
        return;
    }
    embed_headers(res);
    loop_http_set_header(res, "cache-control", "no-store");
    loop_http_set_header(res, "content-type", "text/html; charset=utf-8");
    loop_http_end(res, text, size);
    free(text);
}
