/* Cookies: those that come, and those that are set.
 *
 * What comes is cut into pairs, in order; what is no pair, or has a name that is no token, is
 * passed over, and the first of a name is the one that counts. What is set is written with its
 * attributes, and refused if its name, its value or an attribute could be read as something else,
 * if browsers would drop it in silence, or if it is too large for them.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include "loop/http/url.h"

#include <stdio.h>
#include <stdlib.h>

static void walk(const char *header)
{
    struct loop_text text = loop_text_of(header);
    struct loop_text name, value;
    while (loop_cookie_next(&text, &name, &value))
        say("%.*s:%.*s", (int)name.size, name.bytes, (int)value.size, value.bytes);
}

static void cookies_come_in_pairs(void **state)
{
    static const struct {
        const char *header, *pairs;
    } cases[] = {
        {"a=1; b=2", "a:1 b:2"},
        {"a=1;b=2", "a:1 b:2"},
        {" a = 1 ;\tb=2 ; ", "a:1 b:2"},
        {"a=1=2; b", "a:1=2"},
        {"a=\"x y\"", "a:\"x y\""},
        {"a=; b=", "a: b:"},
        {"=x; ;; a=1", "a:1"},
        {"a b=1; c,d=2; e=3", "e:3"},
        {"", ""},
        {";", ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        walk(cases[i].header);
        assert_said(cases[i].pairs);
    }
    (void)state;
}

static void the_first_of_a_name_is_found(void **state)
{
    assert_true(loop_text_equal(loop_cookie_get("a=1; b=2; a=3", "a"), "1"));
    assert_true(loop_text_equal(loop_cookie_get("a=1; b=2; a=3", "b"), "2"));
    assert_true(loop_text_equal(loop_cookie_get("a=", "a"), ""));
    assert_null(loop_cookie_get("a=1", "A").bytes);
    assert_null(loop_cookie_get("aa=1", "a").bytes);
    assert_null(loop_cookie_get("", "a").bytes);
    assert_null(loop_cookie_get(NULL, "a").bytes);
    (void)state;
}

static void a_cookie_is_written_with_its_attributes(void **state)
{
    static const struct {
        struct loop_cookie cookie;
        const char *text;
    } cases[] = {
        {{.name = "a", .value = "b"}, "a=b"},
        {{.name = "a"}, "a="},
        {{.name = "a", .value = "b", .path = "/x", .domain = "h.example"},
         "a=b; Path=/x; Domain=h.example"},
        {{.name = "a", .domain = "h-1.example"}, "a=; Domain=h-1.example"},
        {{.name = "a", .max_age_s = 3600}, "a=; Max-Age=3600"},
        {{.name = "a", .max_age_s = -1}, "a=; Max-Age=0"},
        {{.name = "a", .expires_s = 784111777}, "a=; Expires=Sun, 06 Nov 1994 08:49:37 GMT"},
        {{.name = "a", .expires_s = 253402300799}, "a=; Expires=Fri, 31 Dec 9999 23:59:59 GMT"},
        {{.name = "a", .max_age_s = INT64_MAX}, "a=; Max-Age=9223372036854775807"},
        {{.name = "a", .secure = true, .http_only = true, .same_site = LOOP_SAME_SITE_STRICT},
         "a=; Secure; HttpOnly; SameSite=Strict"},
        {{.name = "a", .same_site = LOOP_SAME_SITE_LAX}, "a=; SameSite=Lax"},
        {{.name = "a", .secure = true, .same_site = LOOP_SAME_SITE_NONE},
         "a=; Secure; SameSite=None"},
        {{.name = "__Secure-a", .secure = true}, "__Secure-a=; Secure"},
        {{.name = "__Host-a", .secure = true, .path = "/"}, "__Host-a=; Path=/; Secure"},
        {{.name = "a", .value = "!#$%&'()*+-./09:<=>?@AZ[]^_`az{|}~"},
         "a=!#$%&'()*+-./09:<=>?@AZ[]^_`az{|}~"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char text[LOOP_COOKIE_TEXT_SIZE];
        ssize_t size = loop_cookie_build(&cases[i].cookie, text, sizeof(text));
        assert_int_equal(strlen(cases[i].text), size);
        assert_string_equal(cases[i].text, text);
        assert_int_equal(size, loop_cookie_build(&cases[i].cookie, text, (size_t)size + 1));
        assert_int_equal(-ENOBUFS, loop_cookie_build(&cases[i].cookie, text, (size_t)size));
        assert_int_equal(-ENOBUFS, loop_cookie_build(&cases[i].cookie, text, 0));
    }
    (void)state;
}

static const struct loop_cookie refused[] = {
    {.name = NULL},
    {.name = ""},
    {.name = "a b"},
    {.name = "a=b"},
    {.name = "a;b"},
    {.name = "a\r\nb"},
    {.name = "\xc3\xa4"},
    {.name = "a", .value = "b; Domain=x"},
    {.name = "a", .value = "b c"},
    {.name = "a", .value = "b,c"},
    {.name = "a", .value = "\"b\""},
    {.name = "a", .value = "b\\c"},
    {.name = "a", .value = "b\r\nSet-Cookie: c=d"},
    {.name = "a", .value = "\xff"},
    {.name = "a", .value = "\x7f"},
    {.name = "a", .path = ""},
    {.name = "a", .path = "x"},
    {.name = "a", .path = "/;x"},
    {.name = "a", .path = "/\n"},
    {.name = "a", .path = "/\x7f"},
    {.name = "a", .domain = ""},
    {.name = "a", .domain = "a;b"},
    {.name = "a", .domain = "a b"},
    {.name = "a", .domain = "a:80"},
    {.name = "a", .domain = "a_b"},
    {.name = "a", .max_age_s = -2},
    {.name = "a", .expires_s = -1},
    {.name = "a", .expires_s = 253402300800},
    {.name = "a", .same_site = LOOP_SAME_SITE_NONE},
    {.name = "a", .same_site = (enum loop_same_site)4},
    {.name = "__Secure-a"},
    {.name = "__secure-a"},
    {.name = "__Host-a", .path = "/"},
    {.name = "__Host-a", .secure = true},
    {.name = "__Host-a", .secure = true, .path = "/x"},
    {.name = "__Host-a", .secure = true, .path = "/", .domain = "x"},
};

static void what_could_be_read_as_something_else_is_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        char text[LOOP_COOKIE_TEXT_SIZE];
        assert_int_equal(-EINVAL, loop_cookie_build(&refused[i], text, sizeof(text)));
    }
    (void)state;
}

static void a_cookie_is_no_larger_than_browsers_keep(void **state)
{
    static char large[LOOP_COOKIE_MAX + 1];
    static char path[LOOP_COOKIE_ATTRIBUTE + 2];
    char text[LOOP_COOKIE_TEXT_SIZE];
    memset(large, 'x', LOOP_COOKIE_MAX);
    memset(path, '/', LOOP_COOKIE_ATTRIBUTE + 1);
    struct loop_cookie cookie = {.name = "a", .value = large};
    assert_int_equal(-ENAMETOOLONG, loop_cookie_build(&cookie, text, sizeof(text)));
    cookie.value = large + 1;
    assert_int_equal(2 + LOOP_COOKIE_MAX - 1, loop_cookie_build(&cookie, text, sizeof(text)));
    cookie.path = path;
    assert_int_equal(-ENAMETOOLONG, loop_cookie_build(&cookie, text, sizeof(text)));
    cookie.path = path + 1;
    assert_true(loop_cookie_build(&cookie, text, sizeof(text)) > 0);
    memset(path, 'a', LOOP_COOKIE_ATTRIBUTE + 1);
    cookie.path = NULL;
    cookie.domain = path;
    assert_int_equal(-ENAMETOOLONG, loop_cookie_build(&cookie, text, sizeof(text)));
    cookie.domain = path + 1;
    assert_true(loop_cookie_build(&cookie, text, sizeof(text)) > 0);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cookies_come_in_pairs),
        cmocka_unit_test(the_first_of_a_name_is_found),
        cmocka_unit_test(a_cookie_is_written_with_its_attributes),
        cmocka_unit_test(what_could_be_read_as_something_else_is_refused),
        cmocka_unit_test(a_cookie_is_no_larger_than_browsers_keep),
    };
    return cmocka_run_group_tests_name("http/cookie", tests, NULL, NULL);
}
