/* What the simulated library leaves out, and is called from what it has.
 *
 * Children, and all that has to do with files, are not simulated: their sources are not compiled,
 * and what the core calls of them does nothing here. A function that is missing does not link, and
 * belongs here or its source among those of meson.build. That is noticed when something is linked
 * that was not before, and not earlier: the list is short because the core calls few of them.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

void processes_fini(struct loop *loop)
{
    (void)loop;
}
