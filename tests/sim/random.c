/* Chance: two rows of numbers, one for the world and one for the program.
 *
 * They are apart so that a program takes the same decisions when the world is asked to fail less,
 * which is how a failing run is made smaller. The generator is splitmix64: one word of state, and
 * good enough in every bit. Nothing else here may be random: no address, no clock, no order of a
 * table that depends on addresses.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

static uint64_t world;
static uint64_t program;

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
    next(&world);
    next(&program);
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
    return limit ? (uint32_t)(next(state) >> 32) % limit : 0;
}

uint32_t world_below(uint32_t limit)
{
    return below(&world, limit);
}

uint32_t program_below(uint32_t limit)
{
    return below(&program, limit);
}

bool world_chance(uint32_t per_mille)
{
    return below(&world, 1000) < per_mille;
}

bool program_chance(uint32_t per_mille)
{
    return below(&program, 1000) < per_mille;
}

bool fault(enum feature feature, uint32_t per_mille)
{
    return run.faults && has(feature) && world_chance(per_mille);
}
