/* A trace as text and one for Chrome, into files. That the second could not be written is told
 * when it is finished, once, by its first error; of the first nobody is told, since a timeline
 * for the eye must not change what it shows. The names of functions are looked up in the
 * program's own symbol table, which may be missing or unreadable: a name is then a question
 * mark.
 *
 * SPDX-License-Identifier: MIT */
#include "../torture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct loop_trace_text text;
static struct loop_trace_chrome chrome;
static struct loop_timer timer;
static FILE *text_file, *chrome_file;
static bool fired, finished;

static void on_timer(struct loop_timer *handle)
{
    struct loop *loop = handle->handle.loop;
    fired = true;
    loop_trace_text_summary(&text);
    loop_trace_remove(loop, &text.trace);
    loop_trace_remove(loop, &chrome.trace);
    finished = ok(loop_trace_chrome_finish(&chrome));
}

static void start(struct loop *loop)
{
    fired = finished = false;
    text_file = tmpfile();
    chrome_file = tmpfile();
    if (!text_file || !chrome_file)
        abort();
    memset(&text, 0, sizeof(text));
    memset(&chrome, 0, sizeof(chrome));
    loop_trace_text(loop, &text, fileno(text_file), true);
    loop_trace_chrome(loop, &chrome, fileno(chrome_file));
    loop_timer_init(loop, &timer);
    ok(loop_timer_start(&timer, LOOP_MS, 0, on_timer));
}

static bool done(void)
{
    return fired && finished;
}

static void clean(void)
{
    fclose(text_file);
    fclose(chrome_file);
}

const struct scenario trace_scenario = {
    .name = "trace", .clock = LOOP_CLOCK_VIRTUAL, .start = start, .done = done, .clean = clean};
