/* SPDX-License-Identifier: Apache-2.0 */
/* Session.* (rpc.md 13, fsm.md 6). */
#include "server.h"

#define TTL_MAX_NS (INT64_C(24) * 3600 * 1000000000)

static int get_one(struct eval *e, struct session **found)
{
    const struct session_specific_request *args = eval_args(e, session_specific_request);
    struct indexed_sessions *out = eval_reply(e, indexed_sessions);
    struct arena *a = &e->reply->arena;
    struct str id = args->session_id.n ? args->session_id : args->session;
    *found = NULL;
    int rc = server__check_uuid(id, "failed session lookup", e->err);
    if (rc) return rc;
    e->reply->index = store_session(e->rd, e->ws, id, a, found);
    if (*found) *LIST_PUSH(a, &out->sessions, struct session) = **found;
    return 0;
}

int session_get(struct eval *e)
{
    struct session *found;
    return get_one(e, &found);
}

int session_list(struct eval *e)
{
    e->reply->index =
        store_sessions(e->rd, e->ws, &e->reply->arena, &eval_reply(e, indexed_sessions)->sessions);
    return 0;
}

int session_node_sessions(struct eval *e)
{
    const struct node_specific_request *args = eval_args(e, node_specific_request);
    e->reply->index = store_node_sessions(
        e->rd, e->ws, args->node, &e->reply->arena, &eval_reply(e, indexed_sessions)->sessions);
    return 0;
}

int session_renew(struct eval *e)
{
    struct session *found;
    int rc = get_one(e, &found);
    if (rc == 0 && found && e->server->leader) server__session_touch(e->server, found);
    e->reply->known_leader = false; /* it is no read and says nothing about itself */
    return rc;
}

static int check_ttl(struct server *s, struct str ttl, struct error *err)
{
    int64_t ns, min = (int64_t)s->opts.session_ttl_min_ms * 1000000;
    struct error why;
    if (ttl.n == 0) return 0;
    if (duration_parse(ttl, &ns, &why)) {
        return error_set(
            err, ERR_INTERNAL, "Session TTL '%.*s' invalid: %s", STR_ARG(ttl), why.text);
    }
    if (ns == 0 || (ns >= min && ns <= TTL_MAX_NS)) return 0;
    struct buf text = BUF_INIT(64);
    duration_format(min, &text);
    int rc =
        error_set(err, ERR_INTERNAL, "Invalid Session TTL '%lld', must be between [%.*s=24h0m0s]",
            (long long)ns, STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return rc;
}

static struct str new_id(struct server *s, struct arena *a)
{
    for (;;) {
        uint8_t bytes[16];
        char text[UUID_TEXT_LEN + 1];
        struct session *taken = NULL;
        world_random(s->world, bytes, sizeof bytes);
        uuid_format(bytes, text);
        struct str id = { text, UUID_TEXT_LEN };
        store_session(store_read(s->store), NULL, id, a, &taken);
        if (!taken) return str_dup(a, id);
    }
}

static int applied(struct write *w, const struct command_result *res)
{
    struct session_request *req = w->p.state;
    struct server *s = w->p.server;
    if (res->kind != RESULT_ERROR && s->leader) {
        if (str_is(req->op, "create"))
            server__session_touch(s, &req->session);
        else
            server__session_drop(s, req->session.id);
    }
    return write_finish(w, res);
}

int session_apply(struct write *w)
{
    struct arena *a = w->p.call->arena;
    struct session_request *req = arena_copy(a, w->p.args, sizeof *req);
    struct session *session = &req->session;
    bool create = str_is(req->op, "create");
    if (!create && !str_is(req->op, "destroy")) {
        return error_set(
            w->err, ERR_INTERNAL, "Invalid Session operation '%.*s'", STR_ARG(req->op));
    }
    if (!create && session->id.n == 0) {
        return error_set(w->err, ERR_INTERNAL, "Must provide ID");
    }
    if (!create && server__check_uuid(session->id, "failed session lookup", w->err)) {
        return w->err->code;
    }
    if (create && session->node.n == 0) {
        return error_set(w->err, ERR_INTERNAL, "Must provide Node");
    }
    if (session->behavior.n == 0) {
        session->behavior = STR("release");
    } else if (!str_is(session->behavior, "release") && !str_is(session->behavior, "delete")) {
        return error_set(
            w->err, ERR_INTERNAL, "Invalid Behavior setting '%.*s'", STR_ARG(session->behavior));
    }
    int rc = check_ttl(w->p.server, session->ttl, w->err);
    if (rc) return rc;
    if (create) session->id = new_id(w->p.server, a);
    w->p.state = req;
    return write_propose_then(w, COMMAND_SESSION, req, applied);
}
