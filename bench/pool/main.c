/* The workloads on the thread pool: WORKLOAD and IN_FLIGHT say which, the adapter for whom.
 *
 * So many operations are in flight at any time; each callback begins the next one in its slot,
 * until enough time has passed. cpu_ns is the CPU time of all threads for one operation, wall_ns
 * the time that passes for it. For p50_ns and p99_ns, the time from the beginning of an operation
 * to its callback, one in SAMPLE_ONE_IN is timed, as clocks would weigh as much as the work.
 *
 * SPDX-License-Identifier: MIT */
#include "pool.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SAMPLE_ONE_IN = 17, SAMPLES_MAX = 1 << 16, LOOK_ONE_IN = 256 };

const char *const bench_path = "/tmp/libloop-bench-pool";
int bench_fd;

static uint64_t begun;
static uint64_t ended;
static uint64_t stop_ns;                 /* begin none behind it; 0: not yet known */
static uint64_t begun_ns[IN_FLIGHT_MAX]; /* 0: not timed */
static uint64_t samples[SAMPLES_MAX];
static uint32_t sample_count;

static void begin(uint32_t slot)
{
    begun_ns[slot] = begun++ % SAMPLE_ONE_IN == 0 ? bench_wall_ns() : 0;
    peer_begin(WORKLOAD, slot);
}

static void begin_all(uint64_t for_ns)
{
    begun = ended = sample_count = 0;
    stop_ns = bench_wall_ns() + for_ns;
    for (uint32_t slot = 0; slot < IN_FLIGHT; slot++)
        begin(slot);
    peer_run();
}

void on_complete(uint32_t slot)
{
    static bool over;
    if (begun_ns[slot] > 0 && sample_count < SAMPLES_MAX)
        samples[sample_count++] = bench_wall_ns() - begun_ns[slot];
    over = ended++ % LOOK_ONE_IN == 0 ? bench_wall_ns() > stop_ns : over;
    if (!over)
        begin(slot);
}

static int ascending(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return (*a > *b) - (*a < *b);
}

static void make_file(void)
{
    static const char bytes[READ_SIZE];
    bench_fd = open(bench_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bench_require(bench_fd >= 0, "open");
    bench_require(write(bench_fd, bytes, sizeof(bytes)) == sizeof(bytes), "write");
}

int main(void)
{
    make_file();
    peer_init();
    begin_all(bench_round_ns / 10); /* the threads start, and caches fill */
    const uint64_t start_cpu_ns = bench_cpu_ns();
    const uint64_t start_wall_ns = bench_wall_ns();
    begin_all(bench_round_ns);
    bench_print("cpu_ns", bench_cpu_ns() - start_cpu_ns, ended);
    bench_print("wall_ns", bench_wall_ns() - start_wall_ns, ended);
    qsort(samples, sample_count, sizeof(*samples), ascending);
    bench_print("p50_ns", samples[sample_count / 2], 1);
    bench_print("p99_ns", samples[sample_count - 1 - sample_count / 100], 1);
    return EXIT_SUCCESS;
}
