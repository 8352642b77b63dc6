/* SPDX-License-Identifier: Apache-2.0 */
/* What gossip says about this agent, for /v1/agent/self. */
#pragma once
#include "consuld/face/api.h"
#include "consuld/face/context.h"
#include "consuld/gossip/serf.h"
#include "consuld/model.h"

/* A member as the API shows it; memory is the arena's. */
void agent_member_of(const struct serf_member *m, struct arena *a, struct agent_member *out);
/* The object "serf_lan" or "serf_wan" of Stats. */
void agent_pool_stats(struct json_writer *w, const char *key, const struct pool *p);
/* The object "Coord". */
void agent_coordinate(struct json_writer *w, const struct pool *p);
/* Datacenters that the pool's servers are of, the own one included. */
size_t agent_datacenters(const struct pool *wan);
