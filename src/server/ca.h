/* SPDX-License-Identifier: Apache-2.0 */
/* The authority's state and settings, shared by the leader's duty and the procedures. */
#pragma once
#include "server.h"

struct ca_settings {
    struct str private_key, root_cert, key_type; /* empty keys: generated */
    int64_t key_bits, leaf_ttl_ns, intermediate_ttl_ns;
    double csr_per_second;
};

/* The id a new cluster gets by its configuration, nil if it makes one of its own; borrows. */
int server__ca_cluster_id(const struct value *given, struct str *out, struct error *err) must_check;
/* Of a provider's Config; texts of `a`. */
int server__ca_settings(const struct value *config, struct arena *a, struct ca_settings *out,
    struct error *err) must_check;
/* As a step of the duty (server.h), of the provider of `config` alone: its key and its root. */
int server__ca_provider_step(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, uint64_t *serial, struct ca_request *req,
    struct error *err) must_check;
/* The stored state of the provider of `config`, NULL if it has none. */
struct ca_consul_provider_state *server__ca_provider(struct server *s, struct store_read *rd,
    struct arena *a, const struct ca_configuration *config);
/* The record of a root certificate, active. */
int server__ca_root(struct server *s, struct arena *a, const struct ca_configuration *config,
    struct str certificate, struct ca_root *out, struct error *err) must_check;
/* The active one, NULL if there is none. */
struct ca_root *server__ca_active(const struct list *roots);
