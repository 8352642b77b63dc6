/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "certify.h"

#define PEM_MAX ((size_t)1 << 20)

void cert__step(struct cert_work *w, int ok, const char *what)
{
    if (ok <= 0 && !w->failed) w->failed = what;
}

int cert__end(struct cert_work *w, struct error *err)
{
    EVP_PKEY_free(w->key);
    X509_free(w->authority);
    X509_free(w->cert);
    X509_REQ_free(w->request);
    if (!w->failed) return 0;
    return error_set(err, ERR_INTERNAL, w->unread ? "%s" : "x509: %s", w->failed);
}

/* --- texts ----------------------------------------------------------------------------------- */

BIO *cert__reader(struct str pem)
{
    BIO *bio = pem.n && pem.n <= PEM_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    return bio ? bio : BIO_new(BIO_s_mem());
}

int cert__no_passphrase(char *to, int size, int writing, void *ctx)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

void cert__take_text(struct cert_work *w, BIO *bio, struct str *out)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    if (!w->failed) *out = str_dup(w->a, (struct str){ p, n > 0 ? (size_t)n : 0 });
    BIO_free(bio);
}

void cert__read_key(struct cert_work *w, struct str pem)
{
    BIO *bio = cert__reader(pem);
    w->key = PEM_read_bio_PrivateKey(bio, NULL, cert__no_passphrase, NULL);
    cert__step(w, w->key != NULL, "the private key cannot be read");
    BIO_free(bio);
}

void cert__note_unread(struct cert_work *w, struct str pem, const char *type, const char *other)
{
    ptrdiff_t begin = str_find(pem, STR("-----BEGIN ")), found = str_find(pem, str_of(type));
    if (w->failed || (found >= 0 && found == begin)) return;
    w->unread = true;
    w->failed = begin < 0 ? "no PEM-encoded data found" : other;
}

X509 *cert__read_certificate(struct cert_work *w, struct str pem)
{
    BIO *bio = cert__reader(pem);
    X509 *out = PEM_read_bio_X509(bio, NULL, cert__no_passphrase, NULL);
    if (!out)
        cert__note_unread(
            w, pem, "-----BEGIN CERTIFICATE-----", "first PEM-block should be CERTIFICATE type");
    cert__step(w, out != NULL, "malformed certificate");
    BIO_free(bio);
    return out;
}

void cert__write_certificate(struct cert_work *w, struct str *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (!w->failed) cert__step(w, PEM_write_bio_X509(bio, w->cert), "PEM");
    cert__take_text(w, bio, out);
}

void cert__write_key(struct cert_work *w, EVP_PKEY *key, struct str *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (!w->failed)
        cert__step(
            w, PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), "PEM");
    cert__take_text(w, bio, out);
}

/* --- parts ----------------------------------------------------------------------------------- */

void cert__set_dates(struct cert_work *w, const struct cert_order *o)
{
    cert__step(
        w, ASN1_TIME_set(X509_getm_notBefore(w->cert), (time_t)o->not_before_s) != NULL, "dates");
    cert__step(
        w, ASN1_TIME_set(X509_getm_notAfter(w->cert), (time_t)o->not_after_s) != NULL, "dates");
}

void cert__add(struct cert_work *w, int nid, void *value, bool critical)
{
    cert__step(w, value && X509_add1_ext_i2d(w->cert, nid, value, critical, X509V3_ADD_REPLACE),
        "an extension cannot be added");
}

void cert__add_usage(struct cert_work *w, const int *bits, size_t n)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    for (size_t i = 0; usage && i < n; i++)
        cert__step(w, ASN1_BIT_STRING_set_bit(usage, bits[i], 1), "key usage");
    cert__add(w, NID_key_usage, usage, true);
    ASN1_BIT_STRING_free(usage);
}

BASIC_CONSTRAINTS *cert__constraints(struct cert_work *w, enum cert_rank rank)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    ensure(basic);
    basic->ca = rank == RANK_LEAF ? 0 : 0xFF;
    if (rank == RANK_LAST_AUTHORITY) {
        basic->pathlen = ASN1_INTEGER_new();
        cert__step(w, basic->pathlen && ASN1_INTEGER_set(basic->pathlen, 0), "path length");
    }
    return basic;
}

void cert__add_basic(struct cert_work *w, enum cert_rank rank)
{
    BASIC_CONSTRAINTS *basic = cert__constraints(w, rank);
    cert__add(w, NID_basic_constraints, basic, true);
    BASIC_CONSTRAINTS_free(basic);
}

void cert__add_key_id(struct cert_work *w)
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(w->cert), &der);
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    cert__step(
        w, size > 0 && EVP_Digest(der, (size_t)size, digest, &n, EVP_sha256(), NULL), "key id");
    if (id) cert__step(w, ASN1_OCTET_STRING_set(id, digest, (int)n), "key id");
    cert__add(w, NID_subject_key_identifier, id, false);
    ASN1_OCTET_STRING_free(id);
    OPENSSL_free(der);
}

void cert__add_authority_id(struct cert_work *w, const X509 *authority)
{
    ASN1_OCTET_STRING *id = X509_get_ext_d2i(authority, NID_subject_key_identifier, NULL, NULL);
    AUTHORITY_KEYID *by = id ? AUTHORITY_KEYID_new() : NULL;
    if (!by) {
        ASN1_OCTET_STRING_free(id);
        return;
    }
    by->keyid = id;
    cert__add(w, NID_authority_key_identifier, by, false);
    AUTHORITY_KEYID_free(by);
}

void cert__push_name(struct cert_work *w, GENERAL_NAMES *names, int type, struct str text)
{
    unsigned char ip[16];
    struct str value = text;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *bytes =
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    ensure(names && name && bytes);
    if (type == GEN_IPADD) {
        const char *host = str_c(w->a, text);
        size_t n = inet_pton(AF_INET, host, ip) == 1    ? 4
                   : inet_pton(AF_INET6, host, ip) == 1 ? 16
                                                        : 0;
        cert__step(w, n > 0, CERT_NO_ADDRESS);
        value = (struct str){ (const char *)ip, n };
    }
    cert__step(w, ASN1_STRING_set(bytes, value.p, (int)value.n), "names");
    GENERAL_NAME_set0_value(name, type, bytes);
    cert__step(w, sk_GENERAL_NAME_push(names, name), "names");
}

void cert__sign(struct cert_work *w)
{
    if (!w->failed) cert__step(w, X509_sign(w->cert, w->key, EVP_sha256()), "signature");
}

bool cert__verifies(struct cert_work *w, X509 *root, const char **why)
{
    X509_STORE *trusted = X509_STORE_new();
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    ensure(trusted && check);
    bool good = X509_STORE_add_cert(trusted, root) == 1 &&
                X509_STORE_CTX_init(check, trusted, w->cert, NULL) == 1 &&
                X509_verify_cert(check) == 1;
    if (!good) *why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(check));
    X509_STORE_CTX_free(check);
    X509_STORE_free(trusted);
    return good;
}
