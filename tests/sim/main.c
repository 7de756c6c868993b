/* The simulator's command line: one seed, many seeds, and a failing one made smaller.
 *
 *     sim SEED [-v] [--budget N] [--mask BITS]    one run; -v tells every step
 *     sim                                         ten thousand seeds
 *     sim --seeds N [--from SEED] [--no-shrink]   many; stops at the first that fails
 *
 * A seed is played in a child, since a failure may be a crash. Seeds are played many to a child,
 * which says through shared memory where it is. A failing seed is played again with ever fewer
 * actions, and then with one feature less at a time, as long as it still fails; the smallest
 * failure is what is printed, with the command that shows it again.
 *
 * SPDX-License-Identifier: MIT */
#include "entry.h"
#include "program.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { BATCH = 200, BUDGET = 300, SECONDS_MAX = 20 };

/* What the child tells its parent. */
struct report {
    uint64_t seed;
    uint64_t runs, steps, callbacks;
    uint64_t hash;
};

static struct report *report;

static void play_batch(uint64_t seed, uint64_t count, uint32_t budget, uint32_t mask, bool verbose)
{
    for (uint64_t i = 0; i < count; i++) {
        report->seed = seed + i;
        alarm(SECONDS_MAX);
        run_seed(seed + i, budget, mask, verbose);
        report->runs++;
        report->steps += run.steps;
        report->callbacks += run.callbacks;
        report->hash = run.hash;
    }
    fflush(stdout);
    _exit(0);
}

/* Whether all is well; otherwise report->seed is the one that failed. */
static bool play(uint64_t seed, uint64_t count, uint32_t budget, uint32_t mask, bool quiet,
                 bool verbose)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (quiet && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
            _exit(2);
        play_batch(seed, count, budget, mask, verbose);
    }
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status) && !quiet)
        printf("FAILED: %s\n",
               WTERMSIG(status) == SIGALRM ? "it does not end" : strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static uint32_t smallest_budget(uint64_t seed, uint32_t budget, uint32_t mask)
{
    for (uint32_t step = budget / 2; step > 0; step /= 2)
        while (budget > step && !play(seed, 1, budget - step, mask, true, false))
            budget -= step;
    return budget;
}

static void shrink(uint64_t seed, uint32_t budget, uint32_t mask)
{
    budget = smallest_budget(seed, budget, mask);
    for (unsigned i = 0; i < FEATURES; i++)
        if (mask >> i & 1 && !play(seed, 1, budget, mask & ~(1u << i), true, false))
            mask &= ~(1u << i);
    budget = smallest_budget(seed, budget, mask);
    printf("the smallest: ./run sim %llu --budget %u --mask %x -v\n", (unsigned long long)seed,
           budget, mask);
    printf("with:");
    uint32_t features = seed_features(seed) & mask;
    for (unsigned i = 0; i < FEATURES; i++)
        if (features >> i & 1)
            printf(" %s", feature_names[i]);
    printf("\n");
    play(seed, 1, budget, mask, false, false);
}

static void progress(uint64_t done, uint64_t count)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%llu of %llu seeds%s", (unsigned long long)done,
                (unsigned long long)count, done == count ? "\n" : "");
}

static int play_many(uint64_t from, uint64_t count, uint32_t budget, uint32_t mask, bool smaller)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t done = 0; done < count; done += BATCH) {
        uint64_t batch = count - done < BATCH ? count - done : BATCH;
        if (!play(from + done, batch, budget, mask, false, false)) {
            printf("seed %llu fails, the %lluth of libloop %s\n", (unsigned long long)report->seed,
                   (unsigned long long)(report->seed - from + 1), loop_version_string());
            if (smaller)
                shrink(report->seed, budget, mask);
            return 1;
        }
        progress(done + batch, count);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double s = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%llu seeds from %llu, %llu steps, %llu callbacks, %.1f s\n",
           (unsigned long long)report->runs, (unsigned long long)from,
           (unsigned long long)report->steps, (unsigned long long)report->callbacks, s);
    return 0;
}

static int play_one(uint64_t seed, uint32_t budget, uint32_t mask, bool verbose)
{
    printf("seed %llu, libloop %s\n", (unsigned long long)seed, loop_version_string());
    if (play(seed, 1, budget, mask, false, verbose)) {
        printf("%llu steps, %llu callbacks, hash %016llx: well\n",
               (unsigned long long)report->steps, (unsigned long long)report->callbacks,
               (unsigned long long)report->hash);
        return 0;
    }
    if (!verbose && budget == BUDGET)
        shrink(seed, budget, mask);
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, count = argc == 1 ? 10000 : 0;
    uint32_t budget = BUDGET, mask = UINT32_MAX;
    bool verbose = false, smaller = true;
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return 2;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";
        if (!strcmp(argv[i], "-v"))
            verbose = true;
        else if (!strcmp(argv[i], "--no-shrink"))
            smaller = false;
        else if (!strcmp(argv[i], "--seeds") && ++i)
            count = strtoull(value, NULL, 10);
        else if (!strcmp(argv[i], "--from") && ++i)
            seed = strtoull(value, NULL, 10);
        else if (!strcmp(argv[i], "--budget") && ++i)
            budget = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(argv[i], "--mask") && ++i)
            mask = (uint32_t)strtoul(value, NULL, 16);
        else
            seed = strtoull(argv[i], NULL, 10);
    }
    return count > 0 ? play_many(seed, count, budget, mask, smaller)
                     : play_one(seed, budget, mask, verbose);
}
