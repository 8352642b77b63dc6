/* SPDX-License-Identifier: Apache-2.0 */
/* The authority's state and settings, shared by the leader's duty and the procedures. */
#pragma once
#include "consuld/model/ca_settings.h"
#include "server.h"

#define SECOND_NS INT64_C(1000000000)
#define CA_LOG "agent.server.connect"

/* The id a new cluster gets by its configuration, nil if it makes one of its own; borrows. */
int server__ca_cluster_id(const struct value *given, struct str *out, struct error *err) must_check;

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
/* The command that stores it. */
int server__ca_set_state(struct ca_request *req, struct ca_consul_provider_state *state);
/* The provider's; CA_COMMAND if it has to be made first, or brought from the id that it had before
 * 1.6. */
int server__ca_open_state(struct server *s, struct store_read *rd, struct arena *a,
    const struct ca_configuration *config, struct ca_request *req,
    struct ca_consul_provider_state **out);
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
