/* What refusing.h promises.
 *
 * Memory that the library has is known by its address: what it frees may come from a library that
 * does not ask us, such as the text of open_memstream(3). The loops of the tests are given memory
 * by an allocator that never refuses, since what a loop does without it is tested with the core.
 * Threads may ask at the same time: the counts are atomic, and the addresses under a lock.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include <pthread.h>
#include <search.h>
#include <stdatomic.h>

static atomic_long left;  /* until the one that fails; 0: none does */
static atomic_long asked; /* of which so many were */
static long nth;          /* of the run under way */
static const char *only;  /* NULL: any call counts */
static _Atomic(const char *) last;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *known; /* a tree of addresses */
static long in_use;

bool refused(const char *call)
{
    if (atomic_load(&left) <= 0 || (only && strcmp(only, call) != 0))
        return false;
    atomic_fetch_add(&asked, 1);
    if (atomic_fetch_sub(&left, 1) != 1)
        return false;
    atomic_store(&last, call);
    return true;
}

bool refused_by_name(const char *call)
{
    return only && refused(call);
}

void arm(void)
{
    only = NULL;
    atomic_store(&last, NULL);
    atomic_store(&asked, 0);
    atomic_store(&left, nth);
}

void disarm(void)
{
    atomic_store(&left, 0);
}

void refuse(const char *call, long which)
{
    arm();
    only = call;
    atomic_store(&left, which);
}

const char *refused_call(void)
{
    return atomic_load(&last);
}

/* --- memory --- */

static int compare(const void *a, const void *b)
{
    return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

static void *remember(void *memory)
{
    pthread_mutex_lock(&lock);
    in_use += memory && tsearch(memory, &known, compare);
    pthread_mutex_unlock(&lock);
    return memory;
}

static void forget(void *memory)
{
    pthread_mutex_lock(&lock);
    in_use -= memory && tdelete(memory, &known, compare);
    pthread_mutex_unlock(&lock);
}

void *__wrap_malloc(size_t size)
{
    return refused("malloc") ? NULL : remember(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refused("calloc") ? NULL : remember(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (refused("realloc"))
        return NULL;
    forget(memory);
    return remember(__real_realloc(memory, size));
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
    forget(memory);
    __real_free(memory);
}

/* --- runs --- */

/* The first run has nothing refused: what is made once for the whole process is there then. */
void refuse_each(void **state, void (*scenario)(void **state))
{
    nth = 0;
    scenario(state);
    do {
        long memory = in_use;
        int descriptors = open_descriptors();
        nth++;
        scenario(state);
        disarm();
        if (in_use != memory || open_descriptors() != descriptors)
            fail_msg("%s, the %ldth call, leaves memory: %ld, descriptors: %d", refused_call(), nth,
                     in_use - memory, open_descriptors() - descriptors);
    } while (atomic_load(&asked) >= nth);
    assert_true(nth > 2);
    nth = 0;
}

static int descriptors_before;

static void *resize(void *context, void *memory, size_t size)
{
    (void)context;
    if (size > 0)
        return __real_realloc(memory, size);
    __real_free(memory);
    return NULL;
}

static int setup(void **state, enum loop_clock clock)
{
    static struct loop own;
    const struct loop_options options = {.clock = clock, .allocator = {.resize = resize}};
    disarm();
    descriptors_before = open_descriptors();
    *state = &own;
    return loop_init(&own, &options);
}

int setup_spared(void **state)
{
    return setup(state, LOOP_CLOCK_VIRTUAL);
}

int setup_spared_real(void **state)
{
    return setup(state, LOOP_CLOCK_MONOTONIC);
}

int teardown_spared(void **state)
{
    disarm();
    return loop_fini(*state) < 0 || open_descriptors() != descriptors_before ? -1 : 0;
}
