/* SPDX-License-Identifier: Apache-2.0 */
/* The proxies of this agent: each follows its plan, and its snapshots go to who watches it. */
#include <stdlib.h>
#include <string.h>

#include "consuld/agent/cache.h"
#include "consuld/agent/local.h"
#include "consuld/wire/json.h"
#include "proxy.h"

struct proxy {
    struct proxies *all;
    struct link link;
    struct link unplanned; /* of all->unplanned: its plan may have changed */
    struct arena arena;    /* of service and token */
    struct node_service service;
    struct str token;
    struct map watches; /* ID -> struct proxy_subscription */
    uint64_t round;     /* of planning */
    bool full;          /* said that it is */
    bool changed;       /* since its watchers were told */
    struct timer push;
};

struct proxies {
    struct proxies_options opts;
    struct arena arena;
    struct error err;  /* of calls */
    size_t failing;    /* watches */
    struct error told; /* the last failure said */
    struct map map;    /* service ID -> struct proxy */
    struct link list;
    struct link unplanned;
    struct link watchers;
    struct map touched; /* IDs of services that changed in this turn */
    struct tick tick;
};

const struct proxies_options *proxies__options(const struct proxies *all)
{
    return &all->opts;
}

struct error *proxies__error(struct proxies *all)
{
    return &all->err;
}

/* Lost servers make all watches fail at once, and alike. */
void proxy__failing(struct proxy_subscription *s, const struct error *err)
{
    struct proxies *all = s->all;
    if (all->failing++ && strcmp(all->told.text, err->text) == 0) return;
    all->told = *err;
    log_warn("agent.proxycfg", "watch error", "service_id", s->proxy->service.id.p, "id", s->id.p,
        "error", err->text);
}

void proxy__fine(struct proxy_subscription *s)
{
    ensure(s->all->failing > 0);
    s->all->failing--;
}

/* --- views ----------------------------------------------------------------------------------- */

struct proxy_view *proxy_view_ref(struct proxy_view *v)
{
    ensure(v->refs > 0);
    v->refs++;
    return v;
}

void proxy_view_unref(struct proxy_view *v)
{
    if (!v || --v->refs) return;
    for (size_t i = 0; i < v->replies.n; i++)
        rpc_reply_unref(LIST_AT(&v->replies, struct rpc_reply *, i));
    struct arena a = v->arena;
    arena_free(&a);
}

static void *known_value(void *ctx, struct str id)
{
    const struct proxy *p = ctx;
    const struct proxy_subscription *s = map_get(&p->watches, id);
    return s && s->value ? s->value->record : NULL;
}

static void plan(struct proxy *p, struct arena *a, bool hide_keys, struct proxy_plan *out)
{
    const struct proxies_options *o = &p->all->opts;
    *out = (struct proxy_plan){ .arena = a,
        .service = &p->service,
        .token = p->token,
        .datacenter = o->datacenter,
        .node_name = o->node_name,
        .domain = o->domain,
        .alt_domain = o->alt_domain,
        .value = known_value,
        .ctx = p,
        .hide_keys = hide_keys };
    proxy_plan_make(out);
}

static struct proxy_view *view_create(struct proxy *p)
{
    struct arena a = ARENA_INIT;
    struct proxy_plan made;
    struct proxy_view *v = arena_new(&a, struct proxy_view);
    void *value;
    plan(p, &a, false, &made);
    v->snapshot = made.snapshot;
    v->refs = 1;
    /* the registration may go before the view */
    record_copy(&a, &type_node_service, &v->snapshot.service, &p->service);
    for (size_t it = 0; map_next(&p->watches, &it, NULL, &value);) {
        struct proxy_subscription *s = value;
        if (s->value) *LIST_PUSH(&a, &v->replies, struct rpc_reply *) = rpc_reply_ref(s->value);
    }
    v->arena = a;
    return v;
}

static bool watched(const struct proxy *p)
{
    link_each (it, &p->all->watchers)
        if (str_eq(container_of(it, struct proxy_watcher, link)->id, p->service.id)) return true;
    return false;
}

static void push(struct timer *t)
{
    struct proxy *p = container_of(t, struct proxy, push);
    struct proxy_view *v = view_create(p);
    bool changed = p->changed;
    p->changed = false;
    struct link told;
    link_init(&told);
    /* Each watcher once, whatever those before it add or cancel. */
    for (struct link *it; v->snapshot.valid && (it = link_pop(&p->all->watchers));) {
        struct proxy_watcher *w = container_of(it, struct proxy_watcher, link);
        link_push(&told, it);
        if (!str_eq(w->id, v->snapshot.service.id) || (w->told && !changed)) continue;
        w->told = true;
        w->changed(w, v);
    }
    for (struct link *it; (it = link_pop(&told));)
        link_push(&p->all->watchers, it);
    proxy_view_unref(v);
}

static void changed(struct proxy *p)
{
    p->changed = true;
    if (!timer_active(&p->push) && watched(p)) timer_start(&p->push, PROXY_PUSH_MS);
}

void proxy_watch(struct proxies *all, struct proxy_watcher *w)
{
    struct proxy *p = map_get(&all->map, w->id);
    w->told = false;
    link_init(&w->link);
    link_push(&all->watchers, &w->link);
    if (p && !timer_active(&p->push)) timer_start(&p->push, 0);
}

void proxy_watcher_cancel(struct proxy_watcher *w)
{
    link_remove(&w->link);
}

/* --- following the plan ---------------------------------------------------------------------- */

static void unplan(struct proxy *p)
{
    link_remove(&p->unplanned);
    link_push(&p->all->unplanned, &p->unplanned);
    tick_mark(&p->all->tick);
}

void proxy__value(struct proxy_subscription *s)
{
    if (proxy_parts[s->part].shapes) unplan(s->proxy);
    changed(s->proxy);
}

/* What is known stays until there is something better. */
static void renew(struct proxy *p, struct proxy_subscription *old, const struct proxy_want *w)
{
    struct rpc_reply *kept = old->value ? rpc_reply_ref(old->value) : NULL;
    map_remove(&p->watches, old->id);
    proxy__unsubscribe(old);
    struct proxy_subscription *s = proxy__subscribe(p->all, p, p->token, w);
    map_put(&p->watches, s->id, s);
    if (s->value)
        rpc_reply_unref(kept);
    else
        s->value = kept;
    s->round = p->round;
}

static void follow(struct proxy *p, const struct proxy_want *w)
{
    struct proxy_subscription *s = map_get(&p->watches, w->id);
    if (!s) {
        s = proxy__subscribe(p->all, p, p->token, w);
        map_put(&p->watches, s->id, s);
    } else if (!record_equal(proxy_part_args(w->part), s->args, w->args)) {
        renew(p, s, w);
        return;
    }
    s->round = p->round;
}

static void replan(struct proxy *p)
{
    struct arena a = ARENA_INIT;
    struct proxy_plan made;
    void *value;
    plan(p, &a, true, &made);
    p->round++;
    for (size_t i = 0; i < made.wants.n; i++)
        follow(p, &LIST_AT(&made.wants, struct proxy_want, i));
    for (size_t it = 0; map_next(&p->watches, &it, NULL, &value);) {
        struct proxy_subscription *s = value;
        if (s->round == p->round) continue;
        map_remove(&p->watches, s->id);
        proxy__unsubscribe(s);
    }
    if (made.full && !p->full)
        log_error("agent.proxycfg", "a proxy needs more than can be watched", "service",
            str_c(&a, p->service.id));
    p->full = made.full;
    arena_free(&a);
}

/* --- registrations --------------------------------------------------------------------------- */

static void destroy(struct proxy *p)
{
    void *value;
    for (size_t it = 0; map_next(&p->watches, &it, NULL, &value);)
        proxy__unsubscribe(value);
    map_deinit(&p->watches);
    timer_stop(&p->push);
    link_remove(&p->unplanned);
    link_remove(&p->link);
    map_remove(&p->all->map, p->service.id);
    arena_free(&p->arena);
    free(p);
}

static struct proxy *create(struct proxies *all, struct str id)
{
    struct proxy *p = xcalloc(1, sizeof *p);
    p->all = all;
    link_init(&p->unplanned);
    link_init(&p->link);
    link_push(&all->list, &p->link);
    timer_init(&p->push, all->opts.world, push);
    map_put(&all->map, id, p);
    return p;
}

static void keep_registration(struct proxy *p, const struct node_service *s, struct str token)
{
    struct arena measure = ARENA_INIT, a = ARENA_INIT;
    struct node_service copy;
    record_copy(&measure, &type_node_service, &copy, s);
    arena_reserve(&a, measure.used + token.n + 64);
    arena_free(&measure);
    record_copy(&a, &type_node_service, &p->service, s);
    p->token = str_dup(&a, token);
    arena_free(&p->arena);
    p->arena = a;
}

/* As the local state has it now. What another token may see is another matter altogether. */
static void registered(struct proxies *all, struct str id)
{
    const struct node_service *s = local_service_get(all->opts.local, id);
    struct str token = local_service_token(all->opts.local, id);
    struct proxy *p = map_get(&all->map, id);
    bool stays = s && proxy_kind_known(s->kind);
    if (p && (!stays || !str_eq(p->service.kind, s->kind) || !str_eq(p->token, token))) {
        destroy(p);
        p = NULL;
    }
    if (!stays || (p && record_equal(&type_node_service, &p->service, s))) return;
    if (!p) p = create(all, id);
    keep_registration(p, s, token);
    unplan(p);
    changed(p);
}

static void read_checks(struct proxies *all, struct str service_id)
{
    link_each (it, &all->list) {
        struct proxy *p = container_of(it, struct proxy, link);
        if (!str_eq(p->service.proxy.destination_service_id, service_id)) continue;
        void *value;
        for (size_t at = 0; map_next(&p->watches, &at, NULL, &value);) {
            struct proxy_subscription *s = value;
            if (s->part == PROXY_CHECKS) proxy__checks_read(s);
        }
    }
}

static void on_tick(struct tick *t)
{
    struct proxies *all = container_of(t, struct proxies, tick);
    struct map touched = all->touched;
    struct str id;
    all->touched = (struct map)MAP_INIT;
    for (size_t it = 0; map_next(&touched, &it, &id, NULL);) {
        registered(all, id);
        read_checks(all, id);
    }
    map_deinit(&touched);
    for (struct link *it; (it = link_pop(&all->unplanned));)
        replan(container_of(it, struct proxy, unplanned));
}

static void touched(void *ctx, struct str service_id)
{
    struct proxies *all = ctx;
    map_put(&all->touched, service_id, all);
    tick_mark(&all->tick);
}

/* --- life ------------------------------------------------------------------------------------ */

struct proxies *proxies_create(const struct proxies_options *o)
{
    struct proxies *all = xcalloc(1, sizeof *all);
    const struct node_service *s;
    all->opts = *o;
    struct str *texts[] = { &all->opts.datacenter, &all->opts.node_name, &all->opts.domain,
        &all->opts.alt_domain };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = str_dup(&all->arena, *texts[i]);
    link_init(&all->list);
    link_init(&all->unplanned);
    link_init(&all->watchers);
    tick_init(&all->tick, o->world, on_tick);
    for (size_t it = 0; (s = local_service_next(o->local, &it));)
        if (proxy_kind_known(s->kind)) touched(all, s->id);
    local_observe(o->local, touched, all);
    return all;
}

void proxies_destroy(struct proxies *all)
{
    if (!all) return;
    local_observe(all->opts.local, NULL, NULL);
    link_each (it, &all->list)
        destroy(container_of(it, struct proxy, link));
    while (link_pop(&all->watchers))
        ;
    tick_cancel(&all->tick);
    map_deinit(&all->map);
    map_deinit(&all->touched);
    arena_free(&all->arena);
    free(all);
}

/* --- dump ------------------------------------------------------------------------------------ */

static void dump_watch(struct json_writer *w, const struct proxy_subscription *s)
{
    json_object(w);
    json_key(w, "ID");
    json_str(w, s->id);
    json_key(w, "Known");
    json_bool(w, s->value != NULL);
    json_key(w, "Index");
    json_u64(w, s->index);
    json_key(w, "Failures");
    json_u64(w, s->failures);
    json_object_end(w);
}

void proxies_dump(struct proxies *all, struct json_writer *w)
{
    json_array(w);
    link_each (it, &all->list) {
        struct proxy *p = container_of(it, struct proxy, link);
        struct arena a = ARENA_INIT;
        struct proxy_plan made;
        void *value;
        plan(p, &a, true, &made);
        json_object(w);
        json_key(w, "Watches");
        json_array(w);
        for (size_t at = 0; map_next(&p->watches, &at, NULL, &value);)
            dump_watch(w, value);
        json_array_end(w);
        json_key(w, "Snapshot");
        json_obj(w, &type_proxy_snapshot, &made.snapshot);
        json_object_end(w);
        arena_free(&a);
    }
    json_array_end(w);
}
