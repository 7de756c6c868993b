/* Ten thousand devices in one program, for the server beside it: each counts its readings up, and
 * some of them are lost, come twice or late, as on a bad network.
 *
 *     ./run example iot_devices                           to 127.0.0.1:7047 until Ctrl-C
 *     ./run example iot_devices --rate 50000 --loss 2     in a second, from all; 2 % are not sent
 *     ./run example iot_devices --mqtt 127.0.0.1:1883     by a broker
 *     ./run example iot_devices --readings 3              of each device, and then it ends
 *
 * In the end it says in one line what it has done, in words that the server uses, so that the two
 * can be compared. The first and the last reading of a device are always sent, and in order:
 * nobody could tell that they are missing. Chance is a generator with a seed (--seed), so a run can
 * be had again.
 *
 * Readings are due 100 times a second. Over UDP up to 64 go in one call; what the kernel has no
 * room for is sent a moment later. Over MQTT at most 1000 are on their way unacknowledged.
 *
 * SPDX-License-Identifier: MIT */
#include "mqtt.h"
#include "reading.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEVICES_MAX = 1000000,
    TICKS_PER_S = 100,
    BATCH = LOOP_UDP_BATCH_MAX,
    UNACKNOWLEDGED = 1000
};

static const struct {
    const char *name;
    double usual, swing;
} kinds[] = {{"temperature", 21, 8}, {"humidity", 55, 30}, {"pressure", 1013, 15}};

/* What is yet to go: a reading of a device. */
struct due {
    unsigned device;
    uint32_t number;
};

struct held {
    uint32_t number;
    bool late; /* the reading of this number goes behind its successor */
};

static struct simulation {
    struct loop loop;
    struct loop_udp udp;
    struct mqtt mqtt;
    struct loop_timer tick;
    struct loop_graceful graceful;
    struct loop_address to;
    struct held *held; /* for each device */
    uint64_t random;
    double allowed; /* readings that may go by now */

    unsigned next_device;
    uint32_t next_number;
    struct due queue[BATCH]; /* drawn, but not sent */
    unsigned queued;
    bool drawn; /* none is left to draw */
    uint64_t made, sent, lost, twice, late;

    unsigned long devices, readings, rate, seed;
    unsigned long loss, doubles, delays; /* of a hundred */
    const char *udp_address, *broker;
} simulation = {.devices = 10000, .rate = 10000, .seed = 1, .udp_address = "127.0.0.1:7047"};

/* --- chance --- */

/* xorshift64*: quick, and the same everywhere. */
static uint64_t draw(struct simulation *sim)
{
    sim->random ^= sim->random >> 12;
    sim->random ^= sim->random << 25;
    sim->random ^= sim->random >> 27;
    return sim->random * UINT64_C(2685821657736338717);
}

static bool happens(struct simulation *sim, unsigned long percent)
{
    return percent > 0 && (draw(sim) >> 32) % 100 < percent;
}

/* --- what a device says --- */

static void enqueue(struct simulation *sim, unsigned device, uint32_t number)
{
    sim->queue[sim->queued++] = (struct due){.device = device, .number = number};
}

/* One reading of one device, which may become none, or two, or that of before as well. */
static void make_one(struct simulation *sim, unsigned device, uint32_t number)
{
    struct held *held = &sim->held[device];
    bool edge = number == 0 || number + 1 == sim->readings;
    sim->made++;
    if (!edge && happens(sim, sim->loss)) {
        sim->lost++;
    } else if (!edge && !held->late && happens(sim, sim->delays)) {
        *held = (struct held){.number = number, .late = true};
        sim->late++;
    } else {
        enqueue(sim, device, number);
        if (happens(sim, sim->doubles)) {
            enqueue(sim, device, number);
            sim->twice++;
        }
        if (held->late)
            enqueue(sim, device, held->number);
        held->late = false;
    }
}

/* All devices in turn, so that the readings of one are far apart. */
static void make(struct simulation *sim)
{
    while (!sim->drawn && sim->queued + 3 <= BATCH && sim->allowed >= 1) {
        make_one(sim, sim->next_device, sim->next_number);
        sim->allowed -= 1;
        if (++sim->next_device == sim->devices) {
            sim->next_device = 0;
            sim->next_number++;
            sim->drawn = sim->next_number == sim->readings;
        }
    }
}

static double value_of(const struct due *due)
{
    size_t kind = due->device % (sizeof(kinds) / sizeof(kinds[0]));
    double phase = (double)due->device * 0.37 + (double)due->number * 0.01;
    return kinds[kind].usual + kinds[kind].swing * sin(phase);
}

static const char *kind_of(const struct due *due)
{
    return kinds[due->device % (sizeof(kinds) / sizeof(kinds[0]))].name;
}

/* --- sending --- */

static void forget(struct simulation *sim, unsigned count)
{
    sim->sent += count;
    sim->queued -= count;
    memmove(sim->queue, sim->queue + count, sim->queued * sizeof(sim->queue[0]));
}

/* True: it is worth trying to send more at once. */
static bool send_datagrams(struct simulation *sim)
{
    static char texts[BATCH][READING_SIZE];
    struct loop_buf bufs[BATCH];
    struct loop_datagram datagrams[BATCH];
    for (unsigned i = 0; i < sim->queued; i++) {
        const struct due *due = &sim->queue[i];
        int size = snprintf(texts[i], READING_SIZE, "device-%05u %s %u %.3f", due->device,
                            kind_of(due), due->number, value_of(due));
        bufs[i] = (struct loop_buf){texts[i], (size_t)size};
        datagrams[i] = (struct loop_datagram){.bufs = &bufs[i], .count = 1, .to = &sim->to};
    }
    ssize_t sent = sim->queued ? loop_udp_try_send_many(&sim->udp, datagrams, sim->queued) : 0;
    if (sent > 0)
        forget(sim, (unsigned)sent);
    return sent > 0;
}

static bool publish(struct simulation *sim)
{
    unsigned count = 0;
    while (count < sim->queued && sim->mqtt.unacknowledged < UNACKNOWLEDGED) {
        const struct due *due = &sim->queue[count];
        char topic[64], text[64];
        snprintf(topic, sizeof(topic), "iot/device-%05u/%s", due->device, kind_of(due));
        snprintf(text, sizeof(text), "%u %.3f", due->number, value_of(due));
        if (mqtt_publish(&sim->mqtt, topic, text) < 0)
            break;
        count++;
    }
    forget(sim, count);
    return count > 0;
}

static void finish(struct simulation *sim)
{
    loop_timer_stop(&sim->tick);
    loop_graceful_stop(&sim->graceful);
    mqtt_close(&sim->mqtt);
    loop_close(&sim->udp.handle, NULL);
    printf("%lu devices: %llu readings, %llu lost, %llu late, %llu twice; %llu sent\n",
           sim->devices, (unsigned long long)sim->made, (unsigned long long)sim->lost,
           (unsigned long long)sim->late, (unsigned long long)sim->twice,
           (unsigned long long)sim->sent);
}

static void on_tick(struct loop_timer *timer)
{
    struct simulation *sim = loop_container_of(timer, struct simulation, tick);
    double second = (double)sim->rate;
    sim->allowed += second / TICKS_PER_S * (1 + loop_timer_missed(timer));
    sim->allowed = sim->allowed < second ? sim->allowed : second; /* nothing is made up for */
    do {
        make(sim);
    } while (sim->broker ? publish(sim) : send_datagrams(sim));
    if (sim->drawn && sim->queued == 0 && sim->mqtt.unacknowledged == 0)
        finish(sim);
}

/* The next round is the last, so that the last reading of each device is sent. */
static void on_signal(struct loop_graceful *graceful, int number)
{
    struct simulation *sim = loop_container_of(graceful, struct simulation, graceful);
    (void)number;
    unsigned long last = sim->next_number + 2ul;
    sim->readings = sim->readings == 0 || sim->readings > last ? last : sim->readings;
}

/* --- its life --- */

static int read_udp_address(struct simulation *sim)
{
    char host[64];
    const char *colon = strrchr(sim->udp_address, ':');
    char *end;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (port == 0 || port > UINT16_MAX || *end != '\0')
        return -EINVAL;
    bool brackets = *sim->udp_address == '[' && colon[-1] == ']';
    int size = (int)(colon - sim->udp_address) - (brackets ? 2 : 0);
    snprintf(host, sizeof(host), "%.*s", size, sim->udp_address + (brackets ? 1 : 0));
    return loop_address_parse(&sim->to, host, (uint16_t)port);
}

static int start(struct simulation *sim)
{
    static const struct mqtt_options options = {0};
    sim->held = calloc(sim->devices, sizeof(*sim->held));
    sim->random = sim->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    int error = sim->held ? 0 : -ENOMEM;
    if (error == 0)
        error = sim->broker ? mqtt_open(&sim->loop, &sim->mqtt, sim->broker, &options)
                            : read_udp_address(sim);
    if (error == 0)
        error = loop_graceful_start(&sim->loop, &sim->graceful, LOOP_NEVER, on_signal, NULL);
    if (error == 0)
        error = loop_timer_start(&sim->tick, 0, LOOP_SEC / TICKS_PER_S, on_tick);
    return error;
}

static int complain(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return EXIT_FAILURE;
}

static int simulate(struct simulation *sim)
{
    int error = loop_init(&sim->loop, NULL);
    if (error < 0)
        return complain("no loop", error);
    loop_udp_init(&sim->loop, &sim->udp);
    loop_timer_init(&sim->loop, &sim->tick);
    loop_timer_set_fixed_rate(&sim->tick, true);
    int started = start(sim);
    if (started < 0) {
        complain("cannot start", started);
        mqtt_close(&sim->mqtt);
        loop_close(&sim->udp.handle, NULL);
    }
    loop_run(&sim->loop, LOOP_RUN_DEFAULT);
    free(sim->held);
    error = loop_fini(&sim->loop);
    return started < 0 || error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct {
    struct option option;
    const char *help;
    unsigned long *number, least, most;
    const char **text;
} options[] = {
    {{"udp", 1, NULL, 0},
     "ADDRESS:PORT of the server (127.0.0.1:7047)",
     NULL,
     0,
     0,
     &simulation.udp_address},
    {{"mqtt", 1, NULL, 0},
     "ADDRESS:PORT of a broker, in the place of UDP",
     NULL,
     0,
     0,
     &simulation.broker},
    {{"devices", 1, NULL, 0}, "how many (10000)", &simulation.devices, 1, DEVICES_MAX, NULL},
    {{"readings", 1, NULL, 0},
     "of each device; 0: until Ctrl-C (0)",
     &simulation.readings,
     0,
     UINT32_MAX,
     NULL},
    {{"rate", 1, NULL, 0}, "a second, of all (10000)", &simulation.rate, 1, 10000000, NULL},
    {{"loss", 1, NULL, 0}, "of a hundred are not sent (0)", &simulation.loss, 0, 100, NULL},
    {{"twice", 1, NULL, 0}, "of a hundred are sent twice (0)", &simulation.doubles, 0, 100, NULL},
    {{"late", 1, NULL, 0}, "of a hundred go behind the next (0)", &simulation.delays, 0, 100, NULL},
    {{"seed", 1, NULL, 0}, "of chance (1)", &simulation.seed, 0, UINT32_MAX, NULL},
};

enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static bool set_option(int index, const char *text)
{
    char *end;
    if (options[index].text) {
        *options[index].text = text;
        return true;
    }
    unsigned long number = *options[index].number = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && number >= options[index].least &&
           number <= options[index].most;
}

static int print_usage(void)
{
    fprintf(stderr, "Usage: iot_devices [OPTIONS]\nMany devices that send readings.\n\n");
    for (int i = 0; i < OPTIONS; i++)
        fprintf(stderr, "  --%-10s %s\n", options[i].option.name, options[i].help);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct option table[OPTIONS + 1] = {{0}};
    int found, index;
    for (int i = 0; i < OPTIONS; i++)
        table[i] = options[i].option;
    while ((found = getopt_long(argc, argv, "", table, &index)) == 0) {
        if (!set_option(index, optarg))
            return print_usage();
    }
    return found == -1 && optind == argc ? simulate(&simulation) : print_usage();
}
