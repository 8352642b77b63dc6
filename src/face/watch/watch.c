/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <stdlib.h>

#include "consuld/face/api.h"
#include "watch_form.h"
#include "watch_handler.h"

#define RETRY_FIRST_MS 5000
#define RETRY_MAX_MS 180000

struct plan;

/* One type of watch: its procedure, what it asks and what it shows. */
struct watch_type {
    const char *name;
    const char *(*ask)(struct plan *p, void **args); /* method's name; NULL: events */
    struct str (*show)(struct plan *p, const void *record);
};

struct watches {
    struct watches_options o;
    struct arena arena;
    struct link plans;
};

struct plan {
    struct link link;
    struct watches *all;
    struct arena arena;
    struct value config;
    struct str text; /* of config, to tell it from others */
    const struct watch_type *type;
    uint64_t index;
    unsigned faults;
    bool seen, kept;
    struct buf last; /* data as the handler got them */
    struct arena turn;
    struct rpc_call call;
    struct error err;
    bool calling;
    struct timer timer;
    struct user_event_wait wait;
    struct watch_handler handler;
};

/* --- parameters ------------------------------------------------------------------------------- */

static struct str text_of(const struct plan *p, const char *key)
{
    const struct value *v = value_get(&p->config, str_of(key));
    return v && v->kind == V_STR ? v->s : STR("");
}

/* Booleans may be written as texts. */
static bool bool_of(const struct plan *p, const char *key)
{
    const struct value *v = value_get(&p->config, str_of(key));
    if (v && v->kind == V_STR) return str_is(v->s, "true") || str_is(v->s, "1");
    return v && v->kind == V_BOOL && v->b;
}

static struct api_query query_of(const struct plan *p)
{
    struct str datacenter = text_of(p, "datacenter"), token = text_of(p, "token");
    return (struct api_query){ .datacenter = datacenter.n ? datacenter : p->all->o.datacenter,
        .token = token.n ? token : p->all->o.token,
        .min_query_index = p->index,
        .allow_stale = bool_of(p, "stale"),
        .filter = text_of(p, "filter") };
}

#define ARGS(p, type, q) \
    struct type *args = arena_new(&(p)->turn, struct type); \
    struct api_query q = query_of(p); \
    args->datacenter = q.datacenter; \
    api_query_fill(args, &q); \
    *out = args

/* --- types ------------------------------------------------------------------------------------ */

static const char *ask_key(struct plan *p, void **out)
{
    ARGS(p, key_request, q);
    args->key = text_of(p, "key");
    return "KVS.Get";
}

static struct str show_key(struct plan *p, const void *record)
{
    return watch_pairs(&p->turn, &((const struct indexed_dir_entries *)record)->entries, true);
}

static const char *ask_prefix(struct plan *p, void **out)
{
    ARGS(p, key_request, q);
    args->key = text_of(p, "prefix");
    return "KVS.List";
}

static struct str show_prefix(struct plan *p, const void *record)
{
    return watch_pairs(&p->turn, &((const struct indexed_dir_entries *)record)->entries, false);
}

static const char *ask_services(struct plan *p, void **out)
{
    ARGS(p, dc_specific_request, q);
    return "Catalog.ListServices";
}

static struct str show_services(struct plan *p, const void *record)
{
    return watch_plain(
        &p->turn, &type_map_list_str, &((const struct indexed_services *)record)->services);
}

static const char *ask_nodes(struct plan *p, void **out)
{
    ARGS(p, dc_specific_request, q);
    return "Catalog.ListNodes";
}

static struct str show_nodes(struct plan *p, const void *record)
{
    return watch_plain(&p->turn, &type_node_list, &((const struct indexed_nodes *)record)->nodes);
}

static void put_tags(struct plan *p, struct service_specific_request *args)
{
    const struct value *tags = value_get(&p->config, STR("tag"));
    for (size_t i = 0; tags && i < (tags->kind == V_LIST ? tags->list.n : 1); i++) {
        const struct value *tag = tags->kind == V_LIST ? &tags->list.v[i] : tags;
        if (tag->kind != V_STR || tag->s.n == 0) continue;
        *LIST_PUSH(&p->turn, &args->service_tags, struct str) = tag->s;
        args->tag_filter = true;
    }
}

static const char *ask_service(struct plan *p, void **out)
{
    ARGS(p, service_specific_request, q);
    args->service_name = text_of(p, "service");
    put_tags(p, args);
    return "Health.ServiceNodes";
}

static struct str show_service(struct plan *p, const void *record)
{
    return watch_entries(&p->turn, &((const struct indexed_check_service_nodes *)record)->nodes,
        bool_of(p, "passingonly"));
}

static const char *ask_checks(struct plan *p, void **out)
{
    struct str service = text_of(p, "service"), state = text_of(p, "state");
    if (service.n) {
        ARGS(p, service_specific_request, q);
        args->service_name = service;
        return "Health.ServiceChecks";
    }
    ARGS(p, checks_in_state_request, q);
    args->state = state.n ? state : STR("any");
    return "Health.ChecksInState";
}

static struct str show_checks(struct plan *p, const void *record)
{
    return watch_checks(&p->turn, &((const struct indexed_health_checks *)record)->health_checks);
}

static const struct watch_type types[] = {
    { "checks", ask_checks, show_checks },
    { "event", NULL, NULL },
    { "key", ask_key, show_key },
    { "keyprefix", ask_prefix, show_prefix },
    { "nodes", ask_nodes, show_nodes },
    { "service", ask_service, show_service },
    { "services", ask_services, show_services },
};

/* --- one turn --------------------------------------------------------------------------------- */

static void again(struct plan *p)
{
    arena_reset(&p->turn);
    timer_start(&p->timer, 0);
}

static void errored(struct plan *p)
{
    struct arena a = ARENA_INIT;
    p->faults++;
    uint64_t delay = (uint64_t)RETRY_FIRST_MS * p->faults * p->faults;
    if (p->faults > 6 || delay > RETRY_MAX_MS) delay = RETRY_MAX_MS;
    p->index = 0;
    log_error("agent.watch", "Watch errored", "type", p->type->name, "error", p->err.text, "retry",
        str_printf(&a, "%llus", (unsigned long long)(delay / 1000)).p);
    arena_free(&a);
    arena_reset(&p->turn);
    timer_start(&p->timer, delay);
}

static void changed(struct plan *p, uint64_t index, struct str data)
{
    bool moved = !p->seen || index != p->index;
    p->faults = 0;
    /* the index of an event says nothing about its age */
    p->index = p->type->ask && p->seen && index < p->index ? 0 : index;
    if (!moved || (p->seen && str_eq(buf_str(&p->last), data))) {
        again(p);
        return;
    }
    p->seen = true;
    buf_clear(&p->last);
    buf_put_str(&p->last, data);
    watch_handler_run(&p->handler, index, data);
}

static void handled(struct watch_handler *h)
{
    again(container_of(h, struct plan, handler));
}

static void answered(struct rpc_call *c)
{
    struct plan *p = c->ctx;
    p->calling = false;
    if (c->code) {
        errored(p);
        return;
    }
    uint64_t index = c->reply->index ? c->reply->index : 1;
    struct str data = p->type->show(p, c->reply->record);
    rpc_reply_unref(c->reply);
    changed(p, index, data);
}

/* Events that came behind the last one seen. */
static void look_at_events(struct plan *p)
{
    struct user_events *e = p->all->o.events;
    struct list fresh = LIST_EMPTY;
    struct str name = text_of(p, "name");
    uint64_t index = 1;
    for (size_t i = 0; i < user_events_count(e); i++) {
        const struct user_event *event = user_events_at(e, i);
        if (name.n && !str_eq(name, event->name)) continue;
        index = user_event_index(event);
        if (p->seen && index == p->index)
            fresh = LIST_EMPTY;
        else
            *LIST_PUSH(&p->turn, &fresh, struct user_event) = *event;
    }
    if (p->seen && index == p->index) {
        p->wait.link = (struct link){ 0 };
        user_event_wait_add(e, &p->wait);
        return;
    }
    changed(p, index, watch_plain(&p->turn, &type_user_event_list, &fresh));
}

static void event_came(struct user_event_wait *w)
{
    again(container_of(w, struct plan, wait));
}

static void turn(struct timer *t)
{
    struct plan *p = container_of(t, struct plan, timer);
    void *args;
    if (!p->type->ask) {
        look_at_events(p);
        return;
    }
    const char *method = p->type->ask(p, &args);
    p->call = (struct rpc_call){ .method = method,
        .args = args,
        .arena = &p->turn,
        .done = answered,
        .ctx = p,
        .err = &p->err };
    p->calling = true;
    rpc_submit(p->all->o.rpc, &p->call);
}

/* --- the list --------------------------------------------------------------------------------- */

static void plan_destroy(struct plan *p)
{
    link_remove(&p->link);
    if (p->calling) rpc_cancel(p->all->o.rpc, &p->call);
    timer_stop(&p->timer);
    user_event_wait_cancel(&p->wait);
    watch_handler_deinit(&p->handler);
    buf_deinit(&p->last);
    arena_free(&p->turn);
    arena_free(&p->arena);
    free(p);
}

static void plan_create(struct watches *w, const struct value *config, struct str text)
{
    struct plan *p = xcalloc(1, sizeof *p);
    p->all = w;
    p->config = value_copy(&p->arena, config);
    p->text = str_dup(&p->arena, text);
    struct str name = text_of(p, "type");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_is(name, types[i].name)) p->type = &types[i];
    ensure(p->type);
    p->last.max = WATCH_DATA_MAX;
    p->kept = true;
    p->wait.fire = event_came;
    p->handler = (struct watch_handler){ .world = w->o.world, .tls = w->o.tls, .done = handled };
    watch_handler_init(&p->handler, config);
    timer_init(&p->timer, w->o.world, turn);
    link_push(&w->plans, &p->link);
    timer_start(&p->timer, 0);
}

static struct plan *find(struct watches *w, struct str text)
{
    link_each (l, &w->plans) {
        struct plan *p = container_of(l, struct plan, link);
        if (!p->kept && str_eq(p->text, text)) return p;
    }
    return NULL;
}

void watches_set(struct watches *w, const struct value *list)
{
    link_each (l, &w->plans)
        container_of(l, struct plan, link)->kept = false;
    for (size_t i = 0; list->kind == V_LIST && i < list->list.n; i++) {
        struct buf text = BUF_INIT(WATCH_DATA_MAX);
        json_encode_value(&list->list.v[i], false, &text);
        struct plan *p = find(w, buf_str(&text));
        if (p)
            p->kept = true;
        else
            plan_create(w, &list->list.v[i], buf_str(&text));
        buf_deinit(&text);
    }
    link_each (l, &w->plans) {
        struct plan *p = container_of(l, struct plan, link);
        if (!p->kept) plan_destroy(p);
    }
}

struct watches *watches_create(const struct watches_options *o)
{
    struct watches *w = xcalloc(1, sizeof *w);
    w->o = *o;
    w->o.datacenter = str_dup(&w->arena, o->datacenter);
    w->o.token = str_dup(&w->arena, o->token);
    link_init(&w->plans);
    return w;
}

void watches_destroy(struct watches *w)
{
    if (!w) return;
    link_each (l, &w->plans)
        plan_destroy(container_of(l, struct plan, link));
    arena_free(&w->arena);
    free(w);
}
