/* What the servers in this folder have in common, so that each shows its own idea and nothing else:
 * options, the first line, Ctrl-C, TLS and the log.
 *
 * A server fills in a struct serve, static so that its memory lasts, and returns what serve()
 * returns. Every one of them has --port, --host, --cert, --key, --log, --patient and --help; its
 * own options stand in a table. The first line on standard output is the address, for people and
 * for tests. Ctrl-C (or SIGTERM) drains: no new connection, those that are there finish, at most 10
 * seconds; pressed twice, it ends at once.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SERVE_H
#define SERVE_H

#include <loop.h>
#include <loop/http.h>
#include <loop/tls.h>

/* An option of a server's own: --name VALUE, or a flag. */
struct serve_option {
    const char *name;
    const char *value_name; /* for --help; NULL: it is a flag */
    const char *help;
    const char **value; /* set if it is given */
    bool *flag;
};

struct serve {
    /* filled in by the server */
    const char *about;                  /* one sentence, for --help */
    struct loop_http_options http;      /* on_request, limits */
    const struct serve_option *options; /* ended by a name that is NULL; or NULL */
    int (*open)(struct serve *serve);   /* before it listens; negative: an errno, and the end */
    void (*drain)(struct serve *serve); /* at Ctrl-C: end what never ends by itself */
    void (*close)(struct serve *serve); /* when the loop has ended */
    void *data;

    /* there from open() to close() */
    struct loop loop;
    struct loop_http_server server;
    const char *host;
    const char *port_text;
    uint16_t port; /* that it listens on, once it does */
    struct loop_graceful graceful;
    const char *cert, *key;
    bool log;
    bool patient; /* no time limits, for debuggers and tests: servers of sockets heed it, too */
    bool opened;  /* open() has done its part */
};

/* Becomes the server. Returns the status for exit(3). */
int serve(int argc, char **argv, struct serve *serve);

/* A sentence on standard error, and -1. */
int serve_complain(const char *what, int error);

#endif
