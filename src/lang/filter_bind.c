/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/wire/quote.h"
#include "filter.h"

/* Fields that are no selectors, by record (http-api.md 2.7). Sorted by record name. */
static const struct {
    const char *record;
    const char *fields; /* each between blanks */
} hidden[] = {
    { "ConnectProxyConfig", " Config " },
    { "HealthCheck", " Definition CreateIndex ModifyIndex " },
    { "Intention", " CreatedAt UpdatedAt Hash CreateIndex ModifyIndex " },
    { "Node", " CreateIndex ModifyIndex " },
    { "NodeService", " LocallyRegisteredAsSidecar CreateIndex ModifyIndex " },
    { "ServiceConnect", " SidecarService " },
    { "ServiceNode", " CreateIndex ModifyIndex " },
    { "Upstream", " Config IngressHosts " },
};

static bool is_hidden(const struct record *r, struct str name)
{
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        if (strcmp(hidden[i].record, r->name) != 0) continue;
        for (const char *at = hidden[i].fields; (at = strchr(at, ' ')) && at[1]; at++) {
            if (strncmp(at + 1, name.p, name.n) == 0 && at[1 + name.n] == ' ') return true;
        }
    }
    return false;
}

static const struct type *element(const struct type *t)
{
    while (t->kind == KIND_LIST)
        t = t->elem;
    return t;
}

/* The type a selector ends at, or NULL, and how many parts lead somewhere. */
static const struct type *resolve(const struct type *t, struct filter_selector *s, size_t *good)
{
    for (size_t i = 0; i < s->n; i++) {
        *good = i;
        struct filter_part *part = &s->parts[i];
        t = element(t);
        switch (t->kind) {
        case KIND_REC:
        case KIND_PTR:
            part->field = record_field(t->record, part->name);
            if (!part->field || is_hidden(t->record, part->name)) return NULL;
            t = part->field->type;
            break;
        case KIND_MAP:
            t = t->elem;
            break;
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
        case KIND_LIST:
            return NULL;
        }
    }
    return t;
}

#define OP(op) (1u << FILTER_##op)

static unsigned allowed_ops(const struct type *t)
{
    switch (t->kind) {
    case KIND_BOOL:
    case KIND_INT:
    case KIND_UINT:
    case KIND_F32:
    case KIND_F64:
    case KIND_DUR:
        return OP(EQUAL) | OP(NOT_EQUAL);
    case KIND_STR:
        return OP(EQUAL) | OP(NOT_EQUAL) | OP(IN) | OP(NOT_IN) | OP(MATCHES) | OP(NOT_MATCHES);
    case KIND_LIST:
        if (t->elem->kind == KIND_REC || t->elem->kind == KIND_LIST) {
            return OP(EMPTY) | OP(NOT_EMPTY);
        }
        return OP(IN) | OP(NOT_IN) | OP(EMPTY) | OP(NOT_EMPTY);
    case KIND_MAP:
        return OP(IN) | OP(NOT_IN) | OP(EMPTY) | OP(NOT_EMPTY);
    case KIND_BYTES:
    case KIND_TIME:
    case KIND_ANY:
    case KIND_REC:
    case KIND_PTR:
        return 0;
    }
    return 0;
}

static const char *op_name(enum filter_op op)
{
    switch (op) {
    case FILTER_EQUAL:
        return "Equal";
    case FILTER_NOT_EQUAL:
        return "Not Equal";
    case FILTER_IN:
        return "In";
    case FILTER_NOT_IN:
        return "Not In";
    case FILTER_EMPTY:
        return "Is Empty";
    case FILTER_NOT_EMPTY:
        return "Is Not Empty";
    case FILTER_MATCHES:
        return "Matches";
    case FILTER_NOT_MATCHES:
        return "Not Matches";
    }
    return "";
}

static bool parse_bool(const char *s, bool *out)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < 6; i++) {
        if (strcmp(s, yes[i]) == 0) return *out = true, true;
        if (strcmp(s, no[i]) == 0) return *out = false, true;
    }
    return false;
}

/* The value as the type of what the selector ends at. */
static int coerce(struct arena *a, const struct type *t, struct filter_node *n, struct error *err)
{
    const char *text = str_c(a, n->value), *parser = NULL, *why = "invalid syntax";
    char *end = NULL;
    errno = 0;
    switch (t->kind) {
    case KIND_BOOL:
        if (!parse_bool(text, &n->b)) parser = "ParseBool";
        break;
    case KIND_INT:
    case KIND_DUR:
        n->i = strtoll(text, &end, 0);
        if (!*text || *end) parser = "ParseInt";
        if (errno) parser = "ParseInt", why = "value out of range";
        break;
    case KIND_UINT:
        n->u = strtoull(text, &end, 0);
        if (!*text || *end || *text == '-') parser = "ParseUint";
        if (errno) parser = "ParseUint", why = "value out of range";
        break;
    case KIND_F32:
    case KIND_F64:
        n->f = strtod(text, &end);
        if (!*text || *end) parser = "ParseFloat";
        break;
    case KIND_STR:
    case KIND_BYTES:
    case KIND_TIME:
    case KIND_ANY:
    case KIND_REC:
    case KIND_PTR:
    case KIND_LIST:
    case KIND_MAP:
        break;
    }
    if (!parser) return 0;
    struct buf b = BUF_INIT(4 * FILTER_TEXT_MAX);
    quote_go(&b, n->value);
    struct str quoted = buf_str(&b);
    int rc = error_set(err, ERR_BAD_REQUEST,
        "Failed to coerce value %.*s for selector \"%.*s\": strconv.%s: parsing %.*s: %s",
        STR_ARG(quoted), STR_ARG(n->selector.text), parser, STR_ARG(quoted), why);
    buf_deinit(&b);
    return rc;
}

static int compile_regex(struct arena *a, struct filter_node *n, struct error *err)
{
    struct error why;
    n->regex = regex_compile(n->value, a, &why);
    if (n->regex) return 0;
    struct buf quoted = BUF_INIT(4 * FILTER_TEXT_MAX);
    quote_go(&quoted, n->value);
    int rc = error_set(err, ERR_BAD_REQUEST, "Failed to compile regular expression %.*s: %s",
        STR_ARG(buf_str(&quoted)), why.text);
    buf_deinit(&quoted);
    return rc;
}

static int not_valid(const struct filter_selector *s, size_t good, struct error *err)
{
    size_t n = 0;
    for (size_t i = 0; i <= good; i++)
        n += s->parts[i].name.n + (i > 0);
    return error_set(err, ERR_BAD_REQUEST, "Selector \"%.*s\" is not valid", (int)n, s->text.p);
}

static int bind_match(struct filter *f, struct arena *a, struct filter_node *n, struct error *err)
{
    size_t good = 0;
    const struct type *t = resolve(f->elem, &n->selector, &good);
    if (!t) return not_valid(&n->selector, good, err);
    if (!(allowed_ops(t) & 1u << n->op)) {
        return error_set(err, ERR_BAD_REQUEST,
            "Invalid match operator \"%s\" for selector \"%.*s\"", op_name(n->op),
            STR_ARG(n->selector.text));
    }
    switch (n->op) {
    case FILTER_EQUAL:
    case FILTER_NOT_EQUAL:
        return coerce(a, t, n, err);
    case FILTER_IN:
    case FILTER_NOT_IN:
        return t->kind == KIND_LIST ? coerce(a, t->elem, n, err) : 0;
    case FILTER_MATCHES:
    case FILTER_NOT_MATCHES:
        return compile_regex(a, n, err);
    case FILTER_EMPTY:
    case FILTER_NOT_EMPTY:
        break;
    }
    return 0;
}

int filter__bind(struct filter *f, struct arena *a, struct filter_node *n, struct error *err)
{
    /* The right spine is walked, not recursed into: chains may be long, nesting is bounded. */
    for (; n; n = n->right) {
        if (n->kind == FILTER_MATCH) return bind_match(f, a, n, err);
        int rc = filter__bind(f, a, n->left, err);
        if (rc) return rc;
    }
    return 0;
}
