/* SPDX-License-Identifier: Apache-2.0 */
/* Histories as files, and what is said about them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/wire.h"
#include "linear.h"

#define LINE_MAX_BYTES 4096

/* Numbers of texts. */
struct names {
    struct map by_text;
    uint64_t n;
};

static uint64_t number_of(struct names *names, const struct value *v)
{
    if (!v || v->kind != V_STR) return LINEAR_NOTHING;
    uintptr_t known = (uintptr_t)map_get(&names->by_text, v->s);
    if (known) return known;
    map_put(&names->by_text, v->s, (void *)(uintptr_t)++names->n);
    return names->n;
}

static bool time_of(const struct value *v, uint64_t *out)
{
    if (!v || v->kind == V_NIL) {
        *out = LINEAR_NEVER;
        return true;
    }
    return v->kind == V_NUMBER && str_to_u64(v->s, out);
}

static bool kind_of(struct str op, enum linear_kind *out)
{
    static const struct {
        const char *op;
        enum linear_kind kind;
    } kinds[] = { { "read", LINEAR_READ }, { "write", LINEAR_WRITE }, { "delete", LINEAR_WRITE },
        { "cas", LINEAR_CAS }, { "acquire", LINEAR_ACQUIRE }, { "release", LINEAR_RELEASE } };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!str_is(op, kinds[i].op)) continue;
        *out = kinds[i].kind;
        return true;
    }
    return false;
}

static const char *read_line(
    struct str line, struct names *names, struct arena *a, struct linear_call *c)
{
    struct value v;
    struct error err;
    if (json_parse_whole(line, a, &v, &err) || v.kind != V_MAP) return "is no JSON object";
    const struct value *op = value_get(&v, STR("op")), *key = value_get(&v, STR("key"));
    const struct value *ok = value_get(&v, STR("ok")), *client = value_get(&v, STR("client"));
    uint64_t number = 0;
    if (!op || op->kind != V_STR || !kind_of(op->s, &c->kind)) return "has no op";
    if (!key || key->kind != V_STR || key->s.n >= sizeof c->key) return "has no key";
    if (!time_of(value_get(&v, STR("begin")), &c->began) || c->began == LINEAR_NEVER)
        return "has no begin";
    if (!time_of(value_get(&v, STR("end")), &c->ended)) return "has no end";
    if (client && client->kind == V_NUMBER && str_to_u64(client->s, &number))
        c->client = (unsigned)number;
    memcpy(c->key, key->s.p, key->s.n);
    c->value = number_of(names, value_get(&v, STR("value")));
    c->expect = number_of(names, value_get(&v, STR("expect")));
    c->ok = ok && ok->kind == V_BOOL && ok->b;
    return NULL;
}

bool linear_read_file(
    const char *path, struct linear_call **out, size_t *n, char *why, size_t why_n)
{
    FILE *f = fopen(path, "r");
    char line[LINE_MAX_BYTES];
    struct names names = { 0 };
    struct arena a = ARENA_INIT;
    size_t cap = 0;
    const char *wrong = f ? NULL : "cannot be opened";
    *out = NULL;
    *n = 0;
    while (!wrong && fgets(line, sizeof line, f)) {
        if (*n == cap) {
            cap = cap ? cap * 2 : 1024;
            *out = xrealloc(*out, cap * sizeof **out);
        }
        struct linear_call *c = &(*out)[(*n)++];
        memset(c, 0, sizeof *c);
        wrong = read_line(str_dup(&a, str_of(line)), &names, &a, c);
    }
    if (wrong) snprintf(why, why_n, "%s: line %zu %s", path, *n, wrong);
    if (f) fclose(f);
    map_deinit(&names.by_text);
    arena_free(&a);
    return !wrong;
}

static void print_value(const char *before, uint64_t value)
{
    printf("%s", before);
    if (value == LINEAR_NOTHING)
        printf("nothing");
    else
        printf("#%" PRIu64, value);
}

static void print_call(const struct linear_call *c)
{
    printf("  client %u %" PRIu64 "..%" PRIu64 " ", c->client, c->began, c->ended);
    if (c->kind == LINEAR_READ) print_value("read ", c->value);
    if (c->kind == LINEAR_WRITE) print_value("wrote ", c->value);
    if (c->kind == LINEAR_CAS) {
        print_value(c->ok ? "replaced " : "did not replace ", c->expect);
        print_value(" by ", c->value);
    }
    if (c->kind == LINEAR_ACQUIRE) print_value(c->ok ? "acquired for " : "not given to ", c->value);
    if (c->kind == LINEAR_RELEASE) print_value(c->ok ? "released by " : "not held by ", c->value);
    putchar('\n');
}

void linear_print(const struct linear_report *r, enum linear_verdict v)
{
    if (v == LINEAR_YES) {
        printf("linearizable: %zu calls on %zu keys\n", r->calls, r->keys);
        return;
    }
    printf("%s: key %s, behind %zu calls none of these fits\n",
        v == LINEAR_NO ? "NOT LINEARIZABLE" : "UNDECIDED", r->key, r->placed);
    for (size_t i = 0; i < r->stuck_n; i++)
        print_call(&r->stuck[i]);
}
