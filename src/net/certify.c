/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "certify.h"

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

static void read_request(struct cert_work *w, struct str pem)
{
    BIO *bio = cert__reader(pem);
    w->request = PEM_read_bio_X509_REQ(bio, NULL, cert__no_passphrase, NULL);
    if (!w->request)
        cert__note_unread(w, pem, "-----BEGIN CERTIFICATE REQUEST-----",
            "first PEM-block should be CERTIFICATE REQUEST type");
    cert__step(w, w->request != NULL, "malformed certificate request");
    BIO_free(bio);
}

static void read_signer(struct cert_work *w, struct str pem)
{
    cert__read_key(w, pem);
    if (!w->key) return;
    cert__step(w, EVP_PKEY_is_a(w->key, "EC") || EVP_PKEY_is_a(w->key, "RSA"), "invalid key type");
}

/* --- keys ------------------------------------------------------------------------------------ */

static int make_key(
    struct arena *a, struct str type, int64_t bits, struct str *key, struct error *err)
{
    static const struct {
        int64_t bits;
        const char *curve;
    } curves[] = { { 224, "P-224" }, { 256, "P-256" }, { 384, "P-384" }, { 521, "P-521" } };
    struct cert_work w = { .a = a };
    if (str_is(type, "rsa") && (bits == 2048 || bits == 4096)) w.key = EVP_RSA_gen((unsigned)bits);
    for (size_t i = 0; str_is(type, "ec") && i < sizeof curves / sizeof curves[0]; i++)
        if (bits == curves[i].bits) w.key = EVP_EC_gen(curves[i].curve);
    cert__step(&w, w.key != NULL, "no such kind of key");
    cert__write_key(&w, w.key, key);
    return cert__end(&w, err);
}

/* --- parts of a certificate ------------------------------------------------------------------ */

static void add_rank(struct cert_work *w, enum cert_rank rank)
{
    /* digitalSignature, keyEncipherment, dataEncipherment, keyAgreement */
    static const int of_leaf[] = { 0, 2, 3, 4 };
    /* digitalSignature, keyCertSign, cRLSign */
    static const int of_authority[] = { 0, 5, 6 };
    if (rank == RANK_LEAF)
        cert__add_usage(w, of_leaf, sizeof of_leaf / sizeof of_leaf[0]);
    else
        cert__add_usage(w, of_authority, sizeof of_authority / sizeof of_authority[0]);
    cert__add_basic(w, rank);
}

static void add_purposes(struct cert_work *w)
{
    EXTENDED_KEY_USAGE *all = sk_ASN1_OBJECT_new_null();
    static const int purposes[] = { NID_client_auth, NID_server_auth };
    for (size_t i = 0; all && i < 2; i++)
        cert__step(w, sk_ASN1_OBJECT_push(all, OBJ_nid2obj(purposes[i])), "extended key usage");
    cert__add(w, NID_ext_key_usage, all, false);
    sk_ASN1_OBJECT_free(all);
}

static GENERAL_NAMES *one_uri(struct cert_work *w, struct str uri)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    cert__push_name(w, names, GEN_URI, uri);
    return names;
}

static void add_uri(struct cert_work *w, struct str uri)
{
    GENERAL_NAMES *names = one_uri(w, uri);
    cert__add(w, NID_subject_alt_name, names, false);
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
static void add_names(struct cert_work *w, const int *kinds, size_t n, struct str uri)
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
        cert__step(w, names && sk_GENERAL_NAME_push(names, name), "names");
        sk_GENERAL_NAME_free(given);
    }
    if (sk_GENERAL_NAME_num(names) > 0) cert__add(w, NID_subject_alt_name, names, false);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static void set_common_name(struct cert_work *w, X509_NAME *to, struct str name)
{
    cert__step(w,
        X509_NAME_add_entry_by_txt(
            to, "CN", V_ASN1_PRINTABLESTRING, (const unsigned char *)name.p, (int)name.n, -1, 0),
        "name");
}

static void set_frame(struct cert_work *w, const struct cert_order *o)
{
    cert__step(w, X509_set_version(w->cert, 2), "version");
    cert__step(w, ASN1_INTEGER_set_uint64(X509_get_serialNumber(w->cert), o->serial), "serial");
    cert__set_dates(w, o);
}

/* --- certificates ---------------------------------------------------------------------------- */

static int make_root(
    struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err)
{
    struct cert_work w = { .a = a, .cert = X509_new() };
    ensure(w.cert);
    read_signer(&w, o->key);
    if (w.key) {
        set_frame(&w, o);
        cert__step(&w, X509_set_pubkey(w.cert, w.key), "public key");
        set_common_name(&w, X509_get_subject_name(w.cert), o->common_name);
        cert__step(&w, X509_set_issuer_name(w.cert, X509_get_subject_name(w.cert)), "issuer");
        add_rank(&w, RANK_AUTHORITY);
        cert__add_key_id(&w);
        cert__add_authority_id(&w, w.cert);
        add_uri(&w, o->uri);
        cert__sign(&w);
    }
    cert__write_certificate(&w, certificate);
    return cert__end(&w, err);
}

static void open_authority(struct cert_work *w, const struct cert_order *o)
{
    read_signer(w, o->signer_key);
    w->authority = cert__read_certificate(w, o->signer);
    if (!w->failed)
        cert__step(w, X509_check_private_key(w->authority, w->key),
            "provided PrivateKey doesn't match parent's PublicKey");
}

static void issue(struct cert_work *w, const struct cert_order *o, enum cert_rank rank)
{
    static const int kinds[] = { GEN_DNS, GEN_IPADD, GEN_URI };
    X509_NAME *subject = X509_REQ_get_subject_name(w->request);
    EVP_PKEY *asked = X509_REQ_get0_pubkey(w->request);
    set_frame(w, o);
    cert__step(w, asked && X509_set_pubkey(w->cert, asked), "public key");
    if (rank == RANK_LEAF)
        set_common_name(w, X509_get_subject_name(w->cert), o->common_name);
    else
        cert__step(w, X509_set_subject_name(w->cert, subject), "name");
    cert__step(w, X509_set_issuer_name(w->cert, X509_get_subject_name(w->authority)), "issuer");
    if (rank == RANK_LEAF) add_purposes(w);
    add_rank(w, rank);
    cert__add_key_id(w);
    cert__add_authority_id(w, w->authority);
    if (rank == RANK_LEAF)
        add_names(w, kinds, o->uri.p ? 2 : 3, o->uri);
    else
        add_names(w, kinds + 2, 1, STR_NIL);
    cert__sign(w);
}

static int make_issued(struct arena *a, const struct cert_order *o, enum cert_rank rank,
    struct str *certificate, struct error *err)
{
    struct cert_work w = { .a = a, .cert = X509_new() };
    ensure(w.cert);
    read_request(&w, o->request);
    open_authority(&w, o);
    if (!w.failed) issue(&w, o, rank);
    cert__write_certificate(&w, certificate);
    return cert__end(&w, err);
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
    struct cert_work w = { .a = a };
    open_authority(&w, o);
    X509 *root = cert__read_certificate(&w, o->crossed);
    w.cert = root ? X509_dup(root) : NULL;
    X509_free(root);
    cert__step(&w, w.cert != NULL, "the certificate cannot be copied");
    if (!w.failed) {
        set_frame(&w, o);
        cert__step(&w, X509_set_issuer_name(w.cert, X509_get_subject_name(w.authority)), "issuer");
        cert__add_authority_id(&w, w.authority);
        cert__sign(&w);
    }
    cert__write_certificate(&w, certificate);
    return cert__end(&w, err);
}

/* --- requests -------------------------------------------------------------------------------- */

static void fill_request(struct cert_work *w, const struct cert_order *o)
{
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; i < o->n_dns_names; i++)
        cert__push_name(w, names, GEN_DNS, o->dns_names[i]);
    for (size_t i = 0; i < o->n_addresses; i++)
        cert__push_name(w, names, GEN_IPADD, o->addresses[i]);
    cert__push_name(w, names, GEN_URI, o->uri);
    cert__step(w, X509_REQ_set_pubkey(w->request, w->key), "public key");
    set_common_name(w, X509_REQ_get_subject_name(w->request), o->common_name);
    cert__step(w, X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, 0), "names");
    if (o->authority) {
        BASIC_CONSTRAINTS *basic = cert__constraints(w, RANK_AUTHORITY);
        cert__step(
            w, X509V3_add1_i2d(&extensions, NID_basic_constraints, basic, 1, 0), "constraints");
        BASIC_CONSTRAINTS_free(basic);
    }
    cert__step(w, X509_REQ_add_extensions(w->request, extensions), "names");
    cert__step(w, X509_REQ_sign(w->request, w->key, EVP_sha256()), "signature");
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static int make_request(
    struct arena *a, const struct cert_order *o, struct str *request, struct error *err)
{
    struct cert_work w = { .a = a, .request = X509_REQ_new() };
    BIO *bio = BIO_new(BIO_s_mem());
    ensure(w.request && bio);
    cert__read_key(&w, o->key);
    if (w.key) fill_request(&w, o);
    if (!w.failed) cert__step(&w, PEM_write_bio_X509_REQ(bio, w.request), "PEM");
    cert__take_text(&w, bio, request);
    return cert__end(&w, err);
}

static struct cert_uris take_uris(struct cert_work *w, GENERAL_NAMES *names)
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
    struct cert_work w = { .a = a };
    read_request(&w, request);
    if (w.request) {
        EVP_PKEY *key = X509_REQ_get0_pubkey(w.request);
        cert__step(&w, key && X509_REQ_verify(w.request, key) == 1,
            "the request is not signed by its key");
        *uris = take_uris(&w, requested_names(w.request));
    }
    return cert__end(&w, err);
}

/* --- facts ----------------------------------------------------------------------------------- */

static int64_t unix_time(struct cert_work *w, const ASN1_TIME *t)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    cert__step(w, epoch && ASN1_TIME_diff(&days, &seconds, epoch, t), "dates");
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

static struct str octets(struct cert_work *w, const ASN1_OCTET_STRING *s)
{
    if (!s) return STR("");
    return hex_pairs(w->a, ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static void read_facts(struct cert_work *w, struct cert_facts *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    cert__step(w, X509_digest(w->cert, EVP_sha1(), digest, &n), "digest");
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
    cert__step(w, key != NULL, "public key");
    if (!key) return;
    out->authority = X509_check_ca(w->cert) == 1;
    out->uris = take_uris(w, X509_get_ext_d2i(w->cert, NID_subject_alt_name, NULL, NULL));
    out->key_type = EVP_PKEY_is_a(key, "RSA") ? STR("rsa") : STR("ec");
    out->key_bits = EVP_PKEY_get_bits(key);
}

static int facts(struct arena *a, struct str certificate, struct cert_facts *out, struct error *err)
{
    struct cert_work w = { .a = a };
    *out = (struct cert_facts){ 0 };
    w.cert = cert__read_certificate(&w, certificate);
    if (w.cert) read_facts(&w, out);
    return cert__end(&w, err);
}

static int check_issued(const struct cert_order *o, struct str certificate, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct cert_work w = { .a = &a };
    const char *why = NULL;
    if (o->signer.p) w.authority = cert__read_certificate(&w, o->signer);
    cert__read_key(&w, o->key);
    w.cert = cert__read_certificate(&w, certificate);
    int rc = 0;
    if (!w.failed && X509_check_private_key(w.cert, w.key) != 1)
        rc = error_set(err, ERR_INTERNAL, "intermediate cert is for a different private key");
    else if (w.authority && !w.failed && !cert__verifies(&w, w.authority, &why))
        rc = error_set(
            err, ERR_INTERNAL, "could not verify intermediate cert against root: %s", why);
    int ended = cert__end(&w, rc ? NULL : err);
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
    .agent_authority = cert__agent_authority,
    .agent = cert__agent,
    .request_uris = request_uris,
    .check_issued = check_issued,
    .facts = facts,
    .digest = digest_text };
