/* What a server decides when it has read the client's hello: which certificate, by the name that
 * the client asks for (SNI, RFC 6066), and which protocol (ALPN, RFC 7301).
 *
 * A name that no certificate is for gets that of the context itself: the client sees by it whom it
 * has reached. If client and server have no protocol in common the handshake fails, as the RFC
 * demands: otherwise one would speak what the other takes for something else.
 *
 * OpenSSL asks for the protocol by the SSL_CTX that the name has led to, so each has both
 * callbacks.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <string.h>
#include <strings.h>

/* "*.example.org" is for "a.example.org", but neither for "a.b.example.org" nor "example.org". */
static bool is_for(const struct tls_host *host, const char *name)
{
    if (!host->name)
        return false;
    if (strncmp(host->name, "*.", 2) != 0)
        return strcasecmp(host->name, name) == 0;
    const char *dot = strchr(name, '.');
    return dot && dot > name && strcasecmp(host->name + 1, dot) == 0;
}

static int on_name(SSL *ssl, int *alert, void *argument)
{
    (void)alert;
    (void)argument;
    struct loop_tls *tls = SSL_get_app_data(ssl);
    struct loop_tls_context *context = tls->context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *found = NULL;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    pthread_mutex_lock(&context->lock);
    for (size_t i = 0; i < context->host_count && !found; i++)
        if (is_for(&context->hosts[i], name))
            found = SSL_set_SSL_CTX(ssl, context->hosts[i].ctx);
    pthread_mutex_unlock(&context->lock);
    return found ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* Where in the client's list, which OpenSSL has checked, a name of ours stands; NULL: nowhere. */
static const unsigned char *offered(const unsigned char *list, unsigned size, const char *name)
{
    size_t length = strlen(name);
    for (unsigned i = 0; i < size; i += 1u + list[i])
        if (list[i] == length && length < size - i && memcmp(list + i + 1, name, length) == 0)
            return list + i;
    return NULL;
}

static int on_protocols(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                        const unsigned char *list, unsigned size, void *argument)
{
    (void)argument;
    struct loop_tls *tls = SSL_get_app_data(ssl);
    if (!tls->context->alpn)
        return SSL_TLSEXT_ERR_NOACK;
    for (const char *name = tls->context->alpn; *name; name += strlen(name) + 1) {
        const unsigned char *found = offered(list, size, name);
        if (found) {
            *chosen = found + 1;
            *chosen_size = *found;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void tls_hello_listen(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
}
