/* A client: its limits, and its end.
 *
 * The client owns no descriptor and starts nothing before its first call, so one that is not used
 * costs nothing. Its timer lets go of connections that nobody used for a while; the timer is not
 * referenced, and neither are those connections: a program whose calls are all answered may end.
 * Closing ends calls in the order of their start, each from a tick; when the last connection and
 * the last call are gone, the close callback of the timer is the client's last word.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <string.h>

static void fill_count(uint32_t *option, uint32_t value)
{
    if (*option == 0)
        *option = value;
}

static void fill_time(uint64_t *option_ns, uint64_t value_ns)
{
    if (*option_ns == 0)
        *option_ns = value_ns;
}

static void fill_defaults(struct loop_http_client_options *options)
{
    fill_count(&options->origin_connections, 6);
    fill_count(&options->connections, 100);
    fill_count(&options->waiting, 10000);
    fill_count(&options->head_bytes, 16 * 1024);
    fill_count(&options->headers, 100);
    fill_time(&options->idle_ns, 4 * LOOP_SEC);
    fill_time(&options->connect_ns, 10 * LOOP_SEC);
    fill_time(&options->head_ns, 30 * LOOP_SEC);
    fill_time(&options->stall_ns, 30 * LOOP_SEC);
}

int loop_http_client_init(struct loop *loop, struct loop_http_client *client,
                          const struct loop_http_client_options *options)
{
    static const struct loop_http_client_options defaults;
    if (!loop || !client)
        return -EINVAL;
    *client = (struct loop_http_client){.data = client->data,
                                        .loop = loop,
                                        .options = options ? *options : defaults};
    fill_defaults(&client->options);
    list_init(&client->origins);
    list_init(&client->fetches);
    list_init(&client->idle);
    loop_timer_init(loop, &client->timer);
    loop_unref(&client->timer.handle);
    return 0;
}

static void on_closed(struct loop_handle *handle)
{
    struct loop_http_client *client =
        loop_container_of(handle, struct loop_http_client, timer.handle);
    if (client->close_cb)
        client->close_cb(client);
}

void client_end_if_done(struct loop_http_client *client)
{
    if (!client->closing || !list_empty(&client->fetches) || client->stats.connections > 0 ||
        loop_is_closing(&client->timer.handle))
        return;
    loop_task_cancel(&client->dispatch);
    loop_close(&client->timer.handle, on_closed);
}

/* A fetch leaves its list from a tick, so the first walk is safe. */
void loop_http_client_close(struct loop_http_client *client, loop_http_client_cb cb)
{
    if (client->closing)
        return;
    client->closing = true;
    client->close_cb = cb;
    struct loop_link *link = client->fetches.next;
    for (; link != &client->fetches; link = link->next)
        fetch_decide(loop_container_of(link, struct fetch, link), -ECANCELED);
    while (!list_empty(&client->idle))
        conn_leave(loop_container_of(client->idle.next, struct client_conn, kept));
    client_end_if_done(client);
}
