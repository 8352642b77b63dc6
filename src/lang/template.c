/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/lang/template.h"

#include "consuld/lang/regex.h"
#include "interpolate.h"

/* A text of the Service part that is not empty: where it stands and what it says. */
struct site {
    struct str path; /* ".Tags[0]" */
    struct interpolation *tree;
};

struct query_template {
    const struct prepared_query *query;
    struct regex *regexp; /* NULL: none */
    struct list sites;    /* struct site, in the order of a walk */
};

/* --- the walk ------------------------------------------------------------------------------- */

struct walk {
    struct arena *a;
    struct error *err;
    /* May change the text, which is never empty. */
    int (*visit)(struct walk *w, struct str path, struct str *text);
    struct list *sites;
    size_t at;
    const struct interpolation_scope *scope;
};

static int walk(struct walk *w, const struct type *t, void *obj, struct str path)
{
    int rc = 0;
    if (t->kind == KIND_STR) {
        struct str *s = obj;
        return s->n ? w->visit(w, path, s) : 0;
    }
    if (t->kind == KIND_LIST) {
        struct list *l = obj;
        for (size_t i = 0; i < l->n && !rc; i++)
            rc = walk(w, t->elem, (char *)l->v + i * t->elem->size,
                str_printf(w->a, "%.*s[%zu]", STR_ARG(path), i));
    }
    if (t->kind == KIND_MAP) {
        struct dict *d = obj;
        for (size_t i = 0; i < d->n && !rc; i++)
            rc = walk(w, t->elem, dict_at(d, t->elem, i),
                str_printf(w->a, "%.*s[%.*s]", STR_ARG(path), STR_ARG(dict_key(d, t->elem, i))));
    }
    for (size_t i = 0; t->kind == KIND_REC && i < t->record->n && !rc; i++) {
        const struct field *f = &t->record->fields[i];
        rc = walk(w, f->type, (char *)obj + f->offset,
            str_printf(w->a, "%.*s.%s", STR_ARG(path), f->name));
    }
    return rc;
}

static int parse_site(struct walk *w, struct str path, struct str *text)
{
    struct error why;
    struct site *site = LIST_PUSH(w->a, w->sites, struct site);
    site->path = path;
    if (interpolation_parse(*text, w->a, &site->tree, &why) == 0) return 0;
    return error_set(w->err, ERR_BAD_REQUEST, "Bad format '%.*s' in Service%.*s: %s",
        STR_ARG(*text), STR_ARG(path), why.text);
}

static int render_site(struct walk *w, struct str path, struct str *text)
{
    struct error why;
    ensure(w->at < w->sites->n);
    const struct site *site = &LIST_AT(w->sites, struct site, w->at++);
    struct str before = *text;
    if (interpolation_eval(site->tree, w->scope, w->a, text, &why) == 0) return 0;
    return error_set(w->err, ERR_BAD_REQUEST, "Bad evaluation for '%.*s' in Service%.*s: %s",
        STR_ARG(before), STR_ARG(path), why.text);
}

/* --- rendering ------------------------------------------------------------------------------ */

struct names {
    struct str full, prefix, suffix, segment;
    struct list matches;
};

static bool variable(const void *ctx, struct str name, struct str *out)
{
    const struct names *n = ctx;
    if (str_is(name, "name.full"))
        *out = n->full;
    else if (str_is(name, "name.prefix"))
        *out = n->prefix;
    else if (str_is(name, "name.suffix"))
        *out = n->suffix;
    else if (str_is(name, "agent.segment"))
        *out = n->segment;
    else
        return false;
    return true;
}

static struct str match(const void *ctx, int64_t i)
{
    const struct names *n = ctx;
    if (i < 0 || (uint64_t)i >= n->matches.n) return STR("");
    return LIST_AT(&n->matches, struct str, i);
}

static void remove_empty(struct list *tags)
{
    size_t kept = 0;
    for (size_t i = 0; i < tags->n; i++) {
        struct str tag = LIST_AT(tags, struct str, i);
        if (tag.n) LIST_AT(tags, struct str, kept++) = tag;
    }
    tags->n = kept;
    if (!tags->v) *tags = LIST_EMPTY; /* as Go's make leaves it */
}

int query_template_render(const struct query_template *t, struct str name, struct str segment,
    struct arena *a, struct prepared_query *out, struct error *err)
{
    struct str prefix = t->query->name;
    struct names names = { .full = name, .prefix = prefix, .suffix = name, .segment = segment };
    struct interpolation_scope scope = { .variable = variable, .match = match, .ctx = &names };
    struct walk w = { .a = a,
        .err = err,
        .visit = render_site,
        .sites = (struct list *)(uintptr_t)&t->sites,
        .scope = &scope };
    if (str_has_prefix(name, prefix)) names.suffix = str_slice(name, prefix.n, name.n);
    if (t->regexp && regex_groups(t->regexp, name, a, &names.matches) < 0)
        return error_set(err, ERR_LIMIT, "Regexp takes too long");
    record_copy(a, &type_prepared_query, out, t->query);
    int rc = walk(&w, &type_service_query, &out->service, STR(""));
    if (!rc && t->query->template.remove_empty_tags) remove_empty(&out->service.tags);
    return rc;
}

int query_template_compile(
    const struct prepared_query *q, struct arena *a, struct query_template **out, struct error *err)
{
    struct query_template *t = arena_new(a, struct query_template);
    struct walk w = { .a = a, .err = err, .visit = parse_site, .sites = &t->sites };
    struct service_query texts;
    struct prepared_query rendered;
    struct error why;
    *out = t;
    t->query = q;
    if (!str_is(q->template.type, "name_prefix_match"))
        return error_set(
            err, ERR_BAD_REQUEST, "Bad Template.Type '%.*s'", STR_ARG(q->template.type));
    record_copy(a, &type_service_query, &texts, &q->service);
    int rc = walk(&w, &type_service_query, &texts, STR(""));
    if (rc) return rc;
    if (q->template.regexp.n) {
        t->regexp = regex_compile(q->template.regexp, a, &why);
        if (!t->regexp) return error_set(err, ERR_BAD_REQUEST, "Bad Regexp: %s", why.text);
    }
    return query_template_render(t, q->name, STR(""), a, &rendered, err);
}
