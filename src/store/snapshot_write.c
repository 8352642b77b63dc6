/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "consuld/store_snapshot.h"
#include "snapshot.h"

#define PART_SIZE 65536 /* bytes given to the sink at a time */
#define RECORD_MAX (256u << 20)
#define FORGET_SIZE (16u << 20) /* written before the pages that were read leave memory */

struct writer {
    struct view *view;
    struct snapshot_sink *sink;
    struct buf out;
    size_t written;     /* since pages were let go */
    struct arena arena; /* of one row */
    struct error *err;
    int code;
};

static void flush(struct writer *w)
{
    if (!w->code && w->out.overflow)
        w->code = error_set(w->err, ERR_TOO_LARGE, "snapshot: a record is too large");
    if (!w->code && w->out.n) w->code = w->sink->write(w->sink, w->out.p, w->out.n, w->err);
    w->written += w->out.n;
    if (w->written >= FORGET_SIZE) {
        w->written = 0;
        state_env_forget(w->view->env);
    }
    buf_clear(&w->out);
}

static void put(struct writer *w, enum command_type type, const struct type *t, const void *body)
{
    if (w->code) return;
    buf_put_char(&w->out, (char)type);
    msgpack_encode(t, body, &w->out);
    if (w->out.n >= PART_SIZE || w->out.overflow) flush(w);
}

/* Every row of a table as it is. */
static void put_table(struct writer *w, enum table_id table, enum command_type type)
{
    const struct type *t = state_tables[table]->type;
    struct scan s;
    scan_begin(&s, w->view, table, BY_KEY, STR_NIL);
    while (!w->code && scan_next(&s)) {
        void *row = arena_alloc(&w->arena, t->size);
        if (scan_row(&s, &w->arena, row)) put(w, type, t, row);
        arena_reset(&w->arena);
    }
    scan_end(&s);
}

/* --- nodes ---------------------------------------------------------------------------------- */

static void put_services(struct writer *w, struct register_request req, struct str key)
{
    struct scan s;
    struct arena a = ARENA_INIT;
    scan_begin(&s, w->view, TABLE_SERVICES, BY_KEY, key);
    while (!w->code && scan_next(&s)) {
        struct service_row row;
        if (scan_row(&s, &a, &row)) {
            req.service = &row.svc;
            put(w, COMMAND_REGISTER, &type_register_request, &req);
        }
        arena_reset(&a);
    }
    scan_end(&s);
    arena_free(&a);
}

static void put_checks(struct writer *w, struct register_request req, struct str key)
{
    struct scan s;
    struct arena a = ARENA_INIT;
    scan_begin(&s, w->view, TABLE_CHECKS, BY_KEY, key);
    while (!w->code && scan_next(&s)) {
        struct health_check row;
        if (scan_row(&s, &a, &row)) {
            req.check = &row;
            put(w, COMMAND_REGISTER, &type_register_request, &req);
        }
        arena_reset(&a);
    }
    scan_end(&s);
    arena_free(&a);
}

static void put_nodes(struct writer *w)
{
    struct scan s;
    scan_begin(&s, w->view, TABLE_NODES, BY_KEY, STR_NIL);
    while (!w->code && scan_next(&s)) {
        struct node n;
        if (!scan_row(&s, &w->arena, &n)) break;
        struct register_request req = { .datacenter = n.datacenter,
            .id = n.id,
            .node = n.node,
            .address = n.address,
            .tagged_addresses = n.tagged_addresses,
            .node_meta = n.meta,
            .create_index = n.create_index,
            .modify_index = n.modify_index };
        struct str key = key_of(&w->arena, n.node);
        put(w, COMMAND_REGISTER, &type_register_request, &req);
        put_services(w, req, key);
        put_checks(w, req, key);
        arena_reset(&w->arena);
    }
    scan_end(&s);
}

/* --- tables with a body of their own ---------------------------------------------------------- */

static void put_coordinates(struct writer *w)
{
    struct scan s;
    scan_begin(&s, w->view, TABLE_COORDINATES, BY_KEY, STR_NIL);
    while (!w->code && scan_next(&s)) {
        struct coordinate row;
        if (scan_row(&s, &w->arena, &row)) {
            struct list one = { .v = &row, .n = 1 };
            put(w, COMMAND_COORDINATE, &type_coordinate_list, &one);
        }
        arena_reset(&w->arena);
    }
    scan_end(&s);
}

static void put_federation_states(struct writer *w)
{
    struct scan s;
    scan_begin(&s, w->view, TABLE_FEDERATION_STATES, BY_KEY, STR_NIL);
    while (!w->code && scan_next(&s)) {
        struct federation_state row;
        if (scan_row(&s, &w->arena, &row)) {
            struct federation_state_request req = { .op = STR("upsert"), .state = &row };
            put(w, COMMAND_FEDERATION_STATE, &type_federation_state_request, &req);
        }
        arena_reset(&w->arena);
    }
    scan_end(&s);
}

static void put_index(void *ctx, struct str key, uint64_t value)
{
    struct index_entry e = { .key = key, .value = value };
    put(ctx, COMMAND_INDEX, &type_index_entry, &e);
}

static void put_chunks(struct writer *w)
{
    struct chunking_state st = { 0 };
    chunk_state_get(w->view, &w->arena, &st);
    if (!st.ops.v) st.ops = LIST_EMPTY;
    put(w, COMMAND_CHUNKING_STATE, &type_chunking_state, &st);
}

static void last_index_of(void *ctx, struct str key, uint64_t value)
{
    uint64_t *last = ctx;
    for (size_t i = 0; i < TABLE_COUNT; i++)
        if (str_is(key, state_tables[i]->name) && value > *last) *last = value;
}

static void put_all(struct writer *w)
{
    struct snapshot_header header = { 0 };
    index_each(w->view, last_index_of, &header.last_index);
    msgpack_encode(&type_snapshot_header, &header, &w->out);
    put_nodes(w);
    put_coordinates(w);
    put_table(w, TABLE_SESSIONS, COMMAND_SESSION);
    put_table(w, TABLE_ACL_TOKENS, COMMAND_ACL_TOKEN_SET);
    put_table(w, TABLE_ACL_POLICIES, COMMAND_ACL_POLICY_SET);
    put_table(w, TABLE_ACL_ROLES, COMMAND_ACL_ROLE_SET);
    put_table(w, TABLE_ACL_BINDING_RULES, COMMAND_ACL_BINDING_RULE_SET);
    put_table(w, TABLE_ACL_AUTH_METHODS, COMMAND_ACL_AUTH_METHOD_SET);
    put_table(w, TABLE_KVS, COMMAND_KVS);
    put_table(w, TABLE_TOMBSTONES, COMMAND_TOMBSTONE);
    put_table(w, TABLE_PREPARED_QUERIES, COMMAND_PREPARED_QUERY);
    put_table(w, TABLE_AUTOPILOT, COMMAND_AUTOPILOT);
    put_table(w, TABLE_INTENTIONS, COMMAND_INTENTION);
    put_table(w, TABLE_CA_ROOTS, COMMAND_CONNECT_CA);
    put_table(w, TABLE_CA_BUILTIN, COMMAND_CA_PROVIDER_STATE);
    put_table(w, TABLE_CA_CONFIG, COMMAND_CA_CONFIG);
    put_table(w, TABLE_CONFIG_ENTRIES, COMMAND_CONFIG_ENTRY);
    put_federation_states(w);
    index_each(w->view, put_index, w);
    put_chunks(w);
    flush(w);
}

int snapshot_write(struct store_read *rd, struct snapshot_sink *sink, struct error *err)
{
    struct writer w = { .view = &rd->view, .sink = sink, .err = err, .out = BUF_INIT(RECORD_MAX) };
    put_all(&w);
    buf_deinit(&w.out);
    arena_free(&w.arena);
    if (!w.code && rd->view.code) {
        if (err) *err = rd->view.err;
        return rd->view.code;
    }
    return w.code;
}
