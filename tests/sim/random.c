/* Chance: two rows of numbers, one for the world and one for the program.
 *
 * They are apart so that a program takes the same decisions when the world is asked to fail less,
 * which is how a failing run is made smaller. The generator is splitmix64: one word of state, and
 * good enough in every bit. Nothing else here may be random: no address, no clock, no order of a
 * table that depends on addresses.
 *
 * For a fuzzer the program's row is one of bytes; at its end the program's budget is spent too.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

static uint64_t world;
static uint64_t program;
static const uint8_t *bytes; /* NULL: a generator */
static size_t bytes_left;

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void random_seed(uint64_t seed)
{
    world = seed * 2;
    program = ~seed * 2 + 1;
    bytes = NULL;
    next(&world);
    next(&program);
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
    return limit ? (uint32_t)(next(state) >> 32) % limit : 0;
}

void random_bytes(const uint8_t *row, size_t size)
{
    bytes = row;
    bytes_left = size;
}

static uint32_t from_bytes(unsigned count)
{
    uint32_t number = 0;
    if (bytes_left < count) {
        bytes = NULL;
        run.budget = 0;
        return (uint32_t)(next(&program) >> 32);
    }
    for (unsigned i = 0; i < count; i++)
        number = number << 8 | *bytes++;
    bytes_left -= count;
    return number;
}

uint32_t world_below(uint32_t limit)
{
    return below(&world, limit);
}

uint32_t program_below(uint32_t limit)
{
    if (bytes && limit > 1)
        return from_bytes(limit <= 0x100 ? 1 : limit <= 0x10000 ? 2 : 4) % limit;
    return below(&program, limit);
}

bool world_chance(uint32_t per_mille)
{
    return below(&world, 1000) < per_mille;
}

bool program_chance(uint32_t per_mille)
{
    if (bytes)
        return from_bytes(1) * 4 < per_mille;
    return below(&program, 1000) < per_mille;
}

int not_now(void)
{
    return world_chance(300) ? -EINTR : -EAGAIN;
}

bool fault(enum feature feature, uint32_t per_mille)
{
    return run.faults && has(feature) && world_chance(per_mille);
}
