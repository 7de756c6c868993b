/* libloop-debug.
 *
 * A program that links it need do nothing more: behind the sentence of a panic comes the stack,
 * with the names of its functions, static ones included. The panic callback can be replaced, and
 * taken away; it is called with the sentence, after it was printed. (libunwind opens a pipe of its
 * own at its first use in a process, so the test that walks the stack in this one does not count
 * descriptors.)
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/debug.h"

#include <string.h>
#include <unistd.h>

static __attribute__((noinline)) void close_a_timer_twice(void)
{
    struct loop loop;
    struct loop_timer timer;
    loop_init(&loop, NULL);
    loop_timer_init(&loop, &timer);
    loop_close(&timer.handle, NULL);
    loop_close(&timer.handle, NULL);
}

static void a_panic_is_followed_by_the_stack(void **state)
{
    (void)state;
    assert_panics(close_a_timer_twice, "the timer was closed twice");
    assert_panics(close_a_timer_twice, " loop_close");
    assert_panics(close_a_timer_twice, " close_a_timer_twice+0x");
}

static void shout(const char *message)
{
    const char *heard =
        strstr(message, "closed twice") ? "heard of it\n" : "heard something else\n";
    if (write(STDERR_FILENO, heard, strlen(heard)) < 0)
        _exit(2);
}

static void close_twice_with_a_callback(void)
{
    loop_set_panic_cb(shout);
    close_a_timer_twice();
}

static void the_callback_of_a_panic_can_be_replaced(void **state)
{
    (void)state;
    assert_panics(close_twice_with_a_callback, "heard of it");
}

static void close_twice_with_none(void)
{
    loop_set_panic_cb(NULL);
    close_a_timer_twice();
}

static void the_callback_of_a_panic_can_be_taken_away(void **state)
{
    (void)state;
    assert_panics(close_twice_with_none, "ask loop_is_closing() where that may happen\n");
}

static void a_backtrace_can_be_had_at_any_time(void **state)
{
    char text[4096];
    int ends[2];
    (void)state;
    assert_int_equal(0, pipe(ends));
    loop_debug_backtrace(ends[1]);
    close(ends[1]); /* and so the call above is none that ends the function */
    ssize_t count = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_true(count > 0);
    text[count] = '\0';
    if (!strstr(text, " a_backtrace_can_be_had_at_any_time+0x"))
        print_error("heard:\n%s", text);
    assert_non_null(strstr(text, " a_backtrace_can_be_had_at_any_time+0x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        virtual_test(a_panic_is_followed_by_the_stack),
        virtual_test(the_callback_of_a_panic_can_be_replaced),
        virtual_test(the_callback_of_a_panic_can_be_taken_away),
        cmocka_unit_test(a_backtrace_can_be_had_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
