/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "shared_text.h"
#include "swim_core.h"

struct member *swim__member(const struct swim *s, struct str name)
{
    return map_get(&s->names, name);
}

struct member *swim__member_add(
    struct swim *s, struct str name, const struct gossip_address *address)
{
    if (s->n == SWIM_NODES_MAX) {
        s->counters.nodes_refused++;
        return NULL;
    }
    struct member *m = xcalloc(1, sizeof *m);
    m->node.name = shared_text_make(name);
    m->node.address = *address;
    m->node.state = SWIM_DEAD;
    m->node.since_ms = s->now;
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->members = xrealloc(s->members, s->cap * sizeof *s->members);
    }
    size_t at = (size_t)prng_below(&s->prng, s->n);
    s->members[s->n] = m;
    m->at = s->n++;
    struct member *other = s->members[at];
    s->members[other->at = m->at] = other;
    s->members[m->at = at] = m;
    map_put(&s->names, m->node.name, m);
    if (str_eq(name, s->o.name)) s->self = m;
    return m;
}

void swim__member_free(struct member *m)
{
    shared_text_drop(&m->node.name);
    shared_text_drop(&m->node.meta);
    free(m);
}

static void forget(struct swim *s, struct member *m)
{
    ensure(m != s->self && swim__dead_or_left(m));
    swim__suspicion_end(s, m);
    swim__probe_forget(s, m);
    map_remove(&s->names, m->node.name);
    if (s->o.delegate.forgotten) s->o.delegate.forgotten(s->o.delegate.ctx, m->node.name);
    swim__member_free(m);
}

void swim__member_remove(struct swim *s, struct member *m)
{
    size_t at = m->at;
    forget(s, m);
    struct member *last = s->members[--s->n];
    if (at == s->n) return;
    s->members[last->at = at] = last;
}

void swim__member_set_meta(struct member *m, struct str meta)
{
    if (str_eq(m->node.meta, meta)) return;
    struct str copy = shared_text_make(meta);
    shared_text_drop(&m->node.meta);
    m->node.meta = copy;
}

void swim__member_set_state(struct swim *s, struct member *m, enum swim_state state)
{
    s->alive_n -= !swim__dead_or_left(m);
    m->node.state = state;
    m->node.since_ms = s->now;
    s->alive_n += !swim__dead_or_left(m);
}

void swim__members_reset(struct swim *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct member *m = s->members[i];
        if (m->node.state == SWIM_DEAD && s->now - m->node.since_ms > s->o.gossip_to_the_dead_ms) {
            forget(s, m);
        } else {
            s->members[kept++] = m;
        }
    }
    s->n = kept;
    for (size_t i = s->n; i > 1; i--) {
        size_t j = (size_t)prng_below(&s->prng, i);
        struct member *m = s->members[j];
        s->members[j] = s->members[i - 1];
        s->members[i - 1] = m;
    }
    for (size_t i = 0; i < s->n; i++)
        s->members[i]->at = i;
}

static bool picked(struct member *const *v, size_t n, const struct member *m)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] == m) return true;
    return false;
}

size_t swim__members_pick(
    struct swim *s, size_t k, member_wanted wanted, const void *arg, struct member **out)
{
    size_t found = 0;
    for (size_t tries = 3 * s->n; tries > 0 && found < k; tries--) {
        struct member *m = s->members[prng_below(&s->prng, s->n)];
        if (wanted(s, m, arg) && !picked(out, found, m)) out[found++] = m;
    }
    return found;
}

struct swim_push_node swim__member_record(const struct member *m)
{
    const struct swim_node *n = &m->node;
    return (struct swim_push_node){ .name = n->name,
        .addr = gossip_address_ip(&n->address),
        .port = n->address.port,
        .meta = n->meta,
        .incarnation = n->incarnation,
        .state = (int64_t)n->state,
        .vsn = { (const char *)n->vsn, sizeof n->vsn } };
}

bool swim__address_allowed(const struct swim *s, const struct gossip_address *a)
{
    for (size_t i = 0; i < s->o.allowed_n; i++)
        if (gossip_network_contains(&s->o.allowed[i], a)) return true;
    return s->o.allowed_n == 0;
}
