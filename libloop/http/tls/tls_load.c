/* From files to an SSL_CTX, OpenSSL's object for what connections share: one for each host of a
 * context, all alike but for the certificate.
 *
 * What is set here and why: no version before 1.2; of 1.2 with a server only ciphers that keep what
 * was said secret even from who gets the key later, and authenticate what they encrypt; no
 * renegotiation, which lets a client ask for one handshake after the other; no compression, which
 * tells lengths. Records' buffers are given back whenever they are empty. A key with a passphrase
 * is an error: OpenSSL would ask for it on the terminal and wait.
 *
 * Sessions are resumed by tickets, which the client keeps: a server remembers nothing. The keys of
 * tickets are made with the SSL_CTX, and last until the next reload.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <openssl/err.h>
#include <string.h>

/* The suites of 1.3 are all good. */
static const char good_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20";

static int no_passphrase(char *room, int size, int writing, void *data)
{
    (void)room;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

static int load_certificate(SSL_CTX *ctx, const struct tls_host *host, struct tls_why why)
{
    if (!host->certificate_file)
        return 0;
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, host->certificate_file) != 1)
        return tls_error_of_file(why, host->certificate_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, host->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return tls_error_of_file(why, host->key_file);
    return 0;
}

/* A server says to its clients whose certificates it takes. */
static int load_trust(SSL_CTX *ctx, const struct loop_tls_context *context, struct tls_why why)
{
    if (!context->ca_file) {
        if (!context->server && SSL_CTX_set_default_verify_paths(ctx) != 1)
            return tls_error_of_file(why, "the system's certificates");
        return 0;
    }
    if (SSL_CTX_load_verify_file(ctx, context->ca_file) != 1)
        return tls_error_of_file(why, context->ca_file);
    if (!context->server)
        return 0;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(context->ca_file);
    if (!names)
        return tls_error_of_file(why, context->ca_file);
    SSL_CTX_set_client_CA_list(ctx, names);
    return 0;
}

static void choose_verification(SSL_CTX *ctx, const struct loop_tls_context *context)
{
    bool verifies = context->server ? context->ca_file != NULL : !context->insecure;
    int demand = context->server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(ctx, verifies ? SSL_VERIFY_PEER | demand : SSL_VERIFY_NONE, NULL);
}

static void choose_resumption(SSL_CTX *ctx, const struct loop_tls_context *context)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (context->no_resumption) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    } else if (context->server) {
        SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"libloop", 7);
    } else {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        tls_session_remember(ctx);
    }
}

static bool choose(SSL_CTX *ctx, const struct loop_tls_context *context)
{
    int least = context->min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    choose_verification(ctx, context);
    choose_resumption(ctx, context);
    if (context->server)
        tls_hello_listen(ctx);
    else if (context->alpn &&
             SSL_CTX_set_alpn_protos(ctx, context->alpn_wire, context->alpn_wire_size) != 0)
        return false;
    return SSL_CTX_set_min_proto_version(ctx, least) == 1 &&
           (!context->server || SSL_CTX_set_cipher_list(ctx, good_ciphers) == 1);
}

SSL_CTX *tls_load(const struct loop_tls_context *context, const struct tls_host *host,
                  struct tls_why why, int *status)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(context->server ? TLS_server_method() : TLS_client_method());
    if (!ctx || !choose(ctx, context))
        *status = tls_error_of_file(why, "OpenSSL");
    else
        *status = load_certificate(ctx, host, why);
    if (*status == 0)
        *status = load_trust(ctx, context, why);
    ERR_clear_error();
    if (*status == 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
