/* SPDX-License-Identifier: Apache-2.0 */
/* DiscoveryChain.Get (connect-xds.md 8). */
#include "consuld/lang/chain.h"
#include "consuld/lang/spiffe.h"
#include "server.h"

/* Entries as the state has them, watched for the reply. */
struct state_source {
    struct chain_source source;
    struct eval *e;
};

static bool find(
    const struct chain_source *s, struct str kind, struct str name, struct config_entry *out)
{
    struct eval *e = container_of(s, struct state_source, source)->e;
    e->reply->index = store_config_entry(e->rd, e->ws, kind, name, &e->reply->arena, out);
    return config_entry_is_set(out);
}

static int trust_domain(struct eval *e, struct str *out)
{
    struct ca_configuration *ca = NULL;
    uint64_t index = store_ca_configuration(e->rd, e->ws, &e->reply->arena, &ca);
    (void)index;
    if (!ca) return error_set(e->err, ERR_INTERNAL, "no cluster ca config setup");
    *out = spiffe_trust_domain(&e->reply->arena, ca->cluster_id);
    return 0;
}

int discovery_chain_get(struct eval *e)
{
    const struct discovery_chain_request *args = eval_args(e, discovery_chain_request);
    struct discovery_chain_response *out = eval_reply(e, discovery_chain_response);
    struct str own = e->server->opts.datacenter, domain;
    struct state_source source = { .source = { find }, .e = e };
    if (args->name.n == 0) return error_set(e->err, ERR_INTERNAL, "Must provide service name");
    int rc = trust_domain(e, &domain);
    if (rc) return rc;
    struct chain_request req = {
        .service = args->name,
        .namespace = args->evaluate_in_namespace.n ? args->evaluate_in_namespace : STR("default"),
        .datacenter = args->evaluate_in_datacenter.n ? args->evaluate_in_datacenter : own,
        .trust_domain = domain,
        .use_in_datacenter = own,
        .mesh_gateway_mode = args->override_mesh_gateway.mode,
        .protocol = args->override_protocol,
        .connect_timeout = args->override_connect_timeout,
        .entries = &source.source,
    };
    out->chain = arena_new(&e->reply->arena, struct compiled_discovery_chain);
    rc = chain_compile(&req, &e->reply->arena, out->chain, e->err);
    return rc ? (e->err->code = ERR_INTERNAL) : 0;
}
