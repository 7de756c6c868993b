/* gzip, as the content coding of a response (RFC 9110 8.4.1.3), by zlib.
 *
 * Pulled a buffer's worth at a time: so a small body that unpacks to a huge one costs 16 KiB of
 * memory at once, the limit on the body is met where it is crossed, and a program that pauses in
 * the middle is not overrun. Several members one behind the other are one body (RFC 1952 2.2). A
 * body without a single byte is taken for an empty one: servers send that.
 *
 * SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>

#include <zlib.h>

enum { OUT_SIZE = 16 * 1024, GZIP_ONLY = 16 + MAX_WBITS, INPUT_MAX = 1 << 30 };

struct decoder {
    z_stream stream;
    bool ended; /* a member has, and no other has begun */
    unsigned char out[OUT_SIZE];
};

struct decoder *decoder_new(void)
{
    struct decoder *decoder = malloc(sizeof(*decoder));
    if (!decoder)
        return NULL;
    decoder->stream = (z_stream){0};
    decoder->ended = true;
    if (inflateInit2(&decoder->stream, GZIP_ONLY) == Z_OK)
        return decoder;
    free(decoder);
    return NULL;
}

void decoder_free(struct decoder *decoder)
{
    if (!decoder)
        return;
    inflateEnd(&decoder->stream);
    free(decoder);
}

bool decoder_is_whole(const struct decoder *decoder)
{
    return decoder->ended;
}

/* One call of zlib. Negative: it fails. */
static int inflate_some(struct decoder *decoder, struct input *input, size_t *size)
{
    z_stream *stream = &decoder->stream;
    uInt given = input->size < INPUT_MAX ? (uInt)input->size : INPUT_MAX;
    stream->next_in = (z_const Bytef *)(uintptr_t)input->bytes; /* which zlib does not write to */
    stream->avail_in = given;
    stream->next_out = decoder->out;
    stream->avail_out = OUT_SIZE;
    int status = inflate(stream, Z_NO_FLUSH);
    input->bytes += given - stream->avail_in;
    input->size -= given - stream->avail_in;
    *size = OUT_SIZE - stream->avail_out;
    decoder->ended = status == Z_STREAM_END;
    if (status == Z_MEM_ERROR)
        return -ENOMEM;
    return status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR ? 0 : -EBADMSG;
}

/* An output buffer that was filled to its end may leave some inside, also without input. */
int decoder_next(struct decoder *decoder, struct input *input, const char **bytes, size_t *size)
{
    bool more = decoder->stream.avail_out == 0 && decoder->stream.next_out && !decoder->ended;
    *bytes = (const char *)decoder->out;
    while (input->size > 0 || more) {
        more = false;
        if (decoder->ended && inflateReset(&decoder->stream) != Z_OK)
            return -EBADMSG; /* unreachable: it only refuses what is no stream */
        int status = inflate_some(decoder, input, size);
        if (status < 0 || *size > 0)
            return status < 0 ? status : 1;
    }
    return 0;
}
