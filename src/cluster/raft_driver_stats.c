/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_driver.h"

static struct str number(struct arena *a, uint64_t v)
{
    return str_printf(a, "%llu", (unsigned long long)v);
}

static struct str contact(const struct raft_driver_state *st, struct arena *a)
{
    struct buf text = BUF_INIT(64);
    if (st->role == DRIVER_LEADER) return STR("0");
    if (!st->contact_known) return STR("never");
    duration_format((int64_t)st->last_contact_ms * 1000000, &text);
    struct str out = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    return out;
}

static const char *suffrage_name(uint8_t suffrage)
{
    return suffrage == RAFT_VOTER ? "Voter" : suffrage == RAFT_NONVOTER ? "Nonvoter" : "Staging";
}

static struct str configuration(const struct raft_driver_state *st, struct arena *a)
{
    struct buf text = BUF_INIT(64 * 1024);
    buf_put_char(&text, '[');
    for (size_t i = 0; i < st->servers_n; i++) {
        const struct raft_driver_server *s = &st->servers[i];
        buf_printf(&text, "%s{Suffrage:%s ID:%.*s Address:%.*s}", i ? " " : "",
            suffrage_name(s->suffrage), STR_ARG(s->id), STR_ARG(s->address));
    }
    buf_put_char(&text, ']');
    struct str out = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    return out;
}

/* Other voters, as long as this server is a member. */
static uint64_t peers(const struct raft_driver *d, const struct raft_driver_state *st)
{
    uint64_t others = 0;
    bool member = false;
    for (size_t i = 0; i < st->servers_n; i++) {
        if (str_is(st->servers[i].id, d->id))
            member = st->servers[i].suffrage == RAFT_VOTER;
        else if (st->servers[i].suffrage == RAFT_VOTER)
            others++;
    }
    return member ? others : 0;
}

size_t raft_driver_stats(
    struct raft_driver *d, struct arena *a, const struct raft_driver_stat **out)
{
    struct raft_driver_state st = raft_driver_state(d);
    uint64_t pending = st.commit_index > st.applied_index ? st.commit_index - st.applied_index : 0;
    const struct raft_driver_stat rows[] = {
        { "applied_index", number(a, st.applied_index) },
        { "commit_index", number(a, st.commit_index) },
        { "fsm_pending", number(a, pending) },
        { "last_contact", contact(&st, a) },
        { "last_log_index", number(a, st.last_log_index) },
        { "last_log_term", number(a, st.last_log_term) },
        { "last_snapshot_index", number(a, st.last_snapshot_index) },
        { "last_snapshot_term", number(a, st.last_snapshot_term) },
        { "latest_configuration", configuration(&st, a) },
        { "latest_configuration_index", STR("0") },
        { "num_peers", number(a, peers(d, &st)) },
        { "protocol_version", STR("3") },
        { "protocol_version_max", STR("3") },
        { "protocol_version_min", STR("0") },
        { "snapshot_version_max", STR("1") },
        { "snapshot_version_min", STR("0") },
        { "state", str_of(raft_driver_role_name(st.role)) },
        { "term", number(a, st.term) },
    };
    *out = arena_copy(a, rows, sizeof rows);
    return sizeof rows / sizeof rows[0];
}
