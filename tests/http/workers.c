/* The supervisor, with real workers: this very program, executed again.
 *
 * Every slot has a worker, and each connection is served. A worker that is killed takes only its
 * own connections with it; what waits in the queue of its sockets is served by its successor. One
 * that hangs, or is not ready in time, or does not finish in time, is killed. One that dies again
 * and again is started after longer and longer pauses and then given up, and when all are, that is
 * the end. New code is rolled in under load without one connection failing; code that does not
 * start leaves the old in place. At the end what is under way is finished, and if the supervisor is
 * killed its workers finish too.
 *
 * The worker here speaks a small protocol, so that each connection is known to be one worker's from
 * the first byte: it says "pid version", hears one line, answers it, and closes.
 *
 * SPDX-License-Identifier: MIT */
#include "test.h"

#include "loop/http/workers.h"
#include "loop/tcp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define workers_test(name) cmocka_unit_test_setup_teardown(name, setup, finish)

/* --- the worker --- */

struct service {
    struct loop_tcp tcp;
    struct loop_timer slow;
};

static struct worker {
    struct loop loop;
    struct loop_worker worker;
    struct loop_tcp listener;
} worker;

static void on_service_closed(struct loop_handle *handle)
{
    free(loop_container_of(handle, struct service, tcp.handle));
}

static void end_service(struct service *service)
{
    loop_close(&service->slow.handle, NULL);
    loop_close(&service->tcp.handle, on_service_closed);
}

static void on_slow(struct loop_timer *timer)
{
    struct service *service = loop_container_of(timer, struct service, slow);
    loop_write_copy(&service->tcp.stream, "answer\n", 7);
    end_service(service);
}

static void on_line(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct service *service = loop_container_of(stream, struct service, tcp.stream);
    const char *line = bytes;
    if (size > 0 && memcmp(line, "slow\n", 5) == 0) {
        loop_timer_start(&service->slow, 200 * LOOP_MS, 0, on_slow);
        return;
    }
    if (size > 0 && memcmp(line, "ever\n", 5) == 0)
        return;
    if (size > 0 && memcmp(line, "hang\n", 5) == 0)
        for (;;)
            pause();
    if (size > 0)
        loop_write_copy(&service->tcp.stream, "answer\n", 7);
    end_service(service);
}

static void on_connection(struct loop_stream *listener, int status)
{
    struct service *service = status == 0 ? calloc(1, sizeof(*service)) : NULL;
    if (!service)
        return;
    loop_tcp_init(&worker.loop, &service->tcp);
    loop_timer_init(&worker.loop, &service->slow);
    const char *version = getenv("WORKERS_TEST_VERSION");
    char text[64];
    int size = snprintf(text, sizeof(text), "%d %s\n", (int)getpid(), version ? version : "1");
    if (loop_accept(listener, &service->tcp.stream) < 0) {
        free(service);
        return;
    }
    loop_write_copy(&service->tcp.stream, text, (size_t)size);
    loop_read_start(&service->tcp.stream, on_line);
}

static void on_drain(struct loop_worker *drained)
{
    (void)drained;
    loop_close(&worker.listener.handle, NULL);
}

static int be_worker(void)
{
    const char *kind = getenv("WORKERS_TEST_KIND");
    if (kind && strcmp(kind, "crash") == 0)
        return 3;
    if (loop_init(&worker.loop, NULL) < 0 ||
        loop_worker_start(&worker.loop, &worker.worker, on_drain) < 0)
        return 4;
    loop_tcp_init(&worker.loop, &worker.listener);
    if (loop_tcp_open(&worker.listener, loop_worker_socket(&worker.worker, 0)) < 0 ||
        loop_listen(&worker.listener.stream, LOOP_BACKLOG, on_connection) < 0)
        return 5;
    if (!kind || strcmp(kind, "late") != 0)
        loop_worker_ready(&worker.worker);
    loop_run(&worker.loop, LOOP_RUN_DEFAULT);
    if (loop_worker_socket(&worker.worker, 1) != -EINVAL)
        return 7;
    loop_worker_close(&worker.worker);
    loop_worker_close(&worker.worker);
    loop_run(&worker.loop, LOOP_RUN_DEFAULT);
    return loop_fini(&worker.loop) < 0 ? 6 : 0;
}

/* A supervisor of its own process, which reports on standard error. */
static int be_supervisor(void)
{
    static const struct loop_supervisor_listener listener = {.address = "127.0.0.1"};
    const struct loop_supervisor_options options = {.listeners = &listener,
                                                    .listener_count = 1,
                                                    .workers = 1};
    struct loop_supervisor supervisor;
    unsetenv("WORKERS_TEST_KIND");
    if (loop_init(&worker.loop, NULL) < 0 ||
        loop_supervisor_start(&worker.loop, &supervisor, &options) < 0)
        return 1;
    return loop_run(&worker.loop, LOOP_RUN_DEFAULT) < 0;
}

/* --- the test's side --- */

enum { CLIENTS = 20 };

struct client {
    struct loop_tcp tcp;
    struct loop_connect connect;
    char text[64]; /* all that it has heard */
    size_t size;
    const char *line; /* what it says */
    pid_t pid;        /* whose it is; 0: not known yet */
    unsigned version;
    int error;
    bool open;
};

static struct fixture {
    struct loop *loop;
    struct loop_supervisor supervisor;
    struct loop_supervisor_options options;
    struct client clients[CLIENTS];
    unsigned want; /* answers until the loop is stopped; 0: it is not */
    unsigned answered, failed, failed_elsewhere, newest;
    pid_t killed; /* whose connections may fail */
    bool again;   /* each client connects anew */
    bool ended;
    int status;
    const char *await;  /* stop when a line has this in it */
    const char *end_at; /* stop the supervisor then */
    char log[4096];
} fixture;

static void start_client(struct client *client, const char *line);

static void on_client_closed(struct loop_handle *handle)
{
    struct client *client = loop_container_of(handle, struct client, tcp.handle);
    bool whole = client->size > 7 && strcmp(client->text + client->size - 7, "answer\n") == 0;
    client->open = false;
    fixture.answered += whole;
    fixture.failed += !whole;
    fixture.failed_elsewhere += !whole && client->pid && client->pid != fixture.killed;
    if (client->version > fixture.newest)
        fixture.newest = client->version;
    if (fixture.want && fixture.answered + fixture.failed >= fixture.want)
        loop_stop(fixture.loop);
    if (fixture.again)
        start_client(client, client->line);
}

static void end_client(struct client *client, int error)
{
    client->error = error;
    if (!loop_is_closing(&client->tcp.handle))
        loop_close(&client->tcp.handle, on_client_closed);
}

static void on_heard(struct loop_stream *stream, ssize_t size, void *bytes)
{
    struct client *client = loop_container_of(stream, struct client, tcp.stream);
    if (size < 0) {
        end_client(client, (int)size);
        return;
    }
    size_t room = sizeof(client->text) - 1 - client->size;
    size_t taken = (size_t)size < room ? (size_t)size : room;
    memcpy(client->text + client->size, bytes, taken);
    client->size += taken;
    client->text[client->size] = '\0';
    bool first = client->pid == 0 && strchr(client->text, '\n');
    if (!first)
        return;
    char *end;
    client->pid = (pid_t)strtol(client->text, &end, 10);
    client->version = (unsigned)strtol(end, NULL, 10);
    loop_write_copy(stream, client->line, strlen(client->line));
    if (!fixture.again && strcmp(client->line, "answer me\n") != 0)
        loop_stop(fixture.loop); /* the test goes on once it is known whose this is */
}

static void on_connected(struct loop_connect *connect, int status)
{
    struct client *client = loop_container_of(connect, struct client, connect);
    if (status < 0)
        end_client(client, status);
    else
        loop_read_start(&client->tcp.stream, on_heard);
}

static void start_client(struct client *client, const char *line)
{
    struct loop_address address;
    *client = (struct client){.line = line, .open = true};
    assert_int_equal(0, loop_address_parse(&address, "127.0.0.1",
                                           loop_supervisor_port(&fixture.supervisor, 0)));
    loop_tcp_init(fixture.loop, &client->tcp);
    assert_int_equal(0, loop_tcp_connect(&client->tcp, &client->connect, &address, on_connected));
}

static void on_report(struct loop_supervisor *supervisor, const char *line)
{
    assert_ptr_equal(&fixture.supervisor, supervisor);
    size_t size = strlen(fixture.log);
    snprintf(fixture.log + size, sizeof(fixture.log) - size, "%s\n", line);
    if (fixture.await && strstr(line, fixture.await))
        loop_stop(fixture.loop);
    if (fixture.end_at && strstr(line, fixture.end_at))
        loop_supervisor_stop(supervisor);
}

static void on_end(struct loop_supervisor *supervisor, int status)
{
    (void)supervisor;
    fixture.ended = true;
    fixture.status = status;
    loop_stop(fixture.loop);
}

/* No time limits but those that a test sets: nobody is put out for the machine's being slow. */
static int setup(void **state)
{
    static const struct loop_supervisor_listener listener = {.address = "127.0.0.1"};
    if (setup_real(state) != 0)
        return -1;
    memset(&fixture, 0, sizeof(fixture));
    fixture.loop = *state;
    fixture.options = (struct loop_supervisor_options){.listeners = &listener,
                                                       .listener_count = 1,
                                                       .workers = 2,
                                                       .report = on_report,
                                                       .on_end = on_end,
                                                       .ready_ns = LOOP_NEVER,
                                                       .silence_ns = LOOP_NEVER,
                                                       .drain_ns = LOOP_NEVER,
                                                       .quick_ns = LOOP_NEVER};
    return 0;
}

static int finish(void **state)
{
    unsetenv("WORKERS_TEST_KIND");
    unsetenv("WORKERS_TEST_VERSION");
    return teardown(state);
}

static void await(const char *words)
{
    fixture.await = words;
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    fixture.await = NULL;
}

static void begin(void)
{
    assert_int_equal(0, loop_supervisor_start(fixture.loop, &fixture.supervisor, &fixture.options));
    while (fixture.supervisor.serving < fixture.options.workers)
        await("is ready");
}

static void end(void)
{
    fixture.again = false;
    loop_supervisor_stop(&fixture.supervisor);
    assert_false(fixture.ended);
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    while (loop_run(fixture.loop, LOOP_RUN_DEFAULT))
        continue;
    assert_true(fixture.ended);
    assert_int_equal(0, fixture.status);
}

/* count answers or failures more, by clients that connect again and again. */
static void load(unsigned count)
{
    fixture.want = fixture.answered + fixture.failed + count;
    fixture.again = true;
    for (size_t i = 0; i < CLIENTS; i++)
        if (!fixture.clients[i].open)
            start_client(&fixture.clients[i], "answer me\n");
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
}

static bool any_open(void)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (fixture.clients[i].open)
            return true;
    return false;
}

/* Those that are under way end, and no more begin. */
static void end_load(void)
{
    fixture.again = false;
    fixture.want = 0;
    while (any_open())
        loop_run(fixture.loop, LOOP_RUN_ONCE);
}

static unsigned times(const char *words)
{
    unsigned count = 0;
    for (const char *at = fixture.log; (at = strstr(at, words)); at++)
        count++;
    return count;
}

/* --- serving --- */

static void every_slot_has_a_worker_and_all_are_answered(void **state)
{
    (void)state;
    fixture.options.workers = 3;
    begin();
    assert_int_not_equal(0, loop_supervisor_port(&fixture.supervisor, 0));
    load(200);
    end_load();
    assert_int_equal(0, fixture.failed);
    assert_true(fixture.answered >= 200);
    for (unsigned i = 0; i < 3; i++)
        assert_int_not_equal(0, loop_supervisor_pid(&fixture.supervisor, i));
    assert_int_equal(0, loop_supervisor_pid(&fixture.supervisor, 3));
    end();
    assert_int_equal(0, fixture.supervisor.crashed);
    assert_int_equal(3, times("has finished: status 0"));
}

static void a_worker_that_is_killed_takes_only_its_own_connections_with_it(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 6; i++) {
        load(100);
        unsigned before = fixture.failed;
        fixture.killed = loop_supervisor_pid(&fixture.supervisor, i % 2);
        kill(fixture.killed, SIGKILL);
        load(200);
        assert_true(fixture.failed - before <= CLIENTS);
        while (fixture.supervisor.serving < 2)
            await("is ready");
    }
    end_load();
    assert_int_equal(0, fixture.failed_elsewhere);
    assert_int_equal(6, fixture.supervisor.crashed);
    end();
}

static void what_waits_in_the_queue_of_a_dead_worker_is_served_by_the_next(void **state)
{
    (void)state;
    fixture.options.workers = 1;
    begin();
    pid_t pid = loop_supervisor_pid(&fixture.supervisor, 0);
    kill(pid, SIGSTOP);
    assert_int_equal(0, waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WSTOPPED));
    for (size_t i = 0; i < CLIENTS; i++)
        start_client(&fixture.clients[i], "answer me\n");
    loop_run(fixture.loop, LOOP_RUN_ONCE);
    kill(pid, SIGKILL);
    fixture.want = CLIENTS;
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    end_load();
    assert_int_equal(CLIENTS, fixture.answered);
    assert_int_equal(1, times("has died: signal 9"));
    end();
}

static bool has_worker(pid_t pid)
{
    return loop_supervisor_pid(&fixture.supervisor, 0) == pid ||
           loop_supervisor_pid(&fixture.supervisor, 1) == pid;
}

/* Runs until one hangs, whose pid is returned; if it is killed before it has said that, another. */
static pid_t hang_one(void)
{
    struct client *client = &fixture.clients[0];
    do {
        start_client(client, "hang\n");
        fixture.want = fixture.failed + 1;
        loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    } while (!client->pid);
    return client->pid;
}

/* On a machine that stalls for so long the others are silent, too, and replaced like this one; but
 * not any more once it has been. */
static void a_worker_that_hangs_is_replaced(void **state)
{
    (void)state;
    fixture.options.silence_ns = 300 * LOOP_MS;
    fixture.options.quick_max = UINT32_MAX;
    begin();
    pid_t hung = hang_one();
    unsigned before = fixture.failed;
    while (fixture.clients[0].open)
        loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    assert_int_equal(before + 1, fixture.failed);
    fixture.supervisor.options.silence_ns = LOOP_NEVER;
    assert_true(fixture.supervisor.killed >= 1 && times("hangs and is killed") >= 1);
    while (fixture.supervisor.serving < 2 || has_worker(hung))
        await("is ready");
    while (fixture.answered < 100)
        load(20);
    end_load();
    end();
}

/* --- dying --- */

static void one_that_dies_again_and_again_is_started_later_and_later_and_given_up(void **state)
{
    (void)state;
    setenv("WORKERS_TEST_KIND", "crash", 1);
    fixture.options.workers = 1;
    fixture.options.quick_max = 4;
    fixture.options.retry_max_ns = 300 * LOOP_MS;
    assert_int_equal(0, loop_supervisor_start(fixture.loop, &fixture.supervisor, &fixture.options));
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    while (loop_run(fixture.loop, LOOP_RUN_DEFAULT))
        continue;
    assert_true(fixture.ended);
    assert_int_equal(-ECHILD, fixture.status);
    assert_int_equal(4, times("has died: status 3"));
    assert_int_equal(1, times("again in 100 ms"));
    assert_int_equal(1, times("again in 200 ms"));
    assert_int_equal(1, times("again in 300 ms"));
    assert_int_equal(1, times("has died 4 times in a row and is given up"));
    assert_int_equal(4, fixture.supervisor.started);
}

/* Another worker is still busy then, so that there is time for a start that must not come. */
static void who_stops_in_the_report_of_a_death_gets_no_successor(void **state)
{
    (void)state;
    fixture.options.drain_ns = 500 * LOOP_MS;
    begin();
    start_client(&fixture.clients[0], "ever\n");
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    bool first = loop_supervisor_pid(&fixture.supervisor, 0) != fixture.clients[0].pid;
    fixture.end_at = "again in 100 ms";
    kill(loop_supervisor_pid(&fixture.supervisor, !first), SIGKILL);
    while (loop_run(fixture.loop, LOOP_RUN_DEFAULT))
        continue;
    assert_true(fixture.ended);
    assert_int_equal(0, fixture.status);
    assert_int_equal(2, fixture.supervisor.started);
    assert_int_equal(0, times("cannot be started"));
}

static void one_that_is_not_ready_in_time_is_killed(void **state)
{
    (void)state;
    setenv("WORKERS_TEST_KIND", "late", 1);
    fixture.options.workers = 1;
    fixture.options.ready_ns = 300 * LOOP_MS; /* of this one */
    assert_int_equal(0, loop_supervisor_start(fixture.loop, &fixture.supervisor, &fixture.options));
    await("is not ready in time and is killed");
    await("has died: signal 9");
    unsetenv("WORKERS_TEST_KIND");
    fixture.supervisor.options.ready_ns = LOOP_NEVER;
    await("is ready");
    end();
}

/* --- rolling --- */

static void new_code_is_rolled_in_under_load_without_one_failure(void **state)
{
    (void)state;
    begin();
    load(100);
    for (unsigned i = 2; i < 6; i++) {
        char version[16];
        snprintf(version, sizeof(version), "%u", i);
        setenv("WORKERS_TEST_VERSION", version, 1);
        loop_supervisor_roll(&fixture.supervisor);
        assert_true(fixture.supervisor.rolling);
        fixture.want = 0;
        await("all workers have been replaced");
        load(100);
        assert_int_equal(i, fixture.newest);
    }
    end_load();
    assert_int_equal(0, fixture.failed);
    assert_true(fixture.answered >= 500);
    assert_int_equal(4, fixture.supervisor.rolls);
    assert_int_equal(0, fixture.supervisor.crashed);
    print_message("# %u answered during four rolls, %u failed\n", fixture.answered, fixture.failed);
    end();
}

static void code_that_does_not_start_leaves_the_old_in_place(void **state)
{
    (void)state;
    begin();
    pid_t pid = loop_supervisor_pid(&fixture.supervisor, 0);
    setenv("WORKERS_TEST_KIND", "crash", 1);
    loop_supervisor_roll(&fixture.supervisor);
    await("the old workers stay");
    assert_int_equal(pid, loop_supervisor_pid(&fixture.supervisor, 0));
    assert_int_equal(2, fixture.supervisor.serving);
    assert_int_equal(0, fixture.supervisor.rolls);
    assert_false(fixture.supervisor.rolling);
    load(50);
    end_load();
    assert_int_equal(0, fixture.failed);
    end();
}

/* The handles of what has ended are closed in this turn. */
static void settle(void)
{
    for (int i = 0; i < 3; i++)
        loop_run(fixture.loop, LOOP_RUN_NOWAIT);
}

/* Or the kernel would go on sharing out connections to them. */
static void the_sockets_of_one_given_up_are_closed_again_if_a_roll_cannot_start_it(void **state)
{
    (void)state;
    char program[4096] = "", path[64], folder[] = "/tmp/workers-test-XXXXXX";
    assert_true(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/worker", folder);
    assert_int_equal(0, symlink(program, path));
    fixture.options.file = path;
    fixture.options.quick_max = 1;
    begin();
    kill(loop_supervisor_pid(&fixture.supervisor, 0), SIGKILL);
    await("is given up");
    settle();
    int before = open_descriptors();
    unlink(path);
    rmdir(folder);
    loop_supervisor_roll(&fixture.supervisor);
    await("the old workers stay");
    assert_int_equal(1, times("worker 0 cannot be replaced"));
    assert_int_equal(before, open_descriptors());
    load(50);
    end_load();
    assert_int_equal(0, fixture.failed);
    end();
}

static void a_roll_that_is_asked_for_meanwhile_follows(void **state)
{
    (void)state;
    begin();
    loop_supervisor_roll(&fixture.supervisor);
    loop_supervisor_roll(&fixture.supervisor);
    await("all workers have been replaced");
    assert_true(fixture.supervisor.rolling);
    await("all workers have been replaced");
    assert_false(fixture.supervisor.rolling);
    assert_int_equal(2, fixture.supervisor.rolls);
    end();
}

static void one_that_was_given_up_is_started_by_the_next_roll(void **state)
{
    (void)state;
    fixture.options.quick_max = 1;
    begin();
    kill(loop_supervisor_pid(&fixture.supervisor, 0), SIGKILL);
    await("is given up");
    settle();
    int before = open_descriptors();
    setenv("WORKERS_TEST_KIND", "crash", 1);
    loop_supervisor_roll(&fixture.supervisor);
    await("the old workers stay");
    settle();
    assert_int_equal(before, open_descriptors());
    assert_int_equal(0, loop_supervisor_pid(&fixture.supervisor, 0));
    unsetenv("WORKERS_TEST_KIND");
    loop_supervisor_roll(&fixture.supervisor);
    await("all workers have been replaced");
    assert_int_equal(2, fixture.supervisor.serving);
    end();
}

/* Its successor is being started anyway; when that fails there is another. */
static void one_that_dies_while_it_is_replaced_has_a_successor(void **state)
{
    (void)state;
    fixture.options.workers = 1;
    fixture.options.ready_ns = LOOP_SEC;
    begin();
    setenv("WORKERS_TEST_KIND", "late", 1);
    uint64_t started = fixture.supervisor.started;
    loop_supervisor_roll(&fixture.supervisor);
    while (fixture.supervisor.started == started)
        loop_run(fixture.loop, LOOP_RUN_ONCE);
    unsetenv("WORKERS_TEST_KIND");
    kill(loop_supervisor_pid(&fixture.supervisor, 0), SIGKILL);
    await("has died");
    assert_int_equal(started + 1, fixture.supervisor.started);
    await("the old workers stay");
    while (fixture.supervisor.serving == 0)
        await("is ready");
    end();
}

/* Told so by a signal that was not ours it is replaced, as if it had died. */
static void a_worker_finishes_by_a_signal_too(void **state)
{
    (void)state;
    fixture.options.workers = 1;
    begin();
    pid_t pid = loop_supervisor_pid(&fixture.supervisor, 0);
    kill(pid, SIGTERM);
    await("has died: status 0");
    await("is ready");
    assert_int_not_equal(pid, loop_supervisor_pid(&fixture.supervisor, 0));
    end();
}

static void a_worker_that_is_told_twice_finishes_once(void **state)
{
    (void)state;
    fixture.options.workers = 1;
    begin();
    start_client(&fixture.clients[0], "slow\n");
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    loop_supervisor_stop(&fixture.supervisor);
    kill(fixture.clients[0].pid, SIGTERM);
    while (loop_run(fixture.loop, LOOP_RUN_DEFAULT))
        continue;
    assert_true(fixture.ended);
    assert_int_equal(1, fixture.answered);
    assert_int_equal(1, times("has finished: status 0"));
}

static void signals_roll_and_stop(void **state)
{
    (void)state;
    begin();
    kill(getpid(), SIGHUP);
    await("all workers have been replaced");
    kill(getpid(), SIGTERM);
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    while (loop_run(fixture.loop, LOOP_RUN_DEFAULT))
        continue;
    assert_true(fixture.ended);
    assert_int_equal(4, times("has finished: status 0"));
}

/* --- the end --- */

static void what_is_under_way_at_the_end_is_finished(void **state)
{
    (void)state;
    begin();
    start_client(&fixture.clients[0], "slow\n");
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    end();
    assert_int_equal(1, fixture.answered);
    assert_int_equal(0, fixture.failed);
}

static void who_does_not_finish_in_time_is_killed(void **state)
{
    (void)state;
    fixture.options.workers = 1; /* an idle one would have to be done in that time, too */
    fixture.options.drain_ns = 200 * LOOP_MS;
    begin();
    start_client(&fixture.clients[0], "ever\n");
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    end();
    assert_int_equal(1, fixture.failed);
    assert_int_equal(1, fixture.supervisor.killed);
    assert_int_equal(1, times("has not finished in time and is killed"));
}

static void stopped_twice_all_are_killed(void **state)
{
    (void)state;
    begin();
    start_client(&fixture.clients[0], "ever\n");
    loop_run(fixture.loop, LOOP_RUN_DEFAULT);
    loop_supervisor_stop(&fixture.supervisor);
    end();
    assert_int_equal(1, fixture.failed);
}

static void what_comes_behind_the_end_does_nothing(void **state)
{
    (void)state;
    begin();
    loop_supervisor_roll(&fixture.supervisor);
    end();
    loop_supervisor_stop(&fixture.supervisor);
    loop_supervisor_roll(&fixture.supervisor);
    assert_int_equal(0, fixture.supervisor.rolls);
    assert_int_equal(0, loop_supervisor_pid(&fixture.supervisor, 0));
    assert_int_equal(0, loop_supervisor_port(&fixture.supervisor, 1));
    assert_int_equal(1, times("all workers have ended"));
}

/* As many workers as processors, and nobody who wants to know. */
static void all_but_the_listeners_may_be_left_out(void **state)
{
    struct loop_supervisor_options options = {.listeners = fixture.options.listeners,
                                              .listener_count = 1};
    assert_int_equal(0, loop_supervisor_start(*state, &fixture.supervisor, &options));
    assert_int_equal(loop_processors(), fixture.supervisor.options.workers);
    assert_int_equal(0, loop_supervisor_pid(&fixture.supervisor, LOOP_WORKERS_MAX));
    loop_supervisor_stop(&fixture.supervisor);
    assert_int_equal(0, loop_run(fixture.loop, LOOP_RUN_DEFAULT));
    assert_null(fixture.supervisor.slots);
}

static struct orphan {
    struct loop_process supervisor, worker;
    struct loop_pipe lines;
    char text[256];
    size_t size;
    int ended;
} orphan;

static void on_process_end(struct loop_process *process, int exit_status, int term_signal)
{
    (void)exit_status;
    assert_int_equal(process == &orphan.supervisor ? SIGKILL : 0, term_signal);
    orphan.ended++;
}

static void on_lines(struct loop_stream *stream, ssize_t size, void *bytes)
{
    if (size < 0) {
        loop_close(&stream->handle, NULL);
        return;
    }
    assert_true(orphan.size + (size_t)size < sizeof(orphan.text));
    memcpy(orphan.text + orphan.size, bytes, (size_t)size);
    orphan.size += (size_t)size;
    if (orphan.worker.pid || !strstr(orphan.text, ") is ready\n"))
        return;
    pid_t pid = (pid_t)strtol(strstr(orphan.text, "(pid ") + 5, NULL, 10);
    assert_int_equal(0, loop_process_adopt(&orphan.worker, pid, on_process_end));
    assert_int_equal(0, loop_process_kill(&orphan.supervisor, SIGKILL));
}

static void if_the_supervisor_is_killed_its_workers_finish(void **state)
{
    const struct loop_stdio stdio[] = {
        {.kind = LOOP_STDIO_NULL},
        {.kind = LOOP_STDIO_NULL},
        {.kind = LOOP_STDIO_OUTPUT, .pipe = &orphan.lines},
    };
    const struct loop_process_options options = {.file = "/proc/self/exe",
                                                 .stdio = stdio,
                                                 .stdio_count = ARRAY_LENGTH(stdio)};
    setenv("WORKERS_TEST_KIND", "supervise", 1);
    loop_process_init(*state, &orphan.supervisor);
    loop_process_init(*state, &orphan.worker);
    loop_pipe_init(*state, &orphan.lines);
    assert_int_equal(0, loop_process_spawn(&orphan.supervisor, &options, on_process_end));
    loop_read_start(&orphan.lines.stream, on_lines);
    assert_int_equal(0, loop_run(*state, LOOP_RUN_DEFAULT));
    assert_int_equal(2, orphan.ended);
}

static void what_makes_no_sense_is_refused_and_leaves_nothing(void **state)
{
    const struct loop_supervisor_listener nowhere = {.address = "nowhere"};
    struct loop_supervisor_options options = fixture.options;
    options.listeners = NULL;
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, &fixture.supervisor, &options));
    options = fixture.options;
    options.listener_count = LOOP_LISTENERS_MAX + 1;
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, &fixture.supervisor, &options));
    options = fixture.options;
    options.workers = LOOP_WORKERS_MAX + 1;
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, &fixture.supervisor, &options));
    options = fixture.options;
    options.listener_count = 0;
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, &fixture.supervisor, &options));
    options = fixture.options;
    options.listeners = &(struct loop_supervisor_listener){.address = NULL};
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, &fixture.supervisor, &options));
    assert_int_equal(-EINVAL, loop_supervisor_start(NULL, &fixture.supervisor, &options));
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, NULL, &options));
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, &fixture.supervisor, NULL));
    options = fixture.options;
    options.listeners = &nowhere;
    assert_int_equal(-EINVAL, loop_supervisor_start(*state, &fixture.supervisor, &options));
    options = fixture.options;
    options.file = "/no/such/program";
    assert_int_equal(-ENOENT, loop_supervisor_start(*state, &fixture.supervisor, &options));
    assert_false(loop_worker_called());
    struct loop_worker nobody;
    assert_int_equal(-ENOTCONN, loop_worker_start(*state, &nobody, on_drain));
    assert_int_equal(-EINVAL, loop_worker_start(NULL, &nobody, on_drain));
    assert_int_equal(-EINVAL, loop_worker_start(*state, NULL, on_drain));
    assert_int_equal(-EINVAL, loop_worker_start(*state, &nobody, NULL));
    setenv("LOOP_WORKER", "1:2", 1);
    assert_false(loop_worker_called());
    unsetenv("LOOP_WORKER");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        workers_test(every_slot_has_a_worker_and_all_are_answered),
        workers_test(a_worker_that_is_killed_takes_only_its_own_connections_with_it),
        workers_test(what_waits_in_the_queue_of_a_dead_worker_is_served_by_the_next),
        workers_test(a_worker_that_hangs_is_replaced),
        workers_test(one_that_dies_again_and_again_is_started_later_and_later_and_given_up),
        workers_test(who_stops_in_the_report_of_a_death_gets_no_successor),
        workers_test(one_that_is_not_ready_in_time_is_killed),
        workers_test(new_code_is_rolled_in_under_load_without_one_failure),
        workers_test(code_that_does_not_start_leaves_the_old_in_place),
        workers_test(the_sockets_of_one_given_up_are_closed_again_if_a_roll_cannot_start_it),
        workers_test(a_roll_that_is_asked_for_meanwhile_follows),
        workers_test(one_that_was_given_up_is_started_by_the_next_roll),
        workers_test(one_that_dies_while_it_is_replaced_has_a_successor),
        workers_test(a_worker_finishes_by_a_signal_too),
        workers_test(a_worker_that_is_told_twice_finishes_once),
        workers_test(what_comes_behind_the_end_does_nothing),
        workers_test(all_but_the_listeners_may_be_left_out),
        workers_test(signals_roll_and_stop),
        workers_test(what_is_under_way_at_the_end_is_finished),
        workers_test(who_does_not_finish_in_time_is_killed),
        workers_test(stopped_twice_all_are_killed),
        workers_test(if_the_supervisor_is_killed_its_workers_finish),
        workers_test(what_makes_no_sense_is_refused_and_leaves_nothing),
    };
    if (loop_worker_called())
        return be_worker();
    const char *kind = getenv("WORKERS_TEST_KIND");
    if (kind && strcmp(kind, "supervise") == 0)
        return be_supervisor();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
