/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_form.h"

#include <stdlib.h>

static struct list or_empty(struct list l)
{
    return l.v ? l : LIST_EMPTY;
}
static struct dict or_empty_map(struct dict d)
{
    return d.v ? d : DICT_EMPTY;
}

static struct agent_proxy_config *proxy_form(struct arena *a, const struct connect_proxy_config *p)
{
    struct agent_proxy_config *out = arena_new(a, struct agent_proxy_config);
    *out = (struct agent_proxy_config){ .destination_service_name = p->destination_service_name,
        .destination_service_id = p->destination_service_id,
        .local_service_address = p->local_service_address,
        .local_service_port = p->local_service_port,
        .config = p->config,
        .mesh_gateway = p->mesh_gateway,
        .expose = p->expose };
    for (size_t i = 0; i < p->upstreams.n; i++) {
        const struct upstream *u = &LIST_AT(&p->upstreams, struct upstream, i);
        *LIST_PUSH(a, &out->upstreams, struct agent_upstream) =
            (struct agent_upstream){ .destination_type = u->destination_type,
                .destination_namespace = u->destination_namespace,
                .destination_name = u->destination_name,
                .datacenter = u->datacenter,
                .local_bind_address = u->local_bind_address,
                .local_bind_port = u->local_bind_port,
                .config = u->config,
                .mesh_gateway = u->mesh_gateway };
    }
    return out;
}

void agent_service_form(struct arena *a, const struct node_service *svc, struct agent_service *out)
{
    *out = (struct agent_service){ .kind = svc->kind,
        .id = svc->id,
        .service = svc->service,
        .tags = or_empty(svc->tags),
        .meta = or_empty_map(svc->meta),
        .port = svc->port,
        .address = svc->address,
        .tagged_addresses = svc->tagged_addresses,
        .enable_tag_override = svc->enable_tag_override };
    if (svc->weights) out->weights = *svc->weights;
    if (out->weights.passing < 1) out->weights.passing = 1;
    if (str_is(svc->kind, "connect-proxy") || str_has_suffix(svc->kind, STR("-gateway")))
        out->proxy = proxy_form(a, &svc->proxy);
    if (svc->connect.native) {
        out->connect = arena_new(a, struct agent_connect);
        out->connect->native = true;
    }
}

void agent_instance_form(struct arena *a, const struct node_service *svc, struct agent_service *out)
{
    agent_service_form(a, svc, out);
    out->meta = svc->meta;
    out->create_index = svc->create_index;
    out->modify_index = svc->modify_index;
    out->proxy = proxy_form(a, &svc->proxy);
    out->connect = arena_new(a, struct agent_connect);
    out->connect->native = svc->connect.native;
}

void agent_check_form(const struct health_check *c, struct agent_health_check *out)
{
    *out = (struct agent_health_check){ .node = c->node,
        .check_id = c->check_id,
        .name = c->name,
        .status = c->status,
        .notes = c->notes,
        .output = c->output,
        .service_id = c->service_id,
        .service_name = c->service_name,
        .service_tags = c->service_tags };
}

struct str agent_content_hash(struct arena *a, const struct agent_service *form)
{
    static const struct record_hash_name names[] = {
        { &type_agent_proxy_config, "AgentServiceConnectProxyConfig", NULL },
        { &type_agent_upstream, "Upstream", NULL },
        { &type_expose_path, "ExposePath", NULL },
        { &type_weights, "AgentWeights", NULL },
        { &type_agent_connect, "AgentServiceConnect", "SidecarService" },
        { 0 },
    };
    unsigned long long hash = record_hash(&type_agent_service, form, names);
    return str_printf(a, "%llx", hash);
}

void agent_reply_refused(struct api_request *req, const struct error *err)
{
    if (err->code == ERR_BAD_REQUEST) {
        api_reply_text(req, 400, "%s", err->text);
    } else if (err->code == ERR_NOT_FOUND) {
        api_reply_text(req, 404, "%s", err->text);
    } else {
        api_reply_error(req, err);
    }
}

struct pushed {
    struct local_push push;
    struct api_request *req;
    void (*undo)(struct api_request *req, void *ctx);
    void *ctx;
};

static void push_done(struct local_push *p)
{
    struct pushed *w = container_of(p, struct pushed, push);
    struct api_request *req = w->req;
    req->on_abort = NULL;
    if (p->files.err.code == 0) {
        api_reply_empty(req, 200);
        return;
    }
    if (w->undo) w->undo(req, w->ctx);
    api_reply_text(req, 500, "%s", p->files.err.text);
}

static void push_abort(struct api_request *req)
{
    struct pushed *w = req->state;
    local_push_cancel(&w->push);
}

void agent_reply_pushed(struct api_request *req)
{
    agent_reply_kept(req, NULL, NULL);
}

void agent_reply_kept(
    struct api_request *req, void (*undo)(struct api_request *req, void *ctx), void *ctx)
{
    struct pushed *w = arena_new(req->arena, struct pushed);
    w->req = req;
    w->undo = undo;
    w->ctx = ctx;
    w->push.done = push_done;
    req->state = w;
    req->on_abort = push_abort;
    local_push(api_local(req), &w->push);
}

bool agent_parse_bool(struct str text, bool *out)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < 6; i++) {
        if (str_is(text, yes[i]) || str_is(text, no[i])) {
            *out = str_is(text, yes[i]);
            return true;
        }
    }
    return false;
}
