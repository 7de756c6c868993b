/* A table of devices: see devices.h.
 *
 * The hash is a polynomial in the secret key over the prime 2^61 - 1, whose coefficients are the
 * name's bytes by seven: two names meet for at most 5 of 2^61 keys. It is as quick as those that
 * promise nothing.
 *
 * SPDX-License-Identifier: MIT */
#include "devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX = 1000000, PIECE = 7 }; /* bytes that are below the prime, whatever they are */

__extension__ typedef unsigned __int128 wide;

static const uint64_t prime = (UINT64_C(1) << 61) - 1;

/* 2^61 is 1 to this prime, so what is above folds onto what is below. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;
    uint64_t sum = (uint64_t)(product & prime) + (uint64_t)(product >> 61);
    return sum >= prime ? sum - prime : sum;
}

static uint64_t hash(uint64_t key, const char name[DEVICE_SIZE])
{
    uint64_t sum = 0;
    for (size_t at = 0; at < DEVICE_SIZE && name[at]; at += PIECE) {
        uint64_t piece = 0;
        memcpy(&piece, name + at, at + PIECE <= DEVICE_SIZE ? PIECE : DEVICE_SIZE - at);
        sum = multiply(sum + piece + 1, key);
    }
    return sum;
}

int devices_open(struct devices *devices, uint32_t max)
{
    if (max == 0 || max > MAX)
        return -EINVAL;
    uint32_t places = 2;
    while (places < 2 * max)
        places *= 2;
    *devices = (struct devices){.mask = places - 1, .max = max};
    if (getrandom(&devices->key, sizeof(devices->key), 0) != sizeof(devices->key))
        return -errno;
    devices->key %= prime;
    devices->places = calloc(places, sizeof(*devices->places));
    return devices->places ? 0 : -ENOMEM;
}

void devices_close(struct devices *devices)
{
    free(devices->places);
    devices->places = NULL;
}

struct device *devices_find(struct devices *devices, const char name[DEVICE_SIZE], bool add)
{
    uint64_t at = hash(devices->key, name);
    for (;; at++) { /* half of the places are free, so there is an end */
        struct device *device = &devices->places[at & devices->mask];
        if (memcmp(device->name, name, DEVICE_SIZE) == 0)
            return device;
        if (*device->name)
            continue;
        if (!add || devices->count == devices->max)
            return NULL;
        devices->count++;
        memcpy(device->name, name, DEVICE_SIZE);
        return device;
    }
}
