/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "tls.h"

#define SERIAL_BITS 128
#define DAYS_MAX 36500

struct making {
    struct cli *c;
    X509 *cert;
    EVP_PKEY *key;
    const char *failed; /* the step that did */
};

static void step(struct making *m, int ok, const char *what)
{
    if (ok <= 0 && !m->failed) m->failed = what;
}

/* Adds an extension and frees `value` by `free_fn`. */
static void add(struct making *m, int nid, void *value, bool critical, const char *what)
{
    step(m, value && X509_add1_ext_i2d(m->cert, nid, value, critical, X509V3_ADD_APPEND), what);
}

/* --- parts ----------------------------------------------------------------------------------- */

static void make_key(struct making *m)
{
    m->key = EVP_EC_gen("P-256");
    step(m, m->key != NULL, "key");
    if (m->key) step(m, X509_set_pubkey(m->cert, m->key), "public key");
}

/* The number in decimal, for the authority's name. */
static struct str set_serial(struct making *m)
{
    BIGNUM *n = BN_new();
    struct str out = STR("");
    step(m, n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY), "serial");
    step(m, n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(m->cert)) != NULL, "serial");
    char *text = n ? BN_bn2dec(n) : NULL;
    if (text) out = str_dup(&m->c->arena, str_of(text));
    OPENSSL_free(text);
    BN_free(n);
    return out;
}

static void set_dates(struct making *m, int64_t days)
{
    if (days < -DAYS_MAX || days > DAYS_MAX) {
        step(m, 0, "days");
        return;
    }
    step(m, X509_gmtime_adj(X509_getm_notBefore(m->cert), 0) != NULL, "dates");
    step(m, X509_time_adj_ex(X509_getm_notAfter(m->cert), (int)days, 0, NULL) != NULL, "dates");
}

static void add_name(struct making *m, const char *field, struct str text)
{
    step(m,
        X509_NAME_add_entry_by_txt(X509_get_subject_name(m->cert), field, MBSTRING_UTF8,
            (const unsigned char *)text.p, (int)text.n, -1, 0),
        "name");
}

static void add_usage(struct making *m, const int *bits, size_t n)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    for (size_t i = 0; usage && i < n; i++)
        step(m, ASN1_BIT_STRING_set_bit(usage, bits[i], 1), "key usage");
    add(m, NID_key_usage, usage, true, "key usage");
    ASN1_BIT_STRING_free(usage);
}

static void add_basic(struct making *m, bool authority)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    if (basic) basic->ca = authority ? 0xFF : 0;
    add(m, NID_basic_constraints, basic, true, "basic constraints");
    BASIC_CONSTRAINTS_free(basic);
}

/* Subject key id: SHA-256 of the public key as the certificate holds it. */
static void add_subject_id(struct making *m)
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(m->cert), &der);
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    step(m, size > 0 && EVP_Digest(der, (size_t)size, digest, &n, EVP_sha256(), NULL), "key id");
    if (id) step(m, ASN1_OCTET_STRING_set(id, digest, (int)n), "key id");
    add(m, NID_subject_key_identifier, id, false, "key id");
    ASN1_OCTET_STRING_free(id);
    OPENSSL_free(der);
}

/* Read from the extension itself: what OpenSSL caches of a certificate in the making is not ours.
 */
static void add_authority_id(struct making *m, const X509 *authority)
{
    ASN1_OCTET_STRING *id = X509_get_ext_d2i(authority, NID_subject_key_identifier, NULL, NULL);
    AUTHORITY_KEYID *by = id ? AUTHORITY_KEYID_new() : NULL;
    if (!id) return;
    if (by) by->keyid = id;
    add(m, NID_authority_key_identifier, by, false, "authority key id");
    if (!by) ASN1_OCTET_STRING_free(id);
    AUTHORITY_KEYID_free(by);
}

static GENERAL_NAME *dns_name(struct str name)
{
    GENERAL_NAME *out = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    if (out && text && ASN1_STRING_set(text, name.p, (int)name.n)) {
        GENERAL_NAME_set0_value(out, GEN_DNS, text);
        return out;
    }
    GENERAL_NAME_free(out);
    ASN1_IA5STRING_free(text);
    return NULL;
}

static GENERAL_NAME *ip_name(struct cli *c, struct str address)
{
    unsigned char bytes[16];
    const char *text = str_c(&c->arena, address);
    int n = inet_pton(AF_INET, text, bytes) == 1    ? 4
            : inet_pton(AF_INET6, text, bytes) == 1 ? 16
                                                    : 0;
    GENERAL_NAME *out = GENERAL_NAME_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    if (n && out && value && ASN1_OCTET_STRING_set(value, bytes, n)) {
        GENERAL_NAME_set0_value(out, GEN_IPADD, value);
        return out;
    }
    GENERAL_NAME_free(out);
    ASN1_OCTET_STRING_free(value);
    return NULL;
}

static void add_constraints(struct making *m, const struct tls_ca_options *o)
{
    struct list names = { 0 };
    NAME_CONSTRAINTS *limits = NAME_CONSTRAINTS_new();
    struct arena *a = &m->c->arena;
    for (size_t i = 0; i < o->additional.n; i++)
        *LIST_PUSH(a, &names, struct str) = LIST_AT(&o->additional, struct str, i);
    *LIST_PUSH(a, &names, struct str) = o->domain;
    *LIST_PUSH(a, &names, struct str) = STR("localhost");
    if (limits) limits->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
    for (size_t i = 0; limits && limits->permittedSubtrees && i < names.n; i++) {
        GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
        GENERAL_NAME *name = dns_name(LIST_AT(&names, struct str, i));
        step(m, tree && name, "name constraints");
        if (tree && name) {
            GENERAL_NAME_free(tree->base);
            tree->base = name;
            step(m, sk_GENERAL_SUBTREE_push(limits->permittedSubtrees, tree), "name constraints");
        }
    }
    add(m, NID_name_constraints, limits, true, "name constraints");
    NAME_CONSTRAINTS_free(limits);
}

/* --- texts ----------------------------------------------------------------------------------- */

static struct str text_of(struct cli *c, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    return str_dup(&c->arena, (struct str){ p, n > 0 ? (size_t)n : 0 });
}

static int finish(
    struct making *m, EVP_PKEY *signer, struct str *certificate, struct str *key, struct error *err)
{
    BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
    if (!m->failed) step(m, X509_sign(m->cert, signer, EVP_sha256()), "signature");
    if (!m->failed) {
        step(m, PEM_write_bio_X509(cert_bio, m->cert), "PEM");
        step(m, PEM_write_bio_PrivateKey_traditional(key_bio, m->key, NULL, NULL, 0, NULL, NULL),
            "PEM");
        *certificate = text_of(m->c, cert_bio);
        *key = text_of(m->c, key_bio);
    }
    BIO_free(cert_bio);
    BIO_free(key_bio);
    return m->failed
               ? error_set(err, ERR_BAD_REQUEST, "x509: cannot make the certificate: %s", m->failed)
               : 0;
}

static void begin(struct making *m, struct cli *c)
{
    *m = (struct making){ .c = c, .cert = X509_new() };
    ensure(m->cert);
    step(m, X509_set_version(m->cert, 2), "version");
}

static void end(struct making *m)
{
    X509_free(m->cert);
    EVP_PKEY_free(m->key);
}

/* --- the authority --------------------------------------------------------------------------- */

int tls_ca_make(struct cli *c, const struct tls_ca_options *o, struct str *certificate,
    struct str *key, struct error *err)
{
    static const int usage[] = { 0, 5, 6 }; /* digitalSignature, keyCertSign, cRLSign */
    struct making m;
    begin(&m, c);
    make_key(&m);
    struct str serial = set_serial(&m);
    set_dates(&m, o->days);
    add_name(&m, "C", STR("US"));
    add_name(&m, "ST", STR("CA"));
    add_name(&m, "L", STR("San Francisco"));
    add_name(&m, "street", STR("101 Second Street"));
    add_name(&m, "postalCode", STR("94105"));
    add_name(&m, "O", STR("HashiCorp Inc."));
    add_name(&m, "CN", str_printf(&c->arena, "Consul Agent CA %.*s", STR_ARG(serial)));
    step(&m, X509_set_issuer_name(m.cert, X509_get_subject_name(m.cert)), "issuer");
    add_usage(&m, usage, sizeof usage / sizeof usage[0]);
    add_basic(&m, true);
    add_subject_id(&m);
    add_authority_id(&m, m.cert);
    if (o->constrain) add_constraints(&m, o);
    int rc = finish(&m, m.key, certificate, key, err);
    end(&m);
    return rc;
}

/* --- certificates ---------------------------------------------------------------------------- */

static void add_extended_usage(struct making *m, const char *usages)
{
    EXTENDED_KEY_USAGE *all = sk_ASN1_OBJECT_new_null();
    struct str rest = str_of(usages), word;
    for (bool more = true; more && all;) {
        more = str_cut(rest, ',', &word, &rest);
        ASN1_OBJECT *object = OBJ_txt2obj(str_c(&m->c->arena, word), 0);
        step(m, object && sk_ASN1_OBJECT_push(all, object), "extended key usage");
    }
    add(m, NID_ext_key_usage, all, false, "extended key usage");
    sk_ASN1_OBJECT_pop_free(all, ASN1_OBJECT_free);
}

static void add_alternative_names(struct making *m, const struct tls_cert_options *o)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; i < o->names.n; i++) {
        GENERAL_NAME *name = dns_name(LIST_AT(&o->names, struct str, i));
        step(m, name && sk_GENERAL_NAME_push(names, name), "names");
    }
    for (size_t i = 0; i < o->addresses.n; i++) {
        GENERAL_NAME *name = ip_name(m->c, LIST_AT(&o->addresses, struct str, i));
        step(m, name && sk_GENERAL_NAME_push(names, name), "addresses");
    }
    add(m, NID_subject_alt_name, names, false, "names");
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

/* The first block must be the signing key. */
static EVP_PKEY *read_key(struct str pem, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
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

static X509 *read_certificate(struct str pem, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *out = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (!out) error_set(err, ERR_DECODE, "no PEM-encoded data found");
    BIO_free(bio);
    return out;
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
static int check_names(X509 *authority, const struct tls_cert_options *o, struct error *err)
{
    int rc = 0;
    NAME_CONSTRAINTS *limits = X509_get_ext_d2i(authority, NID_name_constraints, NULL, NULL);
    for (size_t i = 0; limits && limits->permittedSubtrees && rc == 0 && i < o->names.n; i++) {
        struct str name = LIST_AT(&o->names, struct str, i);
        if (!is_permitted(name, limits))
            rc = error_set(err, ERR_DENIED,
                "x509: a root or intermediate certificate is not authorized to sign for this "
                "name: DNS name \"%.*s\" is not permitted by any constraint",
                STR_ARG(name));
    }
    NAME_CONSTRAINTS_free(limits);
    return rc;
}

static int verify(X509 *cert, X509 *authority, struct error *err)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int rc = 0;
    if (!store || !context || !X509_STORE_add_cert(store, authority) ||
        !X509_STORE_CTX_init(context, store, cert, NULL))
        rc = error_set(err, ERR_INTERNAL, "x509: cannot verify");
    else if (X509_verify_cert(context) != 1)
        rc = error_set(err, ERR_DENIED, "x509: %s",
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return rc;
}

static int fill(
    struct making *m, const struct tls_cert_options *o, X509 *authority, struct error *err)
{
    static const int usage[] = { 0, 2 }; /* digitalSignature, keyEncipherment */
    make_key(m);
    set_serial(m);
    set_dates(m, o->days);
    add_name(m, "CN", o->name);
    step(m, X509_set_issuer_name(m->cert, X509_get_subject_name(authority)), "issuer");
    add_usage(m, usage, sizeof usage / sizeof usage[0]);
    if (o->usages) add_extended_usage(m, o->usages);
    add_basic(m, false);
    add_subject_id(m);
    add_authority_id(m, authority);
    add_alternative_names(m, o);
    if (m->failed && strcmp(m->failed, "addresses") == 0)
        return error_set(err, ERR_BAD_REQUEST, "failed to parse certificate");
    return 0;
}

int tls_cert_make(struct cli *c, const struct tls_cert_options *o, struct str *certificate,
    struct str *key, struct error *err)
{
    struct making m;
    EVP_PKEY *signer = read_key(o->authority_key, err);
    X509 *authority = signer ? read_certificate(o->authority, err) : NULL;
    begin(&m, c);
    int rc = authority ? fill(&m, o, authority, err) : ERR_DECODE;
    if (rc == 0) rc = finish(&m, signer, certificate, key, err);
    if (rc == 0) rc = check_names(authority, o, err);
    if (rc == 0) rc = verify(m.cert, authority, err);
    end(&m);
    X509_free(authority);
    EVP_PKEY_free(signer);
    return rc;
}
