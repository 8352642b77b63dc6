/* SPDX-License-Identifier: Apache-2.0 */
/* TLS on OpenSSL, shared by its files. */
#pragma once
#include <openssl/ssl.h>

#include "consuld/net/tls.h"

struct tls_material {
    SSL_CTX *accept; /* NULL, as dial: nothing is configured */
    SSL_CTX *dial;
    X509_STORE *configured; /* the files' authorities */
    SSL_CTX *system;        /* checks by the system's CAs; made on first use */
    struct tls_facts facts;
    struct arena arena; /* of facts.cas */
    bool require_https;
    bool agent_tls_for_checks;
    char check_name[TLS_NAME_MAX];
};

struct net_tls {
    struct tls base;
    struct world *world;
    struct tls_material *material;
    BIO_METHOD *bio; /* between OpenSSL and the stream below; made on first use */
    size_t refs;     /* the owner and each stream */
};

void net__tls_unref(struct net_tls *t);

/* tls_load.c: a context without credentials, set up as all are. NULL if OpenSSL fails. */
SSL_CTX *net__tls_context(const SSL_METHOD *method);

/* tls_text.c: in Go's words, as long as they fit. Why OpenSSL failed, from its error queue, which
 * is empty afterwards; and why a certificate was refused: `name` is what it had to be valid for. */
struct str net__tls_why(char *out, size_t n);
struct str net__tls_why_refused(
    X509 *leaf, int result, bool accepting, const char *name, char *out, size_t n);

/* tls_peer.c */
bool net__tls_peer(X509 *cert, struct arena *a, struct tls_peer *out);
/* Is it valid for the name, and does one of these authorities vouch for it as a client? */
bool net__tls_peer_is(
    X509 *cert, STACK_OF(X509) * chain, X509_STORE *authorities, const char *name);
/* The names and addresses that it is valid for: "a.test, 127.0.0.1". False if there are none. */
bool net__tls_valid_for(X509 *cert, bool addresses, struct buf *out);
