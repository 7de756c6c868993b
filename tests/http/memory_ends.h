/* Internal. Memory that ends: for programs whose every allocation may be refused.
 *
 * The linker sends what the library asks of malloc(3) and its sisters through the functions of this
 * file (--wrap), which refuse the nth while memory_left counts down to it. What the C library and
 * zlib allocate inside is refused at their door; jansson is given these functions by those who use
 * it. Threads of the pool ask, too, so numbers are atomic.
 *
 * A loop whose allocator is memory_core() keeps what is its own out of all this, or, if
 * memory_core_fails, is refused as well.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MEMORY_ENDS_H
#define MEMORY_ENDS_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
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

static atomic_long memory_left;      /* until the one that fails; 0: none does */
static atomic_long memory_asked_for; /* of which so many were */
static atomic_long memory_in_use;
static bool memory_core_fails;
static bool memory_stays_away; /* all that is asked for after the nth is refused, too */

static inline bool memory_fails(void)
{
    if (atomic_load(&memory_left) <= 0)
        return false;
    atomic_fetch_add(&memory_asked_for, 1);
    if (memory_stays_away && atomic_load(&memory_left) == 1)
        return true;
    return atomic_fetch_sub(&memory_left, 1) == 1;
}

static inline void *memory_counted(void *memory)
{
    atomic_fetch_add(&memory_in_use, memory != NULL);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return memory_fails() ? NULL : memory_counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return memory_fails() ? NULL : memory_counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (memory_fails())
        return NULL;
    bool is_new = !memory;
    void *grown = __real_realloc(memory, size);
    atomic_fetch_add(&memory_in_use, grown && is_new);
    return grown;
}

char *__wrap_strndup(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    char *copy = __wrap_malloc(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

void __wrap_free(void *memory)
{
    atomic_fetch_sub(&memory_in_use, memory != NULL);
    __real_free(memory);
}

/* The allocator of a loop. */
static inline void *memory_core(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0) {
        __real_free(memory);
        return NULL;
    }
    return memory_core_fails && memory_fails() ? NULL : __real_realloc(memory, size);
}

#endif
