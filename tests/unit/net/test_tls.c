/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "tls_pair.h"

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
        T(a_switch_is_for_new_connections),
        T(a_switch_during_a_handshake),
        T(streams_outlive_their_tls),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
