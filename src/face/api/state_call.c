/* SPDX-License-Identifier: Apache-2.0 */
#include "state_call.h"

static void done(struct rpc_call *rpc);

static void aborted(struct api_request *req)
{
    struct state_call *c = req->state;
    const struct face_context *ctx = state_context(req);
    if (c->cached) {
        cache_cancel(ctx->cache, &c->rpc);
    } else {
        rpc_cancel(ctx->rpc, &c->rpc);
    }
}

static struct state_call *create(struct api_request *req, unsigned flags)
{
    struct state_call *c = arena_new(req->arena, struct state_call);
    c->req = req;
    c->flags = flags;
    c->rpc.arena = req->arena;
    c->rpc.err = &c->err;
    c->rpc.done = done;
    c->rpc.ctx = c;
    return c;
}

struct state_call *state_call_read_global(struct api_request *req, unsigned flags)
{
    struct state_call *c = create(req, flags);
    return api_query_parse(req, &c->q) ? NULL : c;
}

struct state_call *state_call_read(struct api_request *req, unsigned flags)
{
    bool last = flags & CALL_NAMESPACE_LAST;
    if (!last && api_refuse_namespace(req)) return NULL;
    struct state_call *c = state_call_read_global(req, flags);
    return c && last && api_refuse_namespace(req) ? NULL : c;
}

struct state_call *state_call_write(struct api_request *req)
{
    struct state_call *c = create(req, 0);
    api_write_parse(req, &c->q.datacenter, &c->q.token);
    return c;
}

static void prepare(struct state_call *c, const char *method, const void *args, bool cached)
{
    c->rpc.method = method;
    c->rpc.args = args;
    c->cached = cached;
    c->req->state = c;
    c->req->on_abort = aborted;
}

void state_call_submit(struct state_call *c, const char *method, const void *args)
{
    prepare(c, method, args, false);
    rpc_submit(state_context(c->req)->rpc, &c->rpc);
}

void state_call_submit_to_cache(struct state_call *c, const char *method, const void *args)
{
    struct cache *cache = state_context(c->req)->cache;
    if (!cache) {
        state_call_submit(c, method, args);
        return;
    }
    prepare(c, method, args, true);
    cache_submit(cache, &c->rpc, &c->outcome);
}

void state_call_submit_cached(struct state_call *c, const char *method, const void *args)
{
    if (c->q.use_cache) {
        state_call_submit_to_cache(c, method, args);
    } else {
        state_call_submit(c, method, args);
    }
}

/* X-Cache, and the age of what was there already. */
static void cache_headers(struct state_call *c)
{
    if (!c->cached) return;
    api_header(c->req, "X-Cache", c->outcome.hit ? STR("HIT") : STR("MISS"));
    if (!c->outcome.hit) return;
    double seconds = (double)c->outcome.age_ns / 1e9;
    api_header(c->req, "Age", str_printf(c->req->arena, "%.0f", seconds));
}

/* A stale answer that is older than asked for is asked of the leader once (rpc.md 6.2). */
static bool ask_leader(struct state_call *c)
{
    const struct rpc_reply *r = c->rpc.reply;
    if (!c->q.allow_stale || c->q.max_stale_duration <= 0 || c->retried) return false;
    if (r->last_contact_ns <= c->q.max_stale_duration) return false;
    const struct method_types *m = method_find(str_of(c->rpc.method));
    const struct field *stale = record_field(m->args->record, STR("AllowStale"));
    const struct field *bound = record_field(m->args->record, STR("MaxStaleDuration"));
    if (!stale || !bound) return false;
    char *args = arena_copy(c->req->arena, c->rpc.args, m->args->size);
    *(bool *)(void *)(args + stale->offset) = false;
    *(int64_t *)(void *)(args + bound->offset) = 0;
    c->retried = true;
    rpc_reply_unref(c->rpc.reply);
    c->rpc.reply = NULL;
    state_call_submit(c, c->rpc.method, args);
    return true;
}

static void done(struct rpc_call *rpc)
{
    struct state_call *c = rpc->ctx;
    struct api_request *req = c->req;
    req->on_abort = NULL;
    if (rpc->code) {
        if (c->failed) c->failed(c);
        if ((c->flags & CALL_ERROR_HEADERS) && rpc->code != ERR_NOT_FOUND) {
            api_read_headers(req, 1, false, 0);
        }
        api_reply_error(req, rpc->err);
        return;
    }
    if (!c->cached && ask_leader(c)) return;
    struct rpc_reply *r = rpc->reply;
    cache_headers(c);
    if (c->finish)
        c->finish(c);
    else
        state_finish_json(c);
    rpc_reply_unref(r);
}

void state_headers(struct state_call *c)
{
    const struct rpc_reply *r = c->rpc.reply;
    if (c->flags & CALL_READ_HEADERS) {
        api_read_headers(c->req, r->index, r->known_leader, r->last_contact_ns);
    }
    if (c->flags & CALL_CONSISTENCY) api_consistency_header(c->req, &c->q);
}

void state_finish_json(struct state_call *c)
{
    struct rpc_reply *r = c->rpc.reply;
    state_headers(c);
    if (r->refs < 2) {
        api_reply_json(c->req, c->type, c->view(c));
        return;
    }
    uint64_t tag = (uint64_t)(uintptr_t)c->view * 8 + c->variant * 2 + c->req->pretty;
    struct shared_body *body = rpc_reply_memo(r, tag);
    if (!body) {
        body = api_json_shared(c->type, c->view(c), c->req->pretty);
        rpc_reply_memo_put(r, tag, body);
        shared_body_unref(body);
    }
    api_reply_shared(c->req, 200, body);
}

void state_finish_true(struct state_call *c)
{
    api_reply_bool(c->req, true);
}

void state_finish_empty(struct state_call *c)
{
    api_reply_empty(c->req, 200);
}

bool state_tail_missing(struct api_request *req, const char *what)
{
    if (req->tail.n) return false;
    api_reply_text(req, 400, "%s", what);
    return true;
}

void state_decode_failed(struct api_request *req, const struct error *err, bool namespaced)
{
    bool hint = namespaced && str_is(str_of(err->text), "json: unknown field \"Namespace\"");
    api_reply_text(req, 400, "Request decode failed: %s%s", err->text,
        hint ? " - Namespaces are a Consul Enterprise feature" : "");
}

void state_source(struct state_call *c, struct query_source *source)
{
    struct str near = api_param_str(c->req, "near");
    source->datacenter = c->q.datacenter;
    if (near.n == 0) return;
    source->node = str_is(near, "_agent") ? state_context(c->req)->node_name : near;
}

void state_node_meta(struct state_call *c, struct dict *out)
{
    struct str pair, key, value;
    for (size_t it = 0; api_param_next(c->req, "node-meta", &it, &pair);) {
        if (!str_cut(pair, ':', &key, &value)) value = STR("");
        dict_set_str(c->req->arena, out, key, value);
    }
}

bool state_parse_u64(struct api_request *req, struct str text, uint64_t *out)
{
    bool digits = text.n > 0;
    if (str_to_u64(text, out)) return true;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') digits = false;
    }
    api_reply_text(req, 500, "strconv.ParseUint: parsing \"%.*s\": %s", STR_ARG(text),
        digits ? "value out of range" : "invalid syntax");
    return false;
}

bool state_parse_bool(struct str text, bool *out)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (str_is(text, yes[i])) return *out = true, true;
        if (str_is(text, no[i])) return *out = false, true;
    }
    return false;
}
