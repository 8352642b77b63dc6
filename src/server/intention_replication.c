/* SPDX-License-Identifier: Apache-2.0 */
/* Intentions of the primary (leader.md 11.4). */
#include "consuld/fed/sync.h"
#include "replicator.h"
#include "server.h"

static void add(
    struct server *s, struct arena *a, const char *op, const struct intention *x, struct list *out)
{
    struct intention_request *req = arena_new(a, struct intention_request);
    req->datacenter = s->opts.datacenter;
    req->op = str_of(op);
    req->intention = arena_copy(a, x, sizeof *x);
    *LIST_PUSH(a, out, struct replicated) = (struct replicated){ COMMAND_INTENTION, req };
}

static int diff(struct server *s, struct store_read *rd, const void *reply, uint64_t last_index,
    struct arena *a, struct list *out)
{
    const struct indexed_intentions *remote = reply;
    struct list local = { 0 };
    struct fed_changes c;
    (void)last_index; /* contents are compared */
    store_intentions(rd, NULL, a, &local);
    fed_intention_changes(&local, &remote->intentions, a, &c);
    for (size_t i = 0; i < c.deletes.n; i++)
        add(s, a, "delete", &LIST_AT(&c.deletes, struct intention, i), out);
    for (size_t i = 0; i < c.upserts.n; i++) {
        const struct intention *x = &LIST_AT(&c.upserts, struct intention, i);
        struct intention *have = NULL;
        store_intention(rd, NULL, x->id, a, &have);
        add(s, a, have ? "update" : "create", x, out);
    }
    return 0;
}

const struct replication_kind server__intention_kind = { .name = "intention",
    .plural = "intentions",
    .label = "intention_replication",
    .method = "Intention.List",
    .from_leader = true,
    .diff = diff };
