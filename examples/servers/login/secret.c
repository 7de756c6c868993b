/* Random numbers, hashes and passwords: see secret.h.
 *
 * Whatever is compared with something secret is compared in constant time, so that how long it
 * takes tells nothing of how far it was right. Of a user that there is not the password is checked
 * all the same, against a hash that was made at the start.
 *
 * yescrypt is what Debian uses in /etc/shadow: it wants memory as well as time, which graphics
 * cards do not like. The cost is the distribution's own choice, and stands in each hash, so it can
 * be raised later without touching those that are there.
 *
 * SPDX-License-Identifier: MIT */
#include "secret.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static unsigned char key[SECRET_HASH_SIZE];
static char nobodys_hash[SECRET_PASSWORD_HASH_SIZE];

/* So few bytes come in one piece. */
static int random_bytes(void *bytes, size_t size)
{
    return getrandom(bytes, size, 0) == (ssize_t)size ? 0 : -errno;
}

static void write_hex(const unsigned char *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

int secret_init(void)
{
    int error = random_bytes(key, sizeof(key));
    return error < 0 ? error : secret_hash_password("nobody", nobodys_hash);
}

int secret_token(char token[SECRET_TOKEN_SIZE])
{
    unsigned char bytes[SECRET_BYTES];
    int error = random_bytes(bytes, sizeof(bytes));
    if (error == 0)
        write_hex(bytes, sizeof(bytes), token);
    return error;
}

bool secret_is_token(const char *bytes, size_t size)
{
    if (size != SECRET_TOKEN_SIZE - 1)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!strchr("0123456789abcdef", bytes[i]) || bytes[i] == '\0')
            return false;
    }
    return true;
}

void secret_hash(const char *text, size_t size, unsigned char hash[SECRET_HASH_SIZE])
{
    EVP_Digest(text, size, hash, NULL, EVP_sha256(), NULL);
}

static void sign(const void *bytes, size_t size, unsigned char hash[SECRET_HASH_SIZE])
{
    HMAC(EVP_sha256(), key, sizeof(key), bytes, size, hash, NULL);
}

void secret_sign(const char *token, char signature[SECRET_SIGNATURE_SIZE])
{
    unsigned char hash[SECRET_HASH_SIZE];
    sign(token, strlen(token), hash);
    write_hex(hash, sizeof(hash), signature);
}

bool secret_is_signed(const char *token, const char *signature)
{
    char right[SECRET_SIGNATURE_SIZE];
    secret_sign(token, right);
    return strlen(signature) == sizeof(right) - 1 &&
           CRYPTO_memcmp(signature, right, sizeof(right) - 1) == 0;
}

uint64_t secret_number(const void *bytes, size_t size)
{
    unsigned char hash[SECRET_HASH_SIZE];
    uint64_t number;
    sign(bytes, size, hash);
    memcpy(&number, hash, sizeof(number));
    return number;
}

/* --- passwords --- */

/* crypt_r(3) wants 32 KiB for itself, which are wiped: the password was among them. */
static int hash_with(const char *password, const char *setting,
                     char hash[SECRET_PASSWORD_HASH_SIZE])
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    if (!data)
        return -ENOMEM;
    const char *text = crypt_r(password, setting, data);
    bool made = text && text[0] != '*' && strlen(text) < SECRET_PASSWORD_HASH_SIZE;
    if (made)
        snprintf(hash, SECRET_PASSWORD_HASH_SIZE, "%s", text);
    explicit_bzero(data, sizeof(*data));
    free(data);
    return made ? 0 : -EINVAL;
}

int secret_hash_password(const char *password, char hash[SECRET_PASSWORD_HASH_SIZE])
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)))
        return -errno;
    return hash_with(password, setting, hash);
}

bool secret_is_password(const char *password, const char *hash)
{
    char made[SECRET_PASSWORD_HASH_SIZE];
    const char *wanted = hash ? hash : nobodys_hash;
    size_t size = strlen(wanted);
    if (hash_with(password, wanted, made) < 0 || strlen(made) != size)
        return false;
    return CRYPTO_memcmp(made, wanted, size) == 0 && hash;
}
