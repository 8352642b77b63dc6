/* SPDX-License-Identifier: Apache-2.0 */
/* What read handlers share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/lang/filter.h"
#include "server.h"

const struct dict *eval_node_meta(const struct dict *meta)
{
    return meta->n ? meta : NULL;
}

bool eval_has_meta(const struct dict *have, const struct dict *want)
{
    for (size_t i = 0; i < want->n; i++) {
        const struct str *value = dict_get(have, &type_str, dict_key(want, &type_str, i));
        const struct str *wanted = dict_at(want, &type_str, i);
        if (!value || !str_eq(*value, *wanted)) return false;
    }
    return true;
}

const struct list *eval_tags(
    struct eval *e, const struct service_specific_request *args, struct list *one)
{
    if (!args->tag_filter) return NULL;
    if (args->service_tag.n == 0) return &args->service_tags;
    *one = (struct list){ 0 };
    *LIST_PUSH(&e->reply->arena, one, struct str) = args->service_tag;
    return one;
}

int eval_filter_compile(
    struct eval *e, struct str expr, const struct type *elem, struct filter **out)
{
    int rc = filter_compile(expr, elem, &e->reply->arena, out, e->err);
    if (rc == 0) return 0;
    error_prefix(e->err, "%s", FILTER_ERROR_PREFIX);
    return e->err->code = ERR_INTERNAL;
}

int eval_filter(struct eval *e, struct str expr, const struct type *elem, struct list *l)
{
    struct filter *f;
    size_t kept = 0;
    if (!expr.n) return 0;
    int rc = eval_filter_compile(e, expr, elem, &f);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        char *obj = (char *)l->v + i * elem->size;
        bool match;
        rc = filter_match(f, obj, &match, e->err);
        if (rc || !match) continue;
        if (kept != i) memcpy((char *)l->v + kept * elem->size, obj, elem->size);
        kept++;
    }
    l->n = kept;
    if (!kept) *l = LIST_EMPTY;
    return rc;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void eval_count_service(
    struct eval *e, const char *of, const struct service_specific_request *args, size_t found)
{
    struct str service = args->service_name;
    bool ingress = args->ingress && of[0] == 'h';
    const char *what = args->connect ? "connect" : ingress ? "ingress" : "service";
    char name[64];
    if (!e->server->opts.metrics) return;
    snprintf(name, sizeof name, "%s.%s.query", of, what);
    server__measure_service(e->server, name, service, NULL, 0);
    if (args->service_tag.n) {
        snprintf(name, sizeof name, "%s.%s.query-tag", of, what);
        server__measure_service(e->server, name, service, &args->service_tag, 1);
    }
    if (args->service_tags.n) {
        struct list sorted = args->service_tags;
        sorted.v = arena_copy(&e->reply->arena, sorted.v, sorted.n * sizeof(struct str));
        qsort(sorted.v, sorted.n, sizeof(struct str), by_text);
        snprintf(name, sizeof name, "%s.%s.query-tags", of, what);
        server__measure_service(e->server, name, service, sorted.v, sorted.n);
    }
    if (found) return;
    snprintf(name, sizeof name, "%s.%s.not-found", of, what);
    server__measure_service(e->server, name, service, NULL, 0);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

int server__check_uuid(struct str id, const char *what, struct error *err)
{
    size_t hyphens = 0;
    const char *odd = NULL; /* the first that is neither */
    for (size_t i = 0; i < id.n; i++) {
        hyphens += id.p[i] == '-';
        if (!odd && id.p[i] != '-' && !is_hex(id.p[i])) odd = &id.p[i];
    }
    if (id.n != UUID_TEXT_LEN)
        return error_set(err, ERR_INTERNAL, "%s: index error: UUID must be 36 characters", what);
    if (hyphens > 4)
        return error_set(err, ERR_INTERNAL,
            "%s: index error: UUID should have maximum of 4 \"-\"; got %zu", what, hyphens);
    if (hyphens % 2)
        return error_set(err, ERR_INTERNAL,
            "%s: index error: Input (without hyphens) must be even length", what);
    if (!odd) return 0;
    bool shown = *odd >= ' ' && *odd < 0x7f;
    return error_set(err, ERR_INTERNAL,
        "%s: index error: Invalid UUID: encoding/hex: invalid byte: U+%04X%s%.*s%s", what,
        (unsigned)(uint8_t)*odd, shown ? " '" : "", shown, odd, shown ? "'" : "");
}
