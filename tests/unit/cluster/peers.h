/* SPDX-License-Identifier: Apache-2.0 */
/* Several raft drivers in one fake world, joined by a network of the test's own: messages are
 * copied, delivered at the next turn, and lost between servers that are cut off. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consuld/cluster.h"
#include "consuld/raft.h"
#include "consuld/store.h"
#include "consuld/store_snapshot.h"
#include "world/fake_world.h"
#include "world/faulty_disk.h"
#include "world/openssl_digest.h"
#include "world/scratch.h"

#define PEERS_MAX 5
#define CALLS_MAX 4096

struct cluster;

struct peer {
    struct raft_driver_transport transport;
    struct cluster *cluster;
    size_t number;
    char id[40], address[40];
    char *dir;
    char raft_dir[4200];
    struct faulty_disk disk;
    struct store *store;
    struct raft_driver *driver; /* NULL: down */
    bool cut;                   /* no message passes */
    bool slow;                  /* takes heartbeats, but no entries */
    bool stopped;
};

/* A request on its way or being answered. */
struct call {
    size_t from, to;
    uint64_t rpc; /* of the sender */
};

struct mail {
    struct link link;
    struct arena arena;
    size_t from, to;
    struct raft_message m;
    struct raft_configuration configuration;
    struct shared_body *snapshot;
};

struct cluster {
    struct world world;
    struct peer peers[PEERS_MAX];
    size_t n;
    struct call calls[CALLS_MAX];
    uint64_t next_call;
    struct link mails;
    uint64_t snapshots_sent;
};

static bool is_request(const struct raft_message *m)
{
    return m->type < RAFT_APPEND_ENTRIES_RESPONSE;
}

static void copy_append_entries(struct peer *p, struct mail *mail)
{
    struct raft_append_entries *ae = &mail->m.append_entries;
    struct error err;
    ae->leader = str_dup(&mail->arena, ae->leader);
    if (!ae->n) return;
    struct raft_entry *entries = arena_array(&mail->arena, ae->n, sizeof *entries);
    for (size_t i = 0; i < ae->n; i++) {
        uint64_t index = ae->prev_index + 1 + i;
        if (raft_driver_entry(p->driver, index, &mail->arena, &entries[i], &err))
            fail_msg("%s", err.text);
        entries[i].data = str_dup(&mail->arena, entries[i].data);
        entries[i].extensions = str_dup(&mail->arena, entries[i].extensions);
        entries[i].handle = 0;
    }
    ae->entries = entries;
}

static void copy_snapshot(struct peer *p, struct mail *mail)
{
    struct raft_install_snapshot *s = &mail->m.install_snapshot;
    struct snapshot_meta meta;
    struct error err;
    bool found;
    char dir[4300];
    snprintf(dir, sizeof dir, "%s/snapshots", p->raft_dir);
    if (snapshot_file_newest(dir, &mail->arena, &meta, &found, &err) || !found)
        fail_msg("no snapshot to send");
    assert_int_equal(meta.index, s->last_log_index);
    if (snapshot_file_open(dir, &meta, &mail->snapshot, &err)) fail_msg("%s", err.text);
    mail->configuration = *s->configuration;
    s->configuration = &mail->configuration;
    s->leader = str_dup(&mail->arena, s->leader);
    p->cluster->snapshots_sent++;
}

static void on_send(struct raft_driver_transport *t, const struct raft_message *m)
{
    struct peer *p = container_of(t, struct peer, transport);
    struct cluster *c = p->cluster;
    struct mail *mail = calloc(1, sizeof *mail);
    mail->m = *m;
    mail->from = p->number;
    if (is_request(m)) {
        for (size_t i = 0; i < c->n; i++)
            if (!strcmp(c->peers[i].id, m->peer_id)) mail->to = i;
        uint64_t call = ++c->next_call;
        c->calls[call % CALLS_MAX] =
            (struct call){ .from = p->number, .to = mail->to, .rpc = m->rpc };
        mail->m.rpc = call;
        mail->m.peer_id = mail->m.peer_address = NULL;
        if (m->type == RAFT_APPEND_ENTRIES) copy_append_entries(p, mail);
        if (m->type == RAFT_INSTALL_SNAPSHOT) copy_snapshot(p, mail);
        if (m->type == RAFT_REQUEST_VOTE)
            mail->m.request_vote.candidate = str_dup(&mail->arena, m->request_vote.candidate);
    } else {
        struct call *call = &c->calls[m->rpc % CALLS_MAX];
        mail->to = call->from;
        mail->m.rpc = call->rpc;
        mail->m.peer_id = p->id;
    }
    link_init(&mail->link);
    link_push(&c->mails, &mail->link);
}

static void fail_call(struct cluster *c, const struct mail *mail)
{
    struct peer *sender = &c->peers[mail->from];
    if (!is_request(&mail->m) || !sender->driver) return;
    uint64_t rpc = c->calls[mail->m.rpc % CALLS_MAX].rpc;
    raft_driver_rpc_failed(sender->driver, c->peers[mail->to].id, rpc, false);
}

static void answer_probe(struct cluster *c, const struct mail *mail)
{
    struct raft_message m = { .type = RAFT_PROBE_RESPONSE,
        .rpc = c->calls[mail->m.rpc % CALLS_MAX].rpc,
        .peer_id = c->peers[mail->to].id };
    if (c->peers[mail->from].driver) raft_driver_receive(c->peers[mail->from].driver, &m);
}

static void deliver(struct cluster *c, struct mail *mail)
{
    struct peer *to = &c->peers[mail->to];
    bool passes = to->driver && !to->stopped && !to->cut && !c->peers[mail->from].cut;
    if (!passes) {
        fail_call(c, mail);
    } else if (mail->m.type == RAFT_PROBE) {
        answer_probe(c, mail);
    } else if (mail->m.type == RAFT_INSTALL_SNAPSHOT) {
        raft_driver_receive_snapshot(to->driver, &mail->m, mail->snapshot);
    } else {
        raft_driver_receive(to->driver, &mail->m);
    }
}

static void drop(struct mail *mail)
{
    shared_body_unref(mail->snapshot);
    arena_free(&mail->arena);
    free(mail);
}

static void deliver_all(struct cluster *c)
{
    struct link now, *l;
    link_init(&now);
    while ((l = link_pop(&c->mails)))
        link_push(&now, l);
    while ((l = link_pop(&now))) {
        struct mail *mail = container_of(l, struct mail, link);
        bool entries = mail->m.type == RAFT_APPEND_ENTRIES && mail->m.append_entries.n;
        if (entries && c->peers[mail->to].slow) {
            link_push(&c->mails, l);
            continue;
        }
        deliver(c, mail);
        drop(mail);
    }
}

static void cluster_advance(struct cluster *c, uint64_t ms)
{
    for (uint64_t end = c->world.now_ms + ms; c->world.now_ms < end; c->world.now_ms += 10) {
        deliver_all(c);
        fake_world_turn(&c->world);
        fake_world_run_jobs(&c->world);
    }
}

static void peer_boot(struct cluster *c, size_t i, bool bootstrap)
{
    struct peer *p = &c->peers[i];
    struct error err = { 0 };
    struct store_options so = { .dir = p->dir, .map_size = 32u << 20, .boot_id = "one" };
    struct store_report report;
    if (store_open(&so, &p->store, &report, &err)) fail_msg("%s", err.text);
    struct raft_driver_options o = { .world = &c->world,
        .store = p->store,
        .dir = p->raft_dir,
        .id = str_of(p->id),
        .address = str_of(p->address),
        .bootstrap = bootstrap,
        .multiplier = 1,
        .trailing_logs = 5,
        .digest = &digest_openssl,
        .transport = &p->transport,
        .disk = &p->disk.disk };
    if (raft_driver_create(&o, &p->driver, &err)) fail_msg("%s", err.text);
    p->stopped = false;
    raft_driver_start(p->driver);
}

static void on_peer_stopped(void *ctx)
{
    ((struct peer *)ctx)->stopped = true;
}

static void peer_halt(struct cluster *c, size_t i)
{
    struct peer *p = &c->peers[i];
    bool stopped = false;
    if (!p->driver) return;
    raft_driver_stop(p->driver, on_peer_stopped, p);
    for (int k = 0; k < 100 && !stopped; k++) {
        fake_world_turn(&c->world);
        fake_world_run_jobs(&c->world);
        stopped = p->stopped;
    }
    assert_true(stopped);
    raft_driver_destroy(p->driver);
    p->driver = NULL;
    fake_world_run_jobs(&c->world);
    store_close(p->store);
    p->store = NULL;
}

static struct cluster *cluster_create(size_t n)
{
    struct cluster *c = calloc(1, sizeof *c);
    fake_world_init(&c->world);
    link_init(&c->mails);
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        struct peer *p = &c->peers[i];
        p->transport.send = on_send;
        p->cluster = c;
        p->number = i;
        snprintf(p->id, sizeof p->id, "00000000-0000-0000-0000-00000000000%zu", i + 1);
        snprintf(p->address, sizeof p->address, "127.0.0.%zu:8300", i + 1);
        p->dir = scratch_create();
        snprintf(p->raft_dir, sizeof p->raft_dir, "%s/raft", p->dir);
        faulty_disk_init(&p->disk, ENOSPC);
    }
    return c;
}

static void cluster_destroy(struct cluster *c)
{
    struct link *l;
    for (size_t i = 0; i < c->n; i++) {
        peer_halt(c, i);
        scratch_destroy(c->peers[i].dir);
    }
    while ((l = link_pop(&c->mails)))
        drop(container_of(l, struct mail, link));
    free(c);
}
