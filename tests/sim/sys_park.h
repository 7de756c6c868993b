/* Internal. The part of the simulated sys.h for threads that wait to be called by name: see
 * libloop/sys/sys_park.h for its contract.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_SYS_PARK_H
#define LOOP_SYS_PARK_H

#include "sys.h"

int sys_park(uint32_t *word, uint32_t value, uint64_t deadline_ns);
void sys_unpark(const uint32_t *word);

#endif
