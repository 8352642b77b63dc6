/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#define RELAY_FACTOR_MAX 5

static const struct action {
    const char *flag, *method, *announcement;
} actions[] = {
    { "list", "GET", "Gathering installed encryption keys..." },
    { "list-primary", "GET", "Gathering installed primary encryption keys..." },
    { "install", "POST", "Installing new gossip encryption key..." },
    { "use", "PUT", "Changing primary gossip encryption key..." },
    { "remove", "DELETE", "Removing gossip encryption key..." },
};

enum { ACTIONS = sizeof actions / sizeof actions[0] };

static bool is_list(const struct action *a)
{
    return a == &actions[0] || a == &actions[1];
}

static bool is_wanted(struct cli *c, const struct action *a)
{
    return is_list(a) ? cli_bool(c, a->flag) : cli_text(c, a->flag).n > 0;
}

static void print_pool(struct cli *c, const struct value *pool, const char *keys)
{
    struct list sorted = value_sorted(c, value_at(pool, keys));
    struct str segment = value_text(pool, "Segment");
    if (value_bool(pool, "WAN"))
        cli_say(c, "\nWAN:");
    else if (segment.n)
        cli_say(
            c, "\n%.*s (LAN) [%.*s]:", STR_ARG(value_text(pool, "Datacenter")), STR_ARG(segment));
    else
        cli_say(c, "\n%.*s (LAN):", STR_ARG(value_text(pool, "Datacenter")));
    for (size_t i = 0; i < sorted.n; i++) {
        const struct value_entry *e = &LIST_AT(&sorted, struct value_entry, i);
        cli_say(c, "  %.*s [%.*s/%.*s]", STR_ARG(e->key), STR_ARG(e->value.s),
            STR_ARG(value_text(pool, "NumNodes")));
    }
}

static int act(struct cli *c, const struct action *a)
{
    struct error err;
    struct client_response response;
    struct value pools;
    struct client_request r = { .method = a->method, .path = STR("/v1/operator/keyring") };
    if (cli_int(c, "relay-factor"))
        client_query(c, &r, "relay-factor", cli_text(c, "relay-factor"));
    if (cli_bool(c, "local-only")) client_query(c, &r, "local-only", STR("true"));
    if (!is_list(a)) {
        struct buf body = BUF_INIT(CLIENT_HEAD_MAX);
        struct json_writer w;
        json_begin(&w, &body, false);
        json_object(&w);
        json_key(&w, "Key");
        json_str(&w, cli_text(c, a->flag));
        json_object_end(&w);
        r.body = str_dup(&c->arena, buf_str(&body));
        buf_deinit(&body);
    }
    cli_say(c, "==> %s", a->announcement);
    int rc = client_call(c, &r, &response, &err);
    if (rc == 0 && is_list(a)) rc = json_parse(response.body, &c->arena, &pools, &err);
    if (rc) return cli_fail(c, "error: %s", err.text);
    for (size_t i = 0; is_list(a) && pools.kind == V_LIST && i < pools.list.n; i++)
        print_pool(c, &pools.list.v[i], a == &actions[1] ? "PrimaryKeys" : "Keys");
    return 0;
}

static int keyring(struct cli *c)
{
    const struct action *wanted = NULL;
    int64_t relay_factor = cli_int(c, "relay-factor");
    for (size_t i = 0; i < ACTIONS; i++) {
        if (!is_wanted(c, &actions[i])) continue;
        if (wanted) return cli_fail(c, "Only a single action is allowed");
        wanted = &actions[i];
    }
    if (!wanted) {
        cli_help_command(c->command, c->io.err);
        return 1;
    }
    if (relay_factor < 0 || relay_factor > RELAY_FACTOR_MAX)
        return cli_fail(c, "Error parsing relay factor: Relay factor must be in range: [0, %d]",
            RELAY_FACTOR_MAX);
    if (cli_bool(c, "local-only") && !is_list(wanted))
        return cli_fail(
            c, "Error validating local-only: local-only can only be set for list requests");
    return act(c, wanted);
}

static const struct cli_flag keyring_flags[] = {
    { CLI_STRING, "install", .usage = "Installs a key on all members; it is not used yet." },
    { CLI_BOOL, "list", .usage = "Lists the keys in use in the cluster." },
    { CLI_BOOL, "list-primary", .usage = "Lists the primary keys in use in the cluster." },
    { CLI_BOOL, "local-only", .usage = "Lists the keys of this datacenter alone." },
    { CLI_INT, "relay-factor", .usage = "How many members send an answer on, 0 to 5." },
    { CLI_STRING, "remove", .usage = "Removes a key that is not the primary one." },
    { CLI_STRING, "use", .usage = "Makes an installed key the primary one." },
    { 0 },
};

const struct cli_command cli_keyring_commands[] = {
    { "keyring", "Manages gossip layer encryption keys", "[options]", CLI_CLIENT, keyring_flags,
        .run = keyring },
    { 0 },
};
