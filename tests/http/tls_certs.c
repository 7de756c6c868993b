/* Keys and certificates for tests: P-256, by OpenSSL's own functions, in a folder of their own
 * below that for temporary files. Whatever fails here ends the program: no test could go on.
 *
 * Nothing is committed: a key in a tree is one that somebody will use.
 *
 * A certificate is made out from yesterday for ten days, so that a clock which is a little off does
 * no harm; the expired one ended yesterday.
 *
 * SPDX-License-Identifier: MIT */
#include "tls_certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAY = 24 * 60 * 60 };

struct wish {
    const char *file;
    const char *name; /* the common name */
    const char *extension;
    long days; /* until it ends */
};

static char folder[64];
static EVP_PKEY *ca_key;
static X509 *ca;
static long serial;

static void need(bool truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "certificates: %s failed\n", what);
    exit(1);
}

const char *certs_path(const char *name)
{
    static char paths[16][512];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void extend(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    need(extension && X509_add_ext(cert, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static X509 *make(const struct wish *wish, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    need(cert && X509_set_version(cert, 2), "X509_new");
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial + getpid() * 1000L);
    X509_gmtime_adj(X509_getm_notBefore(cert), -(wish->days < 0 ? 10 : 1) * DAY);
    X509_gmtime_adj(X509_getm_notAfter(cert), wish->days * DAY);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)wish->name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
    if (wish->extension)
        extend(cert, NID_subject_alt_name, wish->extension);
    else
        extend(cert, NID_basic_constraints, "critical,CA:TRUE");
    need(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "X509_sign");
    return cert;
}

/* Written beside its place and moved there, so that who reads it sees the old or the new. */
static void save(const char *name, X509 *cert, EVP_PKEY *key, const char *passphrase)
{
    const char *path = certs_path(name);
    const char *fresh = certs_path("fresh");
    FILE *file = fopen(fresh, "w");
    need(file != NULL, fresh);
    if (cert)
        PEM_write_X509(file, cert);
    if (key)
        PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                             (void *)(uintptr_t)passphrase);
    need(fclose(file) == 0 && rename(fresh, path) == 0, path);
}

static void issue(const struct wish *wish, bool by_itself, const char *passphrase)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    need(key != NULL, "EVP_EC_gen");
    X509 *cert = make(wish, key, by_itself ? NULL : ca, by_itself ? key : ca_key);
    save(wish->file, cert, key, passphrase);
    X509_free(cert);
    EVP_PKEY_free(key);
}

void certs_renew(const char *name, const char *host)
{
    char extension[128];
    snprintf(extension, sizeof(extension), "DNS:%s", host);
    issue(&(struct wish){name, host, extension, 10}, false, NULL);
}

static void make_ca(void)
{
    ca_key = EVP_EC_gen("P-256");
    need(ca_key != NULL, "EVP_EC_gen");
    ca = make(&(struct wish){"ca.pem", "An authority", NULL, 10}, ca_key, NULL, ca_key);
    save("ca.pem", ca, NULL, NULL);
}

const char *certs_make(void)
{
    static const char local[] = "DNS:localhost,IP:127.0.0.1";
    snprintf(folder, sizeof(folder), "/tmp/loop-certs-XXXXXX");
    need(mkdtemp(folder) != NULL, folder);
    make_ca();
    issue(&(struct wish){"server.pem", "localhost", local, 10}, false, NULL);
    issue(&(struct wish){"a.pem", "a.example", "DNS:a.example", 10}, false, NULL);
    issue(&(struct wish){"wild.pem", "wild", "DNS:*.wild.example", 10}, false, NULL);
    issue(&(struct wish){"alice.pem", "alice", "DNS:alice.example,IP:::1", 10}, false, NULL);
    issue(&(struct wish){"expired.pem", "localhost", local, -1}, false, NULL);
    issue(&(struct wish){"self.pem", "localhost", local, 10}, true, NULL);
    issue(&(struct wish){"secret.pem", "localhost", local, 10}, false, "guess");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    save("key.pem", NULL, key, NULL);
    save("broken.pem", NULL, NULL, NULL);
    EVP_PKEY_free(key);
    return folder;
}

void certs_remove(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlink(certs_path(entry->d_name));
    if (dir)
        closedir(dir);
    rmdir(folder);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}
