/* A sink for the telemetry of many small devices: datagrams in batches, and what was lost of them.
 *
 *     ./run example telemetry              then, as a device called pump:
 *         for i in 1 2 3 5 6; do echo "pump $i 20.5" | nc -u -w0 127.0.0.1 7047; sleep 1; done
 *     ./run example telemetry 8000         another port; 0 lets the kernel choose
 *     ./run example telemetry --idle 3     ends after three seconds in which nothing came
 *     ./run example telemetry --count 5    ends after five datagrams
 *
 * A device sends a line with its name, a number that it counts up, and its reading, once a second
 * or so. Expect a line each second: how many datagrams came from how many devices, how many are
 * missing by their numbers, and how many could not be read; and at the end the devices. Without
 * --idle and --count Ctrl-C ends the program.
 *
 * UDP loses what nobody has room for, so the numbers are the only way to know; one that comes late,
 * behind its successors, was counted as lost and is taken off again. loop_udp_set_batch() takes
 * many datagrams from the kernel in one call; a line that is longer than the 128 bytes we allow
 * says that it was cut, and counts as unreadable.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE_MAX = 128, NAME_SIZE = 16, DEVICES_MAX = 1024, LATE_MAX = 100 };

struct device {
    char name[NAME_SIZE]; /* empty: none */
    unsigned next;        /* the number that is expected */
    unsigned received;
    unsigned lost;
    double reading; /* the last */
};

struct sink {
    struct loop_udp udp;
    struct loop_timer second;
    struct device devices[DEVICES_MAX]; /* by a hash of the name, or behind it */
    unsigned device_count;
    unsigned received, lost, unreadable; /* since the start */
    long idle, idle_max;                 /* seconds; 0: no end */
    long count_max;                      /* datagrams; 0: no end */
    unsigned seen;                       /* datagrams until the second before */
};

/* NULL: there are too many. */
static struct device *find(struct sink *sink, const char *name)
{
    unsigned hash = 5381;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    for (unsigned i = 0; i < DEVICES_MAX; i++) {
        struct device *device = &sink->devices[(hash + i) % DEVICES_MAX];
        if (strcmp(device->name, name) == 0)
            return device;
        if (!*device->name) {
            snprintf(device->name, sizeof(device->name), "%s", name);
            sink->device_count++;
            return device;
        }
    }
    return NULL;
}

/* Behind by a little: it was on a longer way. By much: the device began anew. */
static void count(struct sink *sink, struct device *device, unsigned number)
{
    int ahead = device->received++ > 0 ? (int)(number - device->next) : 0; /* it may wrap around */
    unsigned lost = ahead > 0 ? (unsigned)ahead : 0;
    if (ahead >= 0 || ahead < -LATE_MAX)
        device->next = number + 1;
    else if (device->lost > 0)
        lost = (unsigned)-1;
    device->lost += lost;
    sink->lost += lost;
}

/* false: it is not "name number reading". */
static bool take(struct sink *sink, const char *line)
{
    char name[NAME_SIZE];
    unsigned number;
    double reading;
    if (sscanf(line, "%15s %u %lf", name, &number, &reading) != 3)
        return false;
    struct device *device = find(sink, name);
    if (!device)
        return false;
    count(sink, device, number);
    device->reading = reading;
    return true;
}

static void finish(struct sink *sink)
{
    for (size_t i = 0; i < DEVICES_MAX; i++) {
        const struct device *device = &sink->devices[i];
        if (*device->name)
            printf("%s: %u received, %u lost, last reading %g\n", device->name, device->received,
                   device->lost, device->reading);
    }
    loop_timer_stop(&sink->second);
    loop_close(&sink->udp.handle, NULL);
}

static void tell(struct sink *sink)
{
    unsigned fresh = sink->received - sink->seen;
    sink->seen = sink->received;
    sink->idle = fresh > 0 ? 0 : sink->idle + 1;
    printf("%u this second; %u from %u devices, %u lost, %u unreadable\n", fresh, sink->received,
           sink->device_count, sink->lost, sink->unreadable);
    fflush(stdout);
}

static void on_datagram(struct loop_udp *udp, ssize_t size, void *bytes,
                        const struct loop_address *from, unsigned flags)
{
    struct sink *sink = loop_container_of(udp, struct sink, udp);
    char line[LINE_SIZE_MAX + 1] = "";
    (void)from;
    if (size < 0) {
        fprintf(stderr, "receiving: %s\n", loop_strerror((int)size));
        return;
    }
    sink->received++;
    memcpy(line, bytes, (size_t)size); /* the batch cuts at LINE_SIZE_MAX */
    if (flags & LOOP_UDP_TRUNCATED || !take(sink, line))
        sink->unreadable++;
    if (sink->count_max == 0 || sink->received < sink->count_max)
        return;
    tell(sink);
    finish(sink);
}

static void on_second(struct loop_timer *timer)
{
    struct sink *sink = loop_container_of(timer, struct sink, second);
    tell(sink);
    if (sink->idle_max > 0 && sink->idle >= sink->idle_max)
        finish(sink);
}

static int start(struct sink *sink, uint16_t port)
{
    struct loop_address address;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    int error = loop_address_parse(&address, "127.0.0.1", port);
    if (!error)
        error = loop_udp_bind(&sink->udp, &address, 0);
    if (!error)
        error = loop_udp_set_batch(&sink->udp, LINE_SIZE_MAX);
    if (!error)
        error = loop_udp_recv_start(&sink->udp, on_datagram);
    if (!error)
        error = loop_timer_start(&sink->second, LOOP_SEC, LOOP_SEC, on_second);
    if (!error)
        error = loop_udp_local(&sink->udp, &address);
    if (error)
        return error;
    printf("listening on %s\n", loop_address_text(&address, text));
    fflush(stdout);
    return 0;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

/* -1: no number up to max. */
static long number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end != '\0' || value < 0 || value > max ? -1 : value;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: telemetry [PORT] [--idle SECONDS] [--count DATAGRAMS]\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

static int serve(struct sink *sink, uint16_t port)
{
    struct loop loop;
    int error = loop_init(&loop, NULL);
    if (error)
        return fail("loop_init", error);
    loop_udp_init(&loop, &sink->udp);
    loop_timer_init(&loop, &sink->second);
    loop_timer_set_fixed_rate(&sink->second, true);
    error = start(sink, port);
    if (error)
        return fail("cannot listen", error);
    loop_run(&loop, LOOP_RUN_DEFAULT);
    error = loop_fini(&loop);
    return error ? fail("loop_fini", error) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"idle", required_argument, NULL, 'i'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct sink sink;
    long port = 7047;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'i' && option != 'c')
            return print_usage(option == 'h' ? stdout : stderr);
        *(option == 'i' ? &sink.idle_max : &sink.count_max) = number(optarg, 86400);
    }
    if (optind < argc)
        port = number(argv[optind++], UINT16_MAX);
    if (optind < argc || port < 0 || sink.idle_max < 0 || sink.count_max < 0)
        return print_usage(stderr);
    return serve(&sink, (uint16_t)port);
}
