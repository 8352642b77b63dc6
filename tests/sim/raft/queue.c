/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_at(struct sim *s, uint64_t delay_ms, enum event_kind kind, int node, uint64_t a, void *p)
{
    struct event e = { s->now + delay_ms, s->order++, kind, node,
        node < 0 ? 0 : s->nodes[node].life, a, p };
    if (s->heap_n == s->heap_cap) {
        s->heap_cap = s->heap_cap ? s->heap_cap * 2 : 256;
        s->heap = xrealloc(s->heap, s->heap_cap * sizeof *s->heap);
    }
    size_t i = s->heap_n++;
    while (i > 0 && before(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

bool sim_next(struct sim *s, struct event *out)
{
    if (!s->heap_n) return false;
    *out = s->heap[0];
    struct event last = s->heap[--s->heap_n];
    size_t i = 0;
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= s->heap_n) break;
        if (k + 1 < s->heap_n && before(&s->heap[k + 1], &s->heap[k])) k++;
        if (!before(&s->heap[k], &last)) break;
        s->heap[i] = s->heap[k];
        i = k;
    }
    if (s->heap_n) s->heap[i] = last;
    return true;
}
