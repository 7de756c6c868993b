/* Memory that is counted and can run out, and the little that the process is asked for.
 *
 * The memory itself is the C library's, so that sanitizers see what is done with it. Making and
 * growing fail alike, and what was there before stays. Whether all was given back is counted in
 * blocks at the end of a run. The process has two processors, no environment, no interfaces of a
 * network, and never forks: real tests look after those.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

static long blocks;

void memory_begin(void)
{
    blocks = 0;
}

void memory_end(void)
{
    if (blocks != 0)
        fail("P9: %ld blocks of memory were not freed", blocks);
}

void *sys_resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    if (size == 0) {
        blocks -= memory != NULL;
        free(memory);
        return NULL;
    }
    if (fault(NO_MEMORY, 60))
        return NULL;
    void *resized = realloc(memory, size);
    blocks += !memory && resized;
    return resized;
}

void sys_at_fork_in_child(void (*handler)(void))
{
    (void)handler;
}

const char *sys_environment(const char *name)
{
    (void)name;
    return NULL;
}

void sys_each_module(int (*visit)(struct dl_phdr_info *, size_t, void *), void *arg)
{
    (void)visit;
    (void)arg;
}

void sys_abort(void)
{
    fail("the library panics");
}

uint32_t sys_processors_online(void)
{
    return 2;
}

uint32_t sys_processors(void)
{
    return 2;
}

void sys_call_once(sys_once *once, void (*call)(void))
{
    if (!*once)
        call();
    *once = true;
}

int sys_interface_index(const char *name, uint32_t *index)
{
    (void)name;
    (void)index;
    return -ENODEV;
}

int sys_interface_name(uint32_t index, char name[IF_NAMESIZE])
{
    (void)index;
    (void)name;
    return -ENXIO;
}
