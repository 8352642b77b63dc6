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

/* --- entries that contradict each other ------------------------------------------------------- */

/* Services, lower-cased. */
struct names {
    struct arena *a;
    struct map all;
};

static void put_name(void *ctx, struct str service)
{
    struct names *names = ctx;
    (void)map_put(&names->all, str_lower(names->a, service), names);
}

struct looking {
    const struct names *names;
    bool found;
};

static void look(void *ctx, struct str service)
{
    struct looking *l = ctx;
    if (map_get(&l->names->all, str_lower(l->names->a, service))) l->found = true;
}

static bool concerns(const struct config_entry *e, const struct names *names)
{
    struct looking l = { .names = names };
    look(&l, *config_entry_ref(e).name);
    store_config_services(e, look, &l);
    return l.found;
}

static bool leads_on(const struct config_entry *e)
{
    return e->service_router || e->service_splitter || e->service_resolver || e->ingress_gateway;
}

/* Takes away what leads to a service of the stuck ones, or on from there: two services change their
 * protocol and a splitter binds them, so neither can be first. */
static void make_way(struct server *s, struct store_read *rd, const struct list *stuck,
    struct arena *a, struct list *out)
{
    struct names names = { .a = a };
    struct list local = { 0 }, taken = { 0 };
    bool all = false;
    for (size_t i = 0; i < stuck->n; i++) {
        const struct config_entry_request *req = LIST_AT(stuck, struct replicated, i).body;
        all = all || req->entry.proxy_defaults;
        put_name(&names, *config_entry_ref(&req->entry).name);
        store_config_services(&req->entry, put_name, &names);
    }
    store_config_entries(rd, NULL, STR_NIL, a, &local);
    for (size_t before = SIZE_MAX; before != taken.n;) {
        before = taken.n;
        for (size_t i = 0; i < local.n; i++) {
            struct config_entry *e = &LIST_AT(&local, struct config_entry, i);
            if (!leads_on(e) || (!all && !concerns(e, &names))) continue;
            put_name(&names, *config_entry_ref(e).name);
            store_config_services(e, put_name, &names);
            *LIST_PUSH(a, &taken, struct config_entry) = *e;
            *e = LIST_AT(&local, struct config_entry, --local.n);
            i--;
        }
    }
    map_deinit(&names.all);
    add(s, a, "delete", &taken, out);
}

const struct replication_kind server__config_kind = { .name = "config entry",
    .plural = "config entries",
    .label = "config_entry_replication",
    .method = "ConfigEntry.ListAll",
    .diff = diff,
    .make_way = make_way };
