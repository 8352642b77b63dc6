/* SPDX-License-Identifier: Apache-2.0 */
#include "linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/base.h"

/* The beginning or the end of a call, in the list of those that have no place yet. */
struct moment {
    struct moment *prev, *next;
    struct linear_call *call;
    struct moment *end; /* of a beginning; NULL: never. Of an end: NULL */
    bool is_end;
    uint64_t value; /* of the call; UNSEEN: one that nobody ever tells from others */
    uint64_t at;
    uint64_t mark[2]; /* stands for the call in the sum of those that have a place */
};

#define UNSEEN UINT64_MAX

/* A set of configurations: which calls have a place, and what the key holds then. */
struct configuration {
    uint64_t sum[2], value;
};

struct step {
    struct moment *m;
    uint64_t value; /* before it */
    bool unknown;   /* tried among the calls of unknown outcome */
};

struct search {
    struct moment head, *moments;
    struct step *steps;
    size_t steps_n, known_left;
    struct configuration now, *seen;
    size_t seen_n, seen_cap;
};

/* --- the memory ----------------------------------------------------------------------------- */

static struct configuration *slot(struct search *s, const struct configuration *c)
{
    size_t i = (size_t)(c->sum[0] ^ c->value * 0x9E3779B97F4A7C15ull) & (s->seen_cap - 1);
    for (;; i = (i + 1) & (s->seen_cap - 1)) {
        struct configuration *k = &s->seen[i];
        bool empty = !k->sum[0] && !k->sum[1];
        if (empty || memcmp(k, c, sizeof *c) == 0) return k;
    }
}

/* False: it was seen before. */
static bool remember(struct search *s, const struct configuration *c)
{
    if (s->seen_n * 2 >= s->seen_cap) {
        struct configuration *old = s->seen;
        size_t cap = s->seen_cap;
        s->seen_cap = cap ? cap * 2 : 1024;
        s->seen = xcalloc(s->seen_cap, sizeof *s->seen);
        for (size_t i = 0; i < cap; i++)
            if (old[i].sum[0] || old[i].sum[1]) *slot(s, &old[i]) = old[i];
        free(old);
    }
    struct configuration *k = slot(s, c);
    if (k->sum[0] || k->sum[1]) return false;
    *k = *c;
    s->seen_n++;
    return true;
}

/* --- the model ------------------------------------------------------------------------------ */

static bool lock_obeys(const struct linear_call *c, uint64_t holder)
{
    return holder == c->value || (c->kind == LINEAR_ACQUIRE && holder == LINEAR_NOTHING);
}

/* What the key holds after the call; false: the call can not have had this outcome now. */
static bool apply(const struct moment *m, uint64_t *value)
{
    const struct linear_call *c = m->call;
    bool known = c->ended != LINEAR_NEVER;
    switch (c->kind) {
    case LINEAR_READ:
        return !known || *value == c->value;
    case LINEAR_WRITE:
        *value = m->value;
        return true;
    case LINEAR_CAS:
        if (known && c->ok != (*value == c->expect)) return false;
        if (*value == c->expect) *value = m->value;
        return true;
    case LINEAR_ACQUIRE:
    case LINEAR_RELEASE:
        if (known && c->ok != lock_obeys(c, *value)) return false;
        if (lock_obeys(c, *value)) *value = c->kind == LINEAR_ACQUIRE ? c->value : LINEAR_NOTHING;
        return true;
    }
    return false;
}

/* --- one key -------------------------------------------------------------------------------- */

static void take(struct moment *m)
{
    m->prev->next = m->next;
    if (m->next) m->next->prev = m->prev;
}

static void put_back(struct moment *m)
{
    m->prev->next = m;
    if (m->next) m->next->prev = m;
}

static void place(struct search *s, struct moment *m, const struct configuration *next)
{
    s->steps[s->steps_n++] =
        (struct step){ .m = m, .value = s->now.value, .unknown = m->end == NULL };
    s->now = *next;
    take(m);
    if (m->end) take(m->end);
    s->known_left -= m->end != NULL;
}

static struct step displace(struct search *s)
{
    struct step last = s->steps[--s->steps_n];
    for (int i = 0; i < 2; i++)
        s->now.sum[i] ^= last.m->mark[i];
    s->now.value = last.value;
    if (last.m->end) put_back(last.m->end);
    put_back(last.m);
    s->known_left += last.m->end != NULL;
    return last;
}

static void note_stuck(const struct search *s, struct linear_report *out)
{
    if (s->steps_n < out->placed || (out->stuck_n && s->steps_n == out->placed)) return;
    out->placed = s->steps_n;
    out->stuck_n = 0;
    for (const struct moment *m = s->head.next; m && !m->is_end; m = m->next)
        if (m->end && out->stuck_n < sizeof out->stuck / sizeof out->stuck[0])
            out->stuck[out->stuck_n++] = *m->call;
}

/* Calls of unknown outcome that do the same may take each other's place: the first comes first. */
static bool has_twin_before(const struct search *s, const struct moment *u)
{
    for (const struct moment *m = s->head.next; m != u; m = m->next)
        if (!m->end && !m->is_end && m->call->kind == u->call->kind && m->value == u->value &&
            m->call->expect == u->call->expect)
            return true;
    return false;
}

/* A call of unknown outcome has no end, so it can always be moved towards later ones, until the
 * next one depends on it; or be left out, if that overwrites it. Only such places are tried. */
static bool wanted(const struct search *s, const struct moment *u)
{
    if (u->call->kind == LINEAR_READ ||
        (u->call->kind == LINEAR_CAS && s->now.value != u->call->expect) || has_twin_before(s, u))
        return false;
    if (u->call->kind >= LINEAR_ACQUIRE) return lock_obeys(u->call, s->now.value);
    for (const struct moment *m = s->head.next; m && !m->is_end; m = m->next) {
        const struct linear_call *c = m->call;
        bool known = m->end != NULL;
        if (m == u) continue;
        if (known && c->kind == LINEAR_READ && c->value == u->value) return true;
        if (c->kind != LINEAR_CAS) continue;
        if (c->expect == (known && !c->ok ? s->now.value : u->value)) return true;
    }
    return false;
}

/* Depth first. At each configuration those calls may come next that began before the first end in
 * the list; those of unknown outcome are tried last: mostly nobody wants them. */
static enum linear_verdict search(struct search *s, size_t budget, struct linear_report *out)
{
    struct moment *m = s->head.next;
    bool unknown = false;
    while (s->known_left) {
        if (!m || m->is_end) {
            if (!unknown) {
                unknown = true;
                m = s->head.next;
                continue;
            }
            note_stuck(s, out);
            if (!s->steps_n) return LINEAR_NO;
            struct step last = displace(s);
            m = last.m->next;
            unknown = last.unknown;
            continue;
        }
        struct configuration next = s->now;
        bool fits =
            unknown == (m->end == NULL) && (!unknown || wanted(s, m)) && apply(m, &next.value);
        for (int i = 0; i < 2; i++)
            next.sum[i] ^= m->mark[i];
        if (!fits || !remember(s, &next)) {
            m = m->next;
            continue;
        }
        if (s->seen_n > budget) return LINEAR_UNDECIDED;
        place(s, m, &next);
        m = s->head.next;
        unknown = false;
    }
    return LINEAR_YES;
}

/* Beginnings before ends of the same moment: calls that touch are at the same time. */
static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    if (x->is_end != y->is_end) return x->is_end ? 1 : -1;
    return x->call < y->call ? -1 : x->call > y->call;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The values that some call tells from others: malloc'ed, sorted. */
static uint64_t *values_seen(const struct linear_call *calls, size_t n, size_t *seen_n)
{
    uint64_t *v = xcalloc(n + 1, sizeof *v);
    *seen_n = 1; /* nothing */
    for (size_t i = 0; i < n; i++) {
        if (calls[i].kind == LINEAR_READ || calls[i].kind >= LINEAR_ACQUIRE)
            v[(*seen_n)++] = calls[i].value;
        if (calls[i].kind == LINEAR_CAS) v[(*seen_n)++] = calls[i].expect;
    }
    qsort(v, *seen_n, sizeof *v, by_value);
    return v;
}

static enum linear_verdict check_key(
    struct linear_call *calls, size_t n, size_t budget, struct linear_report *out)
{
    struct search s = { .moments = xcalloc(2 * n, sizeof *s.moments),
        .steps = xcalloc(n, sizeof *s.steps) };
    struct prng prng;
    size_t used = 0, seen_n;
    uint64_t *seen = values_seen(calls, n, &seen_n);
    prng_seed(&prng, 1);
    for (size_t i = 0; i < n; i++) {
        struct linear_call *c = &calls[i];
        bool told = bsearch(&c->value, seen, seen_n, sizeof *seen, by_value);
        s.moments[used++] =
            (struct moment){ .call = c, .value = told ? c->value : UNSEEN, .at = c->began };
        if (c->ended == LINEAR_NEVER) continue;
        s.moments[used++] = (struct moment){ .call = c, .at = c->ended, .is_end = true };
        s.known_left++;
    }
    qsort(s.moments, used, sizeof *s.moments, by_time);
    struct moment **begin = xcalloc(n, sizeof *begin), *last = &s.head;
    for (size_t i = 0; i < used; i++) {
        struct moment *m = &s.moments[i];
        m->prev = last;
        last = last->next = m;
        if (m->is_end) {
            begin[m->call - calls]->end = m;
            continue;
        }
        begin[m->call - calls] = m;
        m->mark[0] = prng_next(&prng);
        m->mark[1] = prng_next(&prng);
    }
    enum linear_verdict v = search(&s, budget, out);
    free(seen);
    free(begin);
    free(s.moments);
    free(s.steps);
    free(s.seen);
    return v;
}

/* --- all keys ------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct linear_call *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    if (order) return order;
    return x->began < y->began ? -1 : x->began > y->began;
}

enum linear_verdict linear_check(
    struct linear_call *calls, size_t n, size_t budget, struct linear_report *out)
{
    enum linear_verdict v = LINEAR_YES;
    *out = (struct linear_report){ .calls = n };
    if (n) qsort(calls, n, sizeof *calls, by_key);
    for (size_t i = 0, end; i < n && v == LINEAR_YES; i = end) {
        for (end = i; end < n && strcmp(calls[end].key, calls[i].key) == 0; end++)
            ;
        out->keys++;
        out->stuck_n = out->placed = 0;
        memcpy(out->key, calls[i].key, sizeof out->key);
        v = check_key(calls + i, end - i, budget ? budget : 1000000, out);
    }
    return v;
}
