/* SPDX-License-Identifier: Apache-2.0 */
/* Timing of Consul's pools (gossip.md 12.3). */
#include "consuld/gossip/serf.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

static struct serf_options options(struct swim_options swim)
{
    swim.dead_node_reclaim_ms = 30 * SECOND;
    swim.delegate_vsn[0] = 2;
    swim.delegate_vsn[1] = 5;
    swim.delegate_vsn[2] = 4;
    return (struct serf_options){
        .swim = swim,
        .broadcast_timeout_ms = 5 * SECOND,
        .leave_propagate_ms = 3 * SECOND,
        .reconnect_timeout_ms = 72 * HOUR,
        .tombstone_timeout_ms = 24 * HOUR,
        .reap_interval_ms = 15 * SECOND,
        .reconnect_interval_ms = 30 * SECOND,
        .recent_intent_timeout_ms = 5 * MINUTE,
        .queue_check_interval_ms = 30 * SECOND,
        .query_timeout_mult = 16,
        .event_buffer = SERF_EVENT_BUFFER,
        .query_buffer = SERF_QUERY_BUFFER,
        .coordinates = true,
    };
}

struct serf_options serf_options_lan(void)
{
    return options(swim_options_lan());
}

struct serf_options serf_options_wan(void)
{
    struct swim_options swim = swim_options_wan();
    swim.gossip_nodes = 3;
    return options(swim);
}
