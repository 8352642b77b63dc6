/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of anti-entropy: what they carry, and what their ends mean for what was marked. */
#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"
#include "local_sync.h"

struct sync_op *sync_op_new(struct sync *s)
{
    struct sync_op *op = xcalloc(1, sizeof *op);
    op->sync = s;
    op->call.arena = &op->arena;
    op->call.ctx = op;
    op->call.err = &op->err;
    link_push(&s->ops, &op->link);
    s->in_flight++;
    return op;
}

void sync_op_free(struct sync_op *op)
{
    op->sync->in_flight--;
    link_remove(&op->link);
    if (op->call.reply) rpc_reply_unref(op->call.reply);
    arena_free(&op->arena);
    free(op);
}

void sync_op_submit(
    struct sync_op *op, const char *method, const void *args, void (*done)(struct rpc_call *))
{
    op->call.method = method;
    op->call.args = args;
    op->call.done = done;
    rpc_submit(op->sync->local->opts.rpc, &op->call);
}

struct str sync_agent_token(const struct local *l)
{
    return l->opts.agent_token.n ? l->opts.agent_token : l->opts.default_token;
}

/* --- what a call's end means --------------------------------------------------------------------
 */

static bool blocked_by_acl(const struct error *err)
{
    return strstr(err->text, "Permission denied") || strstr(err->text, "ACL not found");
}

static bool already_gone(const struct sync_op *op, const struct error *err)
{
    return op->deregister &&
           (strstr(err->text, "Unknown service") || strstr(err->text, "Unknown check"));
}

static void forget_deleted_checks(struct local *l, struct str service_id)
{
    struct local_group *g = local__group(l, service_id);
    if (!g) return;
    link_each (it, &g->checks) {
        struct local_check *c = container_of(it, struct local_check, of_group);
        bool last = it->prev == it->next; /* the group may go with it */
        if (c->deleted) local__check_forget(l, c);
        if (last) return;
    }
}

static void service_sent(struct sync_op *op, bool denied)
{
    struct local *l = op->sync->local;
    struct local_service *s = op->service_id.p ? map_get(&l->services, op->service_id) : NULL;
    if (!s || s->version != op->service_version) return;
    const char *id = str_c(&op->arena, op->service_id);
    local__service_mark(l, s, true);
    if (denied) {
        log_warn("agent",
            op->deregister ? "Service deregistration blocked by ACLs"
                           : "Service registration blocked by ACLs",
            "service", id);
    } else if (op->deregister) {
        log_info("agent", "Deregistered service", "service", id);
    } else {
        log_info("agent", "Synced service", "service", id);
    }
    if (!op->deregister || denied) return;
    forget_deleted_checks(l, op->service_id);
    local__service_forget(l, s);
}

static void check_sent(struct sync_op *op, const struct sent_check *sent, bool denied)
{
    struct local *l = op->sync->local;
    struct local_check *c = map_get(&l->checks, sent->id);
    if (!c || c->version != sent->version) return;
    const char *id = str_c(&op->arena, sent->id);
    local__check_mark(c, true);
    if (denied) {
        log_warn("agent", "Check registration blocked by ACLs", "check", id);
    } else if (op->deregister) {
        log_info("agent", "Deregistered check", "check", id);
    } else if (!op->service_id.p) {
        log_info("agent", "Synced check", "check", id);
    }
    if (op->deregister && !denied) local__check_forget(l, c);
}

static void on_sent(struct rpc_call *call)
{
    struct sync_op *op = call->ctx;
    struct sync *s = op->sync;
    bool denied = call->code != 0 && blocked_by_acl(call->err);
    if (call->code == 0 || denied || already_gone(op, call->err)) {
        if (op->node) {
            s->node_in_sync = true;
            if (denied) {
                log_warn("agent", "Node info update blocked by ACLs");
            } else {
                log_info("agent", "Synced node info");
            }
        }
        service_sent(op, denied);
        for (size_t i = 0; i < op->checks.n; i++)
            check_sent(op, &LIST_AT(&op->checks, struct sent_check, i), denied);
    } else {
        if (!s->failed)
            log_error("agent.anti_entropy", "failed to sync changes", "error", call->err->text);
        s->failed = true;
    }
    sync_op_free(op);
    sync_step(s);
}

/* --- sending ------------------------------------------------------------------------------------
 */

static struct register_request *node_request(struct sync *s, struct sync_op *op)
{
    const struct local_options *o = &s->local->opts;
    struct register_request *r = arena_new(&op->arena, struct register_request);
    *r = (struct register_request){ .datacenter = o->datacenter,
        .id = o->node_id,
        .node = o->node_name,
        .address = o->address,
        .tagged_addresses = o->tagged_addresses,
        .node_meta = o->node_meta,
        .skip_node_update = s->node_in_sync };
    return r;
}

void sync_send_node(struct sync *s)
{
    if (s->node_in_sync) return;
    struct sync_op *op = sync_op_new(s);
    struct register_request *r = node_request(s, op);
    r->token = sync_agent_token(s->local);
    op->node = true;
    sync_op_submit(op, "Catalog.Register", r, on_sent);
}

static void deregister(struct sync *s, struct sync_op *op, struct str service_id,
    struct str check_id, struct str token)
{
    const struct local_options *o = &s->local->opts;
    struct deregister_request *r = arena_new(&op->arena, struct deregister_request);
    *r = (struct deregister_request){ .datacenter = o->datacenter,
        .node = o->node_name,
        .service_id = str_dup(&op->arena, service_id),
        .check_id = str_dup(&op->arena, check_id),
        .token = token.n ? str_dup(&op->arena, token) : o->default_token };
    op->deregister = true;
    sync_op_submit(op, "Catalog.Deregister", r, on_sent);
}

static void take_check(struct sync_op *op, struct register_request *r, const struct local_check *c)
{
    struct sent_check *sent = LIST_PUSH(&op->arena, &op->checks, struct sent_check);
    *sent = (struct sent_check){ str_dup(&op->arena, c->check.check_id), c->version };
    record_copy(&op->arena, &type_health_check,
        LIST_PUSH(&op->arena, &r->checks, struct health_check), &c->check);
}

/* A single check travels as Check, several as Checks. */
static void fold_single_check(struct sync_op *op, struct register_request *r)
{
    if (r->checks.n != 1) return;
    r->check = arena_new(&op->arena, struct health_check);
    *r->check = LIST_AT(&r->checks, struct health_check, 0);
    r->checks = (struct list){ 0 };
}

void sync_send_service(struct sync *s, struct local_service *svc)
{
    struct local *l = s->local;
    struct sync_op *op = sync_op_new(s);
    op->service_id = str_dup(&op->arena, svc->svc.id);
    op->service_version = svc->version;
    if (svc->deleted) {
        deregister(s, op, svc->svc.id, STR_NIL, svc->token);
        return;
    }
    struct register_request *r = node_request(s, op);
    r->token = svc->token.n ? str_dup(&op->arena, svc->token) : l->opts.default_token;
    r->service = arena_new(&op->arena, struct node_service);
    record_copy(&op->arena, &type_node_service, r->service, &svc->svc);
    const struct local_group *g = local__group(l, svc->svc.id);
    if (g) {
        link_each (it, &g->checks) {
            const struct local_check *c = container_of(it, struct local_check, of_group);
            if (!c->in_sync && !c->deleted && str_eq(c->token, svc->token)) take_check(op, r, c);
        }
    }
    fold_single_check(op, r);
    sync_op_submit(op, "Catalog.Register", r, on_sent);
}

void sync_send_check(struct sync *s, struct local_check *c)
{
    struct sync_op *op = sync_op_new(s);
    if (c->deleted) {
        struct sent_check *sent = LIST_PUSH(&op->arena, &op->checks, struct sent_check);
        *sent = (struct sent_check){ str_dup(&op->arena, c->check.check_id), c->version };
        deregister(s, op, STR_NIL, c->check.check_id, c->token);
        return;
    }
    struct register_request *r = node_request(s, op);
    r->token = c->token.n ? str_dup(&op->arena, c->token) : s->local->opts.default_token;
    take_check(op, r, c);
    fold_single_check(op, r);
    sync_op_submit(op, "Catalog.Register", r, on_sent);
}
