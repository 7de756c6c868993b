/* Forms as browsers send them by default: one urlencoded text, collected whole.
 *
 * The text is walked once before the program sees it, with every field decoded as the program will
 * decode it: so an escape that is none, and a field too many, are answered here, and what is looked
 * up later cannot fail on them. Nothing is kept of that walk, which costs less than a table.
 *
 * A form whose fields are large, or files, is one in parts: see multipart.c.
 *
 * SPDX-License-Identifier: MIT */
#include "body/reader.h"

#include <stdio.h>
#include <stdlib.h>

struct form_reader {
    struct body_reader reader;
    loop_http_form_cb cb;
    struct loop_text form;
};

static void on_form_done(struct body_reader *reader, int status, const char *message)
{
    struct form_reader *form_reader = loop_container_of(reader, struct form_reader, reader);
    struct form_reader copy = *form_reader;
    (void)message;
    free(form_reader);
    copy.cb(copy.reader.req, status, copy.form);
}

static void on_form_drop(struct body_reader *reader)
{
    free(loop_container_of(reader, struct form_reader, reader));
}

/* Walks through all fields: 0, or what is wrong. */
static int check_fields(struct loop_text form)
{
    struct loop_query query;
    struct loop_text name, value;
    int result;
    char *buffer = malloc(form.size + 2);
    if (!buffer)
        return -ENOMEM;
    loop_query_init(&query, form);
    do {
        result = loop_query_next(&query, &name, &value, buffer, form.size + 2);
    } while (result == 1);
    free(buffer);
    return result == -EINVAL ? -EBADMSG : result;
}

static void on_collected(struct loop_http_request *req, int status, const char *bytes, size_t size)
{
    struct body_reader *reader = reader_of(req);
    struct form_reader *form_reader = loop_container_of(reader, struct form_reader, reader);
    struct loop_text form = {bytes, size};
    int error = status < 0 ? status : check_fields(form);
    if (!error)
        form_reader->form = form;
    reader_finish(reader, error, error == -EBADMSG ? "Not a form: an escape without digits" : NULL);
}

int loop_http_read_form(struct loop_http_request *req, size_t max, loop_http_form_cb cb)
{
    bool is_form = loop_http_has_type(req, "application/x-www-form-urlencoded");
    if (!cb)
        return -EINVAL;
    if (reader_is_late(req))
        return -EALREADY;
    struct form_reader *form_reader = calloc(1, sizeof(*form_reader));
    if (!form_reader)
        return -ENOMEM;
    form_reader->reader.done = on_form_done;
    form_reader->reader.drop = on_form_drop;
    form_reader->cb = cb;
    reader_attach(req, &form_reader->reader);
    if (is_form)
        loop_http_collect_body(req, max, on_collected); /* which nobody else does */
    else
        reader_refuse(&form_reader->reader, -EMEDIUMTYPE);
    return 0;
}
