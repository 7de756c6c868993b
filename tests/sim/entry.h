/* Internal. The simulator as a function: for a fuzzer, which makes up the program. It is in the
 * library simlib, and needs no other header of this directory.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SIM_ENTRY_H
#define LOOP_SIM_ENTRY_H

#include <stddef.h>
#include <stdint.h>

/* One run. The first four bytes are the features of sim.h, as a set, the next four the seed of the
 * world's chance; both little-endian. Each decision of the program takes the next byte, or two or
 * four where it has that many outcomes; when there are none left, all is ended and looked at as
 * ever. A failure is said on standard output, and abort() called. Fewer than eight bytes: nothing.
 * With SIM_VERBOSE in the environment each step is told. */
void sim_run_bytes(const uint8_t *bytes, size_t size);

#endif
