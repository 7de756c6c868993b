/* Samples: see sample.h.
 *
 * A share or a rate is the difference of two totals over that of their times, as they were really
 * taken: when the loop was busy a second is longer than a second, and the rate still right.
 *
 * SPDX-License-Identifier: MIT */
#include "sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void count_handle(struct loop_handle *handle, void *arg)
{
    (void)handle;
    ++*(unsigned *)arg;
}

void sample_take(struct sample *sample, struct loop *loop, struct heart *heart,
                 const struct loop_http_server *server)
{
    sample->lag = heart_lag(heart);
    sample->turns = loop_turn(loop);
    sample->callbacks = heart->callbacks;
    sample->asleep_ns = heart->asleep_ns;
    sample->handles = 0;
    loop_walk(loop, count_handle, &sample->handles);
    loop_pool_stats(loop->options.pool, &sample->pool);
    sample->server = server->stats;
}

/* --- for the page --- */

static double seconds(const struct sample *now, const struct sample *before)
{
    return (double)(now->machine.taken_ns - before->machine.taken_ns) / 1e9;
}

/* Per second. A counter that went back, as when an interface goes, says nothing. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
    return now < before || seconds <= 0 ? 0 : (double)(now - before) / seconds;
}

/* Of the parts of all some may go back, as the kernel says of idle time and that of waiting for
 * disks; another part can then have grown by more than all. */
static double percent(uint64_t now, uint64_t before, uint64_t all)
{
    if (now < before || all == 0)
        return 0;
    return now - before < all ? 100 * (double)(now - before) / (double)all : 100;
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static json_t *machine_json(const struct machine *now, const struct machine *before, double s)
{
    uint64_t all = now->ticks - before->ticks;
    return json_pack("{s:{s:f, s:f, s:f}, s:{s:I, s:I, s:I}, s:[f, f, f], s:{s:f, s:f}}", "cpu",
                     "user", percent(now->user, before->user, all), "system",
                     percent(now->system, before->system, all), "disk",
                     percent(now->disk, before->disk, all), "memory", "all",
                     (json_int_t)now->memory, "used", (json_int_t)(now->memory - now->memory_free),
                     "swap", (json_int_t)now->swap_used, "load", now->load[0], now->load[1],
                     now->load[2], "net", "in", rate(now->received, before->received, s), "out",
                     rate(now->sent, before->sent, s));
}

static json_t *loop_json(const struct sample *now, const struct sample *before, double s)
{
    double asleep = rate(now->asleep_ns, before->asleep_ns, s) / 1e9;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:i}", "lag", ms(now->lag.median_ns), "lag99",
                     ms(now->lag.p99_ns), "lagMost", ms(now->lag.most_ns), "turns",
                     rate(now->turns, before->turns, s), "callbacks",
                     rate(now->callbacks, before->callbacks, s), "busy",
                     asleep < 1 ? 100 * (1 - asleep) : 0.0, "handles", (int)now->handles);
}

static void add_pool(const struct loop_pool_stats *pool, unsigned *running, unsigned *queued,
                     uint64_t *done)
{
    for (size_t i = 0; i < LOOP_POOL_CLASSES; i++) {
        *running += pool->of[i].running;
        *queued += pool->of[i].queued;
        *done += pool->of[i].done;
    }
}

static json_t *pool_json(const struct loop_pool_stats *now, const struct loop_pool_stats *before,
                         double s)
{
    unsigned running = 0, queued = 0, unused = 0;
    uint64_t done = 0, done_before = 0;
    add_pool(now, &running, &queued, &done);
    add_pool(before, &unused, &unused, &done_before);
    return json_pack("{s:i, s:i, s:i, s:f}", "threads", (int)now->threads, "running", (int)running,
                     "queued", (int)queued, "done", rate(done, done_before, s));
}

static json_t *server_json(const struct sample *now, const struct sample *before, double s)
{
    const struct loop_http_stats *server = &now->server;
    return json_pack("{s:f, s:I, s:I, s:f, s:f, s:I}", "requests",
                     rate(server->requests, before->server.requests, s), "active",
                     (json_int_t)server->active, "connections", (json_int_t)server->connections,
                     "in", rate(server->bytes_in, before->server.bytes_in, s), "out",
                     rate(server->bytes_out, before->server.bytes_out, s), "viewers",
                     (json_int_t)now->viewers);
}

json_t *sample_json(const struct sample *now, const struct sample *before)
{
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    double s = seconds(now, before);
    json_int_t at = (json_int_t)clock.tv_sec * 1000 + clock.tv_nsec / 1000000;
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "n", (json_int_t)now->number, "at", at,
                     "machine", machine_json(&now->machine, &before->machine, s), "loop",
                     loop_json(now, before, s), "pool", pool_json(&now->pool, &before->pool, s),
                     "server", server_json(now, before, s));
}

/* --- for Prometheus --- */

static void line(FILE *text, const char *type, const char *name, double number)
{
    fprintf(text, "# TYPE %s %s\n%s %.15g\n", name, type, name, number);
}

static void machine_lines(FILE *text, const struct machine *machine)
{
    line(text, "counter", "machine_cpu_ticks_total", (double)machine->ticks);
    line(text, "counter", "machine_cpu_user_ticks_total", (double)machine->user);
    line(text, "counter", "machine_cpu_system_ticks_total", (double)machine->system);
    line(text, "counter", "machine_cpu_disk_ticks_total", (double)machine->disk);
    line(text, "gauge", "machine_memory_bytes", (double)machine->memory);
    line(text, "gauge", "machine_memory_available_bytes", (double)machine->memory_free);
    line(text, "gauge", "machine_swap_used_bytes", (double)machine->swap_used);
    line(text, "gauge", "machine_load1", machine->load[0]);
    line(text, "gauge", "machine_load5", machine->load[1]);
    line(text, "gauge", "machine_load15", machine->load[2]);
    line(text, "counter", "machine_network_received_bytes_total", (double)machine->received);
    line(text, "counter", "machine_network_sent_bytes_total", (double)machine->sent);
}

static void loop_lines(FILE *text, const struct sample *sample)
{
    unsigned running = 0, queued = 0;
    uint64_t done = 0;
    add_pool(&sample->pool, &running, &queued, &done);
    fprintf(text,
            "# TYPE loop_lag_seconds gauge\n"
            "loop_lag_seconds{quantile=\"0.5\"} %.9g\n"
            "loop_lag_seconds{quantile=\"0.99\"} %.9g\n"
            "loop_lag_seconds{quantile=\"1\"} %.9g\n",
            ms(sample->lag.median_ns) / 1e3, ms(sample->lag.p99_ns) / 1e3,
            ms(sample->lag.most_ns) / 1e3);
    line(text, "counter", "loop_turns_total", (double)sample->turns);
    line(text, "counter", "loop_callbacks_total", (double)sample->callbacks);
    line(text, "counter", "loop_asleep_seconds_total", (double)sample->asleep_ns / 1e9);
    line(text, "gauge", "loop_handles", sample->handles);
    line(text, "gauge", "pool_threads", sample->pool.threads);
    line(text, "gauge", "pool_running", running);
    line(text, "gauge", "pool_queued", queued);
    line(text, "counter", "pool_done_total", (double)done);
}

char *sample_metrics(const struct sample *sample)
{
    char *bytes = NULL;
    size_t size;
    FILE *text = open_memstream(&bytes, &size);
    if (!text)
        return NULL;
    machine_lines(text, &sample->machine);
    loop_lines(text, sample);
    if (fclose(text) == 0)
        return bytes;
    free(bytes);
    return NULL;
}
