/* SPDX-License-Identifier: Apache-2.0 */
/* Watches of the configuration (agent.md 13): each asks for what it looks at, waits for a change,
 * and runs its handler with the data when the data have changed. */
#pragma once
#include "consuld/agent/user_events.h"
#include "consuld/base/tls.h"
#include "consuld/cluster/rpc.h"
#include "consuld/model.h"

struct watches;

struct watches_options {
    struct world *world;
    struct rpc_client *rpc;
    struct user_events *events;
    struct tls *tls; /* for handlers behind https:// */
    struct str datacenter;
    struct str token; /* of watches without one */
};

struct watches *watches_create(const struct watches_options *o);
/* Makes the list of the configuration (config_check_watches liked it) the running one. A watch that
 * stays as it is goes on undisturbed. */
void watches_set(struct watches *w, const struct value *list);
/* Ends all, children too. NULL is fine. */
void watches_destroy(struct watches *w);
