/* Terminals: a stream on a descriptor of our own.
 *
 * O_NONBLOCK is a flag of the open file, not of the descriptor, and the open file behind standard
 * input is the shell's, and every other program's that it started. A loop that set it there would
 * make their reads fail with EAGAIN. So the terminal is opened anew, through /proc/self/fd, which
 * leads to it even where its name does not, in another mount namespace for instance.
 *
 * The master's end of a pty must not be opened so: it is /dev/ptmx, and opening that makes another
 * pty. It is known by having the number of its other end. There, and where we may not open the
 * terminal, a duplicate does, non-blocking while the handle is open.
 *
 * Reading at the master's end is EIO when nobody has the other end open. So is reading in the
 * background with SIGTTIN ignored, which is no end. The two are told apart by asking whether the
 * terminal is hung up.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/tty.h"

#include "handles/stream.h"

static ssize_t receive(struct loop_stream *stream, void *bytes, size_t size)
{
    ssize_t result = sys_read(stream->watcher.fd, bytes, size);
    return result == -EIO && sys_terminal_hung_up(stream->watcher.fd) ? 0 : result;
}

static ssize_t transmit(struct loop_stream *stream, const struct iovec *iov, int count,
                        const struct loop_write *write)
{
    (void)write;
    return sys_writev(stream->watcher.fd, iov, count);
}

/* Nobody can be told that no more comes. */
static int end(struct loop_stream *stream)
{
    (void)stream;
    return 0;
}

/* Closed or detached: what is the terminal's, and what others share, is as it was. */
static void release(struct loop_stream *stream)
{
    struct loop_tty *tty = loop_container_of(stream, struct loop_tty, stream);
    tty_resize_release(tty);
    tty_mode_release(tty);
}

static const struct loop_stream_io tty_io = {.read = receive,
                                             .write = transmit,
                                             .end = end,
                                             .release = release};

void loop_tty_init(struct loop *loop, struct loop_tty *tty)
{
    static const struct loop_handle_ops ops = {.type = "tty",
                                               .stop = stream_stop,
                                               .finish = stream_finish};
    stream_init(loop, &tty->stream, &ops);
    tty->claim = NULL;
    tty->resize = NULL;
}

/* The same terminal, another open file; or negative. */
static int open_anew(int fd, int flags)
{
    if (sys_terminal_is_master(fd))
        return -EINVAL;
    int own = sys_terminal_reopen(fd, (flags & O_ACCMODE) | O_NONBLOCK);
    if (own < 0 || sys_terminal_device(own) == sys_terminal_device(fd))
        return own;
    sys_close(own); /* /dev/tty, which has come to mean another */
    return -EINVAL;
}

static int share(int fd, int flags)
{
    int own = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int error = own < 0 ? own : sys_fcntl(own, F_SETFL, flags | O_NONBLOCK);
    if (error >= 0)
        return own;
    if (own >= 0)
        sys_close(own); /* unreachable: an open descriptor's flags can be set */
    return error;
}

int loop_tty_open(struct loop_tty *tty, int fd)
{
    struct termios termios;
    int error = tty ? stream_vacant(&tty->stream) : -EINVAL;
    if (!error)
        error = sys_terminal_get(fd, &termios);
    if (error)
        return error;
    int flags = sys_fcntl(fd, F_GETFL, 0);
    int own = open_anew(fd, flags);
    bool shared = own < 0;
    if (shared)
        own = share(fd, flags);
    if (own < 0)
        return own;
    stream_adopt(&tty->stream, own, &tty_io);
    if (shared && !(flags & O_NONBLOCK))
        stream_block_again(&tty->stream);
    return 0;
}

int loop_tty_size(const struct loop_tty *tty, unsigned *columns, unsigned *rows)
{
    struct winsize size;
    int error = tty && columns && rows ? stream_usable(&tty->stream) : -EINVAL;
    if (!error)
        error = sys_terminal_size(tty->stream.watcher.fd, &size);
    if (error)
        return error;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}
