/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/txn (http-api.md 3.3). */
#include "state_call.h"
#include "state_routes.h"

static bool kv_writes(struct str verb)
{
    static const char *const verbs[] = { "set", "delete", "delete-cas", "delete-tree", "cas",
        "lock", "unlock" };
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (str_is(verb, verbs[i])) return true;
    }
    return false;
}

static void take_kv(struct arena *a, const struct kv_txn_op *in, struct txn_op *out)
{
    out->kv = arena_new(a, struct txn_kv_op);
    out->kv->verb = in->verb;
    out->kv->dir_ent = (struct dir_entry){
        .key = in->key,
        .value = in->value.n ? in->value : STR_NIL,
        .flags = in->flags,
        .session = in->session,
        .modify_index = in->index,
    };
}

static void take_upstreams(struct arena *a, const struct list *in, struct list *out)
{
    for (size_t i = 0; i < in->n; i++) {
        const struct agent_upstream *from = &LIST_AT(in, struct agent_upstream, i);
        *LIST_PUSH(a, out, struct upstream) = (struct upstream){
            .destination_type = from->destination_type,
            .destination_namespace = from->destination_namespace,
            .destination_name = from->destination_name,
            .datacenter = from->datacenter,
            .local_bind_address = from->local_bind_address,
            .local_bind_port = from->local_bind_port,
            .config = from->config,
            .mesh_gateway = from->mesh_gateway,
        };
    }
}

static void take_service(struct arena *a, const struct service_txn_op *in, struct txn_op *out)
{
    const struct agent_service *s = &in->service;
    out->service = arena_new(a, struct txn_service_op);
    out->service->verb = in->verb;
    out->service->node = in->node;
    struct node_service *to = &out->service->service;
    *to = (struct node_service){
        .kind = s->kind,
        .id = s->id,
        .service = s->service,
        .tags = s->tags,
        .address = s->address,
        .tagged_addresses = s->tagged_addresses,
        .meta = s->meta,
        .port = s->port,
        .enable_tag_override = s->enable_tag_override,
        .modify_index = s->modify_index,
    };
    to->weights = arena_copy(a, &s->weights, sizeof s->weights);
    if (s->connect) to->connect.native = s->connect->native;
    if (!s->proxy) return;
    to->proxy.destination_service_name = s->proxy->destination_service_name;
    to->proxy.destination_service_id = s->proxy->destination_service_id;
    to->proxy.local_service_address = s->proxy->local_service_address;
    to->proxy.local_service_port = s->proxy->local_service_port;
    to->proxy.config = s->proxy->config;
    to->proxy.mesh_gateway = s->proxy->mesh_gateway;
    to->proxy.expose = s->proxy->expose;
    take_upstreams(a, &s->proxy->upstreams, &to->proxy.upstreams);
}

/* The operations of a body as the servers take them; true when one of them writes. */
static bool take_ops(struct api_request *req, const struct list *in, struct list *out)
{
    struct arena *a = req->arena;
    bool writes = false;
    for (size_t i = 0; i < in->n; i++) {
        const struct api_txn_op *from = &LIST_AT(in, struct api_txn_op, i);
        struct txn_op op = { 0 };
        if (from->kv) {
            take_kv(a, from->kv, &op);
            writes |= kv_writes(from->kv->verb);
        } else if (from->node) {
            op.node = arena_new(a, struct txn_node_op);
            op.node->verb = from->node->verb;
            op.node->node = from->node->node;
            if (op.node->node.datacenter.n == 0) {
                op.node->node.datacenter = state_context(req)->datacenter;
            }
            writes |= !str_is(from->node->verb, "get");
        } else if (from->service) {
            take_service(a, from->service, &op);
            writes |= !str_is(from->service->verb, "get");
        } else if (from->check) {
            op.check = arena_new(a, struct txn_check_op);
            op.check->verb = from->check->verb;
            op.check->check = from->check->check;
            writes |= !str_is(from->check->verb, "get");
        } else {
            continue;
        }
        *LIST_PUSH(a, out, struct txn_op) = op;
    }
    return writes;
}

static bool value_too_large(struct api_request *req, const struct list *ops)
{
    uint64_t max = state_context(req)->kv_max_value_size;
    for (size_t i = 0; i < ops->n; i++) {
        const struct kv_txn_op *kv = LIST_AT(ops, struct api_txn_op, i).kv;
        if (!kv || !max || kv->value.n <= max) continue;
        api_reply_text(req, 413, "Value for key \"%.*s\" is too large (%zu > %llu bytes)",
            STR_ARG(kv->key), kv->value.n, (unsigned long long)max);
        return true;
    }
    return false;
}

static void finish_write(struct state_call *c)
{
    struct txn_response out = *state_reply(c, txn_response);
    if (out.errors.n)
        out.results = (struct list){ 0 };
    else
        out.results = state_list(out.results);
    api_reply_json_status(c->req, out.errors.n ? 409 : 200, &type_txn_response, &out);
}

static void write_list(
    struct json_writer *w, const char *key, const struct type *t, const struct list *l)
{
    json_key(w, key);
    json_obj(w, t, l);
}

static void finish_read(struct state_call *c)
{
    const struct txn_read_response *in = state_reply(c, txn_read_response);
    const struct rpc_reply *r = c->rpc.reply;
    struct list results = in->errors.n ? (struct list){ 0 } : state_list(in->results);
    int64_t ms = r->last_contact_ns / 1000000;
    api_header(c->req, "X-Consul-Knownleader", r->known_leader ? STR("true") : STR("false"));
    api_header_u64(c->req, "X-Consul-Lastcontact", ms > 0 ? (uint64_t)ms : 0);
    struct json_writer *w = api_json_begin(c->req);
    json_object(w);
    write_list(w, "Results", &type_txn_result_list, &results);
    write_list(w, "Errors", &type_txn_error_list, &in->errors);
    json_key(w, "Index");
    json_u64(w, in->index);
    json_key(w, "LastContact");
    json_i64(w, in->last_contact);
    json_key(w, "KnownLeader");
    json_bool(w, in->known_leader);
    json_key(w, "ConsistencyLevel");
    json_str(w, in->consistency_level);
    json_object_end(w);
    api_json_end(c->req, in->errors.n ? 409 : 200);
}

static void txn(struct api_request *req)
{
    struct list in = { 0 }, ops = { 0 };
    struct error err;
    if (api_body_refused(req)) return;
    if (api_body_decode(req, &type_api_txn_op_list, &in, &err)) {
        api_reply_text(req, 400, "Failed to parse body: %s", err.text);
        return;
    }
    if (in.n > LIMIT_TXN_OPS) {
        api_reply_text(
            req, 413, "Transaction contains too many operations (%zu > %d)", in.n, LIMIT_TXN_OPS);
        return;
    }
    if (value_too_large(req, &in)) return;
    if (take_ops(req, &in, &ops)) {
        struct state_call *c = state_call_write(req);
        struct txn_request *args = arena_new(req->arena, struct txn_request);
        args->datacenter = c->q.datacenter;
        args->token = c->q.token;
        args->ops = ops;
        c->finish = finish_write;
        state_call_submit(c, "Txn.Apply", args);
        return;
    }
    struct state_call *c = state_call_read_global(req, 0);
    if (!c) return;
    struct txn_read_request *args = arena_new(req->arena, struct txn_read_request);
    args->datacenter = c->q.datacenter;
    args->ops = ops;
    api_query_fill(args, &c->q);
    c->finish = finish_read;
    state_call_submit(c, "Txn.Read", args);
}

const struct api_route api_txn_routes[] = {
    { "/v1/txn", API_PUT, API_BODY_TXN, 0, txn },
    { 0 },
};
