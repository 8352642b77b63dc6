/* SPDX-License-Identifier: Apache-2.0 */
/* Catalog.Register and Catalog.Deregister: what the leader checks and completes before the log
 * (fsm.md 4.1). */
#include "consuld/model/service_rules.h"
#include "server.h"

int server__validate_node_service(const struct node_service *ns, struct error *err)
{
    struct service_shape shape = {
        .kind = ns->kind,
        .port = ns->port,
        .native = ns->connect.native,
        .proxy = &ns->proxy,
        .sidecar = ns->connect.sidecar_service,
    };
    if (service_shape_validate(&shape, err)) return err->code = ERR_INTERNAL;
    if (ns->id.n && ns->service.n == 0) {
        return error_set(err, ERR_INTERNAL, "Must provide service name with ID");
    }
    if (service_address_is_any(ns->address)) {
        return error_set(err, ERR_INTERNAL, "Invalid service address");
    }
    return 0;
}

int server__validate_node(struct str name, struct str id, struct error *err)
{
    if (name.n == 0) return error_set(err, ERR_INTERNAL, "Must provide node");
    if (id.n && !uuid_valid(id)) {
        return error_set(err, ERR_INTERNAL, "Bad node ID: %s",
            id.n != UUID_TEXT_LEN ? "uuid string is wrong length" : "uuid is improperly formatted");
    }
    return 0;
}

static struct str check_type(const struct health_check_definition *d)
{
    bool polled = d->interval > 0, script = d->script_args.n > 0;
    if (d->grpc.n && polled) return STR("grpc");
    if (d->http.n && polled) return STR("http");
    if (d->ttl > 0) return STR("ttl");
    if (d->tcp.n && polled) return STR("tcp");
    if (d->alias_node.n || d->alias_service.n) return STR("alias");
    if (script && d->docker_container_id.n && polled) return STR("docker");
    if (script && polled) return STR("script");
    return STR("");
}

void server__complete_check(struct health_check *c, struct str node)
{
    if (c->node.n == 0) c->node = node;
    if (c->check_id.n == 0) c->check_id = c->name;
    if (c->type.n == 0) c->type = check_type(&c->definition);
}

int catalog_register(struct write *w)
{
    struct arena *a = w->p.call->arena;
    struct register_request *req = arena_copy(a, w->p.args, sizeof *req);
    struct list checks = { 0 };
    int rc = server__validate_node(req->node, req->id, w->err);
    if (rc) return rc;
    if (req->address.n == 0 && !req->skip_node_update) {
        return error_set(w->err, ERR_INTERNAL, "Must provide address if SkipNodeUpdate is not set");
    }
    if (req->service) {
        req->service = arena_copy(a, req->service, sizeof *req->service);
        rc = server__validate_node_service(req->service, w->err);
        if (rc) return rc;
        if (req->service->service.n == 0) {
            return error_set(w->err, ERR_INTERNAL,
                "failed inserting service: failed inserting service: object missing primary index");
        }
        if (req->service->id.n == 0) req->service->id = req->service->service;
    }
    for (size_t i = 0; i < req->checks.n; i++) {
        *LIST_PUSH(a, &checks, struct health_check) = LIST_AT(&req->checks, struct health_check, i);
    }
    if (req->check) *LIST_PUSH(a, &checks, struct health_check) = *req->check;
    req->check = NULL;
    if (checks.n) req->checks = checks;
    for (size_t i = 0; i < checks.n; i++) {
        server__complete_check(&LIST_AT(&checks, struct health_check, i), req->node);
    }
    return write_propose(w, COMMAND_REGISTER, req);
}

/* Whatever the state machine said: what is not there needs no removal. */
static int deregistered(struct write *w, const struct command_result *res)
{
    (void)res;
    write_reply(w);
    return WRITE_DONE;
}

int catalog_deregister(struct write *w)
{
    const struct deregister_request *args = w->p.args;
    if (args->node.n == 0) return error_set(w->err, ERR_INTERNAL, "Must provide node");
    return write_propose_then(w, COMMAND_DEREGISTER, args, deregistered);
}
