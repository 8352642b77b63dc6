/* SPDX-License-Identifier: Apache-2.0 */
/* Authority and certificates of agents, as the command line makes them. */
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "certify.h"

#define SERIAL_BITS 128

/* --- parts ----------------------------------------------------------------------------------- */

/* A certificate with a key of its own, and its number in decimal. */
static EVP_PKEY *begin(struct cert_work *w, const struct cert_order *o, struct str *number)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIGNUM *n = BN_new();
    w->cert = X509_new();
    ensure(w->cert && n);
    cert__step(w, key && X509_set_pubkey(w->cert, key), "key");
    cert__step(w, X509_set_version(w->cert, 2), "version");
    cert__step(w, BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY), "serial");
    cert__step(w, BN_to_ASN1_INTEGER(n, X509_get_serialNumber(w->cert)) != NULL, "serial");
    char *text = BN_bn2dec(n);
    *number = str_dup(w->a, text ? str_of(text) : STR(""));
    OPENSSL_free(text);
    BN_free(n);
    cert__set_dates(w, o);
    return key;
}

static void add_name(struct cert_work *w, const char *field, struct str text)
{
    cert__step(w,
        X509_NAME_add_entry_by_txt(X509_get_subject_name(w->cert), field, MBSTRING_UTF8,
            (const unsigned char *)text.p, (int)text.n, -1, 0),
        "name");
}

/* The authority signs for these names alone. */
static void add_limits(struct cert_work *w, const struct cert_order *o)
{
    NAME_CONSTRAINTS *limits = NAME_CONSTRAINTS_new();
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    ensure(limits && names);
    limits->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
    for (size_t i = 0; i < o->n_dns_names; i++) {
        GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
        ensure(tree);
        cert__push_name(w, names, GEN_DNS, o->dns_names[i]);
        GENERAL_NAME_free(tree->base);
        tree->base = sk_GENERAL_NAME_pop(names);
        cert__step(w, sk_GENERAL_SUBTREE_push(limits->permittedSubtrees, tree), "name constraints");
    }
    cert__add(w, NID_name_constraints, limits, true);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    NAME_CONSTRAINTS_free(limits);
}

static void add_purposes(struct cert_work *w, const char *purposes)
{
    EXTENDED_KEY_USAGE *all = sk_ASN1_OBJECT_new_null();
    struct str rest = str_of(purposes), word;
    for (bool more = true; more && all;) {
        more = str_cut(rest, ',', &word, &rest);
        ASN1_OBJECT *object = OBJ_txt2obj(str_c(w->a, word), 0);
        cert__step(w, object && sk_ASN1_OBJECT_push(all, object), "extended key usage");
    }
    cert__add(w, NID_ext_key_usage, all, false);
    sk_ASN1_OBJECT_pop_free(all, ASN1_OBJECT_free);
}

static void add_alternatives(struct cert_work *w, const struct cert_order *o)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; i < o->n_dns_names; i++)
        cert__push_name(w, names, GEN_DNS, o->dns_names[i]);
    for (size_t i = 0; i < o->n_addresses; i++)
        cert__push_name(w, names, GEN_IPADD, o->addresses[i]);
    cert__add(w, NID_subject_alt_name, names, false);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

/* --- the authority --------------------------------------------------------------------------- */

int cert__agent_authority(struct arena *a, const struct cert_order *o, struct str *certificate,
    struct str *key, struct error *err)
{
    static const int usage[] = { 0, 5, 6 }; /* digitalSignature, keyCertSign, cRLSign */
    struct cert_work w = { .a = a };
    struct str number;
    w.key = begin(&w, o, &number);
    add_name(&w, "C", STR("US"));
    add_name(&w, "ST", STR("CA"));
    add_name(&w, "L", STR("San Francisco"));
    add_name(&w, "street", STR("101 Second Street"));
    add_name(&w, "postalCode", STR("94105"));
    add_name(&w, "O", STR("HashiCorp Inc."));
    add_name(&w, "CN", str_printf(a, "%.*s %.*s", STR_ARG(o->common_name), STR_ARG(number)));
    cert__step(&w, X509_set_issuer_name(w.cert, X509_get_subject_name(w.cert)), "issuer");
    cert__add_usage(&w, usage, sizeof usage / sizeof usage[0]);
    cert__add_basic(&w, RANK_AUTHORITY);
    cert__add_key_id(&w);
    cert__add_authority_id(&w, w.cert);
    if (o->n_dns_names) add_limits(&w, o);
    cert__sign(&w);
    cert__write_certificate(&w, certificate);
    cert__write_key(&w, w.key, key);
    return cert__end(&w, err);
}

/* --- what it signs --------------------------------------------------------------------------- */

/* The first block must be the signing key. */
static EVP_PKEY *read_signer(struct str pem, struct error *err)
{
    BIO *bio = cert__reader(pem);
    char *type = NULL, *header = NULL;
    unsigned char *data = NULL;
    long n;
    EVP_PKEY *key = NULL;
    if (!PEM_read_bio(bio, &type, &header, &data, &n)) {
        error_set(err, ERR_DECODE, "no PEM-encoded data found");
    } else if (strcmp(type, "EC PRIVATE KEY") != 0) {
        error_set(err, ERR_DECODE, "unknown PEM block type for signing key: %s", type);
    } else {
        const unsigned char *at = data;
        key = d2i_PrivateKey(EVP_PKEY_EC, NULL, &at, n);
        if (!key) error_set(err, ERR_DECODE, "x509: failed to parse EC private key");
    }
    OPENSSL_free(type);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, data ? (size_t)n : 0);
    BIO_free(bio);
    return key;
}

static bool is_permitted(struct str name, const NAME_CONSTRAINTS *limits)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(limits->permittedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(limits->permittedSubtrees, i)->base;
        if (base->type != GEN_DNS) continue;
        struct str root = { (const char *)ASN1_STRING_get0_data(base->d.dNSName),
            (size_t)ASN1_STRING_length(base->d.dNSName) };
        if (str_eq_nocase(name, root)) return true;
        if (!str_has_suffix(name, root) || name.n <= root.n) continue;
        if (root.n == 0 || root.p[0] == '.' || name.p[name.n - root.n - 1] == '.') return true;
    }
    return false;
}

/* Names the one that the authority may not sign for. */
static int check_names(X509 *authority, const struct cert_order *o, struct error *err)
{
    int rc = 0;
    NAME_CONSTRAINTS *limits = X509_get_ext_d2i(authority, NID_name_constraints, NULL, NULL);
    for (size_t i = 0; limits && limits->permittedSubtrees && rc == 0 && i < o->n_dns_names; i++)
        if (!is_permitted(o->dns_names[i], limits))
            rc = error_set(err, ERR_DENIED,
                "x509: a root or intermediate certificate is not authorized to sign for this "
                "name: DNS name \"%.*s\" is not permitted by any constraint",
                STR_ARG(o->dns_names[i]));
    NAME_CONSTRAINTS_free(limits);
    return rc;
}

static void fill(struct cert_work *w, const struct cert_order *o)
{
    static const int usage[] = { 0, 2 }; /* digitalSignature, keyEncipherment */
    add_name(w, "CN", o->common_name);
    cert__step(w, X509_set_issuer_name(w->cert, X509_get_subject_name(w->authority)), "issuer");
    cert__add_usage(w, usage, sizeof usage / sizeof usage[0]);
    if (o->purposes) add_purposes(w, o->purposes);
    cert__add_basic(w, RANK_LEAF);
    cert__add_key_id(w);
    cert__add_authority_id(w, w->authority);
    add_alternatives(w, o);
    cert__sign(w);
}

static int issue(struct cert_work *w, const struct cert_order *o, struct str *certificate,
    struct str *key, struct error *err)
{
    struct str number;
    const char *why;
    w->key = read_signer(o->signer_key, err);
    if (!w->key) return ERR_DECODE;
    w->authority = cert__read_certificate(w, o->signer);
    if (!w->authority) return ERR_INTERNAL;
    EVP_PKEY *own = begin(w, o, &number);
    fill(w, o);
    cert__write_certificate(w, certificate);
    cert__write_key(w, own, key);
    EVP_PKEY_free(own);
    if (w->failed && strcmp(w->failed, CERT_NO_ADDRESS) == 0)
        return error_set(err, ERR_BAD_REQUEST, "failed to parse certificate");
    int rc = w->failed ? ERR_INTERNAL : check_names(w->authority, o, err);
    if (rc == 0 && !cert__verifies(w, w->authority, &why))
        rc = error_set(err, ERR_DENIED, "x509: %s", why);
    return rc;
}

int cert__agent(struct arena *a, const struct cert_order *o, struct str *certificate,
    struct str *key, struct error *err)
{
    struct cert_work w = { .a = a };
    int rc = issue(&w, o, certificate, key, err);
    bool told = rc && rc != ERR_INTERNAL; /* else it was a step */
    int ended = cert__end(&w, told ? NULL : err);
    return rc ? rc : ended;
}
