/* SPDX-License-Identifier: Apache-2.0 */
/* PreparedQuery.Execute, ExecuteRemote and Explain (rpc.md 13, http-api.md 3.11). */
#include "consuld/lang/template.h"
#include "server.h"

/* How far down the asking node is looked for to be put first. */
#define SOURCE_DEPTH_MAX 10

static int resolve_query(struct eval *e, struct str id_or_name, const struct query_source *agent,
    struct prepared_query *out)
{
    struct arena *a = &e->reply->arena;
    struct prepared_query *found;
    struct query_template *t;
    int rc = store_prepared_query_resolve(e->rd, id_or_name, a, &found, e->err);
    if (rc) return e->err->code = ERR_INTERNAL;
    if (!found) return error_set(e->err, ERR_NOT_FOUND, "%s", RPC_ERR_QUERY_NOT_FOUND);
    *out = *found;
    if (found->template.type.n == 0) return 0;
    rc = query_template_compile(found, a, &t, e->err);
    if (!rc) rc = query_template_render(t, id_or_name, agent->segment, a, out, e->err);
    return rc ? (e->err->code = ERR_INTERNAL) : 0;
}

/* --- filters -------------------------------------------------------------------------------- */

static bool ignored(const struct list *ids, struct str check)
{
    for (size_t i = 0; i < ids->n; i++) {
        if (str_eq(LIST_AT(ids, struct str, i), check)) return true;
    }
    return false;
}

static bool healthy(const struct service_query *q, const struct check_service_node *n)
{
    for (size_t i = 0; i < n->checks.n; i++) {
        const struct health_check *c = &LIST_AT(&n->checks, struct health_check, i);
        if (ignored(&q->ignore_check_ids, c->check_id)) continue;
        if (str_is(c->status, "critical")) return false;
        if (q->only_passing && !str_is(c->status, "passing")) return false;
    }
    return true;
}

static bool has_tag(const struct list *tags, struct str tag)
{
    for (size_t i = 0; i < tags->n; i++) {
        if (str_eq_nocase(LIST_AT(tags, struct str, i), tag)) return true;
    }
    return false;
}

/* A tag with a leading '!' must be absent. */
static bool tags_match(const struct list *wanted, const struct list *have)
{
    for (size_t i = 0; i < wanted->n; i++) {
        struct str tag = LIST_AT(wanted, struct str, i);
        bool absent = tag.n && tag.p[0] == '!';
        if (absent) tag = str_slice(tag, 1, tag.n);
        if (has_tag(have, tag) == absent) return false;
    }
    return true;
}

static bool wanted(const struct service_query *q, const struct check_service_node *n)
{
    return n->node && n->service && healthy(q, n) && eval_has_meta(&n->node->meta, &q->node_meta) &&
           eval_has_meta(&n->service->meta, &q->service_meta) &&
           tags_match(&q->tags, &n->service->tags);
}

/* --- execution ------------------------------------------------------------------------------ */

static void shuffle(struct world *w, struct list *l)
{
    for (size_t i = l->n; i > 1; i--) {
        size_t k = (size_t)world_random_below(w, i);
        struct check_service_node other = LIST_AT(l, struct check_service_node, k);
        LIST_AT(l, struct check_service_node, k) = LIST_AT(l, struct check_service_node, i - 1);
        LIST_AT(l, struct check_service_node, i - 1) = other;
    }
}

/* The healthy instances of this datacenter that the query asks for, in random order. */
static void execute(struct eval *e, const struct prepared_query *q, bool connect)
{
    struct prepared_query_execute_response *out = eval_reply(e, prepared_query_execute_response);
    struct arena *a = &e->reply->arena;
    struct list *nodes = &out->nodes;
    size_t kept = 0;
    if (connect || q->service.connect)
        store_check_connect_service_nodes(e->rd, NULL, q->service.service, a, nodes);
    else
        store_check_service_nodes(e->rd, NULL, q->service.service, NULL, a, nodes);
    for (size_t i = 0; i < nodes->n; i++) {
        const struct check_service_node *n = &LIST_AT(nodes, struct check_service_node, i);
        if (wanted(&q->service, n)) LIST_AT(nodes, struct check_service_node, kept++) = *n;
    }
    nodes->n = kept;
    if (!kept) *nodes = (struct list){ 0 };
    shuffle(e->server->world, nodes);
    out->service = str_dup(a, q->service.service);
    out->dns.ttl = str_dup(a, q->dns.ttl);
    out->datacenter = str_dup(a, e->server->opts.datacenter);
}

static void limit(struct list *nodes, int64_t max)
{
    if (max > 0 && nodes->n > (uint64_t)max) nodes->n = (size_t)max;
}

static struct str node_with_address(struct eval *e, struct str ip)
{
    struct list nodes = { 0 };
    store_nodes(e->rd, NULL, NULL, &e->reply->arena, &nodes);
    for (size_t i = 0; ip.n && i < nodes.n; i++) {
        const struct node *n = &LIST_AT(&nodes, struct node, i);
        if (str_eq(n->address, ip)) return n->node;
    }
    return STR_NIL;
}

/* Whom the answer shall be near to: the caller's wish, else the query's. */
static struct query_source source_of(
    struct eval *e, const struct prepared_query_execute_request *args, struct str near)
{
    struct query_source s = args->source;
    if (s.datacenter.n == 0) s.datacenter = args->agent.datacenter;
    if (s.node.n == 0) s.node = near;
    if (str_is(s.node, "_agent"))
        s.node = args->agent.node;
    else if (str_is(s.node, "_ip"))
        s.node = node_with_address(e, args->source.ip);
    return s;
}

static void put_first(struct list *nodes, struct str node)
{
    size_t depth = nodes->n < SOURCE_DEPTH_MAX ? nodes->n : SOURCE_DEPTH_MAX;
    for (size_t i = 0; i < depth; i++) {
        struct check_service_node n = LIST_AT(nodes, struct check_service_node, i);
        if (!str_eq(n.node->node, node)) continue;
        LIST_AT(nodes, struct check_service_node, i) = LIST_AT(nodes, struct check_service_node, 0);
        LIST_AT(nodes, struct check_service_node, 0) = n;
        return;
    }
}

int prepared_query_resolve(struct eval *e, struct prepared_query *out)
{
    const struct prepared_query_execute_request *args =
        eval_args(e, prepared_query_execute_request);
    return resolve_query(e, args->query_id_or_name, &args->agent, out);
}

int prepared_query_execute(struct eval *e)
{
    const struct prepared_query_execute_request *args =
        eval_args(e, prepared_query_execute_request);
    struct list *nodes = &eval_reply(e, prepared_query_execute_response)->nodes;
    struct prepared_query q;
    int rc = prepared_query_resolve(e, &q);
    if (rc) return rc;
    execute(e, &q, args->connect);
    struct query_source source = source_of(e, args, q.service.near);
    eval_sort(e, &source, &type_check_service_node, nodes);
    if (source.node.n && str_eq(source.datacenter, e->server->opts.datacenter))
        put_first(nodes, source.node);
    limit(nodes, args->limit);
    return 0;
}

int prepared_query_execute_remote(struct eval *e)
{
    const struct prepared_query_execute_remote_request *args =
        eval_args(e, prepared_query_execute_remote_request);
    execute(e, &args->query, args->connect);
    limit(&eval_reply(e, prepared_query_execute_response)->nodes, args->limit);
    return 0;
}

int prepared_query_explain(struct eval *e)
{
    const struct prepared_query_execute_request *args =
        eval_args(e, prepared_query_execute_request);
    return resolve_query(e, args->query_id_or_name, &args->agent,
        &eval_reply(e, prepared_query_explain_response)->query);
}
