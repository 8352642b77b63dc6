/* SPDX-License-Identifier: Apache-2.0 */
/* Many who ask the same get the same bytes from a server: they are read once, and what was made of
 * them, JSON above all, serves all. A question asked for the first time leaves its hash alone, so
 * that questions that do not come again cost nothing. */
#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"
#include "rpc_pool.h"

static int offset_of(const struct type *t, const char *name)
{
    if (t->kind != KIND_REC) return -1;
    const struct field *f = record_field(t->record, str_of(name));
    return f ? (int)f->offset : -1;
}

void rpc_pool__methods_init(struct rpc_pool *p)
{
    p->methods = xcalloc(method_count, sizeof *p->methods);
    for (size_t i = 0; i < method_count; i++) {
        const struct method_types *t = &method_table[i];
        struct pool_method *m = &p->methods[i];
        m->types = t;
        m->min_query_index = offset_of(t->args, "MinQueryIndex");
        m->max_query_time = offset_of(t->args, "MaxQueryTime");
        m->index = offset_of(t->reply, "Index");
        m->last_contact = offset_of(t->reply, "LastContact");
        m->known_leader = offset_of(t->reply, "KnownLeader");
        struct str service;
        m->insecure =
            rpc_method_service(str_of(t->method), &service) && method_service_insecure(service);
    }
}

static void clear(struct rpc_pool *p)
{
    for (size_t i = 0; i < RPC_POOL_ANSWERS; i++) {
        rpc_reply_unref(p->answers.at[i].reply);
        p->answers.at[i] = (struct pool_answer){ 0 };
    }
    p->answers.bytes = 0;
}

static void on_timer(struct timer *t)
{
    clear(container_of(t, struct rpc_pool, answers.timer));
}

void rpc_pool__answers_init(struct rpc_pool *p)
{
    timer_init(&p->answers.timer, p->opts.world, on_timer);
}

void rpc_pool__answers_deinit(struct rpc_pool *p)
{
    timer_stop(&p->answers.timer);
    clear(p);
    free(p->methods);
}

uint64_t rpc_pool__request_hash(const struct pool_method *m, struct str args)
{
    if (m->known_leader < 0) return 0;
    return hash_bytes(args.p, args.n) ^ (uintptr_t)m;
}

static struct pool_answer *slot(const struct pool_call *pc)
{
    return &pc->pool->answers.at[pc->request % RPC_POOL_ANSWERS];
}

static const struct pool_answer *kept(const struct pool_call *pc)
{
    const struct pool_answer *a = slot(pc);
    return pc->request && a->request == pc->request && a->reply ? a : NULL;
}

int rpc_pool__answer_compare(const struct pool_call *pc, struct str bytes)
{
    const struct pool_answer *a = kept(pc);
    if (!a || bytes.n > a->body.n || memcmp(a->body.p, bytes.p, bytes.n) != 0) return 0;
    return bytes.n == a->body.n ? 1 : -1;
}

struct rpc_reply *rpc_pool__answer_find(const struct pool_call *pc, struct str body)
{
    const struct pool_answer *a = kept(pc);
    return a && str_eq(a->body, body) ? rpc_reply_ref(a->reply) : NULL;
}

/* The record, the text it came from, and the text that will be made of it. */
static size_t cost(const struct pool_answer *a)
{
    return a->reply ? 2 * a->reply->arena.used : 0;
}

void rpc_pool__answer_keep(const struct pool_call *pc, struct rpc_reply *reply, struct str body)
{
    struct pool_answers *all = &pc->pool->answers;
    struct pool_answer *a = slot(pc);
    if (!pc->request) return;
    bool again = a->request == pc->request;
    all->bytes -= cost(a);
    rpc_reply_unref(a->reply);
    *a = (struct pool_answer){ .request = pc->request };
    if (!again || body.n > RPC_POOL_ANSWER_MAX) return;
    if (all->bytes > RPC_POOL_ANSWERS_BYTES_MAX) clear(pc->pool);
    *a = (struct pool_answer){ pc->request, rpc_reply_ref(reply), body };
    all->bytes += cost(a);
    if (!timer_active(&all->timer)) timer_start(&all->timer, RPC_POOL_ANSWERS_MS);
}
