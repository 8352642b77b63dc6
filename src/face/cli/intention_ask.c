/* SPDX-License-Identifier: Apache-2.0 */
/* Intentions: check, delete, match, and the table. */
#include "intention.h"

static int check(struct cli *c)
{
    struct error err;
    struct value answer;
    struct client_request r = { .method = "GET", .path = STR("/v1/connect/intentions/check") };
    if (c->args.n != 2) {
        cli_fail(c, "Error: command requires exactly two arguments: src and dst");
        return 2;
    }
    client_query(c, &r, "source", cli_arg(c, 0));
    client_query(c, &r, "destination", cli_arg(c, 1));
    client_query(c, &r, "source-type", STR("consul"));
    if (client_json(c, &r, &answer, &err) != 0) {
        cli_fail(c, "Error checking the connection: %s", err.text);
        return 2;
    }
    bool allowed = value_bool(&answer, "Allowed");
    cli_say(c, allowed ? "Allowed" : "Denied");
    return allowed ? 0 : 1;
}

static int delete_intention(struct cli *c)
{
    struct error err;
    struct intention *found;
    struct client_response response;
    struct str id = cli_arg(c, 0);
    if (c->args.n != 1) {
        if (intention__by_args(c, &found) != 0) return 1;
        id = found->id;
    }
    struct client_request r = { .method = "DELETE",
        .path = client_path(c, "/v1/connect/intentions/", id) };
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error reading the intention: %s", err.text);
    cli_say(c, "Intention deleted.");
    return 0;
}

static int match(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct value answer;
    struct client_request r = { .method = "GET", .path = STR("/v1/connect/intentions/match") };
    if (c->args.n != 1)
        return cli_fail(c, "Error: command requires exactly one argument: src or dst");
    if (cli_bool(c, "source") && cli_bool(c, "destination"))
        return cli_fail(c, "Error: only one of -source or -destination may be specified");
    client_query(c, &r, "by", cli_bool(c, "source") ? STR("source") : STR("destination"));
    client_query(c, &r, "name", cli_arg(c, 0));
    int rc = client_call(c, &r, &response, &err);
    if (rc == 0) rc = json_parse(response.body, &c->arena, &answer, &err);
    if (rc) return cli_fail(c, "Error matching the connection: %s", err.text);
    struct value *found = value_get(&answer, cli_arg(c, 0));
    for (size_t i = 0; found && found->kind == V_LIST && i < found->list.n; i++) {
        const struct value *v = &found->list.v[i];
        const struct intention at = { .source_name = value_text(v, "SourceName"),
            .destination_name = value_text(v, "DestinationName"),
            .action = value_text(v, "Action") };
        cli_say(c, "%.*s", STR_ARG(intention__text(c, &at)));
    }
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag create_flags[] = {
    { CLI_BOOL, "allow", .usage = "Connections are allowed. The default." },
    { CLI_BOOL, "deny", .usage = "Connections are denied." },
    { CLI_BOOL, "file", .usage = "Arguments are files, each with one intention as JSON." },
    { CLI_MAP, "meta", .usage = "Metadata. May be given again." },
    { CLI_BOOL, "replace", .usage = "Replaces an intention between the same services." },
    { 0 },
};

static const struct cli_flag match_flags[] = {
    { CLI_BOOL, "destination", .usage = "Intentions with this destination. The default." },
    { CLI_BOOL, "source", .usage = "Intentions with this source." },
    { 0 },
};

#define INTENTION_GROUPS (CLI_CLIENT | CLI_SERVER)

const struct cli_command cli_intention_commands[] = {
    CLI_GROUP(
        "intention", "Interact with Connect service intentions", "<subcommand> [options] [args]"),
    { "intention check", "Check whether a connection between two services is allowed.",
        "[options] SRC DST", INTENTION_GROUPS, NULL, .run = check, .refused = 2 },
    { "intention create", "Create intentions for service connections.", "[options] SRC DST",
        INTENTION_GROUPS, create_flags, .run = intention_create },
    { "intention delete", "Delete an intention.", "[options] SRC DST", INTENTION_GROUPS, NULL,
        .run = delete_intention },
    { "intention get", "Show information about an intention.", "[options] SRC DST",
        INTENTION_GROUPS, NULL, .run = intention_get },
    { "intention match", "Show intentions that match a source or destination.", "[options] SRC|DST",
        INTENTION_GROUPS, match_flags, .run = match },
    { 0 },
};
