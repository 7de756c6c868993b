/* Internal. Calls that fail because a test says so: memory, and whatever a program adds.
 *
 * The linker sends what the library asks of the outside through functions named __wrap_*, which ask
 * refused() whether this is the call that has to fail. refuse_each() runs a scenario again and
 * again; each time another of the calls that it makes between arm() and disarm() fails, the first,
 * the second, until there are no more. After each run the memory and the descriptors of the library
 * must be what they were before.
 *
 * SPDX-License-Identifier: MIT */
#ifndef REFUSING_H
#define REFUSING_H

#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
void __wrap_free(void *memory);

/* Whether this call is the one. Any thread. */
bool refused(const char *call);

/* The same for calls that a loop makes itself: only if refuse() has named this one. */
bool refused_by_name(const char *call);

void arm(void);
void disarm(void);

/* From here to disarm() the nth call of this name fails, and no other. */
void refuse(const char *call, long nth);

/* The call that was refused last; NULL: none was. */
const char *refused_call(void);

void refuse_each(void **state, void (*scenario)(void **state));

/* A loop whose own memory does not end: each outside call that fails is the library's. */
int setup_spared(void **state);
int setup_spared_real(void **state);
int teardown_spared(void **state);

#define spared_test(name) cmocka_unit_test_setup_teardown(name, setup_spared, teardown_spared)
#define spared_real_test(name)                                                                     \
    cmocka_unit_test_setup_teardown(name, setup_spared_real, teardown_spared)

#endif
