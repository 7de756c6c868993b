/* Internal. What the files of the WebSocket share.
 *
 * From the wire up: websocket_text.c knows UTF-8 and codes; websocket_wire.c makes frames of bytes
 * and bytes of frames, and holds the peer to the rules, without knowing of connections; websocket.c
 * is the life of a socket, websocket_read.c and websocket_send.c what comes and goes meanwhile,
 * websocket_close.c its end; websocket_group.c sends to many. websocket_accept.c and
 * websocket_connect.c open sockets, with the help of websocket_key.c and websocket_url.c. Where it
 * was agreed on by websocket_offer.c, websocket_deflate.c stands between the wire and the socket.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_WEBSOCKET_H
#define LOOP_HTTP_WEBSOCKET_H

#include "wire/link.h"
#include "list.h"
#include "loop/websocket.h"

#include <wslay/wslay.h>

/* --- websocket_text.c --- */

/* Where in a character a text is. All zero: between two. */
struct utf8 {
    uint8_t left;      /* bytes that are to follow */
    uint8_t low, high; /* of the next of them */
};

/* Whether a text goes on well with these bytes. Whole is for its end. */
bool utf8_feed(struct utf8 *utf8, const char *bytes, size_t size);
static inline bool utf8_whole(const struct utf8 *utf8)
{
    return utf8->left == 0;
}
bool utf8_valid(const char *bytes, size_t size);

/* Whether a close frame may have this code. */
bool websocket_code_valid(unsigned code);

/* --- websocket_wire.c --- */

enum {
    WEBSOCKET_HEAD_MAX = 14,     /* bytes before the payload of a frame */
    WEBSOCKET_CONTROL_MAX = 125, /* payload of a control frame */
    WEBSOCKET_REASON_MAX = 123,
    WEBSOCKET_KEYS = 64,     /* bytes of randomness that are got at once: one call for 16 frames */
    WEBSOCKET_PACKED = 0x40, /* the reserved bit of deflated messages; also in the type of pieces */
};

/* Who hears what the wire reads. False: read no further now. */
struct websocket_ear {
    bool (*piece)(void *owner, enum loop_websocket_type type, const char *bytes, size_t size,
                  bool ends);
    bool (*control)(void *owner, unsigned opcode, const char *bytes, size_t size);
    /* Takes bytes of frames; 0, 1 or a negative errno as link_write(). */
    int (*write)(void *owner, const void *bytes, size_t size);
};

/* One end of the wire. Reading holds no byte back: what is not used was not looked at. */
struct websocket_wire {
    const struct websocket_ear *ear;
    void *owner;
    uint64_t limit; /* of a message */
    bool client;    /* masks what it sends, and expects what comes to be unmasked */
    bool packs;     /* messages may be deflated: the ear is told WEBSOCKET_PACKED in their type */

    /* private: reading */
    wslay_frame_context_ptr wslay;
    const uint8_t *input; /* lent by the call under way */
    size_t input_size;
    unsigned verdict; /* the code to close with; 0: all is well */
    uint8_t head[2];  /* of a frame: the two bytes that all but the length depends on */
    uint8_t head_size;
    uint8_t head_left; /* bytes of it that follow those two */
    bool in_payload;
    uint64_t payload_left;
    uint8_t opcode;        /* of the message under way, with WEBSOCKET_PACKED if so; 0: none */
    uint64_t message_size; /* of its frames so far */
    struct utf8 utf8;
    uint8_t control[WEBSOCKET_CONTROL_MAX];
    uint8_t control_size;

    /* private: writing */
    int written; /* what write() said */
    uint8_t keys[WEBSOCKET_KEYS];
    uint8_t keys_left;
};

/* NULL: no memory. */
struct websocket_wire *websocket_wire_new(const struct websocket_ear *ear, void *owner, bool client,
                                          uint64_t limit);
void websocket_wire_free(struct websocket_wire *wire);

/* Reads; returns how much was used: all, unless the ear wanted no more, or the peer broke a rule
 * and wire->verdict says which. */
size_t websocket_wire_read(struct websocket_wire *wire, const char *bytes, size_t size);

/* Makes a frame of bytes and writes it; the opcode has WEBSOCKET_PACKED if they are a whole message
 * that has been deflated. What write() said. */
int websocket_wire_write(struct websocket_wire *wire, unsigned opcode, const void *bytes,
                         size_t size, bool ends);

/* --- websocket_offer.c --- */

#define WEBSOCKET_OFFER                                                                            \
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "                 \
    "client_max_window_bits"

enum { WEBSOCKET_ANSWER_SIZE = 160 };

/* How messages are deflated. All zero: not at all. */
struct websocket_terms {
    bool agreed;
    bool bounded; /* the peer has spoken of our window */
    uint8_t bits; /* which has 2^bits bytes at most: 8 to 15 */
};

/* What a client offers, a header's value at a time: the first that will do is agreed on. -EPROTO:
 * that is no list of extensions. */
int websocket_offers_read(const char *list, struct websocket_terms *terms);

/* What a server has answered to WEBSOCKET_OFFER. -EPROTO: it may not say that. */
int websocket_answer_read(const char *list, struct websocket_terms *terms);

/* A server's answer, with its line break. */
void websocket_answer_print(const struct websocket_terms *terms, char line[WEBSOCKET_ANSWER_SIZE]);

/* --- websocket_key.c --- */

enum {
    WEBSOCKET_KEY_SIZE = 25,    /* of 16 bytes in base64, and a 0 */
    WEBSOCKET_ACCEPT_SIZE = 29, /* of 20 */
};

int websocket_random(void *bytes, size_t size);
int websocket_key_make(char key[WEBSOCKET_KEY_SIZE]);
bool websocket_key_valid(const char *key);
int websocket_key_answer(const char *key, char answer[WEBSOCKET_ACCEPT_SIZE]);

/* Whether a list of tokens between commas, such as "keep-alive, Upgrade", has this one. */
bool websocket_list_has(const char *list, const char *token, bool any_case);

/* --- websocket_url.c --- */

/* host and target lie behind one another in memory that is freed as one, by free(url). */
struct websocket_url {
    bool secure;
    const char *host;      /* to be looked up: without the brackets of an IPv6 address */
    const char *authority; /* as in the URL: "[::1]:8080" */
    const char *port;
    const char *target; /* "/", at least */
    char text[];
};

/* -EINVAL, -ENOMEM. */
int websocket_url_parse(const char *text, struct websocket_url **url);

/* --- websocket.c --- */

enum websocket_flag {
    WEBSOCKET_CLIENT = 1,
    WEBSOCKET_PAUSED = 2,
    WEBSOCKET_OPENING = 4,     /* on_open has not been called */
    WEBSOCKET_SENDING = 8,     /* text or binary parts, and not the last yet */
    WEBSOCKET_BINARY = 16,     /* those are binary */
    WEBSOCKET_DEFLATES = 32,   /* messages may be deflated: the wire is owned by that */
    WEBSOCKET_DEAF = 64,       /* what comes is thrown away */
    WEBSOCKET_CROWDED = 128,   /* a send returned 1 */
    WEBSOCKET_RESUMING = 256,  /* the tick that reads on is queued */
    WEBSOCKET_INFLATING = 512, /* of a piece that has come there is more to inflate */
};

/* What the library's own pings carry, so that their answers are known. */
#define WEBSOCKET_OWN_PING "libloop"

static inline bool websocket_is(const struct loop_websocket *ws, enum websocket_flag flag)
{
    return ws->flags & flag;
}

static inline void websocket_set(struct loop_websocket *ws, enum websocket_flag flag)
{
    ws->flags = (uint16_t)(ws->flags | flag);
}

static inline void websocket_clear(struct loop_websocket *ws, enum websocket_flag flag)
{
    ws->flags = (uint16_t)(ws->flags & ~flag);
}

/* Prepares memory that nothing is known of, in the state CONNECTING. -ENOMEM. */
int websocket_begin(struct loop *loop, struct loop_websocket *ws,
                    const struct loop_websocket_options *options, bool client);

/* Lets go of what begin took: nothing has been opened. */
void websocket_abandon(struct loop_websocket *ws);

/* The handshake is over: the link is the socket's, and so are bytes that came behind it. -ENOMEM,
 * and the link is still the caller's. */
int websocket_open(struct loop_websocket *ws, struct link *link, const char *rest, size_t size);

/* It ends, if it has not ended by then. */
void websocket_deadline(struct loop_websocket *ws, uint64_t after_ns);

/* Everything is closed: the last callback. */
void websocket_finish(struct loop_websocket *ws);

/* --- websocket_read.c --- */

extern const struct websocket_ear websocket_ear;

/* Reads what has come, and keeps what must wait. */
void websocket_read(struct loop_websocket *ws, const char *bytes, size_t size);
int websocket_hold(struct loop_websocket *ws, const char *bytes, size_t size);

/* Reads what is held, then the link, if that may be. Not inside a function of the user's. */
void websocket_read_on(struct loop_websocket *ws);

/* The same in a tick. */
void websocket_read_soon(struct loop_websocket *ws);

/* --- websocket_deflate.c --- */

/* Puts itself between the wire and the socket. -ENOMEM. */
int websocket_deflate_begin(struct loop_websocket *ws, const struct websocket_terms *terms);
void websocket_deflate_free(struct loop_websocket *ws);

/* Goes on with what is INFLATING; or drops that, and all that comes. */
void websocket_inflate_on(struct loop_websocket *ws);
void websocket_inflate_drop(struct loop_websocket *ws);

/* Whether what the wire refused was no deflated data. */
bool websocket_is_garbled(const struct loop_websocket *ws);

/* A message in the form of RFC 7692, which whoever grants a window of 2^bits bytes can read. */
struct websocket_packed {
    char *bytes; /* NULL: it goes as it is: it is small, does not shrink, or there is no memory */
    size_t size;
    unsigned bits;
};

void websocket_pack(struct websocket_packed *packed, const void *bytes, size_t size, unsigned bits);

/* What the peer grants; 0: nothing was agreed on. */
unsigned websocket_deflate_bits(const struct loop_websocket *ws);

/* A whole message, of an open socket with DEFLATES. */
int websocket_deflate_send(struct loop_websocket *ws, enum loop_websocket_type type,
                           const void *bytes, size_t size);

/* --- websocket_send.c --- */

/* A frame, with the cap of what may wait: for control frames too. */
int websocket_frame(struct loop_websocket *ws, unsigned opcode, const void *bytes, size_t size,
                    bool ends);
int websocket_write(void *owner, const void *bytes, size_t size);
void websocket_drained(struct link *link);

/* Whether that many bytes and the head of their frame may wait. */
bool websocket_fits(const struct loop_websocket *ws, size_t size);

/* 0: it may be sent as a message. */
int websocket_sendable(enum loop_websocket_type type, const void *bytes, size_t size);

/* Answers a ping: now, or, if much waits, the last of several when it has gone. */
void websocket_answer(struct loop_websocket *ws, const char *bytes, size_t size);

/* --- websocket_close.c --- */

/* The first that happens is what on_close will say. */
void websocket_note(struct loop_websocket *ws, unsigned code, const char *reason, size_t size,
                    int error);

/* The peer has broken a rule: tells it, and waits for it to go. */
void websocket_fail(struct loop_websocket *ws, unsigned code);

/* A close frame has come. */
void websocket_close_came(struct loop_websocket *ws, const char *bytes, size_t size);

/* The link has ended; or it must, at once. */
void websocket_ended(struct link *link, int status);
void websocket_drop(struct loop_websocket *ws, int error);

/* --- websocket_accept.c, websocket_connect.c --- */

/* Of a client that is not open: lets go of all that it holds, and comes to on_close. */
void websocket_dialler_stop(struct loop_websocket *ws);

#endif
