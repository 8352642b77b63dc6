/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to the making of keys and certificates (connect-xds.md 1.2-1.4). `net` implements it on
 * OpenSSL; who makes certificates is handed the table. All texts are PEM and belong to the arena;
 * numbers in hex are lower-case pairs joined by colons. */
#pragma once
#include "consuld/base/arena.h"
#include "consuld/base/error.h"
#include "consuld/base/str.h"
#include "consuld/base/world.h"

struct cert_uris {
    size_t n;
    struct str first; /* nil: none */
};

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
    bool authority; /* it may sign others */
    struct cert_uris uris;
};

struct cert_order {
    struct str key;     /* a root, a request: the private key, which signs it */
    struct str request; /* a leaf, an intermediate: what was asked for: its key and names */
    struct str crossed; /* a cross-signed root: the certificate that is signed anew */
    struct str signer, signer_key; /* leaf, intermediate, cross-signed: the authority */
    struct str common_name;        /* root, request and leaf */
    struct str uri;                /* root, request: its name; leaf: instead of the request's */
    bool authority;                /* a request: of an intermediate */
    const char *purposes;          /* an agent's certificate: "serverAuth,clientAuth"; NULL: none */
    const struct str *dns_names;   /* a request, an agent's: beside the URI */
    size_t n_dns_names;
    const struct str *addresses; /* the same, IP */
    size_t n_addresses;
    uint64_t serial;
    int64_t not_before_s, not_after_s;
};

typedef int certify_pair(struct arena *a, const struct cert_order *o, struct str *certificate,
    struct str *key, struct error *err);
typedef int certify_make(
    struct arena *a, const struct cert_order *o, struct str *out, struct error *err);

/* Keys and signatures take time: anything from 0.1 ms to seconds. Only a worker makes them. */
struct certifier {
    int (*key)(struct arena *a, struct str type, int64_t bits, struct str *key, struct error *err);
    certify_make *request, *root, *leaf, *intermediate, *cross_sign;
    /* The URIs that a request names; its signature is checked. */
    int (*request_uris)(
        struct arena *a, struct str request, struct cert_uris *uris, struct error *err);
    /* Is the certificate of o->key and, if that is not nil, signed by o->signer? */
    int (*check_issued)(const struct cert_order *o, struct str certificate, struct error *err);
    int (*facts)(
        struct arena *a, struct str certificate, struct cert_facts *out, struct error *err);
    /* For files (wanfed.md 14.1), with a key of their own: an authority, which signs for nothing
     * but the order's DNS names if there are any; and what it signs, which is verified against it.
     */
    certify_pair *agent_authority, *agent;
    /* SHA-256 in hex. */
    struct str (*digest)(struct arena *a, struct str text);
};

/* One of them made on a worker. It frees itself behind `done`. */
struct certify_job {
    /* the caller's */
    const struct certifier *by;
    certify_make *make;  /* one of by's */
    struct str key_type; /* not nil: the order has no key, it is made first */
    int64_t key_bits;
    struct cert_order order;
    void (*done)(struct certify_job *j); /* on the loop */
    void *ctx;
    /* the result, valid through `done`: code 0 and what was made, or code < 0 and err */
    int code;
    struct error err;
    struct str key, made;
    /* the callee's */
    struct arena arena;
    struct job job;
};
/* Copies what the order says. Outlived by the certifier and the world. */
struct certify_job *certify_submit(struct world *w, const struct certify_job *wanted);
/* `done` will not be called. NULL is fine. */
void certify_forget(struct certify_job *j);
