/* The key of the handshake, its answer, and lists of tokens.
 *
 * The client sends 16 random bytes in base64, the server answers with a hash of that text and a
 * constant: it proves that it knows what a WebSocket is, and nothing else (RFC 6455, 1.3). That the
 * hash is SHA-1 does not matter.
 *
 * Lists are read in one pass and nothing is copied: what a peer sends there is bounded by its head,
 * and so is the time that it takes.
 *
 * SPDX-License-Identifier: MIT */
#include "websocket/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static const char constant[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */

/* getrandom(2) gives up to 256 bytes whole, and does not wait but while the machine starts. */
int websocket_random(void *bytes, size_t size)
{
    ssize_t got;
    do {
        got = getrandom(bytes, size, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    return (size_t)got == size ? 0 : -EIO;
}

int websocket_key_make(char key[WEBSOCKET_KEY_SIZE])
{
    unsigned char bytes[16];
    int status = websocket_random(bytes, sizeof(bytes));
    if (status == 0)
        EVP_EncodeBlock((unsigned char *)key, bytes, sizeof(bytes));
    return status;
}

/* 16 bytes are 22 letters and two signs that stand for nothing. */
bool websocket_key_valid(const char *key)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(key) == 24 && strspn(key, letters) == 22 && strcmp(key + 22, "==") == 0;
}

int websocket_key_answer(const char *key, char answer[WEBSOCKET_ACCEPT_SIZE])
{
    char text[WEBSOCKET_KEY_SIZE + sizeof(constant)];
    unsigned char hash[EVP_MAX_MD_SIZE];
    size_t size = 0;
    int length = snprintf(text, sizeof(text), "%s%s", key, constant);
    if (!EVP_Q_digest(NULL, "SHA1", NULL, text, (size_t)length, hash, &size))
        return -ENOMEM;
    EVP_EncodeBlock((unsigned char *)answer, hash, (int)size);
    return 0;
}

bool websocket_list_has(const char *list, const char *token, bool any_case)
{
    static const char gap[] = " \t,";
    size_t size = strlen(token);
    for (const char *at = list + strspn(list, gap); *at; at += strspn(at, gap)) {
        const char *end = at + strcspn(at, ",");
        while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        int differs = any_case ? strncasecmp(at, token, size) : strncmp(at, token, size);
        if ((size_t)(end - at) == size && differs == 0)
            return true;
        at = end;
    }
    return false;
}
