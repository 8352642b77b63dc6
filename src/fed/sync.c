/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/fed/sync.h"

#include <stdlib.h>

bool fed_own_state(struct str datacenter, const struct federation_state *stored,
    const struct list *gateways, struct federation_state *out)
{
    *out = (struct federation_state){ .datacenter = datacenter, .mesh_gateways = *gateways };
    if (!stored || !str_eq(stored->datacenter, datacenter)) return true;
    if (stored->mesh_gateways.n == 0 && gateways->n == 0) return false;
    return !record_equal(&type_check_service_node_list, &stored->mesh_gateways, gateways);
}

/* --- replication ---------------------------------------------------------------------------- */

static int by_datacenter(const void *a, const void *b)
{
    const struct federation_state *x = *(const struct federation_state *const *)a;
    const struct federation_state *y = *(const struct federation_state *const *)b;
    return str_cmp(x->datacenter, y->datacenter);
}

static const struct federation_state **sorted(const struct list *l, struct arena *a)
{
    const struct federation_state **v = arena_array(a, l->n + 1, sizeof(const void *));
    for (size_t i = 0; i < l->n; i++)
        v[i] = &LIST_AT(l, struct federation_state, i);
    if (l->n) qsort(v, l->n, sizeof *v, by_datacenter);
    return v;
}

static bool same(const struct federation_state *local, const struct federation_state *remote)
{
    return local->primary_modify_index == remote->modify_index &&
           record_equal(&type_time, &local->updated_at, &remote->updated_at) &&
           record_equal(
               &type_check_service_node_list, &local->mesh_gateways, &remote->mesh_gateways);
}

static void upsert(struct fed_changes *out, struct arena *a, const struct federation_state *remote)
{
    struct federation_state *s = LIST_PUSH(a, &out->upserts, struct federation_state);
    *s = *remote;
    s->primary_modify_index = remote->modify_index;
}

void fed_changes(const struct list *local, const struct list *remote, uint64_t last_index,
    struct arena *a, struct fed_changes *out)
{
    const struct federation_state **here = sorted(local, a), **there = sorted(remote, a);
    size_t i = 0, k = 0;
    *out = (struct fed_changes){ 0 };
    while (i < local->n || k < remote->n) {
        int order = i == local->n    ? 1
                    : k == remote->n ? -1
                                     : str_cmp(here[i]->datacenter, there[k]->datacenter);
        if (order < 0) {
            *LIST_PUSH(a, &out->deletes, struct federation_state) = *here[i++];
        } else if (order > 0) {
            upsert(out, a, there[k++]);
        } else {
            if (there[k]->modify_index > last_index && !same(here[i], there[k]))
                upsert(out, a, there[k]);
            i++;
            k++;
        }
    }
}

/* --- configuration entries ------------------------------------------------------------------ */

static int entry_order(const struct config_entry *a, const struct config_entry *b)
{
    struct config_entry_ref x = config_entry_ref(a), y = config_entry_ref(b);
    int order = str_cmp(x.kind, y.kind);
    return order ? order : str_cmp(*x.name, *y.name);
}

static int by_entry(const void *a, const void *b)
{
    return entry_order(
        *(const struct config_entry *const *)a, *(const struct config_entry *const *)b);
}

static const struct config_entry **sorted_entries(const struct list *l, struct arena *a, size_t *n)
{
    const struct config_entry **v = arena_array(a, l->n + 1, sizeof(const void *));
    *n = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct config_entry *e = &LIST_AT(l, struct config_entry, i);
        if (config_entry_is_set(e)) v[(*n)++] = e;
    }
    if (*n) qsort(v, *n, sizeof *v, by_entry);
    return v;
}

void fed_entry_changes(
    const struct list *local, const struct list *remote, struct arena *a, struct fed_changes *out)
{
    size_t i = 0, k = 0, here_n, there_n;
    const struct config_entry **here = sorted_entries(local, a, &here_n);
    const struct config_entry **there = sorted_entries(remote, a, &there_n);
    *out = (struct fed_changes){ 0 };
    while (i < here_n || k < there_n) {
        int order = i == here_n ? 1 : k == there_n ? -1 : entry_order(here[i], there[k]);
        if (order < 0) {
            *LIST_PUSH(a, &out->deletes, struct config_entry) = *here[i++];
        } else if (order > 0) {
            *LIST_PUSH(a, &out->upserts, struct config_entry) = *there[k++];
        } else {
            struct config_entry_ref x = config_entry_ref(here[i++]), y = config_entry_ref(there[k]);
            if (!record_equal(x.type, x.entry, y.entry))
                *LIST_PUSH(a, &out->upserts, struct config_entry) = *there[k];
            k++;
        }
    }
}

/* --- intentions ----------------------------------------------------------------------------- */

static struct map by_id(const struct list *l)
{
    struct map m = MAP_INIT;
    for (size_t i = 0; i < l->n; i++) {
        struct intention *x = &LIST_AT(l, struct intention, i);
        (void)map_put(&m, x->id, x);
    }
    return m;
}

void fed_intention_changes(
    const struct list *local, const struct list *remote, struct arena *a, struct fed_changes *out)
{
    struct map here = by_id(local), there = by_id(remote);
    *out = (struct fed_changes){ 0 };
    for (size_t i = 0; i < local->n; i++) {
        const struct intention *x = &LIST_AT(local, struct intention, i);
        if (!map_get(&there, x->id)) *LIST_PUSH(a, &out->deletes, struct intention) = *x;
    }
    for (size_t i = 0; i < remote->n; i++) {
        const struct intention *x = &LIST_AT(remote, struct intention, i);
        const struct intention *have = map_get(&here, x->id);
        if (!have || !record_equal(&type_intention, have, x))
            *LIST_PUSH(a, &out->upserts, struct intention) = *x;
    }
    map_deinit(&here);
    map_deinit(&there);
}

/* --- the rest ------------------------------------------------------------------------------- */

const struct federation_state *fed_prunable(
    const struct list *states, bool (*known)(void *ctx, struct str datacenter), void *ctx)
{
    for (size_t i = 0; i < states->n; i++) {
        const struct federation_state *s = &LIST_AT(states, struct federation_state, i);
        if (!known(ctx, s->datacenter)) return s;
    }
    return NULL;
}

bool fed_supported(const struct fed_support *s)
{
    if (s->states_stored) return true;
    if (s->secondary && (s->primary_servers == 0 || s->primary_able < s->primary_servers))
        return false;
    return s->own_servers > 0 && s->own_able == s->own_servers;
}
