/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the KV store, one call at a time each, at whatever server is up. Every value is
 * written at most once, so that a read tells which write it saw. An error leaves a write in doubt;
 * a read that failed says nothing. Beside plain keys there are locks, which hold sessions, and a
 * pair of keys that transactions alone write, both the same: for the history one key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"
#include "sim.h"

#define CLIENTS 8
#define KEYS 5  /* plain ones */
#define LOCKS 2 /* behind them */
#define PAIR (KEYS + LOCKS)
#define ALL_KEYS (PAIR + 1)
#define NODE "clients"                /* of the sessions: gossip does not know it */
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
    struct txn_request change;
    struct txn_read_request look;
    struct register_request node_record;
    struct session_request create;
    bool node_known;
    char session[40];                          /* empty: none yet */
    size_t record;                             /* in the history; SETUP: of no call there */
    uint64_t value[ALL_KEYS], index[ALL_KEYS]; /* as last read */
    int key;
    char key_text[16];
    uint64_t give_up;
};

#define SETUP SIZE_MAX

/* NULL: the call is of none. */
static struct linear_call *record_of(struct client *c)
{
    return c->record == SETUP ? NULL : &c->sim->history[c->record];
}

static void in_doubt(struct client *c)
{
    const struct linear_call *r = record_of(c);
    c->sim->counts.unknown += r && r->kind != LINEAR_READ;
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

static uint64_t number_of(struct client *c, const struct dir_entry *e)
{
    struct str number = e->value, rest;
    uint64_t value = 0;
    (void)str_cut(e->value, ' ', &number, &rest);
    if (!str_to_u64(number, &value))
        sim_fail(c->sim, "key %s holds what nobody wrote", c->key_text);
    return value;
}

/* Who has the lock: the number of a client, from one on. */
static uint64_t holder_of(struct client *c, const struct dir_entry *e)
{
    const struct sim *s = c->sim;
    if (e->session.n == 0) return LINEAR_NOTHING;
    for (size_t i = 0; i < s->clients_n; i++)
        if (str_is(e->session, s->clients[i].session)) return i + 1;
    sim_fail(c->sim, "nobody's session has %s", c->key_text);
    return LINEAR_NOTHING;
}

static void take_read(struct client *c, struct linear_call *r)
{
    const struct indexed_dir_entries *out = c->call.reply->record;
    c->value[c->key] = c->index[c->key] = 0;
    if (out->entries.n) {
        const struct dir_entry *e = &LIST_AT(&out->entries, struct dir_entry, 0);
        c->value[c->key] = c->key < KEYS ? number_of(c, e) : holder_of(c, e);
        c->index[c->key] = e->modify_index;
    }
    r->value = c->value[c->key];
}

static void take_pair(struct client *c, struct linear_call *r)
{
    const struct txn_read_response *out = c->call.reply->record;
    uint64_t seen[2] = { 0 };
    c->index[PAIR] = 0;
    for (size_t i = 0; i < out->results.n && i < 2; i++) {
        const struct dir_entry *e = LIST_AT(&out->results, struct txn_result, i).kv;
        seen[i] = number_of(c, e);
        if (i == 0) c->index[PAIR] = e->modify_index;
    }
    if (seen[0] != seen[1]) sim_fail(c->sim, "half of a transaction is seen");
    r->value = c->value[PAIR] = seen[0];
}

/* What is no part of the history. */
static void take_setup(struct client *c)
{
    const struct str *id = c->call.reply->record;
    if (strcmp(c->call.method, "Session.Apply") == 0)
        snprintf(c->session, sizeof c->session, "%.*s", STR_ARG(*id));
    else
        c->node_known = true;
}

static void take_answer(struct client *c, struct linear_call *r)
{
    bool txn = strcmp(c->call.method, "Txn.Apply") == 0;
    const void *record = c->call.reply->record;
    if (r->kind == LINEAR_READ)
        (c->key == PAIR ? take_pair : take_read)(c, r);
    else if (txn)
        r->ok = ((const struct txn_response *)record)->errors.n == 0;
    else if (r->kind != LINEAR_WRITE)
        r->ok = *(const bool *)record;
}

static void on_done(struct rpc_call *call)
{
    struct client *c = call->ctx;
    struct sim *s = c->sim;
    struct linear_call *r = record_of(c);
    if (call->code == 0 && !r) {
        take_setup(c);
    } else if (call->code == 0) {
        r->ended = ++s->clock;
        r->ok = true;
        s->counts.acked++;
        take_answer(c, r);
    } else {
        in_doubt(c);
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

/* --- locks and transactions -------------------------------------------------------------------
 */

/* A node, then a session of it; both may be made more than once. */
static void set_up(struct client *c, struct sim_node *n)
{
    c->record = SETUP;
    c->node_record = (struct register_request){
        .datacenter = STR("dc1"), .node = STR(NODE), .address = STR("10.9.9.9")
    };
    c->create = (struct session_request){
        .datacenter = STR("dc1"), .op = STR("create"), .session.node = STR(NODE)
    };
    if (!c->node_known)
        submit(c, n, "Catalog.Register", &c->node_record);
    else
        submit(c, n, "Session.Apply", &c->create);
}

static void lock(struct client *c, struct sim_node *n, bool acquire)
{
    struct linear_call *r = begin_record(c);
    r->kind = acquire ? LINEAR_ACQUIRE : LINEAR_RELEASE;
    r->value = (uint64_t)c->number + 1;
    c->write = (struct kvs_request){ .datacenter = STR("dc1"),
        .op = acquire ? STR("lock") : STR("unlock"),
        .dir_ent = { .key = str_of(c->key_text), .session = str_of(c->session) } };
    submit(c, n, "KVS.Apply", &c->write);
}

static void add_op(struct client *c, struct list *ops, const char *verb, struct dir_entry e)
{
    struct txn_op *op = LIST_PUSH(&c->arena, ops, struct txn_op);
    op->kv = arena_new(&c->arena, struct txn_kv_op);
    op->kv->verb = str_of(verb);
    op->kv->dir_ent = e;
}

static void read_pair(struct client *c, struct sim_node *n)
{
    begin_record(c)->kind = LINEAR_READ;
    bool stale = c->sim->wrong == WRONG_STALE;
    c->look = (struct txn_read_request){
        .datacenter = STR("dc1"), .require_consistent = !stale, .allow_stale = stale
    };
    add_op(c, &c->look.ops, "get-tree", (struct dir_entry){ .key = STR("pair-") });
    submit(c, n, "Txn.Read", &c->look);
}

static void write_pair(struct client *c, struct sim_node *n, bool cas)
{
    struct linear_call *r = begin_record(c);
    r->kind = cas ? LINEAR_CAS : LINEAR_WRITE;
    r->value = r->began;
    r->expect = cas ? c->value[PAIR] : 0;
    c->change = (struct txn_request){ .datacenter = STR("dc1") };
    struct dir_entry e = { .key = STR("pair-1"),
        .value = str_printf(&c->arena, "%llu ", (unsigned long long)r->value),
        .modify_index = cas ? c->index[PAIR] : 0 };
    add_op(c, &c->change.ops, cas ? "cas" : "set", e);
    e.key = STR("pair-2");
    add_op(c, &c->change.ops, "set", e);
    submit(c, n, "Txn.Apply", &c->change);
}

static void use_lock(struct client *c, struct sim_node *n, uint64_t dice)
{
    c->key = KEYS + (int)(dice % LOCKS);
    snprintf(c->key_text, sizeof c->key_text, "lock-%d", c->key);
    if (dice < 30)
        read_key(c, n);
    else if (!c->session[0])
        set_up(c, n);
    else
        lock(c, n, dice < 70);
}

static void use_pair(struct client *c, struct sim_node *n, uint64_t dice)
{
    c->key = PAIR;
    snprintf(c->key_text, sizeof c->key_text, "pair");
    if (dice < 40)
        read_pair(c, n);
    else
        write_pair(c, n, dice < 70);
}

static void act(struct sim *s, struct event *e)
{
    struct client *c = e->p;
    struct sim_node *n = &s->nodes[e->world->node];
    if (c->busy || !n->server || n->leaving) return;
    c->key = (int)prng_below(&s->prng, ALL_KEYS);
    uint64_t dice = prng_below(&s->prng, 100);
    if (c->key >= KEYS) {
        (c->key == PAIR ? use_pair : use_lock)(c, n, dice);
        return;
    }
    snprintf(c->key_text, sizeof c->key_text, "key-%d", c->key);
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
    in_doubt(c);
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
        in_doubt(c);
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
