/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#define SHORT_ID 8

static void add_node_meta(struct cli *c, struct client_request *r)
{
    struct list meta = cli_map(c, "node-meta");
    for (size_t i = 0; i < meta.n; i++) {
        struct str_pair pair = LIST_AT(&meta, struct str_pair, i);
        client_query(c, r, "node-meta",
            str_printf(&c->arena, "%.*s:%.*s", STR_ARG(pair.key), STR_ARG(pair.value)));
    }
}

static int datacenters(struct cli *c)
{
    struct error err;
    struct value names;
    if (cli_args_at_most(c, 0)) return 1;
    if (client_get(c, STR("/v1/catalog/datacenters"), &names, &err) != 0)
        return cli_fail(c, "Error listing datacenters: %s", err.text);
    struct list texts = value_texts(c, &names);
    for (size_t i = 0; i < texts.n; i++)
        cli_say(c, "%.*s", STR_ARG(LIST_AT(&texts, struct str, i)));
    return 0;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* "k=v, k=v" sorted. */
static struct str pairs(struct cli *c, const struct value *map)
{
    struct list sorted = value_sorted(c, map), texts = { 0 };
    for (size_t i = 0; i < sorted.n; i++) {
        const struct value_entry *e = &LIST_AT(&sorted, struct value_entry, i);
        *LIST_PUSH(&c->arena, &texts, struct str) =
            str_printf(&c->arena, "%.*s=%.*s", STR_ARG(e->key), STR_ARG(e->value.s));
    }
    return texts_join(c, &texts, ", ");
}

static void print_nodes(struct cli *c, const struct value *nodes, const char *meta)
{
    bool detailed = cli_bool(c, "detailed");
    struct columns t = { .width = detailed ? 6 : 4 };
    columns_add(c, &t,
        (const struct str[]){ STR("Node"), STR("ID"), STR("Address"), STR("DC"),
            STR("TaggedAddresses"), STR("Meta") });
    for (size_t i = 0; i < nodes->list.n; i++) {
        const struct value *n = &nodes->list.v[i];
        struct str id = value_text(n, "ID");
        if (!detailed) id = str_slice(id, 0, id.n < SHORT_ID ? id.n : SHORT_ID);
        columns_add(c, &t,
            (const struct str[]){ value_text(n, "Node"), id, value_text(n, "Address"),
                value_text(n, "Datacenter"), pairs(c, value_at(n, "TaggedAddresses")),
                pairs(c, value_at(n, meta)) });
    }
    columns_print(c, &t, 2);
}

static int nodes(struct cli *c)
{
    struct error err;
    struct value found;
    struct client_request r = { .method = "GET", .path = STR("/v1/catalog/nodes") };
    struct str service = cli_text(c, "service");
    if (cli_args_at_most(c, 0)) return 1;
    if (service.n) r.path = client_path(c, "/v1/catalog/service/", service);
    if (cli_text(c, "near").n) client_query(c, &r, "near", cli_text(c, "near"));
    if (cli_text(c, "filter").n) client_query(c, &r, "filter", cli_text(c, "filter"));
    add_node_meta(c, &r);
    if (client_json(c, &r, &found, &err) != 0)
        return cli_fail(c, "Error listing nodes: %s", err.text);
    if (found.kind != V_LIST || found.list.n == 0) {
        cli_fail(c, "No nodes match the given query - try expanding your search.");
        return 0;
    }
    print_nodes(c, &found, service.n ? "NodeMeta" : "Meta");
    return 0;
}

/* --- services -------------------------------------------------------------------------------- */

/* Names with the tags of all instances: {name: [tags]}, as the catalog lists them. */
static struct value by_service(struct cli *c, const struct value *node)
{
    struct value out = { .kind = V_MAP };
    struct list services = value_sorted(c, value_at(node, "Services"));
    for (size_t i = 0; i < services.n; i++) {
        const struct value *s = &LIST_AT(&services, struct value_entry, i).value;
        struct str name = value_text(s, "Service");
        struct list tags = value_texts(c, value_at(s, "Tags"));
        struct value *all = value_get(&out, name);
        if (!all) {
            all = value_map_add(&c->arena, &out, name);
            *all = (struct value){ .kind = V_LIST };
        }
        for (size_t k = 0; k < tags.n; k++)
            *value_list_add(&c->arena, all) = value_of_str(LIST_AT(&tags, struct str, k));
    }
    return out;
}

static void print_services(struct cli *c, const struct value *services)
{
    struct list sorted = value_sorted(c, services);
    struct columns t = { .width = cli_bool(c, "tags") ? 2 : 1, .trimmed = true };
    for (size_t i = 0; i < sorted.n; i++) {
        const struct value_entry *e = &LIST_AT(&sorted, struct value_entry, i);
        struct list tags = value_texts(c, &e->value);
        texts_sort(&tags);
        columns_add(c, &t, (const struct str[]){ e->key, texts_join(c, &tags, ",") });
    }
    columns_print(c, &t, 6);
}

static int services(struct cli *c)
{
    struct error err;
    struct value found;
    struct client_request r = { .method = "GET", .path = STR("/v1/catalog/services") };
    struct str node = cli_text(c, "node");
    if (cli_args_at_most(c, 0)) return 1;
    if (node.n) r.path = client_path(c, "/v1/catalog/node/", node);
    add_node_meta(c, &r);
    if (client_json(c, &r, &found, &err) != 0)
        return cli_fail(c, "Error listing services: %s", err.text);
    if (node.n) found = by_service(c, &found);
    if (found.kind != V_MAP || found.map.n == 0) {
        cli_fail(c, "No services match the given query - try expanding your search.");
        return 0;
    }
    print_services(c, &found);
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag nodes_flags[] = {
    { CLI_BOOL, "detailed", .usage = "Shows full IDs, tagged addresses and metadata too." },
    { CLI_STRING, "filter", .usage = "Filter expression on the nodes." },
    { CLI_STRING, "near",
        .usage = "Sorts by the estimated distance to this node; _agent is the "
                 "agent's own." },
    { CLI_MAP, "node-meta", .usage = "Only nodes with this metadata. May be given again." },
    { CLI_STRING, "service", .type = "id or name", .usage = "Only nodes with this service." },
    { 0 },
};

static const struct cli_flag services_flags[] = {
    { CLI_STRING, "node", .type = "id or name", .usage = "Only services of this node." },
    { CLI_MAP, "node-meta",
        .usage = "Only services on nodes with this metadata. May be given "
                 "again." },
    { CLI_BOOL, "tags", .usage = "Shows the services' tags too." },
    { 0 },
};

const struct cli_command cli_catalog_commands[] = {
    CLI_GROUP("catalog", "Interact with the catalog", "<subcommand> [options] [args]"),
    { "catalog datacenters", "Lists all known datacenters for this agent", "[options]",
        CLI_CLIENT | CLI_SERVER, NULL, .run = datacenters },
    { "catalog nodes", "Lists all nodes in the given datacenter", "[options]",
        CLI_CLIENT | CLI_SERVER, nodes_flags, .run = nodes },
    { "catalog services", "Lists all registered services in a datacenter", "[options]",
        CLI_CLIENT | CLI_SERVER | CLI_NAMESPACE, services_flags, .run = services },
    { 0 },
};
