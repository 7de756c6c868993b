/* Queries, and forms that are written the same way.
 *
 * Fields come in their order, decoded once, "+" as a space; empty ones are passed over, a name
 * without "=" has an empty value. A name may come again: the first is what is looked up. What is
 * built is read as it was, whatever bytes it has. An escape that is none ends the walk with an
 * error, so does a field too many, and one that does not fit is not cut.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include "loop/http/url.h"

#include <stdio.h>
#include <stdlib.h>

static struct loop_text t(const char *string)
{
    return loop_text_of(string);
}

/* All fields, as "name:value", and how it ended. */
static void walk(struct loop_text text)
{
    struct loop_query query;
    struct loop_text name, value;
    char buffer[256];
    int result;
    loop_query_init(&query, text);
    while ((result = loop_query_next(&query, &name, &value, buffer, sizeof(buffer))) == 1) {
        assert_int_equal('\0', name.bytes[name.size]);
        assert_int_equal('\0', value.bytes[value.size]);
        say("%s:%s", name.bytes, value.bytes);
    }
    say("%d", result);
    assert_int_equal(0, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
}

static void fields_come_in_order(void **state)
{
    static const struct {
        const char *text, *fields;
    } cases[] = {
        {"a=1&b=2", "a:1 b:2 0"},
        {"", "0"},
        {"&", "0"},
        {"a", "a: 0"},
        {"a=", "a: 0"},
        {"=b", ":b 0"},
        {"=", ": 0"},
        {"&&a=1&&b=2&", "a:1 b:2 0"},
        {"a=1=2", "a:1=2 0"},
        {"a=1&a=2", "a:1 a:2 0"},
        {"a%3d=%26", "a=:& 0"},
        {"a+b=c+d%2b", "a b:c d+ 0"},
        {"%2541=%2525", "%41:%25 0"},
        {"\xc3\xa4=%c3%A4", "\xc3\xa4:\xc3\xa4 0"},
        {"a;b=1", "a;b:1 0"},
        {"a=1&b=%&c=3", "a:1 -22"},
        {"%4=1", "-22"},
        {"a=%zz", "-22"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        walk(t(cases[i].text));
        assert_said(cases[i].fields);
    }
    walk((struct loop_text){0});
    assert_said("0");
    (void)state;
}

static void the_first_of_a_name_is_found(void **state)
{
    static const struct {
        const char *text, *name, *value;
        int error;
    } cases[] = {
        {"a=1&b=2&a=3", "a", "1", 0},
        {"a=1&b=2", "b", "2", 0},
        {"a=1", "c", NULL, -ENOENT},
        {"", "a", NULL, -ENOENT},
        {"%61=x+y", "a", "x y", 0},
        {"ab=1&a=2", "a", "2", 0},
        {"a=1&ab=2", "ab", "2", 0},
        {"a+b=1", "a b", "1", 0},
        {"a=%&b=1", "b", "1", 0},
        {"a=%&b=1", "a", NULL, -EINVAL},
        {"%=1&a=2", "a", "2", 0},
        {"a%00b=1", "a", NULL, -ENOENT},
        {"a", "a", "", 0},
        {"=x", "", "x", 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char value[16];
        ssize_t size = loop_query_get(t(cases[i].text), cases[i].name, value, sizeof(value));
        if (cases[i].error) {
            assert_int_equal(cases[i].error, size);
            continue;
        }
        assert_int_equal(strlen(cases[i].value), size);
        assert_string_equal(cases[i].value, value);
    }
    (void)state;
}

static void what_is_built_is_read_as_it_was(void **state)
{
    char text[2048];
    char every[256];
    ssize_t length = 0;
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    length = loop_query_add(text, (size_t)length, sizeof(text), t("q"), t("a b&c=d"));
    assert_string_equal("q=a+b%26c%3Dd", text);
    length = loop_query_add(text, (size_t)length, sizeof(text), t(""), t(""));
    assert_string_equal("q=a+b%26c%3Dd&=", text);
    struct loop_text all = {every, sizeof(every)};
    length = loop_query_add(text, (size_t)length, sizeof(text), all, all);
    assert_true(length > 0);

    struct loop_query query;
    struct loop_text name, value;
    char buffer[1024];
    loop_query_init(&query, t(text));
    assert_int_equal(1, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    assert_string_equal("a b&c=d", value.bytes);
    assert_int_equal(1, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    assert_int_equal(0, name.size + value.size);
    assert_int_equal(1, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    assert_int_equal(256, name.size);
    assert_memory_equal(every, name.bytes, 256);
    assert_memory_equal(every, value.bytes, 256);
    assert_int_equal(0, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    (void)state;
}

static void what_does_not_fit_is_not_cut(void **state)
{
    struct loop_query query;
    struct loop_text name, value;
    char buffer[16];
    for (size_t capacity = 0; capacity < 7; capacity++) {
        loop_query_init(&query, t("ab=cde&f"));
        assert_int_equal(-ENOBUFS, loop_query_next(&query, &name, &value, buffer, capacity));
        assert_int_equal(0, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    }
    loop_query_init(&query, t("ab=cde"));
    assert_int_equal(1, loop_query_next(&query, &name, &value, buffer, 7));
    assert_int_equal(-ENOBUFS, loop_query_get(t("a=bcd"), "a", buffer, 3));
    assert_int_equal(3, loop_query_get(t("a=bcd"), "a", buffer, 4));
    assert_int_equal(3, loop_query_add(buffer, 0, 4, t("a"), t("b")));
    for (size_t capacity = 0; capacity < 9; capacity++) {
        assert_int_equal(-ENOBUFS, loop_query_add(buffer, 3, capacity, t("c"), t("%")));
        assert_string_equal("a=b", buffer);
    }
    assert_int_equal(9, loop_query_add(buffer, 3, 10, t("c"), t("%")));
    assert_string_equal("a=b&c=%25", buffer);
    (void)state;
}

static void there_are_only_so_many_fields(void **state)
{
    static char text[2 * (LOOP_QUERY_FIELDS_MAX + 1) + 1];
    struct loop_query query;
    struct loop_text name, value;
    char buffer[16];
    for (int i = 0; i <= LOOP_QUERY_FIELDS_MAX; i++)
        memcpy(text + 2 * i, "a&", 2);
    loop_query_init(&query, t(text));
    for (int i = 0; i < LOOP_QUERY_FIELDS_MAX; i++)
        assert_int_equal(1, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    assert_int_equal(-E2BIG, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    assert_int_equal(0, loop_query_next(&query, &name, &value, buffer, sizeof(buffer)));
    assert_int_equal(-E2BIG, loop_query_get(t(text), "b", buffer, sizeof(buffer)));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_in_order),
        cmocka_unit_test(the_first_of_a_name_is_found),
        cmocka_unit_test(what_is_built_is_read_as_it_was),
        cmocka_unit_test(what_does_not_fit_is_not_cut),
        cmocka_unit_test(there_are_only_so_many_fields),
    };
    return cmocka_run_group_tests_name("http/query", tests, NULL, NULL);
}
