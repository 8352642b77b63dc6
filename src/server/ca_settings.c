/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the built-in provider (connect-xds.md 1.5). */
#include "ca.h"

#define HOUR_NS (3600 * SECOND_NS)

/* Names of settings are found in any case. */
const struct value *server__ca_setting(const struct value *config, const char *name)
{
    for (size_t i = config->kind == V_MAP ? config->map.n : 0; i-- > 0;)
        if (str_eq_nocase(config->map.v[i].key, str_of(name))) return &config->map.v[i].value;
    return NULL;
}

struct str server__ca_text(const struct value *config, const char *name, struct str fallback)
{
    const struct value *v = server__ca_setting(config, name);
    return v && (v->kind == V_STR || v->kind == V_BYTES) && v->s.n ? v->s : fallback;
}

static double number_of(const struct value *config, const char *name, double fallback)
{
    const struct value *v = server__ca_setting(config, name);
    uint64_t n;
    if (!v) return fallback;
    switch (v->kind) {
    case V_INT:
        return (double)v->i;
    case V_UINT:
        return (double)v->u;
    case V_FLOAT:
    case V_FLOAT32:
        return v->f;
    case V_NUMBER:
    case V_STR:
        return str_to_u64(v->s, &n) ? (double)n : fallback;
    default:
        return fallback;
    }
}

static int duration_of(const struct value *config, const char *name, const char *fallback,
    int64_t *out, struct error *err)
{
    struct error why;
    if (duration_parse(server__ca_text(config, name, str_of(fallback)), out, &why) == 0) return 0;
    return error_set(err, ERR_INTERNAL,
        "error decoding config: 1 error(s) decoding:\n\n* error decoding '%s': %s", name, why.text);
}

static int check_times(const struct ca_settings *c, struct error *err)
{
    if (c->leaf_ttl_ns < HOUR_NS)
        return error_set(err, ERR_INTERNAL, "leaf cert TTL must be greater or equal than 1h0m0s");
    if (c->leaf_ttl_ns > 8760 * HOUR_NS)
        return error_set(err, ERR_INTERNAL, "leaf cert TTL must be less than 8760h0m0s");
    if (c->intermediate_ttl_ns < 3 * HOUR_NS)
        return error_set(
            err, ERR_INTERNAL, "Intermediate Cert TTL must be greater or equal than 3h");
    if (c->intermediate_ttl_ns / 3 >= c->leaf_ttl_ns) return 0;
    struct buf b = BUF_INIT(64);
    duration_format(3 * c->leaf_ttl_ns, &b);
    error_set(err, ERR_INTERNAL,
        "Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=%.*s).",
        STR_ARG(buf_str(&b)));
    buf_deinit(&b);
    return ERR_INTERNAL;
}

static int check_key(const struct ca_settings *c, struct error *err)
{
    int64_t n = c->key_bits;
    bool ec = str_is(c->key_type, "ec"), rsa = str_is(c->key_type, "rsa");
    if (!ec && !rsa)
        return error_set(err, ERR_INTERNAL, "private key type must be either 'ec' or 'rsa'");
    if (ec && n != 224 && n != 256 && n != 384 && n != 521)
        return error_set(
            err, ERR_INTERNAL, "EC key length must be one of (224, 256, 384, 521) bits");
    if (rsa && n != 2048 && n != 4096)
        return error_set(err, ERR_INTERNAL, "RSA key length must be 2048 or 4096 bits");
    if (c->root_cert.n && !c->private_key.n)
        return error_set(
            err, ERR_INTERNAL, "must provide a private key when providing a root cert");
    return 0;
}

int server__ca_settings(
    const struct value *config, struct arena *a, struct ca_settings *out, struct error *err)
{
    double bits = number_of(config, "PrivateKeyBits", 256);
    *out = (struct ca_settings){
        .private_key = str_dup(a, server__ca_text(config, "PrivateKey", STR(""))),
        .root_cert = str_dup(a, server__ca_text(config, "RootCert", STR(""))),
        .key_type = str_dup(a, server__ca_text(config, "PrivateKeyType", STR("ec"))),
        .key_bits = bits >= 0 && bits <= 65536 ? (int64_t)bits : 0,
        .csr_concurrent = (int64_t)number_of(config, "CSRMaxConcurrent", 0),
        .csr_per_second = number_of(config, "CSRMaxPerSecond", 50),
    };
    int rc = duration_of(config, "LeafCertTTL", "72h", &out->leaf_ttl_ns, err);
    if (rc == 0)
        rc = duration_of(config, "IntermediateCertTTL", "8760h", &out->intermediate_ttl_ns, err);
    if (rc == 0) rc = check_times(out, err);
    if (rc == 0) rc = check_key(out, err);
    return rc;
}
