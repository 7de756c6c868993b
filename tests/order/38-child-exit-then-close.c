/* A child has closed when it has exited and its output has ended: exit comes before close.
 *
 * The two come in either order, each in a poll phase; what Node calls close is told when both have.
 * What Node tells at beforeExit is here what stands behind loop_run().
 *
 * SPDX-License-Identifier: MIT */
#include "order.h"

static struct loop_process c;
static struct loop_pipe c_stdout;
static char out[64];
static int out_size;
static int open_ends = 2;

static void one_has_ended(void)
{
    if (--open_ends == 0)
        printf("close, out=%.*s\n", out_size, out);
}

static void on_data(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size > 0) {
        for (ssize_t i = 0; i < size && ((char *)bytes)[i] != '\n' && out_size < 64; i++)
            out[out_size++] = ((char *)bytes)[i];
        return;
    }
    loop_close(&stream->handle, NULL);
    one_has_ended();
}

static void on_ended(struct loop_process *process, int code, int signal)
{
    (void)process;
    (void)signal;
    printf("exit code %d\n", code);
    one_has_ended();
}

int main(void)
{
    const struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                       {.kind = LOOP_STDIO_OUTPUT, .pipe = &c_stdout}};
    const struct loop_process_options options = {
        .file = "/bin/echo",
        .args = (const char *const[]){"/bin/echo", "hi", NULL},
        .stdio = stdio,
        .stdio_count = 2,
    };
    begin_script(NULL);
    loop_process_init(&loop, &c);
    loop_pipe_init(&loop, &c_stdout);
    must(loop_process_spawn(&c, &options, on_ended), "loop_process_spawn");
    must(loop_read_start(&c_stdout.stream, on_data), "loop_read_start");
    run_loop();
    puts("beforeExit");
    return end_script();
}
