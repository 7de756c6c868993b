/* Internal. As much of cmocka as the tests use, for where no package has it: another C library, or
 * another processor.
 *
 * The names are cmocka's, and mean the same, so that no test knows. What it adds is a list of tests
 * to skip, for machines that are played by a program: the environment's SMALL_SKIP names a file
 * with the name of a test or a program, a colon and the reason in each line. Not here are mocks,
 * which we never use, and a look after signals: a program that crashes has crashed, and the suite
 * counts that.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SMALL_CMOCKA_H
#define LOOP_SMALL_CMOCKA_H

#include <stddef.h>
#include <stdint.h>

struct CMUnitTest {
    const char *name;
    void (*test_func)(void **state);
    int (*setup_func)(void **state); /* NULL: none, as the next */
    int (*teardown_func)(void **state);
    void *initial_state; /* what *state is before the setup */
};

#define cmocka_unit_test(test_)                                                                    \
    {                                                                                              \
        .name = #test_, .test_func = (test_)                                                       \
    }
#define cmocka_unit_test_setup_teardown(test_, setup_, teardown_)                                  \
    {                                                                                              \
        .name = #test_, .test_func = (test_), .setup_func = (setup_), .teardown_func = (teardown_) \
    }
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    small_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

#define assert_true(value)              small_true((value) != 0, #value, __FILE__, __LINE__)
#define assert_false(value)             small_true((value) == 0, "not: " #value, __FILE__, __LINE__)
#define assert_return_code(code, error) small_true((code) >= 0, #code, __FILE__, __LINE__)
#define assert_non_null(pointer)        small_true((pointer) != NULL, #pointer, __FILE__, __LINE__)
#define assert_null(pointer)            small_true((pointer) == NULL, #pointer, __FILE__, __LINE__)
#define assert_ptr_equal(a, b)          small_true((a) == (b), #a " == " #b, __FILE__, __LINE__)
#define assert_ptr_not_equal(a, b)      small_true((a) != (b), #a " != " #b, __FILE__, __LINE__)
#define assert_int_equal(a, b)                                                                     \
    small_compare((uint64_t)(a), (uint64_t)(b), 1, #a " == " #b, __FILE__, __LINE__)
#define assert_int_not_equal(a, b)                                                                 \
    small_compare((uint64_t)(a), (uint64_t)(b), 0, #a " != " #b, __FILE__, __LINE__)
#define assert_in_range(value, least, most)                                                        \
    small_in_range((uint64_t)(value), (uint64_t)(least), (uint64_t)(most), #value, __FILE__,       \
                   __LINE__)
#define assert_string_equal(a, b)       small_strings(a, b, 1, __FILE__, __LINE__)
#define assert_string_not_equal(a, b)   small_strings(a, b, 0, __FILE__, __LINE__)
#define assert_memory_equal(a, b, size) small_memory(a, b, size, __FILE__, __LINE__)
#define fail()                          small_fail("fail()", __FILE__, __LINE__)
#define fail_msg(...)                   (print_error(__VA_ARGS__), small_fail("", __FILE__, 0))
#define skip()                          small_skip(__FILE__, __LINE__)
#define print_message                   print_error

void print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

int small_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **state),
              int (*teardown)(void **state));
_Noreturn void small_fail(const char *what, const char *file, int line);
_Noreturn void small_skip(const char *file, int line);
void small_true(int holds, const char *what, const char *file, int line);
void small_compare(uint64_t a, uint64_t b, int equal, const char *what, const char *file, int line);
void small_in_range(uint64_t value, uint64_t least, uint64_t most, const char *what,
                    const char *file, int line);
void small_strings(const char *a, const char *b, int equal, const char *file, int line);
void small_memory(const void *a, const void *b, size_t size, const char *file, int line);

#endif
