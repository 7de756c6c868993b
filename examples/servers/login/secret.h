/* Random numbers that nobody can guess, and what is made of them: tokens, their hashes, signatures;
 * and passwords.
 *
 * A token is 128 random bits as text. A database keeps its hash alone, so whoever reads the table
 * of sessions cannot use one. Passwords are hashed by yescrypt, slowly and with a salt: those two
 * functions take a tenth of a second of a processor, so they belong on the pool.
 *
 * SPDX-License-Identifier: MIT */
#ifndef SECRET_H
#define SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SECRET_BYTES = 16,
    SECRET_TOKEN_SIZE = 2 * SECRET_BYTES + 1, /* hexadecimal, and a 0 */
    SECRET_HASH_SIZE = 32,
    SECRET_SIGNATURE_SIZE = 2 * SECRET_HASH_SIZE + 1,
    SECRET_PASSWORD_HASH_SIZE = 256,
    SECRET_PASSWORD_MAX = 256, /* bytes; crypt(3) takes no more than 512 */
};

/* A key of this process, for signatures. Once, before anything else. Negative errno. */
int secret_init(void);

/* A new token. Negative errno. */
int secret_token(char token[SECRET_TOKEN_SIZE]);

/* Whether a text has the form of one. */
bool secret_is_token(const char *bytes, size_t size);

void secret_hash(const char *text, size_t size, unsigned char hash[SECRET_HASH_SIZE]);

/* What only this process can make of a token: for a form that belongs to whoever has the token. */
void secret_sign(const char *token, char signature[SECRET_SIGNATURE_SIZE]);
bool secret_is_signed(const char *token, const char *signature);

/* A number for a text that differs from process to process: for tables that others fill. */
uint64_t secret_number(const void *bytes, size_t size);

/* --- slow --- */

/* Negative errno. */
int secret_hash_password(const char *password, char hash[SECRET_PASSWORD_HASH_SIZE]);

/* hash NULL: there is no such user; that takes as long as a wrong password. */
bool secret_is_password(const char *password, const char *hash);

#endif
