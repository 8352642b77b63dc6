/* SPDX-License-Identifier: Apache-2.0 */
/* Central configuration (agent.md 4.5): what the cluster's config entries add to the proxies and
 * gateways registered here. Each has a watcher that keeps a blocking query at the servers; what
 * comes is merged into the registration and pushed again. Private to the module. */
#pragma once
#include "local_state.h"

struct central;

/* True for the kinds that entries apply to: proxies of one instance (with a destination ID),
 * gateways. */
bool central_applies(const struct node_service *svc);
/* A copy of the registration with its gaps filled from the answer, owned by `a`. */
void central_merge(struct arena *a, const struct node_service *own,
    const struct service_config_response *defaults, struct node_service *out);

/* What to ask for a service. */
void central_request(struct local *l, const struct node_service *svc, struct str token,
    struct arena *a, struct service_config_request *out);

/* Called when a service is put: starts its watcher or goes on with the one there is. `initial` is
 * the answer got before the registration, or NULL: then what the data directory keeps is used.
 * Returns the defaults to merge (valid until the next call for that service), or NULL if there are
 * none. */
const struct service_config_response *central_watch(struct local *l, const struct node_service *own,
    struct str token, const struct service_config_response *initial);
/* Ends the watchers of services that are gone; with `all` every one. */
void central_sweep(struct local *l, bool all);
