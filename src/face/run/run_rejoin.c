/* SPDX-License-Identifier: Apache-2.0 */
/* When a server was last part of its cluster. The others remember only for a while what was
 * deleted and who left; a server that was away for longer brings back what they have forgotten. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

#define NS_PER_S INT64_C(1000000000)
#define NOTE_INTERVAL_MS 3600000
#define FORGOTTEN_S (72 * 3600) /* failed members are reaped from gossip */
#define TEXT_MAX 256

static const char *path_of(const struct run *r, struct arena *a, const char *tail)
{
    return str_printf(a, "%.*s/server_metadata.json%s", STR_ARG(r->config->data_dir), tail).p;
}

static bool is_kept(const struct run *r)
{
    return r->config->server_mode && r->config->data_dir.n && !r->config->dev_mode;
}

/* Seconds since 1970; false: never, or nobody knows. */
static bool last_seen(const struct run *r, struct arena *a, int64_t *out)
{
    char text[TEXT_MAX];
    FILE *f = fopen(path_of(r, a, ""), "re");
    if (!f) return false;
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct value v;
    struct error ignored;
    if (json_parse((struct str){ text, n }, a, &v, &ignored)) return false;
    const struct value *seen = value_get(&v, STR("last_seen_unix"));
    return seen && seen->kind == V_NUMBER && str_to_i64(seen->s, out);
}

int run_rejoin_check(struct run *r, struct error *err)
{
    struct arena a = ARENA_INIT;
    int64_t seen, most = r->config->server_rejoin_age_max / NS_PER_S;
    int64_t now = world_wall_ns(r->world) / NS_PER_S;
    int failed = 0;
    if (is_kept(r) && last_seen(r, &a, &seen)) {
        long long away = now - seen;
        if (most > 0 && away > most)
            failed = error_set(err, ERR_BAD_REQUEST,
                "this server was last part of its cluster %lld hours ago, and "
                "server_rejoin_age_max "
                "allows %lld: it may bring back what the others have deleted and forgotten. Empty "
                "data_dir (%.*s) to let it join as a new server, or raise server_rejoin_age_max",
                away / 3600, (long long)most / 3600, STR_ARG(r->config->data_dir));
        else if (away > FORGOTTEN_S)
            log_warn("agent.server",
                "this server was away for longer than others remember what was deleted", "hours",
                str_printf(&a, "%lld", away / 3600).p);
    }
    arena_free(&a);
    return failed;
}

/* Without a sync: what a crash leaves is older, or unreadable, which says nothing. */
static void note(struct run *r)
{
    struct arena a = ARENA_INIT;
    if (!raft_driver_state(r->raft).leader_address.n) return;
    const char *path = path_of(r, &a, ""), *fresh = path_of(r, &a, ".new");
    FILE *f = fopen(fresh, "we");
    bool written = f && fprintf(f, "{\"last_seen_unix\":%lld}\n",
                            (long long)(world_wall_ns(r->world) / NS_PER_S)) > 0;
    if (f) written = fclose(f) == 0 && written;
    if (!written || rename(fresh, path) != 0)
        log_warn(
            "agent.server", "cannot note when this server was part of its cluster", "path", path);
    r->seen = true;
    arena_free(&a);
}

static void on_timer(struct timer *t)
{
    note(container_of(t, struct run, seen_timer));
    timer_start(t, NOTE_INTERVAL_MS);
}

static void on_state(struct raft_driver_observer *o, const struct raft_driver_state *state)
{
    struct run *r = container_of(o, struct run, seen_raft);
    if (!r->seen && state->leader_address.n) note(r);
}

void run_rejoin_start(struct run *r)
{
    if (!is_kept(r)) return;
    r->seen_raft = (struct raft_driver_observer){ .changed = on_state };
    raft_driver_observe(r->raft, &r->seen_raft);
    timer_init(&r->seen_timer, r->world, on_timer);
    timer_start(&r->seen_timer, NOTE_INTERVAL_MS);
}

void run_rejoin_stop(struct run *r)
{
    if (!timer_active(&r->seen_timer)) return;
    timer_stop(&r->seen_timer);
    raft_driver_unobserve(&r->seen_raft);
    note(r);
}
