/* Internal. Keys and certificates for tests, made anew in each run: nothing that must stay secret
 * is in the tree, and nothing runs out.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TLS_CERTS_H
#define TLS_CERTS_H

/* In a fresh folder: ca.pem, an authority, and, signed by it, each a certificate with its key in
 * one file: server.pem (DNS:localhost, IP:127.0.0.1), a.pem (DNS:a.example), wild.pem
 * (DNS:*.wild.example), alice.pem (for a client, DNS:alice.example), expired.pem (localhost, until
 * yesterday). self.pem (localhost) is signed by itself; key.pem is a key that fits nothing;
 * broken.pem is no certificate; secret.pem is server.pem's like, but its key has a passphrase. */
const char *certs_make(void);
void certs_remove(void);

/* The path of a file in the folder: in one of 16 buffers, used in turn. */
const char *certs_path(const char *name);

/* Makes name anew, as server.pem but for DNS:host. */
void certs_renew(const char *name, const char *host);

#endif
