/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a private folder, and recorded logs to apply to it. */
#pragma once
#include "unit/model/vectors.h"

#include "commands.h"

static inline struct store *store_fresh(void)
{
    struct store *s = NULL;
    struct error err;
    struct store_options opts = { .map_size = UINT64_C(1) << 30 };
    if (store_open(&opts, &s, NULL, &err) != 0) fail_msg("%s", err.text);
    return s;
}

/* One entry in a batch of its own. */
static inline int apply_one(struct store *s, const struct store_entry *e, struct arena *a,
    struct command_result *res, struct error *err)
{
    struct store_batch *b = store_apply_begin(s, 1000);
    int code = store_apply(b, e, a, res, err);
    if (code != STORE_APPLIED) {
        store_apply_abort(b);
        return code;
    }
    return store_apply_commit(b, err);
}

static inline struct store_entry recorded_entry(struct arena *a, const struct value *line)
{
    struct store_entry e = { .index = (uint64_t)get_number(line, "index"),
        .term = (uint64_t)get_number(line, "term") };
    const struct value *ext = get(line, "extensions_hex");
    if (get_number(line, "log_type") == 0) e.data = recorded_bytes(a, line, "data_");
    if (ext) e.extensions = hex_bytes(a, ext->s);
    return e;
}

/* Builds and applies one command at the next index; fails the test if the store does. */
static inline struct command_result command(
    struct store *s, struct arena *a, enum command_type type, const void *body)
{
    struct buf data = BUF_INIT(4u << 20);
    struct command_result res;
    struct error err;
    command_encode(type, body, &data);
    struct store_entry e = { .index = store_applied_index(s) + 1, .term = 1 };
    e.data = str_dup(a, buf_str(&data));
    buf_deinit(&data);
    if (apply_one(s, &e, a, &res, &err) != 0) fail_msg("%s", err.text);
    return res;
}

/* --- commands in a line -------------------------------------------------------------------- */

static inline struct command_result kv(
    struct store *s, struct arena *a, const char *op, const char *key, const char *value)
{
    struct kvs_request r = { .op = str_of(op),
        .dir_ent = { .key = str_of(key), .value = str_of(value) } };
    return command(s, a, COMMAND_KVS, &r);
}

static inline struct command_result node_register(
    struct store *s, struct arena *a, const char *node, const char *address)
{
    struct register_request r = { .node = str_of(node), .address = str_of(address) };
    return command(s, a, COMMAND_REGISTER, &r);
}

static inline struct command_result service_register(
    struct store *s, struct arena *a, const char *node, const char *id, const char *name)
{
    struct node_service svc = { .id = str_of(id), .service = str_of(name) };
    struct register_request r = {
        .node = str_of(node), .address = STR("10.0.0.1"), .skip_node_update = true, .service = &svc
    };
    return command(s, a, COMMAND_REGISTER, &r);
}

static inline struct command_result check_register(struct store *s, struct arena *a,
    const char *node, const char *service_id, const char *check, const char *status)
{
    struct health_check c = { .node = str_of(node),
        .check_id = str_of(check),
        .name = str_of(check),
        .service_id = str_of(service_id),
        .status = str_of(status) };
    struct register_request r = {
        .node = str_of(node), .address = STR("10.0.0.1"), .skip_node_update = true, .check = &c
    };
    return command(s, a, COMMAND_REGISTER, &r);
}

static inline struct command_result deregister(
    struct store *s, struct arena *a, const char *node, const char *service_id, const char *check)
{
    struct deregister_request r = {
        .node = str_of(node), .service_id = str_of(service_id), .check_id = str_of(check)
    };
    return command(s, a, COMMAND_DEREGISTER, &r);
}

static inline struct command_result session(struct store *s, struct arena *a, const char *op,
    const char *id, const char *node, const char *check)
{
    struct session_request r = { .op = str_of(op),
        .session = { .id = str_of(id), .node = str_of(node), .lock_delay = 15000000000 } };
    if (check) *LIST_PUSH(a, &r.session.node_checks, struct str) = str_of(check);
    return command(s, a, COMMAND_SESSION, &r);
}
