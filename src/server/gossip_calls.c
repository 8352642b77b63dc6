/* SPDX-License-Identifier: Apache-2.0 */
/* Internal.EventFire and Internal.KeyringOperation: calls that gossip answers (gossip.md 12.6,
 * 12.7). */
#include "consuld/cluster/pool.h"
#include "consuld/gossip/event_payload.h"
#include "server.h"

static struct pool_request *request(
    struct write *w, void (*done)(struct pool_request *r), void *ctx)
{
    struct pool_request *r = arena_new(w->p.call->arena, struct pool_request);
    *r = (struct pool_request){ .done = done, .ctx = ctx };
    w->p.gossip = r;
    return r;
}

/* --- events -------------------------------------------------------------------------------------
 */

static void put_meta(const struct server *s, struct event_fire_response *out)
{
    struct raft_driver_state state = raft_driver_state(s->raft);
    bool leads = raft_driver_is_leader(s->raft);
    out->known_leader = leads || state.leader_address.n > 0;
    out->last_contact = leads ? 0 : (int64_t)state.last_contact_ms * 1000000;
}

static void fired(struct pool_request *r)
{
    struct write *w = r->ctx;
    w->p.gossip = NULL;
    if (r->code)
        error_set(w->err, ERR_INTERNAL,
            "1 error occurred:\n\t* error broadcasting event to segment \"\": %s\n\n", r->err.text);
    else
        put_meta(w->p.server, write_reply(w)->record);
    write_answer(w, r->code ? ERR_INTERNAL : WRITE_DONE);
}

int internal_event_fire(struct write *w)
{
    const struct event_fire_request *args = w->p.args;
    struct server *s = w->p.server;
    if (!s->opts.lan) return error_set(w->err, ERR_INTERNAL, "no gossip pool");
    struct str name = str_printf(w->p.call->arena, EVENT_USER_PREFIX "%.*s", STR_ARG(args->name));
    pool_fire(s->opts.lan, request(w, fired, w), name, args->payload);
    return WRITE_PENDING;
}

/* --- keys ---------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    enum serf_key_action action;
} operations[] = { { "install", SERF_KEY_INSTALL }, { "list", SERF_KEY_LIST },
    { "remove", SERF_KEY_REMOVE }, { "use", SERF_KEY_USE } };

/* The same question to another datacenter. */
struct key_question {
    struct key_work *work;
    struct rpc_call call;
    struct error err;
    bool asked;
};

/* Our pools are asked one after the other, then the other datacenters at once. */
struct key_work {
    struct write *w;
    enum serf_key_action action;
    struct str key;
    struct error decode;
    bool wan_left;
    bool everywhere; /* other datacenters are asked too */
    struct keyring_request forwarded;
    struct key_question *questions;
    size_t questions_n;
    size_t waiting;
    bool failed;
};

static void ask_next(struct key_work *k);

static void count_keys(struct arena *a, struct dict *out, const struct serf_key_count *v, size_t n)
{
    *out = DICT_EMPTY;
    for (size_t i = 0; i < n; i++) {
        int64_t *count = dict_put(a, out, type_map_int.elem, str_dup(a, v[i].key));
        *count = (int64_t)v[i].nodes;
    }
}

static struct keyring_response *respond(struct key_work *k, bool wan)
{
    struct rpc_reply *reply = write_reply(k->w);
    struct keyring_responses *all = reply->record;
    struct keyring_response *r = LIST_PUSH(&reply->arena, &all->responses, struct keyring_response);
    r->wan = wan;
    r->datacenter = str_dup(&reply->arena, k->w->p.server->opts.datacenter);
    r->segment = STR("");
    r->messages = r->keys = r->primary_keys = DICT_EMPTY;
    return r;
}

static void add_response(struct key_work *k, bool wan, const struct pool_request *req)
{
    struct arena *a = &write_reply(k->w)->arena;
    struct keyring_response *r = respond(k, wan);
    if (req->code) r->error = str_printf(a, "%s", req->err.text);
    if (!req->keys) return;
    r->num_nodes = (int64_t)req->keys->nodes;
    for (size_t i = 0; i < req->keys->messages_n; i++)
        dict_set_str(a, &r->messages, str_dup(a, req->keys->messages[i].key),
            str_dup(a, req->keys->messages[i].value));
    count_keys(a, &r->keys, req->keys->keys, req->keys->keys_n);
    count_keys(a, &r->primary_keys, req->keys->primary_keys, req->keys->primary_keys_n);
}

static void wan_answered(struct pool_request *req)
{
    struct key_work *k = req->ctx;
    k->w->p.gossip = NULL;
    add_response(k, true, req);
    ask_next(k);
}

/* --- other datacenters --------------------------------------------------------------------------
 */

static void one_answered(struct key_work *k)
{
    if (--k->waiting) return;
    k->w->p.abandon = NULL;
    write_answer(k->w, k->failed ? ERR_INTERNAL : WRITE_DONE);
}

static void take_answer(struct key_work *k, struct rpc_reply *from)
{
    struct rpc_reply *to = write_reply(k->w);
    const struct list *theirs = &((const struct keyring_responses *)from->record)->responses;
    struct list *ours = &((struct keyring_responses *)to->record)->responses;
    for (size_t i = 0; i < theirs->n; i++)
        record_copy(&to->arena, type_keyring_response_list.elem,
            LIST_PUSH(&to->arena, ours, struct keyring_response),
            &LIST_AT(theirs, struct keyring_response, i));
    rpc_reply_unref(from);
}

static void datacenter_answered(struct rpc_call *call)
{
    struct key_question *q = call->ctx;
    struct key_work *k = q->work;
    q->asked = false;
    if (call->code == 0) {
        take_answer(k, call->reply);
    } else if (!k->failed) {
        k->failed = true;
        error_set(k->w->err, ERR_INTERNAL, "%s", q->err.text);
    }
    one_answered(k);
}

static void abandon_questions(struct pending *p)
{
    struct key_work *k = p->state;
    for (size_t i = 0; i < k->questions_n; i++)
        if (k->questions[i].asked) rpc_cancel(&p->server->client, &k->questions[i].call);
}

static void ask_datacenters(struct key_work *k)
{
    struct server *s = k->w->p.server;
    struct arena *a = k->w->p.call->arena;
    struct str name;
    void *ignored;
    k->questions = arena_array(a, s->routes.n, sizeof *k->questions);
    k->waiting = 1; /* us, until all are asked */
    k->w->p.state = k;
    k->w->p.abandon = abandon_questions;
    for (size_t it = 0; k->everywhere && map_next(&s->routes, &it, &name, &ignored);) {
        if (str_eq(name, s->opts.datacenter)) continue;
        struct key_question *q = &k->questions[k->questions_n++];
        *q = (struct key_question){ .work = k, .asked = true };
        q->call = (struct rpc_call){ .method = k->w->p.method->name,
            .args = &k->forwarded,
            .arena = a,
            .done = datacenter_answered,
            .ctx = q,
            .err = &q->err };
        k->waiting++;
        server__submit_to(s, &q->call, str_dup(a, name));
    }
    one_answered(k);
}

/* --- our pools ----------------------------------------------------------------------------------
 */

static void lan_answered(struct pool_request *req)
{
    struct key_work *k = req->ctx;
    k->w->p.gossip = NULL;
    add_response(k, false, req);
    ask_datacenters(k);
}

static void ask_next(struct key_work *k)
{
    const struct keyring_request *args = k->w->p.args;
    const struct server_options *o = &k->w->p.server->opts;
    bool wan = k->wan_left;
    k->wan_left = false;
    pool_keys(wan ? o->wan : o->lan, request(k->w, wan ? wan_answered : lan_answered, k), k->action,
        k->key, (uint8_t)args->relay_factor);
}

int internal_keyring_operation(struct write *w)
{
    const struct keyring_request *args = w->p.args;
    const struct server_options *o = &w->p.server->opts;
    struct arena *a = w->p.call->arena;
    struct key_work *k = arena_new(a, struct key_work);
    size_t n = sizeof operations / sizeof operations[0], i = 0;
    if (args->local_only && !str_is(args->operation, "list"))
        return error_set(
            w->err, ERR_INTERNAL, "argument error: LocalOnly can only be used for List operations");
    while (i < n && !str_is(args->operation, operations[i].name))
        i++;
    if (i == n)
        return error_set(
            w->err, ERR_INTERNAL, "unknown keyring operation \"%.*s\"", STR_ARG(args->operation));
    if (!o->lan) return error_set(w->err, ERR_INTERNAL, "no gossip pool");
    k->w = w;
    k->action = operations[i].action;
    k->wan_left = k->everywhere = o->wan && !args->forwarded && !args->local_only;
    k->forwarded = *args;
    k->forwarded.forwarded = true;
    if (k->action != SERF_KEY_LIST && base64_parse(args->key, a, &k->key, &k->decode) != 0) {
        if (k->wan_left) respond(k, true)->error = str_of(k->decode.text);
        respond(k, false)->error = str_of(k->decode.text);
        ask_datacenters(k);
        return WRITE_PENDING;
    }
    ask_next(k);
    return WRITE_PENDING;
}
