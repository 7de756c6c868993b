/* Connecting by name: a race of attempts (RFC 8305).
 *
 * The user's half is a request of the stream that is to be connected, so closing, cancelling and
 * deadlines are those of any connect. The library's half is the race: the look-up, a timer, and for
 * each address a TCP handle of its own. The first that connects gives its socket to the user's
 * handle. A race outlives its user's half for as long as a look-up has to be dropped or a losing
 * attempt to be closed, and frees itself behind the last.
 *
 * An attempt that fails starts the next at once; one that is merely slow is joined by it after
 * 250 ms, the delay that the RFC recommends, and goes on.
 *
 * SPDX-License-Identifier: MIT */
#include "handles/stream.h"
#include "loop/dial.h"
#include "loop/dns.h"

enum { ATTEMPT_DELAY_MS = 250 };

struct attempt {
    struct loop_tcp tcp;
    struct loop_connect connect;
    struct loop_dial_race *race;
    struct loop_address address;
};

struct loop_dial_race {
    struct loop *loop;
    struct loop_dial *dial; /* NULL: it is over */
    struct loop_getaddrinfo lookup;
    struct loop_timer next;   /* when the next attempt joins in */
    struct attempt *attempts; /* one for each address */
    size_t count;
    size_t started;
    size_t failed;
    size_t holds; /* the user, the look-up, and attempts that are not closed */
};

static void start_next(struct loop_dial_race *race);

static void release(struct loop_dial_race *race)
{
    const struct loop_allocator *allocator = &race->loop->options.allocator;
    if (--race->holds > 0)
        return;
    memory_resize(allocator, race->attempts, 0);
    memory_resize(allocator, race, 0);
}

static void on_closed(struct loop_handle *handle)
{
    release(loop_container_of(handle, struct attempt, tcp.handle)->race);
}

/* For the user: what is left of it comes to its end by itself. */
static void end(struct loop_dial_race *race)
{
    race->dial = NULL;
    loop_timer_stop(&race->next);
    loop_request_cancel(&race->lookup.request);
    for (size_t i = 0; i < race->started; i++)
        if (!loop_is_closing(&race->attempts[i].tcp.handle))
            loop_close(&race->attempts[i].tcp.handle, on_closed);
    release(race);
}

static void complete(struct loop_request *request)
{
    struct loop_dial *dial = loop_container_of(request, struct loop_dial, request);
    list_remove(&dial->common.link);
    end(dial->race);
    callback_begin(request->loop, request_subject(request, (loop_function)dial->cb), 0);
    dial->cb(dial, dial->common.status);
    callback_end(request->loop);
}

static void cancel(struct loop_request *request, int status)
{
    stream_decide(stream_request_of(request), status);
}

static const struct loop_request_ops dial_ops = {.type = "dial",
                                                 .complete = complete,
                                                 .cancel = cancel,
                                                 .expect = stream_request_expect};

/* Also if the handle is closing: the request is told so only when it is closed, and a socket that
 * was won meanwhile would be nobody's. */
static bool is_over(const struct loop_dial_race *race)
{
    if (!race->dial)
        return true;
    const struct loop_stream *stream = race->dial->common.stream;
    return stream->connect != &race->dial->common || loop_is_closing(&stream->handle);
}

static void win(struct loop_dial_race *race, struct attempt *attempt)
{
    struct loop_stream *stream = race->dial->common.stream;
    stream_adopt(stream, loop_stream_detach(&attempt->tcp.stream), &socket_io);
    stream_decide(&race->dial->common, 0);
}

static void fail(struct loop_dial_race *race, int error)
{
    race->failed++;
    if (race->failed == race->count)
        stream_decide(&race->dial->common, error);
    else if (race->started < race->count)
        start_next(race);
}

static void on_connected(struct loop_connect *connect, int status)
{
    struct attempt *attempt = loop_container_of(connect, struct attempt, connect);
    if (is_over(attempt->race))
        return;
    if (status == 0)
        win(attempt->race, attempt);
    else
        fail(attempt->race, status);
}

static void start_next(struct loop_dial_race *race)
{
    struct attempt *attempt = &race->attempts[race->started++];
    attempt->race = race;
    race->holds++;
    loop_tcp_init(race->loop, &attempt->tcp);
    if (race->started < race->count)
        deadline_by(&race->next, deadline_after(race->loop, ATTEMPT_DELAY_MS * LOOP_MS));
    int error = loop_tcp_connect(&attempt->tcp, &attempt->connect, &attempt->address, on_connected);
    if (error)
        fail(race, error);
}

static void on_delay(struct loop_timer *timer)
{
    struct loop_dial_race *race = loop_container_of(timer, struct loop_dial_race, next);
    if (!is_over(race) && race->started < race->count)
        start_next(race);
}

/* The best address of the wanted family that has no attempt yet, or of the other. */
static size_t pick(const struct loop_address *addresses, const bool *taken, size_t count,
                   sa_family_t family)
{
    size_t other = count;
    for (size_t i = 0; i < count; i++) {
        if (!taken[i] && addresses[i].any.sa_family == family)
            return i;
        if (!taken[i] && other == count)
            other = i;
    }
    return other;
}

/* RFC 8305, section 4: the families take turns. */
static void interleave(struct loop_dial_race *race, const struct loop_address *addresses,
                       bool *taken)
{
    sa_family_t family = addresses[0].any.sa_family;
    for (size_t i = 0; i < race->count; i++) {
        size_t picked = pick(addresses, taken, race->count, family);
        taken[picked] = true;
        race->attempts[i].address = addresses[picked];
        family = addresses[picked].any.sa_family == AF_INET ? AF_INET6 : AF_INET;
    }
}

/* Room for the attempts, and behind them for a mark on each address. */
static int prepare(struct loop_dial_race *race, const struct loop_address *addresses, size_t count)
{
    size_t size = count * (sizeof(struct attempt) + sizeof(bool));
    race->attempts = memory_resize(&race->loop->options.allocator, NULL, size);
    if (!race->attempts)
        return -ENOMEM;
    memset(race->attempts, 0, size);
    race->count = count;
    interleave(race, addresses, (bool *)(race->attempts + count));
    return 0;
}

static void on_resolved(struct loop_getaddrinfo *lookup)
{
    struct loop_dial_race *race = loop_container_of(lookup, struct loop_dial_race, lookup);
    if (!is_over(race)) {
        int error =
            lookup->status ? lookup->status : prepare(race, lookup->addresses, lookup->count);
        if (error)
            stream_decide(&race->dial->common, error);
        else
            start_next(race);
    }
    release(race);
}

static int start(struct loop_dial_race *race, const char *host, const char *service)
{
    struct loop_dns_hints hints = {.socket_type = SOCK_STREAM};
    return loop_getaddrinfo(race->loop, &race->lookup, host, service, &hints, on_resolved);
}

int loop_dial(struct loop_tcp *tcp, struct loop_dial *dial, const char *host, const char *service,
              loop_dial_cb cb)
{
    int error = tcp && dial && host && service && cb ? stream_vacant(&tcp->stream) : -EINVAL;
    if (error)
        return error;
    request_check(&dial->request, &dial_ops);
    struct loop *loop = tcp->handle.loop;
    struct loop_dial_race *race =
        memory_resize(&loop->options.allocator, NULL, sizeof(struct loop_dial_race));
    if (!race)
        return -ENOMEM;
    *race = (struct loop_dial_race){.loop = loop, .dial = dial, .holds = 2};
    deadline_init(loop, &race->next, on_delay);
    error = start(race, host, service);
    if (error) {
        memory_resize(&loop->options.allocator, race, 0);
        return error;
    }
    dial->race = race;
    dial->cb = cb;
    stream_request_init(&tcp->stream, &dial->common);
    request_start(loop, &dial->request, &dial_ops, (loop_function)cb);
    tcp->stream.connect = &dial->common;
    return 0;
}
