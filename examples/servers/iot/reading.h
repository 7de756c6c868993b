/* One reading of a device, and the two texts that it comes as.
 *
 *     a datagram:          DEVICE KIND NUMBER VALUE      "pump-7 temperature 42 21.5"
 *     a message of MQTT:   iot/DEVICE/KIND               "iot/pump-7/temperature"
 *                          NUMBER VALUE                  "42 21.5"
 *
 * Names have letters, digits, "-", "_" and ".", so that they can stand in topics, pages and paths
 * without an escape. A device counts its readings up by one, whatever their kind; that is how the
 * server knows what was lost, came twice, or came late. Anything else is no reading.
 *
 * SPDX-License-Identifier: MIT */
#ifndef READING_H
#define READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEVICE_SIZE = 32, KIND_SIZE = 16, READING_SIZE = 128 }; /* each with a 0 */

struct reading {
    char device[DEVICE_SIZE]; /* zeros up to the end, as behind all names here */
    char kind[KIND_SIZE];
    uint32_t number; /* of the device's; begins again behind UINT32_MAX */
    double value;    /* at most 1e100 either way, so that sums of them are finite */
};

/* Of a datagram, with or without a line end. */
bool reading_of_line(struct reading *reading, const char *line, size_t size);

/* Of a message. */
bool reading_of_message(struct reading *reading, const char *topic, const char *text, size_t size);

/* Whether this may be the name of a device. */
bool reading_names(const char *device);

#endif
