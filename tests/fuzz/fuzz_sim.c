/* Fuzzing the library on the simulated kernel: bytes are the decisions of the simulator's program,
 * which it otherwise draws from a row of random numbers: what is called next, on which of its
 * timers, tasks, streams, requests, with what, from inside which callback. The first eight say
 * which features the run has, what may fail among them, and the seed of the world.
 *
 * What has to hold is what the simulator demands of each of its runs, by a model that shares no
 * code with the library. What the fuzzer adds is a memory: inputs that reached code that no other
 * did are kept and changed a little, where seeds begin from nothing each time. fuzz_api.c does the
 * same on the real kernel, with fewer kinds of things and less to demand, but with nothing made up.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    sim_run_bytes(bytes, size);
    return 0;
}
