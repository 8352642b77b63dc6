/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by which statements about members are believed: gossip.md 8.7 and 8.8. */
#include <stdlib.h>

#include "swim_core.h"

void swim__score(struct swim *s, int32_t delta)
{
    s->score = swim_awareness_apply(s->score, delta, s->o.awareness_max);
}

struct swim_alive swim__alive_of_self(const struct swim *s)
{
    const struct swim_node *n = &s->self->node;
    return (struct swim_alive){ .incarnation = n->incarnation,
        .node = n->name,
        .addr = gossip_address_ip(&n->address),
        .port = n->address.port,
        .meta = n->meta,
        .vsn = { (const char *)n->vsn, sizeof n->vsn } };
}

static void refute(struct swim *s, uint64_t accused, struct str from)
{
    uint32_t limit = UINT32_MAX;
    if (s->incarnation < limit) s->incarnation++;
    if (accused >= s->incarnation) s->incarnation = accused < limit ? (uint32_t)accused + 1 : limit;
    s->self->node.incarnation = s->incarnation;
    swim__score(s, 1);
    s->counters.refutations++;
    if (from.n)
        swim__log(s, LOG_WARN, "memberlist: Refuting an accusation (from: %.*s)", STR_ARG(from));
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    struct swim_alive a = swim__alive_of_self(s);
    gossip_ip_text(&s->self->node.address, ip);
    swim__broadcast(s, str_of(ip), SWIM_MSG_ALIVE, &type_swim_alive, &a, 0);
}

static void tell(struct swim *s, enum swim_member_event event, const struct member *m)
{
    if (s->o.delegate.member) s->o.delegate.member(s->o.delegate.ctx, event, &m->node);
}

/* --- alive --------------------------------------------------------------------------------- */

static bool versions_possible(struct str vsn)
{
    if (vsn.n == 0) return true;
    if (vsn.n < SWIM_VSN_SIZE) return false;
    const uint8_t *v = (const uint8_t *)vsn.p;
    return v[0] != 0 && v[1] != 0 && v[0] <= v[1];
}

/* Is this a statement that can be, whatever we know? */
static bool possible(struct swim *s, const struct swim_alive *a, struct gossip_address *address,
    const struct gossip_address *from)
{
    bool ok = a->node.n > 0 && a->node.n <= SWIM_NAME_MAX && a->meta.n <= SWIM_META_MAX &&
              gossip_address_set(address, a->addr, (uint16_t)a->port) && versions_possible(a->vsn);
    if (!ok) swim__fault(s, from, SWIM_FAULT_VALUE, "alive message");
    return ok;
}

static bool vetoed(struct swim *s, const struct swim_alive *a, const struct gossip_address *address)
{
    if (!s->o.delegate.alive) return false;
    struct error err = { 0 };
    struct swim_node n = { .name = a->node,
        .meta = a->meta,
        .address = *address,
        .incarnation = (uint32_t)a->incarnation,
        .state = SWIM_ALIVE,
        .since_ms = s->now };
    if (a->vsn.n >= SWIM_VSN_SIZE) {
        memcpy(n.vsn, a->vsn.p, SWIM_VSN_SIZE);
        if (!s->o.delegate.alive(s->o.delegate.ctx, &n, &err)) return false;
    } else {
        error_set(&err, ERR_BAD_REQUEST, "versions are missing");
    }
    swim__log(s, LOG_WARN, "memberlist: ignoring alive message for '%.*s': %s", STR_ARG(a->node),
        err.text);
    return true;
}

/* The member itself, if it lives, answers with a higher incarnation that every grave lets pass. */
static void ask_to_refute(
    struct swim *s, const struct swim_alive *a, const struct gossip_address *address)
{
    struct swim_accusation accusation = {
        .incarnation = a->incarnation, .node = a->node, .from = s->o.name
    };
    buf_clear(&s->scratch);
    swim_message_encode(SWIM_MSG_SUSPECT, &type_swim_accusation, &accusation, &s->scratch);
    swim__send(s, address, a->node, buf_str(&s->scratch), false);
}

/* Old statements about a pruned name. From packets they may come only shortly after; later a packet
 * is the member itself that has returned. */
static bool buried(struct swim *s, const struct swim_alive *a, const struct gossip_address *address,
    enum swim_source source)
{
    struct grave *g = s->graves.n ? map_get(&s->graves, a->node) : NULL;
    if (!g || source == FROM_SELF) return false;
    if (g->incarnation == 0) g->incarnation = (uint32_t)a->incarnation;
    bool still = s->now < g->until_ms && a->incarnation <= g->incarnation &&
                 (source == FROM_STREAM || s->now - g->since_ms <= s->o.gossip_to_the_dead_ms);
    if (!still) {
        free(map_remove(&s->graves, a->node));
        return false;
    }
    s->counters.buried++;
    ask_to_refute(s, a, address);
    return true;
}

/* May a known member move to this address? */
static bool may_move(struct swim *s, const struct member *m, const struct gossip_address *address)
{
    const struct swim_node *n = &m->node;
    uint32_t reclaim = s->o.dead_node_reclaim_ms;
    if (n->state == SWIM_LEFT) return true;
    if (n->state == SWIM_DEAD && reclaim > 0 && s->now - n->since_ms > reclaim) return true;
    char old[GOSSIP_ADDRESS_TEXT_MAX], new[GOSSIP_ADDRESS_TEXT_MAX];
    s->counters.conflicts++;
    if (!gossip_address_equal(&s->claimant, address)) s->claims = 0;
    s->claimant = *address;
    if ((s->claims & (s->claims + 1)) == 0)
        swim__log(s, LOG_ERROR,
            "memberlist: Conflicting address for %.*s. Mine: %s Theirs: %s Old state: %d",
            STR_ARG(n->name), gossip_address_text(&n->address, old),
            gossip_address_text(address, new), (int)n->state);
    s->claims++;
    if (s->o.delegate.conflict) s->o.delegate.conflict(s->o.delegate.ctx, n, address);
    return false;
}

/* The record the statement is about, made if need be; NULL if it is to be dropped. */
static struct member *subject(struct swim *s, const struct swim_alive *a,
    const struct gossip_address *address, const struct gossip_address *from, bool *moved)
{
    struct member *m = swim__member(s, a->node);
    if (m && gossip_address_equal(&m->node.address, address)) return m;
    if (!swim__address_allowed(s, address)) {
        swim__blocked(s, from, address);
        return NULL;
    }
    if (!m) return a->incarnation > 0 ? swim__member_add(s, a->node, address) : NULL;
    if (!may_move(s, m, address)) return NULL;
    *moved = true;
    return m;
}

static void accept_alive(struct swim *s, struct member *m, const struct swim_alive *a,
    const struct gossip_address *address, uint64_t tag)
{
    enum swim_state before = m->node.state;
    bool meta_changed = !str_eq(m->node.meta, a->meta);
    s->counters.alives++;
    swim__broadcast(s, m->node.name, SWIM_MSG_ALIVE, &type_swim_alive, a, tag);
    if (a->vsn.n > 0) memcpy(m->node.vsn, a->vsn.p, SWIM_VSN_SIZE);
    swim__member_set_meta(m, a->meta);
    m->node.address = *address;
    if (before != SWIM_ALIVE) swim__member_set_state(s, m, SWIM_ALIVE);
    m->node.incarnation = (uint32_t)a->incarnation;
    if (before == SWIM_DEAD || before == SWIM_LEFT) {
        tell(s, SWIM_JOINED, m);
    } else if (meta_changed) {
        tell(s, SWIM_UPDATED, m);
    }
}

void swim__alive(struct swim *s, struct swim_alive *a, enum swim_source source,
    const struct gossip_address *from, uint64_t tag)
{
    struct gossip_address address;
    bool moved = false, about_us = str_eq(a->node, s->o.name);
    if (s->o.protocol < 2 || a->port == 0) a->port = s->o.bind_port;
    if (s->left && about_us) return;
    if (!possible(s, a, &address, from) || vetoed(s, a, &address)) return;
    if (buried(s, a, &address, source)) return;
    struct member *m = subject(s, a, &address, from, &moved);
    if (!m) return;
    if (about_us ? a->incarnation < m->node.incarnation
                 : a->incarnation <= m->node.incarnation && !moved)
        return;
    swim__suspicion_end(s, m);
    if (!about_us || source == FROM_SELF) {
        accept_alive(s, m, a, &address, tag);
        return;
    }
    struct swim_alive ours = swim__alive_of_self(s);
    if (a->incarnation == ours.incarnation && str_eq(a->meta, ours.meta) &&
        str_eq(a->vsn, ours.vsn))
        return;
    refute(s, a->incarnation, STR_NIL);
}

/* --- suspect and dead ------------------------------------------------------------------------ */

void swim__suspect(struct swim *s, const struct swim_accusation *a)
{
    struct member *m = swim__member(s, a->node);
    if (!m || a->incarnation < m->node.incarnation) return;
    if (m->suspicion) {
        if (swim__suspicion_confirm(s, m, a->from))
            swim__broadcast(s, m->node.name, SWIM_MSG_SUSPECT, &type_swim_accusation, a, 0);
        return;
    }
    if (m->node.state != SWIM_ALIVE) return;
    if (m == s->self) {
        refute(s, a->incarnation, a->from);
        return;
    }
    swim__broadcast(s, m->node.name, SWIM_MSG_SUSPECT, &type_swim_accusation, a, 0);
    m->node.incarnation = (uint32_t)a->incarnation;
    swim__member_set_state(s, m, SWIM_SUSPECT);
    swim__suspicion_start(s, m, a->from);
}

void swim__dead(struct swim *s, const struct swim_accusation *a, uint64_t tag)
{
    struct member *m = swim__member(s, a->node);
    if (!m || a->incarnation < m->node.incarnation) return;
    swim__suspicion_end(s, m);
    if (swim__dead_or_left(m)) return;
    if (m == s->self && !s->left) {
        refute(s, a->incarnation, a->from);
        return;
    }
    swim__broadcast(s, m->node.name, SWIM_MSG_DEAD, &type_swim_accusation, a, tag);
    m->node.incarnation = (uint32_t)a->incarnation;
    swim__member_set_state(s, m, str_eq(a->node, a->from) ? SWIM_LEFT : SWIM_DEAD);
    tell(s, SWIM_DEPARTED, m);
}
