/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "autopilot.h"

int64_t autopilot_contact_ns(struct str text)
{
    int64_t ns;
    struct error ignored;
    if (str_is(text, "never")) return -1;
    if (duration_parse(text, &ns, &ignored) != 0) return -1;
    return ns;
}

static void copy(char *to, size_t size, struct str from)
{
    size_t n = from.n < size - 1 ? from.n : size - 1;
    if (n) memcpy(to, from.p, n);
    to[n] = '\0';
}

static const struct autopilot_row *row_of(const struct autopilot_table *t, const char *id)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->rows[i].id, id) == 0) return &t->rows[i];
    return NULL;
}

static bool is_healthy(const struct autopilot_row *r, const struct raft_driver_state *raft,
    const struct autopilot_config *config)
{
    if (r->status != SERF_ALIVE) return false;
    if (r->last_contact_ns < 0 || r->last_contact_ns > config->last_contact_threshold) return false;
    if (r->last_term != raft->last_log_term) return false;
    if (raft->last_log_index <= config->max_trailing_logs) return true;
    return r->last_index >= raft->last_log_index - config->max_trailing_logs;
}

static void fill(struct autopilot_row *r, const struct raft_driver_state *raft,
    const struct raft_driver_server *from, const struct list *servers,
    const struct autopilot_stats *stats)
{
    const struct lan_server *m = lan_server_by_id(servers, from->id);
    *r = (struct autopilot_row){ .status = SERF_NONE, .last_contact_ns = -1 };
    copy(r->id, sizeof r->id, from->id);
    copy(r->address, sizeof r->address, from->address);
    r->leader = raft->leader_address.n && str_eq(from->address, raft->leader_address);
    r->voter = from->suffrage == 0;
    r->staging = from->suffrage > 1;
    if (!m) m = lan_server_by_address(servers, from->address);
    if (!m || m->status == SERF_LEFT) return;
    r->status = m->status;
    copy(r->name, sizeof r->name, m->name);
    copy(r->version, sizeof r->version, m->version);
    if (!stats->known) return;
    r->last_contact_ns = stats->last_contact_ns;
    r->last_term = stats->last_term;
    r->last_index = stats->last_index;
}

void autopilot_judge(struct autopilot_table *t, const struct raft_driver_state *raft,
    const struct list *servers, const struct autopilot_stats *stats,
    const struct autopilot_config *config, int64_t now_wall_ns)
{
    struct autopilot_table before = *t;
    size_t voters = 0, healthy_voters = 0;
    t->n = 0;
    t->healthy = true;
    for (size_t i = 0; i < raft->servers_n && t->n < AUTOPILOT_SERVERS_MAX; i++) {
        struct autopilot_row *r = &t->rows[t->n++];
        fill(r, raft, &raft->servers[i], servers, &stats[i]);
        r->healthy = is_healthy(r, raft, config);
        const struct autopilot_row *old = row_of(&before, r->id);
        bool same = old && old->healthy == r->healthy;
        r->stable_since_ns = same ? old->stable_since_ns : now_wall_ns;
        if (!r->healthy) t->healthy = false;
        if (!r->voter) continue;
        voters++;
        if (r->healthy) healthy_voters++;
    }
    int64_t spare = (int64_t)healthy_voters - (int64_t)(voters / 2 + 1);
    t->failure_tolerance = spare > 0 ? spare : 0;
}

const struct autopilot_row *autopilot_promotion(
    const struct autopilot_table *t, const struct autopilot_config *config, int64_t now_wall_ns)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct autopilot_row *r = &t->rows[i];
        if (r->voter || r->staging || !r->healthy) continue;
        if (now_wall_ns - r->stable_since_ns >= config->server_stabilization_time) return r;
    }
    return NULL;
}

/* --- the dead -------------------------------------------------------------------------------- */

static const struct raft_driver_server *configured(
    const struct raft_driver_state *raft, const struct lan_server *m)
{
    for (size_t i = 0; i < raft->servers_n; i++) {
        const struct raft_driver_server *s = &raft->servers[i];
        if (str_eq(s->address, m->address) || (m->id.n && str_eq(s->id, m->id))) return s;
    }
    return NULL;
}

static void add_failed(struct autopilot_dead *out, const struct raft_driver_state *raft,
    const struct list *servers, bool voters)
{
    for (size_t i = 0; i < servers->n && out->force_n < AUTOPILOT_SERVERS_MAX; i++) {
        const struct lan_server *m = &LIST_AT(servers, struct lan_server, i);
        if (m->status != SERF_FAILED) continue;
        const struct raft_driver_server *have = configured(raft, m);
        bool voter = have && have->suffrage == 0;
        if (voter == voters) out->force[out->force_n++] = m->name;
    }
}

static void add_stale(struct autopilot_dead *out, const struct raft_driver_state *raft,
    const struct list *servers, const bool *heard)
{
    for (size_t i = 0; i < raft->servers_n && i < AUTOPILOT_SERVERS_MAX; i++) {
        const struct raft_driver_server *have = &raft->servers[i];
        if (heard[i] || lan_server_by_address(servers, have->address)) continue;
        out->stale[out->stale_n++] = (struct raft_wish){ DRIVER_REMOVE, have->id, have->address };
    }
}

void autopilot_find_dead(struct autopilot_dead *out, const struct raft_driver_state *raft,
    const struct list *servers, const bool *heard, const struct autopilot_config *config)
{
    size_t voters = 0;
    memset(out, 0, sizeof *out);
    if (!config->cleanup_dead_servers) return;
    for (size_t i = 0; i < raft->servers_n; i++)
        if (raft->servers[i].suffrage == 0) voters++;
    add_failed(out, raft, servers, false);
    size_t others = out->force_n;
    add_failed(out, raft, servers, true);
    add_stale(out, raft, servers, heard);
    size_t dead = out->force_n - others + out->stale_n;
    if (dead == 0) return;
    if (voters < dead || voters - dead < config->min_quorum) {
        out->refused = "too few servers would be left";
    } else if (dead > (voters - 1) / 2) {
        out->refused = "too many servers are dead";
    }
    if (!out->refused) return;
    out->force_n = others;
    out->stale_n = 0;
}
