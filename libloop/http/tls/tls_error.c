/* OpenSSL's errors, as ours.
 *
 * OpenSSL keeps a queue of errors for each thread, not for each connection: what one connection
 * leaves there would be read as the fault of the next. So it is emptied before each operation whose
 * outcome is asked for, and here after each that failed.
 *
 * A number says what to do, a sentence says what happened. The first error in the queue is the
 * cause, the others say who met it; so the first is the one that is told.
 *
 * SPDX-License-Identifier: MIT */
#include "tls/tls.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

int tls_error_say(struct tls_why why, int status, const char *format, ...)
{
    va_list arguments;
    if (!why.text || why.size == 0)
        return status;
    va_start(arguments, format);
    vsnprintf(why.text, why.size, format, arguments);
    va_end(arguments);
    return status;
}

/* OpenSSL has no text for errors of the system, and gives no reason for a few others. */
static const char *words(unsigned long error)
{
    if (ERR_SYSTEM_ERROR(error))
        return loop_strerror(-ERR_GET_REASON(error));
    const char *reason = ERR_reason_error_string(error);
    return reason ? reason : "no reason given";
}

int tls_error_of_file(struct tls_why why, const char *file)
{
    unsigned long error = ERR_get_error();
    ERR_clear_error();
    int status = -EINVAL;
    if (ERR_SYSTEM_ERROR(error))
        status = -ERR_GET_REASON(error);
    else if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
        status = -ENOMEM;
    return tls_error_say(why, status, "%s: %s", file, words(error));
}

/* Of those it is the certificate that was not accepted, by us. */
static int of_certificate(struct loop_tls *tls)
{
    long verdict = SSL_get_verify_result(tls->ssl);
    return tls_error_say(tls_why_of(tls), -EKEYREJECTED, "the peer's certificate: %s",
                         X509_verify_cert_error_string(verdict));
}

/* kind: what SSL_get_error() said. */
int tls_error_of_ssl(struct loop_tls *tls, int kind)
{
    unsigned long error = ERR_get_error();
    ERR_clear_error();
    int reason = ERR_GET_REASON(error);
    if (tls->no_memory || reason == ERR_R_MALLOC_FAILURE)
        return tls_error_say(tls_why_of(tls), -ENOMEM, "out of memory");
    if (kind == SSL_ERROR_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return of_certificate(tls);
    bool told = kind == SSL_ERROR_SSL && reason >= SSL_AD_REASON_OFFSET;
    return tls_error_say(tls_why_of(tls), -EPROTO, "%s: %s",
                         told ? "the peer has refused" : "what the peer sent", words(error));
}
