/* SPDX-License-Identifier: Apache-2.0 */
/* Intention.* (rpc.md 13, fsm.md 9, connect-xds.md 3). */
#include "consuld/model/intention.h"

#include "consuld/wire/quote.h"
#include "server.h"

#define NOT_FOUND "Intention not found"
#define LOOKUP "failed intention lookup"

/* --- reads ---------------------------------------------------------------------------------- */

int intentions_list(struct eval *e)
{
    const struct dc_specific_request *args = eval_args(e, dc_specific_request);
    struct list *out = &eval_reply(e, indexed_intentions)->intentions;
    e->reply->index = store_intentions(e->rd, e->ws, &e->reply->arena, out);
    if (!out->v) *out = LIST_EMPTY;
    return eval_filter(e, args->filter, &type_intention, out);
}

int intentions_get(struct eval *e)
{
    const struct intention_query_request *args = eval_args(e, intention_query_request);
    struct list *out = &eval_reply(e, indexed_intentions)->intentions;
    struct intention *found = NULL;
    if (server__check_uuid(args->intention_id, LOOKUP, e->err)) return e->err->code;
    e->reply->index = store_intention(e->rd, e->ws, args->intention_id, &e->reply->arena, &found);
    if (!found) return error_set(e->err, ERR_NOT_FOUND, NOT_FOUND);
    *LIST_PUSH(&e->reply->arena, out, struct intention) = *found;
    return 0;
}

int intentions_match(struct eval *e)
{
    const struct intention_query_match *match = eval_args(e, intention_query_request)->match;
    struct list *out = &eval_reply(e, indexed_intention_matches)->matches;
    if (!match) return error_set(e->err, ERR_INTERNAL, "Match must be specified on args");
    bool by_destination = str_is(match->type, "destination");
    if (!by_destination && !str_is(match->type, "source")) {
        return error_set(e->err, ERR_INTERNAL, "unknown match type: %.*s", STR_ARG(match->type));
    }
    for (size_t i = 0; i < match->entries.n; i++) {
        const struct intention_match_entry *m =
            &LIST_AT(&match->entries, struct intention_match_entry, i);
        struct list *rows = LIST_PUSH(&e->reply->arena, out, struct list);
        e->reply->index = store_intention_match(
            e->rd, e->ws, by_destination, m->namespace, m->name, &e->reply->arena, rows);
    }
    return 0;
}

static int unsupported(struct eval *e, struct str type)
{
    struct buf quoted = BUF_INIT(256);
    quote_go(&quoted, type);
    error_set(e->err, ERR_INTERNAL, "unsupported SourceType: %.*s", STR_ARG(buf_str(&quoted)));
    buf_deinit(&quoted);
    return e->err->code;
}

/* Without ACLs what no intention decides is allowed. */
int intentions_check(struct eval *e)
{
    const struct intention_query_check *check = eval_args(e, intention_query_request)->check;
    struct list rows = { 0 };
    if (!check) return error_set(e->err, ERR_INTERNAL, "Check must be specified on args");
    if (!str_is(check->source_type, "consul")) return unsupported(e, check->source_type);
    store_intention_match(
        e->rd, NULL, true, check->destination_ns, check->destination_name, &e->reply->arena, &rows);
    const struct intention *x = intention_decide(&rows, check->source_ns, check->source_name);
    eval_reply(e, intention_query_check_response)->allowed = !x || str_is(x->action, "allow");
    return 0;
}

/* --- writes --------------------------------------------------------------------------------- */

static struct str new_id(struct server *s, struct arena *a)
{
    for (;;) {
        uint8_t bytes[16];
        char text[UUID_TEXT_LEN + 1];
        struct intention *taken = NULL;
        world_random(s->world, bytes, sizeof bytes);
        uuid_format(bytes, text);
        struct str id = { text, UUID_TEXT_LEN };
        store_intention(store_read(s->store), NULL, id, a, &taken);
        if (!taken) return str_dup(a, id);
    }
}

static int check_exists(struct write *w, struct str id, const char *doing)
{
    struct intention *found = NULL;
    int rc = server__check_uuid(id, "Intention lookup failed: " LOOKUP, w->err);
    if (rc) return rc;
    store_intention(store_read(w->p.server->store), NULL, id, w->p.call->arena, &found);
    if (found) return 0;
    return error_set(
        w->err, ERR_INTERNAL, "Cannot %s non-existent intention: '%.*s'", doing, STR_ARG(id));
}

/* What the log holds is complete: times, defaults, precedence, hash. */
static int complete(struct write *w, struct intention *x, bool create)
{
    struct arena *a = w->p.call->arena;
    x->updated_at = gotime_from_unix_ns(world_wall_ns(w->p.server->world));
    if (create) x->created_at = x->updated_at;
    if (x->source_ns.n == 0) x->source_ns = STR("default");
    if (x->destination_ns.n == 0) x->destination_ns = STR("default");
    if (x->source_type.n == 0) x->source_type = STR("consul");
    if (intention_validate(x, w->err)) return w->err->code = ERR_INTERNAL;
    x->precedence = intention_precedence(x);
    x->hash = store_intention_hash(x, a);
    return 0;
}

static int applied(struct write *w, const struct command_result *res)
{
    const struct intention_request *req = w->p.state;
    if (res->kind == RESULT_ERROR) return write_finish(w, res);
    return write_reply_str(w, req->intention->id);
}

int intentions_apply(struct write *w)
{
    struct arena *a = w->p.call->arena;
    struct intention_request *req = arena_copy(a, w->p.args, sizeof *req);
    struct intention *x = arena_new(a, struct intention);
    bool create = str_is(req->op, "create"), update = str_is(req->op, "update");
    int rc = 0;
    if (req->intention) *x = *req->intention;
    req->intention = x;
    if (!create && !update && !str_is(req->op, "delete")) {
        return error_set(
            w->err, ERR_INTERNAL, "Invalid Intention operation: %.*s", STR_ARG(req->op));
    }
    if (create && x->id.n) {
        return error_set(w->err, ERR_INTERNAL, "ID must be empty when creating a new intention");
    }
    if (create)
        x->id = new_id(w->p.server, a);
    else
        rc = check_exists(w, x->id, update ? "modify" : "delete");
    if (rc == 0 && (create || update)) rc = complete(w, x, create);
    if (rc) return rc;
    w->p.state = req;
    return write_propose_then(w, COMMAND_INTENTION, req, applied);
}
