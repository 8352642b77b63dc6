/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of keys as JSON: kv export, kv import. */
#include "kv.h"

int kv_export(struct cli *c)
{
    struct error err;
    struct list entries;
    struct client_request r = { 0 };
    if (cli_args_at_most(c, 1)) return 1;
    client_query(c, &r, "recurse", STR(""));
    if (kv__fetch(c, kv__key(cli_arg(c, 0)), &r, &entries, &err) != 0)
        return cli_fail(c, "Error querying Consul agent: %s", err.text);
    struct buf text = BUF_INIT(2 * CLIENT_BODY_MAX);
    struct json_writer w;
    json_begin(&w, &text, false);
    json_array(&w);
    for (size_t i = 0; i < entries.n; i++) {
        const struct dir_entry *e = &LIST_AT(&entries, struct dir_entry, i);
        json_object(&w);
        json_key(&w, "key");
        json_str(&w, e->key);
        json_key(&w, "flags");
        json_u64(&w, e->flags);
        json_key(&w, "value");
        json_base64(&w, e->value.p ? e->value : STR(""));
        json_object_end(&w);
    }
    json_array_end(&w);
    cli_print_json(c, buf_str(&text), "\t");
    buf_deinit(&text);
    return 0;
}

static int import_one(struct cli *c, const struct value *entry)
{
    struct error err;
    struct client_request r = { 0 };
    struct str key = value_text(entry, "key"), value;
    bool done;
    if (base64_parse(value_text(entry, "value"), &c->arena, &value, &err) != 0)
        return cli_fail(c, "Error base 64 decoding value for key %.*s: %s", STR_ARG(key), err.text);
    if (value_uint(entry, "flags"))
        client_query(c, &r, "flags",
            str_printf(&c->arena, "%llu", (unsigned long long)value_uint(entry, "flags")));
    if (kv__put(c, key, value, &r, &done, &err) != 0)
        return cli_fail(c, "Error! Failed writing data for key %.*s: %s", STR_ARG(key), err.text);
    cli_say(c, "Imported: %.*s", STR_ARG(key));
    return 0;
}

int kv_import(struct cli *c)
{
    struct error err;
    struct str text;
    struct value tree;
    if (c->args.n == 0) return cli_fail(c, "Error! Missing DATA argument");
    if (c->args.n > 1)
        return cli_fail(c, "Error! Too many arguments (expected 1, got %zu)", c->args.n);
    if (cli_read_value(c, cli_arg(c, 0), &text, &err) != 0)
        return cli_fail(c, "Error! %s", err.text);
    if (json_parse_whole(text, &c->arena, &tree, &err) != 0)
        return cli_fail(c, "Cannot unmarshal data: %s", err.text);
    if (tree.kind != V_LIST && tree.kind != V_NIL)
        return cli_fail(c, "Cannot unmarshal data: json: a list of entries is needed");
    for (size_t i = 0; tree.kind == V_LIST && i < tree.list.n; i++)
        if (import_one(c, &tree.list.v[i]) != 0) return 1;
    return 0;
}
