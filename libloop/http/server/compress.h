/* Internal. Responses compressed on their way, and what clients say that they take.
 *
 * A compressor belongs to an exchange, from the sending of its head to its end. Whether there is
 * one is decided once, in response_send_head(); what the rest has to know is that the length of
 * what leaves is not that of what the program writes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef LOOP_HTTP_COMPRESS_H
#define LOOP_HTTP_COMPRESS_H

#include "server/connection.h"

/* How much a client wants an encoding, in thousandths, 0: not at all (RFC 9110 12.5.3). value may
 * be NULL: there is no such header. */
int encoding_weight(const char *value, const char *encoding);

/* Whether it takes the encoding, and no less gladly than the thing as it is. */
bool accepts_encoding(const struct loop_http_request *req, const char *encoding);

/* Whether a body of so many bytes with the headers that are set will be compressed. UINT64_MAX: the
 * size is not known. */
bool compress_would(const struct exchange *exchange, uint64_t size);

/* Called before the head is sent. Sets the headers that tell, and makes the compressor if there is
 * to be one. */
void compress_begin(struct exchange *exchange);

/* The headers alone, for an answer without a body: all of them, or what tells caches that others
 * may get another. */
void compress_tag(struct exchange *exchange, uint64_t size);
void compress_vary(struct exchange *exchange, uint64_t size);

/* Bytes of the body, before the head is sent: all of them at once. *bytes and *size become what is
 * to be sent, and what is returned is to be freed then; NULL: as it is. */
char *compress_whole(struct exchange *exchange, const void **bytes, size_t *size);

/* Gives bytes to the link through the compressor: as link_write(). They leave by the end of the
 * callback at the latest. */
int compress_write(struct exchange *exchange, const void *bytes, size_t size);

/* What is left in it. */
int compress_end(struct exchange *exchange);

void compress_free(struct compressor *compressor);

/* response_write.c: a piece of the body in its framing. */
int response_frame(struct exchange *exchange, const void *bytes, size_t size);

/* response.c: the value of a header that was set, up to its "\r"; NULL: there is none. */
const char *response_find(const struct exchange *exchange, const char *name);

/* response.c: lines of a head, as they are sent; all or none. */
int response_add_lines(struct exchange *exchange, const char *lines, size_t size);

#endif
