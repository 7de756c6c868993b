/* What every test program shares: a loop with a counting allocator, words said in order, a look at
 * the table of descriptors, and children in which a misuse may panic.
 *
 * A panic ends the process, so it is provoked in a forked child whose standard error is a pipe, and
 * the sentence is read from there. Children leave through _exit(), so that what the parent's test
 * framework had buffered is not printed twice.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long allocations; /* any thread */
static int descriptors_before;
static char words[65536];
static size_t words_used;

static void *counting_resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (!memory && size > 0)
        __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
    if (size > 0)
        return realloc(memory, size);
    if (memory)
        __atomic_sub_fetch(&allocations, 1, __ATOMIC_RELAXED);
    free(memory);
    return NULL;
}

struct loop_options test_options(enum loop_clock clock)
{
    return (struct loop_options){.clock = clock, .allocator.resize = counting_resize};
}

int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static int setup(void **state, enum loop_clock clock)
{
    static struct loop loop;
    struct loop_options options = test_options(clock);
    words_used = 0;
    words[0] = '\0';
    descriptors_before = open_descriptors();
    *state = &loop;
    return loop_init(&loop, &options);
}

int setup_virtual(void **state)
{
    return setup(state, LOOP_CLOCK_VIRTUAL);
}

int setup_real(void **state)
{
    return setup(state, LOOP_CLOCK_MONOTONIC);
}

/* A job that was cancelled while it ran may still be on its way: the pool is emptied first. */
int teardown(void **state)
{
    int error = loop_fini(*state);
    if (error)
        print_error("loop_fini: %s: a test left something active\n", loop_error_name(error));
    loop_pool_shutdown();
    long left = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
    if (left != 0)
        print_error("%ld allocations were not freed\n", left);
    int descriptors = open_descriptors() - descriptors_before;
    if (descriptors != 0)
        print_error("%d descriptors more than before\n", descriptors);
    allocations = 0;
    return error || left != 0 || descriptors != 0 ? -1 : 0;
}

void abandon_loop(struct loop *loop)
{
    struct loop_options options = test_options(LOOP_CLOCK_VIRTUAL);
    memset(loop, 0, sizeof(*loop));
    assert_int_equal(0, loop_init(loop, &options));
}

void say(const char *format, ...)
{
    va_list arguments;
    if (words_used > 0 && words_used < sizeof(words) - 1)
        words[words_used++] = ' ';
    va_start(arguments, format);
    int length = vsnprintf(words + words_used, sizeof(words) - words_used, format, arguments);
    va_end(arguments);
    words_used += length > 0 ? (size_t)length : 0;
    if (words_used > sizeof(words) - 1)
        words_used = sizeof(words) - 1;
}

const char *said(void)
{
    static char copy[sizeof(words)];
    memcpy(copy, words, words_used + 1);
    copy[words_used] = '\0';
    words_used = 0;
    words[0] = '\0';
    return copy;
}

static void become_misuser(void (*misuse)(void), int sentence_fd)
{
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL);
    dup2(sentence_fd, STDERR_FILENO);
    misuse();
    _exit(0);
}

const char *said_towards(struct loop *loop, const char *expected)
{
    while (words_used < strlen(expected) && memcmp(words, expected, words_used) == 0 &&
           loop_run(loop, LOOP_RUN_ONCE) == 1)
        continue;
    return said();
}

const char *said_of_length(struct loop *loop, size_t length)
{
    while (words_used < length && loop_run(loop, LOOP_RUN_ONCE) == 1)
        continue;
    return said();
}

void assert_panics(void (*misuse)(void), const char *sentence)
{
    int ends[2];
    int status;
    char heard[8192];
    size_t used = 0;
    ssize_t count;
    assert_int_equal(0, pipe(ends));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        become_misuser(misuse, ends[1]);
    close(ends[1]);
    while ((count = read(ends[0], heard + used, sizeof(heard) - 1 - used)) > 0)
        used += (size_t)count;
    heard[used] = '\0';
    close(ends[0]);
    assert_int_equal(child, waitpid(child, &status, 0));
    if (!strstr(heard, "libloop: panic: ") || !strstr(heard, sentence))
        print_error("expected a panic with \"%s\", heard: %s\n", sentence, heard);
    assert_non_null(strstr(heard, "libloop: panic: "));
    assert_non_null(strstr(heard, sentence));
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

void in_child(int (*run)(void *arg), void *arg)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run(arg));
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    assert_int_equal(0, WEXITSTATUS(status));
}

void busy_ns(uint64_t ns)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((uint64_t)(now.tv_sec - start.tv_sec) * LOOP_SEC + (uint64_t)now.tv_nsec <
           (uint64_t)start.tv_nsec + ns);
}
