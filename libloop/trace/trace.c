/* Tracing: what the loop does, told to whoever asked.
 *
 * The loop and its handles call trace() at each step of their lives; with no sink that is a branch.
 * With one, an event is made on the stack and shown to each sink in turn. An event is a value of
 * fixed size with no pointer into the loop but constants and code, so a ring of them can be read
 * when all that they speak of is long freed.
 *
 * A callback is known by its address; symbol.c makes a name of it, when somebody wants to read it.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

/* What LOOP_TRACE asked for: a sink of the library's own. */
struct environment_trace {
    struct loop_trace_text text;
    struct loop_trace_chrome chrome;
    int fd; /* of the Chrome trace; -1: text */
};

void loop_trace_add(struct loop *loop, struct loop_trace *trace, loop_trace_cb emit)
{
    struct loop_trace **end = &loop->trace;
    while (*end)
        end = &(*end)->next;
    trace->emit = emit;
    trace->next = NULL;
    *end = trace;
}

void loop_trace_remove(struct loop *loop, struct loop_trace *trace)
{
    struct loop_trace **link = &loop->trace;
    while (*link && *link != trace)
        link = &(*link)->next;
    if (*link)
        *link = trace->next;
}

static void emit(struct loop *loop, struct loop_trace_event *event)
{
    event->turn = loop->turn;
    event->phase = (uint8_t)loop->phase;
    for (struct loop_trace *trace = loop->trace; trace; trace = trace->next)
        trace->emit(trace, event);
}

static struct loop_trace_event event_of(enum loop_trace_kind kind, struct subject subject,
                                        uint64_t time_ns, int64_t detail)
{
    return (struct loop_trace_event){.time_ns = time_ns,
                                     .detail = detail,
                                     .type = subject.type,
                                     .callback = subject.callback,
                                     .cause = subject.cause,
                                     .id = subject.id,
                                     .kind = (uint8_t)kind};
}

void trace_event(struct loop *loop, enum loop_trace_kind kind, struct subject subject,
                 int64_t detail)
{
    struct loop_trace_event event = event_of(kind, subject, clock_read(loop), detail);
    emit(loop, &event);
}

void trace_poll(struct loop *loop, struct poll_limit limit)
{
    if (!loop->trace)
        return;
    uint64_t now_ns = clock_read(loop);
    uint64_t wait_ns = limit.until_ns > now_ns ? limit.until_ns - now_ns : 0;
    int64_t detail = limit.until_ns == LOOP_NEVER ? -1 : (int64_t)wait_ns;
    struct loop_trace_event event =
        event_of(LOOP_TRACE_POLL_BEGIN, (struct subject){0}, now_ns, detail);
    event.reason = (uint8_t)limit.reason;
    emit(loop, &event);
}

/* Threads read the monotonic clock, which is not every loop's. */
void trace_work(struct loop *loop, enum loop_trace_kind kind, struct subject subject,
                uint64_t time_ns, uint32_t worker)
{
    bool same_clock = loop->options.clock == LOOP_CLOCK_MONOTONIC;
    struct loop_trace_event event =
        event_of(kind, subject, same_clock ? time_ns : clock_read(loop), worker);
    if (loop->trace)
        emit(loop, &event);
}

static void keep(struct loop_trace *trace, const struct loop_trace_event *event)
{
    struct loop_trace_ring *ring = loop_container_of(trace, struct loop_trace_ring, trace);
    ring->events[ring->count++ % ring->size] = *event;
}

void loop_trace_ring(struct loop *loop, struct loop_trace_ring *ring,
                     struct loop_trace_event *events, size_t size)
{
    *ring = (struct loop_trace_ring){.events = events, .size = size};
    loop_trace_add(loop, &ring->trace, keep);
}

const char *loop_phase_name(enum loop_phase phase)
{
    static const char *const names[] = {
        [LOOP_PHASE_NONE] = "outside",    [LOOP_PHASE_TIMERS] = "timers",
        [LOOP_PHASE_PENDING] = "pending", [LOOP_PHASE_IDLE] = "idle",
        [LOOP_PHASE_PREPARE] = "prepare", [LOOP_PHASE_POLL] = "poll",
        [LOOP_PHASE_CHECK] = "check",     [LOOP_PHASE_CLOSING] = "closing",
    };
    return phase <= LOOP_PHASE_CLOSING ? names[phase] : "unknown";
}

const char *loop_poll_reason_text(enum loop_poll_reason reason)
{
    static const char *const texts[] = {
        [LOOP_POLL_NOWAIT] = "was told not to wait",
        [LOOP_POLL_IDLE] = "an idle hook is active",
        [LOOP_POLL_TASK] = "an immediate is queued",
        [LOOP_POLL_POSTED] = "something was posted",
        [LOOP_POLL_PENDING] = "a completion is pending",
        [LOOP_POLL_CLOSING] = "a handle is closing",
        [LOOP_POLL_NOT_ALIVE] = "nothing is left to wait for",
        [LOOP_POLL_LOST] = "a descriptor was closed behind its handle",
        [LOOP_POLL_TIMER] = "the next timer",
        [LOOP_POLL_EVENTS] = "no timer, only events",
    };
    return reason <= LOOP_POLL_EVENTS ? texts[reason] : "unknown";
}

static void complain(const char *about, const char *why)
{
    char line[256];
    int length = snprintf(line, sizeof(line), "libloop: LOOP_TRACE=%.128s: %s\n", about, why);
    sys_write(STDERR_FILENO, line, (size_t)length);
}

/* The first loop of the process has the file itself, others the file with a number behind it. */
static int open_chrome(const char *path)
{
    static uint32_t loops;
    char numbered[4096];
    uint32_t number = atomic_add(&loops, 1) + 1;
    int length = number == 1 ? snprintf(numbered, sizeof(numbered), "%s", path)
                             : snprintf(numbered, sizeof(numbered), "%s.%u", path, number);
    if ((size_t)length >= sizeof(numbered))
        return -ENAMETOOLONG;
    return sys_open(numbered, O_WRONLY | O_CREAT | O_TRUNC, 0666);
}

/* A program must not fail because it cannot be traced: what is wrong is said, and it runs on. */
void trace_from_environment(struct loop *loop)
{
    static const char chrome[] = "chrome:";
    const char *asked = sys_environment("LOOP_TRACE");
    if (!asked || !*asked)
        return;
    bool text = strcmp(asked, "text") == 0;
    if (!text && strncmp(asked, chrome, strlen(chrome)) != 0) {
        complain(asked, "unknown; use text or chrome:FILE");
        return;
    }
    struct environment_trace *own = memory_resize(&loop->options.allocator, NULL, sizeof(*own));
    int fd = text || !own ? -ENOMEM : open_chrome(asked + strlen(chrome));
    if (!own || (!text && fd < 0)) {
        complain(asked, loop_strerror(fd));
        memory_resize(&loop->options.allocator, own, 0);
        return;
    }
    own->fd = fd;
    loop->environment_trace = own;
    if (text)
        loop_trace_text(loop, &own->text, STDERR_FILENO,
                        sys_is_terminal(STDERR_FILENO) && !sys_environment("NO_COLOR"));
    else
        loop_trace_chrome(loop, &own->chrome, fd);
}

void trace_fini(struct loop *loop)
{
    struct environment_trace *own = loop->environment_trace;
    if (!own)
        return;
    if (own->fd < 0) {
        loop_trace_text_summary(&own->text);
    } else {
        loop_trace_remove(loop, &own->chrome.trace);
        int error = loop_trace_chrome_finish(&own->chrome);
        if (error)
            complain(sys_environment("LOOP_TRACE"), loop_strerror(error));
        sys_close(own->fd);
    }
    loop->trace = NULL;
    memory_resize(&loop->options.allocator, own, 0);
    loop->environment_trace = NULL;
}
