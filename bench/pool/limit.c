/* The limit: no pool at all, the bare system call and then the callback, in the order in which the
 * operations were begun.
 *
 * It says what the operation itself costs, on a thread that may block. Nobody who hands it to
 * another thread can be as cheap.
 *
 * SPDX-License-Identifier: MIT */
#include "pool.h"

#include <sys/stat.h>
#include <unistd.h>

static uint32_t queue[IN_FLIGHT_MAX]; /* slots whose operation was begun, a ring */
static uint32_t first;
static uint32_t count;
static enum operation wanted;

void peer_init(void)
{
}

void peer_begin(enum operation operation, uint32_t slot)
{
    wanted = operation;
    queue[(first + count++) % IN_FLIGHT_MAX] = slot;
}

static void do_it(void)
{
    static char bytes[READ_SIZE];
    struct stat status;
    if (wanted == OPERATION_STAT)
        bench_require(stat(bench_path, &status) == 0, "stat");
    if (wanted == OPERATION_READ)
        bench_require(pread(bench_fd, bytes, READ_SIZE, 0) == READ_SIZE, "pread");
}

void peer_run(void)
{
    while (count > 0) {
        const uint32_t slot = queue[first];
        first = (first + 1) % IN_FLIGHT_MAX;
        count--;
        do_it();
        on_complete(slot);
    }
}
