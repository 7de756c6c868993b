/* Internal. What every test program shares.
 *
 * A test has a loop, made by setup() and finished by teardown(), which also looks whether
 * descriptors and memory are back where they were. Most run on the virtual clock: no test sleeps in
 * order to synchronise. Callbacks say() a word; assert_said() compares all words since the last
 * time.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TEST_H
#define LOOP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop.h"

#include <errno.h>

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* A test with a loop on the virtual clock, and one with a loop on the real clock. */
#define virtual_test(name) cmocka_unit_test_setup_teardown(name, setup_virtual, teardown)
#define real_test(name)    cmocka_unit_test_setup_teardown(name, setup_real, teardown)

/* The options that setup gives its loop: an allocator that counts. */
struct loop_options test_options(enum loop_clock clock);

int setup_virtual(void **state); /* *state is a struct loop */
int setup_real(void **state);
int teardown(void **state);

/* Closes nothing and stops nothing: for tests whose loop is to be left alone by teardown. */
void abandon_loop(struct loop *loop);

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* All that was said since the last call, words separated by spaces. */
#define assert_said(words) assert_string_equal(words, said())
const char *said(void);

/* The same, once it has been said: turns run, and sleep, while it is but the beginning of that. For
 * what the kernel may take a while to carry from one end to the other. */
#define assert_will_say(loop, words) assert_string_equal(words, said_towards(loop, words))
const char *said_towards(struct loop *loop, const char *expected);

/* The same for words in any order: runs until they are as long. */
const char *said_of_length(struct loop *loop, size_t length);

/* Runs the function in a child and expects it to panic with a sentence that contains words. */
void assert_panics(void (*misuse)(void), const char *words);

/* Runs the function in a forked child, which must return 0 (or exit 0). */
void in_child(int (*run)(void *arg), void *arg);

int open_descriptors(void);

/* Makes the virtual clock or a busy loop pass. */
void busy_ns(uint64_t ns);

#endif
