/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "consuld/model.h"
#include "consuld/store_log.h"
#include "consuld/store_raft_db.h"

/* --- raft ------------------------------------------------------------------------------------ */

static int list_peers(struct cli *c)
{
    struct error err;
    struct value raft;
    struct columns t = { .width = 6 };
    if (client_get(c, STR("/v1/operator/raft/configuration"), &raft, &err) != 0)
        return cli_fail(
            c, "Error getting peers: Failed to retrieve raft configuration: %s", err.text);
    columns_add(c, &t,
        (const struct str[]){ STR("Node"), STR("ID"), STR("Address"), STR("State"), STR("Voter"),
            STR("RaftProtocol") });
    const struct value *servers = value_at(&raft, "Servers");
    for (size_t i = 0; servers->kind == V_LIST && i < servers->list.n; i++) {
        const struct value *s = &servers->list.v[i];
        struct str protocol = value_text(s, "ProtocolVersion");
        columns_add(c, &t,
            (const struct str[]){ value_text(s, "Node"), value_text(s, "ID"),
                value_text(s, "Address"), value_bool(s, "Leader") ? STR("leader") : STR("follower"),
                value_bool(s, "Voter") ? STR("true") : STR("false"),
                protocol.n ? protocol : STR("<=1") });
    }
    columns_print(c, &t, 2);
    return 0;
}

static int remove_peer(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "DELETE", .path = STR("/v1/operator/raft/peer") };
    struct str address = cli_text(c, "address"), id = cli_text(c, "id");
    if (!address.n && !id.n)
        return cli_fail(
            c, "Error removing peer: an address or id is required for the peer to remove");
    if (address.n && id.n)
        return cli_fail(c, "Error removing peer: cannot give both an address and id");
    client_query(c, &r, id.n ? "id" : "address", id.n ? id : address);
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error removing peer: %s", err.text);
    cli_say(
        c, "Removed peer with %s \"%.*s\"", id.n ? "id" : "address", STR_ARG(id.n ? id : address));
    return 0;
}

static int give_back(struct cli *c)
{
    struct error err;
    struct raft_db_report done;
    struct str dir = cli_text(c, "data-dir");
    if (!dir.n) return cli_fail(c, "Error giving the log back: -data-dir is required");
    if (raft_db_give(disk_system(), str_c(&c->arena, dir), &done, &err) != 0)
        return cli_fail(c, "Error giving the log back: %s", err.text);
    if (!done.moved) return cli_fail(c, "%.*s holds no log of consuld", STR_ARG(dir));
    cli_say(c, "%.*s/raft/raft.db holds the entries %llu to %llu, term %llu", STR_ARG(dir),
        (unsigned long long)done.first, (unsigned long long)done.last,
        (unsigned long long)done.term);
    return 0;
}

/* --- autopilot ------------------------------------------------------------------------------- */

#define AUTOPILOT_PATH STR("/v1/operator/autopilot/configuration")

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

static int get_config(struct cli *c)
{
    struct error err;
    struct value v;
    if (client_get(c, AUTOPILOT_PATH, &v, &err) != 0)
        return cli_fail(c, "Error querying Autopilot configuration: %s", err.text);
    cli_say(c, "CleanupDeadServers = %s", truth(value_bool(&v, "CleanupDeadServers")));
    cli_say(c, "LastContactThreshold = %.*s", STR_ARG(value_text(&v, "LastContactThreshold")));
    cli_say(c, "MaxTrailingLogs = %.*s", STR_ARG(value_text(&v, "MaxTrailingLogs")));
    cli_say(c, "MinQuorum = %llu", (unsigned long long)value_uint(&v, "MinQuorum"));
    cli_say(
        c, "ServerStabilizationTime = %.*s", STR_ARG(value_text(&v, "ServerStabilizationTime")));
    cli_say(c, "RedundancyZoneTag = \"%.*s\"", STR_ARG(value_text(&v, "RedundancyZoneTag")));
    cli_say(c, "DisableUpgradeMigration = %s", truth(value_bool(&v, "DisableUpgradeMigration")));
    cli_say(c, "UpgradeVersionTag = \"%.*s\"", STR_ARG(value_text(&v, "UpgradeVersionTag")));
    return 0;
}

/* Which flag sets which key. */
static const struct setting {
    const char *flag, *key;
} settings[] = {
    { "cleanup-dead-servers", "CleanupDeadServers" },
    { "disable-upgrade-migration", "DisableUpgradeMigration" },
    { "last-contact-threshold", "LastContactThreshold" },
    { "max-trailing-logs", "MaxTrailingLogs" },
    { "min-quorum", "MinQuorum" },
    { "redundancy-zone-tag", "RedundancyZoneTag" },
    { "server-stabilization-time", "ServerStabilizationTime" },
    { "upgrade-version-tag", "UpgradeVersionTag" },
};

static void apply(struct cli *c, const struct setting *s, struct value *config)
{
    struct str text = cli_text(c, s->flag);
    struct value *v = value_get(config, str_of(s->key));
    if (!v) v = value_map_add(&c->arena, config, str_of(s->key));
    if (v->kind == V_BOOL)
        *v = (struct value){ .kind = V_BOOL, .b = cli_bool(c, s->flag) };
    else
        *v = (struct value){ .kind = v->kind == V_NUMBER ? V_NUMBER : V_STR, .s = text };
}

static int set_config(struct cli *c)
{
    struct error err;
    struct value config;
    struct client_response response;
    struct buf body = BUF_INIT(CLIENT_HEAD_MAX);
    struct client_request r = { .method = "PUT", .path = AUTOPILOT_PATH };
    if (client_get(c, AUTOPILOT_PATH, &config, &err) != 0)
        return cli_fail(c, "Error querying Autopilot configuration: %s", err.text);
    if (config.kind != V_MAP) config = (struct value){ .kind = V_MAP };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (cli_is_given(c, settings[i].flag)) apply(c, &settings[i], &config);
    json_encode_value(&config, false, &body);
    r.body = str_dup(&c->arena, buf_str(&body));
    buf_deinit(&body);
    client_query(c, &r, "cas", value_text(&config, "ModifyIndex"));
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error updating Autopilot configuration: %s", err.text);
    if (str_find(response.body, STR("true")) < 0)
        return cli_fail(c, "Configuration could not be atomically updated, please try again");
    cli_say(c, "Configuration updated!");
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag give_back_flags[] = {
    { CLI_STRING, "data-dir", .usage = "The data directory of the server, which must be stopped." },
    { 0 },
};

static const struct cli_flag remove_peer_flags[] = {
    { CLI_STRING, "address", .usage = "Address of the server in the raft configuration." },
    { CLI_STRING, "id", .usage = "ID of the server in the raft configuration." },
    { 0 },
};

static const struct cli_flag set_config_flags[] = {
    { CLI_BOOL_TEXT, "cleanup-dead-servers", .type = "true|false",
        .usage = "Removes dead servers when a new one joins." },
    { CLI_BOOL_TEXT, "disable-upgrade-migration", .type = "true|false",
        .usage = "(Enterprise) Leaves servers of an older version as voters." },
    { CLI_DURATION_TEXT, "last-contact-threshold", .type = "200ms",
        .usage = "Longest silence of the leader for a server to be healthy." },
    { CLI_UINT_TEXT, "max-trailing-logs",
        .usage = "Most log entries a healthy server is behind the leader." },
    { CLI_UINT_TEXT, "min-quorum", .usage = "Fewest servers before dead ones are removed." },
    { CLI_STRING, "redundancy-zone-tag", .type = "value",
        .usage = "(Enterprise) Node metadata that names the zone." },
    { CLI_DURATION_TEXT, "server-stabilization-time", .type = "10s",
        .usage = "How long a new server must be healthy before it votes." },
    { CLI_STRING, "upgrade-version-tag", .type = "value",
        .usage = "(Enterprise) Node metadata that holds the version." },
    { 0 },
};

#define OPERATOR_GROUPS (CLI_CLIENT | CLI_SERVER)

const struct cli_command cli_operator_commands[] = {
    CLI_GROUP(
        "operator", "Provides cluster-level tools for Consul operators", "<subcommand> [options]"),
    CLI_GROUP("operator autopilot", "Provides tools for modifying Autopilot configuration",
        "<subcommand> [options]"),
    { "operator autopilot get-config", "Display the current Autopilot configuration", "[options]",
        OPERATOR_GROUPS, NULL, .run = get_config },
    { "operator autopilot set-config", "Modify the current Autopilot configuration", "[options]",
        OPERATOR_GROUPS, set_config_flags, .run = set_config },
    CLI_GROUP("operator raft", "Provides cluster-level tools for Consul operators",
        "<subcommand> [options]"),
    { "operator raft give-back", "Turn the log of a stopped server into one that Consul reads",
        "[options]", 0, give_back_flags, .run = give_back,
        .about =
            "Writes raft/raft.db with the log, the term and the vote, and removes consuld's own\n"
            "files. Afterwards Consul goes on in the same data directory as the same server." },
    { "operator raft list-peers", "Display the current Raft peer configuration", "[options]",
        OPERATOR_GROUPS, NULL, .run = list_peers },
    { "operator raft remove-peer", "Remove a Consul server from the Raft configuration",
        "[options]", OPERATOR_GROUPS, remove_peer_flags, .run = remove_peer },
    { 0 },
};
