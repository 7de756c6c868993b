/* The server under measurement: starts it, connects to it, looks at it from outside, ends it.
 *
 * A server says on standard output, when it listens, one line: its port, and the size of what its
 * author allocates for a connection. It is ended by SIGTERM, also when we die before it.
 *
 * SPDX-License-Identifier: MIT */
#include "load.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The CPU that is the first, or the last, of those allowed; on a machine with one they share it. */
static cpu_set_t end_cpu(const cpu_set_t *allowed, bool last)
{
    cpu_set_t one;
    size_t chosen = 0;
    for (size_t cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed) && (last || seen++ == 0))
            chosen = cpu;
    CPU_ZERO(&one);
    CPU_SET(chosen, &one);
    return one;
}

static void bind_thread(pid_t thread, cpu_set_t cpus)
{
    bench_require(sched_setaffinity(thread, sizeof cpus, &cpus) == 0, "sched_setaffinity");
}

/* Only now that it listens: a program that is on one CPU from the start may conclude that there is
 * no other, and so that nobody answers while it spins. */
static void bind_all_threads(pid_t pid, cpu_set_t cpus)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    bench_require(threads != NULL, path);
    for (const struct dirent *entry; (entry = readdir(threads)) != NULL;)
        if (entry->d_name[0] != '.')
            bind_thread((pid_t)strtol(entry->d_name, NULL, 10), cpus);
    closedir(threads);
}

static _Noreturn void become_server(char *const words[], pid_t parent, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent && dup2(output, STDOUT_FILENO) >= 0)
        execvp(words[0], words);
    perror(words[0]);
    _exit(EXIT_FAILURE);
}

static void read_announcement(struct subject *subject, int input)
{
    FILE *lines = fdopen(input, "r");
    bench_require(lines != NULL, "fdopen");
    int read = fscanf(lines, "%" SCNu16 " %" SCNu64, &subject->port, &subject->handle_bytes);
    bench_require(read == 2, "the server did not say where it listens");
    fclose(lines); /* no server says more */
}

void subject_start(struct subject *subject, char *const words[])
{
    int ends[2];
    cpu_set_t allowed;
    const pid_t self = getpid();
    bench_require(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
    bench_require(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
    subject->pid = fork();
    bench_require(subject->pid >= 0, "fork");
    if (subject->pid == 0)
        become_server(words, self, ends[1]);
    close(ends[1]);
    read_announcement(subject, ends[0]);
    bind_all_threads(subject->pid, end_cpu(&allowed, false));
    bind_thread(0, end_cpu(&allowed, true));
    bench_require(clock_getcpuclockid(subject->pid, &subject->clock) == 0, "clock_getcpuclockid");
}

void subject_stop(const struct subject *subject)
{
    bench_require(kill(subject->pid, SIGTERM) == 0, "kill");
    bench_require(waitpid(subject->pid, NULL, 0) == subject->pid, "waitpid");
}

uint64_t subject_rss_bytes(const struct subject *subject)
{
    char line[256];
    unsigned long kilobytes = 0;
    snprintf(line, sizeof line, "/proc/%d/status", (int)subject->pid);
    FILE *status = fopen(line, "r");
    bench_require(status != NULL, line);
    while (kilobytes == 0 && fgets(line, sizeof line, status) != NULL)
        sscanf(line, "VmRSS: %lu kB", &kilobytes);
    fclose(status);
    return kilobytes * 1024;
}

int subject_connect(const struct subject *subject)
{
    const int on = 1;
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(subject->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_require(fd >= 0, "socket");
    int error = connect(fd, (const struct sockaddr *)&address, sizeof address);
    bench_require(error == 0, "connect");
    error = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bench_require(error == 0, "setsockopt");
    return fd;
}
