/* Contexts: what many connections share, for as long as the last of them needs it.
 *
 * The options are copied when a context is made, and never change; what the files named in them
 * hold is in OpenSSL's objects, one for each host, which reloading makes anew and then exchanges
 * all at once. OpenSSL counts references itself, so a connection keeps the object that it began
 * with. All of the new must have been loaded before any of the old is given up.
 *
 * A context may be used by loops in several threads. The lock is held for look-ups and exchanges
 * only, never while a file is read or a key is used.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* Takes what is loaded, one for each host, in place of what the hosts have, which it gives back. */
static void exchange(struct loop_tls_context *context, SSL_CTX **loaded)
{
    pthread_mutex_lock(&context->lock);
    for (size_t i = 0; i < context->host_count; i++) {
        SSL_CTX *before = context->hosts[i].ctx;
        context->hosts[i].ctx = loaded[i];
        loaded[i] = before;
    }
    tls_session_forget_all(context);
    pthread_mutex_unlock(&context->lock);
}

int loop_tls_context_reload(struct loop_tls_context *context, char *why, size_t why_size)
{
    struct tls_why reason = {why, why_size};
    int status = 0;
    if (!context)
        return tls_error_say(reason, -EINVAL, "no context");
    SSL_CTX **loaded = calloc(context->host_count, sizeof(SSL_CTX *));
    if (!loaded)
        return tls_error_say(reason, -ENOMEM, "out of memory");
    for (size_t i = 0; i < context->host_count && status == 0; i++)
        loaded[i] = tls_load(context, &context->hosts[i], reason, &status);
    if (status == 0)
        exchange(context, loaded);
    for (size_t i = 0; i < context->host_count; i++)
        SSL_CTX_free(loaded[i]);
    free(loaded);
    return status;
}

/* What no file has to be read for. */
static const char *nonsense(const struct loop_tls_options *options)
{
    unsigned version = options->min_version;
    if (version != 0 && version != 12 && version != 13)
        return "min_version is 12 or 13";
    if (options->server && !options->certificate_file)
        return "a server needs a certificate";
    if (!options->server && options->host_count > 0)
        return "a client has no certificates by host name";
    if (options->server && options->insecure)
        return "a server asks for certificates with ca_file, or not at all";
    if (options->key_file && !options->certificate_file)
        return "a key without a certificate";
    for (size_t i = 0; i < options->host_count; i++)
        if (!options->hosts || !options->hosts[i].name || !options->hosts[i].certificate_file)
            return "a host needs a name and a certificate";
    return NULL;
}

int loop_tls_context_new(struct loop_tls_context **context, const struct loop_tls_options *options,
                         char *why, size_t why_size)
{
    struct tls_why reason = {why, why_size};
    if (!context || !options)
        return tls_error_say(reason, -EINVAL, "an argument is NULL");
    *context = NULL;
    const char *fault = nonsense(options);
    if (fault)
        return tls_error_say(reason, -EINVAL, "%s", fault);
    struct loop_tls_context *made = calloc(1, sizeof(*made));
    if (!made)
        return tls_error_say(reason, -ENOMEM, "out of memory");
    made->refs = 1;
    pthread_mutex_init(&made->lock, NULL);
    int status = tls_context_copy(made, options, reason);
    if (status == 0)
        status = loop_tls_context_reload(made, why, why_size);
    if (status == 0)
        *context = made;
    else
        loop_tls_context_unref(made);
    return status;
}

struct loop_tls_context *loop_tls_context_ref(struct loop_tls_context *context)
{
    __atomic_add_fetch(&context->refs, 1, __ATOMIC_RELAXED);
    return context;
}

void loop_tls_context_unref(struct loop_tls_context *context)
{
    if (!context || __atomic_sub_fetch(&context->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    tls_session_forget_all(context);
    pthread_mutex_destroy(&context->lock);
    tls_context_release(context);
    free(context);
}

/* NULL: no memory. */
SSL *tls_context_ssl(struct loop_tls_context *context)
{
    ERR_clear_error();
    pthread_mutex_lock(&context->lock);
    SSL *ssl = SSL_new(context->hosts[0].ctx);
    pthread_mutex_unlock(&context->lock);
    ERR_clear_error();
    return ssl;
}

/* The name in our own list, which lasts; NULL: it is not there. */
const char *tls_context_alpn(const struct loop_tls_context *context, const unsigned char *name,
                             size_t size)
{
    const char *own = context->alpn ? context->alpn : "";
    for (; *own; own += strlen(own) + 1)
        if (strlen(own) == size && memcmp(own, name, size) == 0)
            return own;
    return NULL;
}
