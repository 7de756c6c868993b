/* Which ports of a host are open: many connects at a time, each with a deadline.
 *
 *     ./run example ports 127.0.0.1 7000-7020 22
 *     ./run example ports example.org 80 443 --timeout 500 --parallel 50
 *
 * Expect: a line for each port, in the order of the arguments: open, closed (the host says so), or
 * filtered (nobody says anything within the timeout, which is 1000 ms if not told otherwise). The
 * exit code is 0 if all are open. Ask only hosts of your own.
 *
 * A probe is one struct that connects, closes, and takes the next port, until there is none.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS_MAX = 65536, PARALLEL_MAX = 1000 };

struct scan {
    struct loop loop;
    struct loop_getaddrinfo lookup;
    struct loop_address address;
    uint64_t timeout_ns;
    unsigned parallel;
    unsigned count, next; /* of ports; the next to be probed */
    int error;            /* what kept us from asking at all */
    uint16_t ports[PORTS_MAX];
    int results[PORTS_MAX];
};

struct probe {
    struct loop_tcp tcp;
    struct loop_connect connect;
    struct scan *scan;
    unsigned index; /* of the port */
};

static void probe_next(struct probe *probe);

static void on_close(struct loop_handle *handle)
{
    probe_next(loop_container_of(handle, struct probe, tcp.handle));
}

static void on_connect(struct loop_connect *connect, int status)
{
    struct probe *probe = loop_container_of(connect, struct probe, connect);
    probe->scan->results[probe->index] = status;
    loop_close(&probe->tcp.handle, on_close);
}

static void set_port(struct loop_address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET)
        address->ip4.sin_port = htons(port);
    else
        address->ip6.sin6_port = htons(port);
}

/* Nothing is left of the last port: the handle begins anew. */
static void probe_next(struct probe *probe)
{
    struct scan *scan = probe->scan;
    if (scan->next == scan->count || scan->error) {
        free(probe);
        return;
    }
    probe->index = scan->next++;
    struct loop_address address = scan->address;
    set_port(&address, scan->ports[probe->index]);
    loop_tcp_init(&scan->loop, &probe->tcp);
    int error = loop_tcp_connect(&probe->tcp, &probe->connect, &address, on_connect);
    if (!error)
        loop_request_deadline(&probe->connect.request, scan->timeout_ns); /* or decided already */
    if (error) {
        scan->error = error;
        loop_close(&probe->tcp.handle, on_close);
    }
}

static void on_lookup(struct loop_getaddrinfo *lookup)
{
    struct scan *scan = loop_container_of(lookup, struct scan, lookup);
    scan->error = lookup->status;
    if (scan->error)
        return;
    scan->address = lookup->addresses[0];
    for (unsigned i = 0; i < scan->parallel && i < scan->count; i++) {
        struct probe *probe = calloc(1, sizeof(*probe));
        if (!probe)
            return; /* those that there are do it all */
        probe->scan = scan;
        probe_next(probe);
    }
}

static const char *word(int result)
{
    switch (result) {
    case 0:
        return "open";
    case -ECONNREFUSED:
        return "closed";
    case -ETIMEDOUT:
        return "filtered";
    default:
        return loop_strerror(result); /* no route, no such network… */
    }
}

static int report(const struct scan *scan)
{
    bool all_open = true;
    for (unsigned i = 0; i < scan->count; i++) {
        printf("%u %s\n", scan->ports[i], word(scan->results[i]));
        all_open = all_open && scan->results[i] == 0;
    }
    return all_open ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

static int run(struct scan *scan, const char *host)
{
    static const struct loop_dns_hints hints = {.socket_type = SOCK_STREAM};
    int error = loop_init(&scan->loop, NULL);
    if (!error)
        error = loop_getaddrinfo(&scan->loop, &scan->lookup, host, NULL, &hints, on_lookup);
    if (error)
        return fail(host, error);
    loop_run(&scan->loop, LOOP_RUN_DEFAULT);
    loop_pool_shutdown();
    error = loop_fini(&scan->loop);
    if (error || scan->error)
        return fail(host, error ? error : scan->error);
    return report(scan);
}

/* PORT or PORT-PORT. */
static bool add_ports(struct scan *scan, const char *text)
{
    char *end;
    long last, first = last = strtol(text, &end, 10);
    if (end != text && *end == '-')
        last = strtol(end + 1, &end, 10);
    if (*end != '\0' || first < 1 || last < first || last > 65535 ||
        last - first >= (long)(PORTS_MAX - scan->count))
        return false;
    for (long port = first; port <= last; port++)
        scan->ports[scan->count++] = (uint16_t)port;
    return true;
}

/* 0: no number from 1 to max. */
static unsigned number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    return *end != '\0' || value < 1 || value > max ? 0 : (unsigned)value;
}

static int print_usage(FILE *file)
{
    fprintf(file, "usage: ports HOST PORT[-PORT]... [--timeout MS] [--parallel N]\n"
                  "exit code: 0 if all are open, 1 if not, 2 if the arguments make no sense\n");
    return file == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"timeout", required_argument, NULL, 't'},
                                            {"parallel", required_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct scan scan;
    unsigned timeout_ms = 1000;
    int option;
    scan.parallel = 100;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 't')
            timeout_ms = number(optarg, 3600 * 1000);
        else if (option == 'p')
            scan.parallel = number(optarg, PARALLEL_MAX);
        else
            return print_usage(option == 'h' ? stdout : stderr);
    }
    scan.timeout_ns = timeout_ms * LOOP_MS;
    bool sensible = argc - optind >= 2 && timeout_ms > 0 && scan.parallel > 0;
    for (int i = optind + 1; i < argc; i++)
        sensible = sensible && add_ports(&scan, argv[i]);
    return sensible ? run(&scan, argv[optind]) : print_usage(stderr);
}
