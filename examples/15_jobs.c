/* A small make: runs commands in the order of their dependencies, as many at once as you say.
 *
 *     ./run example jobs FILE            two at a time
 *     ./run example jobs -j 8 FILE       eight at a time
 *
 * FILE has lines "target: dependencies", each followed by indented lines with its command:
 *
 *     program: one.o two.o
 *         cc -o program one.o two.o
 *     one.o:
 *         cc -c one.c
 *     two.o:
 *         cc -c two.c
 *
 * All targets are made, whatever their age. The output of a command is printed when it has ended,
 * so outputs do not mix. After a failure nothing new is started; Ctrl-C kills what runs, with all
 * its children.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TARGETS_MAX = 256, COMMAND_MAX = 4096, LINE_SIZE = 1024 };

enum state { WAITING, RUNNING, DONE };

struct target {
    struct loop_exec exec;
    struct runner *runner;
    char name[64];
    char dependencies[LINE_SIZE]; /* words */
    char command[COMMAND_MAX];
    enum state state;
};

struct runner {
    struct loop loop;
    struct loop_signal interrupt;
    struct target targets[TARGETS_MAX];
    int count;
    int running;
    int running_max;
    bool failed;
};

static void start_ready(struct runner *runner);

/* NULL: nobody makes it, so it had better be a file. */
static struct target *find(struct runner *runner, const char *name, size_t size)
{
    for (int i = 0; i < runner->count; i++)
        if (strlen(runner->targets[i].name) == size &&
            strncmp(runner->targets[i].name, name, size) == 0)
            return &runner->targets[i];
    return NULL;
}

static bool is_ready(struct target *target)
{
    const char *word = target->dependencies;
    while (*(word += strspn(word, " \t\n"))) {
        size_t size = strcspn(word, " \t\n");
        struct target *dependency = find(target->runner, word, size);
        if (dependency && dependency->state != DONE)
            return false;
        word += size;
    }
    return true;
}

static void print_outcome(const struct target *target, int status)
{
    const struct loop_exec *exec = &target->exec;
    if (exec->out_size > 0)
        fwrite(exec->out, 1, exec->out_size, stdout);
    if (exec->err_size > 0)
        fwrite(exec->err, 1, exec->err_size, stdout);
    if (status < 0)
        printf("%s: %s\n", target->name, loop_strerror(status));
    else if (exec->term_signal)
        printf("%s: ended by signal %d\n", target->name, exec->term_signal);
    else if (exec->exit_status)
        printf("%s: failed with status %d\n", target->name, exec->exit_status);
    fflush(stdout);
}

static void on_done(struct loop_exec *exec, int status)
{
    struct target *target = loop_container_of(exec, struct target, exec);
    struct runner *runner = target->runner;
    printf("# %s\n", target->name);
    print_outcome(target, status);
    target->state = DONE;
    runner->running--;
    runner->failed |= status < 0 || exec->exit_status != 0;
    start_ready(runner);
}

static void start(struct target *target)
{
    struct runner *runner = target->runner;
    const char *const args[] = {"sh", "-e", "-c", target->command, NULL};
    struct loop_exec_options options = {.process = {.file = "/bin/sh", .args = args}};
    int error = loop_exec(&runner->loop, &target->exec, &options, on_done);
    if (error) {
        printf("%s: cannot be started: %s\n", target->name, loop_strerror(error));
        runner->failed = true;
        return;
    }
    target->state = RUNNING;
    runner->running++;
}

static void start_ready(struct runner *runner)
{
    for (int i = 0; i < runner->count && !runner->failed; i++) {
        struct target *target = &runner->targets[i];
        if (runner->running < runner->running_max && target->state == WAITING && is_ready(target))
            start(target);
    }
}

/* Each is killed with its group, and comes to on_done() with -ECANCELED. */
static void on_interrupt(struct loop_signal *signal, int number)
{
    struct runner *runner = loop_container_of(signal, struct runner, interrupt);
    (void)number;
    runner->failed = true;
    for (int i = 0; i < runner->count; i++)
        if (runner->targets[i].state == RUNNING)
            loop_request_cancel(&runner->targets[i].exec.request);
    loop_signal_stop(signal); /* a second Ctrl-C ends us */
}

static bool add_target(struct runner *runner, char *line)
{
    char *colon = strchr(line, ':');
    if (!colon || colon == line || colon - line >= 64 || runner->count == TARGETS_MAX ||
        find(runner, line, (size_t)(colon - line)))
        return false;
    struct target *target = &runner->targets[runner->count++];
    target->runner = runner;
    memcpy(target->name, line, (size_t)(colon - line));
    snprintf(target->dependencies, sizeof(target->dependencies), "%s", colon + 1);
    return true;
}

static bool add_command(struct runner *runner, const char *line)
{
    char *command = runner->count > 0 ? runner->targets[runner->count - 1].command : NULL;
    if (!command || strlen(command) + strlen(line) >= COMMAND_MAX)
        return false;
    strcat(command, line);
    return true;
}

/* The number of the line that could not be read; 0: all could. */
static int read_file(struct runner *runner, FILE *file)
{
    char line[LINE_SIZE];
    for (int number = 1; fgets(line, sizeof(line), file); number++) {
        bool indented = line[0] == ' ' || line[0] == '\t';
        bool empty = line[strspn(line, " \t\n")] == '\0' || line[0] == '#';
        if (!strchr(line, '\n') && !feof(file))
            return number;
        if (!empty && !(indented ? add_command(runner, line) : add_target(runner, line)))
            return number;
    }
    return 0;
}

static int make_all(struct runner *runner)
{
    int error = loop_init(&runner->loop, NULL);
    loop_signal_init(&runner->loop, &runner->interrupt);
    if (!error)
        error = loop_signal_start(&runner->interrupt, SIGINT, on_interrupt);
    if (error) {
        fprintf(stderr, "jobs: %s\n", loop_strerror(error));
        return EXIT_FAILURE;
    }
    loop_unref(&runner->interrupt.handle);
    start_ready(runner);
    error = loop_run(&runner->loop, LOOP_RUN_DEFAULT);
    loop_signal_stop(&runner->interrupt);
    if (error || loop_fini(&runner->loop) < 0)
        return EXIT_FAILURE;
    for (int i = 0; i < runner->count && !runner->failed; i++)
        if (runner->targets[i].state != DONE) {
            printf("%s: depends on itself\n", runner->targets[i].name);
            runner->failed = true;
        }
    return runner->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct runner runner = {.running_max = 2};
    int option;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return puts("usage: jobs [-j N] FILE") < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    while ((option = getopt(argc, argv, "j:")) != -1)
        runner.running_max = option == 'j' ? atoi(optarg) : 0;
    FILE *file = optind == argc - 1 ? fopen(argv[optind], "re") : NULL;
    if (runner.running_max < 1 || optind != argc - 1) {
        fprintf(stderr, "usage: jobs [-j N] FILE\n");
        return 2;
    }
    if (!file) {
        perror(argv[optind]);
        return EXIT_FAILURE;
    }
    int wrong = read_file(&runner, file);
    fclose(file);
    if (wrong) {
        fprintf(stderr, "jobs: line %d is no target, or too long\n", wrong);
        return EXIT_FAILURE;
    }
    return make_all(&runner);
}
