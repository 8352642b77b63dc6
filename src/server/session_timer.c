/* SPDX-License-Identifier: Apache-2.0 */
/* Session TTLs (leader.md 6): a timer of twice the TTL for each session that has one, on the leader
 * alone. What runs out is destroyed through the log. */
#include <stdlib.h>

#include "server.h"

#define ATTEMPTS_MAX 6
#define RETRY_MS 10000

struct session_timers {
    struct server *server;
    struct map by_id;
};

struct session_timer {
    struct session_timers *all;
    char *id;
    unsigned attempts;
    struct timer timer;
    struct raft_driver_request *raft; /* while a destroy is on its way */
    uint64_t began_us;                /* that destroy */
};

uint64_t server__session_ttl_ms(struct str ttl)
{
    int64_t ns;
    if (ttl.n == 0 || duration_parse(ttl, &ns, NULL) || ns <= 0) return 0;
    return (uint64_t)ns / 1000000;
}

static void drop(struct session_timer *t)
{
    map_remove(&t->all->by_id, str_of(t->id));
    t->all->server->stats.sessions_ttl--;
    timer_stop(&t->timer);
    if (t->raft) raft_driver_forget(t->raft);
    free(t->raft);
    free(t->id);
    free(t);
}

static void destroyed(struct raft_driver_request *r)
{
    struct session_timer *t = r->ctx;
    server__measure(t->all->server, MEASURE_SESSION_INVALIDATE, t->began_us);
    if (r->code == 0) {
        drop(t);
        return;
    }
    if (t->attempts >= ATTEMPTS_MAX) {
        log_error(SERVER_LOG, "maximum destroy attempts reached for session", "session", t->id);
        drop(t);
        return;
    }
    log_error(SERVER_LOG, "session destroy failed", "session", t->id, "error", r->err.text);
    timer_start(&t->timer, (uint64_t)RETRY_MS << (t->attempts - 1));
}

static void expired(struct timer *timer)
{
    struct session_timer *t = container_of(timer, struct session_timer, timer);
    struct server *s = t->all->server;
    struct arena a = ARENA_INIT;
    struct session *session = NULL;
    store_session(store_read(s->store), NULL, str_of(t->id), &a, &session);
    if (!session) {
        drop(t);
    } else {
        struct session_request req = {
            .datacenter = s->opts.datacenter, .op = STR("destroy"), .session.id = str_of(t->id)
        };
        if (t->attempts++ == 0) log_debug(SERVER_LOG, "Session TTL expired", "session", t->id);
        if (!t->raft) t->raft = xcalloc(1, sizeof *t->raft);
        t->began_us = server__measure_from(s);
        *t->raft = (struct raft_driver_request){ .done = destroyed, .ctx = t };
        server__propose(s, t->raft, COMMAND_SESSION, &req);
    }
    arena_free(&a);
}

void server__session_touch(struct server *s, const struct session *session)
{
    struct session_timers *all = s->session_timers;
    uint64_t ttl = server__session_ttl_ms(session->ttl);
    struct session_timer *t = map_get(&all->by_id, session->id);
    if (ttl == 0) {
        if (t) drop(t);
        return;
    }
    if (!t) {
        t = xcalloc(1, sizeof *t);
        t->all = all;
        t->id = xcalloc(1, session->id.n + 1);
        for (size_t i = 0; i < session->id.n; i++)
            t->id[i] = session->id.p[i];
        timer_init(&t->timer, s->world, expired);
        map_put(&all->by_id, session->id, t);
        s->stats.sessions_ttl++;
    } else if (t->attempts) {
        return; /* already on its way out */
    }
    timer_start(&t->timer, 2 * ttl);
}

void server__session_drop(struct server *s, struct str id)
{
    struct session_timer *t = map_get(&s->session_timers->by_id, id);
    if (t) drop(t);
}

void server__sessions_start(struct server *s)
{
    struct arena a = ARENA_INIT;
    struct list sessions = { 0 };
    store_sessions(store_read(s->store), NULL, &a, &sessions);
    for (size_t i = 0; i < sessions.n; i++) {
        server__session_touch(s, &LIST_AT(&sessions, struct session, i));
    }
    arena_free(&a);
}

void server__sessions_stop(struct server *s)
{
    struct str key;
    void *value;
    for (size_t it = 0; map_next(&s->session_timers->by_id, &it, &key, &value);)
        drop(value);
}

void server__sessions_init(struct server *s)
{
    s->session_timers = xcalloc(1, sizeof *s->session_timers);
    s->session_timers->server = s;
}

void server__sessions_deinit(struct server *s)
{
    server__sessions_stop(s);
    map_deinit(&s->session_timers->by_id);
    free(s->session_timers);
}
