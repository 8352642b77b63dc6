/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration entries of the primary (leader.md 11.2). */
#include "consuld/fed/sync.h"
#include "replicator.h"
#include "server.h"

static void add(
    struct server *s, struct arena *a, const char *op, const struct list *entries, struct list *out)
{
    for (size_t i = 0; i < entries->n; i++) {
        struct config_entry_request *req = arena_new(a, struct config_entry_request);
        req->op = str_of(op);
        req->datacenter = s->opts.datacenter;
        req->entry = LIST_AT(entries, struct config_entry, i);
        *LIST_PUSH(a, out, struct replicated) = (struct replicated){ COMMAND_CONFIG_ENTRY, req };
    }
}

static int diff(struct server *s, struct store_read *rd, const void *reply, uint64_t last_index,
    struct arena *a, struct list *out)
{
    const struct indexed_generic_config_entries *remote = reply;
    struct list local = { 0 };
    struct fed_changes c;
    (void)last_index; /* contents are compared */
    store_config_entries(rd, NULL, STR_NIL, a, &local);
    fed_entry_changes(&local, &remote->entries, a, &c);
    add(s, a, "delete", &c.deletes, out);
    add(s, a, "upsert", &c.upserts, out);
    return 0;
}

const struct replication_kind server__config_kind = { .name = "config entry",
    .plural = "config entries",
    .label = "config_entry_replication",
    .method = "ConfigEntry.ListAll",
    .diff = diff };
