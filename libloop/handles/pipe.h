/* Internal. What the two files of pipes share.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HANDLES_PIPE_H
#define LOOP_HANDLES_PIPE_H

#include "handles/stream.h"

/* pipe.c */
extern const struct loop_stream_io file_io; /* pipes, FIFOs and devices */

/* pipe_fds.c */
extern const struct loop_stream_io unix_io; /* sockets: descriptors may be passed */

#endif
