/* A connection to a broker of MQTT: libmosquitto, in a loop of ours.
 *
 * libmosquitto is told when its socket is ready (struct loop_poll) and that time has passed (a
 * timer), and does the rest; no thread is made. A broker that goes away is tried again after a
 * while, twice as long each time, up to 5 seconds. Messages are of QoS 1: they arrive, if need be
 * twice, which the numbers of readings tell. The handles do not keep the loop alive.
 *
 * HOST is an address: libmosquitto would look up a name, and the loop would have to wait for it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MQTT_H
#define MQTT_H

#include <loop.h>

struct mosquitto;
struct mqtt;

typedef void (*mqtt_message_cb)(struct mqtt *mqtt, const char *topic, const char *bytes,
                                size_t size);

/* Any of them may be NULL. */
struct mqtt_options {
    const char *topic;                  /* to subscribe to, each time that the broker is there */
    mqtt_message_cb on_message;         /* of that topic */
    void (*on_room)(struct mqtt *mqtt); /* connected; or a message has been acknowledged */
};

/* All zero: not opened. */
struct mqtt {
    /* read-only */
    const char *state;         /* "off", "away", "connecting"; "connected", and subscribed */
    unsigned unacknowledged;   /* messages published that the broker may not have yet */
    unsigned long connections; /* since the start */

    /* private */
    struct mqtt_options options;
    struct mosquitto *client;
    struct loop *loop;
    struct loop_poll poll;
    struct loop_timer timer;
    uint64_t wait_ns;
    int fd; /* the socket, under a number that is ours to close; -1: none */
    int port;
    char host[64];
};

/* Begins to connect to "HOST:PORT"; the broker need not be there. Errors: -EINVAL, -ENOMEM, -ENOSYS
 * (built without libmosquitto). */
int mqtt_open(struct loop *loop, struct mqtt *mqtt, const char *address,
              const struct mqtt_options *options);

/* Harmless if it was not opened. No callback comes any more. */
void mqtt_close(struct mqtt *mqtt);

/* What is published while no broker is there waits; how much that may be is for the caller to
 * bound, by mqtt->unacknowledged. Errors: -ENOMEM, -EIO. */
int mqtt_publish(struct mqtt *mqtt, const char *topic, const char *text);

#endif
