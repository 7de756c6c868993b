/* The trace as Chrome's JSON, for Perfetto and speedscope.
 *
 * Turns, phases and callbacks are slices that nest on one track, the loop's. What a thread of the
 * pool did is a slice on a track of its own. An arrow leads from the callback that started, queued
 * or submitted something to the callback that came of it: a flow, whose number is the thing's id.
 *
 * Format: "Trace Event Format", the document that Chrome's trace viewer and Perfetto refer to.
 * Timestamps are microseconds with a fraction. Events are written as they come, through a small
 * buffer; what write(2) met first is told at the end.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

enum { RECORD_SIZE = 512, NAME_SIZE = 64, LOOP_TRACK = 1, POOL_TRACK = 100 };

static struct loop_trace_chrome *chrome_of(struct loop_trace *trace)
{
    return loop_container_of(trace, struct loop_trace_chrome, trace);
}

static void flush(struct loop_trace_chrome *chrome)
{
    size_t sent = 0;
    while (sent < chrome->used && !chrome->error) {
        ssize_t count = sys_write(chrome->fd, chrome->buffer + sent, chrome->used - sent);
        if (count < 0 && count != -EINTR)
            chrome->error = (int)count;
        else if (count > 0)
            sent += (size_t)count;
    }
    chrome->used = 0;
}

static void put(struct loop_trace_chrome *chrome, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct loop_trace_chrome *chrome, const char *format, ...)
{
    char record[RECORD_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(record, sizeof(record), format, arguments);
    va_end(arguments);
    if ((size_t)length >= sizeof(record))
        return; /* unreachable: names are cut before, and all else is numbers */
    if (chrome->used + (size_t)length > sizeof(chrome->buffer))
        flush(chrome);
    memcpy(chrome->buffer + chrome->used, record, (size_t)length);
    chrome->used += (size_t)length;
}

/* Microseconds as text, with a point in every locale. */
struct stamp {
    char text[32];
};

static struct stamp us(uint64_t ns)
{
    struct stamp stamp;
    snprintf(stamp.text, sizeof(stamp.text), "%llu.%03u", (unsigned long long)(ns / LOOP_US),
             (unsigned)(ns % LOOP_US));
    return stamp;
}

static void begin(struct loop_trace_chrome *chrome, const char *name, int track, uint64_t time_ns)
{
    put(chrome, ",\n{\"ph\":\"B\",\"pid\":1,\"tid\":%d,\"ts\":%s,\"name\":\"%s\"}", track,
        us(time_ns).text, name);
    chrome->depth += track == LOOP_TRACK;
    chrome->last_ns = time_ns;
}

/* A sink that was added in a callback sees ends whose beginnings it has not seen. */
static void end(struct loop_trace_chrome *chrome, int track, uint64_t time_ns)
{
    if (track == LOOP_TRACK && chrome->depth == 0)
        return;
    put(chrome, ",\n{\"ph\":\"E\",\"pid\":1,\"tid\":%d,\"ts\":%s}", track, us(time_ns).text);
    chrome->depth -= track == LOOP_TRACK;
    chrome->last_ns = time_ns;
}

/* ph "s": the arrow begins here; "f": it ends here, in the slice that has just begun. */
static void arrow(struct loop_trace_chrome *chrome, const char *ph,
                  const struct loop_trace_event *event)
{
    put(chrome,
        ",\n{\"ph\":\"%s\",\"bp\":\"e\",\"pid\":1,\"tid\":%d,\"ts\":%s,\"id\":%u,"
        "\"cat\":\"cause\",\"name\":\"%s\"}",
        ph, LOOP_TRACK, us(event->time_ns).text, event->id, event->type);
}

static void end_phase(struct loop_trace_chrome *chrome, uint64_t time_ns)
{
    if (chrome->in_phase)
        end(chrome, LOOP_TRACK, time_ns);
    chrome->in_phase = false;
}

static void end_turn(struct loop_trace_chrome *chrome, uint64_t time_ns)
{
    end_phase(chrome, time_ns);
    if (chrome->in_turn)
        end(chrome, LOOP_TRACK, time_ns);
    chrome->in_turn = false;
}

static void turn(struct loop_trace_chrome *chrome, const struct loop_trace_event *event)
{
    char name[NAME_SIZE];
    end_turn(chrome, event->time_ns);
    snprintf(name, sizeof(name), "turn %llu", (unsigned long long)event->turn);
    begin(chrome, name, LOOP_TRACK, event->time_ns);
    chrome->in_turn = true;
}

static void phase(struct loop_trace_chrome *chrome, const struct loop_trace_event *event)
{
    end_phase(chrome, event->time_ns);
    begin(chrome, loop_phase_name((enum loop_phase)event->phase), LOOP_TRACK, event->time_ns);
    chrome->in_phase = true;
}

static void callback(struct loop_trace_chrome *chrome, const struct loop_trace_event *event)
{
    char name[NAME_SIZE];
    loop_function_name(event->callback, name, sizeof(name));
    begin(chrome, name, LOOP_TRACK, event->time_ns);
    if (event->cause)
        arrow(chrome, "f", event);
}

static void poll_begin(struct loop_trace_chrome *chrome, const struct loop_trace_event *event)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof(name), "%s: %s", event->detail == 0 ? "no sleep" : "sleep",
             loop_poll_reason_text((enum loop_poll_reason)event->reason));
    begin(chrome, name, LOOP_TRACK, event->time_ns);
}

static void work_started(struct loop_trace_chrome *chrome, const struct loop_trace_event *event)
{
    int track = POOL_TRACK + (int)event->detail;
    put(chrome,
        ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\","
        "\"args\":{\"name\":\"worker %d\"}}",
        track, (int)event->detail);
    begin(chrome, event->type, track, event->time_ns);
}

static void emit(struct loop_trace *trace, const struct loop_trace_event *event)
{
    struct loop_trace_chrome *chrome = chrome_of(trace);
    switch (event->kind) {
    case LOOP_TRACE_TURN:
        turn(chrome, event);
        break;
    case LOOP_TRACE_PHASE:
        phase(chrome, event);
        break;
    case LOOP_TRACE_CALLBACK_BEGIN:
        callback(chrome, event);
        break;
    case LOOP_TRACE_POLL_BEGIN:
        poll_begin(chrome, event);
        break;
    case LOOP_TRACE_CALLBACK_END:
    case LOOP_TRACE_POLL_END:
        end(chrome, LOOP_TRACK, event->time_ns);
        break;
    case LOOP_TRACE_WORK_STARTED:
        work_started(chrome, event);
        break;
    case LOOP_TRACE_WORK_DONE:
        end(chrome, POOL_TRACK + (int)event->detail, event->time_ns);
        break;
    case LOOP_TRACE_STARTED:
    case LOOP_TRACE_QUEUED:
    case LOOP_TRACE_SUBMITTED:
    case LOOP_TRACE_CLOSING:
        arrow(chrome, "s", event);
        break;
    case LOOP_TRACE_RUN_END:
        end_turn(chrome, event->time_ns);
        break;
    default: /* stopped, closed: nothing to draw */
        break;
    }
}

void loop_trace_chrome(struct loop *loop, struct loop_trace_chrome *chrome, int fd)
{
    *chrome = (struct loop_trace_chrome){.trace.data = chrome->trace.data, .fd = fd};
    put(chrome,
        "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
        "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"libloop\"}},\n"
        "{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"loop\"}}",
        LOOP_TRACK);
    loop_trace_add(loop, &chrome->trace, emit);
}

int loop_trace_chrome_finish(struct loop_trace_chrome *chrome)
{
    while (chrome->depth > 0)
        end(chrome, LOOP_TRACK, chrome->last_ns);
    put(chrome, "\n]}\n");
    flush(chrome);
    return chrome->error;
}
