/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "consuld/agent/config.h"
#include "consuld/face/api.h"
#include "consuld/face/context.h"

/* Groups of Stats: the ways to other datacenters, and what is written there or comes from there.
 * Nothing without gateways between datacenters: Stats are then those of Consul. */
void agent_federation_stats(const struct face_context *ctx, struct arena *a, struct json_writer *w);
