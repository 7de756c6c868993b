/* One run: from a seed, or from a row of bytes that a fuzzer has made up.
 *
 * A run begins with a world in which nothing is, plays a program on it, and ends with a look for
 * what is left. All that happens is noted; the hash of the notes tells two runs apart. Who finds
 * something wrong calls fail(), which does not return: the process ends, since a broken loop is not
 * to be tidied up.
 *
 * SPDX-License-Identifier: MIT */
#include "entry.h"
#include "program.h"

#include <stdarg.h>

enum { BYTES_HEAD = 8, BYTES_BUDGET = 2000 };

const char *const feature_names[FEATURES] = {
    "timers",     "hooks",        "tasks", "posts",    "asyncs",       "polls",     "tcp",
    "unix",       "fifos",        "peers", "copies",   "work",         "deadlines", "nested",
    "slow-calls", "slow-program", "short", "spurious", "small-queues", "resets",    "few-files",
    "no-memory",  "bad-epoll",    "dups",  "changes",  "children",     "signals"};

struct run run;

static __attribute__((format(printf, 2, 0))) void say(bool failed, const char *format,
                                                      va_list arguments)
{
    char line[512];
    int length = vsnprintf(line, sizeof(line), format, arguments);
    for (int i = 0; i < length && i < (int)sizeof(line) - 1; i++)
        run.hash = (run.hash ^ (unsigned char)line[i]) * UINT64_C(0x100000001b3);
    if (failed || run.verbose)
        printf("%s%s\n", failed ? "FAILED: " : "", line);
}

void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(false, format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(true, format, arguments);
    va_end(arguments);
    fflush(stdout);
    if (run.aborts)
        abort();
    _exit(1);
}

/* Most seeds have most features; some have few. */
uint32_t seed_features(uint64_t seed)
{
    random_seed(seed);
    uint32_t features = 0;
    uint32_t share = 300 + world_below(700);
    for (unsigned i = 0; i < FEATURES; i++)
        features |= (uint32_t)world_chance(share) << i;
    return features;
}

static void play(void)
{
    run.hash = UINT64_C(0xcbf29ce484222325);
    memory_begin();
    files_begin();
    epoll_begin();
    listeners_begin();
    world_begin();
    threads_begin();
    peers_begin();
    tree_begin();
    children_begin();
    program_main();
    threads_end();
    peers_end();
    tree_end();
    children_end();
    world_end();
    files_end();
    memory_end();
}

void run_seed(uint64_t seed, uint32_t budget, uint32_t mask, bool verbose)
{
    run = (struct run){.seed = seed, .faults = true, .verbose = verbose, .budget = budget};
    run.features = seed_features(seed) & mask;
    play();
}

static uint32_t word(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void sim_run_bytes(const uint8_t *bytes, size_t size)
{
    if (size < BYTES_HEAD)
        return;
    run = (struct run){.faults = true, .budget = BYTES_BUDGET, .aborts = true};
    run.verbose = getenv("SIM_VERBOSE") != NULL;
    run.features = word(bytes);
    random_seed(word(bytes + 4));
    random_bytes(bytes + BYTES_HEAD, size - BYTES_HEAD);
    play();
}
