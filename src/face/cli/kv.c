/* SPDX-License-Identifier: Apache-2.0 */
#include "kv.h"

#include "client.h"

/* Keys cannot begin with a slash, users often write one. */
struct str kv__key(struct str arg)
{
    return arg.n && arg.p[0] == '/' ? str_slice(arg, 1, arg.n) : arg;
}

int kv__fetch(
    struct cli *c, struct str key, struct client_request *r, struct list *out, struct error *err)
{
    struct client_response response;
    r->method = "GET";
    r->path = client_path(c, "/v1/kv/", key);
    *out = (struct list){ 0 };
    int rc = client_send(c, r, &response, err);
    if (rc) return rc;
    if (response.status == 404) return 0;
    if (response.status != 200)
        return error_set(err, ERR_BAD_REQUEST, "Unexpected response code: %d", response.status);
    return json_decode(
        response.body, &c->arena, &type_dir_entry_list, out, JSON_UNKNOWN_IGNORED, err);
}

/* --- get ------------------------------------------------------------------------------------- */

static struct str shown(struct cli *c, struct str value)
{
    if (!cli_bool(c, "base64")) return value;
    struct buf b = BUF_INIT(2 * CLIENT_BODY_MAX);
    base64_encode(value, &b);
    struct str out = str_dup(&c->arena, b.n ? buf_str(&b) : STR(""));
    buf_deinit(&b);
    return out;
}

static void detailed(struct cli *c, const struct dir_entry *e)
{
    struct arena *a = &c->arena;
    const struct str rows[][2] = {
        { STR("CreateIndex"), str_printf(a, "%llu", (unsigned long long)e->create_index) },
        { STR("Flags"), str_printf(a, "%llu", (unsigned long long)e->flags) },
        { STR("Key"), e->key },
        { STR("LockIndex"), str_printf(a, "%llu", (unsigned long long)e->lock_index) },
        { STR("ModifyIndex"), str_printf(a, "%llu", (unsigned long long)e->modify_index) },
        { STR("Session"), e->session.n ? e->session : STR("-") },
        { STR("Value"), shown(c, e->value) },
    };
    struct columns t = { .width = 2, .trimmed = true };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        columns_add(c, &t, rows[i]);
    columns_print(c, &t, 6);
}

static int get_keys(struct cli *c, struct str key)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "GET", .path = client_path(c, "/v1/kv/", key) };
    struct value keys = { 0 };
    client_query(c, &r, "keys", STR(""));
    if (cli_text(c, "separator").n) client_query(c, &r, "separator", cli_text(c, "separator"));
    int rc = client_send(c, &r, &response, &err);
    if (rc == 0 && response.status != 404) {
        rc = response.status == 200 ? json_parse(response.body, &c->arena, &keys, &err)
                                    : error_set(&err, ERR_BAD_REQUEST,
                                          "Unexpected response code: %d", response.status);
    }
    if (rc) return cli_fail(c, "Error querying Consul agent: %s", err.text);
    struct list texts = value_texts(c, &keys);
    for (size_t i = 0; i < texts.n; i++)
        cli_say(c, "%.*s", STR_ARG(LIST_AT(&texts, struct str, i)));
    return 0;
}

static int get_recurse(struct cli *c, struct str key)
{
    struct error err;
    struct list entries;
    struct client_request r = { 0 };
    client_query(c, &r, "recurse", STR(""));
    if (kv__fetch(c, key, &r, &entries, &err) != 0)
        return cli_fail(c, "Error querying Consul agent: %s", err.text);
    for (size_t i = 0; i < entries.n; i++) {
        const struct dir_entry *e = &LIST_AT(&entries, struct dir_entry, i);
        if (cli_bool(c, "detailed")) {
            detailed(c, e);
            if (i + 1 < entries.n) cli_say(c, "%s", "");
            continue;
        }
        cli_put(c, e->key);
        cli_put(c, STR(":"));
        cli_put(c, shown(c, e->value));
        cli_put(c, STR("\n"));
    }
    return 0;
}

static int get(struct cli *c)
{
    struct error err;
    struct list entries;
    struct client_request r = { 0 };
    if (cli_args_at_most(c, 1)) return 1;
    struct str key = kv__key(cli_arg(c, 0));
    if (!key.n && !cli_bool(c, "keys") && !cli_bool(c, "recurse"))
        return cli_fail(c, "Error! Missing KEY argument");
    if (cli_bool(c, "keys")) return get_keys(c, key);
    if (cli_bool(c, "recurse")) return get_recurse(c, key);
    if (kv__fetch(c, key, &r, &entries, &err) != 0)
        return cli_fail(c, "Error querying Consul agent: %s", err.text);
    if (entries.n == 0) return cli_fail(c, "Error! No key exists at: %.*s", STR_ARG(key));
    const struct dir_entry *e = &LIST_AT(&entries, struct dir_entry, 0);
    if (cli_bool(c, "detailed")) {
        detailed(c, e);
        return 0;
    }
    cli_put(c, shown(c, e->value));
    cli_put(c, STR("\n"));
    return 0;
}

/* --- put ------------------------------------------------------------------------------------- */

int kv__put(struct cli *c, struct str key, struct str value, struct client_request *r, bool *done,
    struct error *err)
{
    struct client_response response;
    if (key.n && key.p[0] == '/')
        return error_set(
            err, ERR_BAD_REQUEST, "Invalid key. Key must not begin with a '/': %.*s", STR_ARG(key));
    r->method = "PUT";
    r->path = client_path(c, "/v1/kv/", key);
    r->body = value;
    int rc = client_call(c, r, &response, err);
    *done = rc == 0 && str_find(response.body, STR("true")) >= 0;
    return rc;
}

/* The value to store, or false after the error is told. */
static bool put_value(struct cli *c, struct str *out)
{
    struct error err;
    struct str bytes;
    if (cli_read_value(c, cli_arg(c, 1), out, &err) != 0) {
        cli_fail(c, "Error! %s", err.text);
        return false;
    }
    if (!cli_bool(c, "base64")) return true;
    /* As Consul does: the fault is told and an empty value stored. */
    if (base64_parse(*out, &c->arena, &bytes, &err) != 0) {
        cli_fail(c, "Error! Cannot base 64 decode data: %s", err.text);
        bytes = STR("");
    }
    *out = bytes;
    return true;
}

static int put_check(struct cli *c)
{
    if (c->args.n == 0) return cli_fail(c, "Error! Missing KEY argument");
    if (c->args.n > 2)
        return cli_fail(c, "Error! Too many arguments (expected 1 or 2, got %zu)", c->args.n);
    return 0;
}

static int put(struct cli *c)
{
    struct error err;
    struct str key = cli_arg(c, 0), value;
    struct client_request r = { 0 };
    bool done;
    if (put_check(c) || !put_value(c, &value)) return 1;
    bool acquire = cli_bool(c, "acquire"), release = cli_bool(c, "release");
    bool cas = cli_bool(c, "cas");
    if (!cli_text(c, "session").n && (acquire || release))
        return cli_fail(c, "Error! Missing -session (required with -acquire and -release)");
    if (cas && cli_uint(c, "modify-index") == 0)
        return cli_fail(c, "Must specify -modify-index with -cas!");
    if (cli_uint(c, "flags")) client_query(c, &r, "flags", cli_text(c, "flags"));
    if (cas) client_query(c, &r, "cas", cli_text(c, "modify-index"));
    if (acquire && !cas) client_query(c, &r, "acquire", cli_text(c, "session"));
    if (release && !cas && !acquire) client_query(c, &r, "release", cli_text(c, "session"));
    if (kv__put(c, key, value, &r, &done, &err) != 0)
        return cas ? cli_fail(c, "Error! Did not write to %.*s: %s", STR_ARG(key), err.text)
                   : cli_fail(c, "Error! Failed writing data: %s", err.text);
    if (!done && cas) return cli_fail(c, "Error! Did not write to %.*s: CAS failed", STR_ARG(key));
    if (!done)
        return cli_fail(
            c, release && !acquire ? "Error! Did not release lock" : "Error! Did not acquire lock");
    cli_say(c,
        cas       ? "Success! Data written to: %.*s"
        : acquire ? "Success! Lock acquired on: %.*s"
        : release ? "Success! Lock released on: %.*s"
                  : "Success! Data written to: %.*s",
        STR_ARG(key));
    return 0;
}

/* --- delete ---------------------------------------------------------------------------------- */

static int remove_check(struct cli *c, struct str key)
{
    bool recurse = cli_bool(c, "recurse"), cas = cli_bool(c, "cas");
    if (!key.n && !recurse) return cli_fail(c, "Error! Missing KEY argument");
    if (cas && cli_uint(c, "modify-index") == 0)
        return cli_fail(c, "Must specify -modify-index with -cas!");
    if (!cas && cli_uint(c, "modify-index") != 0)
        return cli_fail(c, "Cannot specify -modify-index without -cas!");
    if (cas && recurse) return cli_fail(c, "Cannot specify both -cas and -recurse!");
    return 0;
}

static int remove_key(struct cli *c)
{
    struct error err;
    struct client_response response;
    if (cli_args_at_most(c, 1)) return 1;
    struct str key = kv__key(cli_arg(c, 0));
    struct client_request r = { .method = "DELETE", .path = client_path(c, "/v1/kv/", key) };
    bool recurse = cli_bool(c, "recurse");
    if (remove_check(c, key)) return 1;
    if (recurse) client_query(c, &r, "recurse", STR(""));
    if (cli_bool(c, "cas")) client_query(c, &r, "cas", cli_text(c, "modify-index"));
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error! Did not delete %s %.*s: %s", recurse ? "prefix" : "key",
            STR_ARG(key), err.text);
    if (str_find(response.body, STR("true")) < 0)
        return cli_fail(c, "Error! Did not delete key %.*s: CAS failed", STR_ARG(key));
    cli_say(c, recurse ? "Success! Deleted keys with prefix: %.*s" : "Success! Deleted key: %.*s",
        STR_ARG(key));
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag get_flags[] = {
    { CLI_BOOL, "base64", .usage = "Shows values in base64." },
    { CLI_BOOL, "detailed", .usage = "Shows indexes, flags and the session of the key too." },
    { CLI_BOOL, "keys",
        .usage = "Lists the keys that begin with KEY_OR_PREFIX, up to the "
                 "separator." },
    { CLI_BOOL, "recurse", .usage = "Shows every key that begins with KEY_OR_PREFIX." },
    { CLI_STRING, "separator", .value = "/", .usage = "Where -keys cuts: / if not given." },
    { 0 },
};

static const struct cli_flag put_flags[] = {
    { CLI_BOOL, "acquire", .usage = "Takes the lock of the key for -session." },
    { CLI_BOOL, "base64", .usage = "DATA is base64." },
    { CLI_BOOL, "cas", .usage = "Writes only if the key's ModifyIndex is -modify-index." },
    { CLI_UINT, "flags", .usage = "Number kept with the key." },
    { CLI_UINT, "modify-index", .usage = "Index for -cas." },
    { CLI_BOOL, "release", .usage = "Gives the lock of the key back." },
    { CLI_STRING, "session", .usage = "Session that takes or gives back the lock." },
    { 0 },
};

static const struct cli_flag delete_flags[] = {
    { CLI_BOOL, "cas", .usage = "Deletes only if the key's ModifyIndex is -modify-index." },
    { CLI_UINT, "modify-index", .usage = "Index for -cas." },
    { CLI_BOOL, "recurse", .usage = "Deletes every key that begins with KEY_OR_PREFIX." },
    { 0 },
};

#define KV_GROUPS (CLI_CLIENT | CLI_SERVER | CLI_NAMESPACE)

const struct cli_command cli_kv_commands[] = {
    CLI_GROUP("kv", "Interact with the key-value store", "<subcommand> [options] [args]"),
    { "kv delete", "Removes data from the KV store", "[options] KEY_OR_PREFIX", KV_GROUPS,
        delete_flags, .run = remove_key },
    { "kv export", "Exports a tree from the KV store as JSON", "[options] [KEY_OR_PREFIX]",
        KV_GROUPS, NULL, .run = kv_export },
    { "kv get", "Retrieves or lists data from the KV store", "[options] [KEY_OR_PREFIX]", KV_GROUPS,
        get_flags, .run = get },
    { "kv import", "Imports a tree stored as JSON to the KV store", "[options] [DATA]", KV_GROUPS,
        NULL, .run = kv_import,
        .about = "DATA is JSON as kv export prints it, - for standard input or "
                 "@FILE." },
    { "kv put", "Sets or updates data in the KV store", "[options] KEY [DATA]", KV_GROUPS,
        put_flags, .run = put,
        .about = "DATA is the value itself, - for standard input or @FILE." },
    { 0 },
};
