/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of TLS joined in memory on virtual time, and what is said of them in one line each.
 * Behind cmocka.h. */
#pragma once
#include "consuld/net/tls.h"
#include "world/certificates.h"
#include "world/fake_world.h"
#include "world/stream_pair.h"

#define NAME "server.dc1.consul"

/* One end and what happened to it. */
struct side {
    struct stream *stream;
    struct buf in;
    bool ready, eof, closed, quiet;
    int code, drains;
    char why[512], alpn[64], sni[128], peer[128];
    struct tls *tls;
};

struct fixture {
    struct world world;
    struct cert_made ca, other_ca, server, client;
    struct tls *accepting, *dialling;
    struct stream_pair pair;
    struct side s, c;
    bool raw; /* the dialling end is the test's own */
    struct tls_config accept_config, dial_config;
    struct str cas[2];
    struct tls_options accept, dial;
};

/* --- a vocabulary ----------------------------------------------------------------------------- */

static inline void on_data(struct stream *s, struct str bytes)
{
    struct side *e = s->owner;
    buf_put_str(&e->in, bytes);
    if (e->quiet) stream_read(s, false);
}
static inline void on_eof(struct stream *s)
{
    ((struct side *)s->owner)->eof = true;
}
static inline void on_drained(struct stream *s)
{
    ((struct side *)s->owner)->drains++;
}
static inline void on_closed(struct stream *s, int code)
{
    struct side *e = s->owner;
    struct tls_state state;
    assert_false(e->closed);
    tls_state(e->tls, s, &state);
    snprintf(e->why, sizeof e->why, "%s", state.why ? state.why : "");
    e->closed = true;
    e->code = code;
    e->stream = NULL;
}
static inline void on_ready(struct stream *s)
{
    struct side *e = s->owner;
    struct arena a = ARENA_INIT;
    struct tls_state state;
    struct tls_peer peer;
    assert_false(e->ready);
    e->ready = true;
    tls_state(e->tls, s, &state);
    assert_true(state.ready);
    snprintf(e->alpn, sizeof e->alpn, "%.*s", STR_ARG(state.alpn));
    snprintf(e->sni, sizeof e->sni, "%s", state.server_name ? state.server_name : "");
    if (tls_peer(e->tls, s, &a, &peer))
        snprintf(e->peer, sizeof e->peer, "%.*s|%.*s|%.*s", STR_ARG(peer.common_name),
            STR_ARG(peer.n_dns_names ? peer.dns_names[0] : STR("")),
            STR_ARG(peer.n_uris ? peer.uris[0] : STR("")));
    arena_free(&a);
}

static const struct stream_events events = { on_data, on_eof, on_drained, on_closed };

static inline struct tls *tls_of(struct fixture *f, const struct tls_config *c)
{
    struct tls_material *m;
    struct error err;
    if (tls_material_load(c, &m, &err) != 0) fail_msg("%s", err.text);
    return net_tls_create(&f->world, m);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    cert_make(&f->ca, NULL, (struct cert_wish){ .name = "CA", .authority = true });
    cert_make(&f->other_ca, NULL, (struct cert_wish){ .name = "Other CA", .authority = true });
    cert_make(&f->server, &f->ca,
        (struct cert_wish){ .name = "server",
            .alternatives = "DNS:" NAME ",DNS:*.server.dc1.consul,IP:127.0.0.1",
            .usage = "serverAuth,clientAuth" });
    cert_make(&f->client, &f->ca,
        (struct cert_wish){ .name = "client",
            .alternatives = "DNS:client.dc1.consul,URI:spiffe://x/agent",
            .usage = "clientAuth" });
    f->cas[0] = str_of(f->ca.cert_pem);
    f->accept_config = (struct tls_config){ .more_cas = f->cas,
        .n_more_cas = 1,
        .auto_cert = str_of(f->server.cert_pem),
        .auto_key = str_of(f->server.key_pem),
        .verify_incoming = true };
    f->dial_config = (struct tls_config){ .more_cas = f->cas,
        .n_more_cas = 1,
        .auto_cert = str_of(f->client.cert_pem),
        .auto_key = str_of(f->client.key_pem),
        .verify_outgoing = true,
        .verify_server_hostname = true };
    f->accept = (struct tls_options){ .use = TLS_ACCEPT_RPC };
    f->dial = (struct tls_options){ .use = TLS_DIAL_RPC, .server_name = STR(NAME) };
    *state = f;
    return 0;
}

static inline void begin(
    struct side *e, struct tls *tls, struct pair_end *below, struct tls_options *o)
{
    *e = (struct side){ .in = BUF_INIT((size_t)64 << 20), .tls = tls };
    o->events = &events;
    o->owner = e;
    o->ready = on_ready;
    e->stream = tls_start(tls, &below->base, o);
    assert_false(e->ready);
}

/* Both ends of a new connection, as the fixture's options say. */
static inline void connect_ends(struct fixture *f)
{
    if (!f->accepting) f->accepting = tls_of(f, &f->accept_config);
    if (!f->dialling && !f->raw) f->dialling = tls_of(f, &f->dial_config);
    size_t piece = f->pair.piece;
    stream_pair_init(&f->pair);
    f->pair.piece = piece;
    begin(&f->s, f->accepting, &f->pair.b, &f->accept);
    if (!f->raw) begin(&f->c, f->dialling, &f->pair.a, &f->dial);
}

/* Until nothing happens any more without time going by. */
static inline void settle(struct fixture *f)
{
    for (int still = 0; still < 3; still++) {
        fake_world_turn(&f->world);
        if (stream_pair_turn(&f->pair)) still = 0;
    }
}

static inline void hang_up(struct fixture *f)
{
    if (f->s.stream) stream_close(f->s.stream);
    if (f->c.stream) stream_close(f->c.stream);
    settle(f);
    fake_world_advance(&f->world, 2000);
    settle(f);
    assert_true(f->s.closed && (f->raw || f->c.closed));
    buf_deinit(&f->s.in);
    buf_deinit(&f->c.in);
    stream_pair_deinit(&f->pair);
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->s.tls) hang_up(f);
    assert_true(!f->accepting || f->accepting->counters.open == 0);
    assert_true(!f->accepting || f->accepting->counters.handshaking == 0);
    net_tls_destroy(f->accepting);
    net_tls_destroy(f->dialling);
    cert_free(&f->ca);
    cert_free(&f->other_ca);
    cert_free(&f->server);
    cert_free(&f->client);
    free(f);
    return 0;
}

static inline void put(struct side *e, const char *text)
{
    struct stream_part part = { text, strlen(text), NULL };
    assert_int_equal(stream_write(e->stream, &part, 1), 0);
}

static inline void got(const struct side *e, const char *text)
{
    assert_int_equal(e->in.n, strlen(text));
    assert_memory_equal(e->in.p ? e->in.p : (const uint8_t *)"", text, e->in.n);
}

static inline void connected(struct fixture *f)
{
    connect_ends(f);
    settle(f);
    assert_string_equal(f->c.why, "");
    assert_string_equal(f->s.why, "");
    assert_true(f->s.ready && f->c.ready);
}

/* The handshake fails, with these reasons at the two ends. */
static inline void refused(struct fixture *f, const char *server, const char *client)
{
    connect_ends(f);
    settle(f);
    fake_world_advance(&f->world, 1000);
    settle(f);
    assert_true(f->s.closed && f->c.closed);
    assert_string_equal(f->s.why, server);
    assert_string_equal(f->c.why, client);
    assert_true(f->s.code < 0 && f->c.code < 0);
    assert_int_equal(f->s.in.n, 0);
    assert_int_equal(f->c.in.n, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
