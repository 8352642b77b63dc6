/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/model/intention.h"

#include "faults.h"

static bool any(struct str s)
{
    return str_is(s, "*");
}

static void check_side(struct faults *f, const char *side, struct str ns, struct str name)
{
    const char *partial = "wildcard character '*' cannot be used with partial values";
    if (!any(ns) && str_find_char(ns, '*') >= 0) fault(f, "%sNS: %s", side, partial);
    if (any(name)) return;
    if (str_find_char(name, '*') >= 0) fault(f, "%sName: %s", side, partial);
    if (any(ns)) fault(f, "%sName: exact value cannot follow wildcard namespace", side);
}

int intention_validate(const struct intention *x, struct error *err)
{
    struct faults f = FAULTS_INIT;
    if (x->source_ns.n == 0) fault(&f, "SourceNS must be set");
    if (x->source_name.n == 0) fault(&f, "SourceName must be set");
    if (x->destination_ns.n == 0) fault(&f, "DestinationNS must be set");
    if (x->destination_name.n == 0) fault(&f, "DestinationName must be set");
    check_side(&f, "Source", x->source_ns, x->source_name);
    check_side(&f, "Destination", x->destination_ns, x->destination_name);
    if (x->description.n > META_VALUE_MAX)
        fault(&f, "Description exceeds maximum length %d", META_VALUE_MAX);
    faults_of_meta(&f, &x->meta);
    if (!str_is(x->action, "allow") && !str_is(x->action, "deny"))
        fault(&f, "Action must be set to 'allow' or 'deny'");
    if (!str_is(x->source_type, "consul")) fault(&f, "SourceType must be set to 'consul'");
    return faults_report(&f, err);
}

/* 2: exact name, 1: any name of a namespace, 0: any namespace. */
static int exactness(struct str ns, struct str name)
{
    if (any(ns)) return 0;
    return any(name) ? 1 : 2;
}

int64_t intention_precedence(const struct intention *x)
{
    return 1 + exactness(x->source_ns, x->source_name) +
           3 * exactness(x->destination_ns, x->destination_name);
}

int intention_compare(const void *x, const void *y)
{
    const struct intention *p = x, *q = y;
    if (p->precedence != q->precedence) return p->precedence > q->precedence ? -1 : 1;
    int c = str_cmp(p->source_ns, q->source_ns);
    if (!c) c = str_cmp(p->source_name, q->source_name);
    if (!c) c = str_cmp(p->destination_ns, q->destination_ns);
    return c ? c : str_cmp(p->destination_name, q->destination_name);
}

const struct intention *intention_decide(const struct list *sorted, struct str ns, struct str name)
{
    for (size_t i = 0; i < sorted->n; i++) {
        const struct intention *x = &LIST_AT(sorted, struct intention, i);
        if (!any(x->source_ns) && !str_eq(x->source_ns, ns)) continue;
        if (any(x->source_name) || str_eq(x->source_name, name)) return x;
    }
    return NULL;
}

struct str intention_text(const struct intention *x, struct arena *a)
{
    char *action = arena_alloc(a, x->action.n + 1);
    for (size_t i = 0; i < x->action.n; i++) {
        char c = x->action.p[i];
        action[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    return str_printf(a, "%s %.*s/%.*s => %.*s/%.*s (ID: %.*s, Precedence: %lld)", action,
        STR_ARG(x->source_ns), STR_ARG(x->source_name), STR_ARG(x->destination_ns),
        STR_ARG(x->destination_name), STR_ARG(x->id), (long long)x->precedence);
}
