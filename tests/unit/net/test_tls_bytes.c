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

#include "tls_pair.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests_name("tls_bytes", tests, NULL, NULL);
}
