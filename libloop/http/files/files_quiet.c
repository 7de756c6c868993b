/* sendfile(2) without its signal.
 *
 * To a socket that was closed it sends SIGPIPE to the thread, and there is no flag that says no, as
 * send(2) has. So the signal is blocked for the length of the call, and taken away if the call made
 * it: two cheap system calls more. Ignoring it for the whole process would be the program's
 * decision, not a library's; blocking it for good would be inherited by children.
 *
 * SPDX-License-Identifier: MIT */
#include "files/files.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <time.h>

static bool is_pending(const sigset_t *blocked_before)
{
    sigset_t pending;
    return sigismember(blocked_before, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
           sigismember(&pending, SIGPIPE) == 1;
}

ssize_t files_sendfile(int socket, int file, uint64_t offset, size_t size)
{
    sigset_t pipe, before;
    off_t at = (off_t)offset;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    bool pending = is_pending(&before); /* then it is somebody else's */
    ssize_t sent = sendfile(socket, file, &at, size);
    int error = errno;
    if (sent < 0 && error == EPIPE && !pending)
        sigtimedwait(&pipe, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return sent < 0 ? -error : sent;
}
