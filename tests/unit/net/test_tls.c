/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

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

static void on_data(struct stream *s, struct str bytes)
{
    struct side *e = s->owner;
    buf_put_str(&e->in, bytes);
    if (e->quiet) stream_read(s, false);
}
static void on_eof(struct stream *s)
{
    ((struct side *)s->owner)->eof = true;
}
static void on_drained(struct stream *s)
{
    ((struct side *)s->owner)->drains++;
}
static void on_closed(struct stream *s, int code)
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
static void on_ready(struct stream *s)
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

static struct tls *tls_of(struct fixture *f, const struct tls_config *c)
{
    struct tls_material *m;
    struct error err;
    if (tls_material_load(c, &m, &err) != 0) fail_msg("%s", err.text);
    return net_tls_create(&f->world, m);
}

static int setup(void **state)
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

static void begin(struct side *e, struct tls *tls, struct pair_end *below, struct tls_options *o)
{
    *e = (struct side){ .in = BUF_INIT((size_t)64 << 20), .tls = tls };
    o->events = &events;
    o->owner = e;
    o->ready = on_ready;
    e->stream = tls_start(tls, &below->base, o);
    assert_false(e->ready);
}

/* Both ends of a new connection, as the fixture's options say. */
static void connect_ends(struct fixture *f)
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
static void settle(struct fixture *f)
{
    for (int still = 0; still < 3; still++) {
        fake_world_turn(&f->world);
        if (stream_pair_turn(&f->pair)) still = 0;
    }
}

static void hang_up(struct fixture *f)
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

static int teardown(void **state)
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

static void put(struct side *e, const char *text)
{
    struct stream_part part = { text, strlen(text), NULL };
    assert_int_equal(stream_write(e->stream, &part, 1), 0);
}

static void got(const struct side *e, const char *text)
{
    assert_int_equal(e->in.n, strlen(text));
    assert_memory_equal(e->in.p ? e->in.p : (const uint8_t *)"", text, e->in.n);
}

static void connected(struct fixture *f)
{
    connect_ends(f);
    settle(f);
    assert_string_equal(f->c.why, "");
    assert_string_equal(f->s.why, "");
    assert_true(f->s.ready && f->c.ready);
}

/* The handshake fails, with these reasons at the two ends. */
static void refused(struct fixture *f, const char *server, const char *client)
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

/* --- handshakes ------------------------------------------------------------------------------- */

static void both_ends_know_each_other(void **state)
{
    struct fixture *f = *state;
    connected(f);
    assert_string_equal(f->s.sni, NAME);
    assert_string_equal(f->s.peer, "client|client.dc1.consul|spiffe://x/agent");
    assert_string_equal(f->c.peer, "server|" NAME "|");
    put(&f->c, "question");
    put(&f->s, "answer");
    settle(f);
    got(&f->s, "question");
    got(&f->c, "answer");
    assert_int_equal(f->accepting->counters.handshakes, 1);
    assert_int_equal(f->accepting->counters.failed, 0);
    assert_string_equal(f->s.stream->peer, "192.0.2.7");
}

static void a_handshake_in_single_bytes(void **state)
{
    struct fixture *f = *state;
    f->pair.piece = 1;
    connected(f);
    put(&f->c, "question");
    settle(f);
    got(&f->s, "question");
}

static void what_is_written_before_the_handshake_waits(void **state)
{
    struct fixture *f = *state;
    connect_ends(f);
    put(&f->c, "que");
    put(&f->c, "stion");
    put(&f->s, "answer");
    assert_int_equal(stream_queued(f->c.stream), 8);
    settle(f);
    got(&f->s, "question");
    got(&f->c, "answer");
    assert_int_equal(stream_queued(f->c.stream), 0);
    assert_int_equal(f->c.drains, 1);
}

static void bytes_read_before_are_handed_in(void **state)
{
    struct fixture *f = *state;
    f->dialling = tls_of(f, &f->dial_config);
    f->accepting = tls_of(f, &f->accept_config);
    stream_pair_init(&f->pair);
    f->pair.b.reading = false;
    begin(&f->c, f->dialling, &f->pair.a, &f->dial);
    settle(f);
    char first[16];
    memcpy(first, f->pair.a.out.p, sizeof first);
    buf_consume(&f->pair.a.out, sizeof first);
    assert_int_equal(first[0], 0x16);
    f->accept.sniffed = (struct str){ first, sizeof first };
    f->pair.b.reading = true;
    begin(&f->s, f->accepting, &f->pair.b, &f->accept);
    settle(f);
    assert_true(f->s.ready && f->c.ready);
}

static void without_demand_the_client_shows_nothing(void **state)
{
    struct fixture *f = *state;
    f->accept.use = TLS_ACCEPT_INSECURE;
    connected(f);
    assert_string_equal(f->s.peer, "");
}

static void only_a_demanded_name_is_sent(void **state)
{
    struct fixture *f = *state;
    f->dial_config.verify_server_hostname = false;
    f->dial.server_name = STR("elsewhere.test");
    connected(f);
    assert_string_equal(f->s.sni, "");
}

static void the_servers_order_of_protocols_decides(void **state)
{
    static const char *const offered[] = { "b", "a" }, *const taken[] = { "a", "b" };
    struct fixture *f = *state;
    f->accept.alpn = taken, f->accept.n_alpn = 2;
    f->dial.alpn = offered, f->dial.n_alpn = 2;
    connected(f);
    assert_string_equal(f->s.alpn, "a");
    assert_string_equal(f->c.alpn, "a");
}

static void no_protocol_offered_is_no_error(void **state)
{
    static const char *const taken[] = { "a" };
    struct fixture *f = *state;
    f->accept.alpn = taken, f->accept.n_alpn = 1;
    connected(f);
    assert_string_equal(f->s.alpn, "");
}

static void foreign_protocols_are_refused(void **state)
{
    static const char *const offered[] = { "h2" }, *const taken[] = { "http/1.1" };
    struct fixture *f = *state;
    f->accept.alpn = taken, f->accept.n_alpn = 1;
    f->dial.alpn = offered, f->dial.n_alpn = 1;
    refused(f, "tls: client requested unsupported application protocols",
        "remote error: tls: no application protocol");
}

static void a_peer_that_ignores_the_protocol_is_left(void **state)
{
    static const char *const offered[] = { "consul/rpc-multi" };
    struct fixture *f = *state;
    f->dial.use = TLS_DIAL_ALPN;
    f->dial.alpn = offered, f->dial.n_alpn = 1;
    connect_ends(f);
    settle(f);
    assert_true(f->c.closed && !f->c.ready);
    assert_string_equal(
        f->c.why, "could not negotiate ALPN protocol \"consul/rpc-multi\" with \"" NAME "\"");
}

/* --- certificates that are refused -------------------------------------------------------------
 */

static void a_server_of_another_ca(void **state)
{
    struct fixture *f = *state;
    f->cas[1] = str_of(f->other_ca.cert_pem);
    f->dial_config.more_cas = &f->cas[1];
    refused(f, "remote error: tls: unknown certificate authority",
        "x509: certificate signed by unknown authority");
}

static void a_client_of_another_ca(void **state)
{
    struct fixture *f = *state;
    struct cert_made stranger;
    cert_make(&stranger, &f->other_ca, (struct cert_wish){ .name = "stranger" });
    f->dial_config.auto_cert = str_of(stranger.cert_pem);
    f->dial_config.auto_key = str_of(stranger.key_pem);
    connect_ends(f);
    settle(f);
    fake_world_advance(&f->world, 1000);
    settle(f);
    /* with TLS 1.3 the client's handshake is over before the server has looked */
    assert_true(f->c.ready && !f->s.ready && f->s.closed);
    assert_string_equal(f->s.why, "tls: failed to verify client's certificate: x509: certificate "
                                  "signed by unknown authority");
    assert_string_equal(f->c.why, "remote error: tls: unknown certificate authority");
    cert_free(&stranger);
}

static void a_client_without_certificate(void **state)
{
    struct fixture *f = *state;
    f->dial_config.auto_cert = f->dial_config.auto_key = STR_NIL;
    connect_ends(f);
    settle(f);
    assert_true(f->c.ready && !f->s.ready);
    assert_string_equal(f->c.why, "remote error: tls: certificate required");
    fake_world_advance(&f->world, 1000);
    settle(f);
    assert_string_equal(f->s.why, "tls: client didn't provide a certificate");
}

static void native_tls_demands_a_certificate_whatever_the_options_say(void **state)
{
    struct fixture *f = *state;
    f->accept_config.verify_incoming = false;
    f->accept.use = TLS_ACCEPT_ALPN;
    f->dial_config.auto_cert = f->dial_config.auto_key = STR_NIL;
    connect_ends(f);
    settle(f);
    assert_false(f->s.ready);
}

static void serve_with(struct fixture *f, struct cert_made *cert)
{
    f->accept_config.auto_cert = str_of(cert->cert_pem);
    f->accept_config.auto_key = str_of(cert->key_pem);
}

static void an_expired_server(void **state)
{
    struct fixture *f = *state;
    struct cert_made old;
    cert_make(&old, &f->ca,
        (struct cert_wish){ .name = "old", .alternatives = "DNS:" NAME, .expired = true });
    serve_with(f, &old);
    refused(f, "remote error: tls: expired certificate",
        "x509: certificate has expired or is not yet valid");
    cert_free(&old);
}

static void a_server_of_another_name(void **state)
{
    struct fixture *f = *state;
    f->dial.server_name = STR("server.dc2.consul");
    refused(f, "remote error: tls: bad certificate",
        "x509: certificate is valid for " NAME ", *.server.dc1.consul, not server.dc2.consul");
}

static void a_node_name_is_matched_by_the_wildcard(void **state)
{
    struct fixture *f = *state;
    f->dial.server_name = STR("s1.server.dc1.consul");
    connected(f);
    assert_string_equal(f->s.sni, "s1.server.dc1.consul");
}

static void a_client_certificate_serves_nobody(void **state)
{
    struct fixture *f = *state;
    serve_with(f, &f->client);
    refused(f, "remote error: tls: unsupported certificate",
        "x509: certificate specifies an incompatible key usage");
}

static void without_hostnames_any_server_of_the_ca_is_good(void **state)
{
    struct fixture *f = *state;
    f->dial_config.verify_server_hostname = false;
    f->dial.server_name = STR("server.dc2.consul");
    connected(f);
}

static void without_verification_any_server_is_good(void **state)
{
    struct fixture *f = *state;
    f->cas[1] = str_of(f->other_ca.cert_pem);
    f->dial_config.more_cas = &f->cas[1];
    f->dial_config.verify_server_hostname = f->dial_config.verify_outgoing = false;
    f->dial_config.auto_tls = false;
    connected(f);
    assert_string_equal(f->c.peer, "");
}

static void a_check_wants_the_address_in_the_certificate(void **state)
{
    struct fixture *f = *state;
    f->dial_config.agent_tls_for_checks = true;
    f->dial.use = TLS_DIAL_CHECK;
    f->dial.server_name = STR("127.0.0.1");
    connected(f);
    assert_string_equal(f->s.sni, "");
    hang_up(f);
    f->dial.server_name = STR("127.0.0.2");
    refused(f, "remote error: tls: bad certificate",
        "x509: certificate is valid for 127.0.0.1, not 127.0.0.2");
}

static void a_check_takes_the_agents_name_too(void **state)
{
    struct fixture *f = *state;
    f->dial_config.agent_tls_for_checks = true;
    f->dial_config.check_name = STR(NAME);
    f->dial.use = TLS_DIAL_CHECK;
    f->dial.server_name = STR("web.test");
    connected(f);
    assert_string_equal(f->s.sni, "web.test");
}

static void a_check_without_the_agents_tls_knows_the_systems_cas_alone(void **state)
{
    struct fixture *f = *state;
    f->accept.use = TLS_ACCEPT_INSECURE;
    f->dial.use = TLS_DIAL_CHECK;
    refused(f, "remote error: tls: unknown certificate authority",
        "x509: certificate signed by unknown authority");
    hang_up(f);
    f->dial.use = TLS_DIAL_CHECK_UNVERIFIED;
    connected(f);
}

static void a_verified_use_without_a_name_is_refused(void **state)
{
    struct fixture *f = *state;
    f->dial.server_name = STR_NIL;
    refused(f, "EOF", "tls: bad server name");
}

static void without_a_certificate_nobody_is_served(void **state)
{
    struct fixture *f = *state;
    f->accept_config.auto_cert = STR_NIL;
    f->accepting = tls_of(f, &f->accept_config);
    assert_false(f->accepting->facts.can_serve);
    refused(f, "tls: no certificates configured", "EOF");
}

static void without_tls_options_nothing_is_dialled_but_checks(void **state)
{
    struct fixture *f = *state;
    f->dial_config = (struct tls_config){ .min_version = STR("tls12") };
    refused(f, "EOF", "tls: not configured");
    hang_up(f);
    f->accept.use = TLS_ACCEPT_INSECURE;
    f->dial.use = TLS_DIAL_CHECK_UNVERIFIED;
    connected(f);
}

static void versions_below_the_minimum_are_refused(void **state)
{
    struct fixture *f = *state;
    f->accept_config.min_version = STR("tls13");
    f->raw = true;
    connect_ends(f);
    /* a hello that knows TLS 1.2 at most */
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    char *p;
    long n = BIO_get_mem_data(out, &p);
    f->pair.b.base.events->data(&f->pair.b.base, (struct str){ p, (size_t)n });
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    fake_world_advance(&f->world, 1000);
    settle(f);
    assert_true(f->s.closed);
    assert_string_equal(f->s.why, "tls: client offered only unsupported versions");
}

static void only_suites_of_the_list_are_used(void **state)
{
    static const struct str suites[] = { { "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", 38 } };
    struct fixture *f = *state;
    struct tls_state now;
    f->accept_config.cipher_suites = suites, f->accept_config.n_cipher_suites = 1;
    connected(f);
    /* the suites of TLS 1.3 are not of the list's kind */
    tls_state(f->accepting, f->s.stream, &now);
    assert_string_equal(now.version, "TLSv1.3");
    assert_string_equal(tls_cipher_name(suites[0]), "ECDHE-ECDSA-CHACHA20-POLY1305");
    assert_null(tls_cipher_name(STR("TLS_NOPE")));
}

/* --- input that is no handshake -----------------------------------------------------------------
 */

static void say(struct fixture *f, const char *bytes, size_t n)
{
    f->raw = true;
    connect_ends(f);
    f->pair.a.base.events = &events;
    f->pair.a.base.owner = &f->c;
    f->c = (struct side){ .in = BUF_INIT(65536), .tls = f->dialling };
    f->pair.b.base.events->data(&f->pair.b.base, (struct str){ bytes, n });
}

static void ends(struct fixture *f, const char *why)
{
    f->pair.a.finished = true;
    settle(f);
    fake_world_advance(&f->world, 1000);
    settle(f);
    f->pair.a.closed = true;
    assert_true(f->s.closed && f->s.code < 0 && !f->s.ready);
    assert_string_equal(f->s.why, why);
}

static void garbage_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    say(f, "\x08garbage garbage", 16);
    ends(f, "tls: first record does not look like a TLS handshake");
}

static void plain_http_is_told(void **state)
{
    struct fixture *f = *state;
    f->accept.plain_text = STR("HTTP/1.0 400 Bad Request\r\n\r\nno");
    say(f, "GET / HTTP/1.1\r\n\r\n", 18);
    settle(f);
    got(&f->c, "HTTP/1.0 400 Bad Request\r\n\r\nno");
    ends(f, "tls: first record does not look like a TLS handshake");
}

static void half_a_hello_and_the_end(void **state)
{
    struct fixture *f = *state;
    say(f, "\x16\x03\x01\x02\x00\x01", 6);
    ends(f, "EOF");
}

static void an_oversize_record_is_refused(void **state)
{
    struct fixture *f = *state;
    say(f, "\x16\x03\x01\xff\xff\x01\x00", 7);
    ends(f, "tls: packet length too long");
}

static void a_silent_client_is_given_up(void **state)
{
    struct fixture *f = *state;
    f->accept.timeout_ms = 5000;
    f->raw = true;
    connect_ends(f);
    fake_world_advance(&f->world, 4900);
    stream_pair_turn(&f->pair);
    assert_false(f->s.closed);
    fake_world_advance(&f->world, 200);
    f->pair.a.closed = true;
    settle(f);
    assert_true(f->s.closed);
    assert_string_equal(f->s.why, "i/o timeout");
    assert_int_equal(f->accepting->counters.timed_out, 1);
}

static void the_timeout_ends_with_the_handshake(void **state)
{
    struct fixture *f = *state;
    f->accept.timeout_ms = f->dial.timeout_ms = 5000;
    connected(f);
    fake_world_advance(&f->world, 20000);
    settle(f);
    assert_false(f->s.closed || f->c.closed);
}

static void a_broken_connection_during_the_handshake(void **state)
{
    struct fixture *f = *state;
    connect_ends(f);
    fake_world_turn(&f->world);
    stream_pair_reset(&f->pair);
    settle(f);
    assert_true(f->s.closed && f->c.closed);
    assert_string_equal(f->s.why, "read: connection reset by peer");
    assert_int_equal(f->s.code, ERR_IO);
}

static void renegotiation_is_refused(void **state)
{
    struct fixture *f = *state;
    f->raw = true;
    f->accept.use = TLS_ACCEPT_INSECURE;
    connect_ends(f);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    bool asked = false, said_no = false;
    for (int i = 0; i < 40; i++) {
        char *p, byte;
        int rc = SSL_is_init_finished(ssl) ? SSL_read(ssl, &byte, 1) : SSL_do_handshake(ssl);
        if (rc <= 0 && SSL_get_error(ssl, rc) == SSL_ERROR_SSL)
            said_no = ERR_GET_REASON(ERR_get_error()) == SSL_R_NO_RENEGOTIATION;
        if (rc == 1 && !asked) asked = SSL_renegotiate(ssl) == 1 && SSL_do_handshake(ssl) != 2;
        long n = BIO_get_mem_data(out, &p);
        struct pair_end *b = &f->pair.b;
        if (n > 0 && f->s.stream) b->base.events->data(&b->base, (struct str){ p, (size_t)n });
        (void)BIO_reset(out);
        fake_world_turn(&f->world);
        BIO_write(in, b->out.p, (int)b->out.n);
        buf_clear(&b->out);
    }
    assert_true(f->s.ready && asked && said_no);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    f->pair.a.closing = f->pair.a.closed = true;
}

/* --- bytes -------------------------------------------------------------------------------------
 */

#define BIG ((size_t)8 << 20)

static void fill(char *p, size_t n)
{
    struct prng r;
    prng_seed(&r, 7);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)prng_next(&r);
}

static void a_big_body_is_whole(void **state)
{
    struct fixture *f = *state;
    char *big = malloc(BIG);
    fill(big, BIG);
    struct shared_body *body = shared_body_create((struct str){ big, BIG });
    connected(f);
    struct stream_part parts[3] = { { "head ", 5, NULL }, { body->bytes, BIG, body },
        { big, 100000, NULL } };
    assert_int_equal(stream_write(f->s.stream, parts, 3), 0);
    /* it waits as a reference, not as ciphertext */
    assert_true(f->pair.b.out.n < 256 << 10);
    assert_int_equal(body->refs, 2);
    settle(f);
    assert_int_equal(f->c.in.n, 5 + BIG + 100000);
    assert_memory_equal(f->c.in.p, "head ", 5);
    assert_memory_equal(f->c.in.p + 5, big, BIG);
    assert_memory_equal(f->c.in.p + 5 + BIG, big, 100000);
    assert_int_equal(body->refs, 1);
    assert_int_equal(f->s.drains, 1);
    shared_body_unref(body);
    free(big);
}

static void short_parts_share_a_record(void **state)
{
    struct fixture *f = *state;
    connected(f);
    size_t before = f->pair.b.written;
    struct stream_part parts[3] = { { "a", 1, NULL }, { "", 0, NULL }, { "b", 1, NULL } };
    assert_int_equal(stream_write(f->s.stream, parts, 3), 0);
    assert_int_equal(f->pair.b.written, before + 1);
    settle(f);
    got(&f->c, "ab");
}

static void a_slow_reader_fills_the_queue_and_no_more(void **state)
{
    struct fixture *f = *state;
    static char block[50000];
    f->accept.queue_max = 300000;
    connected(f);
    f->pair.a.reading = false;
    size_t taken = 0;
    struct stream_part part = { block, sizeof block, NULL };
    int rc = 0;
    while (rc == 0 && taken < 100) {
        rc = stream_write(f->s.stream, &part, 1);
        taken += rc == 0;
    }
    assert_int_equal(rc, ERR_FULL);
    assert_in_range(taken, 2, 6);
    f->pair.a.reading = true;
    settle(f);
    assert_int_equal(f->c.in.n, taken * sizeof block);
    assert_int_equal(f->s.drains, 1);
    assert_int_equal(stream_write(f->s.stream, &part, 1), 0);
}

static void a_reader_that_stops_gets_the_rest_later(void **state)
{
    struct fixture *f = *state;
    connected(f);
    f->c.quiet = true;
    put(&f->s, "one");
    put(&f->s, "two");
    put(&f->s, "three");
    settle(f);
    got(&f->c, "one");
    f->c.quiet = false;
    stream_read(f->c.stream, true);
    settle(f);
    got(&f->c, "onetwothree");
}

static void an_end_that_stopped_reading_is_told_of_the_end_later(void **state)
{
    struct fixture *f = *state;
    connected(f);
    f->c.quiet = true;
    put(&f->s, "one");
    put(&f->s, "two");
    stream_finish(f->s.stream);
    settle(f);
    assert_false(f->c.eof);
    f->c.quiet = false;
    stream_read(f->c.stream, true);
    settle(f);
    got(&f->c, "onetwo");
    assert_true(f->c.eof);
}

static void a_half_closed_stream_still_answers(void **state)
{
    struct fixture *f = *state;
    connect_ends(f);
    put(&f->c, "question");
    stream_finish(f->c.stream);
    settle(f);
    got(&f->s, "question");
    assert_true(f->s.eof && !f->s.closed);
    put(&f->s, "answer");
    settle(f);
    got(&f->c, "answer");
    assert_false(f->c.eof || f->c.closed);
    struct stream_part more = { "x", 1, NULL };
    assert_int_equal(stream_write(f->c.stream, &more, 1), ERR_IO);
}

static void a_close_tells_the_peer(void **state)
{
    struct fixture *f = *state;
    connected(f);
    put(&f->s, "bye");
    settle(f);
    stream_close(f->s.stream);
    assert_non_null(f->s.stream);
    f->pair.a.peer->out.max = (size_t)64 << 20;
    settle(f);
    assert_true(f->s.closed);
    assert_int_equal(f->s.code, 0);
    got(&f->c, "bye");
}

static void a_cut_connection_is_not_an_end(void **state)
{
    struct fixture *f = *state;
    connected(f);
    put(&f->c, "hal");
    settle(f);
    f->pair.a.finished = true; /* without a word of TLS */
    settle(f);
    assert_true(f->s.closed && !f->s.eof);
    assert_int_equal(f->s.code, ERR_EOF);
    assert_string_equal(f->s.why, "unexpected EOF");
}

static void a_flipped_bit_ends_it(void **state)
{
    struct fixture *f = *state;
    connected(f);
    put(&f->c, "question");
    f->pair.a.out.p[f->pair.a.out.n - 3] ^= 1;
    settle(f);
    fake_world_advance(&f->world, 1000);
    settle(f);
    assert_true(f->s.closed && f->c.closed);
    assert_int_equal(f->s.in.n, 0);
    assert_string_equal(f->c.why, "remote error: tls: bad record MAC");
}

/* --- material ----------------------------------------------------------------------------------
 */

static void a_switch_is_for_new_connections(void **state)
{
    struct fixture *f = *state;
    struct cert_made fresh;
    struct tls_material *m;
    struct error err;
    cert_make(&fresh, &f->ca, (struct cert_wish){ .name = "fresh", .alternatives = "DNS:" NAME });
    connected(f);
    serve_with(f, &fresh);
    assert_int_equal(tls_material_load(&f->accept_config, &m, &err), 0);
    net_tls_switch(f->accepting, m);
    put(&f->c, "still here");
    settle(f);
    got(&f->s, "still here");
    hang_up(f);
    connected(f);
    assert_string_equal(f->c.peer, "fresh|" NAME "|");
    cert_free(&fresh);
}

static void a_switch_during_a_handshake(void **state)
{
    struct fixture *f = *state;
    struct tls_material *m;
    struct error err;
    connect_ends(f);
    fake_world_turn(&f->world);
    stream_pair_turn(&f->pair);
    assert_int_equal(tls_material_load(&f->accept_config, &m, &err), 0);
    net_tls_switch(f->accepting, m);
    settle(f);
    assert_true(f->s.ready && f->c.ready);
}

static void streams_outlive_their_tls(void **state)
{
    struct fixture *f = *state;
    connected(f);
    net_tls_destroy(f->accepting);
    f->accepting = NULL;
    put(&f->c, "question");
    settle(f);
    got(&f->s, "question");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(both_ends_know_each_other),
        T(a_handshake_in_single_bytes),
        T(what_is_written_before_the_handshake_waits),
        T(bytes_read_before_are_handed_in),
        T(without_demand_the_client_shows_nothing),
        T(only_a_demanded_name_is_sent),
        T(the_servers_order_of_protocols_decides),
        T(no_protocol_offered_is_no_error),
        T(foreign_protocols_are_refused),
        T(a_peer_that_ignores_the_protocol_is_left),
        T(a_server_of_another_ca),
        T(a_client_of_another_ca),
        T(a_client_without_certificate),
        T(native_tls_demands_a_certificate_whatever_the_options_say),
        T(an_expired_server),
        T(a_server_of_another_name),
        T(a_node_name_is_matched_by_the_wildcard),
        T(a_client_certificate_serves_nobody),
        T(without_hostnames_any_server_of_the_ca_is_good),
        T(without_verification_any_server_is_good),
        T(a_check_wants_the_address_in_the_certificate),
        T(a_check_takes_the_agents_name_too),
        T(a_check_without_the_agents_tls_knows_the_systems_cas_alone),
        T(a_verified_use_without_a_name_is_refused),
        T(without_a_certificate_nobody_is_served),
        T(without_tls_options_nothing_is_dialled_but_checks),
        T(versions_below_the_minimum_are_refused),
        T(only_suites_of_the_list_are_used),
        T(garbage_ends_the_connection),
        T(plain_http_is_told),
        T(half_a_hello_and_the_end),
        T(an_oversize_record_is_refused),
        T(a_silent_client_is_given_up),
        T(the_timeout_ends_with_the_handshake),
        T(a_broken_connection_during_the_handshake),
        T(renegotiation_is_refused),
        T(a_big_body_is_whole),
        T(short_parts_share_a_record),
        T(a_slow_reader_fills_the_queue_and_no_more),
        T(a_reader_that_stops_gets_the_rest_later),
        T(an_end_that_stopped_reading_is_told_of_the_end_later),
        T(a_half_closed_stream_still_answers),
        T(a_close_tells_the_peer),
        T(a_cut_connection_is_not_an_end),
        T(a_flipped_bit_ends_it),
        T(a_switch_is_for_new_connections),
        T(a_switch_during_a_handshake),
        T(streams_outlive_their_tls),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
