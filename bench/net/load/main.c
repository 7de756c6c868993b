/* client WORKLOAD OPERATIONS SERVER [WORD...]: puts one round of a workload on a server.
 *
 * It starts the server, with one word more that says what to serve, measures it, prints the
 * figures and ends it. OPERATIONS 0 measures for a while; any other number does just so many, for
 * those who count what the server does with tools that make it slow, and prints nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "load.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    const char *role; /* of the server */
    void (*run)(struct window *window);
} workloads[] = {
    {"echo_100", "echo", load_echo_100},         {"echo_1", "echo", load_echo_1},
    {"stream_in", "sink", load_stream_in},       {"stream_out", "source", load_stream_out},
    {"accept_close", "echo", load_accept_close}, {"idle_10k", "echo", load_idle_10k},
};

enum { WORKLOADS = sizeof workloads / sizeof *workloads, WORDS_MAX = 32 };

static size_t workload_called(const char *name)
{
    for (size_t i = 0; i < WORKLOADS; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return i;
    bench_require(false, "there is no such workload");
    return 0;
}

/* Thousands of connections, at both ends. */
static void allow_many_descriptors(void)
{
    struct rlimit limit;
    bench_require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    bench_require(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

int main(int argc, char **argv)
{
    bench_require(argc >= 4 && argc - 2 < WORDS_MAX,
                  "usage: client WORKLOAD OPERATIONS SERVER [WORD...]");
    bench_require(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0, "prctl");
    const size_t chosen = workload_called(argv[1]);
    char role[16];
    snprintf(role, sizeof role, "%s", workloads[chosen].role);
    char *words[WORDS_MAX] = {NULL};
    memcpy(words, argv + 3, (size_t)(argc - 3) * sizeof *words);
    words[argc - 3] = role;
    allow_many_descriptors();
    struct subject subject;
    subject_start(&subject, words);
    struct window window = {
        .subject = &subject,
        .operations_max = strtoull(argv[2], NULL, 10),
    };
    workloads[chosen].run(&window);
    subject_stop(&subject);
    return EXIT_SUCCESS;
}
