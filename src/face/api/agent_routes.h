/* SPDX-License-Identifier: Apache-2.0 */
/* Route tables of the /v1/agent/ endpoints. */
#pragma once
#include "consuld/face/api.h"

extern const struct api_route api_agent_service_routes[];
extern const struct api_route api_agent_check_routes[];
extern const struct api_route api_agent_health_routes[];
extern const struct api_route api_agent_self_routes[];
extern const struct api_route api_agent_host_routes[];
extern const struct api_route api_agent_gossip_routes[];
extern const struct api_route api_agent_metrics_routes[];
extern const struct api_route api_event_routes[];
extern const struct api_route api_keyring_routes[];
