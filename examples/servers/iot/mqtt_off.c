/* What stands in for mqtt.c where libmosquitto is missing.
 *
 * --mqtt is refused with a sentence, and all the rest works: nothing else in this folder knows
 * which of the two files is built.
 *
 * SPDX-License-Identifier: MIT */
#include "mqtt.h"

#include <errno.h>

int mqtt_open(struct loop *loop, struct mqtt *mqtt, const char *address,
              const struct mqtt_options *options)
{
    (void)loop;
    (void)mqtt;
    (void)address;
    (void)options;
    return -ENOSYS;
}

void mqtt_close(struct mqtt *mqtt)
{
    (void)mqtt;
}

int mqtt_publish(struct mqtt *mqtt, const char *topic, const char *text)
{
    (void)mqtt;
    (void)topic;
    (void)text;
    return -ENOSYS;
}
