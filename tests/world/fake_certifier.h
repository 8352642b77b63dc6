/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates that are plain texts, made on workers alone, and a place to look around
 * while one is made. */
#pragma once
#include "consuld/base/certify.h"
#include "world/fake_world.h"

static struct {
    int keys, leaves;
    void (*meanwhile)(void *ctx); /* called on the worker, once */
    void *ctx;
    int64_t now_s;     /* certificates that are looked at begin ... */
    int64_t life_s;    /* ... and live so long */
    const char *fault; /* what signing ends with; NULL: it works */
} fake_certify = { .life_s = 86400 };

static void fake_pause(void)
{
    void (*meanwhile)(void *ctx) = fake_certify.meanwhile;
    fake_certify.meanwhile = NULL;
    fake_on_worker = false;
    if (meanwhile) meanwhile(fake_certify.ctx);
    fake_on_worker = true;
}

static int fake_key(
    struct arena *a, struct str type, int64_t bits, struct str *key, struct error *err)
{
    (void)err;
    ensure(fake_on_worker);
    *key = str_printf(a, "%.*s-%d-%d", STR_ARG(type), (int)bits, ++fake_certify.keys);
    fake_pause();
    return 0;
}

static int fake_make(struct arena *a, struct str *out, struct error *err, const char *what,
    struct str of, struct str by)
{
    ensure(fake_on_worker);
    if (fake_certify.fault) return error_set(err, ERR_INTERNAL, "%s", fake_certify.fault);
    *out = str_printf(a, "%s(%.*s)<%.*s>", what, STR_ARG(of), STR_ARG(by));
    return 0;
}

static int fake_root(
    struct arena *a, const struct cert_order *o, struct str *out, struct error *err)
{
    return fake_make(a, out, err, "root", o->key, o->uri);
}

static int fake_request(
    struct arena *a, const struct cert_order *o, struct str *out, struct error *err)
{
    return fake_make(a, out, err, "request", o->key, o->uri);
}

static int fake_leaf(
    struct arena *a, const struct cert_order *o, struct str *out, struct error *err)
{
    fake_certify.leaves++;
    fake_pause();
    return fake_make(a, out, err, "leaf", o->request, o->signer);
}

static int fake_intermediate(
    struct arena *a, const struct cert_order *o, struct str *out, struct error *err)
{
    return fake_make(a, out, err, "intermediate", o->request, o->signer);
}

static int fake_cross_sign(
    struct arena *a, const struct cert_order *o, struct str *out, struct error *err)
{
    return fake_make(a, out, err, "crossed", o->crossed, o->signer);
}

/* What stands last in angle brackets. */
static int fake_request_uris(
    struct arena *a, struct str request, struct cert_uris *uris, struct error *err)
{
    ptrdiff_t from = str_find(request, STR("spiffe://"));
    (void)a;
    (void)err;
    *uris = (struct cert_uris){ 0 };
    if (from < 0) return 0;
    uris->n = 1;
    uris->first = str_slice(request, (size_t)from, request.n);
    uris->first.n = (size_t)str_find_char(uris->first, '>');
    return 0;
}

static int fake_check_issued(const struct cert_order *o, struct str certificate, struct error *err)
{
    if (str_find(certificate, o->key) >= 0 && str_find(certificate, o->signer) >= 0) return 0;
    return error_set(err, ERR_INTERNAL, "intermediate cert is for a different private key");
}

static int fake_facts(
    struct arena *a, struct str certificate, struct cert_facts *out, struct error *err)
{
    *out = (struct cert_facts){ .id = certificate,
        .key_id = str_printf(a, "key of %.*s", STR_ARG(certificate)),
        .serial_text = STR("01"),
        .serial = 1,
        .not_before_s = fake_certify.now_s,
        .not_after_s = fake_certify.now_s + fake_certify.life_s,
        .key_type = STR("ec"),
        .key_bits = 256,
        .authority = str_has_prefix(certificate, STR("intermediate")) };
    return fake_request_uris(a, certificate, &out->uris, err);
}

static struct str fake_digest(struct arena *a, struct str text)
{
    return str_printf(a, "digest of %.*s", STR_ARG(text));
}

static const struct certifier fake_certifier = { .key = fake_key,
    .request = fake_request,
    .root = fake_root,
    .leaf = fake_leaf,
    .intermediate = fake_intermediate,
    .cross_sign = fake_cross_sign,
    .request_uris = fake_request_uris,
    .check_issued = fake_check_issued,
    .facts = fake_facts,
    .digest = fake_digest };
