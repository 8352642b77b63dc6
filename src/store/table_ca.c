/* SPDX-License-Identifier: Apache-2.0 */
/* Connect CA: roots, configuration, state of the built-in provider (fsm.md 12). */
#include "commands.h"
#include "consuld/store/tables.h"

#define ROOTS STR("connect-ca-roots")
#define CONFIG STR("connect-ca-config")
#define BUILTIN STR("connect-ca-builtin")
#define SERIAL STR("connect-ca-builtin-serial")

static void root_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct ca_root *)row)->id);
}

static void config_key(const void *row, struct buf *key)
{
    (void)row;
    key_exact(key, STR("config"));
}

static void provider_key(const void *row, struct buf *key)
{
    key_exact(key, ((const struct ca_consul_provider_state *)row)->id);
}

const struct table table_ca_roots = {
    .name = "connect-ca-roots",
    .type = &type_ca_root,
    .key = root_key,
};
const struct table table_ca_config = {
    .name = "connect-ca-config",
    .type = &type_ca_configuration,
    .key = config_key,
};
const struct table table_ca_builtin = {
    .name = "connect-ca-builtin",
    .type = &type_ca_consul_provider_state,
    .key = provider_key,
};

static bool config_find(struct view *v, struct arena *a, struct ca_configuration *out)
{
    return table_get(v, TABLE_CA_CONFIG, key_of_exact(a, STR("config")), a, out);
}

static void config_set(
    struct store_batch *b, uint64_t index, const struct ca_configuration *config, struct arena *a)
{
    struct ca_configuration row = *config, old;
    bool found = config_find(&b->view, a, &old);
    if (found && row.cluster_id.n == 0) row.cluster_id = old.cluster_id;
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    table_put(b, TABLE_CA_CONFIG, found ? &old : NULL, &row);
    touch_entry(b, CONFIG);
}

static bool config_cas(
    struct store_batch *b, uint64_t index, const struct ca_configuration *config, struct arena *a)
{
    struct ca_configuration old;
    uint64_t stored = config_find(&b->view, a, &old) ? old.modify_index : 0;
    if (stored != config->modify_index) return false;
    config_set(b, index, config, a);
    return true;
}

static int roots_set(struct store_batch *b, uint64_t index, const struct ca_request *req,
    struct arena *a, bool *done, struct error *err)
{
    size_t active = 0;
    for (size_t i = 0; i < req->roots.n; i++)
        active += LIST_AT(&req->roots, struct ca_root, i).active;
    if (active != 1) return error_set(err, ERR_BAD_REQUEST, "there must be exactly one active CA");
    *done = index_get(&b->view, ROOTS) == req->index;
    if (!*done) return 0;
    struct ca_root *rows = arena_array(a, req->roots.n, sizeof *rows);
    for (size_t i = 0; i < req->roots.n; i++) {
        struct ca_root old;
        rows[i] = LIST_AT(&req->roots, struct ca_root, i);
        bool found = table_get(&b->view, TABLE_CA_ROOTS, key_of(a, rows[i].id), a, &old);
        rows[i].create_index = found ? old.create_index : index;
        rows[i].modify_index = index;
    }
    table_clear(b, TABLE_CA_ROOTS);
    for (size_t i = 0; i < req->roots.n; i++)
        table_put(b, TABLE_CA_ROOTS, NULL, &rows[i]);
    index_set(b, ROOTS, index);
    return 0;
}

static bool provider_find(
    struct view *v, struct str id, struct arena *a, struct ca_consul_provider_state *out)
{
    return table_get(v, TABLE_CA_BUILTIN, key_of_exact(a, id), a, out);
}

static void provider_set(struct store_batch *b, uint64_t index,
    const struct ca_consul_provider_state *state, struct arena *a)
{
    struct ca_consul_provider_state row = *state, old;
    bool found = provider_find(&b->view, state->id, a, &old);
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    table_put(b, TABLE_CA_BUILTIN, found ? &old : NULL, &row);
    index_set(b, BUILTIN, index);
}

static void provider_delete(struct store_batch *b, struct str id, struct arena *a)
{
    struct ca_consul_provider_state old;
    if (!provider_find(&b->view, id, a, &old)) return;
    table_delete(b, TABLE_CA_BUILTIN, &old);
    index_set(b, BUILTIN, index_get(&b->view, BUILTIN));
}

static uint64_t serial_next(struct store_batch *b)
{
    uint64_t last = index_get(&b->view, SERIAL);
    if (!last) last = index_get(&b->view, BUILTIN);
    index_set(b, SERIAL, last + 1);
    return last + 1;
}

static int answer(struct command_result *res, bool ok)
{
    res->kind = RESULT_BOOL;
    res->ok = ok;
    return 0;
}

static int apply_config(struct store_batch *b, uint64_t index, const struct ca_request *req,
    struct arena *a, struct command_result *res, struct error *err)
{
    if (!req->config) return error_set(err, ERR_BAD_REQUEST, "missing CA configuration");
    if (req->config->modify_index) return answer(res, config_cas(b, index, req->config, a));
    config_set(b, index, req->config, a);
    return 0;
}

APPLY_FN(connect_ca)
{
    const struct ca_request *req = body;
    bool done = false;
    if (str_is(req->op, "set-config")) return apply_config(b, index, req, a, res, err);
    if (str_is(req->op, "set-roots") || str_is(req->op, "set-roots-config")) {
        int code = roots_set(b, index, req, a, &done, err);
        if (code) return code;
        /* The configuration is stored under the next index: later comparisons depend on it. */
        if (done && str_is(req->op, "set-roots-config"))
            done = req->config && config_cas(b, index + 1, req->config, a);
        return answer(res, done);
    }
    if (str_is(req->op, "increment-provider-serial")) {
        res->kind = RESULT_UINT;
        res->number = serial_next(b);
        return 0;
    }
    bool set = str_is(req->op, "set-provider-state");
    if (!set && !str_is(req->op, "delete-provider-state"))
        return error_set(err, ERR_BAD_REQUEST, "Invalid CA operation '%.*s'", STR_ARG(req->op));
    if (!req->provider_state) return error_set(err, ERR_BAD_REQUEST, "missing CA provider state");
    if (set)
        provider_set(b, index, req->provider_state, a);
    else
        provider_delete(b, req->provider_state->id, a);
    return answer(res, true);
}

APPLY_FN(connect_ca_leaf)
{
    const struct ca_leaf_request *req = body;
    (void)b;
    (void)a;
    if (!str_is(req->op, "increment-index"))
        return error_set(
            err, ERR_BAD_REQUEST, "Invalid CA Leaf operation '%.*s'", STR_ARG(req->op));
    res->kind = RESULT_UINT;
    res->number = index;
    return 0;
}

uint64_t store_ca_roots(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_CA_ROOTS, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, ROOTS));
}

uint64_t store_ca_configuration(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct ca_configuration **out)
{
    struct ca_configuration row;
    watch_entry(ws, CONFIG);
    *out = NULL;
    if (!config_find(&rd->view, a, &row)) return 1;
    *out = arena_copy(a, &row, sizeof row);
    return index_report(row.modify_index);
}

uint64_t store_ca_provider_state(struct store_read *rd, struct watch_set *ws, struct str id,
    struct arena *a, struct ca_consul_provider_state **out)
{
    struct ca_consul_provider_state row;
    *out = NULL;
    if (provider_find(&rd->view, id, a, &row)) *out = arena_copy(a, &row, sizeof row);
    return index_report(index_watch(rd, ws, BUILTIN));
}
