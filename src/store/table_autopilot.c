/* SPDX-License-Identifier: Apache-2.0 */
/* The one autopilot configuration (fsm.md 10). It has no index entry: its own indexes serve. */
#include "commands.h"
#include "consuld/store/tables.h"

#define ENTRY STR("autopilot-config")

static void autopilot_key(const void *row, struct buf *key)
{
    (void)row;
    key_exact(key, STR("config"));
}

const struct table table_autopilot = {
    .name = "autopilot-config",
    .type = &type_autopilot_config,
    .key = autopilot_key,
};

static bool autopilot_find(struct view *v, struct arena *a, struct autopilot_config *out)
{
    return table_get(v, TABLE_AUTOPILOT, key_of_exact(a, STR("config")), a, out);
}

APPLY_FN(autopilot)
{
    const struct autopilot_set_config_request *req = body;
    struct autopilot_config row = req->config, old;
    bool found = autopilot_find(&b->view, a, &old);
    (void)err;
    if (req->cas) {
        res->kind = RESULT_BOOL;
        res->ok = found && old.modify_index == req->config.modify_index;
        if (!res->ok) return 0;
    }
    row.create_index = found ? old.create_index : index;
    row.modify_index = index;
    table_put(b, TABLE_AUTOPILOT, found ? &old : NULL, &row);
    touch_entry(b, ENTRY);
    return 0;
}

uint64_t store_autopilot(
    struct store_read *rd, struct watch_set *ws, struct arena *a, struct autopilot_config **out)
{
    struct autopilot_config row;
    watch_entry(ws, ENTRY);
    *out = NULL;
    if (!autopilot_find(&rd->view, a, &row)) return 1;
    *out = arena_copy(a, &row, sizeof row);
    return index_report(row.modify_index);
}
