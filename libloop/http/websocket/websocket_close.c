/* The end of a WebSocket: close frames, broken rules, lost connections.
 *
 * Each side sends one close frame, and the connection is closed by the server once both have gone
 * (RFC 6455, 7.1). If the peer breaks a rule it is told so and sent the end of our stream, but
 * reading goes on, and what comes is thrown away, until it goes too: a connection that is closed
 * with bytes unread is reset by the kernel, and the reset would overtake the close frame.
 *
 * All of that takes close_ns at most, then the connection is reset. What is noted first, a code or
 * an error, is what on_close says.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <string.h>

void websocket_note(struct loop_websocket *ws, unsigned code, const char *reason, size_t size,
                    int error)
{
    if (ws->code != 0)
        return;
    ws->code = (uint16_t)code;
    ws->error = error;
    if (size > 0)
        memcpy(ws->reason, reason, size);
    ws->reason[size] = '\0';
}

/* No longer open: nothing is sent any more, no message told, and there is an end to waiting. */
static void begin_closing(struct loop_websocket *ws)
{
    if (ws->state == LOOP_WEBSOCKET_OPEN)
        websocket_deadline(ws, ws->options.close_ns);
    ws->state = LOOP_WEBSOCKET_CLOSING;
    if (websocket_is(ws, WEBSOCKET_DEFLATES))
        websocket_inflate_drop(ws);
    loop_websocket_leave(ws);
}

/* 0 bytes: without a code. */
static void say_close(struct loop_websocket *ws, const char *bytes, size_t size)
{
    begin_closing(ws);
    int status = websocket_wire_write(ws->wire, WSLAY_CONNECTION_CLOSE, bytes, size, true);
    if (status < 0)
        websocket_drop(ws, status);
}

/* What a close frame says. Its size. */
static size_t compose(char frame[WEBSOCKET_CONTROL_MAX], unsigned code, const char *reason)
{
    if (code == 0)
        return 0;
    size_t size = strlen(reason);
    frame[0] = (char)(code >> 8);
    frame[1] = (char)(code & 0xff);
    memcpy(frame + 2, reason, size);
    return 2 + size;
}

/* --- broken rules --- */

static const char *sentence(unsigned code, int *error)
{
    switch (code) {
    case LOOP_WEBSOCKET_BAD_DATA:
        *error = -EILSEQ;
        return "text that is not UTF-8";
    case LOOP_WEBSOCKET_TOO_BIG:
        *error = -EMSGSIZE;
        return "a message over the limit";
    case LOOP_WEBSOCKET_INTERNAL_ERROR:
        *error = -ENOMEM;
        return "out of memory";
    default:
        *error = -EPROTO;
        return "not the WebSocket protocol";
    }
}

void websocket_fail(struct loop_websocket *ws, unsigned code)
{
    int error = 0;
    const char *reason = sentence(code, &error);
    if (code == LOOP_WEBSOCKET_BAD_DATA && websocket_is_garbled(ws)) {
        error = -EBADMSG;
        reason = "data that does not inflate";
    }
    char frame[WEBSOCKET_CONTROL_MAX];
    websocket_note(ws, code, reason, strlen(reason), error);
    websocket_set(ws, WEBSOCKET_DEAF);
    if (ws->state == LOOP_WEBSOCKET_OPEN)
        say_close(ws, frame, compose(frame, code, reason));
    int status = link_shutdown(ws->link);
    if (status < 0)
        websocket_drop(ws, status);
}

/* --- the peer's close frame --- */

/* Its code, or the one to fail with. */
static unsigned read_close(const char *bytes, size_t size, unsigned *code)
{
    *code = LOOP_WEBSOCKET_NO_CODE;
    if (size == 0)
        return 0;
    if (size == 1)
        return LOOP_WEBSOCKET_PROTOCOL_ERROR;
    *code = (unsigned)(uint8_t)bytes[0] << 8 | (uint8_t)bytes[1];
    if (!websocket_code_valid(*code))
        return LOOP_WEBSOCKET_PROTOCOL_ERROR;
    return utf8_valid(bytes + 2, size - 2) ? 0 : LOOP_WEBSOCKET_BAD_DATA;
}

void websocket_close_came(struct loop_websocket *ws, const char *bytes, size_t size)
{
    unsigned code;
    unsigned verdict = read_close(bytes, size, &code);
    if (verdict != 0) {
        websocket_fail(ws, verdict);
        return;
    }
    websocket_note(ws, code, size > 2 ? bytes + 2 : "", size > 2 ? size - 2 : 0, 0);
    websocket_set(ws, WEBSOCKET_DEAF);
    if (ws->state == LOOP_WEBSOCKET_OPEN)
        say_close(ws, bytes, size > 2 ? 2 : size);
    if (!websocket_is(ws, WEBSOCKET_CLIENT))
        link_close(ws->link);
}

/* --- the link --- */

void websocket_ended(struct link *link, int status)
{
    struct loop_websocket *ws = link->owner;
    websocket_note(ws, LOOP_WEBSOCKET_ABNORMAL, "", 0, status);
    begin_closing(ws);
    websocket_set(ws, WEBSOCKET_DEAF);
    if (status == LOOP_EOF)
        link_close(link);
    else
        link_reset(link);
}

void websocket_drop(struct loop_websocket *ws, int error)
{
    websocket_note(ws, LOOP_WEBSOCKET_ABNORMAL, "", 0, error);
    if (ws->dialler) {
        websocket_dialler_stop(ws);
        return;
    }
    begin_closing(ws);
    websocket_set(ws, WEBSOCKET_DEAF);
    loop_timer_stop(&ws->timer);
    link_reset(ws->link);
}

/* --- the user --- */

int loop_websocket_close(struct loop_websocket *ws, unsigned code, const char *reason)
{
    char frame[WEBSOCKET_CONTROL_MAX];
    reason = reason ? reason : "";
    size_t size = strlen(reason);
    if ((code != 0 && !websocket_code_valid(code)) || (code == 0 && size > 0) ||
        size > WEBSOCKET_REASON_MAX || !utf8_valid(reason, size))
        return -EINVAL;
    if (ws->state == LOOP_WEBSOCKET_CLOSED || ws->state == LOOP_WEBSOCKET_CLOSING)
        return -EALREADY;
    if (ws->state == LOOP_WEBSOCKET_CONNECTING) {
        websocket_drop(ws, -ECANCELED);
        return 0;
    }
    say_close(ws, frame, compose(frame, code, reason));
    websocket_read_soon(ws);
    return 0;
}

void loop_websocket_reset(struct loop_websocket *ws)
{
    if (ws->state != LOOP_WEBSOCKET_CLOSED)
        websocket_drop(ws, -ECANCELED);
}
