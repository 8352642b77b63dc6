/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/rpc_limit.h"

#include "consuld/base.h"
#include "consuld/base/world.h"

#define BURST_DEFAULT 1000
/* Above this a rate is no limit: Go writes the largest number. */
#define RATE_ENDLESS 1e9

bool rpc_limit_take(struct rpc_limit *l)
{
    if (l->rate <= 0) return true;
    uint64_t now = world_now_ms(l->world);
    l->tokens += (double)(now - l->tokens_ms) * l->rate / 1000;
    l->tokens_ms = now;
    if (l->tokens > l->burst) l->tokens = l->burst;
    if (l->tokens < 1) {
        l->refused++;
        return false;
    }
    l->tokens -= 1;
    return true;
}

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    struct rpc_limit *l = container_of(client, struct rpc_limit, client);
    if (rpc_limit_take(l)) {
        rpc_submit(l->next, call);
        return;
    }
    call->impl = NULL;
    call->reply = NULL;
    call->code = error_set(call->err, ERR_INTERNAL, RPC_ERR_RATE);
    call->done(call);
}

static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    rpc_cancel(container_of(client, struct rpc_limit, client)->next, call);
}

void rpc_limit_set(struct rpc_limit *l, double rate, uint64_t burst)
{
    l->rate = rate < RATE_ENDLESS ? rate : 0;
    l->burst = (double)(burst ? burst : BURST_DEFAULT);
    l->tokens = l->burst;
    l->tokens_ms = world_now_ms(l->world);
}

void rpc_limit_init(struct rpc_limit *l, struct world *w, struct rpc_client *next)
{
    *l = (struct rpc_limit){ .client = { submit, cancel }, .next = next, .world = w };
    rpc_limit_set(l, 0, 0);
}
