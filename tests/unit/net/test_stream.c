/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "consuld/net.h"

#define IP "127.0.33.4"
#define DEADLINE_S 20

/* One end of a connection and what happened to it. */
struct end {
    struct stream *stream;
    struct buf in;
    bool connected, eof, closed;
    int code;
    int drains;
    bool echo;
};

struct fixture {
    struct world *world;
    struct net_listener *listener;
    struct end server;
    bool refuse;
};

static void on_data(struct stream *s, struct str bytes)
{
    struct end *e = s->owner;
    buf_put_str(&e->in, bytes);
    struct stream_part part = { bytes.p, bytes.n, NULL };
    if (e->echo) assert_int_equal(stream_write(s, &part, 1), 0);
}

static void on_eof(struct stream *s)
{
    ((struct end *)s->owner)->eof = true;
}

static void on_drained(struct stream *s)
{
    ((struct end *)s->owner)->drains++;
}

static void on_closed(struct stream *s, int code)
{
    struct end *e = s->owner;
    assert_false(e->closed);
    e->closed = true;
    e->code = code;
    e->stream = NULL;
}

static const struct stream_events events = {
    .data = on_data,
    .eof = on_eof,
    .drained = on_drained,
    .closed = on_closed,
};

static void on_accept(void *ctx, struct stream *s)
{
    struct fixture *f = ctx;
    if (f->refuse) {
        stream_close(s);
        return;
    }
    s->events = &events;
    s->owner = &f->server;
    f->server.stream = s;
    f->server.connected = true;
}

static void on_connected(struct stream *s)
{
    ((struct end *)s->owner)->connected = true;
}

static bool turn(struct world *w, time_t deadline)
{
    net_world_poll(w);
    return time(NULL) <= deadline;
}

#define WAIT_FOR(f, cond) \
    do { \
        time_t deadline = time(NULL) + DEADLINE_S; \
        while (!(cond)) \
            if (!turn((f)->world, deadline)) fail_msg("never: %s", #cond); \
    } while (0)

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->world = net_world_create();
    f->server.in = (struct buf)BUF_INIT((size_t)64 << 20);
    struct net_listen_options o = {
        .ip = IP,
        .queue_max = 1000000,
        .accept = on_accept,
        .ctx = f,
    };
    struct error err;
    assert_int_equal(net_listen(f->world, &o, &f->listener, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->server.stream) stream_close(f->server.stream);
    net_listener_destroy(f->listener);
    net_world_destroy(f->world);
    buf_deinit(&f->server.in);
    free(f);
    return 0;
}

static void dial(struct fixture *f, struct end *e)
{
    *e = (struct end){ .in = BUF_INIT((size_t)64 << 20) };
    struct net_connect_options o = {
        .ip = IP,
        .port = net_listener_port(f->listener),
        .queue_max = 100,
        .events = &events,
        .owner = e,
        .connected = on_connected,
    };
    e->stream = net_connect(f->world, &o, NULL);
    assert_non_null(e->stream);
}

static void hang_up(struct fixture *f, struct end *e)
{
    if (e->stream) stream_close(e->stream);
    WAIT_FOR(f, e->closed);
    buf_deinit(&e->in);
}

static void say(struct end *e, const char *text)
{
    struct stream_part part = { text, strlen(text), NULL };
    assert_int_equal(stream_write(e->stream, &part, 1), 0);
}

static bool heard(const struct end *e, const char *text)
{
    return str_is(buf_str(&e->in), text);
}

/* --- */

static void bytes_go_both_ways_and_peers_are_known(void **state)
{
    struct fixture *f = *state;
    struct end c;
    dial(f, &c);
    WAIT_FOR(f, c.connected && f->server.connected);
    assert_string_equal(c.stream->peer, IP);
    assert_int_equal(c.stream->peer_port, net_listener_port(f->listener));
    assert_memory_equal(f->server.stream->peer, "127.0.", 6);
    say(&c, "ping");
    WAIT_FOR(f, heard(&f->server, "ping"));
    struct stream_part parts[] = { { "po", 2, NULL }, { "", 0, NULL }, { "ng", 2, NULL } };
    assert_int_equal(stream_write(f->server.stream, parts, 3), 0);
    WAIT_FOR(f, heard(&c, "pong"));
    hang_up(f, &c);
    assert_int_equal(c.code, 0);
}

static void half_closed_stream_still_writes(void **state)
{
    struct fixture *f = *state;
    struct end c;
    dial(f, &c);
    WAIT_FOR(f, c.connected && f->server.connected);
    say(&c, "bye");
    stream_finish(c.stream);
    WAIT_FOR(f, f->server.eof);
    assert_true(heard(&f->server, "bye"));
    assert_false(f->server.closed);
    say(&f->server, "see you");
    stream_finish(f->server.stream);
    WAIT_FOR(f, c.eof && heard(&c, "see you"));
    struct stream_part part = { "x", 1, NULL };
    assert_int_equal(stream_write(c.stream, &part, 1), ERR_IO);
    hang_up(f, &c);
}

static void queue_is_bounded_and_drains_in_order(void **state)
{
    struct fixture *f = *state;
    struct end c;
    dial(f, &c);
    WAIT_FOR(f, c.connected && f->server.connected);
    stream_read(c.stream, false);
    static char block[100000];
    size_t taken = 0;
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        memset(block, 'a' + i % 26, sizeof block);
        struct stream_part part = { block, sizeof block, NULL };
        rc = stream_write(f->server.stream, &part, 1);
        if (rc == 0) taken += sizeof block;
        net_world_poll(f->world);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_true(stream_queued(f->server.stream) <= 1000000);
    assert_int_equal(f->server.drains, 0);
    stream_read(c.stream, true);
    WAIT_FOR(f, c.in.n == taken && f->server.drains == 1);
    assert_int_equal(stream_queued(f->server.stream), 0);
    for (size_t i = 0; i < taken; i++)
        assert_int_equal(c.in.p[i], 'a' + i / sizeof block % 26);
    hang_up(f, &c);
}

static void shared_bodies_are_held_until_they_are_out(void **state)
{
    struct fixture *f = *state;
    struct end c;
    dial(f, &c);
    WAIT_FOR(f, c.connected && f->server.connected);
    stream_read(c.stream, false);
    size_t n = (size_t)20 << 20;
    char *bytes = malloc(n);
    memset(bytes, 's', n);
    struct shared_body *body = shared_body_create((struct str){ bytes, n });
    free(bytes);
    struct stream_part parts[] = { { "<", 1, NULL }, { body->bytes, body->n, body },
        { ">", 1, NULL } };
    assert_int_equal(stream_write(f->server.stream, parts, 3), 0);
    assert_int_equal(body->refs, 2);
    stream_read(c.stream, true);
    WAIT_FOR(f, c.in.n == n + 2);
    WAIT_FOR(f, body->refs == 1);
    assert_int_equal(c.in.p[0], '<');
    assert_int_equal(c.in.p[n], 's');
    assert_int_equal(c.in.p[n + 1], '>');
    shared_body_unref(body);
    hang_up(f, &c);
}

static void close_drops_the_queue_and_what_it_held(void **state)
{
    struct fixture *f = *state;
    struct end c;
    dial(f, &c);
    WAIT_FOR(f, c.connected && f->server.connected);
    stream_read(c.stream, false);
    char *bytes = calloc(1, (size_t)20 << 20);
    struct shared_body *body = shared_body_create((struct str){ bytes, (size_t)20 << 20 });
    free(bytes);
    struct stream_part part = { body->bytes, body->n, body };
    assert_int_equal(stream_write(f->server.stream, &part, 1), 0);
    assert_true(body->refs > 1);
    stream_close(f->server.stream);
    assert_false(f->server.closed);
    WAIT_FOR(f, f->server.closed);
    assert_int_equal(f->server.code, 0);
    assert_int_equal(body->refs, 1);
    shared_body_unref(body);
    hang_up(f, &c);
}

static void reset_by_the_peer_shows_as_closed(void **state)
{
    struct fixture *f = *state;
    struct end c;
    dial(f, &c);
    WAIT_FOR(f, c.connected && f->server.connected);
    stream_read(c.stream, false);
    say(&f->server, "unread bytes make the close a reset");
    for (int i = 0; i < 5; i++)
        net_world_poll(f->world);
    hang_up(f, &c);
    WAIT_FOR(f, f->server.closed || f->server.eof);
    if (f->server.closed) assert_true(f->server.code < 0);
}

static void failed_connect_shows_as_closed(void **state)
{
    struct fixture *f = *state;
    struct end c;
    uint16_t port = net_listener_port(f->listener);
    net_listener_destroy(f->listener);
    net_world_poll(f->world);
    c = (struct end){ .in = BUF_INIT(1) };
    struct net_connect_options o = { .ip = IP, .port = port, .events = &events, .owner = &c };
    c.stream = net_connect(f->world, &o, NULL);
    WAIT_FOR(f, c.closed);
    assert_true(c.code < 0);
    assert_false(c.connected);
    struct error err;
    o.ip = "no address";
    assert_null(net_connect(f->world, &o, &err));
    struct net_listen_options again = { .ip = IP, .accept = on_accept, .ctx = f };
    assert_int_equal(net_listen(f->world, &again, &f->listener, &err), 0);
}

static void refused_connection_ends_without_events(void **state)
{
    struct fixture *f = *state;
    struct end c;
    f->refuse = true;
    dial(f, &c);
    WAIT_FOR(f, c.eof || c.closed);
    assert_false(f->server.connected);
    hang_up(f, &c);
}

static void second_listener_on_a_port_is_an_error_with_its_address(void **state)
{
    struct fixture *f = *state;
    struct net_listener *l;
    struct error err;
    struct net_listen_options o = {
        .ip = IP,
        .port = net_listener_port(f->listener),
        .accept = on_accept,
    };
    assert_true(net_listen(f->world, &o, &l, &err) < 0);
    assert_non_null(strstr(err.text, IP));
    assert_non_null(strstr(err.text, "address already in use"));
    o.ip = "999.1.1.1";
    assert_true(net_listen(f->world, &o, &l, &err) < 0);
}

static void unix_socket_replaces_a_stale_one_and_has_its_mode(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/consuld-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s.sock", dir);
    struct net_listen_options o = {
        .unix_path = path,
        .unix_mode = 0700,
        .accept = on_accept,
        .ctx = f,
    };
    struct net_listener *first, *second;
    struct error err;
    assert_int_equal(net_listen(f->world, &o, &first, &err), 0);
    assert_int_equal(net_listen(f->world, &o, &second, &err), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    struct end c = { .in = BUF_INIT(1000) };
    struct net_connect_options to = { .unix_path = path, .events = &events, .owner = &c };
    c.stream = net_connect(f->world, &to, &err);
    f->server.echo = true;
    WAIT_FOR(f, f->server.connected);
    assert_string_equal(f->server.stream->peer, "");
    say(&c, "local");
    WAIT_FOR(f, heard(&c, "local"));
    hang_up(f, &c);
    net_listener_destroy(second);
    net_listener_destroy(first);
    net_world_poll(f->world);
    assert_int_not_equal(stat(path, &st), 0);
    rmdir(dir);
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(bytes_go_both_ways_and_peers_are_known),
        STREAM_TEST(half_closed_stream_still_writes),
        STREAM_TEST(queue_is_bounded_and_drains_in_order),
        STREAM_TEST(shared_bodies_are_held_until_they_are_out),
        STREAM_TEST(close_drops_the_queue_and_what_it_held),
        STREAM_TEST(reset_by_the_peer_shows_as_closed),
        STREAM_TEST(failed_connect_shows_as_closed),
        STREAM_TEST(refused_connection_ends_without_events),
        STREAM_TEST(second_listener_on_a_port_is_an_error_with_its_address),
        STREAM_TEST(unix_socket_replaces_a_stale_one_and_has_its_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
