/* Who the other end is, by its certificate.
 *
 * Names are those that a certificate is made out to, its subject alternative names; the subject's
 * common name, which was used for that once, counts for nothing with us as with OpenSSL. A DNS name
 * with a 0 inside is skipped: it is an attempt to look like another.
 *
 * What a client verified stands in tls->peer; this is for servers that ask for certificates, and
 * for those who want to show what they have met.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

static const X509 *certificate(const struct loop_tls *tls)
{
    return tls && tls->ssl && tls->established ? SSL_get0_peer_certificate(tls->ssl) : NULL;
}

static bool is_name(const GENERAL_NAME *name)
{
    const ASN1_STRING *text = name->d.ia5;
    if (name->type == GEN_DNS)
        return !memchr(ASN1_STRING_get0_data(text), 0, (size_t)ASN1_STRING_length(text));
    return name->type == GEN_IPADD &&
           (ASN1_STRING_length(text) == 4 || ASN1_STRING_length(text) == 16);
}

static int write_name(const GENERAL_NAME *entry, char *name, size_t size)
{
    const ASN1_STRING *text = entry->d.ia5;
    const unsigned char *bytes = ASN1_STRING_get0_data(text);
    size_t length = (size_t)ASN1_STRING_length(text);
    if (entry->type == GEN_IPADD) {
        int family = length == 4 ? AF_INET : AF_INET6;
        return inet_ntop(family, bytes, name, (socklen_t)size) ? 0 : -ENAMETOOLONG;
    }
    if (length >= size)
        return -ENAMETOOLONG;
    memcpy(name, bytes, length);
    name[length] = '\0';
    return 0;
}

int loop_tls_peer_name(const struct loop_tls *tls, size_t index, char *name, size_t size)
{
    const X509 *peer = certificate(tls);
    if (!name || !peer)
        return name ? -ENOENT : -EINVAL;
    GENERAL_NAMES *names = X509_get_ext_d2i(peer, NID_subject_alt_name, NULL, NULL);
    int status = -ENOENT;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && status == -ENOENT; i++) {
        const GENERAL_NAME *entry = sk_GENERAL_NAME_value(names, i);
        if (is_name(entry) && index-- == 0)
            status = write_name(entry, name, size);
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return status;
}

int loop_tls_peer_subject(const struct loop_tls *tls, char *subject, size_t size)
{
    const X509 *peer = certificate(tls);
    if (!subject || !peer)
        return subject ? -ENOENT : -EINVAL;
    BIO *text = BIO_new(BIO_s_mem());
    if (!text)
        return -ENOMEM;
    X509_NAME_print_ex(text, X509_get_subject_name(peer), 0, XN_FLAG_RFC2253);
    char *bytes = NULL;
    size_t length = (size_t)BIO_get_mem_data(text, &bytes);
    int status = length < size ? 0 : -ENAMETOOLONG;
    if (status == 0) {
        memcpy(subject, bytes, length);
        subject[length] = '\0';
    }
    BIO_free(text);
    ERR_clear_error();
    return status;
}
