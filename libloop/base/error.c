/* Errors as words.
 *
 * libloop returns negative errno values, and one code of its own, LOOP_EOF; so the C library's
 * tables serve. They are
 * constants: unlike strerror(3) the functions below may be called from any thread, depend on no
 * locale, and give back memory that nobody frees. A code that no errno has is said to be unknown
 * instead of being printed into a buffer that somebody would have to own.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "loop/core.h"

const char *loop_strerror(int error)
{
    if (error == 0)
        return "no error";
    if (error == LOOP_EOF)
        return "end of file";
    const char *text = error < 0 && error > INT32_MIN ? strerrordesc_np(-error) : NULL;
    return text ? text : "unknown error";
}

const char *loop_error_name(int error)
{
    if (error == 0)
        return "OK";
    if (error == LOOP_EOF)
        return "EOF";
    const char *name = error < 0 && error > INT32_MIN ? strerrorname_np(-error) : NULL;
    return name ? name : "UNKNOWN";
}
