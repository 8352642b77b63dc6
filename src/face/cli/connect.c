/* SPDX-License-Identifier: Apache-2.0 */
/* Connect: configuration of the certificate authority. */
#include "client.h"

#define CA_PATH STR("/v1/connect/ca/configuration")

static int get_config(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "GET", .path = CA_PATH };
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error querying CA configuration: %s", err.text);
    cli_print_json(c, response.body, "\t");
    return 0;
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
