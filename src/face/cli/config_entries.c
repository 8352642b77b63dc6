/* SPDX-License-Identifier: Apache-2.0 */
/* Config entries: config read, write, list, delete. */
#include "client.h"
#include "consuld/lang/hcl.h"
#include "consuld/model.h"

static struct str entry_path(struct cli *c, struct str kind, struct str name)
{
    return str_printf(&c->arena, "/v1/config/%.*s/%.*s", STR_ARG(kind), STR_ARG(name));
}

static int require(struct cli *c, const char *flag)
{
    if (cli_text(c, flag).n) return 0;
    return cli_fail(c, "Must specify the -%s parameter", flag);
}

static int config_read(struct cli *c)
{
    struct error err;
    struct client_response response;
    if (require(c, "kind") || require(c, "name")) return 1;
    struct str kind = cli_text(c, "kind"), name = cli_text(c, "name");
    if (!config_entry_type(kind))
        return cli_fail(c, "Error reading config entry %.*s/%.*s: invalid config entry kind: %.*s",
            STR_ARG(kind), STR_ARG(name), STR_ARG(kind));
    struct client_request r = { .method = "GET", .path = entry_path(c, kind, name) };
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(
            c, "Error reading config entry %.*s/%.*s: %s", STR_ARG(kind), STR_ARG(name), err.text);
    cli_print_json(c, response.body, "    ");
    return 0;
}

static int config_list(struct cli *c)
{
    struct error err;
    struct value entries;
    struct str kind = cli_text(c, "kind");
    if (require(c, "kind")) return 1;
    if (client_get(c, client_path(c, "/v1/config/", kind), &entries, &err) != 0)
        return cli_fail(
            c, "Error listing config entries for kind \"%.*s\": %s", STR_ARG(kind), err.text);
    for (size_t i = 0; entries.kind == V_LIST && i < entries.list.n; i++)
        cli_say(c, "%.*s", STR_ARG(value_text(&entries.list.v[i], "Name")));
    return 0;
}

static int config_delete(struct cli *c)
{
    struct error err;
    struct client_response response;
    if (require(c, "kind") || require(c, "name")) return 1;
    struct str kind = cli_text(c, "kind"), name = cli_text(c, "name");
    struct client_request r = { .method = "DELETE", .path = entry_path(c, kind, name) };
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(
            c, "Error deleting config entry %.*s/%.*s: %s", STR_ARG(kind), STR_ARG(name), err.text);
    cli_say(c, "Config entry deleted: %.*s/%.*s", STR_ARG(kind), STR_ARG(name));
    return 0;
}

/* --- write ----------------------------------------------------------------------------------- */

/* The argument is a file or "-". */
static int read_entry(struct cli *c, struct config_entry *out, struct error *err)
{
    struct str text, arg = cli_arg(c, 0);
    struct value tree;
    int rc = str_is(arg, "-") ? cli_read_stdin(c, &text, err) : cli_read_file(c, arg, &text, err);
    if (rc) return error_prefix(err, "Failed to load data: Failed to read file: ");
    rc = hcl_parse(text, &c->arena, &tree, err);
    if (rc == 0) rc = config_entry_read(&tree, &c->arena, out, err);
    return rc ? error_prefix(err, "Failed to decode config entry input: ") : 0;
}

static int config_write(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct config_entry entry = { 0 };
    struct client_request r = { .method = "PUT", .path = STR("/v1/config") };
    struct buf body = BUF_INIT(CLI_INPUT_MAX);
    if (c->args.n != 1)
        return cli_fail(
            c, "Must provide exactly one positional argument to specify the config entry to write");
    if (read_entry(c, &entry, &err) != 0) return cli_fail(c, "%s", err.text);
    struct config_entry_ref ref = config_entry_ref(&entry);
    json_encode(ref.type, ref.entry, false, &body);
    r.body = str_dup(&c->arena, buf_str(&body));
    buf_deinit(&body);
    if (cli_bool(c, "cas"))
        client_query(c, &r, "cas",
            str_printf(&c->arena, "%llu", (unsigned long long)cli_uint(c, "modify-index")));
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error writing config entry %.*s/%.*s: %s", STR_ARG(ref.kind),
            STR_ARG(*ref.name), err.text);
    if (str_find(response.body, STR("true")) < 0)
        return cli_fail(
            c, "Config entry not updated: %.*s/%.*s", STR_ARG(ref.kind), STR_ARG(*ref.name));
    cli_say(c, "Config entry written: %.*s/%.*s", STR_ARG(ref.kind), STR_ARG(*ref.name));
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag name_flags[] = {
    { CLI_STRING, "kind", .usage = "Kind of the entry: service-defaults, proxy-defaults ..." },
    { CLI_STRING, "name", .usage = "Name of the entry." },
    { 0 },
};

static const struct cli_flag list_flags[] = {
    { CLI_STRING, "kind", .usage = "Kind of the entries." },
    { 0 },
};

static const struct cli_flag write_flags[] = {
    { CLI_BOOL, "cas", .usage = "Writes only if the entry's ModifyIndex is -modify-index." },
    { CLI_UINT, "modify-index", .usage = "Index for -cas; 0: the entry must not exist." },
    { 0 },
};

#define CONFIG_GROUPS (CLI_CLIENT | CLI_SERVER | CLI_NAMESPACE)

const struct cli_command cli_config_commands[] = {
    CLI_GROUP("config", "Interact with Consul's Centralized Configurations",
        "<subcommand> [options] [args]"),
    { "config delete", "Delete a centralized config entry",
        "[options] -kind <config kind> -name <config name>", CONFIG_GROUPS, name_flags,
        .run = config_delete },
    { "config list", "List centralized config entries of a given kind",
        "[options] -kind <config kind>", CONFIG_GROUPS, list_flags, .run = config_list },
    { "config read", "Read a centralized config entry",
        "[options] -kind <config kind> -name <config name>", CONFIG_GROUPS, name_flags,
        .run = config_read },
    { "config write", "Create or update a centralized config entry", "[options] <configuration>",
        CONFIG_GROUPS, write_flags, .run = config_write,
        .about = "The entry is HCL or JSON: a file, or - for standard input." },
    { 0 },
};
