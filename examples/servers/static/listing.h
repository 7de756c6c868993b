/* The page for a folder without an index: names, sizes and dates, folders first, to be sorted.
 *
 * A name may hold any byte but 0 and "/", and somebody else may have chosen it. As a link it is
 * encoded, behind "./", so that "javascript:" is a file; as text it is escaped, its controls are
 * shown as the signs for them, and a script that runs from right to left stays in its cell.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LISTING_H
#define LISTING_H

#include "look.h"

/* Fills in page and page_size. Any thread. Errors: a negative errno. */
int listing_make(struct look *look);

#endif
