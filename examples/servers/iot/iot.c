/* What ten thousand devices measure, live: readings by UDP and by MQTT, aggregates on a page.
 *
 *     ./run example iot                               then open http://127.0.0.1:8080
 *     ./run example iot_devices --rate 20000          in another terminal: 10,000 of them
 *     ./run example iot --mqtt 127.0.0.1:1883         hears a broker, too
 *
 * This file is the way of a reading from a datagram or a message to the counts, and from there once
 * a second to whoever looks on. What a reading is stands in reading.h, what is told by its number
 * in sequence.h; devices.h and kinds.h are where it is kept. All memory is bounded: devices beyond
 * --devices and kinds beyond 16 are refused, and nothing of a device is kept but its last reading.
 *
 * The server is what keeps the loop alive; the socket and the timer are there as long as it is.
 *
 * SPDX-License-Identifier: MIT */
#include "../common/embed.h"
#include "../common/serve.h"
#include "devices.h"
#include "kinds.h"
#include "mqtt.h"

#include <errno.h>
#include <jansson.h>
#include <linux/sock_diag.h>
#include <loop/http/body.h>
#include <loop/http/events.h>
#include <loop/http/router.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_BYTES = 8 * 1024 * 1024, /* that the kernel keeps for us while we are busy */
    DEVICES_MAX = 1000000,
};

static struct iot {
    struct serve serve;
    struct loop_http_router router;
    struct loop_http_events events;
    struct loop_udp udp;
    struct loop_timer second;
    struct mqtt mqtt;
    struct devices devices;
    struct kinds kinds;
    struct sequence_counts counts; /* of all devices */
    uint64_t datagrams, messages, malformed, refused;
    const char *udp_port, *devices_max, *broker;
} iot = {.udp_port = "7047", .devices_max = "20000"};

/* --- readings come --- */

static void take(const struct reading *reading)
{
    struct device *device = devices_find(&iot.devices, reading->device, false);
    bool may_come = device || iot.devices.count < iot.devices.max;
    struct kind *kind = may_come ? kinds_find(&iot.kinds, reading->kind) : NULL;
    if (!kind) {
        iot.refused++;
        return;
    }
    if (!device)
        device = devices_find(&iot.devices, reading->device, true);
    struct sequence_counts before = device->counts;
    enum sequence_verdict verdict =
        sequence_take(&device->sequence, reading->number, &device->counts);
    kinds_add(&iot.kinds, kind, reading->value, verdict);
    iot.counts.received += device->counts.received - before.received;
    iot.counts.lost += device->counts.lost - before.lost; /* wraps around, if that is less */
    iot.counts.late += verdict == READING_LATE;
    iot.counts.twice += verdict == READING_TWICE;
    iot.counts.strays += verdict == READING_STRAY;
    iot.counts.restarts += device->counts.restarts - before.restarts;
    if (verdict != READING_NEW)
        return;
    memcpy(device->kind, reading->kind, KIND_SIZE);
    device->value = reading->value;
    device->heard_ns = loop_now(&iot.serve.loop);
}

static void on_datagram(struct loop_udp *udp, ssize_t size, void *bytes,
                        const struct loop_address *from, unsigned flags)
{
    struct reading reading;
    (void)udp;
    (void)from;
    if (size < 0) {
        serve_complain("receiving", (int)size);
        return;
    }
    iot.datagrams++;
    if (!(flags & LOOP_UDP_TRUNCATED) && reading_of_line(&reading, bytes, (size_t)size))
        take(&reading);
    else
        iot.malformed++;
}

static void on_message(struct mqtt *mqtt, const char *topic, const char *bytes, size_t size)
{
    struct reading reading;
    (void)mqtt;
    iot.messages++;
    if (reading_of_message(&reading, topic, bytes, size))
        take(&reading);
    else
        iot.malformed++;
}

/* --- what is told of them --- */

/* Datagrams that the kernel had no room for. It counts them for each socket. */
static uint32_t dropped(void)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof(info);
    getsockopt(loop_udp_fd(&iot.udp), SOL_SOCKET, SO_MEMINFO, info, &size);
    return info[SK_MEMINFO_DROPS];
}

/* seconds 0: since the start, and so without a rate. A window may be longer than we run. */
static json_t *aggregate_json(const struct aggregate *all, unsigned seconds)
{
    uint64_t whole = iot.kinds.second < seconds ? iot.kinds.second : seconds;
    json_t *json = json_pack("{s:I, s:I, s:I}", "count", (json_int_t)all->count, "late",
                             (json_int_t)all->late, "twice", (json_int_t)all->twice);
    if (whole > 0)
        json_object_set_new(json, "rate", json_real((double)all->count / (double)whole));
    if (all->count > 0) {
        json_object_set_new(json, "mean", json_real(all->sum / (double)all->count));
        json_object_set_new(json, "min", json_real(all->min));
        json_object_set_new(json, "max", json_real(all->max));
    }
    return json;
}

static json_t *kind_json(const struct kind *kind)
{
    struct aggregate last = kinds_window(&iot.kinds, kind, 1);
    struct aggregate few = kinds_window(&iot.kinds, kind, 10);
    struct aggregate many = kinds_window(&iot.kinds, kind, KINDS_SECONDS - 1);
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", kind->name, "total",
                     aggregate_json(&kind->total, 0), "1", aggregate_json(&last, 1), "10",
                     aggregate_json(&few, 10), "59", aggregate_json(&many, KINDS_SECONDS - 1));
}

static json_t *counts_json(const struct sequence_counts *counts)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "received", (json_int_t)counts->received,
                     "lost", (json_int_t)counts->lost, "late", (json_int_t)counts->late, "twice",
                     (json_int_t)counts->twice, "strays", (json_int_t)counts->strays, "restarts",
                     (json_int_t)counts->restarts);
}

/* All that the page shows. */
static json_t *state_json(void)
{
    json_t *kinds = json_array();
    for (int i = 0; i < KINDS_MAX && *iot.kinds.list[i].name; i++)
        json_array_append_new(kinds, kind_json(&iot.kinds.list[i]));
    json_t *rates = json_array(); /* the oldest first */
    for (unsigned ago = KINDS_SECONDS - 1; ago > 0; ago--)
        json_array_append_new(rates, json_integer((json_int_t)kinds_rate(&iot.kinds, ago)));
    return json_pack("{s:i, s:i, s:I, s:I, s:o, s:{s:I, s:I}, s:{s:s, s:I, s:i}, s:o, s:o}",
                     "devices", (int)iot.devices.count, "devices_max", (int)iot.devices.max,
                     "malformed", (json_int_t)iot.malformed, "refused", (json_int_t)iot.refused,
                     "readings", counts_json(&iot.counts), "udp", "datagrams",
                     (json_int_t)iot.datagrams, "dropped", (json_int_t)dropped(), "mqtt", "state",
                     iot.mqtt.state ? iot.mqtt.state : "off", "messages", (json_int_t)iot.messages,
                     "connections", (int)iot.mqtt.connections, "kinds", kinds, "rates", rates);
}

static void on_second(struct loop_timer *timer)
{
    (void)timer;
    kinds_next_second(&iot.kinds);
    if (iot.events.count == 0)
        return;
    json_t *state = state_json();
    char *text = json_dumps(state, JSON_COMPACT);
    if (text)
        loop_http_publish_text(&iot.events, NULL, text);
    free(text);
    json_decref(state);
}

static void answer(struct loop_http_response *res, json_t *json)
{
    loop_http_set_header(res, "cache-control", "no-store");
    if (loop_http_end_json(res, 200, json) < 0)
        loop_http_end_error(res, 500, NULL);
    json_decref(json);
}

static void on_state(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    answer(res, state_json());
}

static void on_events(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_subscribe(&iot.events, res);
}

static void on_metrics(struct loop_http_request *req, struct loop_http_response *res)
{
    (void)req;
    loop_http_end_metrics(res, "iot");
}

static void on_device(struct loop_http_request *req, struct loop_http_response *res)
{
    char name[DEVICE_SIZE] = "";
    const struct device *device = NULL;
    if (loop_http_param(req, "name", name, sizeof(name)) >= 0 && reading_names(name)) {
        memset(name + strlen(name), 0, sizeof(name) - strlen(name));
        device = devices_find(&iot.devices, name, false);
    }
    if (!device) {
        loop_http_end_error(res, 404, "No reading of such a device has come.");
        return;
    }
    double ago = (double)(loop_now(&iot.serve.loop) - device->heard_ns) / (double)LOOP_SEC;
    answer(res,
           json_pack("{s:s, s:s, s:f, s:f, s:I, s:o}", "name", device->name, "kind", device->kind,
                     "value", device->value, "seconds_ago", ago, "next",
                     (json_int_t)device->sequence.next, "readings", counts_json(&device->counts)));
}

static void on_request(struct loop_http_request *req, struct loop_http_response *res)
{
    loop_http_router_handle(&iot.router, req, res);
}

/* --- its life --- */

static int add_routes(void)
{
    int error = loop_http_router_init(&iot.router);
    if (error == 0)
        error = loop_http_route(&iot.router, "GET", "/state", on_state, NULL);
    if (error == 0)
        error = loop_http_route(&iot.router, "GET", "/events", on_events, NULL);
    if (error == 0)
        error = loop_http_route(&iot.router, "GET", "/devices/:name", on_device, NULL);
    if (error == 0)
        error = loop_http_route(&iot.router, "GET", "/metrics", on_metrics, NULL);
    loop_http_on_missing(&iot.router, embed_handle);
    return error;
}

static int open_udp(uint16_t port)
{
    struct loop_address address;
    char text[LOOP_ADDRESS_TEXT_SIZE];
    int bytes = RECEIVE_BYTES;
    int error = loop_address_parse(&address, iot.serve.host, port);
    if (error == 0)
        error = loop_udp_bind(&iot.udp, &address, 0);
    if (error == 0)
        error = loop_udp_set_batch(&iot.udp, READING_SIZE);
    if (error == 0)
        error = loop_udp_recv_start(&iot.udp, on_datagram);
    if (error == 0)
        error = loop_udp_local(&iot.udp, &address);
    if (error < 0)
        return error;
    loop_unref(&iot.udp.handle);
    /* The first goes beyond what the machine allows to all, and needs a privilege. */
    int fd = loop_udp_fd(&iot.udp);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    fprintf(stderr, "readings by UDP to %s\n", loop_address_text(&address, text));
    return 0;
}

static int open_broker(void)
{
    static const struct mqtt_options options = {.topic = "iot/+/+", .on_message = on_message};
    return iot.broker ? mqtt_open(&iot.serve.loop, &iot.mqtt, iot.broker, &options) : 0;
}

static bool read_number(const char *text, unsigned long max, unsigned long *number)
{
    char *end;
    *number = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *number <= max;
}

static int open_iot(struct serve *serve)
{
    static const struct loop_http_events_options options = {.keep_events = 1};
    unsigned long port, max;
    loop_udp_init(&serve->loop, &iot.udp);
    loop_timer_init(&serve->loop, &iot.second);
    loop_unref(&iot.second.handle);
    json_object_seed(0);
    int error = loop_http_events_init(&serve->loop, &iot.events, &options);
    if (error == 0)
        error = add_routes();
    if (error < 0)
        return error;
    if (!read_number(iot.udp_port, UINT16_MAX, &port) ||
        !read_number(iot.devices_max, DEVICES_MAX, &max))
        return serve_complain("--udp and --devices are numbers", -EINVAL), -EINVAL;
    error = devices_open(&iot.devices, (uint32_t)max);
    if (error == 0)
        error = open_udp((uint16_t)port);
    if (error == 0)
        error = loop_timer_start(&iot.second, LOOP_SEC, LOOP_SEC, on_second);
    return error == 0 ? open_broker() : error;
}

/* Also if something could not be opened: each of these is harmless then. */
static void close_iot(struct serve *serve)
{
    if (!iot.udp.handle.loop)
        return; /* open_iot() was not called */
    mqtt_close(&iot.mqtt);
    loop_timer_stop(&iot.second);
    loop_http_events_fini(&iot.events);
    loop_http_router_fini(&iot.router);
    devices_close(&iot.devices);
    loop_close(&iot.udp.handle, NULL);
    loop_run(&serve->loop, LOOP_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static const struct serve_option options[] = {
        {"udp", "PORT", "for readings; 0: any free port (7047)", &iot.udp_port, NULL},
        {"devices", "MAX", "how many may be known (20000)", &iot.devices_max, NULL},
        {"mqtt", "ADDRESS:PORT", "of a broker, to hear iot/+/+ of", &iot.broker, NULL},
        {0}};
    iot.serve.about = "Takes readings of many devices by UDP and MQTT, and shows them live.";
    iot.serve.http.on_request = on_request;
    iot.serve.options = options;
    iot.serve.open = open_iot;
    iot.serve.close = close_iot;
    return serve(argc, argv, &iot.serve);
}
