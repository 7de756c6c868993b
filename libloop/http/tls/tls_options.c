/* The copy of the options that a context keeps: names of files, hosts, and the protocols of ALPN in
 * the two shapes that are needed.
 *
 * What cannot be copied leaves the context as far as it came, which tls_context_release() frees:
 * all that is not there yet is NULL. Names of files are kept as they are, so one that is relative
 * is looked for, when the context is loaded again, from where the process is by then.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>

enum { ALPN_NAME_MAX = 255, ALPN_LIST_MAX = 1024 }; /* RFC 7301; and more than anybody speaks */

/* False: no memory. */
static bool copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

/* Host names are compared in lower case. */
static void lower(char *name)
{
    for (; name && *name; name++)
        if (*name >= 'A' && *name <= 'Z')
            *name = (char)(*name + 'a' - 'A');
}

static bool copy_host(struct tls_host *to, const char *name, const char *certificate,
                      const char *key)
{
    bool copied = copy(&to->name, name) && copy(&to->certificate_file, certificate) &&
                  copy(&to->key_file, key ? key : certificate);
    lower(to->name);
    return copied;
}

static bool copy_hosts(struct loop_tls_context *context, const struct loop_tls_options *options)
{
    context->hosts = calloc(options->host_count + 1, sizeof(*context->hosts));
    if (!context->hosts)
        return false;
    context->host_count = options->host_count + 1;
    bool copied = copy_host(&context->hosts[0], NULL, options->certificate_file, options->key_file);
    for (size_t i = 0; i < options->host_count && copied; i++) {
        const struct loop_tls_host *host = &options->hosts[i];
        copied =
            copy_host(&context->hosts[i + 1], host->name, host->certificate_file, host->key_file);
    }
    return copied;
}

/* "h2,http/1.1" to "h2\0http/1.1\0\0" and "\2h2\10http/1.1": each name has one byte more in
 * both. */
static bool divide_alpn(struct loop_tls_context *context, const char *list)
{
    char *own = context->alpn;
    unsigned char *wire = context->alpn_wire;
    for (const char *name = list; name; name = *name == ',' ? name + 1 : NULL) {
        size_t size = strcspn(name, ",");
        if (size == 0 || size > ALPN_NAME_MAX)
            return false;
        memcpy(own, name, size);
        own += size + 1;
        *wire++ = (unsigned char)size;
        memcpy(wire, name, size);
        wire += size;
        name += size;
    }
    context->alpn_wire_size = (unsigned)(wire - context->alpn_wire);
    return true;
}

static int copy_alpn(struct loop_tls_context *context, const char *list, struct tls_why why)
{
    if (!list)
        return 0;
    if (strlen(list) > ALPN_LIST_MAX)
        return tls_error_say(why, -EINVAL, "the list of protocols is too long");
    context->alpn = calloc(1, strlen(list) + 2);
    context->alpn_wire = calloc(1, strlen(list) + 1);
    if (!context->alpn || !context->alpn_wire)
        return tls_error_say(why, -ENOMEM, "out of memory");
    if (!divide_alpn(context, list))
        return tls_error_say(why, -EINVAL, "a protocol's name has 1 to 255 bytes");
    return 0;
}

int tls_context_copy(struct loop_tls_context *context, const struct loop_tls_options *options,
                     struct tls_why why)
{
    context->server = options->server;
    context->insecure = options->insecure;
    context->no_resumption = options->no_resumption;
    context->min_version = options->min_version;
    context->handshake_ns = options->handshake_ns ? options->handshake_ns : 10 * LOOP_SEC;
    if (!copy(&context->ca_file, options->ca_file) || !copy_hosts(context, options))
        return tls_error_say(why, -ENOMEM, "out of memory");
    return copy_alpn(context, options->alpn, why);
}

void tls_context_release(struct loop_tls_context *context)
{
    for (size_t i = 0; i < context->host_count; i++) {
        struct tls_host *host = &context->hosts[i];
        SSL_CTX_free(host->ctx);
        free(host->name);
        free(host->certificate_file);
        free(host->key_file);
    }
    free(context->hosts);
    free(context->ca_file);
    free(context->alpn);
    free(context->alpn_wire);
}
