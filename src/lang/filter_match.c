/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

struct evaluation {
    const struct filter *filter;
    struct error *err;
    int rc;
};

static bool negated(enum filter_op op)
{
    return op == FILTER_NOT_EQUAL || op == FILTER_NOT_IN || op == FILTER_NOT_EMPTY ||
           op == FILTER_NOT_MATCHES;
}

static bool equal(const struct filter_node *n, const struct type *t, const void *p)
{
    switch (t->kind) {
    case KIND_BOOL:
        return *(const bool *)p == n->b;
    case KIND_INT:
    case KIND_DUR:
        return *(const int64_t *)p == n->i;
    case KIND_UINT:
        return *(const uint64_t *)p == n->u;
    case KIND_F32:
        return !((double)*(const float *)p < n->f || (double)*(const float *)p > n->f);
    case KIND_F64:
        return !(*(const double *)p < n->f || *(const double *)p > n->f);
    case KIND_STR:
        return str_eq(*(const struct str *)p, n->value);
    case KIND_BYTES:
    case KIND_TIME:
    case KIND_ANY:
    case KIND_REC:
    case KIND_PTR:
    case KIND_LIST:
    case KIND_MAP:
        break;
    }
    return false;
}

static bool list_has(const struct filter_node *n, const struct type *t, const struct list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (equal(n, t->elem, (const char *)l->v + i * t->elem->size)) return true;
    }
    return false;
}

static bool matches(struct evaluation *e, const struct filter_node *n, struct str s)
{
    int rc = regex_search(n->regex, s);
    if (rc < 0 && e->rc == 0) {
        e->rc = error_set(
            e->err, ERR_LIMIT, "regular expression \"%.*s\" is too expensive", STR_ARG(n->value));
    }
    return rc > 0;
}

/* The operator without its negation, where the selector ends. */
static bool holds(
    struct evaluation *e, const struct filter_node *n, const struct type *t, const void *p)
{
    const struct str *s = p;
    const struct list *l = p;
    const struct dict *d = p;
    switch (n->op) {
    case FILTER_EQUAL:
    case FILTER_NOT_EQUAL:
        return equal(n, t, p);
    case FILTER_IN:
    case FILTER_NOT_IN:
        if (t->kind == KIND_LIST) return list_has(n, t, l);
        if (t->kind == KIND_MAP) return dict_get(d, t->elem, n->value) != NULL;
        return str_find(*s, n->value) >= 0;
    case FILTER_EMPTY:
    case FILTER_NOT_EMPTY:
        return t->kind == KIND_LIST ? l->n == 0 : d->n == 0;
    case FILTER_MATCHES:
    case FILTER_NOT_MATCHES:
        return matches(e, n, *s);
    }
    return false;
}

/* An absent map key equals nothing, holds nothing and is empty. That it matches any expression is
 * Consul's answer, seen in recordings. */
static bool absent(enum filter_op op)
{
    return op != FILTER_EQUAL && op != FILTER_NOT_EMPTY && op != FILTER_IN;
}

static bool match_at(struct evaluation *e, const struct filter_node *n, const struct type *t,
    const void *p, size_t depth)
{
    if (depth == n->selector.n) return holds(e, n, t, p) != negated(n->op);
    const struct filter_part *part = &n->selector.parts[depth];
    switch (t->kind) {
    case KIND_PTR:
        p = *(void *const *)p;
        if (!p) return false;
        return match_at(e, n, part->field->type, (const char *)p + part->field->offset, depth + 1);
    case KIND_REC:
        return match_at(e, n, part->field->type, (const char *)p + part->field->offset, depth + 1);
    case KIND_LIST: {
        const struct list *l = p;
        for (size_t i = 0; i < l->n; i++) {
            if (match_at(e, n, t->elem, (const char *)l->v + i * t->elem->size, depth)) return true;
        }
        return false;
    }
    case KIND_MAP: {
        const void *v = dict_get(p, t->elem, part->name);
        return v ? match_at(e, n, t->elem, v, depth + 1) : absent(n->op);
    }
    case KIND_BOOL:
    case KIND_INT:
    case KIND_UINT:
    case KIND_F32:
    case KIND_F64:
    case KIND_STR:
    case KIND_BYTES:
    case KIND_TIME:
    case KIND_DUR:
    case KIND_ANY:
        break;
    }
    return false;
}

static bool evaluate(struct evaluation *e, const struct filter_node *n, const void *obj)
{
    for (;;) {
        bool left;
        switch (n->kind) {
        case FILTER_MATCH:
            return match_at(e, n, e->filter->elem, obj, 0);
        case FILTER_NOT:
            return !evaluate(e, n->left, obj);
        case FILTER_AND:
        case FILTER_OR:
            left = evaluate(e, n->left, obj);
            if (left == (n->kind == FILTER_OR)) return left;
            n = n->right;
        }
    }
}

int filter_compile(struct str expr, const struct type *elem, struct arena *a, struct filter **out,
    struct error *err)
{
    struct filter *f = arena_new(a, struct filter);
    ensure(elem->kind == KIND_REC);
    f->elem = elem;
    int rc = filter__parse(expr, a, &f->root, err);
    if (rc == 0) rc = filter__bind(f, a, f->root, err);
    if (rc == 0) *out = f;
    return rc;
}

int filter_match(const struct filter *f, const void *obj, bool *match, struct error *err)
{
    struct evaluation e = { .filter = f, .err = err };
    *match = evaluate(&e, f->root, obj);
    return e.rc;
}
