/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for client agents that have none (rpc.md 11): the calls, and the roots by which
 * every server knows them again. */
#include "consuld/base/tls.h"
#include "consuld/wire/quote.h"
#include "server.h"

#define WIRE_LENGTH 2
#define FIELD_DATACENTER 1
#define ROOTS_RETRY_MS 30000

/* --- AutoEncrypt.Sign ------------------------------------------------------------------------ */

int auto_encrypt_admit(const struct server *s, const void *args, struct error *err)
{
    (void)args;
    if (!s->opts.certifier)
        return error_set(
            err, ERR_INTERNAL, "Connect must be enabled in order to use this endpoint");
    if (!s->opts.auto_encrypt)
        return error_set(err, ERR_INTERNAL,
            "AutoEncrypt.AllowTLS must be enabled in order to use this endpoint");
    return 0;
}

static int give_roots(struct write *w, struct arena *a, struct indexed_ca_roots *out)
{
    struct server *s = w->p.server;
    const struct type *t = &type_indexed_ca_roots;
    struct rpc_reply *found = rpc_reply_create(t);
    found->record = arena_alloc(&found->arena, t->size);
    struct eval e = { .server = s, .reply = found, .rd = store_read(s->store), .err = w->err };
    int rc = connect_ca_roots(&e);
    if (rc == 0 && store_read_failed(e.rd, w->err)) rc = ERR_IO;
    if (rc == 0) record_copy(a, t, out, found->record);
    out->index = found->index;
    rpc_reply_unref(found);
    return rc;
}

/* The signing fills the certificate into the reply, which begins with it. */
_Static_assert(offsetof(struct signed_response, issued_cert) == 0, "the certificate comes first");

int auto_encrypt_sign(struct write *w)
{
    const struct tls *tls = w->p.server->opts.tls;
    struct rpc_reply *reply = write_reply(w);
    struct arena *a = &reply->arena;
    struct signed_response *out = reply->record;
    int rc = give_roots(w, a, &out->connect_ca_roots);
    if (rc) return rc;
    if (out->connect_ca_roots.roots.n == 0) /* the signing might come after the first root */
        return error_set(w->err, ERR_INTERNAL, "internal error: CA root is nil");
    for (size_t i = 0; tls && i < tls->facts.n_cas; i++)
        *LIST_PUSH(a, &out->manual_ca_roots, struct str) = str_dup(a, tls->facts.cas[i]);
    out->verify_server_hostname = tls && tls->facts.verify_names;
    return connect_ca_sign(w);
}

/* --- AutoConfig.InitialConfiguration ---------------------------------------------------------- */

static bool take_varint(struct str *in, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; in->n && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)in->p[0];
        *in = str_slice(*in, 1, in->n);
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

/* Of a protobuf message whose fields are all texts; nil if it names none. */
static struct str requested_datacenter(struct str message)
{
    struct str found = STR_NIL;
    uint64_t tag, n;
    while (take_varint(&message, &tag) && (tag & 7) == WIRE_LENGTH && take_varint(&message, &n) &&
           n <= message.n) {
        if (tag >> 3 == FIELD_DATACENTER) found = str_slice(message, 0, (size_t)n);
        message = str_slice(message, (size_t)n, message.n);
    }
    return found;
}

int auto_config_admit(const struct server *s, const void *args, struct error *err)
{
    struct str dc = requested_datacenter(*(const struct str *)args);
    if (dc.n == 0 || str_eq(dc, s->opts.datacenter)) return 0;
    struct buf quoted = BUF_INIT(1024);
    quote_go(&quoted, dc);
    error_set(err, ERR_INTERNAL,
        "invalid datacenter %.*s - agent auto configuration cannot target a remote datacenter",
        STR_ARG(buf_str(&quoted)));
    buf_deinit(&quoted);
    return ERR_INTERNAL;
}

int auto_config_initial(struct write *w)
{
    if (w->p.server->opts.auto_config)
        return error_set(w->err, ERR_INTERNAL,
            "%s is not available in this build yet: the authorizer", w->p.method->name);
    return error_set(w->err, ERR_INTERNAL, "Auto Config is disabled");
}

/* --- the roots -------------------------------------------------------------------------------- */

static void tell(struct tick *t)
{
    struct root_watch *g = container_of(t, struct root_watch, tick);
    struct server *s = container_of(g, struct server, root_watch);
    struct arena a = ARENA_INIT;
    struct list roots = { 0 };
    struct store_read *rd = store_read(s->store);
    watch_set_clear(&g->ws);
    store_ca_roots(rd, &g->ws, &a, &roots);
    if (store_read_failed(rd, NULL) || s->opts.roots_changed(s->opts.ctx, &roots))
        timer_start(&g->again, ROOTS_RETRY_MS);
    arena_free(&a);
}

static void tell_again(struct timer *t)
{
    tick_mark(&container_of(t, struct root_watch, again)->tick);
}

static void fired(struct watch_set *ws)
{
    tick_mark(&container_of(ws, struct root_watch, ws)->tick);
}

void server__root_watch_init(struct server *s)
{
    struct root_watch *g = &s->root_watch;
    if (!s->opts.roots_changed) return;
    tick_init(&g->tick, s->world, tell);
    timer_init(&g->again, s->world, tell_again);
    watch_set_init(&g->ws, s->store, fired);
    tick_mark(&g->tick);
}

void server__root_watch_deinit(struct server *s)
{
    if (!s->opts.roots_changed) return;
    tick_cancel(&s->root_watch.tick);
    timer_stop(&s->root_watch.again);
    watch_set_clear(&s->root_watch.ws);
}
