/* Public. WebSockets (RFC 6455), of servers and clients, plain and by TLS. Part of libloop-http.
 *
 * A struct loop_websocket is the caller's memory, all zero at first, lent from the call that opens
 * it, loop_websocket_accept() or loop_websocket_connect(), until its close callback, which comes
 * exactly once however the connection ends. In between no callback needs to ask whether the socket
 * is still there: what is sent when it is not is refused with -EPIPE, and that is all.
 *
 * Messages come whole, unmasked and checked: text is UTF-8, none is larger than the limit. What
 * breaks the protocol closes the connection with the code that the RFC has for it. Pings are
 * answered by the library, and sent by it when the peer has been silent for a while; who does not
 * answer is given up. So a connection whose peer has vanished does not stay for ever.
 *
 * With options.deflate, and if the peer agrees, messages of a kibibyte or more are deflated when
 * that makes them smaller; those sent in parts are not. Limits hold for what is inflated.
 *
 * Callbacks come on the loop's thread, in the poll phase but where said otherwise, and never inside
 * a function of this header. Whatever is called in them, the socket stays valid until on_close.
 * An open socket keeps the loop alive.
 *
 * Functions that return int: 0, or a negative errno with nothing done.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_WEBSOCKET_H
#define LOOP_WEBSOCKET_H

#include "http.h"
#include "task.h"

struct link;
struct loop_websocket;
struct loop_websocket_group;
struct websocket_dialler;
struct websocket_wire;

/* What a message holds. */
enum loop_websocket_type {
    LOOP_WEBSOCKET_TEXT = 1, /* UTF-8 */
    LOOP_WEBSOCKET_BINARY = 2,
};

enum loop_websocket_state {
    LOOP_WEBSOCKET_CLOSED, /* also before it was ever opened */
    LOOP_WEBSOCKET_CONNECTING,
    LOOP_WEBSOCKET_OPEN,
    LOOP_WEBSOCKET_CLOSING, /* one side has said so; only on_close comes any more */
};

/* The codes of RFC 6455, 7.4.1. 3000 to 4999 are for libraries and for you. */
enum loop_websocket_code {
    LOOP_WEBSOCKET_NORMAL = 1000,
    LOOP_WEBSOCKET_GOING_AWAY = 1001,
    LOOP_WEBSOCKET_PROTOCOL_ERROR = 1002,
    LOOP_WEBSOCKET_UNSUPPORTED = 1003,
    LOOP_WEBSOCKET_NO_CODE = 1005,  /* never sent: the peer closed without giving a code */
    LOOP_WEBSOCKET_ABNORMAL = 1006, /* never sent: the connection was lost */
    LOOP_WEBSOCKET_BAD_DATA = 1007, /* text that is not UTF-8 */
    LOOP_WEBSOCKET_POLICY = 1008,
    LOOP_WEBSOCKET_TOO_BIG = 1009,
    LOOP_WEBSOCKET_INTERNAL_ERROR = 1011,
};

/* It is open: messages may come from now on. For a server in a tick behind the accepting callback,
 * for a client when the server's answer has been checked. */
typedef void (*loop_websocket_cb)(struct loop_websocket *ws);

/* A whole message, lent until the callback returns; behind it stands a 0. */
typedef void (*loop_websocket_message_cb)(struct loop_websocket *ws, enum loop_websocket_type type,
                                          const char *bytes, size_t size);

/* A piece of a message, as it comes: pieces are not the frames of the peer. ends: it was the last,
 * and may be empty. Text has been checked, but a piece may end inside a character. */
typedef void (*loop_websocket_piece_cb)(struct loop_websocket *ws, enum loop_websocket_type type,
                                        const char *bytes, size_t size, bool ends);

/* The answer to a loop_websocket_ping(), or one that nobody asked for. Those to the library's own
 * pings do not come here. */
typedef void (*loop_websocket_pong_cb)(struct loop_websocket *ws, const char *bytes, size_t size);

/* In the closing phase, once, and last: the memory is yours again. code and reason (UTF-8, lent,
 * with a 0 behind) are those of the peer's close frame; or those that the library closed with; or
 * LOOP_WEBSOCKET_ABNORMAL, and ws->error says why. A client that never opened is told of here. */
typedef void (*loop_websocket_close_cb)(struct loop_websocket *ws, unsigned code,
                                        const char *reason);

/* May this origin open a socket? */
typedef bool (*loop_websocket_origin_cb)(const struct loop_http_request *req, const char *origin);

/* All zero means all defaults. Copied, but for what it points to, which must stay until on_close.
 * Any callback may be NULL: what it would tell is dropped. */
struct loop_websocket_options {
    loop_websocket_cb on_open;
    loop_websocket_message_cb on_message;
    loop_websocket_piece_cb on_piece; /* instead of on_message: nothing is gathered */
    loop_websocket_cb on_drain;       /* few bytes wait again, after a send that returned 1 */
    loop_websocket_pong_cb on_pong;
    loop_websocket_close_cb on_close;

    uint64_t message_bytes; /* 1 MiB (with on_piece: any number), then 1009 */
    uint64_t ping_ns;       /* silent so long, the peer is pinged: 30 s; LOOP_NEVER: it is not */
    uint64_t pong_ns;       /* and so long after that it is given up: 10 s */
    uint64_t stall_ns;      /* so long without taking what waits, too: 30 s */
    uint64_t close_ns;      /* from the close frame to the end of the connection: 10 s */
    const char *const *protocols; /* subprotocols, the best first, ending in NULL; or NULL */
    bool deflate;                 /* messages may be deflated, if the peer agrees: RFC 7692 */

    /* servers: see loop_websocket_accept() */
    const char *const *origins; /* "https://example.com", ending in NULL; or NULL */
    loop_websocket_origin_cb check_origin;

    /* clients */
    uint64_t open_ns;                       /* from the look-up to the server's answer: 30 s */
    struct loop_tls_context *tls;           /* for wss: */
    const struct loop_http_header *headers; /* more to send, ending in a name NULL; or NULL */
};

struct loop_websocket {
    void *data; /* yours */

    /* read-only */
    struct loop *loop;
    enum loop_websocket_state state;
    const char *protocol; /* the one of options.protocols that was agreed on; or NULL */
    int error;            /* in on_close: 0, or a negative errno: what went wrong */
    int status;           /* of a client: the status of the HTTP response; 0: none came */
    struct loop_websocket_options options; /* with the defaults filled in */

    /* private */
    struct link *link;                  /* to the peer; NULL: it is closed */
    struct websocket_wire *wire;        /* frames in and out */
    struct websocket_dialler *dialler;  /* of a client that is connecting */
    struct loop_websocket_group *group; /* or NULL */
    struct loop_link member;
    struct loop_timer timer;   /* until it is open, silent, or closed: by state */
    struct loop_task opening;  /* says on_open */
    struct loop_task resuming; /* reads what is held */
    char *message;             /* what has come of a message */
    size_t message_size, message_capacity;
    char *held; /* came, and not read yet: before on_open, or while paused */
    size_t held_at, held_size;
    uint64_t heard_ns;  /* when the last byte came */
    uint64_t pinged_ns; /* when we last asked */
    uint16_t code;      /* for on_close */
    char reason[124];
    char answer[125]; /* for a ping that came when too much waited */
    uint8_t answer_size;
    bool answer_due;
    uint16_t flags;
};

/* --- opening --- */

/* Whether a request asks for a WebSocket, well or badly: those that do not may get a page. */
LOOP_API bool loop_websocket_wanted(const struct loop_http_request *req);

/* In the request callback: checks the handshake, answers it with the headers that were set
 * on res, and takes the connection over. Whatever it returns the exchange is over: req and res must
 * not be touched any more. With an error ws is still yours, on_close does not come, and the client
 * has been answered: -EPROTO (no handshake: 400, 405, or 426 for another version), -EACCES (its
 * origin: 403), -ENOMEM (503), -EPIPE (it has gone).
 *
 * A browser says which page opens a socket, and sends the user's cookies along whatever page it is.
 * So an Origin must be on the list origins, where "*" stands for any; if there is none, please
 * check_origin; and if that is NULL, have the host of the request. Without an Origin it is no
 * browser, and is let in: check_origin is asked all the same, with NULL.
 *
 * The limits and the statistics of the server do not hold for the connection any more, its close
 * does: the socket is closed with LOOP_WEBSOCKET_GOING_AWAY, and when the time is over it is reset;
 * the server's close callback comes behind on_close. */
LOOP_API int loop_websocket_accept(struct loop_http_response *res, struct loop_websocket *ws,
                                   const struct loop_websocket_options *options);

/* Connects to "ws://host:port/path?query", or wss. What fails later is told to on_close: ws->error
 * is that of the look-up, of connecting or of TLS, -ETIMEDOUT, -EPROTO (not a good answer) or
 * -ECONNREFUSED (the server said no: ws->status; redirects are not followed). Errors: -EINVAL (the
 * URL, also one with a user or a fragment; a header; wss without options->tls), -ENOMEM, and those
 * of loop_dial(). */
LOOP_API int loop_websocket_connect(struct loop *loop, struct loop_websocket *ws, const char *url,
                                    const struct loop_websocket_options *options);

/* --- sending --- */

/* Sends a message, copied. Returns 1 if more than LOOP_WRITE_HIGH bytes wait: better wait for
 * on_drain. Errors: -EPIPE (not open), -EILSEQ (text that is not UTF-8), -EBUSY (another is being
 * sent in parts), -ENOBUFS (more than LOOP_WRITE_MAX would wait), -EINVAL (type). */
LOOP_API int loop_websocket_send(struct loop_websocket *ws, enum loop_websocket_type type,
                                 const void *bytes, size_t size);
LOOP_API int loop_websocket_send_text(struct loop_websocket *ws, const char *text);

/* The same for one message in several frames; ends: this is the last. type is that of the message,
 * each time. Text is not checked here. Errors: as above, -EINVAL (another type in the middle). */
LOOP_API int loop_websocket_send_part(struct loop_websocket *ws, enum loop_websocket_type type,
                                      const void *bytes, size_t size, bool ends);

/* Asks for a pong with these bytes, at most 125, which comes to on_pong. Errors: -EPIPE, -EMSGSIZE,
 * -ENOBUFS. */
LOOP_API int loop_websocket_ping(struct loop_websocket *ws, const void *bytes, size_t size);

/* Bytes that wait to be sent. */
LOOP_API size_t loop_websocket_waiting(const struct loop_websocket *ws);

/* Between these no message comes, and soon the peer has to wait. A paused peer is not given up for
 * its silence. */
LOOP_API void loop_websocket_pause(struct loop_websocket *ws);
LOOP_API void loop_websocket_resume(struct loop_websocket *ws);

/* --- closing --- */

/* Sends what waits and a close frame; on_close comes when the peer has answered it, or after
 * close_ns. No message comes any more. code: 1000, 3000 to 4999 and the others that may be sent; 0
 * for none. reason: UTF-8 of at most 123 bytes, or NULL. One that connects is just given up.
 * Errors: -EINVAL (code, reason), -EALREADY (closing, or closed). */
LOOP_API int loop_websocket_close(struct loop_websocket *ws, unsigned code, const char *reason);

/* Gives the connection up at once, with a reset; on_close says 1006 and -ECANCELED. Harmless if it
 * is closed. */
LOOP_API void loop_websocket_reset(struct loop_websocket *ws);

/* --- to many --- */

/* Sockets that hear the same. Zeroed memory is none: initialise it. */
struct loop_websocket_group {
    /* read-only */
    size_t count;

    /* private */
    struct loop_link members;
};

LOOP_API void loop_websocket_group_init(struct loop_websocket_group *group);

/* A socket is in one group at most, and leaves it by itself when it is no more open. Errors: -EPIPE
 * (not open), -EEXIST (it is in a group), -EINVAL (a client's: what it sends is masked for its
 * server alone). */
LOOP_API int loop_websocket_join(struct loop_websocket_group *group, struct loop_websocket *ws);
LOOP_API void loop_websocket_leave(struct loop_websocket *ws);

/* Sends a message to all members but except (which may be NULL); the frame is built once. A member
 * that is sending in parts is left out, and one for whom more than LOOP_WRITE_MAX would wait is
 * given up: on_close says 1006 and -ENOBUFS. Returns 0. Errors: -EILSEQ, -EINVAL, -ENOMEM. */
LOOP_API int loop_websocket_broadcast(struct loop_websocket_group *group,
                                      enum loop_websocket_type type, const void *bytes, size_t size,
                                      const struct loop_websocket *except);

/* Closes all members, as loop_websocket_close(): for a server that ends, with 1001. */
LOOP_API int loop_websocket_group_close(struct loop_websocket_group *group, unsigned code,
                                        const char *reason);

#endif
