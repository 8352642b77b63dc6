/* SPDX-License-Identifier: Apache-2.0 */
/* limits.rpc_rate and rpc_max_burst (rpc.md 6.3): what an agent may ask in a second, of a server
 * over the wire or of itself. A bucket of tokens, and an rpc_client in front of another that
 * refuses calls when it is empty. */
#pragma once
#include "consuld/cluster/rpc.h"

#define RPC_ERR_RATE "RPC rate limit exceeded"

struct world;

struct rpc_limit {
    struct rpc_client client;
    struct rpc_client *next; /* who answers; may be NULL for the bucket alone */
    struct world *world;
    double rate; /* calls per second; 0: any number */
    double burst;
    double tokens;
    uint64_t tokens_ms;
    uint64_t refused; /* calls */
};

void rpc_limit_init(struct rpc_limit *l, struct world *w, struct rpc_client *next);
/* Other limits from now on, with a full bucket. rate 0, or what is as good as no limit: any number;
 * burst 0: 1000. */
void rpc_limit_set(struct rpc_limit *l, double rate, uint64_t burst);
/* False: over the limit. */
bool rpc_limit_take(struct rpc_limit *l);
