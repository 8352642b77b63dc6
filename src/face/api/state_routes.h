/* SPDX-License-Identifier: Apache-2.0 */
/* Route tables of the endpoints that answer from the servers' state, one per family. */
#pragma once
#include "consuld/face/api.h"

extern const struct api_route api_kv_routes[];
extern const struct api_route api_session_routes[];
extern const struct api_route api_txn_routes[];
extern const struct api_route api_catalog_routes[];
extern const struct api_route api_health_routes[];
extern const struct api_route api_coordinate_routes[];
extern const struct api_route api_query_routes[];
extern const struct api_route api_internal_routes[];
extern const struct api_route api_operator_routes[];
extern const struct api_route api_config_routes[];
extern const struct api_route api_intention_routes[];
extern const struct api_route api_connect_ca_routes[];
extern const struct api_route api_snapshot_routes[];
extern const struct api_route api_absent_routes[];
