/* The loop at work, drawn by itself while it runs.
 *
 * One of everything is scheduled, on real things: timers, ticks, microtasks and immediates, a file
 * read on the thread pool, a computation there, a pair of sockets, a thread that posts and one
 * handle that it wakes, hooks, a cancelled request, handles that close. What you then see is the
 * loop's own trace, not a drawing of what somebody thinks it does: one lane per phase, turn by
 * turn, with the time since the start and, behind the arrow, the callback that caused it. Lines
 * with a dash are what the callbacks themselves say. Nobody stops the loop: it ends when nothing is
 * left to do.
 *
 *     ./run demo                 ./run demo --slow          ./run demo --plain
 *     ./run demo --file README.md --json trace.json
 *
 * Look for: ticks before microtasks, right behind each callback; the immediate that runs before the
 * timer though both were asked for at once; four jobs of the pool for one file; why each poll may
 * sleep, and how long.
 *
 * SPDX-License-Identifier: MIT */
#include <loop.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct demo {
    struct loop loop;
    struct loop_trace_text text;
    struct loop_trace_chrome chrome;
    int json_fd;
    const char *json_path;
    const char *file_path;
    bool slow;
    bool colour;

    struct loop_timer timeout;
    struct loop_timer interval;
    int ticks_of_the_clock;
    struct loop_task immediate;
    struct loop_task next_immediate;
    struct loop_task tick;
    struct loop_task microtask;
    struct loop_task posted;
    struct loop_hook idle;
    struct loop_hook prepare;
    struct loop_hook check;
    struct loop_fs file;
    struct loop_work primes;
    struct loop_work doomed;
    struct loop_poll socket;
    struct loop_async bell;
    pthread_t thread;
    int ends[2];
    unsigned found;
    unsigned dropped; /* what cancelled work found, if a thread had begun it */
};

static struct demo demo = {.json_path = "/tmp/libloop-demo.json", .file_path = "/etc/os-release"};

static void die(const char *what, int error)
{
    fprintf(stderr, "demo: %s: %s\n", what, loop_strerror(error));
    exit(EXIT_FAILURE);
}

static void check(const char *what, int error)
{
    if (error < 0)
        die(what, error);
}

/* A line of the callback's own, below the loop's. */
static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
{
    va_list arguments;
    printf(demo.colour ? "           │               - " : "           |               - ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

/* Ticks and microtasks: whatever the order of asking, ticks come first. */

static void on_tick(struct loop_task *task)
{
    (void)task;
}

static void on_microtask(struct loop_task *task)
{
    (void)task;
}

/* A timeout asks for a microtask, a tick, an immediate and a timer of 0 ms, in that order, and then
 * writes to the socket. */

static void on_zero_timeout(struct loop_timer *timer)
{
    (void)timer;
}

static void on_next_immediate(struct loop_task *task)
{
    (void)task;
}

static void on_immediate(struct loop_task *task)
{
    loop_immediate(task->loop, &demo.next_immediate, on_next_immediate);
}

static void on_timeout(struct loop_timer *timer)
{
    struct loop *loop = timer->handle.loop;
    loop_microtask(loop, &demo.microtask, on_microtask);
    loop_next_tick(loop, &demo.tick, on_tick);
    loop_immediate(loop, &demo.immediate, on_immediate);
    check("the timer of 0 ms", loop_timer_start(timer, 0, 0, on_zero_timeout));
    if (write(demo.ends[1], "hello", 5) != 5)
        die("writing to the socket", -errno);
    tell("asked for a microtask, a tick, an immediate, a timer of 0 ms; wrote to a socket");
}

/* An interval runs three times and then closes itself. */

static void on_interval_closed(struct loop_handle *handle)
{
    (void)handle;
}

static void on_interval(struct loop_timer *timer)
{
    if (++demo.ticks_of_the_clock == 3)
        loop_close(&timer->handle, on_interval_closed);
}

/* The other end of the pair has something to read. */

static void on_socket_closed(struct loop_handle *handle)
{
    (void)handle;
    close(demo.ends[0]);
    close(demo.ends[1]);
}

static void on_readable(struct loop_poll *poll, int status, uint32_t events)
{
    char bytes[16];
    check("the socket", status);
    (void)events;
    ssize_t count = read(demo.ends[0], bytes, sizeof(bytes));
    tell("read %zd bytes: \"%.*s\"", count, (int)count, bytes);
    loop_close(&poll->handle, on_socket_closed);
}

/* A file, read as Node reads it, and a computation, both on the pool. */

static void on_file(struct loop_fs *file)
{
    if (file->result < 0)
        tell("%s: %s", demo.file_path, loop_strerror((int)file->result));
    else
        tell("%s: %zd bytes", demo.file_path, file->result);
}

static void count_primes(void *data)
{
    unsigned *found = data;
    for (unsigned n = 2; n < 100000; n++) {
        unsigned divisor = 2;
        while (divisor * divisor <= n && n % divisor != 0)
            divisor++;
        *found += divisor * divisor > n;
    }
}

static void on_primes(struct loop_work *work, int status)
{
    (void)work;
    check("counting primes", status);
    tell("%u primes below 100000, and the loop never waited for them", demo.found);
}

static void on_canceled(struct loop_work *work, int status)
{
    (void)work;
    tell("%s: cancelled, and told at once, whether or not a thread had begun",
         loop_error_name(status));
}

/* A thread of the program's own: it posts a task and rings a bell. */

static void on_posted(struct loop_task *task)
{
    (void)task;
}

static void on_bell(struct loop_async *bell)
{
    tell("rung by a thread; closed now, since it would keep the loop alive");
    loop_close(&bell->handle, NULL);
}

static void *thread_main(void *arg)
{
    struct loop_waker *waker = arg;
    usleep(12000);
    loop_post(&demo.loop, &demo.posted, on_posted);
    loop_waker_send(waker);
    loop_waker_release(waker);
    return NULL;
}

/* Hooks run once a turn; one turn is enough to see where. */

static void on_idle(struct loop_hook *hook)
{
    loop_hook_stop(hook);
}

static void on_prepare(struct loop_hook *hook)
{
    loop_hook_stop(hook);
}

static void on_check(struct loop_hook *hook)
{
    loop_hook_stop(hook);
}

static void start_timers_and_hooks(struct loop *loop)
{
    loop_timer_init(loop, &demo.timeout);
    check("the timeout", loop_timer_start(&demo.timeout, 5 * LOOP_MS, 0, on_timeout));
    loop_timer_init(loop, &demo.interval);
    check("the interval", loop_timer_start(&demo.interval, 8 * LOOP_MS, 8 * LOOP_MS, on_interval));
    loop_idle_init(loop, &demo.idle);
    loop_prepare_init(loop, &demo.prepare);
    loop_check_init(loop, &demo.check);
    check("the idle hook", loop_hook_start(&demo.idle, on_idle));
    check("the prepare hook", loop_hook_start(&demo.prepare, on_prepare));
    check("the check hook", loop_hook_start(&demo.check, on_check));
}

static void start_work(struct loop *loop)
{
    demo.primes.request.data = &demo.found;
    demo.doomed.request.data = &demo.dropped;
    check("the file", loop_fs_read_file(loop, &demo.file, demo.file_path, on_file));
    check("the work", loop_work(loop, &demo.primes, count_primes, on_primes));
    check("the doomed work", loop_work(loop, &demo.doomed, count_primes, on_canceled));
    check("cancelling it", loop_request_cancel(&demo.doomed.request));
}

static void start_sockets_and_thread(struct loop *loop)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, demo.ends) < 0)
        die("socketpair", -errno);
    loop_poll_init(loop, &demo.socket, demo.ends[0]);
    check("the socket", loop_poll_start(&demo.socket, LOOP_READABLE, on_readable));
    check("the bell", loop_async_init(loop, &demo.bell, on_bell));
    int error = pthread_create(&demo.thread, NULL, thread_main, loop_async_waker(&demo.bell));
    check("the thread", -error);
}

static void help(void)
{
    printf(
        "usage: demo [--plain] [--slow] [--file PATH] [--json FILE]\n\n"
        "Runs an event loop with one of everything and draws what it does.\n\n"
        "  --plain      no colour and no box drawing (so it is when not on a terminal)\n"
        "  --slow       pause between steps; the clock is then virtual, and stands still in them\n"
        "  --file PATH  the file that is read (%s)\n"
        "  --json FILE  where the Chrome trace goes (%s)\n"
        "  --help       this\n",
        demo.file_path, demo.json_path);
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"plain", no_argument, NULL, 'p'},      {"slow", no_argument, NULL, 's'},
        {"file", required_argument, NULL, 'f'}, {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    int option;
    demo.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    while ((option = getopt_long(argc, argv, "psf:j:h", options, NULL)) != -1) {
        if (option == 'p')
            demo.colour = false;
        else if (option == 's')
            demo.slow = true;
        else if (option == 'f')
            demo.file_path = optarg;
        else if (option == 'j')
            demo.json_path = optarg;
        else if (option == 'h')
            help();
        if (option == 'h' || option == '?')
            exit(option == 'h' ? EXIT_SUCCESS : 2);
    }
    if (optind < argc) {
        fprintf(stderr, "demo: %s: no arguments are taken; see --help\n", argv[optind]);
        exit(2);
    }
}

static void open_traces(void)
{
    demo.json_fd = open(demo.json_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (demo.json_fd < 0)
        die(demo.json_path, -errno);
    loop_trace_text(&demo.loop, &demo.text, STDOUT_FILENO, demo.colour);
    loop_trace_chrome(&demo.loop, &demo.chrome, demo.json_fd);
    demo.text.pause_ns = demo.slow ? 400 * LOOP_MS : 0;
}

static void close_traces(void)
{
    loop_trace_remove(&demo.loop, &demo.text.trace);
    loop_trace_remove(&demo.loop, &demo.chrome.trace);
    check(demo.json_path, loop_trace_chrome_finish(&demo.chrome));
    close(demo.json_fd);
}

int main(int argc, char **argv)
{
    struct loop_options options = {.fs_pool_only = true}; /* so that the file's jobs are seen */
    parse(argc, argv);
    options.clock = demo.slow ? LOOP_CLOCK_VIRTUAL : LOOP_CLOCK_MONOTONIC;
    check("the loop", loop_init(&demo.loop, &options));
    open_traces();

    printf("One of everything, on real things. Each line: the phase, the time since the start, "
           "what it\n"
           "is, the callback, and who asked for it.\n\n");
    fflush(stdout);
    start_timers_and_hooks(&demo.loop);
    start_work(&demo.loop);
    start_sockets_and_thread(&demo.loop);
    check("the run", loop_run(&demo.loop, LOOP_RUN_DEFAULT));
    pthread_join(demo.thread, NULL);

    printf("\nNothing was left to do, so the loop ended by itself.\n");
    fflush(stdout);
    loop_trace_text_summary(&demo.text);
    close_traces();
    printf("The same as a Chrome trace, for ui.perfetto.dev or speedscope: %s\n", demo.json_path);
    check("the end of the loop", loop_fini(&demo.loop));
    loop_pool_shutdown();
    return EXIT_SUCCESS;
}
