/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "consuld/net/tls.h"

#define PEM_MAX ((size_t)1 << 20)

/* What is made or read; whatever was created is freed by `end`. */
struct work {
    struct arena *a;
    EVP_PKEY *key;   /* of the one who signs */
    X509 *authority; /* whose certificate that is */
    X509 *cert;
    X509_REQ *request;
    const char *failed; /* the step that did */
    bool unread;        /* that was a text without what it should hold: failed is all */
};

static void step(struct work *w, int ok, const char *what)
{
    if (ok <= 0 && !w->failed) w->failed = what;
}

static int end(struct work *w, struct error *err)
{
    EVP_PKEY_free(w->key);
    X509_free(w->authority);
    X509_free(w->cert);
    X509_REQ_free(w->request);
    if (!w->failed) return 0;
    return error_set(err, ERR_INTERNAL, w->unread ? "%s" : "x509: %s", w->failed);
}

/* --- texts ----------------------------------------------------------------------------------- */

static struct str hex_pairs(struct arena *a, const unsigned char *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *out = arena_alloc(a, n * 3 + 1);
    for (size_t i = 0; i < n; i++) {
        out[i * 3] = digits[p[i] >> 4];
        out[i * 3 + 1] = digits[p[i] & 15];
        out[i * 3 + 2] = ':';
    }
    return (struct str){ out, n ? n * 3 - 1 : 0 };
}

static BIO *reader(struct str pem)
{
    BIO *bio = pem.n && pem.n <= PEM_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    return bio ? bio : BIO_new(BIO_s_mem());
}

static void take_text(struct work *w, BIO *bio, struct str *out)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    if (!w->failed) *out = str_dup(w->a, (struct str){ p, n > 0 ? (size_t)n : 0 });
    BIO_free(bio);
}

/* A passphrase is never asked for. */
static int no_passphrase(char *to, int size, int writing, void *ctx)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static void read_key(struct work *w, struct str pem)
{
    BIO *bio = reader(pem);
    w->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    step(w, w->key != NULL, "the private key cannot be read");
    BIO_free(bio);
}

/* What is wrong with a text that has no `type` in front: told in `other` if it has something else.
 */
static void note_unread(struct work *w, struct str pem, const char *type, const char *other)
{
    ptrdiff_t begin = str_find(pem, STR("-----BEGIN ")), found = str_find(pem, str_of(type));
    if (w->failed || (found >= 0 && found == begin)) return;
    w->unread = true;
    w->failed = begin < 0 ? "no PEM-encoded data found" : other;
}

static X509 *read_certificate(struct work *w, struct str pem)
{
    BIO *bio = reader(pem);
    X509 *out = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    if (!out)
        note_unread(
            w, pem, "-----BEGIN CERTIFICATE-----", "first PEM-block should be CERTIFICATE type");
    step(w, out != NULL, "malformed certificate");
    BIO_free(bio);
    return out;
}

static void read_request(struct work *w, struct str pem)
{
    BIO *bio = reader(pem);
    w->request = PEM_read_bio_X509_REQ(bio, NULL, no_passphrase, NULL);
    if (!w->request)
        note_unread(w, pem, "-----BEGIN CERTIFICATE REQUEST-----",
            "first PEM-block should be CERTIFICATE REQUEST type");
    step(w, w->request != NULL, "malformed certificate request");
    BIO_free(bio);
}

static void write_certificate(struct work *w, struct str *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (!w->failed) step(w, PEM_write_bio_X509(bio, w->cert), "PEM");
    take_text(w, bio, out);
}

/* --- keys ------------------------------------------------------------------------------------ */

static int make_key(
    struct arena *a, struct str type, int64_t bits, struct str *key, struct error *err)
{
    static const struct {
        int64_t bits;
        const char *curve;
    } curves[] = { { 224, "P-224" }, { 256, "P-256" }, { 384, "P-384" }, { 521, "P-521" } };
    struct work w = { .a = a };
    if (str_is(type, "rsa") && (bits == 2048 || bits == 4096)) w.key = EVP_RSA_gen((unsigned)bits);
    for (size_t i = 0; str_is(type, "ec") && i < sizeof curves / sizeof curves[0]; i++)
        if (bits == curves[i].bits) w.key = EVP_EC_gen(curves[i].curve);
    BIO *bio = BIO_new(BIO_s_mem());
    step(&w, w.key != NULL, "no such kind of key");
    if (w.key)
        step(
            &w, PEM_write_bio_PrivateKey_traditional(bio, w.key, NULL, NULL, 0, NULL, NULL), "PEM");
    take_text(&w, bio, key);
    return end(&w, err);
}

/* --- parts of a certificate ------------------------------------------------------------------ */

static void add(struct work *w, int nid, void *value, bool critical)
{
    step(w, value && X509_add1_ext_i2d(w->cert, nid, value, critical, X509V3_ADD_REPLACE),
        "an extension cannot be added");
}

enum rank { RANK_LEAF, RANK_AUTHORITY, RANK_LAST_AUTHORITY }; /* the last: it signs leaves alone */

static void add_usage(struct work *w, enum rank rank)
{
    /* digitalSignature, keyEncipherment, dataEncipherment, keyAgreement */
    static const int of_leaf[] = { 0, 2, 3, 4 };
    /* digitalSignature, keyCertSign, cRLSign */
    static const int of_authority[] = { 0, 5, 6 };
    const int *bits = rank == RANK_LEAF ? of_leaf : of_authority;
    size_t n =
        rank == RANK_LEAF ? sizeof of_leaf / sizeof *bits : sizeof of_authority / sizeof *bits;
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    for (size_t i = 0; usage && i < n; i++)
        step(w, ASN1_BIT_STRING_set_bit(usage, bits[i], 1), "key usage");
    add(w, NID_key_usage, usage, true);
    ASN1_BIT_STRING_free(usage);
}

static BASIC_CONSTRAINTS *constraints(struct work *w, enum rank rank)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    ensure(basic);
    basic->ca = rank == RANK_LEAF ? 0 : 0xFF;
    if (rank == RANK_LAST_AUTHORITY) {
        basic->pathlen = ASN1_INTEGER_new();
        step(w, basic->pathlen && ASN1_INTEGER_set(basic->pathlen, 0), "path length");
    }
    return basic;
}

static void add_basic(struct work *w, enum rank rank)
{
    BASIC_CONSTRAINTS *basic = constraints(w, rank);
    add(w, NID_basic_constraints, basic, true);
    BASIC_CONSTRAINTS_free(basic);
}

static void add_purposes(struct work *w)
{
    EXTENDED_KEY_USAGE *all = sk_ASN1_OBJECT_new_null();
    static const int purposes[] = { NID_client_auth, NID_server_auth };
    for (size_t i = 0; all && i < 2; i++)
        step(w, sk_ASN1_OBJECT_push(all, OBJ_nid2obj(purposes[i])), "extended key usage");
    add(w, NID_ext_key_usage, all, false);
    sk_ASN1_OBJECT_free(all);
}

/* SHA-256 of the public key as certificates hold it. */
static void add_key_id(struct work *w)
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(w->cert), &der);
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    step(w, size > 0 && EVP_Digest(der, (size_t)size, digest, &n, EVP_sha256(), NULL), "key id");
    if (id) step(w, ASN1_OCTET_STRING_set(id, digest, (int)n), "key id");
    add(w, NID_subject_key_identifier, id, false);
    ASN1_OCTET_STRING_free(id);
    OPENSSL_free(der);
}

static void add_authority_id(struct work *w, const X509 *authority)
{
    ASN1_OCTET_STRING *id = X509_get_ext_d2i(authority, NID_subject_key_identifier, NULL, NULL);
    AUTHORITY_KEYID *by = id ? AUTHORITY_KEYID_new() : NULL;
    if (!by) {
        ASN1_OCTET_STRING_free(id);
        return;
    }
    by->keyid = id;
    add(w, NID_authority_key_identifier, by, false);
    AUTHORITY_KEYID_free(by);
}

/* GEN_DNS, GEN_URI, or GEN_IPADD of a text. */
static void push_name(struct work *w, GENERAL_NAMES *names, int type, struct str text)
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
        step(w, n > 0, "an address is none");
        value = (struct str){ (const char *)ip, n };
    }
    step(w, ASN1_STRING_set(bytes, value.p, (int)value.n), "names");
    GENERAL_NAME_set0_value(name, type, bytes);
    step(w, sk_GENERAL_NAME_push(names, name), "names");
}

static GENERAL_NAMES *one_uri(struct work *w, struct str uri)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    push_name(w, names, GEN_URI, uri);
    return names;
}

static void add_uri(struct work *w, struct str uri)
{
    GENERAL_NAMES *names = one_uri(w, uri);
    add(w, NID_subject_alt_name, names, false);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static GENERAL_NAMES *requested_names(X509_REQ *request)
{
    STACK_OF(X509_EXTENSION) *all = X509_REQ_get_extensions(request);
    GENERAL_NAMES *names = X509V3_get_d2i(all, NID_subject_alt_name, NULL, NULL);
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return names;
}

/* Of the request's names those of some kinds, and `uri`, if there is one. */
static void add_names(struct work *w, const int *kinds, size_t n, struct str uri)
{
    GENERAL_NAMES *names = requested_names(w->request);
    for (int i = sk_GENERAL_NAME_num(names) - 1; i >= 0; i--) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        bool kept = false;
        for (size_t k = 0; k < n; k++)
            kept = kept || name->type == kinds[k];
        if (!kept) GENERAL_NAME_free(sk_GENERAL_NAME_delete(names, i));
    }
    if (uri.p) {
        GENERAL_NAMES *given = one_uri(w, uri);
        GENERAL_NAME *name = sk_GENERAL_NAME_pop(given);
        if (!names) names = sk_GENERAL_NAME_new_null();
        step(w, names && sk_GENERAL_NAME_push(names, name), "names");
        sk_GENERAL_NAME_free(given);
    }
    if (sk_GENERAL_NAME_num(names) > 0) add(w, NID_subject_alt_name, names, false);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static void set_common_name(struct work *w, X509_NAME *to, struct str name)
{
    step(w,
        X509_NAME_add_entry_by_txt(
            to, "CN", V_ASN1_PRINTABLESTRING, (const unsigned char *)name.p, (int)name.n, -1, 0),
        "name");
}

static void set_frame(struct work *w, const struct cert_order *o)
{
    step(w, X509_set_version(w->cert, 2), "version");
    step(w, ASN1_INTEGER_set_uint64(X509_get_serialNumber(w->cert), o->serial), "serial");
    step(w, ASN1_TIME_set(X509_getm_notBefore(w->cert), (time_t)o->not_before_s) != NULL, "dates");
    step(w, ASN1_TIME_set(X509_getm_notAfter(w->cert), (time_t)o->not_after_s) != NULL, "dates");
}

static void sign(struct work *w)
{
    if (!w->failed) step(w, X509_sign(w->cert, w->key, EVP_sha256()), "signature");
}

/* --- certificates ---------------------------------------------------------------------------- */

static int make_root(
    struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err)
{
    struct work w = { .a = a, .cert = X509_new() };
    ensure(w.cert);
    read_key(&w, o->key);
    if (w.key) {
        set_frame(&w, o);
        step(&w, X509_set_pubkey(w.cert, w.key), "public key");
        set_common_name(&w, X509_get_subject_name(w.cert), o->common_name);
        step(&w, X509_set_issuer_name(w.cert, X509_get_subject_name(w.cert)), "issuer");
        add_usage(&w, RANK_AUTHORITY);
        add_basic(&w, RANK_AUTHORITY);
        add_key_id(&w);
        add_authority_id(&w, w.cert);
        add_uri(&w, o->uri);
        sign(&w);
    }
    write_certificate(&w, certificate);
    return end(&w, err);
}

static void open_authority(struct work *w, const struct cert_order *o)
{
    read_key(w, o->signer_key);
    w->authority = read_certificate(w, o->signer);
}

static void issue(struct work *w, const struct cert_order *o, enum rank rank)
{
    static const int kinds[] = { GEN_DNS, GEN_IPADD, GEN_URI };
    X509_NAME *subject = X509_REQ_get_subject_name(w->request);
    EVP_PKEY *asked = X509_REQ_get0_pubkey(w->request);
    set_frame(w, o);
    step(w, asked && X509_set_pubkey(w->cert, asked), "public key");
    if (rank == RANK_LEAF)
        set_common_name(w, X509_get_subject_name(w->cert), o->common_name);
    else
        step(w, X509_set_subject_name(w->cert, subject), "name");
    step(w, X509_set_issuer_name(w->cert, X509_get_subject_name(w->authority)), "issuer");
    add_usage(w, rank);
    if (rank == RANK_LEAF) add_purposes(w);
    add_basic(w, rank);
    add_key_id(w);
    add_authority_id(w, w->authority);
    if (rank == RANK_LEAF)
        add_names(w, kinds, o->uri.p ? 2 : 3, o->uri);
    else
        add_names(w, kinds + 2, 1, STR_NIL);
    sign(w);
}

static int make_issued(struct arena *a, const struct cert_order *o, enum rank rank,
    struct str *certificate, struct error *err)
{
    struct work w = { .a = a, .cert = X509_new() };
    ensure(w.cert);
    read_request(&w, o->request);
    open_authority(&w, o);
    if (!w.failed) issue(&w, o, rank);
    write_certificate(&w, certificate);
    return end(&w, err);
}

static int make_leaf(
    struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err)
{
    return make_issued(a, o, RANK_LEAF, certificate, err);
}

static int make_intermediate(
    struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err)
{
    return make_issued(a, o, RANK_LAST_AUTHORITY, certificate, err);
}

static int cross_sign(
    struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err)
{
    struct work w = { .a = a };
    open_authority(&w, o);
    X509 *root = read_certificate(&w, o->crossed);
    w.cert = root ? X509_dup(root) : NULL;
    X509_free(root);
    step(&w, w.cert != NULL, "the certificate cannot be copied");
    if (!w.failed) {
        set_frame(&w, o);
        step(&w, X509_set_issuer_name(w.cert, X509_get_subject_name(w.authority)), "issuer");
        add_authority_id(&w, w.authority);
        sign(&w);
    }
    write_certificate(&w, certificate);
    return end(&w, err);
}

/* --- requests -------------------------------------------------------------------------------- */

static void fill_request(struct work *w, const struct cert_order *o)
{
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; i < o->n_dns_names; i++)
        push_name(w, names, GEN_DNS, o->dns_names[i]);
    for (size_t i = 0; i < o->n_addresses; i++)
        push_name(w, names, GEN_IPADD, o->addresses[i]);
    push_name(w, names, GEN_URI, o->uri);
    step(w, X509_REQ_set_pubkey(w->request, w->key), "public key");
    set_common_name(w, X509_REQ_get_subject_name(w->request), o->common_name);
    step(w, X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, 0), "names");
    if (o->authority) {
        BASIC_CONSTRAINTS *basic = constraints(w, RANK_AUTHORITY);
        step(w, X509V3_add1_i2d(&extensions, NID_basic_constraints, basic, 1, 0), "constraints");
        BASIC_CONSTRAINTS_free(basic);
    }
    step(w, X509_REQ_add_extensions(w->request, extensions), "names");
    step(w, X509_REQ_sign(w->request, w->key, EVP_sha256()), "signature");
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static int make_request(
    struct arena *a, const struct cert_order *o, struct str *request, struct error *err)
{
    struct work w = { .a = a, .request = X509_REQ_new() };
    BIO *bio = BIO_new(BIO_s_mem());
    ensure(w.request && bio);
    read_key(&w, o->key);
    if (w.key) fill_request(&w, o);
    if (!w.failed) step(&w, PEM_write_bio_X509_REQ(bio, w.request), "PEM");
    take_text(&w, bio, request);
    return end(&w, err);
}

static struct cert_uris take_uris(struct work *w, GENERAL_NAMES *names)
{
    struct cert_uris uris = { 0 };
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI || uris.n++ > 0) continue;
        const ASN1_STRING *text = name->d.uniformResourceIdentifier;
        uris.first = str_dup(w->a, (struct str){ (const char *)ASN1_STRING_get0_data(text),
                                       (size_t)ASN1_STRING_length(text) });
    }
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return uris;
}

static int request_uris(
    struct arena *a, struct str request, struct cert_uris *uris, struct error *err)
{
    struct work w = { .a = a };
    read_request(&w, request);
    if (w.request) {
        EVP_PKEY *key = X509_REQ_get0_pubkey(w.request);
        step(&w, key && X509_REQ_verify(w.request, key) == 1,
            "the request is not signed by its key");
        *uris = take_uris(&w, requested_names(w.request));
    }
    return end(&w, err);
}

/* --- facts ----------------------------------------------------------------------------------- */

static int64_t unix_time(struct work *w, const ASN1_TIME *t)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    step(w, epoch && ASN1_TIME_diff(&days, &seconds, epoch, t), "dates");
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

static struct str octets(struct work *w, const ASN1_OCTET_STRING *s)
{
    if (!s) return STR("");
    return hex_pairs(w->a, ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static void read_facts(struct work *w, struct cert_facts *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    step(w, X509_digest(w->cert, EVP_sha1(), digest, &n), "digest");
    out->id = hex_pairs(w->a, digest, n);
    out->key_id = octets(w, X509_get0_subject_key_id(w->cert));
    out->authority_id = octets(w, X509_get0_authority_key_id(w->cert));
    const ASN1_INTEGER *serial = X509_get0_serialNumber(w->cert);
    const unsigned char *bytes = ASN1_STRING_get0_data(serial);
    size_t size = (size_t)ASN1_STRING_length(serial);
    out->serial_text = hex_pairs(w->a, bytes, size);
    out->serial = 0;
    for (size_t i = 0; i < size; i++)
        out->serial = out->serial << 8 | bytes[i];
    out->not_before_s = unix_time(w, X509_get0_notBefore(w->cert));
    out->not_after_s = unix_time(w, X509_get0_notAfter(w->cert));
    EVP_PKEY *key = X509_get0_pubkey(w->cert);
    step(w, key != NULL, "public key");
    if (!key) return;
    out->authority = X509_check_ca(w->cert) == 1;
    out->uris = take_uris(w, X509_get_ext_d2i(w->cert, NID_subject_alt_name, NULL, NULL));
    out->key_type = EVP_PKEY_is_a(key, "RSA") ? STR("rsa") : STR("ec");
    out->key_bits = EVP_PKEY_get_bits(key);
}

static int facts(struct arena *a, struct str certificate, struct cert_facts *out, struct error *err)
{
    struct work w = { .a = a };
    *out = (struct cert_facts){ 0 };
    w.cert = read_certificate(&w, certificate);
    if (w.cert) read_facts(&w, out);
    return end(&w, err);
}

/* Its dates count too. */
static bool verifies(struct work *w, X509 *root, const char **why)
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

static int check_issued(const struct cert_order *o, struct str certificate, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct work w = { .a = &a };
    const char *why = NULL;
    w.authority = read_certificate(&w, o->signer);
    read_key(&w, o->key);
    w.cert = read_certificate(&w, certificate);
    int rc = 0;
    if (!w.failed && X509_check_private_key(w.cert, w.key) != 1)
        rc = error_set(err, ERR_INTERNAL, "intermediate cert is for a different private key");
    else if (!w.failed && !verifies(&w, w.authority, &why))
        rc = error_set(
            err, ERR_INTERNAL, "could not verify intermediate cert against root: %s", why);
    int ended = end(&w, rc ? NULL : err);
    arena_free(&a);
    return rc ? rc : ended;
}

static struct str digest_text(struct arena *a, struct str text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ensure(EVP_Digest(text.p, text.n, digest, &n, EVP_sha256(), NULL) == 1);
    return hex_pairs(a, digest, n);
}

const struct certifier net_certifier = { .key = make_key,
    .request = make_request,
    .root = make_root,
    .leaf = make_leaf,
    .intermediate = make_intermediate,
    .cross_sign = cross_sign,
    .request_uris = request_uris,
    .check_issued = check_issued,
    .facts = facts,
    .digest = digest_text };
