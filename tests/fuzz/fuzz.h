/* Internal. What the fuzz targets share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A property that has to hold, in every build. */
#define demand(truth) ((truth) ? (void)0 : abort())

#endif
