/* Calls of the loop that can be refused: see refusing.h.
 *
 * Each fails as it does when the kernel has no more of something, and changes nothing. A program
 * that has these in it must not make them itself between arm() and disarm(), or not mind that they
 * fail: they are not told apart. Where coverage is measured the loop is a part of the program, and
 * what it calls itself is counted too, which makes for more runs and no other difference.
 *
 * SPDX-License-Identifier: MIT */
#include "refusing.h"

#include "loop/dial.h"
#include "loop/stream.h"
#include "loop/tcp.h"

int __real_loop_read_start(struct loop_stream *stream, loop_read_cb cb);
int __wrap_loop_read_start(struct loop_stream *stream, loop_read_cb cb);
int __real_loop_write_copy(struct loop_stream *stream, const void *bytes, size_t size);
int __wrap_loop_write_copy(struct loop_stream *stream, const void *bytes, size_t size);
int __real_loop_shutdown(struct loop_stream *stream, struct loop_shutdown *req,
                         loop_shutdown_cb cb);
int __wrap_loop_shutdown(struct loop_stream *stream, struct loop_shutdown *req,
                         loop_shutdown_cb cb);
int __real_loop_stream_set_marks(struct loop_stream *stream, size_t low, size_t high, size_t max,
                                 loop_stream_cb cb);
int __wrap_loop_stream_set_marks(struct loop_stream *stream, size_t low, size_t high, size_t max,
                                 loop_stream_cb cb);
int __real_loop_tcp_nodelay(struct loop_tcp *tcp, bool on);
int __wrap_loop_tcp_nodelay(struct loop_tcp *tcp, bool on);
int __real_loop_tcp_connect(struct loop_tcp *tcp, struct loop_connect *req,
                            const struct loop_address *address, loop_connect_cb cb);
int __wrap_loop_tcp_connect(struct loop_tcp *tcp, struct loop_connect *req,
                            const struct loop_address *address, loop_connect_cb cb);

int __wrap_loop_read_start(struct loop_stream *stream, loop_read_cb cb)
{
    return refused("loop_read_start") ? -ENOMEM : __real_loop_read_start(stream, cb);
}

int __wrap_loop_write_copy(struct loop_stream *stream, const void *bytes, size_t size)
{
    return refused("loop_write_copy") ? -ENOMEM : __real_loop_write_copy(stream, bytes, size);
}

int __wrap_loop_shutdown(struct loop_stream *stream, struct loop_shutdown *req, loop_shutdown_cb cb)
{
    return refused("loop_shutdown") ? -ENOTCONN : __real_loop_shutdown(stream, req, cb);
}

int __wrap_loop_stream_set_marks(struct loop_stream *stream, size_t low, size_t high, size_t max,
                                 loop_stream_cb cb)
{
    return refused("loop_stream_set_marks")
               ? -EINVAL
               : __real_loop_stream_set_marks(stream, low, high, max, cb);
}

int __wrap_loop_tcp_nodelay(struct loop_tcp *tcp, bool on)
{
    return refused("loop_tcp_nodelay") ? -ENOBUFS : __real_loop_tcp_nodelay(tcp, on);
}

int __wrap_loop_tcp_connect(struct loop_tcp *tcp, struct loop_connect *req,
                            const struct loop_address *address, loop_connect_cb cb)
{
    return refused("loop_tcp_connect") ? -EMFILE : __real_loop_tcp_connect(tcp, req, address, cb);
}
