/* Runs a command now, and again whenever something changes below a path.
 *
 *     ./run example watch src -- make               one path or several, then the command
 *     ./run example watch --kill . -- ./server      a command that does not end is ended first
 *     ./run example watch --settle 500 . -- make    milliseconds without a change before a run
 *     ./run example watch --runs 3 . -- date        ends after three runs
 *
 * Then change a file there. Expect: what changed, the command's own output, and how it ended, in
 * colour on a terminal. Ctrl-C ends both.
 *
 * An editor that saves a file makes five changes, and a checkout a thousand, so a run waits until
 * nothing has changed for a while. A change during a run is not forgotten: the command runs again
 * when it has ended, or with --kill is asked to end at once. What a command writes below the path
 * is a change like any other: watch what it reads, not what it makes. Names that begin with a dot
 * are passed over.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATHS_MAX = 64 };

struct watch {
    struct loop loop;
    struct loop_process process;
    struct loop_timer settle; /* runs while changes are still coming */
    struct loop_fs_event paths[PATHS_MAX];
    const char *names[PATHS_MAX];
    int count;
    char **command;
    uint64_t settle_ns;
    long left;    /* runs until it ends; -1: it does not */
    bool kill;    /* do not wait for a command that runs */
    bool changed; /* since the command was started */
    bool colour;
};

static void on_settled(struct loop_timer *timer);

static void note(const struct watch *watch, const char *text, const char *what)
{
    printf(watch->colour ? "\033[1;34m[watch]\033[0m %s %s\n" : "[watch] %s %s\n", text, what);
    fflush(stdout);
}

static void end(struct watch *watch)
{
    for (int i = 0; i < watch->count; i++)
        loop_fs_event_stop(&watch->paths[i]);
    loop_timer_stop(&watch->settle);
}

static bool is_hidden(const char *name)
{
    return *name == '.' || strstr(name, "/.");
}

/* Each change puts the run off; the first one of many is told. */
static void on_change(struct loop_fs_event *event, const struct loop_fs_change *change)
{
    struct watch *watch = event->handle.loop->data;
    if (change->kind == LOOP_FS_EVENT_READY || is_hidden(change->name))
        return;
    if (change->kind == LOOP_FS_EVENT_ERROR)
        fprintf(stderr, "%s: %s\n", change->name, loop_strerror(change->error));
    if (change->kind == LOOP_FS_EVENT_GONE)
        fprintf(stderr, "%s is gone\n", watch->names[event - watch->paths]);
    if (!watch->changed)
        note(watch, loop_fs_change_word(change->kind), change->name);
    watch->changed = true;
    loop_timer_start(&watch->settle, watch->settle_ns, 0, on_settled);
}

static void on_ended(struct loop_process *process, int exit_status, int term_signal)
{
    struct watch *watch = loop_container_of(process, struct watch, process);
    char text[64];
    if (term_signal)
        snprintf(text, sizeof(text), "by signal %d", term_signal);
    else
        snprintf(text, sizeof(text), "with %d", exit_status);
    note(watch, "the command ended", text);
    if (watch->left == 0)
        end(watch);
    else if (watch->changed && !loop_is_active(&watch->settle.handle))
        loop_timer_start(&watch->settle, 0, 0, on_settled);
}

static void run(struct watch *watch)
{
    static const struct loop_stdio stdio[] = {{.kind = LOOP_STDIO_NULL},
                                              {.kind = LOOP_STDIO_INHERIT},
                                              {.kind = LOOP_STDIO_INHERIT}};
    const char *const *args = (const char *const *)watch->command;
    struct loop_process_options options = {.file = args[0],
                                           .args = args,
                                           .stdio = stdio,
                                           .stdio_count = 3,
                                           .flags = LOOP_PROCESS_GROUP};
    watch->changed = false;
    watch->left -= watch->left > 0;
    int error = loop_process_spawn(&watch->process, &options, on_ended);
    if (error)
        fprintf(stderr, "%s: %s\n", args[0], loop_strerror(error));
    if (error && watch->left == 0)
        end(watch);
}

/* The command may be at work still: its end starts the next run. */
static void on_settled(struct loop_timer *timer)
{
    struct watch *watch = loop_container_of(timer, struct watch, settle);
    if (!loop_is_active(&watch->process.handle))
        run(watch);
    else if (watch->kill)
        loop_process_kill_group(&watch->process, SIGTERM);
}

/* The command is in a group of its own, which Ctrl-C does not reach. */
static void on_interrupt(struct loop_signal *interrupt, int number)
{
    struct watch *watch = interrupt->handle.loop->data;
    watch->left = 0;
    if (loop_is_active(&watch->process.handle))
        loop_process_kill_group(&watch->process, number);
    end(watch);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

static int serve(struct watch *watch)
{
    static struct loop_signal interrupt;
    int error = loop_init(&watch->loop, NULL);
    if (error)
        return fail("loop_init", error);
    watch->loop.data = watch;
    loop_process_init(&watch->loop, &watch->process);
    loop_timer_init(&watch->loop, &watch->settle);
    loop_signal_init(&watch->loop, &interrupt);
    error = loop_signal_start(&interrupt, SIGINT, on_interrupt);
    if (error)
        return fail("SIGINT", error);
    loop_unref(&interrupt.handle);
    for (int i = 0; i < watch->count; i++) {
        loop_fs_event_init(&watch->loop, &watch->paths[i]);
        struct loop_fs_event *event = &watch->paths[i];
        error = loop_fs_event_start(event, watch->names[i], LOOP_FS_EVENT_RECURSIVE, on_change);
        if (error == -ENOTDIR)
            error = loop_fs_event_start(event, watch->names[i], 0, on_change);
        if (error)
            return fail(watch->names[i], error);
    }
    run(watch);
    loop_run(&watch->loop, LOOP_RUN_DEFAULT);
    loop_signal_stop(&interrupt);
    error = loop_fini(&watch->loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: watch [--kill] [--settle MS] [--runs N] PATH... -- COMMAND [ARG]...\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

/* -1: no number from 1 to a million. */
static long number(const char *text)
{
    char *end_of;
    long value = strtol(text, &end_of, 10);
    return *end_of != '\0' || value < 1 || value > 1000000 ? -1 : value;
}

/* PATH... -- COMMAND...; false: they are something else. */
static bool take_words(struct watch *watch, char **words)
{
    for (; *words && strcmp(*words, "--") != 0; words++) {
        if (watch->count == PATHS_MAX)
            return false;
        watch->names[watch->count++] = *words;
    }
    if (!*words || !words[1] || watch->count == 0)
        return false;
    watch->command = words + 1;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"kill", no_argument, NULL, 'k'},
                                            {"settle", required_argument, NULL, 's'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct watch watch = {.left = -1, .settle_ns = 100 * LOOP_MS};
    long settle_ms = 100;
    int option;
    watch.colour = isatty(STDOUT_FILENO);
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (option == 'k')
            watch.kill = true;
        else if (option == 's')
            settle_ms = number(optarg);
        else if (option == 'r')
            watch.left = number(optarg);
        else
            return print_usage(option == 'h' ? stdout : stderr);
        if (settle_ms < 0 || (option == 'r' && watch.left < 0))
            return print_usage(stderr);
    }
    watch.settle_ns = (uint64_t)settle_ms * LOOP_MS;
    return take_words(&watch, argv + optind) ? serve(&watch) : print_usage(stderr);
}
