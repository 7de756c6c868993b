/* The small cmocka: runs the tests of a program one after the other, and prints TAP.
 *
 * A test that fails leaves by a jump, as with cmocka itself, so what it has opened stays open; its
 * teardown runs all the same. What it said of the failure goes to standard error, and standard
 * output is flushed before each test, for some of them fork.
 *
 * A test on the list of those to skip is printed with the reason from there. A name on the list
 * that no program has is not noticed here.
 *
 * SPDX-License-Identifier: MIT */
#include "cmocka.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum outcome { RUNNING, FAILED, SKIPPED };

static jmp_buf back;
static char text[512];     /* a line of the list, or a place */
static const char *reason; /* of the test that was skipped last */

void print_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

_Noreturn void small_fail(const char *what, const char *file, int number)
{
    print_error("%s:%d: %s\n", file, number, what);
    longjmp(back, FAILED);
}

_Noreturn void small_skip(const char *file, int number)
{
    snprintf(text, sizeof(text), "%s:%d", file, number);
    reason = text;
    longjmp(back, SKIPPED);
}

void small_true(int holds, const char *what, const char *file, int number)
{
    if (!holds)
        small_fail(what, file, number);
}

void small_compare(uint64_t a, uint64_t b, int equal, const char *what, const char *file,
                   int number)
{
    if ((a == b) == equal)
        return;
    print_error("%lld (%#llx), %lld (%#llx)\n", (long long)a, (unsigned long long)a, (long long)b,
                (unsigned long long)b);
    small_fail(what, file, number);
}

void small_in_range(uint64_t value, uint64_t least, uint64_t most, const char *what,
                    const char *file, int number)
{
    if (value >= least && value <= most)
        return;
    print_error("%llu is not in %llu to %llu\n", (unsigned long long)value,
                (unsigned long long)least, (unsigned long long)most);
    small_fail(what, file, number);
}

void small_strings(const char *a, const char *b, int equal, const char *file, int number)
{
    if ((strcmp(a, b) == 0) == equal)
        return;
    print_error("\"%s\"\n\"%s\"\n", a, b);
    small_fail(equal ? "these differ" : "these are the same", file, number);
}

void small_memory(const void *a, const void *b, size_t size, const char *file, int number)
{
    small_true(memcmp(a, b, size) == 0, "memory differs", file, number);
}

/* A test with a variant, "name (tcp)", is on the list by its name. */
static bool concerns(const char *line, const char *name)
{
    size_t length = strcspn(name, " ");
    return strncmp(line, name, length) == 0 && strncmp(line + length, ": ", 2) == 0;
}

/* Whether the list names the test, or the whole program. */
static bool on_the_list(const char *name)
{
    const char *path = getenv("SMALL_SKIP");
    FILE *list = path ? fopen(path, "re") : NULL;
    bool found = false;
    while (list && !found && fgets(text, sizeof(text), list))
        found = concerns(text, name) || concerns(text, program_invocation_short_name);
    if (list)
        fclose(list);
    text[strcspn(text, "\n")] = '\0';
    reason = found ? strstr(text, ": ") + 2 : "";
    return found;
}

static enum outcome run(const struct CMUnitTest *test)
{
    void *state = test->initial_state;
    if (on_the_list(test->name))
        return SKIPPED;
    if (test->setup_func && test->setup_func(&state) != 0)
        return FAILED;
    enum outcome outcome = (enum outcome)setjmp(back);
    if (outcome == RUNNING)
        test->test_func(&state);
    if (test->teardown_func && test->teardown_func(&state) != 0)
        return FAILED;
    return outcome;
}

int small_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **state),
              int (*teardown)(void **state))
{
    void *state = NULL;
    int failed = setup ? setup(&state) != 0 : 0;
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++) {
        fflush(stdout);
        enum outcome outcome = run(&tests[i]);
        failed += outcome == FAILED;
        printf("%s %zu - %s%s%s\n", outcome == FAILED ? "not ok" : "ok", i + 1, tests[i].name,
               outcome == SKIPPED ? " # SKIP " : "", outcome == SKIPPED ? reason : "");
    }
    fflush(stdout);
    return failed + (teardown && teardown(&state) != 0);
}
