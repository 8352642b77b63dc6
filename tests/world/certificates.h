/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates made by a test, as PEM texts. */
#pragma once
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "consuld/base.h"

struct cert_made {
    X509 *cert;
    EVP_PKEY *key;
    char cert_pem[4096], key_pem[1024];
};

struct cert_wish {
    const char *name;
    const char *alternatives; /* OpenSSL's text: "DNS:a.test,IP:127.0.0.1,URI:spiffe://a" */
    const char *usage;        /* "serverAuth,clientAuth"; NULL: any */
    bool authority;
    bool expired;
};

static struct str cert_text(BIO *bio, char *to, size_t size)
{
    int n = BIO_read(bio, to, (int)size - 1);
    if (n < 0) n = 0;
    to[n] = '\0';
    BIO_free(bio);
    return (struct str){ to, (size_t)n };
}

static void cert_extend(X509 *cert, X509 *by, int nid, const char *text)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, by, cert, NULL, NULL, 0);
    X509_EXTENSION *e = text ? X509V3_EXT_conf_nid(NULL, &ctx, nid, text) : NULL;
    if (e) X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

/* Signed by `by`, or by itself. */
static void cert_make(struct cert_made *out, const struct cert_made *by, struct cert_wish wish)
{
    static long serial = 1;
    *out = (struct cert_made){ .cert = X509_new(), .key = EVP_EC_gen("P-256") };
    const struct cert_made *signer = by ? by : out;
    X509_set_version(out->cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(out->cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(out->cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(out->cert), wish.expired ? -3600 : 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(out->cert), "CN", MBSTRING_UTF8,
        (const unsigned char *)wish.name, -1, -1, 0);
    X509_set_issuer_name(out->cert, X509_get_subject_name(signer->cert));
    X509_set_pubkey(out->cert, out->key);
    cert_extend(out->cert, signer->cert, NID_basic_constraints,
        wish.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    cert_extend(out->cert, signer->cert, NID_subject_alt_name, wish.alternatives);
    cert_extend(out->cert, signer->cert, NID_ext_key_usage, wish.usage);
    if (!X509_sign(out->cert, signer->key, EVP_sha256())) abort();
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, out->cert);
    cert_text(bio, out->cert_pem, sizeof out->cert_pem);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, out->key, NULL, NULL, 0, NULL, NULL);
    cert_text(bio, out->key_pem, sizeof out->key_pem);
}

__attribute__((unused)) static void cert_free(struct cert_made *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (struct cert_made){ 0 };
}
