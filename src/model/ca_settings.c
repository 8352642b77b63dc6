/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/ca_settings.h"

#include "consuld/model/loose.h"

#define HOUR_NS (INT64_C(3600) * 1000000000)

static int refused(struct error *err, const char *text)
{
    return error_set(err, ERR_INTERNAL, "%s", text);
}

static int check_times(const struct ca_settings *c, struct error *err)
{
    if (c->leaf_cert_ttl < HOUR_NS)
        return refused(err, "leaf cert TTL must be greater or equal than 1h0m0s");
    if (c->leaf_cert_ttl > 8760 * HOUR_NS)
        return refused(err, "leaf cert TTL must be less than 8760h0m0s");
    if (c->intermediate_cert_ttl < 3 * HOUR_NS)
        return refused(err, "Intermediate Cert TTL must be greater or equal than 3h");
    if (c->intermediate_cert_ttl / 3 >= c->leaf_cert_ttl) return 0;
    struct buf b = BUF_INIT(64);
    duration_format(3 * c->leaf_cert_ttl, &b);
    error_set(err, ERR_INTERNAL,
        "Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=%.*s).",
        STR_ARG(buf_str(&b)));
    buf_deinit(&b);
    return ERR_INTERNAL;
}

static int check_key(const struct ca_settings *c, struct error *err)
{
    int64_t n = c->private_key_bits;
    bool ec = str_is(c->private_key_type, "ec"), rsa = str_is(c->private_key_type, "rsa");
    if (!ec && !rsa) return refused(err, "private key type must be either 'ec' or 'rsa'");
    if (ec && n != 224 && n != 256 && n != 384 && n != 521)
        return refused(err, "EC key length must be one of (224, 256, 384, 521) bits");
    if (rsa && n != 2048 && n != 4096)
        return refused(err, "RSA key length must be 2048 or 4096 bits");
    return 0;
}

int ca_settings_read(
    const struct value *config, struct arena *a, struct ca_settings *out, struct error *err)
{
    *out = (struct ca_settings){ .leaf_cert_ttl = 72 * HOUR_NS,
        .intermediate_cert_ttl = 8760 * HOUR_NS,
        .csr_max_per_second = 50,
        .private_key_type = STR("ec"),
        .private_key_bits = 256,
        .private_key = STR(""),
        .root_cert = STR("") };
    if (config->kind == V_MAP && loose_read_named(config, a, &type_ca_settings, out, err)) {
        error_prefix(err, "error decoding config: ");
        return err->code = ERR_INTERNAL;
    }
    if (out->root_cert.n && !out->private_key.n)
        return refused(err, "must provide a private key when providing a root cert");
    if (out->skip_validate) return 0;
    int rc = check_times(out, err);
    return rc ? rc : check_key(out, err);
}
