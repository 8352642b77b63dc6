/* SPDX-License-Identifier: Apache-2.0 */
/* The maps of services and checks and what holds for each change of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "central.h"

#define OUTPUT_MAX_DEFAULT 4096
#define OUTPUT_BUFFER_MAX ((size_t)1 << 20)
#define REAP_INTERVAL_MS 30000
#define REAP_MIN_NS (INT64_C(60) * 1000000000)

/* An answer may be followed by a request of the same client that changes something again. */
static void fire_watches(struct local *l)
{
    struct link ready;
    struct link *it;
    link_init(&ready);
    while ((it = link_pop(&l->touched)))
        link_push(&ready, it);
    while ((it = link_pop(&ready))) {
        struct local_watch *w = container_of(it, struct local_watch, link);
        w->fire(w);
    }
}

static void on_tick(struct tick *t)
{
    struct local *l = container_of(t, struct local, tick);
    if (l->files) l->files_told = file_queue_place(l->files);
    alias_update(l, false);
    central_sweep(l, false);
    fire_watches(l);
    sync_kick(l->sync);
}

static void on_reap(struct timer *t);

static void options_copy(struct local *l, const struct local_options *opts)
{
    struct arena *a = &l->arena;
    l->opts = *opts;
    struct str *texts[] = { &l->opts.datacenter, &l->opts.node_name, &l->opts.node_id,
        &l->opts.address, &l->opts.data_dir, &l->opts.default_token, &l->opts.agent_token };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = str_dup(a, *texts[i]);
    record_copy(a, &type_map_str, &l->opts.tagged_addresses, &opts->tagged_addresses);
    record_copy(a, &type_map_str, &l->opts.node_meta, &opts->node_meta);
    if (l->opts.check_output_max <= 0) l->opts.check_output_max = OUTPUT_MAX_DEFAULT;
    if (l->opts.check_reap_interval_ms == 0) l->opts.check_reap_interval_ms = REAP_INTERVAL_MS;
}

int local_create(const struct local_options *opts, struct local **out, struct error *err)
{
    (void)err;
    struct local *l = xcalloc(1, sizeof *l);
    uint64_t seed;
    options_copy(l, opts);
    world_random(opts->world, &seed, sizeof seed);
    prng_seed(&l->prng, seed);
    for (size_t i = 0; i < WATCH_BUCKETS; i++)
        link_init(&l->watches[i]);
    link_init(&l->unsynced_services);
    link_init(&l->unsynced_checks);
    link_init(&l->touched_groups);
    link_init(&l->aliases);
    link_init(&l->touched);
    link_init(&l->scripts_waiting);
    link_init(&l->registrations);
    tick_init(&l->tick, opts->world, on_tick);
    timer_init(&l->reap, opts->world, on_reap);
    if (l->opts.data_dir.n) l->files = file_queue_create(opts->world);
    l->sync = sync_create(l);
    *out = l;
    return 0;
}

void local_start(struct local *l)
{
    timer_start(&l->reap, l->opts.check_reap_interval_ms);
    sync_start(l->sync);
}

static void forget_everything(struct local *l)
{
    void *value;
    while (link_pop(&l->scripts_waiting)) /* none begins any more */
        ;
    for (size_t it = 0; map_next(&l->checks, &it, NULL, &value);)
        local__check_forget(l, value);
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);)
        local__service_forget(l, value);
}

void local_destroy(struct local *l)
{
    if (!l) return;
    timer_stop(&l->reap);
    sync_destroy(l->sync);
    for (struct link *it; (it = link_pop(&l->registrations));)
        local_registration_cancel(container_of(it, struct local_registration, link));
    central_sweep(l, true);
    forget_everything(l);
    tick_cancel(&l->tick);
    for (size_t i = 0; i < WATCH_BUCKETS; i++) {
        link_each (it, &l->watches[i]) {
            link_remove(it);
        }
    }
    link_each (it, &l->touched) {
        link_remove(it);
    }
    file_queue_destroy(l->files);
    map_deinit(&l->services);
    map_deinit(&l->checks);
    map_deinit(&l->groups);
    map_deinit(&l->centrals);
    free(l->order);
    arena_free(&l->arena);
    free(l);
}

void local_changed(struct local *l)
{
    tick_mark(&l->tick);
}

/* --- watches -------------------------------------------------------------------------------- */

static struct link *bucket(struct local *l, struct str id)
{
    return &l->watches[hash_bytes(id.p, id.n) % WATCH_BUCKETS];
}

void local_watch_add(struct local *l, struct local_watch *w)
{
    link_push(bucket(l, w->id), &w->link);
}

void local_watch_cancel(struct local_watch *w)
{
    link_remove(&w->link);
}

void local_fire(struct local *l, struct str id)
{
    link_each (it, bucket(l, id)) {
        struct local_watch *w = container_of(it, struct local_watch, link);
        if (!str_eq(w->id, id)) continue;
        link_remove(&w->link);
        link_push(&l->touched, &w->link);
        tick_mark(&l->tick);
    }
}

void local_observe(struct local *l, void (*touched)(void *ctx, struct str service_id), void *ctx)
{
    l->observer = touched;
    l->observer_ctx = ctx;
}

void local__touched(struct local *l, struct str service_id)
{
    if (l->observer) l->observer(l->observer_ctx, service_id);
}

/* --- services ------------------------------------------------------------------------------- */

struct local_service *local__service(struct local *l, struct str id)
{
    struct local_service *s = map_get(&l->services, id);
    return s && !s->deleted && !s->stale ? s : NULL;
}

const struct node_service *local_service_get(struct local *l, struct str id)
{
    struct local_service *s = local__service(l, id);
    return s ? &s->svc : NULL;
}

struct str local_service_token(struct local *l, struct str id)
{
    const struct local_service *s = local__service(l, id);
    if (!s) return STR_NIL;
    return s->token.n ? s->token : l->opts.default_token;
}

void local__service_forget(struct local *l, struct local_service *s)
{
    link_remove(&s->unsynced);
    l->exposing_n -= s->exposes;
    map_remove(&l->services, s->svc.id);
    arena_free(&s->arena);
    free(s);
}

/* Entries live long: no more room than they need. */
static void room_make(struct local_service *s, const struct node_service *svc, struct str token)
{
    struct arena a = ARENA_INIT;
    struct node_service copy;
    record_copy(&a, &type_node_service, &copy, svc);
    str_dup(&a, token);
    arena_reserve(&s->arena, a.used);
    arena_free(&a);
}

static void entry_fill(struct local *l, struct local_service *s, const struct node_service *svc,
    struct str token, enum local_source source)
{
    link_init(&s->unsynced);
    room_make(s, svc, token);
    record_copy(&s->arena, &type_node_service, &s->own, svc);
    s->svc = s->own;
    if (l->opts.central_config && central_applies(svc)) {
        bool given = l->initial && str_eq(l->initial_id, svc->id);
        const struct service_config_response *defaults =
            central_watch(l, svc, token, given ? l->initial : NULL);
        if (defaults) central_merge(&s->arena, &s->own, defaults, &s->svc);
    }
    s->token = str_dup(&s->arena, token);
    s->source = source;
    s->exposes = str_is(s->svc.kind, "connect-proxy") && s->svc.proxy.expose.checks;
}

static bool same_entry(const struct local_service *a, const struct local_service *b)
{
    return a->source == b->source && str_eq(a->token, b->token) &&
           record_equal(&type_node_service, &a->own, &b->own) &&
           a->own.locally_registered_as_sidecar == b->own.locally_registered_as_sidecar;
}

static void entry_free(struct local_service *s)
{
    arena_free(&s->arena);
    free(s);
}

struct local_service *local__service_put(
    struct local *l, const struct node_service *svc, struct str token, enum local_source source)
{
    struct local_service *old = map_get(&l->services, svc->id);
    struct local_service *s = xcalloc(1, sizeof *s);
    entry_fill(l, s, svc, token, source);
    bool shown = old && !old->deleted;
    bool same = shown && record_equal(&type_node_service, &old->svc, &s->svc);
    if (same && same_entry(old, s)) {
        entry_free(s);
        old->stale = false;
        return old;
    }
    s->version = !old ? 1 : same ? old->version : old->version + 1;
    /* an identical registration costs nothing at the servers */
    bool in_sync = same && old->in_sync && str_eq(old->token, token);
    if (old) local__service_forget(l, old);
    map_put(&l->services, s->svc.id, s);
    l->exposing_n += s->exposes;
    local__service_mark(l, s, in_sync);
    if (!same) {
        local_fire(l, s->svc.id);
        alias_touch(l, s->svc.id);
    }
    local__touched(l, s->svc.id);
    local_changed(l);
    return s;
}

void local__service_drop(struct local *l, struct local_service *s)
{
    s->deleted = true;
    s->stale = false;
    s->version++;
    local__service_mark(l, s, false);
    local_fire(l, s->svc.id);
    alias_touch(l, s->svc.id);
    local__touched(l, s->svc.id);
    local_changed(l);
}

/* --- iteration ------------------------------------------------------------------------------ */

static int by_bytes(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void order_build(struct local *l, const struct map *m)
{
    if (l->order_cap < m->n) {
        l->order_cap = m->n * 2;
        l->order = xrealloc(l->order, l->order_cap * sizeof *l->order);
    }
    l->order_n = 0;
    struct str key;
    for (size_t it = 0; map_next(m, &it, &key, NULL);)
        l->order[l->order_n++] = key;
    if (l->order_n) qsort(l->order, l->order_n, sizeof *l->order, by_bytes);
}

const struct node_service *local_service_next(struct local *l, size_t *it)
{
    if (*it == 0) order_build(l, &l->services);
    while (*it < l->order_n) {
        struct local_service *s = local__service(l, l->order[(*it)++]);
        if (s) return &s->svc;
    }
    return NULL;
}

const struct health_check *local_check_next(struct local *l, size_t *it)
{
    if (*it == 0) order_build(l, &l->checks);
    while (*it < l->order_n) {
        struct local_check *c = local__check(l, l->order[(*it)++]);
        if (c) return &c->check;
    }
    return NULL;
}

struct local_counts local_count(const struct local *l)
{
    struct local_counts n = { 0 };
    void *value;
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);)
        n.services += !((struct local_service *)value)->deleted;
    for (size_t it = 0; map_next(&l->checks, &it, NULL, &value);) {
        const struct local_check *c = value;
        if (c->deleted) continue;
        n.checks++;
        n.ttl_checks += c->kind == &check_kind_ttl;
        n.monitors += str_is(c->check.type, "script");
    }
    return n;
}

/* --- reaping -------------------------------------------------------------------------------- */

static bool overdue(const struct local *l, const struct local_check *c)
{
    int64_t after = c->type.deregister_critical_service_after;
    if (c->deleted || !c->has_type || after <= 0 || c->check.service_id.n == 0) return false;
    if (c->critical_since_ms == 0) return false;
    if (after < REAP_MIN_NS) after = REAP_MIN_NS;
    uint64_t since = world_now_ms(l->opts.world) - c->critical_since_ms;
    return since > (uint64_t)(after / 1000000);
}

static void on_reap(struct timer *t)
{
    struct local *l = container_of(t, struct local, reap);
    struct arena a = ARENA_INIT;
    struct list due = { 0 };
    void *value;
    for (size_t it = 0; map_next(&l->checks, &it, NULL, &value);) {
        const struct local_check *c = value;
        if (overdue(l, c)) *LIST_PUSH(&a, &due, struct str) = str_dup(&a, c->check.service_id);
    }
    for (size_t i = 0; i < due.n; i++) {
        struct str id = LIST_AT(&due, struct str, i);
        if (local_service_deregister(l, id) == 0) {
            log_info("agent",
                "Check for service has been critical for too long; deregistered service", "service",
                str_c(&a, id));
        }
    }
    arena_free(&a);
    alias_update(l, true);
    timer_start(&l->reap, l->opts.check_reap_interval_ms);
}

/* --- syncing -------------------------------------------------------------------------------- */

void local_push(struct local *l, struct local_push *p)
{
    sync_push(l->sync, p);
}
void local_push_cancel(struct local_push *p)
{
    link_remove(&p->link);
    file_wait_cancel(&p->files);
}
void local_sync_full(struct local *l, uint64_t spread_ms)
{
    sync_full(l->sync, spread_ms);
}
void local_retire(struct local *l, void (*done)(void *ctx), void *ctx)
{
    sync_retire(l->sync, done, ctx);
}
