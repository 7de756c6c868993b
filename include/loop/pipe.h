/* Public. Pipes: streams within the machine. Unix-domain sockets by path or by abstract name, and
 * whatever stream-like descriptor the program has: an end of pipe(2), of socketpair(2), a FIFO, a
 * character device. See loop/stream.h for all that streams do.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_PIPE_H
#define LOOP_PIPE_H

#include "stream.h"

#include <sys/un.h>

struct loop_pipe {
    union {
        struct loop_handle handle;
        struct loop_stream stream;
    };

    /* private */
    int *received;           /* in a read callback: descriptors not yet taken */
    uint32_t received_count; /* so many of them */
    uint32_t taken_count;    /* and of these the first so many are taken */
    bool dropped;            /* our table of descriptors was full */
    uint32_t bound_in; /* a process and 1: which removes the path at close; 0: there is none */
};

/* Makes a pipe handle in the caller's memory; opens nothing. */
LOOP_API void loop_pipe_init(struct loop *loop, struct loop_pipe *pipe);

/* Binds to a path or, if its first byte is 0, to an abstract name (unix(7)); size is that of the
 * name without a closing 0. The file must not exist; closing the handle removes it. Errors:
 * -ENAMETOOLONG (over 107 bytes: nothing is cut), -EINVAL (empty, or a 0 inside a path), -EBUSY,
 * -EADDRINUSE, -EACCES and others of bind(2). */
LOOP_API int loop_pipe_bind(struct loop_pipe *pipe, const char *name, size_t size);

/* Connects, as loop_tcp_connect(). -EAGAIN, told to cb: the listener's backlog is full. */
LOOP_API int loop_pipe_connect(struct loop_pipe *pipe, struct loop_connect *connect,
                               const char *name, size_t size, loop_connect_cb cb);

/* Adopts a descriptor that can be read or written as a stream and waited for. It becomes
 * non-blocking (other processes that share it see that; closing or detaching undoes it), and is the
 * handle's to close. /dev/null takes writes, but cannot be waited for: reading it is -EPERM.
 * Errors, with the descriptor still the caller's: -EBUSY, -EBADF, -EPERM (a regular file or
 * directory: see loop/fs.h), -EPROTOTYPE (a socket that is no stream). */
LOOP_API int loop_pipe_open(struct loop_pipe *pipe, int fd);

/* Makes a connected pair, of which what is written to one is read from the other. Errors:
 * -EBUSY, -EMFILE, -ENFILE. */
LOOP_API int loop_pipe_pair(struct loop_pipe *a, struct loop_pipe *b);

/* Writes, and passes descriptors with the first byte (SCM_RIGHTS, unix(7)): the receiver gets
 * copies. fds and what it names must stay until cb. Errors: as loop_write(), -EINVAL (no byte to go
 * with, more than LOOP_WRITE_FDS_MAX), -EPROTOTYPE (not a unix-domain socket). */
LOOP_API int loop_pipe_write_fds(struct loop_pipe *pipe, struct loop_write *write,
                                 const struct loop_buf *bufs, size_t count, const int *fds,
                                 size_t fd_count, loop_write_cb cb);

/* From here on descriptors are received, with loop_read_start(). Otherwise the kernel throws them
 * away. A listener may ask for what it will accept. Errors: -EPROTOTYPE (not a unix-domain socket),
 * -EBUSY (a loop_read_into() is in flight). */
LOOP_API int loop_pipe_receive_fds(struct loop_pipe *pipe);

/* In the read callback: the next descriptor that came with these bytes, close-on-exec and now the
 * caller's. -EAGAIN: no more. -EMFILE: more came, but this process has no descriptors left, and the
 * kernel has dropped them. What is not taken is closed when the callback returns. */
LOOP_API int loop_pipe_take_fd(struct loop_pipe *pipe);

/* Who made the other end: its process, user and group at that time (SO_PEERCRED). -ENOTCONN: nobody
 * is connected. */
LOOP_API int loop_pipe_peer(const struct loop_pipe *pipe, pid_t *pid, uid_t *uid, gid_t *gid);

#endif
