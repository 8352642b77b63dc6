/* SPDX-License-Identifier: Apache-2.0 */
/* A client agent's own certificate from the servers' authority (auto_encrypt.tls; rpc.md 11): asked
 * for before the agent joins, over the port's entrance for agents without a certificate, until a
 * server answers; then renewed and its authorities followed by ordinary calls. If it ends all the
 * same it is asked for as in the beginning. Nothing is kept on disk. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/certify.h"
#include "consuld/model.h"

struct auto_encrypt;
struct cache;
struct leaves;
struct rpc_call;
struct rpc_target;
struct world;

/* What came of it; valid during the call that tells of it. All texts are PEM. */
struct auto_credentials {
    struct list cas; /* -> struct str: authorities, the servers' configured ones first */
    struct str cert, key;
    bool verify_names; /* the servers ask for verify_server_hostname */
};

/* What is pointed to outlives the agent's certificate. */
struct auto_encrypt_options {
    struct world *world;
    const struct certifier *certifier;
    struct str datacenter, node_name;
    const struct list *start_join, *retry_join; /* -> struct str; their ports are those of gossip */
    uint16_t port;                              /* of the servers */
    struct list dns_names, addresses;           /* -> struct str: what it is to be valid for */
    struct str key_type;                        /* of the first key: "ec", "rsa" ... */
    int64_t key_bits;
    struct str (*token)(void *ctx);
    /* A call without certificate at one server: as rpc_pool_submit, rpc_pool_cancel. */
    void (*submit)(void *ctx, const struct rpc_target *to, struct rpc_call *call);
    void (*cancel)(void *ctx, struct rpc_call *call);
    /* A server that gossip knows, texts of `a`; false: none. */
    bool (*server)(void *ctx, struct arena *a, struct rpc_target *out);
    /* Takes the new credentials into use; they are asked for again when it fails. */
    int (*changed)(void *ctx, const struct auto_credentials *c, struct error *err);
    /* Once, after the first that were taken into use; never from auto_encrypt_create. */
    void (*upgraded)(void *ctx);
    void *ctx;
};

/* Begins to ask. */
struct auto_encrypt *auto_encrypt_create(const struct auto_encrypt_options *o);
/* The agent runs: the certificate is kept current from now on, until auto_encrypt_stop, which comes
 * before the leaves and the cache go. */
void auto_encrypt_follow(struct auto_encrypt *e, struct leaves *leaves, struct cache *cache);
/* The token may be another one: then a certificate is asked for with it. */
void auto_encrypt_token(struct auto_encrypt *e);
/* Forgets what is under way. Idempotent; NULL is fine. */
void auto_encrypt_stop(struct auto_encrypt *e);
/* NULL is fine. */
void auto_encrypt_destroy(struct auto_encrypt *e);
