/* Internal. What the twins of scripts with sockets share: net.createServer((s) => s.resume()), a
 * server on the loopback interface that reads what comes and closes a connection at its end, and
 * net.connect() to it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_TESTS_ORDER_NET_H
#define LOOP_TESTS_ORDER_NET_H

#include "order.h"

static struct loop_tcp srv;
static struct loop_tcp srv_conns[3];
static struct loop_address srv_address;

static inline void on_srv_read(struct loop_stream *s, ssize_t size, void *bytes)
{
    (void)bytes;
    if (size < 0)
        loop_close(&s->handle, NULL);
}

static inline void on_srv_connection(struct loop_stream *listener, int status)
{
    static int count;
    must(status, "accept");
    struct loop_tcp *s = &srv_conns[count++];
    loop_tcp_init(&loop, s);
    must(loop_accept(listener, &s->stream), "loop_accept");
    must(loop_read_start(&s->stream, on_srv_read), "loop_read_start");
}

/* net.createServer(…).listen(0, '127.0.0.1') */
static inline void listen_on_loopback(void)
{
    loop_tcp_init(&loop, &srv);
    must(loop_address_parse(&srv_address, "127.0.0.1", 0), "loop_address_parse");
    must(loop_tcp_bind(&srv, &srv_address, 0), "loop_tcp_bind");
    must(loop_tcp_local(&srv, &srv_address), "loop_tcp_local");
    must(loop_listen(&srv.stream, LOOP_BACKLOG, on_srv_connection), "loop_listen");
}

/* net.connect(srv.address().port, '127.0.0.1', cb) */
static inline void connect_to_srv(struct loop_tcp *c, struct loop_connect *connect,
                                  loop_connect_cb cb)
{
    loop_tcp_init(&loop, c);
    must(loop_tcp_connect(c, connect, &srv_address, cb), "loop_tcp_connect");
}

/* srv.close() */
static inline void close_srv(void)
{
    loop_close(&srv.handle, NULL);
}

#endif
