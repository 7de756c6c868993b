/* Internal. What is on its way on the loopback arrives before a loop looks whether it has.
 *
 * Bytes that are sent on the loopback are usually there when the sending returns, but nothing says
 * so: the kernel may leave their delivery to a thread of its own, on a machine that has much to do.
 * A loop on the virtual clock would then find nothing to do, and go on to the next deadline.
 *
 * So before each turn of the loop polls, datagrams are sent to ourselves and waited for. Each
 * comes behind all that was sent before it on the same processor, which we keep to meanwhile. Four,
 * one after the other, wait for what has been sent, for what the kernel answers to that, such as
 * that there is room, for what is sent then, and for what is answered to it.
 *
 * loopback_begin() and _end() stand round that; let_arrive() does it at once, in between.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include "../test.h"

#include "loop/hook.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct {
    struct loop_hook prepare;
    cpu_set_t processors; /* those that we may use otherwise */
    int fd;
    uint32_t number;
    bool begun;
} loopback;

/* A datagram may be dropped where very many wait, so it is sent until one has come. */
static inline void let_arrive(void)
{
    for (int i = 0; i < 4; i++) {
        uint32_t heard = loopback.number++;
        while (heard != loopback.number) {
            assert_int_equal(sizeof(heard), send(loopback.fd, &loopback.number, sizeof(heard), 0));
            while (recv(loopback.fd, &heard, sizeof(heard), 0) > 0 && heard != loopback.number)
                continue;
        }
    }
}

static inline void on_loopback_prepare(struct loop_hook *hook)
{
    (void)hook;
    let_arrive();
}

static inline void keep_to_one_processor(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(0, sched_getaffinity(0, sizeof(loopback.processors), &loopback.processors));
    assert_int_equal(0, sched_setaffinity(0, sizeof(one), &one));
}

static inline void loopback_begin(struct loop *loop)
{
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timeval patience = {.tv_usec = 100000};
    socklen_t size = sizeof(self);
    if (!loopback.begun) /* else by a test that has failed: what it had is left alone */
        keep_to_one_processor();
    loopback.begun = true;
    loopback.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(loopback.fd, (struct sockaddr *)&self, size));
    assert_int_equal(0, getsockname(loopback.fd, (struct sockaddr *)&self, &size));
    assert_int_equal(0, connect(loopback.fd, (struct sockaddr *)&self, size));
    setsockopt(loopback.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    loop_prepare_init(loop, &loopback.prepare);
    loop_unref(&loopback.prepare.handle);
    loop_hook_start(&loopback.prepare, on_loopback_prepare);
}

/* Again, it does nothing. */
static inline void loopback_end(void)
{
    if (!loopback.begun)
        return;
    loopback.begun = false;
    loop_hook_stop(&loopback.prepare);
    close(loopback.fd);
    sched_setaffinity(0, sizeof(loopback.processors), &loopback.processors);
}

#endif
