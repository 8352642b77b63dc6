/* SPDX-License-Identifier: Apache-2.0 */
/* The authority's state and settings, shared by the leader's duty and the procedures. */
#pragma once
#include "server.h"

#define SECOND_NS INT64_C(1000000000)
#define CA_LOG "agent.server.connect"

struct ca_settings {
    struct str private_key, root_cert, key_type; /* empty keys: generated */
    int64_t key_bits, leaf_ttl_ns, intermediate_ttl_ns;
    double csr_per_second;
    int64_t csr_concurrent; /* where csr_per_second is 0; 0: no limit */
};

/* Of a provider's Config; texts of `a`. Names are found in any case. */
int server__ca_settings(const struct value *config, struct arena *a, struct ca_settings *out,
    struct error *err) must_check;
const struct value *server__ca_setting(const struct value *config, const char *name);
struct str server__ca_text(const struct value *config, const char *name, struct str fallback);

/* A step's answer: nothing is left to do, *req is next, or something is under way and resume will
 * be called; negative: the code of *err. */
enum { CA_SETTLED = 0, CA_COMMAND = 1, CA_WAITS = 2 };

/* Has something made on a worker; CA_WAITS. */
int server__ca_make(struct server *s, struct ca_progress *p, const struct certify_job *wanted);
/* How the last wait ended, told once: 0, or the code of *err. */
int server__ca_failed(struct ca_progress *p, struct error *err) must_check;
/* What was got is in the state now. */
void server__ca_used(struct ca_progress *p);

/* The provider of `config` alone: its key and its root. */
int server__ca_provider_step(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, struct ca_progress *p, struct ca_request *req,
    struct error *err) must_check;
/* Connect is on. */
int server__ca_enabled(struct server *s, struct error *err) must_check;
/* The same in a secondary: the intermediate that the primary signs, and its root. */
int server__ca_secondary_step(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, struct ca_progress *p, struct ca_request *req,
    struct error *err) must_check;
/* The command that stores it; an empty one, if there is none yet. */
int server__ca_set_state(struct ca_request *req, struct ca_consul_provider_state *state);
int server__ca_new_state(struct server *s, struct arena *a, const struct ca_configuration *config,
    struct ca_request *req);
/* The own datacenter is the primary. */
bool server__ca_is_primary(const struct server *s);
/* The stored state of the provider of `config`, NULL if it has none. */
struct ca_consul_provider_state *server__ca_provider(struct server *s, struct store_read *rd,
    struct arena *a, const struct ca_configuration *config);
/* The record of a root certificate, active. */
int server__ca_root(struct server *s, struct arena *a, const struct ca_configuration *config,
    struct str certificate, struct ca_root *out, struct error *err) must_check;
/* The active one, NULL if there is none. */
struct ca_root *server__ca_active(const struct list *roots);
