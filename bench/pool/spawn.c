/* A process is started, and its end awaited; then the next. RESIDENT_MIB says how much memory the
 * parent has in use meanwhile: who copies the parent's tables for a child pays for each page.
 *
 * cpu_ns is the CPU time of the parent alone, wall_ns the time that passes from one start to the
 * next, most of which is the child's own. So many are enough for a median of rounds, and a machine
 * is not filled with processes.
 *
 * SPDX-License-Identifier: MIT */
#include "spawn.h"

enum { WARM_UP = 3, SPAWNS = 40 };

static void fill_memory(void)
{
    const size_t size = (size_t)RESIDENT_MIB << 20;
    char *memory = size > 0 ? malloc(size) : NULL;
    bench_require(size == 0 || memory, "malloc");
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)memory)[i] = 1;
}

int main(void)
{
    fill_memory();
    spawn_init();
    for (int i = 0; i < WARM_UP; i++)
        spawn_one();
    const uint64_t start_cpu_ns = bench_cpu_ns();
    const uint64_t start_wall_ns = bench_wall_ns();
    for (int i = 0; i < SPAWNS; i++)
        spawn_one();
    bench_print("cpu_ns", bench_cpu_ns() - start_cpu_ns, SPAWNS);
    bench_print("wall_ns", bench_wall_ns() - start_wall_ns, SPAWNS);
    return EXIT_SUCCESS;
}
