/* SPDX-License-Identifier: Apache-2.0 */
#include "config_schema.h"

#include <string.h>

#define KEY(key_name, kind, ...) { .name = key_name, .type = CONFIG_##kind, __VA_ARGS__ },
#define AT(record, member) .offset = offsetof(struct record, member)
#define UNDER(table) .keys = table, .n = sizeof table / sizeof table[0]

/* clang-format off */
/* A check of a service and a check of the node have the same keys; the offsets are those of the
 * latter, config_service.c copies from one to the other. */
static const struct config_key check_keys[] = {
    KEY("id", STRING, AT(check_definition, id))
    KEY("name", STRING, AT(check_definition, name))
    KEY("notes", STRING, AT(check_definition, notes))
    KEY("service_id", STRING, AT(check_definition, service_id), .alias = "serviceid")
    KEY("token", STRING, AT(check_definition, token))
    KEY("status", STRING, AT(check_definition, status))
    KEY("args", LIST, AT(check_definition, script_args), .alias = "scriptargs")
    KEY("http", STRING, AT(check_definition, http))
    KEY("header", MAP_LIST, AT(check_definition, header))
    KEY("method", STRING, AT(check_definition, method))
    KEY("body", STRING, AT(check_definition, body))
    KEY("output_max_size", INT, AT(check_definition, output_max_size))
    KEY("tcp", STRING, AT(check_definition, tcp))
    KEY("interval", DURATION, AT(check_definition, interval))
    KEY("docker_container_id", STRING, AT(check_definition, docker_container_id),
        .alias = "dockercontainerid")
    KEY("shell", STRING, AT(check_definition, shell))
    KEY("grpc", STRING, AT(check_definition, grpc))
    KEY("grpc_use_tls", BOOL, AT(check_definition, grpc_use_tls))
    KEY("tls_skip_verify", BOOL, AT(check_definition, tls_skip_verify), .alias = "tlsskipverify")
    KEY("alias_node", STRING, AT(check_definition, alias_node))
    KEY("alias_service", STRING, AT(check_definition, alias_service))
    KEY("timeout", DURATION, AT(check_definition, timeout))
    KEY("ttl", DURATION, AT(check_definition, ttl))
    KEY("success_before_passing", INT, AT(check_definition, success_before_passing))
    KEY("failures_before_critical", INT, AT(check_definition, failures_before_critical))
    KEY("deregister_critical_service_after", DURATION,
        AT(check_definition, deregister_critical_service_after),
        .alias = "deregistercriticalserviceafter")
};

static const struct config_key mesh_gateway_keys[] = {
    KEY("mode", STRING, AT(mesh_gateway_config, mode))
};

static const struct config_key upstream_keys[] = {
    KEY("destination_type", STRING, AT(upstream, destination_type))
    KEY("destination_namespace", STRING, AT(upstream, destination_namespace))
    KEY("destination_name", STRING, AT(upstream, destination_name))
    KEY("datacenter", STRING, AT(upstream, datacenter))
    KEY("local_bind_address", STRING, AT(upstream, local_bind_address))
    KEY("local_bind_port", INT, AT(upstream, local_bind_port))
    KEY("config", FREE, AT(upstream, config))
    KEY("mesh_gateway", BLOCK, AT(upstream, mesh_gateway), UNDER(mesh_gateway_keys))
};

static const struct config_key expose_path_keys[] = {
    KEY("path", STRING, AT(expose_path, path))
    KEY("listener_port", INT, AT(expose_path, listener_port))
    KEY("local_path_port", INT, AT(expose_path, local_path_port))
    KEY("protocol", STRING, AT(expose_path, protocol))
};

static const struct config_key expose_keys[] = {
    KEY("checks", BOOL, AT(expose_config, checks))
    KEY("paths", BLOCKS, AT(expose_config, paths), UNDER(expose_path_keys))
    KEY("port", INT, .offset = SIZE_MAX)
};

static const struct config_key proxy_keys[] = {
    KEY("destination_service_name", STRING, AT(connect_proxy_config, destination_service_name))
    KEY("destination_service_id", STRING, AT(connect_proxy_config, destination_service_id))
    KEY("local_service_address", STRING, AT(connect_proxy_config, local_service_address))
    KEY("local_service_port", INT, AT(connect_proxy_config, local_service_port))
    KEY("config", FREE, AT(connect_proxy_config, config))
    KEY("upstreams", BLOCKS, AT(connect_proxy_config, upstreams), UNDER(upstream_keys))
    KEY("mesh_gateway", BLOCK, AT(connect_proxy_config, mesh_gateway), UNDER(mesh_gateway_keys))
    KEY("expose", BLOCK, AT(connect_proxy_config, expose), UNDER(expose_keys))
};

static const struct config_key weights_keys[] = {
    KEY("passing", INT, AT(weights, passing))
    KEY("warning", INT, AT(weights, warning))
};

static const struct config_key address_keys[] = {
    KEY("address", STRING, AT(service_address, address))
    KEY("port", INT, AT(service_address, port))
};

static const struct config_key service_keys[15];

static const struct config_key connect_keys[] = {
    KEY("native", BOOL, AT(service_connect, native))
    KEY("sidecar_service", SERVICE, AT(service_connect, sidecar_service), UNDER(service_keys))
};

static const struct config_key service_keys[15] = {
    KEY("kind", STRING, AT(service_definition, kind))
    KEY("id", STRING, AT(service_definition, id))
    KEY("name", STRING, AT(service_definition, name))
    KEY("tags", LIST, AT(service_definition, tags))
    KEY("address", STRING, AT(service_definition, address))
    KEY("tagged_addresses", BLOCK_MAP, AT(service_definition, tagged_addresses),
        UNDER(address_keys))
    KEY("meta", MAP, AT(service_definition, meta))
    KEY("port", INT, AT(service_definition, port))
    KEY("check", CHECK, AT(service_definition, check), UNDER(check_keys))
    KEY("checks", CHECKS, AT(service_definition, checks), UNDER(check_keys))
    KEY("weights", BLOCK, AT(service_definition, weights), UNDER(weights_keys))
    KEY("token", STRING, AT(service_definition, token))
    KEY("enable_tag_override", BOOL, AT(service_definition, enable_tag_override))
    KEY("proxy", BLOCK, AT(service_definition, proxy), UNDER(proxy_keys))
    KEY("connect", BLOCK, AT(service_definition, connect), UNDER(connect_keys))
};
/* clang-format on */

/* --- the root ------------------------------------------------------------------------------- */

/* A block under construction: its keys grow by doubling. */
static struct config_key *add_key(struct arena *a, struct config_key *block, const char *name)
{
    if ((block->n & (block->n - 1)) == 0) {
        struct config_key *grown = arena_array(a, block->n ? block->n * 2 : 1, sizeof *grown);
        if (block->n) memcpy(grown, block->keys, block->n * sizeof *grown);
        block->keys = grown;
    }
    struct config_key *key = (struct config_key *)block->keys + block->n++;
    *key = (struct config_key){ .name = name };
    return key;
}

static struct config_key *find_or_add(struct arena *a, struct config_key *block, struct str part)
{
    for (size_t i = 0; i < block->n; i++)
        if (str_is(part, block->keys[i].name)) return (struct config_key *)block->keys + i;
    return add_key(a, block, str_c(a, part));
}

static void hang_in(struct config_key *key)
{
    if (key->type == CONFIG_SERVICE || key->type == CONFIG_SERVICES) {
        key->keys = service_keys;
        key->n = sizeof service_keys / sizeof service_keys[0];
    }
    if (key->type == CONFIG_CHECK || key->type == CONFIG_CHECKS) {
        key->keys = check_keys;
        key->n = sizeof check_keys / sizeof check_keys[0];
    }
}

const struct config_key *config_schema(struct arena *a)
{
    struct config_key *root = arena_new(a, struct config_key);
    root->type = CONFIG_BLOCK;
    for (size_t i = 0; i < config_options_n; i++) {
        struct config_key *block = root;
        struct str part, rest = str_of(config_options[i].path);
        while (str_cut(rest, '.', &part, &rest)) {
            bool listed = str_has_suffix(part, STR("[]"));
            block = find_or_add(a, block, str_slice(part, 0, part.n - (listed ? 2 : 0)));
            block->type = listed ? CONFIG_BLOCKS : CONFIG_BLOCK;
        }
        struct config_key *key = find_or_add(a, block, part);
        key->type = config_options[i].type;
        hang_in(key);
    }
    return root;
}
