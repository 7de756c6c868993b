/* The timeline as text: one lane per phase, turn by turn.
 *
 * A line stands for a callback or for poll's sleep: when it began, in microseconds from the first
 * event, what it was, and behind the arrow the callback that caused it. A phase that had nothing to
 * do has no lane, but poll always has: how long it was allowed to sleep, and why not longer, is the
 * question that most readers of a loop ask first.
 *
 * Each line goes out as soon as it is known, before the loop goes on, so that a sleep can be
 * watched. That makes tracing slow, and the times are those of a traced program.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_SIZE = 320, NAME_SIZE = 48, DURATION_SIZE = 24 };

enum style { PLAIN, FAINT, STRONG };

/* By phase: distinct on dark and on light ground. */
static const int colours[] = {
    [LOOP_PHASE_NONE] = 90,  [LOOP_PHASE_TIMERS] = 33,  [LOOP_PHASE_PENDING] = 36,
    [LOOP_PHASE_IDLE] = 90,  [LOOP_PHASE_PREPARE] = 35, [LOOP_PHASE_POLL] = 34,
    [LOOP_PHASE_CHECK] = 32, [LOOP_PHASE_CLOSING] = 31,
};

static struct loop_trace_text *text_of(struct loop_trace *trace)
{
    return loop_container_of(trace, struct loop_trace_text, trace);
}

static void put(struct loop_trace_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct loop_trace_text *text, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    line[0] = '\0';
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    sys_write(text->fd, line, strlen(line));
}

/* "" on paper, an escape sequence on a terminal. */
static const char *style(const struct loop_trace_text *text, enum style wanted)
{
    static const char *const sequences[] = {
        [PLAIN] = "\033[0m", [FAINT] = "\033[2m", [STRONG] = "\033[1m"};
    return text->colour ? sequences[wanted] : "";
}

/* Three digits that matter, and a unit. */
static const char *duration(uint64_t ns, char *buffer)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{LOOP_SEC, "s"}, {LOOP_MS, "ms"}, {LOOP_US, "µs"}, {1, "ns"}};
    size_t i = 0;
    while (i < 3 && ns < units[i].ns)
        i++;
    double value = (double)ns / (double)units[i].ns;
    int decimals = units[i].ns <= LOOP_US || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    snprintf(buffer, DURATION_SIZE, "%.*f %s", decimals, value, units[i].name);
    return buffer;
}

/* "  timers   |     123 us  ", the lane's name only in its first line. */
static void begin_line(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    const char *name = text->lane_open ? "" : loop_phase_name((enum loop_phase)event->phase);
    uint64_t us = (event->time_ns - text->start_ns) / LOOP_US;
    text->lane_open = true;
    if (text->colour)
        put(text, "  \033[%dm%-8s\033[0m \033[%dm│\033[0m \033[2m%9llu µs\033[0m  ",
            colours[event->phase], name, colours[event->phase], (unsigned long long)us);
    else
        put(text, "  %-8s | %9llu µs  ", name, (unsigned long long)us);
}

static void end_line(struct loop_trace_text *text)
{
    put(text, "\n");
    if (text->pause_ns > 0)
        sys_pause_ns(text->pause_ns);
}

static void turn(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    text->turns++;
    put(text, "%sturn %llu%s\n", style(text, STRONG), (unsigned long long)event->turn,
        style(text, PLAIN));
}

static bool is_drained(const struct loop_trace_event *event)
{
    return strcmp(event->type, "tick") == 0 || strcmp(event->type, "microtask") == 0;
}

static void count(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    if (is_drained(event))
        text->tasks++;
    else
        text->callbacks[event->phase]++;
}

/* Only what there is to say: how late, who worked, who caused it. */
static void put_remarks(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    char time[DURATION_SIZE];
    char cause[NAME_SIZE] = "main";
    if (event->phase == LOOP_PHASE_TIMERS && !is_drained(event))
        put(text, "  %s late", duration((uint64_t)event->detail, time));
    if (event->id != 0 && event->id == text->work_id)
        put(text, "  worker %d, %s", (int)text->worker, duration(text->worked_ns, time));
    if (event->cause)
        loop_function_name(event->cause, cause, sizeof(cause));
    else if (strcmp(event->type, "posted task") == 0)
        snprintf(cause, sizeof(cause), "loop_post()");
    put(text, "%s  %s %s%s", style(text, FAINT), text->colour ? "←" : "<-", cause,
        style(text, PLAIN));
}

static void callback(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    char name[NAME_SIZE] = "?";
    char type[NAME_SIZE];
    bool closing = event->phase == LOOP_PHASE_CLOSING && !is_drained(event);
    count(text, event);
    loop_function_name(event->callback, name, sizeof(name));
    snprintf(type, sizeof(type), "%s%s%s", is_drained(event) ? "  " : "", closing ? "close " : "",
             event->type);
    begin_line(text, event);
    put(text, "%-14s %s%-24s%s", type, style(text, STRONG), name, style(text, PLAIN));
    put_remarks(text, event);
    end_line(text);
}

static void poll_begin(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    char time[DURATION_SIZE];
    text->poll_ns = event->time_ns;
    text->may_sleep = event->detail != 0;
    text->awake_ns += event->time_ns - text->last_ns;
    begin_line(text, event);
    const char *reason = loop_poll_reason_text((enum loop_poll_reason)event->reason);
    if (event->detail == 0)
        put(text, "does not sleep: %s", reason);
    else if (event->detail < 0)
        put(text, "sleeps without bound: %s", reason);
    else
        put(text, "sleeps at most %s: %s", duration((uint64_t)event->detail, time), reason);
    end_line(text);
}

static void poll_end(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    char time[DURATION_SIZE];
    uint64_t slept_ns = event->time_ns - text->poll_ns;
    text->asleep_ns += slept_ns;
    text->last_ns = event->time_ns;
    if (!text->may_sleep)
        return;
    begin_line(text, event);
    put(text, "slept %s, %lld ready", duration(slept_ns, time), (long long)event->detail);
    end_line(text);
}

static void work_done(struct loop_trace_text *text, const struct loop_trace_event *event)
{
    text->work_id = event->id;
    text->worker = event->detail;
    text->worked_ns = event->time_ns - text->work_ns;
}

static void emit(struct loop_trace *trace, const struct loop_trace_event *event)
{
    struct loop_trace_text *text = text_of(trace);
    if (!text->started)
        text->start_ns = text->last_ns = event->time_ns;
    text->started = true;
    switch (event->kind) {
    case LOOP_TRACE_TURN:
        turn(text, event);
        break;
    case LOOP_TRACE_PHASE:
        text->lane_open = false;
        break;
    case LOOP_TRACE_CALLBACK_BEGIN:
        callback(text, event);
        break;
    case LOOP_TRACE_POLL_BEGIN:
        poll_begin(text, event);
        break;
    case LOOP_TRACE_POLL_END:
        poll_end(text, event);
        break;
    case LOOP_TRACE_WORK_STARTED:
        text->work_ns = event->time_ns;
        break;
    case LOOP_TRACE_WORK_DONE:
        work_done(text, event);
        break;
    case LOOP_TRACE_RUN_BEGIN:
        text->lane_open = false;
        text->last_ns = event->time_ns;
        break;
    case LOOP_TRACE_RUN_END:
        text->awake_ns += event->time_ns - text->last_ns;
        break;
    default: /* what is started is seen when it runs */
        break;
    }
}

void loop_trace_text(struct loop *loop, struct loop_trace_text *text, int fd, bool colour)
{
    *text = (struct loop_trace_text){.trace.data = text->trace.data,
                                     .fd = fd,
                                     .colour = colour,
                                     .worker = -1};
    loop_trace_add(loop, &text->trace, emit);
}

void loop_trace_text_summary(struct loop_trace_text *text)
{
    char asleep[DURATION_SIZE];
    char awake[DURATION_SIZE];
    put(text, "%s%llu turns%s, asleep %s, awake %s; callbacks:", style(text, STRONG),
        (unsigned long long)text->turns, style(text, PLAIN), duration(text->asleep_ns, asleep),
        duration(text->awake_ns, awake));
    for (int phase = LOOP_PHASE_TIMERS; phase <= LOOP_PHASE_CLOSING; phase++)
        if (text->callbacks[phase] > 0)
            put(text, " %s %llu,", loop_phase_name((enum loop_phase)phase),
                (unsigned long long)text->callbacks[phase]);
    put(text, " ticks and microtasks %llu\n", (unsigned long long)text->tasks);
}
