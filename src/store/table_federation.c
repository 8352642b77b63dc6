/* SPDX-License-Identifier: Apache-2.0 */
/* Federation states: the mesh gateways of each datacenter (fsm.md 10). */
#include "commands.h"
#include "consuld/store/tables.h"

#define INDEX STR("federation-states")

static void federation_key(const void *row, struct buf *key)
{
    key_lower(key, ((const struct federation_state *)row)->datacenter);
}

const struct table table_federation_states = {
    .name = "federation-states",
    .type = &type_federation_state,
    .key = federation_key,
};

static bool federation_find(
    struct view *v, struct str datacenter, struct arena *a, struct federation_state *out)
{
    return table_get(v, TABLE_FEDERATION_STATES, key_of(a, datacenter), a, out);
}

/* What readers of one record wait for. */
static struct str record_name(struct arena *a, struct str datacenter)
{
    return index_name(a, "federation-states.", datacenter);
}

static void changed(struct store_batch *b, uint64_t index, struct str datacenter, struct arena *a)
{
    index_set(b, INDEX, index);
    touch_entry(b, record_name(a, datacenter));
}

static void upsert(
    struct store_batch *b, uint64_t index, const struct federation_state *state, struct arena *a)
{
    struct federation_state row = *state, old;
    bool found = federation_find(&b->view, state->datacenter, a, &old);
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    if (row.primary_modify_index == 0) row.primary_modify_index = index;
    table_put(b, TABLE_FEDERATION_STATES, found ? &old : NULL, &row);
    changed(b, index, state->datacenter, a);
}

APPLY_FN(federation_state)
{
    const struct federation_state_request *req = body;
    struct federation_state old;
    if (str_is(req->op, "upsert")) {
        if (!req->state || req->state->datacenter.n == 0)
            return error_set(err, ERR_BAD_REQUEST, "missing datacenter on federation state");
        upsert(b, index, req->state, a);
        res->kind = RESULT_BOOL;
        res->ok = true;
        return 0;
    }
    if (!str_is(req->op, "delete"))
        return error_set(err, ERR_BAD_REQUEST, "invalid federation state operation type: %.*s",
            STR_ARG(req->op));
    if (!req->state || !federation_find(&b->view, req->state->datacenter, a, &old)) return 0;
    table_delete(b, TABLE_FEDERATION_STATES, &old);
    changed(b, index, old.datacenter, a);
    return 0;
}

uint64_t store_federation_states(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct list *out)
{
    table_list(&rd->view, TABLE_FEDERATION_STATES, BY_KEY, STR_NIL, a, out);
    return index_report(index_watch(rd, ws, INDEX));
}

uint64_t store_federation_state(struct store_read *rd, struct watch_set *ws, struct str datacenter,
    struct arena *a, struct federation_state **out)
{
    struct federation_state row;
    *out = NULL;
    if (federation_find(&rd->view, datacenter, a, &row)) *out = arena_copy(a, &row, sizeof row);
    watch_entry(ws, record_name(a, datacenter));
    return index_report(index_get(&rd->view, INDEX));
}
