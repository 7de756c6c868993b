/* Errors as words: each number that the C library knows has a name and a sentence.
 *
 * The names are those of the constants in <errno.h>, and no two are the same. The sentences are the
 * C library's where that is glibc, so that a program may print either. What no errno is, positive
 * numbers among it, is said to be unknown, and 0 and LOOP_EOF have words of their own. The table in
 * the library is written by hand; this is what holds it to the C library's.
 *
 * SPDX-License-Identifier: MIT */
#include "../test.h"

#include <string.h>

enum { ERRNO_MAX = 4095 }; /* the kernel's */

/* glibc: "Unknown error 4711", musl: "No error information". */
static bool c_library_knows(int number)
{
    const char *text = strerror(number);
    return !strstr(text, "nknown error") && !strstr(text, "No error information");
}

static void each_errno_has_a_name_and_a_sentence(void **state)
{
    (void)state;
    for (int number = 1; number <= ERRNO_MAX; number++) {
        if (!c_library_knows(number))
            continue;
        assert_string_not_equal("UNKNOWN", loop_error_name(-number));
        assert_int_equal('E', loop_error_name(-number)[0]);
        assert_string_not_equal("unknown error", loop_strerror(-number));
    }
}

static void no_two_names_are_the_same(void **state)
{
    (void)state;
    for (int a = 1; a < 200; a++)
        for (int b = 1; b < a; b++)
            if (strcmp("UNKNOWN", loop_error_name(-a)) != 0)
                assert_string_not_equal(loop_error_name(-a), loop_error_name(-b));
}

static void the_names_are_those_of_the_constants(void **state)
{
    (void)state;
    assert_string_equal("EPERM", loop_error_name(-EPERM));
    assert_string_equal("EAGAIN", loop_error_name(-EWOULDBLOCK));
    assert_string_equal("ECANCELED", loop_error_name(-ECANCELED));
    assert_string_equal("EHWPOISON", loop_error_name(-EHWPOISON));
    assert_string_equal("Connection refused", loop_strerror(-ECONNREFUSED));
    assert_string_equal("No such file or directory", loop_strerror(-ENOENT));
}

static void what_is_no_errno_is_unknown(void **state)
{
    static const int strange[] = {1, EPERM, -41, -58, -134, -4096, INT32_MAX, INT32_MIN};
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(strange); i++) {
        assert_string_equal("UNKNOWN", loop_error_name(strange[i]));
        assert_string_equal("unknown error", loop_strerror(strange[i]));
    }
}

static void success_and_the_end_have_words_of_their_own(void **state)
{
    (void)state;
    assert_string_equal("OK", loop_error_name(0));
    assert_string_equal("no error", loop_strerror(0));
    assert_string_equal("EOF", loop_error_name(LOOP_EOF));
    assert_string_equal("end of file", loop_strerror(LOOP_EOF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_errno_has_a_name_and_a_sentence),
        cmocka_unit_test(no_two_names_are_the_same),
        cmocka_unit_test(the_names_are_those_of_the_constants),
        cmocka_unit_test(what_is_no_errno_is_unknown),
        cmocka_unit_test(success_and_the_end_have_words_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
