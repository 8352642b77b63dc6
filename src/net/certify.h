/* SPDX-License-Identifier: Apache-2.0 */
/* What certificates are put together from, shared by those of Connect (certify.c) and those of
 * agents (certify_agent.c). A step that failed is remembered in the work; what comes behind it does
 * no harm, and cert__end tells. */
#pragma once
#include <openssl/x509v3.h>

#include "consuld/net/tls.h"

/* What is made or read; whatever was created is freed by cert__end. */
struct cert_work {
    struct arena *a;
    EVP_PKEY *key;   /* of the one who signs */
    X509 *authority; /* whose certificate that is */
    X509 *cert;
    X509_REQ *request;
    const char *failed; /* the step that did */
    bool unread;        /* that was a text without what it should hold: failed is all */
};

#define CERT_NO_ADDRESS "an address is none" /* the step of cert__push_name */

enum cert_rank {
    RANK_LEAF,
    RANK_AUTHORITY,
    RANK_LAST_AUTHORITY, /* signs leaves alone */
};

/* `ok` is OpenSSL's: above zero. */
void cert__step(struct cert_work *w, int ok, const char *what);
/* 0, or *err: x509: WHAT. */
int cert__end(struct cert_work *w, struct error *err);

/* --- texts: PEM ------------------------------------------------------------------------------ */

/* Of a text, empty if it is too long; the caller frees it. */
BIO *cert__reader(struct str pem);
/* A passphrase is never asked for. */
int cert__no_passphrase(char *to, int size, int writing, void *ctx);
/* Into the work's arena, unless a step failed; frees the BIO. */
void cert__take_text(struct cert_work *w, BIO *bio, struct str *out);
void cert__read_key(struct cert_work *w, struct str pem);
/* What is wrong with a text that has no `type` in front: told in `other` if it has something else.
 */
void cert__note_unread(struct cert_work *w, struct str pem, const char *type, const char *other);
/* The caller's to free. */
X509 *cert__read_certificate(struct cert_work *w, struct str pem);
void cert__write_certificate(struct cert_work *w, struct str *out);
void cert__write_key(struct cert_work *w, EVP_PKEY *key, struct str *out);

/* --- parts of the certificate ---------------------------------------------------------------- */

void cert__set_dates(struct cert_work *w, const struct cert_order *o);
/* An extension. */
void cert__add(struct cert_work *w, int nid, void *value, bool critical);
/* Numbers of bits, see RFC 5280, 4.2.1.3. */
void cert__add_usage(struct cert_work *w, const int *bits, size_t n);
/* The caller's to free. */
BASIC_CONSTRAINTS *cert__constraints(struct cert_work *w, enum cert_rank rank);
void cert__add_basic(struct cert_work *w, enum cert_rank rank);
/* SHA-256 of the public key as certificates hold it. */
void cert__add_key_id(struct cert_work *w);
void cert__add_authority_id(struct cert_work *w, const X509 *authority);
/* GEN_DNS, GEN_URI, or GEN_IPADD of a text. */
void cert__push_name(struct cert_work *w, GENERAL_NAMES *names, int type, struct str text);
/* With the work's key. */
void cert__sign(struct cert_work *w);
/* Does the root vouch for the certificate? Its dates count too. */
bool cert__verifies(struct cert_work *w, X509 *root, const char **why);

/* certify_agent.c */
certify_pair cert__agent_authority, cert__agent;
