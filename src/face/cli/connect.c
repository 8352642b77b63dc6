/* SPDX-License-Identifier: Apache-2.0 */
/* Connect: configuration of the certificate authority. */
#include "client.h"

#include "consuld/wire/json.h"

#define CA_PATH STR("/v1/connect/ca/configuration")

/* As the API gives it, but for ForceWithoutCrossSigning, which is shown only where it is set. */
static int print_config(struct cli *c, struct str body)
{
    struct error err;
    struct value config;
    struct json_writer w;
    struct buf out = BUF_INIT((size_t)64 << 20);
    int rc = json_parse(body, &c->arena, &config, &err);
    if (rc == 0 && config.kind != V_MAP) rc = error_set(&err, ERR_DECODE, "unexpected answer");
    if (rc) return cli_fail(c, "Error querying CA configuration: %s", err.text);
    json_begin(&w, &out, false);
    json_object(&w);
    for (size_t i = 0; i < config.map.n; i++) {
        const struct value_entry *at = &config.map.v[i];
        bool flag = at->value.kind == V_BOOL && str_is(at->key, "ForceWithoutCrossSigning");
        if (flag && !at->value.b) continue;
        json_key_str(&w, at->key);
        json_value(&w, &at->value);
    }
    json_object_end(&w);
    cli_print_json(c, buf_str(&out), "\t");
    buf_deinit(&out);
    return 0;
}

static int get_config(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "GET", .path = CA_PATH };
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error querying CA configuration: %s", err.text);
    return print_config(c, response.body);
}

static int set_config(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct value config;
    struct client_request r = { .method = "PUT", .path = CA_PATH };
    struct str file = cli_text(c, "config-file");
    if (!file.n) return cli_fail(c, "The -config-file flag is required");
    if (cli_read_file(c, file, &r.body, &err) != 0)
        return cli_fail(c, "Error reading config file: %s", err.text);
    if (json_parse_whole(r.body, &c->arena, &config, &err) != 0)
        return cli_fail(c, "Error parsing config file: %s", err.text);
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error setting CA configuration: %s", err.text);
    cli_say(c, "Configuration updated!");
    return 0;
}

static const struct cli_flag set_config_flags[] = {
    { CLI_STRING, "config-file", .type = "value",
        .usage = "File with the configuration as "
                 "JSON." },
    { 0 },
};

const struct cli_command cli_connect_commands[] = {
    CLI_GROUP("connect", "Interact with Consul Connect", "<subcommand> [options] [args]"),
    CLI_GROUP("connect ca", "Interact with the Consul Connect Certificate Authority (CA)",
        "<subcommand> [options] [args]"),
    { "connect ca get-config",
        "Display the current Connect Certificate Authority (CA) "
        "configuration",
        "[options]", CLI_CLIENT | CLI_SERVER, NULL, .run = get_config },
    { "connect ca set-config", "Modify the current Connect CA configuration", "[options]",
        CLI_CLIENT | CLI_SERVER, set_config_flags, .run = set_config },
    { 0 },
};
