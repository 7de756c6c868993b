/* Reading /proc: see machine.h.
 *
 * A container may hide some of these files, and a kernel may know more fields than we do: what is
 * not there is 0, and what is not known is passed over.
 *
 * SPDX-License-Identifier: MIT */
#include "machine.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Calls take for each line of a file, until it says that it has enough. */
static void each_line(const char *path, bool (*take)(struct machine *machine, const char *line),
                      struct machine *machine)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char line[512];
    while (fgets(line, sizeof(line), file) && take(machine, line)) {
    }
    fclose(file);
}

/* "cpu  user nice system idle iowait irq softirq steal …" is the first line of /proc/stat. */
static bool take_stat(struct machine *machine, const char *line)
{
    uint64_t user = 0, nice = 0, system = 0, idle = 0, disk = 0, irq = 0, softirq = 0, steal = 0;
    int found = sscanf(line,
                       "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                       " %" SCNu64 " %" SCNu64,
                       &user, &nice, &system, &idle, &disk, &irq, &softirq, &steal);
    if (found < 4)
        return false;
    machine->user = user + nice;
    machine->system = system + irq + softirq;
    machine->disk = disk;
    machine->ticks = machine->user + machine->system + disk + idle + steal;
    return false;
}

/* "MemTotal:       16384256 kB" */
static bool take_memory(struct machine *machine, const char *line)
{
    char name[32];
    uint64_t kib;
    if (sscanf(line, "%31[^:]: %" SCNu64, name, &kib) != 2)
        return true;
    if (strcmp(name, "MemTotal") == 0)
        machine->memory = kib * 1024;
    else if (strcmp(name, "MemAvailable") == 0)
        machine->memory_free = kib * 1024;
    else if (strcmp(name, "SwapTotal") == 0)
        machine->swap_used += kib * 1024;
    else if (strcmp(name, "SwapFree") == 0)
        machine->swap_used -= kib * 1024;
    return true;
}

static bool take_load(struct machine *machine, const char *line)
{
    double *load = machine->load;
    if (sscanf(line, "%lf %lf %lf", &load[0], &load[1], &load[2]) != 3)
        memset(machine->load, 0, sizeof(machine->load));
    return false;
}

/* "  eth0: bytes packets errs drop fifo frame compressed multicast bytes …" */
static bool take_network(struct machine *machine, const char *line)
{
    char name[32];
    uint64_t received, sent;
    int found = sscanf(line, " %31[^:]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, name,
                       &received, &sent);
    if (found == 3 && strcmp(name, "lo") != 0) {
        machine->received += received;
        machine->sent += sent;
    }
    return true;
}

void machine_read(struct machine *machine)
{
    struct timespec now;
    *machine = (struct machine){0};
    each_line("/proc/stat", take_stat, machine);
    each_line("/proc/meminfo", take_memory, machine);
    each_line("/proc/loadavg", take_load, machine);
    each_line("/proc/net/dev", take_network, machine);
    clock_gettime(CLOCK_MONOTONIC, &now);
    machine->taken_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
