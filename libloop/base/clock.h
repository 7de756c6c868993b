/* Internal. The loop's clock, by which kind it is.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_BASE_CLOCK_H
#define LOOP_BASE_CLOCK_H

#include "loop/core.h"

#include "sys.h"

clockid_t clock_of(const struct loop *loop);  /* the kernel's; a virtual clock has none */
uint64_t clock_read(const struct loop *loop); /* ns; the cache is left alone */

#endif
