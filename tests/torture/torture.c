/* Runs a scenario again and again, each time failing another outside effect: torture --help.
 *
 * Each run is a forked child, so that one which crashes, hangs, or leaks spoils no other. In it
 * the scenario runs once with the injector on, is closed, and then runs a second time on the same
 * loop with the injector off: whatever has failed, the loop must then be as good as new. What is
 * demanded of each run:
 *
 *   - it does not crash, panic, hang, or upset a sanitizer
 *   - either all was done or an error was told
 *   - each request that was started has called back once
 *   - the loop can be closed, and then finished, and descriptors and memory are back
 *   - without faults all is done, and no error is told
 *
 * SPDX-License-Identifier: MIT */
#include "torture.h"

#include "injector.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURNS_MAX = 200000, CALLS_MAX = 100000 };

extern const struct scenario timers_scenario, async_scenario, poll_scenario, echo_scenario,
    pipes_scenario, storm_scenario, udp_scenario, dns_scenario, fs_scenario, file_scenario,
    work_scenario, tty_scenario, copy_scenario, dial_scenario, node_scenario, trace_scenario,
    fork_scenario, adopt_scenario, paths_scenario, process_scenario, signal_scenario,
    watch_scenario, attributes_scenario, datagrams_scenario, sockets_scenario, children_scenario,
    loops_scenario, forks_scenario;

static const struct scenario *const scenarios[] = {
    &timers_scenario,  &async_scenario,    &poll_scenario,       &echo_scenario,
    &pipes_scenario,   &storm_scenario,    &udp_scenario,        &dns_scenario,
    &fs_scenario,      &file_scenario,     &work_scenario,       &tty_scenario,
    &copy_scenario,    &dial_scenario,     &node_scenario,       &trace_scenario,
    &fork_scenario,    &adopt_scenario,    &paths_scenario,      &process_scenario,
    &signal_scenario,  &watch_scenario,    &attributes_scenario, &datagrams_scenario,
    &sockets_scenario, &children_scenario, &loops_scenario,      &forks_scenario,
};

static const char *const mode_names[TORTURE_MODES] = {"count", "once",  "from",
                                                      "short", "eintr", "eagain"};

struct loop torture_loop;
static bool loop_open;
static uint32_t begins, ends;
static int failed_runs;

/* For scenarios. */

bool ok(ssize_t result)
{
    if (result >= 0)
        return true;
    if (result == -ECANCELED)
        return false;
    if (torture_shared->record.told++ == 0)
        torture_shared->record.first_told = (int)result;
    if (loop_open)
        loop_stop(&torture_loop);
    return false;
}

void begun(void)
{
    begins++;
}

void ended(void)
{
    ends++;
}

bool began(ssize_t result)
{
    if (!ok(result))
        return false;
    begun();
    return true;
}

void shut(struct loop_handle *handle)
{
    if (!loop_is_closing(handle))
        loop_close(handle, NULL);
}

int must(int result)
{
    if (result < 0) {
        perror("torture: the scenario's own call");
        abort();
    }
    return result;
}

/* One run. */

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static void complain(const char *what)
{
    struct torture_record *record = &torture_shared->record;
    if (!record->verdict[0])
        snprintf(record->verdict, sizeof(record->verdict), "%s", what);
}

static void expect(bool truth, const char *otherwise)
{
    if (!truth)
        complain(otherwise);
}

static void close_one(struct loop_handle *handle, void *arg)
{
    (void)arg;
    shut(handle);
}

/* After an error: whatever is left is closed, and what is in flight completes. */
static void close_all(void)
{
    int status = 1;
    loop_walk(&torture_loop, close_one, NULL);
    for (int turn = 0; turn < TURNS_MAX && status == 1; turn++)
        status = loop_run(&torture_loop, LOOP_RUN_ONCE);
    expect(status == 0, "the loop does not come to an end after closing");
}

static bool open_loop(const struct scenario *scenario)
{
    struct loop_options options = {.clock = scenario->clock,
                                   .allocator.resize = torture_resize_memory};
    loop_open = ok(loop_init(&torture_loop, &options));
    return loop_open;
}

static void run_once(const struct scenario *scenario)
{
    scenario->start(&torture_loop);
    if (torture_shared->record.told == 0)
        ok(loop_run(&torture_loop, LOOP_RUN_DEFAULT));
    expect(torture_shared->record.told > 0 || scenario->done(),
           "no error was told, but not all was done");
    close_all();
    if (scenario->clean)
        scenario->clean();
    expect(begins == ends, "a request has called back not exactly once");
}

/* Faults are over: all is as good as new. */
static void run_again(const struct scenario *scenario)
{
    uint32_t told = torture_shared->record.told;
    int first_told = torture_shared->record.first_told;
    torture_end();
    torture_shared->record.told = 0;
    begins = ends = 0;
    if (loop_open || open_loop(scenario))
        run_once(scenario);
    expect(torture_shared->record.told == 0, "an error was told when nothing failed any more");
    torture_shared->record.told = told;
    torture_shared->record.first_told = first_told;
}

static void run(const struct scenario *scenario, struct torture_plan plan)
{
    int descriptors = open_descriptors();
    torture_begin(plan);
    if (open_loop(scenario))
        run_once(scenario);
    run_again(scenario);
    expect(!loop_open || loop_fini(&torture_loop) == 0, "loop_fini() finds something left");
    loop_pool_shutdown();
    expect(torture_allocations() == 0, "memory was not freed");
    expect(open_descriptors() == descriptors, "descriptors are left open, or too many were closed");
}

/* Many runs. */

static void be_run(const struct scenario *scenario, struct torture_plan plan, FILE *said)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whoever stops the tests stops this */
    dup2(fileno(said), STDERR_FILENO);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    run(scenario, plan);
    _exit(torture_shared->record.verdict[0] ? 1 : 0);
}

static void report(const struct scenario *scenario, struct torture_plan plan, int status,
                   FILE *said)
{
    char line[512];
    const struct torture_record *record = &torture_shared->record;
    printf("failed %s %s %u %u: ", scenario->name, mode_names[plan.mode], plan.at, plan.error);
    if (WIFSIGNALED(status))
        printf("%s\n", strsignal(WTERMSIG(status)));
    else
        printf("%s\n", record->verdict[0] ? record->verdict : "it ended in an unusual way");
    rewind(said);
    while (fgets(line, sizeof(line), said))
        printf("| %s", line);
    failed_runs++;
}

/* With no error told, what was injected was swallowed: where that is right it is listed. */
static void report_swallowed(const struct torture_record *record)
{
    if (record->injected == 0 || record->told > 0 || record->last == 0)
        return;
    printf("swallowed %zx %d\n", (size_t)record->last, record->last_error);
}

/* A run takes milliseconds. Of one that never ends somebody will get tired, and wants to know which
 * it was. */

static char under_way[256];

static void on_term(int number)
{
    if (write(STDERR_FILENO, under_way, strlen(under_way)) < 0)
        _exit(1);
    _exit(128 + number);
}

static void tell_at_the_end(const struct scenario *scenario, struct torture_plan plan)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    snprintf(under_way, sizeof(under_way), "under way: %s %s %u %u\n", scenario->name,
             mode_names[plan.mode], plan.at, plan.error);
    signal(SIGTERM, on_term);
    signal(SIGINT, on_term);
}

static void fork_run(const struct scenario *scenario, struct torture_plan plan)
{
    int status;
    FILE *said = tmpfile();
    fflush(stdout);
    tell_at_the_end(scenario, plan);
    torture_shared->record = (struct torture_record){0};
    pid_t child = must(fork());
    if (child == 0)
        be_run(scenario, plan, said);
    must(waitpid(child, &status, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        report(scenario, plan, status, said);
    else if (plan.mode == TORTURE_ONCE)
        report_swallowed(&torture_shared->record);
    fclose(said);
}

static uint32_t injected_by(const struct scenario *scenario, struct torture_plan plan)
{
    fork_run(scenario, plan);
    return torture_shared->record.injected;
}

static uint32_t fail_call(const struct scenario *scenario, uint32_t at)
{
    uint32_t injected = 0, errors = 1;
    for (uint32_t error = 0; error < errors; error++) {
        injected += injected_by(scenario, (struct torture_plan){TORTURE_ONCE, at, error});
        if (error == 0)
            errors = torture_shared->record.errors;
    }
    return injected;
}

/* Each call, until there is none of that number; each error of it. */
static uint32_t fail_each(const struct scenario *scenario, uint32_t step)
{
    uint32_t injected = 0;
    uint32_t at = 1;
    do {
        injected += fail_call(scenario, at);
        at += step;
    } while (torture_shared->record.met >= at - step);
    return injected;
}

static uint32_t fail_from_each_on(const struct scenario *scenario, uint32_t step)
{
    uint32_t injected = 0, last = 1;
    for (uint32_t at = 1; last > 0 && at < CALLS_MAX; at += step) {
        last = injected_by(scenario, (struct torture_plan){TORTURE_FROM, at, 0});
        injected += last;
    }
    return injected;
}

static void print_sites(void)
{
    for (size_t i = 0; i < torture_site_count(); i++) {
        const struct torture_site *site = torture_site_at(i);
        printf("site %zx %u %u %s %s:%d\n", (size_t)site, torture_shared->meetings[i],
               torture_shared->failures[i], site->name, site->file, site->line);
    }
    for (size_t i = 0; torture_shared->askers[i]; i++)
        printf("asker %zx %u\n", (size_t)torture_shared->askers[i],
               torture_shared->asker_failures[i]);
}

static int torture(const struct scenario *scenario, uint32_t step)
{
    extern const char __executable_start[];
    uint32_t injected = 0;
    printf("base %zx\n", (size_t)__executable_start);
    fork_run(scenario, (struct torture_plan){TORTURE_COUNT, 0, 0});
    printf("calls %u\n", torture_shared->record.met);
    for (enum torture_mode mode = TORTURE_SHORT; mode < TORTURE_MODES; mode++)
        if (injected_by(scenario, (struct torture_plan){mode, 0, 0}) > 0)
            injected++; /* as one: it is a matter of bytes */
    injected += fail_each(scenario, step);
    injected += fail_from_each_on(scenario, step);
    print_sites();
    printf("injected %u\n", injected);
    return failed_runs > 0;
}

/* The command line. */

static int usage(FILE *out)
{
    fprintf(out, "Usage: torture --list\n"
                 "       torture SCENARIO [--step K]      every Kth call; for torture.py to read\n"
                 "       torture SCENARIO MODE AT ERROR   that run alone, in this process\n"
                 "\n"
                 "MODE is count, once, from, short, eintr or eagain; AT the number of the call,\n"
                 "from 1; ERROR which of its errors, from 0.\n");
    return out == stderr ? 2 : 0;
}

static const struct scenario *scenario_called(const char *name)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
        if (strcmp(scenarios[i]->name, name) == 0)
            return scenarios[i];
    return NULL;
}

static int list(void)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
        puts(scenarios[i]->name);
    return 0;
}

static int run_alone(const struct scenario *scenario, char **words)
{
    struct torture_plan plan = {.at = (uint32_t)atoi(words[1]), .error = (uint32_t)atoi(words[2])};
    while (plan.mode < TORTURE_MODES && strcmp(words[0], mode_names[plan.mode]) != 0)
        plan.mode++;
    if (plan.mode == TORTURE_MODES)
        return usage(stderr);
    run(scenario, plan);
    const struct torture_record *record = &torture_shared->record;
    printf("%u calls, %u failed, told %u times, first %s: %s\n", record->met, record->injected,
           record->told, loop_error_name(record->first_told),
           record->verdict[0] ? record->verdict : "all is well");
    return record->verdict[0] != '\0';
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list();
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    const struct scenario *scenario = argc > 1 ? scenario_called(argv[1]) : NULL;
    if (!scenario)
        return usage(stderr);
    torture_share();
    if (argc == 5)
        return run_alone(scenario, argv + 2);
    if (argc == 4 && strcmp(argv[2], "--step") == 0 && atoi(argv[3]) > 0)
        return torture(scenario, (uint32_t)atoi(argv[3]));
    return argc == 2 ? torture(scenario, 1) : usage(stderr);
}
