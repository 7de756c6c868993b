/* Forms in parts, as the parser alone sees them.
 *
 * A part begins with its names, brings its bytes, and ends; in front of the first delimiter and
 * behind the last anything may stand. However the body is cut in two, or into single bytes, and
 * wherever it pauses, what is told is the same. What is no such form fails, and stays failed; so
 * does what is over a limit, not one byte earlier. Names are read as browsers write them, with
 * either kind of quote; nothing is done to them.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include "loop/http/body.h"

#include <stdio.h>
#include <stdlib.h>

static struct {
    char text[8192];
    size_t size;
    bool pauses; /* after everything */
    int error;   /* of begin */
} log_;

static void note(const void *bytes, size_t size)
{
    assert_true(log_.size + size < sizeof(log_.text));
    memcpy(log_.text + log_.size, bytes, size);
    log_.size += size;
    log_.text[log_.size] = '\0';
}

static int on_begin(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    char line[512];
    (void)form;
    assert_int_equal(0, part->size);
    int size = snprintf(line, sizeof(line), "{%s|%s|%s:", part->name,
                        part->filename ? part->filename : "-", part->type);
    note(line, (size_t)size);
    return log_.error ? log_.error : log_.pauses;
}

static int on_bytes(struct loop_multipart *form, const struct loop_multipart_part *part,
                    const void *bytes, size_t size)
{
    (void)form;
    assert_true(size > 0 && part->size >= size);
    note(bytes, size);
    return log_.pauses;
}

static int on_end(struct loop_multipart *form, const struct loop_multipart_part *part)
{
    (void)form;
    (void)part;
    note("}", 1);
    return log_.pauses;
}

static const struct loop_multipart_events events = {on_begin, on_bytes, on_end};
static const char type[] = "multipart/form-data; boundary=XX";

static int feed(struct loop_multipart *form, const char *bytes, size_t size)
{
    /* Of exactly its size, so that a sanitizer sees what is read behind. */
    char *exact = malloc(size + (size == 0));
    size_t used = 0;
    ssize_t result = 0;
    memcpy(exact, bytes, size);
    while (result >= 0 && used < size) {
        result = loop_multipart_feed(form, exact + used, size - used);
        used += result > 0 ? (size_t)result : 0;
        assert_true(used == size || log_.pauses || result < 0);
    }
    free(exact);
    return result < 0 ? (int)result : 0;
}

/* Parses in two pieces, or, with step, in pieces of that size; returns how it ended. */
static int parse(const char *body, size_t size, size_t at, size_t step,
                 const struct loop_multipart_limits *limits)
{
    struct loop_multipart form = {0};
    log_.size = 0;
    log_.text[0] = '\0';
    assert_int_equal(0, loop_multipart_init(&form, type, limits, &events));
    int error = feed(&form, body, at);
    while (!error && at < size) {
        size_t some = step && step < size - at ? step : size - at;
        error = feed(&form, body + at, some);
        at += some;
    }
    int ended = loop_multipart_finish(&form);
    if (error)
        assert_int_equal(error, ended);
    assert_int_equal(ended, ended ? loop_multipart_feed(&form, "x", 1) : 0);
    loop_multipart_fini(&form);
    return ended;
}

/* The same, cut everywhere, with pauses and without. */
static int parse_all_ways(const char *body, size_t size, const struct loop_multipart_limits *limits)
{
    static char first[sizeof(log_.text)];
    int ended = parse(body, size, size, 0, limits);
    memcpy(first, log_.text, sizeof(first));
    for (int pauses = 0; pauses < 2; pauses++) {
        log_.pauses = pauses;
        for (size_t at = 0; at <= size; at++) {
            assert_int_equal(ended, parse(body, size, at, 0, limits));
            assert_string_equal(first, log_.text);
        }
        assert_int_equal(ended, parse(body, size, 0, 1, limits));
        assert_string_equal(first, log_.text);
    }
    log_.pauses = false;
    return ended;
}

#define HEAD "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"

static void parts_come_as_they_are(void **state)
{
    static const struct {
        const char *body, *told;
    } cases[] = {
        {HEAD "1\r\n--XX--", "{a|-|text/plain:1}"},
        {HEAD "1\r\n--XX--\r\n", "{a|-|text/plain:1}"},
        {HEAD "\r\n--XX--\r\n", "{a|-|text/plain:}"},
        {HEAD "1\r\n" HEAD "2\r\n--XX--", "{a|-|text/plain:1}{a|-|text/plain:2}"},
        {"--XX--", ""},
        {"\r\n" HEAD "1\r\n--XX--", "{a|-|text/plain:1}"},
        {"preamble\r\n--X\r\r\n" HEAD "1\r\n--XX--epilogue\r\n--XX\r\n", "{a|-|text/plain:1}"},
        {"--XX \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX--",
         "{a|-|text/plain:1}"},
        {HEAD "\r\n--X\r\n\r\n-\r\n--\r\r\r\n--XX--",
         "{a|-|text/plain:\r\n--X\r\n\r\n-\r\n--\r\r}"},
        {HEAD "x--XX\r\n--xx\n--XX\r\n--XX--", "{a|-|text/plain:x--XX\r\n--xx\n--XX}"},
        {HEAD "--XX\r\n--XX--", "{a|-|text/plain:--XX}"},
        {"--XX\r\ncontent-type:image/png\r\nX-Other: y\r\n"
         "CONTENT-DISPOSITION: Form-Data; filename=\"a.png\"; name=\"f\"; x=y;\r\n"
         "content-transfer-encoding: binary\r\n\r\n\r\n\r\n--XX--",
         "{f|a.png|image/png:\r\n}"},
        {"--XX\r\nContent-Disposition: form-data; name=\"\"; filename=\"\"\r\n\r\n\r\n--XX--",
         "{||text/plain:}"},
        {"--XX\r\nContent-Disposition: form-data; name=\"a\\\"b\\\\c\\d\";"
         " filename=\"../..\\x;y%22\xc3\xa4\"\r\n\r\n\r\n--XX--",
         "{a\"b\\c\\d|../..\\x;y%22\xc3\xa4|text/plain:}"},
        {"--XX\r\nContent-Disposition: form-data; name=a; filename*=UTF-8''b\r\n\r\n\r\n--XX--",
         "{a|-|text/plain:}"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(0, parse_all_ways(cases[i].body, strlen(cases[i].body), NULL));
        assert_string_equal(cases[i].told, log_.text);
    }
    (void)state;
}

/* All three mean that the bytes are what they are. */
static void an_encoding_that_is_none_may_be_named(void **state)
{
    static const char *const names[] = {"8bit", "7bit", "BINARY"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        char body[256];
        snprintf(body, sizeof(body),
                 "--XX\r\nContent-Disposition: form-data;\tname=a\t ; x=y\r\n"
                 "Content-Transfer-Encoding: %s\r\n\r\n1\r\n--XX--",
                 names[i]);
        assert_int_equal(0, parse_all_ways(body, strlen(body), NULL));
        assert_string_equal("{a|-|text/plain:1}", log_.text);
    }
    (void)state;
}

#define PART(headers) "--XX\r\n" headers "\r\n\r\n1\r\n--XX--"
#define NAMED(rest)   PART("Content-Disposition: form-data; name=\"a\"" rest)

static const char *const no_forms[] = {
    "",
    "x",
    "--XX",
    "--XX-",
    "--XX\r\n",
    "--XX-x",
    "--XX"
    "X--",
    "--XX\n",
    "--XX \n",
    "--XX - -",
    "--XX\rx",
    "--XX\r\n\r\n1\r\n--XX--",
    HEAD,
    HEAD "1",
    HEAD "1\r\n--XX",
    HEAD "1\r\n--XXY--",
    HEAD "1\n--XX--",
    "--XX\nContent-Disposition: form-data; name=a\n\n1\n--XX--",
    PART("Content-Type: text/plain"),
    PART("Content-Disposition: form-data"),
    PART("Content-Disposition: attachment; name=\"a\""),
    PART("Content-Disposition: form-data; name="),
    PART("Content-Disposition: form-data; name"),
    PART("Content-Disposition: form-data; name=\"a"),
    PART("Content-Disposition: form-data; name=\"a\\\""),
    PART("Content-Disposition: form-data; name=\"a\\"),
    PART("Content-Disposition: form-data; name=\"a\"x"),
    PART("Content-Disposition: form-data; =\"a\""),
    PART("Content-Disposition: form-data; na me=\"a\""),
    PART("Content-Disposition : form-data; name=\"a\""),
    PART(" Content-Disposition: form-data; name=\"a\""),
    PART("Content-Disposition: form-data; name=\"a\tb\x01\""),
    NAMED("; name=\"b\""),
    NAMED("; filename=a; filename=b"),
    NAMED("\r\nContent-Disposition: form-data; name=b"),
    NAMED("\r\nContent-Type: a\r\nContent-Type: b"),
    NAMED("\r\nContent-Transfer-Encoding: base64"),
    NAMED("\r\nno colon"),
    NAMED("\r\n: x"),
    NAMED("\r\n folded: x"),
    NAMED("\nX: y"),
    NAMED("\r\n\nX: y"),
    NAMED("\r\nX: \ry"),
};

static void what_is_no_such_form_fails(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(no_forms); i++)
        assert_int_equal(-EBADMSG, parse_all_ways(no_forms[i], strlen(no_forms[i]), NULL));
    static const char nul[] = "--XX\r\nContent-Disposition: form-data; name=\"a\0b\"\r\n\r\n";
    assert_int_equal(-EBADMSG, parse_all_ways(nul, sizeof(nul) - 1, NULL));
    (void)state;
}

static void what_is_over_a_limit_fails(void **state)
{
    static const char body[] = HEAD "12345\r\n" HEAD "6\r\n--XX--";
    size_t head = strlen("Content-Disposition: form-data; name=\"a\"\r\n\r\n");
    const struct {
        struct loop_multipart_limits limits;
        int error;
    } cases[] = {
        {{.part_bytes = 5}, 0},
        {{.part_bytes = 4}, -EFBIG},
        {{.parts = 2}, 0},
        {{.parts = 1}, -E2BIG},
        {{.header_bytes = (uint32_t)head}, 0},
        {{.header_bytes = (uint32_t)head - 1}, -E2BIG},
        {{.header_bytes = 1}, -E2BIG},
        {{.total_bytes = sizeof(body) - 1}, 0},
        {{.total_bytes = sizeof(body) - 2}, -EFBIG},
        {{.total_bytes = 1}, -EFBIG},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_int_equal(cases[i].error, parse_all_ways(body, sizeof(body) - 1, &cases[i].limits));
    (void)state;
}

static void an_event_may_refuse(void **state)
{
    log_.error = -EACCES;
    assert_int_equal(-EACCES, parse_all_ways(HEAD "1\r\n--XX--", strlen(HEAD) + 9, NULL));
    assert_string_equal("{a|-|text/plain:", log_.text);
    log_.error = 0;
    (void)state;
}

static const struct {
    const char *type, *delimiter;
    int error;
} types[] = {
    {"multipart/form-data; boundary=abc", "\r\n--abc", 0},
    {"Multipart/Form-Data;boundary=\"a:b/c\"", "\r\n--a:b/c", 0},
    {"multipart/form-data ; charset=utf-8; Boundary=----x'()+_,-.=?; y=z", NULL, -EINVAL},
    {"multipart/form-data; boundary=\"----x'()+_,-.=?\"; y=z", "\r\n------x'()+_,-.=?", 0},
    {"multipart/form-data", NULL, -EINVAL},
    {"multipart/form-data; boundary=", NULL, -EINVAL},
    {"multipart/form-data; boundary=\"\"", NULL, -EINVAL},
    {"multipart/form-data; boundary=\"a", NULL, -EINVAL},
    {"multipart/form-data; boundary=\"a b\"", NULL, -EINVAL},
    {"multipart/form-data; boundary=\"a\r\nb\"", NULL, -EINVAL},
    {"multipart/form-data; boundary=a; boundary=b", NULL, -EINVAL},
    {"multipart/form-data boundary=a", NULL, -EMEDIUMTYPE},
    {"multipart/mixed; boundary=a", NULL, -EMEDIUMTYPE},
    {"text/plain", NULL, -EMEDIUMTYPE},
    {"", NULL, -EMEDIUMTYPE},
    {NULL, NULL, -EMEDIUMTYPE},
};

static void a_boundary_is_read_from_the_type(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        struct loop_multipart form = {0};
        assert_int_equal(types[i].error, loop_multipart_init(&form, types[i].type, NULL, &events));
        if (types[i].delimiter)
            assert_string_equal(types[i].delimiter, form.delimiter);
        loop_multipart_fini(&form);
    }
    char text[160];
    struct loop_multipart form = {0};
    for (int length = LOOP_MULTIPART_BOUNDARY_MAX; length <= LOOP_MULTIPART_BOUNDARY_MAX + 1;
         length++) {
        snprintf(text, sizeof(text), "multipart/form-data; boundary=%0*d", length, 1);
        int error = length > LOOP_MULTIPART_BOUNDARY_MAX ? -EINVAL : 0;
        assert_int_equal(error, loop_multipart_init(&form, text, NULL, &events));
        loop_multipart_fini(&form);
    }
    static char large[600] = "multipart/form-data; boundary=x; y=";
    memset(large + strlen(large), 'y', 560);
    assert_int_equal(-EINVAL, loop_multipart_init(&form, large, NULL, &events));
    (void)state;
}

static void events_may_be_left_out(void **state)
{
    static const struct loop_multipart_events none;
    struct loop_multipart form = {0};
    assert_int_equal(0, loop_multipart_init(&form, type, NULL, &none));
    assert_int_equal(0, feed(&form, HEAD "1\r\n--XX--", strlen(HEAD) + 9));
    assert_int_equal(0, loop_multipart_finish(&form));
    assert_int_equal(1, form.parts);
    loop_multipart_fini(&form);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_as_they_are),
        cmocka_unit_test(an_encoding_that_is_none_may_be_named),
        cmocka_unit_test(what_is_no_such_form_fails),
        cmocka_unit_test(what_is_over_a_limit_fails),
        cmocka_unit_test(an_event_may_refuse),
        cmocka_unit_test(a_boundary_is_read_from_the_type),
        cmocka_unit_test(events_may_be_left_out),
    };
    return cmocka_run_group_tests_name("http/multipart", tests, NULL, NULL);
}
