/* A slot: sockets, and whose turn it is to serve them.
 *
 * Sockets are opened once and closed only when the slot is given up or all ends; the child that
 * serves them changes. Deaths are counted by slot, since it is the place that fails again and
 * again: a child that lives on for a while makes the count begin anew.
 *
 * In a roll one slot after the other gets a new child beside the old. Both have the sockets while
 * the new one gets ready; only then is the old one told to finish. If the new one dies before, the
 * roll ends: code that does not start must not take down what serves.
 *
 * SPDX-License-Identifier: MIT */
#include "workers/supervisor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t pause_first_ns = 100 * LOOP_MS;

/* --- sockets --- */

static int set(int fd, int level, int option)
{
    const int on = 1;
    return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int bind_socket(int fd, const struct loop_address *address, bool ipv6_only)
{
    int error = set(fd, SOL_SOCKET, SO_REUSEADDR);
    if (!error)
        error = set(fd, SOL_SOCKET, SO_REUSEPORT);
    if (!error && ipv6_only && address->any.sa_family == AF_INET6)
        error = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (!error && bind(fd, &address->any, address->size) < 0)
        error = -errno;
    if (!error && listen(fd, SOMAXCONN) < 0)
        error = -errno;
    return error;
}

/* Writes down which port the kernel has chosen: that of all other slots too. */
static int open_socket(struct supervisor_slot *slot, size_t listener)
{
    struct loop_supervisor *supervisor = slot->supervisor;
    struct loop_address *address = &supervisor->addresses[listener];
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int error = bind_socket(fd, address, supervisor->options.listeners[listener].ipv6_only);
    socklen_t size = sizeof(address->ip6);
    if (!error && getsockname(fd, &address->any, &size) < 0)
        error = -errno;
    if (error) {
        close(fd);
        return error;
    }
    slot->sockets[listener] = fd;
    return 0;
}

int slot_open(struct supervisor_slot *slot)
{
    int error = 0;
    for (size_t i = 0; i < slot->supervisor->options.listener_count && !error; i++)
        if (slot->sockets[i] < 0)
            error = open_socket(slot, i);
    return error;
}

void slot_close(struct supervisor_slot *slot)
{
    for (size_t i = 0; i < LOOP_LISTENERS_MAX; i++) {
        if (slot->sockets[i] >= 0)
            close(slot->sockets[i]);
        slot->sockets[i] = -1;
    }
}

/* --- deaths --- */

static void give_up(struct supervisor_slot *slot)
{
    slot->given_up = true;
    slot_close(slot);
    supervisor_report(slot->supervisor, "worker %u has died %u times in a row and is given up",
                      slot->number, slot->quick);
    supervisor_end_if_done(slot->supervisor, -ECHILD);
}

static uint64_t pause_of(const struct supervisor_slot *slot)
{
    uint64_t max_ns = slot->supervisor->options.retry_max_ns;
    uint64_t pause_ns = slot->quick ? pause_first_ns : 0;
    for (unsigned i = 1; i < slot->quick && pause_ns < max_ns; i++)
        pause_ns *= 2;
    return pause_ns < max_ns ? pause_ns : max_ns;
}

/* A report may have stopped us, and so may the one in here. */
static void start_again(struct supervisor_slot *slot)
{
    if (slot->supervisor->stopping)
        return;
    if (slot->quick >= slot->supervisor->options.quick_max) {
        give_up(slot);
        return;
    }
    uint64_t pause_ns = pause_of(slot);
    slot_start_after(slot, pause_ns);
    if (pause_ns)
        supervisor_report(slot->supervisor, "worker %u will be started again in %llu ms",
                          slot->number, (unsigned long long)(pause_ns / LOOP_MS));
}

static void on_retry(struct loop_timer *timer)
{
    struct supervisor_slot *slot = loop_container_of(timer, struct supervisor_slot, retry);
    int error = child_spawn(slot, &slot->current);
    if (!error)
        return;
    slot->quick++;
    supervisor_report(slot->supervisor, "worker %u cannot be started: %s", slot->number,
                      loop_strerror(error));
    start_again(slot);
}

void slot_start_after(struct supervisor_slot *slot, uint64_t delay_ns)
{
    loop_timer_start(&slot->retry, delay_ns, 0, on_retry);
}

/* --- rolling --- */

static void end_roll(struct loop_supervisor *supervisor, bool done)
{
    supervisor->rolling = false;
    supervisor->rolls += done;
    supervisor_report(supervisor, done ? "all workers have been replaced"
                                       : "the roll has ended: the old workers stay");
    bool again = supervisor->roll_again;
    supervisor->roll_again = false;
    if (again)
        loop_supervisor_roll(supervisor);
}

/* The slot whose turn it is gets a new child. */
void slot_roll(struct loop_supervisor *supervisor)
{
    if (supervisor->roll_at == supervisor->options.workers) {
        end_roll(supervisor, true);
        return;
    }
    struct supervisor_slot *slot = &supervisor->slots[supervisor->roll_at];
    loop_timer_stop(&slot->retry);
    int error = slot_open(slot);
    if (!error)
        error = child_spawn(slot, &slot->next);
    if (!error)
        return;
    if (slot->given_up) /* what would come to its sockets would wait for nobody */
        slot_close(slot);
    supervisor_report(supervisor, "worker %u cannot be replaced: %s", slot->number,
                      loop_strerror(error));
    end_roll(supervisor, false);
    if (!slot->current && !slot->given_up)
        start_again(slot);
}

void slot_child_ready(struct supervisor_slot *slot, struct supervisor_child *child)
{
    struct loop_supervisor *supervisor = slot->supervisor;
    if (slot->next != child)
        return;
    if (slot->current)
        child_drain(slot->current);
    slot->current = child;
    slot->next = NULL;
    slot->quick = 0;
    slot->given_up = false;
    supervisor->roll_at++;
    slot_roll(supervisor);
}

static void next_gone(struct supervisor_slot *slot)
{
    slot->next = NULL;
    end_roll(slot->supervisor, false);
    if (slot->given_up)
        slot_close(slot);
    else if (!slot->current)
        start_again(slot);
}

/* The child has ended, and belongs to no slot any more. */
void slot_child_gone(struct supervisor_slot *slot, struct supervisor_child *child, bool asked)
{
    struct loop_supervisor *supervisor = slot->supervisor;
    bool was_ready = child->state != CHILD_STARTING;
    bool quick =
        !was_ready || loop_now(supervisor->loop) - child->started_ns < supervisor->options.quick_ns;
    if (asked || supervisor->stopping)
        return;
    if (slot->next == child) {
        next_gone(slot);
        return;
    }
    slot->current = NULL;
    slot->quick = quick ? slot->quick + 1 : 0;
    if (!slot->next)
        start_again(slot);
}
