/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

bool raft__sole_voter(const struct raft *r)
{
    return raft__voters(&r->latest) == 1 && raft_configuration_is_voter(&r->latest, r->id);
}

void raft__configuration_appended(
    struct raft *r, const struct raft_configuration *c, uint64_t index)
{
    r->committed = r->latest;
    r->committed_index = r->latest_index;
    r->latest = *c;
    r->latest_index = index;
    r->configuration_changed = true;
}

void raft__configuration_truncated(struct raft *r, uint64_t from)
{
    if (r->latest_index < from || BROKEN(KEEP_CONFIGURATION)) return;
    r->latest = r->committed;
    r->latest_index = r->committed_index;
    r->configuration_changed = true;
}

void raft__configuration_committed(struct raft *r)
{
    if (r->latest_index > r->commit_index || r->committed_index == r->latest_index) return;
    r->committed = r->latest;
    r->committed_index = r->latest_index;
    r->configuration_changed = true;
}

static struct raft_member *member(struct raft_configuration *c, const char *id)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->servers[i].id, id) == 0) return &c->servers[i];
    return NULL;
}

static void set_address(struct raft_member *s, struct str address)
{
    memset(s->address, 0, sizeof s->address);
    memcpy(s->address, address.p, address.n);
}

/* The configuration after the change (raft.md 6.9); false: makes no sense. */
static bool changed(struct raft_configuration *c, enum raft_change_type type, struct str id_bytes,
    struct str address)
{
    if (!raft__fits(id_bytes, RAFT_ID_MAX)) return false;
    char id[RAFT_ID_MAX] = { 0 };
    memcpy(id, id_bytes.p, id_bytes.n);
    struct raft_member *s = member(c, id);
    switch (type) {
    case RAFT_ADD_VOTER:
    case RAFT_ADD_NONVOTER:
        if (!raft__fits(address, RAFT_ADDRESS_MAX)) return false;
        if (!s)
            return raft_configuration_add(
                c, id_bytes, address, type == RAFT_ADD_VOTER ? RAFT_VOTER : RAFT_NONVOTER);
        if (type == RAFT_ADD_VOTER) s->suffrage = RAFT_VOTER;
        set_address(s, address);
        return true;
    case RAFT_DEMOTE:
        if (s) s->suffrage = RAFT_NONVOTER;
        return true;
    case RAFT_REMOVE:
        if (!s) return true;
        memmove(s, s + 1, (size_t)(c->servers + c->n - (s + 1)) * sizeof *s);
        c->n--;
        return true;
    }
    return false;
}

static void append_configuration(
    struct raft *r, const struct raft_configuration *c, struct raft_entry *e)
{
    struct buf data = BUF_INIT((size_t)RAFT_SERVERS_MAX * (RAFT_ID_MAX + RAFT_ADDRESS_MAX + 64));
    raft_configuration_encode(c, &data);
    ensure(!data.overflow);
    e->type = RAFT_CONFIGURATION;
    e->data = buf_str(&data);
    raft__append(r, e);
    buf_deinit(&data);
    raft__configuration_appended(r, c, e->index);
}

void raft__change(struct raft *r, const struct raft_event *ev)
{
    uint64_t handle = ev->change.handle;
    enum raft_status status = raft__may_propose(r);
    if (status == RAFT_DONE &&
        (r->latest_index != r->committed_index || r->commit_index < r->term_start))
        status = RAFT_CHANGE_IN_PROGRESS;
    if (status != RAFT_DONE) {
        raft__result(r, handle, status, 0);
        return;
    }
    struct raft_configuration c = r->latest;
    if (!changed(&c, ev->change.type, ev->change.id, ev->change.address) ||
        !raft_configuration_valid(&c)) {
        raft__result(r, handle, RAFT_INVALID, 0);
        return;
    }
    struct raft_entry e = { .index = r->log.last + 1, .term = r->hard.term, .handle = handle };
    append_configuration(r, &c, &e);
    raft__peers_update(r);
}

int raft__bootstrap(struct raft *r, const struct raft_configuration *c)
{
    if (r->hard.term || r->log.last || !raft_configuration_valid(c)) return ERR_BAD_REQUEST;
    raft__set_hard_state(r, 1, 0, STR_NIL);
    struct raft_entry e = { .index = 1, .term = 1 };
    append_configuration(r, c, &e);
    r->election_ms =
        raft__sole_voter(r) ? r->now : r->now + raft__random(r, r->o.heartbeat_timeout_ms);
    return 0;
}
