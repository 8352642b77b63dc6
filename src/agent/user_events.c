/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/user_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/agent/remote_exec.h"
#include "consuld/gossip/event_payload.h"
#include "consuld/lang/regex.h"

struct kept {
    struct user_event event;
    struct arena arena;
};

struct user_events {
    struct str node_name;
    struct arena arena;
    struct local *local;
    struct remote_exec *exec;
    struct kept ring[USER_EVENTS_MAX];
    size_t first, n;
    struct link waiters;
};

struct user_events *user_events_create(struct str node_name)
{
    struct user_events *e = xcalloc(1, sizeof *e);
    e->node_name = str_dup(&e->arena, node_name);
    link_init(&e->waiters);
    return e;
}

void user_events_destroy(struct user_events *e)
{
    if (!e) return;
    for (size_t i = 0; i < USER_EVENTS_MAX; i++)
        arena_free(&e->ring[i].arena);
    link_each (l, &e->waiters)
        link_remove(l);
    arena_free(&e->arena);
    free(e);
}

void user_events_exec(struct user_events *e, struct remote_exec *exec)
{
    e->exec = exec;
}

void user_events_services(struct user_events *e, struct local *local)
{
    e->local = local;
}

/* --- filters ---------------------------------------------------------------------------------- */

static bool tag_matches(const struct regex *tag, const struct list *tags)
{
    for (size_t i = 0; i < tags->n; i++)
        if (regex_search(tag, LIST_AT(tags, struct str, i)) == 1) return true;
    return false;
}

static bool some_service(struct user_events *e, const struct regex *name, const struct regex *tag)
{
    const struct node_service *s;
    for (size_t it = 0; e->local && (s = local_service_next(e->local, &it));)
        if (regex_search(name, s->service) == 1 && (!tag || tag_matches(tag, &s->tags)))
            return true;
    return false;
}

static bool is_for_us(struct user_events *e, const struct event_payload *p)
{
    struct arena a = ARENA_INIT;
    struct error err;
    struct regex *service = NULL, *tag = NULL;
    bool ours = p->node_filter.n == 0 || regex_found(p->node_filter, e->node_name);
    if (ours && p->service_filter.n) {
        service = regex_compile(p->service_filter, &a, &err);
        if (service && p->tag_filter.n) tag = regex_compile(p->tag_filter, &a, &err);
        ours = service && (!p->tag_filter.n || tag) && some_service(e, service, tag);
    }
    arena_free(&a);
    return ours;
}

/* --- keeping ---------------------------------------------------------------------------------- */

static void keep(struct user_events *e, uint64_t ltime, const struct event_payload *p)
{
    if (e->n == USER_EVENTS_MAX) {
        e->first = (e->first + 1) % USER_EVENTS_MAX;
        e->n--;
    }
    struct kept *k = &e->ring[(e->first + e->n++) % USER_EVENTS_MAX];
    arena_reset(&k->arena);
    k->event = (struct user_event){ .id = str_dup(&k->arena, p->id),
        .name = str_dup(&k->arena, p->name),
        .payload = p->payload.n ? str_dup(&k->arena, p->payload) : STR_NIL,
        .node_filter = str_dup(&k->arena, p->node_filter),
        .service_filter = str_dup(&k->arena, p->service_filter),
        .tag_filter = str_dup(&k->arena, p->tag_filter),
        .version = p->version,
        .l_time = ltime };
    struct link batch;
    link_init(&batch);
    link_insert_before(&e->waiters, &batch);
    link_remove(&e->waiters);
    for (struct link *l; (l = link_pop(&batch));) {
        struct user_event_wait *w = container_of(l, struct user_event_wait, link);
        w->fire(w);
    }
}

void user_events_take(struct user_events *e, uint64_t ltime, struct str name, struct str payload)
{
    struct event_payload p;
    struct error err;
    struct arena a = ARENA_INIT;
    if (!str_has_prefix(name, str_of(EVENT_USER_PREFIX))) {
        if (str_has_prefix(name, STR("consul:")))
            log_warn("agent", "Unhandled local event", "event", str_c(&a, name));
        arena_free(&a);
        return;
    }
    if (event_payload_decode(payload, &p, &err) != 0) {
        log_error("agent", "Failed to decode event", "error", err.text);
        arena_free(&a);
        return;
    }
    if (p.version > EVENT_VERSION)
        log_warn(
            "agent", "Event version may have unsupported features", "event", str_c(&a, p.name));
    if (is_for_us(e, &p)) {
        if (str_is(p.name, "_rexec") && e->exec) {
            log_debug("agent", "received remote exec event", "id", str_c(&a, p.id));
            remote_exec_take(e->exec, p.payload);
        } else if (str_is(p.name, "_rexec")) {
            log_info("agent", "ignoring remote exec event, disabled.", "event_name",
                str_c(&a, p.name), "event_id", str_c(&a, p.id));
        } else {
            log_debug(
                "agent", "new event", "event_name", str_c(&a, p.name), "event_id", str_c(&a, p.id));
            keep(e, ltime, &p);
        }
    }
    arena_free(&a);
}

size_t user_events_count(const struct user_events *e)
{
    return e->n;
}

const struct user_event *user_events_at(const struct user_events *e, size_t i)
{
    ensure(i < e->n);
    return &e->ring[(e->first + i) % USER_EVENTS_MAX].event;
}

uint64_t user_event_index(const struct user_event *event)
{
    uint8_t id[16];
    uint64_t high = 0, low = 0;
    if (!uuid_parse(event->id, id)) return 1;
    for (size_t i = 0; i < 8; i++) {
        high = high << 8 | id[i];
        low = low << 8 | id[i + 8];
    }
    return high ^ low;
}

void user_event_wait_add(struct user_events *e, struct user_event_wait *w)
{
    link_init(&w->link);
    link_push(&e->waiters, &w->link);
}

void user_event_wait_cancel(struct user_event_wait *w)
{
    if (w->link.next) link_remove(&w->link);
}

/* --- firing ----------------------------------------------------------------------------------- */

int user_event_check(const struct user_event *event, struct error *err)
{
    const struct {
        const char *what;
        struct str text;
    } filters[] = { { "node", event->node_filter }, { "service", event->service_filter },
        { "tag", event->tag_filter } };
    int failed = 0;
    if (event->name.n == 0) return error_set(err, ERR_INTERNAL, "User event missing name");
    if (event->tag_filter.n && !event->service_filter.n)
        return error_set(err, ERR_INTERNAL, "Cannot provide tag filter without service filter");
    for (size_t i = 0; i < sizeof filters / sizeof filters[0] && !failed; i++) {
        struct arena a = ARENA_INIT;
        struct error why;
        if (filters[i].text.n && !regex_compile(filters[i].text, &a, &why))
            failed =
                error_set(err, ERR_INTERNAL, "Invalid %s filter: %s", filters[i].what, why.text);
        arena_free(&a);
    }
    return failed;
}
