/* SPDX-License-Identifier: Apache-2.0 */
/* PreparedQuery.*: storing and reading (rpc.md 13, fsm.md 8). */
#include "server.h"

int prepared_query_get(struct eval *e)
{
    const struct prepared_query_specific_request *args =
        eval_args(e, prepared_query_specific_request);
    struct indexed_prepared_queries *out = eval_reply(e, indexed_prepared_queries);
    struct prepared_query *found = NULL;
    if (server__check_uuid(args->query_id, "failed prepared query lookup", e->err)) {
        return e->err->code;
    }
    e->reply->index = store_prepared_query(e->rd, e->ws, args->query_id, &e->reply->arena, &found);
    if (!found) return error_set(e->err, ERR_NOT_FOUND, "%s", RPC_ERR_QUERY_NOT_FOUND);
    *LIST_PUSH(&e->reply->arena, &out->queries, struct prepared_query) = *found;
    return 0;
}

int prepared_query_list(struct eval *e)
{
    e->reply->index = store_prepared_queries(
        e->rd, e->ws, &e->reply->arena, &eval_reply(e, indexed_prepared_queries)->queries);
    return 0;
}

static const char *meta_key_fault(struct str key)
{
    if (key.n == 0) return "Key cannot be blank";
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_';
        if (!ok) return "Key contains invalid characters";
    }
    if (key.n > 128) return "Key is too long (limit: 128 characters)";
    return NULL;
}

static int check_service(const struct service_query *q, struct error *err)
{
    if (q->service.n == 0) {
        return error_set(err, ERR_INTERNAL, "Must provide a Service name to query");
    }
    if (q->failover.nearest_n < 0) {
        return error_set(err, ERR_INTERNAL, "Bad NearestN '%lld', must be >= 0",
            (long long)q->failover.nearest_n);
    }
    for (size_t i = 0; i < q->node_meta.n; i++) {
        struct str key = dict_key(&q->node_meta, &type_str, i);
        struct str value = *(struct str *)dict_at(&q->node_meta, &type_str, i);
        const char *why = meta_key_fault(key);
        if (!why && value.n > 512) why = "Value is too long (limit: 512 characters)";
        if (why) {
            return error_set(err, ERR_INTERNAL, "Couldn't load metadata pair ('%.*s', '%.*s'): %s",
                STR_ARG(key), STR_ARG(value), why);
        }
    }
    return 0;
}

static int check_dns(struct str ttl, struct error *err)
{
    struct error why;
    int64_t ns;
    if (ttl.n == 0) return 0;
    if (duration_parse(ttl, &ns, &why)) {
        return error_set(err, ERR_INTERNAL, "Bad DNS TTL '%.*s': %s", STR_ARG(ttl), why.text);
    }
    if (ns < 0) {
        return error_set(err, ERR_INTERNAL, "DNS TTL '%lld', must be >=0", (long long)ns);
    }
    return 0;
}

static int check_query(const struct prepared_query *q, struct error *err)
{
    if (q->name.n == 0 && q->template.type.n == 0 && q->session.n == 0) {
        return error_set(err, ERR_INTERNAL, "Must be bound to a session");
    }
    if (str_is(q->token, "<hidden>")) {
        return error_set(err, ERR_INTERNAL,
            "Bad Token '<hidden>', it looks like a query definition with a redacted token was "
            "submitted");
    }
    int rc = check_service(&q->service, err);
    return rc ? rc : check_dns(q->dns.ttl, err);
}

static struct str new_id(struct server *s, struct arena *a)
{
    for (;;) {
        uint8_t bytes[16];
        char text[UUID_TEXT_LEN + 1];
        struct prepared_query *taken = NULL;
        world_random(s->world, bytes, sizeof bytes);
        uuid_format(bytes, text);
        struct str id = { text, UUID_TEXT_LEN };
        store_prepared_query(store_read(s->store), NULL, id, a, &taken);
        if (!taken) return str_dup(a, id);
    }
}

static int check_exists(struct write *w, struct str id)
{
    struct prepared_query *found = NULL;
    int rc = server__check_uuid(
        id, "Prepared Query lookup failed: failed prepared query lookup", w->err);
    if (rc) return rc;
    store_prepared_query(store_read(w->p.server->store), NULL, id, w->p.call->arena, &found);
    if (found) return 0;
    return error_set(
        w->err, ERR_INTERNAL, "Cannot modify non-existent prepared query: '%.*s'", STR_ARG(id));
}

static int applied(struct write *w, const struct command_result *res)
{
    const struct prepared_query_request *req = w->p.state;
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    return write_reply_str(w, req->query->id);
}

int prepared_query_apply(struct write *w)
{
    struct arena *a = w->p.call->arena;
    struct prepared_query_request *req = arena_copy(a, w->p.args, sizeof *req);
    bool create = str_is(req->op, "create"), update = str_is(req->op, "update");
    int rc = 0;
    if (!create && !update && !str_is(req->op, "delete")) {
        return error_set(
            w->err, ERR_INTERNAL, "Unknown prepared query operation: %.*s", STR_ARG(req->op));
    }
    if (!req->query) return error_set(w->err, ERR_INTERNAL, "Must provide a query");
    req->query = arena_copy(a, req->query, sizeof *req->query);
    if (create && req->query->id.n) {
        return error_set(
            w->err, ERR_INTERNAL, "ID must be empty when creating a new prepared query");
    }
    if (create)
        req->query->id = new_id(w->p.server, a);
    else
        rc = check_exists(w, req->query->id);
    if (rc == 0 && (create || update)) {
        rc = check_query(req->query, w->err);
        if (rc) error_prefix(w->err, "Invalid prepared query: ");
    }
    if (rc) return rc;
    w->p.state = req;
    return write_propose_then(w, COMMAND_PREPARED_QUERY, req, applied);
}
