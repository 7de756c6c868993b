/* libmosquitto as a guest of the loop: see mqtt.h.
 *
 * The library closes its socket whenever it likes, and a descriptor that is watched must be open.
 * So a duplicate is watched, which is ours to close. Whether it wants to write is asked again after
 * everything that it did.
 *
 * SPDX-License-Identifier: MIT */
#include "mqtt.h"

#include <errno.h>
#include <fcntl.h>
#include <loop/http/url.h>
#include <mosquitto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEEP_ALIVE_S = 30, IN_FLIGHT_MAX = 100 };

static const uint64_t WAIT_NS = 100 * LOOP_MS, WAIT_MAX_NS = 5 * LOOP_SEC;

static void on_timer(struct loop_timer *timer);
static void on_ready(struct loop_poll *poll, int status, uint32_t events);

/* --- its socket --- */

static void unwatch(struct mqtt *mqtt)
{
    if (mqtt->fd < 0)
        return;
    loop_poll_stop(&mqtt->poll);
    close(mqtt->fd);
    mqtt->fd = -1;
}

static void lose(struct mqtt *mqtt)
{
    unwatch(mqtt);
    mqtt->state = "away";
    loop_timer_start(&mqtt->timer, mqtt->wait_ns, 0, on_timer);
    mqtt->wait_ns = 2 * mqtt->wait_ns < WAIT_MAX_NS ? 2 * mqtt->wait_ns : WAIT_MAX_NS;
}

static int watch(struct mqtt *mqtt)
{
    bool writes = mosquitto_want_write(mqtt->client);
    int error =
        loop_poll_start(&mqtt->poll, LOOP_READABLE | (writes ? LOOP_WRITABLE : 0u), on_ready);
    loop_unref(&mqtt->poll.handle);
    return error;
}

/* After each of the library's functions that may have lost the connection. */
static void go_on(struct mqtt *mqtt, int status)
{
    if (mqtt->fd < 0)
        return;
    if (status != MOSQ_ERR_SUCCESS || mosquitto_socket(mqtt->client) < 0 || watch(mqtt) < 0)
        lose(mqtt);
}

static void on_ready(struct loop_poll *poll, int status, uint32_t events)
{
    struct mqtt *mqtt = loop_container_of(poll, struct mqtt, poll);
    int result = status < 0 ? MOSQ_ERR_CONN_LOST : MOSQ_ERR_SUCCESS;
    if (result == MOSQ_ERR_SUCCESS && events & LOOP_READABLE)
        result = mosquitto_loop_read(mqtt->client, 1);
    if (result == MOSQ_ERR_SUCCESS && events & LOOP_WRITABLE)
        result = mosquitto_loop_write(mqtt->client, 1);
    go_on(mqtt, result);
}

static void begin(struct mqtt *mqtt)
{
    int status = mosquitto_connect_async(mqtt->client, mqtt->host, mqtt->port, KEEP_ALIVE_S);
    int fd = mosquitto_socket(mqtt->client);
    mqtt->fd = status == MOSQ_ERR_SUCCESS && fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (mqtt->fd < 0) {
        lose(mqtt);
        return;
    }
    mqtt->state = "connecting";
    loop_poll_init(mqtt->loop, &mqtt->poll, mqtt->fd);
    loop_timer_start(&mqtt->timer, LOOP_SEC, LOOP_SEC, on_timer);
    go_on(mqtt, MOSQ_ERR_SUCCESS);
}

/* Connected, each second, the library looks whether it has to ask if the broker is still there. */
static void on_timer(struct loop_timer *timer)
{
    struct mqtt *mqtt = loop_container_of(timer, struct mqtt, timer);
    if (mqtt->fd < 0)
        begin(mqtt);
    else
        go_on(mqtt, mosquitto_loop_misc(mqtt->client));
}

/* --- what the library tells, from inside its functions --- */

static void be_connected(struct mqtt *mqtt)
{
    mqtt->state = "connected";
    mqtt->connections++;
    if (mqtt->options.on_room)
        mqtt->options.on_room(mqtt);
}

static void on_connect(struct mosquitto *client, void *data, int refused)
{
    struct mqtt *mqtt = data;
    if (refused)
        return; /* the broker hangs up */
    mqtt->wait_ns = WAIT_NS;
    if (mqtt->options.topic)
        mosquitto_subscribe(client, NULL, mqtt->options.topic, 1);
    else
        be_connected(mqtt);
}

/* Not before: what is published until the broker knows of the subscription is for nobody. */
static void on_subscribe(struct mosquitto *client, void *data, int id, int count,
                         const int *granted)
{
    (void)client;
    (void)id;
    if (count == 1 && granted[0] <= 2) /* a QoS; what is over that is a refusal */
        be_connected(data);
}

static void on_publish(struct mosquitto *client, void *data, int id)
{
    struct mqtt *mqtt = data;
    (void)client;
    (void)id;
    mqtt->unacknowledged--;
    if (mqtt->options.on_room)
        mqtt->options.on_room(mqtt);
}

static void on_message(struct mosquitto *client, void *data,
                       const struct mosquitto_message *message)
{
    struct mqtt *mqtt = data;
    (void)client;
    if (mqtt->options.on_message && message->payloadlen >= 0)
        mqtt->options.on_message(mqtt, message->topic, message->payload,
                                 (size_t)message->payloadlen);
}

/* --- its life --- */

static int read_address(struct mqtt *mqtt, const char *text)
{
    char url_text[100];
    struct loop_url url;
    struct loop_address address;
    int size = snprintf(url_text, sizeof(url_text), "http://%s", text);
    if ((size_t)size >= sizeof(url_text) || loop_url_parse_http(&url, loop_text_of(url_text)) < 0 ||
        url.path.size > 0 || url.query.bytes || url.fragment.bytes ||
        url.host.size >= sizeof(mqtt->host))
        return -EINVAL;
    memcpy(mqtt->host, url.host.bytes, url.host.size);
    mqtt->port = url.port;
    return loop_address_parse(&address, mqtt->host, (uint16_t)url.port);
}

int mqtt_open(struct loop *loop, struct mqtt *mqtt, const char *address,
              const struct mqtt_options *options)
{
    *mqtt = (struct mqtt){.options = *options, .loop = loop, .fd = -1, .wait_ns = WAIT_NS};
    int error = read_address(mqtt, address);
    if (error < 0)
        return error;
    mosquitto_lib_init();
    mqtt->client = mosquitto_new(NULL, true, mqtt);
    if (!mqtt->client)
        return -ENOMEM;
    mosquitto_connect_callback_set(mqtt->client, on_connect);
    mosquitto_subscribe_callback_set(mqtt->client, on_subscribe);
    mosquitto_publish_callback_set(mqtt->client, on_publish);
    mosquitto_message_callback_set(mqtt->client, on_message);
    mosquitto_max_inflight_messages_set(mqtt->client, IN_FLIGHT_MAX);
    loop_timer_init(loop, &mqtt->timer);
    loop_unref(&mqtt->timer.handle);
    begin(mqtt);
    return 0;
}

void mqtt_close(struct mqtt *mqtt)
{
    if (!mqtt->client)
        return;
    mqtt->options = (struct mqtt_options){0};
    mosquitto_disconnect(mqtt->client); /* says goodbye, if anybody is there */
    unwatch(mqtt);
    loop_timer_stop(&mqtt->timer);
    mosquitto_destroy(mqtt->client);
    mosquitto_lib_cleanup();
    mqtt->client = NULL;
    mqtt->state = "off";
}

int mqtt_publish(struct mqtt *mqtt, const char *topic, const char *text)
{
    mqtt->unacknowledged++; /* before: the answer may come in the call */
    int status = mosquitto_publish(mqtt->client, NULL, topic, (int)strlen(text), text, 1, false);
    if (status == MOSQ_ERR_NO_CONN || status == MOSQ_ERR_CONN_LOST)
        status = MOSQ_ERR_SUCCESS; /* it is kept for the next connection */
    if (status == MOSQ_ERR_SUCCESS && mqtt->fd >= 0 && mosquitto_socket(mqtt->client) >= 0)
        watch(mqtt);
    if (status != MOSQ_ERR_SUCCESS)
        mqtt->unacknowledged--;
    return status == MOSQ_ERR_SUCCESS ? 0 : status == MOSQ_ERR_NOMEM ? -ENOMEM : -EIO;
}
