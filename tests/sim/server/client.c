/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the KV store, one call at a time each, at whatever server is up. Every value is
 * written at most once, so that a read tells which write it saw. An error leaves a write in doubt;
 * a read that failed says nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"
#include "sim.h"

#define CLIENTS 8
#define KEYS 5
#define BIG_VALUE ((size_t)600 << 10) /* becomes chunks of the log */

struct client {
    struct sim *sim;
    int number, node; /* node: of the call under way */
    bool busy;
    struct rpc_call call;
    struct error err;
    struct arena arena;
    struct kvs_request write;
    struct key_request read;
    size_t record;                     /* in the history */
    uint64_t value[KEYS], index[KEYS]; /* as last read */
    int key;
    char key_text[16];
    uint64_t give_up;
};

static struct linear_call *record_of(struct client *c)
{
    return &c->sim->history[c->record];
}

static struct linear_call *begin_record(struct client *c)
{
    struct sim *s = c->sim;
    if (s->history_n == s->history_cap) {
        s->history_cap = s->history_cap ? s->history_cap * 2 : 1024;
        s->history = xrealloc(s->history, s->history_cap * sizeof *s->history);
    }
    c->record = s->history_n++;
    struct linear_call *r = record_of(c);
    *r = (struct linear_call){
        .client = (unsigned)c->number, .began = ++s->clock, .ended = LINEAR_NEVER
    };
    snprintf(r->key, sizeof r->key, "%s", c->key_text);
    s->counts.calls++;
    return r;
}

static void at_rest(struct client *c)
{
    rpc_reply_unref(c->call.reply);
    c->call.reply = NULL;
    arena_reset(&c->arena);
    c->busy = false;
    c->give_up = 0;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void take_read(struct client *c, struct linear_call *r)
{
    const struct indexed_dir_entries *out = c->call.reply->record;
    c->value[c->key] = c->index[c->key] = 0;
    if (out->entries.n) {
        const struct dir_entry *e = &LIST_AT(&out->entries, struct dir_entry, 0);
        struct str number = e->value, rest;
        (void)str_cut(e->value, ' ', &number, &rest);
        if (!str_to_u64(number, &c->value[c->key]))
            sim_fail(c->sim, "key %s holds what nobody wrote", c->key_text);
        c->index[c->key] = e->modify_index;
    }
    r->value = c->value[c->key];
}

static void on_done(struct rpc_call *call)
{
    struct client *c = call->ctx;
    struct sim *s = c->sim;
    struct linear_call *r = record_of(c);
    if (call->code == 0) {
        r->ended = ++s->clock;
        r->ok = true;
        s->counts.acked++;
        if (r->kind == LINEAR_READ) take_read(c, r);
        if (r->kind == LINEAR_CAS) r->ok = *(const bool *)call->reply->record;
    } else {
        s->counts.unknown += r->kind != LINEAR_READ;
        sim_trace(s, c->node, "client %d: %s", c->number, c->err.text);
    }
    at_rest(c);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void submit(struct client *c, struct sim_node *n, const char *method, const void *args)
{
    c->busy = true;
    c->node = n->number;
    c->give_up = c->sim->now + CALL_TIMEOUT_MS;
    c->err.code = 0;
    c->call = (struct rpc_call){ .method = method,
        .args = args,
        .arena = &c->arena,
        .done = on_done,
        .ctx = c,
        .err = &c->err };
    rpc_submit(server_rpc(n->server), &c->call);
}

static void read_key(struct client *c, struct sim_node *n)
{
    begin_record(c)->kind = LINEAR_READ;
    bool stale = c->sim->wrong == WRONG_STALE;
    c->read = (struct key_request){ .datacenter = STR("dc1"),
        .key = str_of(c->key_text),
        .require_consistent = !stale,
        .allow_stale = stale };
    submit(c, n, "KVS.Get", &c->read);
}

static struct str value_text(struct client *c, uint64_t value)
{
    struct str text = str_printf(&c->arena, "%llu ", (unsigned long long)value);
    if (!prng_chance(&c->sim->prng, 1, 200)) return text;
    char *big = arena_alloc(&c->arena, BIG_VALUE);
    memset(big, 'x', BIG_VALUE);
    memcpy(big, text.p, text.n);
    return (struct str){ big, BIG_VALUE };
}

static void write_key(struct client *c, struct sim_node *n, const char *op)
{
    struct linear_call *r = begin_record(c);
    bool cas = strcmp(op, "cas") == 0, removes = strcmp(op, "delete") == 0;
    r->kind = cas ? LINEAR_CAS : LINEAR_WRITE;
    r->value = removes ? LINEAR_NOTHING : r->began; /* of which there is one */
    r->expect = cas ? c->value[c->key] : 0;
    c->write = (struct kvs_request){ .datacenter = STR("dc1"),
        .op = str_of(op),
        .dir_ent = { .key = str_of(c->key_text), .modify_index = cas ? c->index[c->key] : 0 } };
    if (!removes) c->write.dir_ent.value = value_text(c, r->value);
    submit(c, n, "KVS.Apply", &c->write);
}

static void act(struct sim *s, struct event *e)
{
    struct client *c = e->p;
    struct sim_node *n = &s->nodes[e->world->node];
    if (c->busy || !n->server || n->leaving) return;
    c->key = (int)prng_below(&s->prng, KEYS);
    snprintf(c->key_text, sizeof c->key_text, "key-%d", c->key);
    uint64_t dice = prng_below(&s->prng, 100);
    if (dice < 40)
        read_key(c, n);
    else if (dice < 70)
        write_key(c, n, "set");
    else if (dice < 93)
        write_key(c, n, "cas");
    else
        write_key(c, n, "delete");
}

/* --- the pace --------------------------------------------------------------------------------- */

static void on_give_up(struct sim *s, struct event *e)
{
    struct client *c = e->p;
    struct sim_node *n = &s->nodes[c->node];
    if (!c->busy || !c->give_up || s->now < c->give_up || !n->server) return;
    rpc_cancel(server_rpc(n->server), &c->call);
    s->counts.unknown += record_of(c)->kind != LINEAR_READ;
    at_rest(c);
}

static void pace(struct sim *s, struct event *e)
{
    struct client *c = e->p;
    int k = (int)prng_below(&s->prng, (uint64_t)s->nodes_n);
    if (!c->busy && s->nodes[k].up)
        sim_at(s, 0, &s->nodes[k].world, act, c, 0);
    else if (c->busy && s->now >= c->give_up && s->nodes[c->node].up)
        sim_at(s, 0, &s->nodes[c->node].world, on_give_up, c, 0);
    sim_at(s, 1 + prng_below(&s->prng, 2 * s->weather.client_ms), NULL, pace, c, 0);
}

void clients_start(struct sim *s)
{
    s->clients_n = CLIENTS;
    s->clients = xcalloc(CLIENTS, sizeof *s->clients);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &s->clients[i];
        c->sim = s;
        c->number = i;
        sim_at(s, 10, NULL, pace, c, 0);
    }
}

void clients_forget(struct sim *s, int node)
{
    for (size_t i = 0; i < s->clients_n; i++) {
        struct client *c = &s->clients[i];
        if (!c->busy || c->node != node) continue;
        if (s->nodes[node].server) rpc_cancel(server_rpc(s->nodes[node].server), &c->call);
        s->counts.unknown += record_of(c)->kind != LINEAR_READ;
        at_rest(c);
    }
}

void clients_free(struct sim *s)
{
    for (size_t i = 0; i < s->clients_n; i++)
        arena_free(&s->clients[i].arena);
    free(s->clients);
    free(s->history);
}
