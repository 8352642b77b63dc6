/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "swim_core.h"

struct swim_options swim_options_lan(void)
{
    return (struct swim_options){ .protocol = 2,
        .delegate_vsn = { 2, 5, 4 },
        .stream_timeout_ms = 10000,
        .indirect_checks = 3,
        .retransmit_mult = 4,
        .suspicion_mult = 4,
        .suspicion_max_timeout_mult = 6,
        .push_pull_interval_ms = 30000,
        .probe_interval_ms = 1000,
        .probe_timeout_ms = 500,
        .awareness_max = 8,
        .gossip_interval_ms = 200,
        .gossip_nodes = 3,
        .gossip_to_the_dead_ms = 30000,
        .compression = true,
        .tcp_pings = true,
        .verify_incoming = true,
        .verify_outgoing = true };
}

struct swim_options swim_options_wan(void)
{
    struct swim_options o = swim_options_lan();
    o.stream_timeout_ms = 30000;
    o.suspicion_mult = 6;
    o.push_pull_interval_ms = 60000;
    o.probe_interval_ms = 5000;
    o.probe_timeout_ms = 3000;
    o.gossip_interval_ms = 500;
    o.gossip_nodes = 4;
    o.gossip_to_the_dead_ms = 60000;
    return o;
}

uint64_t swim_suspicion_timeout_ms(uint32_t mult, size_t nodes, uint64_t interval_ms)
{
    double factor = fmax(1, log10(fmax(1, (double)nodes)));
    return mult * (uint64_t)(factor * 1000) * interval_ms / 1000;
}

int64_t swim_suspicion_remaining_ms(
    uint32_t confirmations, uint32_t k, uint64_t elapsed_ms, uint64_t min_ms, uint64_t max_ms)
{
    double part = k > 0 ? log((double)confirmations + 1) / log((double)k + 1) : 1;
    double min = (double)min_ms / 1000, max = (double)max_ms / 1000;
    double total = floor(1000 * (max - part * (max - min)));
    return (int64_t)fmax(total, (double)min_ms) - (int64_t)elapsed_ms;
}

uint64_t swim_push_pull_interval_ms(uint64_t interval_ms, size_t nodes)
{
    if (nodes <= 32) return interval_ms;
    return interval_ms * ((uint64_t)ceil(log2((double)nodes) - log2(32)) + 1);
}

uint32_t swim_awareness_apply(uint32_t score, int32_t delta, uint32_t max)
{
    int64_t v = (int64_t)score + delta;
    if (v < 0) return 0;
    return v >= max ? max - 1 : (uint32_t)v;
}

const char *swim_state_name(enum swim_state s)
{
    switch (s) {
    case SWIM_ALIVE:
        return "alive";
    case SWIM_SUSPECT:
        return "suspect";
    case SWIM_DEAD:
        return "dead";
    case SWIM_LEFT:
        return "left";
    }
    return "unknown";
}
