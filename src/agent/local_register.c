/* SPDX-License-Identifier: Apache-2.0 */
/* Registration and deregistration: validate everything, then change everything. */
#include <stdio.h>
#include <string.h>

#include "central.h"

#define INTERVAL_MIN_NS INT64_C(1000000000)

/* One service ready to be stored, with its checks. */
struct plan {
    struct node_service svc;
    struct list checks; /* of struct planned_check */
    struct str token;
};

struct planned_check {
    struct health_check check;
    struct check_type type;
};

static void interval_raise(struct arena *a, struct check_type *t, struct str check_id)
{
    if (t->interval <= 0 || t->interval >= INTERVAL_MIN_NS) return;
    t->interval = INTERVAL_MIN_NS;
    log_warn("agent", "check has interval below minimum", "check", str_c(a, check_id),
        "minimum_interval", "1s");
}

/* All check definitions of a service in their order: over HTTP `Check` first, in files last. */
static struct list definition_checks(
    struct arena *a, const struct service_definition *def, enum local_source source)
{
    struct list all = { 0 };
    bool single = !check_type_empty(&def->check);
    if (single && source == LOCAL_FROM_API) *LIST_PUSH(a, &all, struct check_type) = def->check;
    for (size_t i = 0; i < def->checks.n; i++) {
        *LIST_PUSH(a, &all, struct check_type) = LIST_AT(&def->checks, struct check_type, i);
    }
    if (single && source == LOCAL_FROM_CONFIG) *LIST_PUSH(a, &all, struct check_type) = def->check;
    return all;
}

static void plan_check(struct local *l, struct arena *a, struct plan *p, const struct check_type *t,
    size_t at, size_t n)
{
    struct planned_check *c = LIST_PUSH(a, &p->checks, struct planned_check);
    struct str sid = p->svc.id;
    c->type = *t;
    struct str id = t->check_id;
    if (id.n == 0) {
        id = n == 1 ? str_printf(a, "service:%.*s", STR_ARG(sid))
                    : str_printf(a, "service:%.*s:%zu", STR_ARG(sid), at + 1);
    }
    struct str name = t->name;
    if (name.n == 0) name = str_printf(a, "Service '%.*s' check", STR_ARG(p->svc.service));
    interval_raise(a, &c->type, id);
    c->check = (struct health_check){ .node = l->opts.node_name,
        .check_id = id,
        .name = name,
        .status = t->status.n ? t->status : STR("critical"),
        .notes = t->notes,
        .service_id = sid,
        .service_name = p->svc.service,
        .service_tags = p->svc.tags,
        .type = str_of(check_type_word(t)) };
}

static int plan_service(struct local *l, struct arena *a, const struct service_definition *def,
    enum local_source source, struct plan *p, struct error *err)
{
    service_from_definition(a, def, &p->svc);
    int failed = service_fill_addresses(a, &p->svc, err);
    if (failed) return failed;
    struct list checks = definition_checks(a, def, source);
    for (size_t i = 0; i < checks.n; i++) {
        const struct check_type *t = &LIST_AT(&checks, struct check_type, i);
        failed = check_scripts_allowed(l, t, source, err);
        if (failed) return failed;
        plan_check(l, a, p, t, i, checks.n);
    }
    return 0;
}

/* First what they are, then the status they begin with. `prefix` of the first kind alone. */
static int checks_check(const struct list *checks, const char *prefix, struct error *err)
{
    for (size_t i = 0; i < checks->n; i++) {
        int failed = local_check_validate(&LIST_AT(checks, struct check_type, i), err);
        if (failed) {
            error_prefix(err, "%s", prefix);
            return failed;
        }
    }
    for (size_t i = 0; i < checks->n; i++) {
        struct str status = LIST_AT(checks, struct check_type, i).status;
        if (!status.n || local_check_status_valid(status)) continue;
        return error_set(
            err, ERR_BAD_REQUEST, "Status for checks must 'passing', 'warning', 'critical'");
    }
    return 0;
}

static int definition_check(struct arena *a, const struct service_definition *def,
    enum local_source source, struct error *err)
{
    int failed = service_validate(def, source, err);
    if (failed) return failed;
    struct list checks = definition_checks(a, def, source);
    failed = checks_check(&checks, source == LOCAL_FROM_API ? "Invalid check: " : "", err);
    if (failed && source == LOCAL_FROM_CONFIG) {
        error_prefix(err, "Failed to validate checks for service \"%.*s\": ", STR_ARG(def->name));
    }
    return failed;
}

/* Refusals of a sidecar come back as 500 with the words "Bad request" (recorded). */
static int sidecar_refusal(struct error *err, const struct service_definition *parent,
    enum local_source source, const char *what)
{
    if (source == LOCAL_FROM_API) {
        error_prefix(err, "Bad request: %s", what);
        err->code = ERR_INTERNAL;
    } else {
        error_prefix(
            err, "Failed to validate sidecar for service \"%.*s\": ", STR_ARG(parent->name));
    }
    return err->code;
}

static int plan_sidecar(struct local *l, struct arena *a, const struct service_definition *def,
    const struct local_register_options *opts, struct plan *p, bool *made, struct error *err)
{
    struct service_definition *sidecar;
    *made = false;
    const struct service_definition *given = def->connect ? def->connect->sidecar_service : NULL;
    if (!given) return 0;
    struct list checks = definition_checks(a, given, opts->source);
    const char *what = opts->source == LOCAL_FROM_API ? "Invalid check in sidecar_service: " : "";
    if (checks_check(&checks, what, err) != 0) return sidecar_refusal(err, def, opts->source, "");
    int failed = sidecar_make(l, a, def, opts->token, &sidecar, &p->token, err);
    if (failed) return sidecar_refusal(err, def, opts->source, "Invalid SidecarService: ");
    failed = plan_service(l, a, sidecar, opts->source, p, err);
    if (failed) return failed;
    p->svc.locally_registered_as_sidecar = true;
    *made = true;
    return 0;
}

static bool planned_from(const struct plan *p, size_t at, struct str check_id)
{
    for (size_t i = at; i < p->checks.n; i++) {
        const struct planned_check *c = &LIST_AT(&p->checks, struct planned_check, i);
        if (str_eq(c->check.check_id, check_id)) return true;
    }
    return false;
}

static void drop_check(struct local *l, struct local_check *c)
{
    persist_forget_check(l, c->check.check_id);
    local__check_drop(l, c);
}

/* Drops the checks of a service but those of the plan (NULL: all). */
static void drop_checks(struct local *l, struct str service_id, const struct plan *p)
{
    const struct local_group *g = local__group(l, service_id);
    if (!g) return;
    link_each (it, &g->checks) {
        struct local_check *c = container_of(it, struct local_check, of_group);
        if (c->deleted || (p && planned_from(p, 0, c->check.check_id))) continue;
        drop_check(l, c);
    }
}

static void store_plan(
    struct local *l, const struct plan *p, enum local_source source, bool replace)
{
    local__service_put(l, &p->svc, p->token, source);
    for (size_t i = 0; i < p->checks.n; i++) {
        const struct planned_check *planned = &LIST_AT(&p->checks, struct planned_check, i);
        if (planned_from(p, i + 1, planned->check.check_id)) continue; /* the last of an ID */
        local__check_put(l, &planned->check, &planned->type, p->token, source);
    }
    if (replace) drop_checks(l, p->svc.id, p);
}

/* Checks before their service, and the sidecar's before the parent's: what a crash leaves without
 * its owner is dropped when it is read back. */
static void persist_plan(struct local *l, const struct plan *p)
{
    for (size_t i = 0; i < p->checks.n; i++) {
        const struct planned_check *planned = &LIST_AT(&p->checks, struct planned_check, i);
        if (planned_from(p, i + 1, planned->check.check_id)) continue;
        persist_check(l, local__check(l, planned->check.check_id), &planned->check);
    }
    persist_service(l, local__service(l, p->svc.id));
}

int local__plan_managed(struct local *l, const struct service_definition *def,
    const struct local_register_options *opts, struct arena *a, struct node_service *out,
    bool *managed, struct error *err)
{
    struct plan own = { .token = opts->token }, sidecar = { 0 };
    bool with_sidecar;
    *managed = false;
    int failed = definition_check(a, def, opts->source, err);
    if (!failed) failed = plan_sidecar(l, a, def, opts, &sidecar, &with_sidecar, err);
    if (!failed) failed = plan_service(l, a, def, opts->source, &own, err);
    if (failed) return failed;
    *out = central_applies(&own.svc) || !with_sidecar ? own.svc : sidecar.svc;
    *managed = central_applies(out);
    return 0;
}

int local_service_register(struct local *l, const struct service_definition *def,
    const struct local_register_options *opts, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct plan own = { .token = opts->token }, sidecar = { 0 };
    bool with_sidecar;
    int failed = definition_check(&a, def, opts->source, err);
    if (!failed) failed = plan_sidecar(l, &a, def, opts, &sidecar, &with_sidecar, err);
    if (!failed) failed = plan_service(l, &a, def, opts->source, &own, err);
    if (!failed) {
        store_plan(l, &own, opts->source, opts->replace_checks);
        if (with_sidecar) store_plan(l, &sidecar, opts->source, opts->replace_checks);
        if (with_sidecar && opts->source == LOCAL_FROM_API) persist_plan(l, &sidecar);
        if (opts->source == LOCAL_FROM_API) persist_plan(l, &own);
    }
    arena_free(&a);
    return failed;
}

static void service_remove(struct local *l, struct local_service *s)
{
    persist_forget_service(l, s->svc.id);
    drop_checks(l, s->svc.id, NULL);
    local__service_drop(l, s);
}

static bool has_parent(struct local *l, struct str id)
{
    struct str suffix = STR(SIDECAR_SUFFIX);
    return !str_has_suffix(id, suffix) || local__service(l, str_slice(id, 0, id.n - suffix.n));
}

void local__drop_orphans(struct local *l)
{
    void *value;
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);) {
        struct local_service *s = value;
        bool orphan = s->svc.locally_registered_as_sidecar && s->source == LOCAL_FROM_API &&
                      local__service(l, s->svc.id) && !has_parent(l, s->svc.id);
        if (orphan) service_remove(l, s);
    }
}

/* A sidecar may have one of its own. */
int local_service_deregister(struct local *l, struct str id)
{
    struct local_service *s = local__service(l, id);
    if (!s) return ERR_NOT_FOUND;
    struct arena a = ARENA_INIT;
    id = str_dup(&a, id);
    do {
        service_remove(l, s);
        id = sidecar_id(&a, id);
        s = local__service(l, id);
    } while (s && s->svc.locally_registered_as_sidecar);
    arena_free(&a);
    return 0;
}

int local_check_register(struct local *l, struct str id, struct str service_id,
    const struct check_type *type, const struct local_register_options *opts, struct error *err)
{
    struct arena a = ARENA_INIT;
    const struct local_service *s = NULL;
    int failed = check_scripts_allowed(l, type, opts->source, err);
    if (!failed && service_id.n) {
        s = local__service(l, service_id);
        if (!s) {
            failed = error_set(
                err, ERR_INTERNAL, "ServiceID \"%.*s\" does not exist", STR_ARG(service_id));
        }
    }
    if (!failed) {
        struct check_type t = *type;
        struct health_check check = { .node = l->opts.node_name,
            .check_id = id.n ? id : type->name,
            .name = type->name,
            .status = type->status.n ? type->status : STR("critical"),
            .notes = type->notes,
            .service_id = service_id };
        if (opts->source == LOCAL_FROM_API) check.type = str_of(check_type_word(type));
        if (s) {
            check.service_name = s->svc.service;
            check.service_tags = s->svc.tags;
        }
        interval_raise(&a, &t, check.check_id);
        struct local_check *c = local__check_put(l, &check, &t, opts->token, opts->source);
        if (opts->source == LOCAL_FROM_API) persist_check(l, c, &check);
    }
    arena_free(&a);
    return failed;
}

int local_check_deregister(struct local *l, struct str id)
{
    struct local_check *c = local__check(l, id);
    if (!c) return ERR_NOT_FOUND;
    drop_check(l, c);
    return 0;
}

void local_service_unkept(struct local *l, struct str id, bool fresh)
{
    struct local_service *s = local__service(l, id);
    struct local_group *g = local__group(l, id);
    if (!s) return;
    s->kept = false;
    if (g) {
        link_each (it, &g->checks) {
            container_of(it, struct local_check, of_group)->kept = false;
        }
    }
    if (fresh) ensure(local_service_deregister(l, id) == 0);
}

void local_check_unkept(struct local *l, struct str id, bool fresh)
{
    struct local_check *c = local__check(l, id);
    if (!c) return;
    c->kept = false;
    if (fresh) drop_check(l, c);
}
