/* Internal. What every benchmark program shares: two clocks, random numbers, memory, a figure.
 *
 * A program does one round of one workload on one peer, prints its figures and exits. A figure is a
 * line of two words, the unit and the value for one operation: "cpu_ns 12.34". A unit that ends in
 * _per_s is better when it is higher, every other when it is lower. report.py runs the programs
 * many times and makes a table of the lines.
 *
 * CPU time is that of the whole process, all threads, user and kernel, taken around the work alone:
 * what is prepared before and torn down behind it does not count. Nothing is torn down, in fact:
 * the process ends, which is the quickest way.
 *
 * Whatever fails ends the program with a sentence and status 1, so that no figure is ever printed
 * for work that was not done.
 *
 * SPDX-License-Identifier: MIT */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* From a member back to the struct that embeds it, for every peer alike. */
#define bench_container_of(pointer, type, member)                                                  \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static const uint64_t bench_second_ns = 1000000000;

/* A round goes on until it has used this much: long against the grain of the clock and against the
 * first pass over cold memory, short enough for many rounds. */
static const uint64_t bench_round_ns = 300000000;

static inline void bench_require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(EXIT_FAILURE);
}

static inline uint64_t bench_clock_ns(clockid_t clock)
{
    struct timespec time;
    bench_require(clock_gettime(clock, &time) == 0, "clock_gettime");
    return (uint64_t)time.tv_sec * bench_second_ns + (uint64_t)time.tv_nsec;
}

static inline uint64_t bench_cpu_ns(void)
{
    return bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static inline uint64_t bench_wall_ns(void)
{
    return bench_clock_ns(CLOCK_MONOTONIC);
}

static inline void bench_print(const char *unit, uint64_t total, uint64_t operations)
{
    printf("%s %.2f\n", unit, (double)total / (double)operations);
}

/* Zeroed memory, never NULL. */
static inline void *bench_array(size_t count, size_t size)
{
    void *array = calloc(count, size);
    bench_require(array != NULL, "calloc");
    return array;
}

/* The same numbers in every run and for every peer: Marsaglia's xorshift, of which the state is the
 * last number. It must not start at 0. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* 0 … count - 1 in random order. */
static inline uint32_t *bench_shuffled(uint32_t count)
{
    uint32_t *order = bench_array(count, sizeof *order);
    uint64_t random = 88172645463325252;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = (uint32_t)(bench_random(&random) % (i + 1));
        order[i] = order[other];
        order[other] = i;
    }
    return order;
}

#endif
