/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to the making of keys and certificates (connect-xds.md 1.2-1.4). `net` implements it on
 * OpenSSL; who makes certificates is handed the table. All texts are PEM and belong to the arena;
 * numbers in hex are lower-case pairs joined by colons. */
#pragma once
#include "consuld/base/arena.h"
#include "consuld/base/error.h"
#include "consuld/base/str.h"

/* What a certificate says. */
struct cert_facts {
    struct str id;     /* SHA-1 of its DER form, in hex */
    struct str key_id; /* subject and authority key ids, in hex */
    struct str authority_id;
    struct str serial_text; /* in hex */
    uint64_t serial;        /* its low 64 bits */
    int64_t not_before_s, not_after_s;
    struct str key_type; /* "ec", "rsa" */
    int64_t key_bits;
};

struct cert_order {
    struct str key;     /* a root: the private key, which signs it */
    struct str request; /* a leaf: what was asked for: its key and names are taken over */
    struct str crossed; /* a cross-signed root: the certificate that is signed anew */
    struct str signer, signer_key; /* leaf and cross-signed: the authority */
    struct str common_name;        /* root and leaf */
    struct str uri;                /* root: its name; leaf: instead of the request's, if not nil */
    uint64_t serial;
    int64_t not_before_s, not_after_s;
};

struct cert_request {
    struct str key, common_name, uri;
};

struct certifier {
    int (*key)(struct arena *a, struct str type, int64_t bits, struct str *key, struct error *err);
    int (*root)(
        struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err);
    int (*leaf)(
        struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err);
    int (*cross_sign)(
        struct arena *a, const struct cert_order *o, struct str *certificate, struct error *err);
    int (*request)(
        struct arena *a, const struct cert_request *r, struct str *request, struct error *err);
    /* The first URI that a request names; its signature is checked. */
    int (*request_uri)(struct arena *a, struct str request, struct str *uri, struct error *err);
    int (*facts)(
        struct arena *a, struct str certificate, struct cert_facts *out, struct error *err);
    /* SHA-256 in hex. */
    struct str (*digest)(struct arena *a, struct str text);
};
