/* A descriptor that belongs to someone else: standard input, watched by a poll handle.
 *
 *     ./run example stdin            type lines; end with Ctrl-D
 *     seq 5 | ./run example stdin
 *
 * Expect: each piece of input with its size, and how long nothing was typed before. The loop sleeps
 * in between; end of file stops the watching, and with it the loop. A regular file is refused with
 * EPERM, since it is always ready.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct input {
    struct loop_poll poll;
    uint64_t last_ns; /* when something was read last */
};

static void on_readable(struct loop_poll *poll, int status, uint32_t events)
{
    struct input *input = loop_container_of(poll, struct input, poll);
    uint64_t now_ns = loop_now(poll->handle.loop);
    char bytes[4096];
    (void)events;
    ssize_t count = status < 0 ? status : read(STDIN_FILENO, bytes, sizeof(bytes));
    if (count <= 0) {
        printf("%s\n", count == 0 ? "end of file" : loop_strerror(status < 0 ? status : -errno));
        loop_poll_stop(poll);
        return;
    }
    printf("%zd bytes after %.3f s\n", count, (double)(now_ns - input->last_ns) / (double)LOOP_SEC);
    input->last_ns = now_ns;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

int main(void)
{
    struct loop loop;
    struct input input;
    int error = loop_init(&loop, NULL);
    if (error)
        return fail("loop_init", error);
    input.last_ns = loop_now(&loop);
    loop_poll_init(&loop, &input.poll, STDIN_FILENO);
    error = loop_poll_start(&input.poll, LOOP_READABLE, on_readable);
    if (error)
        return fail("standard input cannot be watched", error);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}
