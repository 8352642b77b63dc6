/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

static int put(struct cli *c, struct client_request *r, struct error *err)
{
    struct client_response response;
    r->method = "PUT";
    return client_call(c, r, &response, err);
}

static int force_leave(struct cli *c)
{
    struct error err;
    if (c->args.n != 1)
        return cli_fail_help(c, "A single node name must be specified to force leave.");
    struct client_request r = { .path = client_path(c, "/v1/agent/force-leave/", cli_arg(c, 0)) };
    if (cli_bool(c, "prune")) client_query(c, &r, "prune", STR("1"));
    if (put(c, &r, &err) != 0) return cli_fail(c, "Error force leaving: %s", err.text);
    return 0;
}

static void print_section(struct cli *c, const struct value_entry *section)
{
    struct list lines = value_sorted(c, &section->value);
    cli_say(c, "%.*s:", STR_ARG(section->key));
    for (size_t i = 0; i < lines.n; i++) {
        const struct value_entry *e = &LIST_AT(&lines, struct value_entry, i);
        struct str text = e->value.kind == V_STR ? e->value.s : STR("");
        cli_say(c, "\t%.*s = %.*s", STR_ARG(e->key), STR_ARG(text));
    }
}

static int info(struct cli *c)
{
    struct error err;
    struct value self;
    if (client_get(c, STR("/v1/agent/self"), &self, &err) != 0)
        return cli_fail(c, "Error querying agent: %s", err.text);
    struct list sections = value_sorted(c, value_at(&self, "Stats"));
    if (sections.n == 0) return cli_fail(c, "Agent did not provide stats");
    for (size_t i = 0; i < sections.n; i++)
        print_section(c, &LIST_AT(&sections, struct value_entry, i));
    return 0;
}

static int join(struct cli *c)
{
    struct error err;
    size_t joined = 0;
    if (c->args.n == 0) return cli_fail_help(c, "At least one address to join must be specified.");
    for (size_t i = 0; i < c->args.n; i++) {
        struct str address = cli_arg(c, i);
        struct client_request r = { .path = client_path(c, "/v1/agent/join/", address) };
        if (cli_bool(c, "wan")) client_query(c, &r, "wan", STR("1"));
        if (put(c, &r, &err) == 0)
            joined++;
        else
            cli_fail(c, "Error joining address '%.*s': %s", STR_ARG(address), err.text);
    }
    if (joined == 0) return cli_fail(c, "Failed to join any nodes.");
    cli_say(c, "Successfully joined cluster by contacting %zu nodes.", joined);
    return 0;
}

static int leave(struct cli *c)
{
    struct error err;
    struct client_request r = { .path = STR("/v1/agent/leave") };
    if (c->args.n > 0) {
        struct str words = texts_join(c, &c->args, " ");
        int status = cli_fail(c, "Error found unexpected args: [%.*s]", STR_ARG(words));
        cli_help_command(c->command, c->io.out);
        return status;
    }
    if (put(c, &r, &err) != 0) return cli_fail(c, "Error leaving: %s", err.text);
    cli_say(c, "Graceful leave complete");
    return 0;
}

static int reload(struct cli *c)
{
    struct error err;
    struct client_request r = { .path = STR("/v1/agent/reload") };
    if (put(c, &r, &err) != 0) return cli_fail(c, "Error reloading: %s", err.text);
    cli_say(c, "Configuration reload triggered");
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag event_flags[] = {
    { CLI_STRING, "name", .usage = "Name of the event." },
    { CLI_STRING, "node", .usage = "Regular expression on the names of the nodes that take it." },
    { CLI_STRING, "service", .usage = "Regular expression on services: only nodes with one." },
    { CLI_STRING, "tag", .usage = "Regular expression on the service's tags; with -service." },
    { 0 },
};

static const struct cli_flag force_leave_flags[] = {
    { CLI_BOOL, "prune", .usage = "Removes the member from the list as well." },
    { 0 },
};

static const struct cli_flag join_flags[] = {
    { CLI_BOOL, "wan", .usage = "Joins the WAN pool of servers." },
    { 0 },
};

static const struct cli_flag maint_flags[] = {
    { CLI_BOOL, "disable", .usage = "Ends the maintenance mode." },
    { CLI_BOOL, "enable", .usage = "Begins the maintenance mode." },
    { CLI_STRING, "reason", .usage = "Why; shown by the critical check. With -enable." },
    { CLI_STRING, "service", .usage = "ID of a service of the agent; else the whole node." },
    { 0 },
};

static const struct cli_flag members_flags[] = {
    { CLI_BOOL, "detailed", .usage = "Shows the members' tags." },
    { CLI_STRING, "segment", .value = "_all",
        .usage = "Only members of this segment "
                 "(Enterprise)." },
    { CLI_STRING, "status", .value = ".*", .usage = "Regular expression on the members' status." },
    { CLI_BOOL, "wan", .usage = "Lists the servers of the WAN pool." },
    { 0 },
};

static const struct cli_flag monitor_flags[] = {
    { CLI_BOOL, "log-json", .usage = "Lines are JSON objects." },
    { CLI_STRING, "log-level", .value = "INFO", .usage = "Least level of the lines." },
    { 0 },
};

static const struct cli_flag rtt_flags[] = {
    { CLI_BOOL, "wan", .usage = "Names are NODE.DATACENTER of servers in the WAN pool." },
    { 0 },
};

const struct cli_command cli_cluster_commands[] = {
    { "event", "Fire a new event", "[options] [payload]", CLI_CLIENT, event_flags,
        .run = cluster_event },
    { "force-leave", "Forces a member of the cluster to enter the \"left\" state", "[options] name",
        CLI_CLIENT, force_leave_flags, .run = force_leave },
    { "info", "Provides debugging information for operators.", "[options]", CLI_CLIENT, NULL,
        .run = info },
    { "join", "Tell Consul agent to join cluster", "[options] address ...", CLI_CLIENT, join_flags,
        .run = join },
    { "leave", "Gracefully leaves the Consul cluster and shuts down", "[options]", CLI_CLIENT, NULL,
        .run = leave },
    { "maint", "Controls node or service maintenance mode", "[options]", CLI_CLIENT, maint_flags,
        .run = cluster_maint,
        .about = "Without -enable and -disable: lists what is in maintenance." },
    { "members", "Lists the members of a Consul cluster", "[options]", CLI_CLIENT, members_flags,
        .run = cluster_members },
    { "monitor", "Stream logs from a Consul agent", "[options]", CLI_CLIENT, monitor_flags,
        .run = cluster_monitor },
    { "reload", "Triggers the agent to reload configuration files", "", CLI_CLIENT, NULL,
        .run = reload },
    { "rtt", "Estimates network round trip time between nodes", "[options] node1 [node2]",
        CLI_CLIENT, rtt_flags, .run = cluster_rtt,
        .about = "node2 is the agent's own node if left "
                 "out." },
    { 0 },
};
