/* Public. Processes: programs that are started, fed, listened to, and told of when they have ended.
 *
 * Starting a program costs the same however much memory the parent has, and says at once whether it
 * could be executed. The child begins with every signal at its default, also those that the parent
 * ignores (SIGPIPE!), and with the signal mask of the thread that started it; it has the
 * descriptors that it was given, and no other (Linux before 5.11: no other that is close-on-exec).
 *
 * No SIGCHLD handler is installed, and no child of somebody else is waited for. A child of ours
 * leaves no zombie: one whose handle was closed before it ended is still waited for by its loop,
 * which it does not keep alive. A program that ignores SIGCHLD, or itself waits for any child, may
 * be told first; then the status is unknown.
 *
 * Needs Linux 5.4.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_PROCESS_H
#define LOOP_PROCESS_H

#include "core.h"
#include "pipe.h"
#include "request.h"

#include <sys/types.h>

struct loop_child;
struct loop_exec;
struct loop_exec_job;
struct loop_process;

enum { LOOP_STDIO_MAX = 256, LOOP_EXEC_OUTPUT_MAX = 1024 * 1024 };

/* What one descriptor of the child is. */
enum loop_stdio_kind {
    LOOP_STDIO_NULL,    /* /dev/null */
    LOOP_STDIO_INHERIT, /* ours of the same number */
    LOOP_STDIO_FD,      /* ours, fd; which stays ours */
    LOOP_STDIO_INPUT,   /* a new pipe that the child reads; we write into pipe */
    LOOP_STDIO_OUTPUT,  /* a new pipe that the child writes; we read from pipe */
    LOOP_STDIO_SOCKET,  /* a new unix-domain socket, for both, and to pass descriptors */
};

struct loop_stdio {
    enum loop_stdio_kind kind;
    int fd;                 /* LOOP_STDIO_FD */
    struct loop_pipe *pipe; /* the last three: initialised, with the process's loop, not open */
};

enum loop_process_flag {
    LOOP_PROCESS_DETACHED = 1, /* a session of its own: it outlives our terminal */
    LOOP_PROCESS_GROUP = 2,    /* a process group of its own: Ctrl-C does not reach it */
    LOOP_PROCESS_UID = 4,      /* becomes the user uid, without supplementary groups */
    LOOP_PROCESS_GID = 8,      /* becomes the group gid, without supplementary groups */
};

/* All zero but for file: a program without arguments, whose stdio is /dev/null. */
struct loop_process_options {
    const char *file;        /* without a slash it is looked for in PATH, that of env */
    const char *const *args; /* args[0] included, and a NULL at the end; NULL: {file} */
    const char *const *env;  /* "NAME=value"…, and a NULL at the end; NULL: ours */
    const char *cwd;         /* NULL: ours; otherwise a file with a slash is relative to it */
    const struct loop_stdio *stdio; /* descriptors 0 and up; what is missing up to 2 is /dev/null */
    size_t stdio_count;             /* at most LOOP_STDIO_MAX */
    unsigned flags;                 /* LOOP_PROCESS_… */
    uid_t uid;
    gid_t gid;
};

/* Comes in the poll phase, once, when the process has ended; what it has written may still be on
 * its way. exit_status: 0 to 255; if a signal has ended it, 128 + term_signal, as in the shell; or
 * -ECHILD: unknown. term_signal: 0, or which signal. The process is inactive by then; the callback
 * may free it, or start it again. */
typedef void (*loop_process_cb)(struct loop_process *process, int exit_status, int term_signal);

struct loop_process {
    struct loop_handle handle;

    /* read-only */
    pid_t pid; /* while active */

    /* private */
    struct loop_child *child; /* NULL: not active */
    loop_process_cb cb;
};

/* Makes a process handle in the caller's memory; opens nothing. */
LOOP_API void loop_process_init(struct loop *loop, struct loop_process *process);

/* Starts a program. The handle is active, and keeps the loop alive, until the process has ended.
 * options and what it names are the caller's again when the call returns; the pipes are then open.
 * Errors, after which there is no child, no callback comes, and descriptors and pipes are as
 * before: -EINVAL (an argument NULL, unknown flags or kinds, a pipe of another loop), -EBUSY (it
 * runs already; a pipe is open), -ECANCELED (closing), -EBADF (a descriptor that is not open),
 * -EMFILE, -ENFILE, -EAGAIN (too many processes), -ENOMEM; of execve(2) -ENOENT (no such file, or
 * no cwd), -ENOTDIR, -EACCES (not executable, a directory), -ENOEXEC (no program, no "#!"), -E2BIG
 * and others; -EPERM (uid and gid need a privilege). */
LOOP_API int loop_process_spawn(struct loop_process *process,
                                const struct loop_process_options *options, loop_process_cb cb);

/* Waits for the end of a process that exists already, whoever's child it is. It is not reaped, and
 * its status is -ECHILD unless it is our own child. Errors: -EINVAL, -EBUSY, -ECANCELED, -ESRCH (no
 * such process), -EMFILE, -ENFILE, -ENOMEM. */
LOOP_API int loop_process_adopt(struct loop_process *process, pid_t pid, loop_process_cb cb);

/* Sends a signal; 0 only asks. Never reaches another process that got the same number. Errors:
 * -ESRCH (it has ended, or was never started), -EINVAL (no signal), -EPERM, -ECANCELED (closing:
 * send it before). */
LOOP_API int loop_process_kill(struct loop_process *process, int number);

/* The same to the whole group of a process that was started with LOOP_PROCESS_GROUP or _DETACHED.
 * Errors: -ESRCH also if it leads no group. */
LOOP_API int loop_process_kill_group(struct loop_process *process, int number);

/* A command, run to its end: what it is given to read, and all it writes. */
struct loop_exec_options {
    struct loop_process_options process; /* without stdio; it gets a group of its own */
    const void *input;                   /* its standard input, lent until cb */
    size_t input_size;                   /* 0: /dev/null */
    size_t out_max;                      /* of its standard output; 0: LOOP_EXEC_OUTPUT_MAX */
    size_t err_max;                      /* of its standard error; 0: LOOP_EXEC_OUTPUT_MAX */
};

/* Comes in the poll or the pending phase, once, when the process has ended and both outputs have.
 * status: 0 (see exit_status); -ENOBUFS (more output than allowed), -ETIMEDOUT, -ECANCELED: then
 * the group has been killed and exit_status is -ECHILD unless it had ended. What was written until
 * then is there in any case. */
typedef void (*loop_exec_cb)(struct loop_exec *exec, int status);

struct loop_exec {
    struct loop_request request; /* request.data is yours */

    /* read-only, in the callback */
    int exit_status; /* as in loop_process_cb */
    int term_signal;
    char *out; /* out_size bytes, and then a 0 */
    size_t out_size;
    char *err;
    size_t err_size;

    /* private */
    struct loop_exec_job *job;
    loop_exec_cb cb;
};

/* Runs a command. The outputs are freed when the callback returns, unless taken. Ends with
 * loop_request_cancel(&exec->request) or at loop_request_deadline(): either kills the process group
 * (SIGKILL; what was its descendant and left the group goes on). Errors: -EINVAL, and as
 * loop_process_spawn(). */
LOOP_API int loop_exec(struct loop *loop, struct loop_exec *exec,
                       const struct loop_exec_options *options, loop_exec_cb cb);

/* In the callback: exec->out or exec->err, which now belongs to the caller, to be freed with
 * free(), or with the loop's allocator if it has one. */
LOOP_API char *loop_exec_take_out(struct loop_exec *exec);
LOOP_API char *loop_exec_take_err(struct loop_exec *exec);

#endif
