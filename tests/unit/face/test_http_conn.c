/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_front.h"

/* --- bodies ---------------------------------------------------------------------------------- */

static void bodies_over_the_limit_are_413(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "PUT /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: 301\r\n\r\n");
    char spaces[301];
    memset(spaces, ' ', sizeof spaces);
    client_send_n(&c, spaces, sizeof spaces);
    client_send(&c, "PUT /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]");
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 413);
    assert_string_equal(header(&a, "Connection"), "(none)");
    assert_string_equal(a.body, "Request body(301 bytes) too large, max size: 300 bytes. See "
                                "https://www.consul.io/docs/agent/options.html#txn_max_req_len.");
    free(a.body);
    a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "[]");
    free(a.body);
    client_close(&c);

    c = dial(f);
    client_send(&c, "PUT /v1/txn HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n12d\r\n");
    client_send_n(&c, spaces, sizeof spaces);
    client_send(&c, "\r\n0\r\n\r\n");
    a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 413);
    assert_string_equal(header(&a, "Connection"), "close");
    assert_string_equal(a.body, "Request body too large, max size: 300 bytes. See "
                                "https://www.consul.io/docs/agent/options.html#txn_max_req_len.");
    free(a.body);
    client_close(&c);
}

static void answer_to_a_huge_body_arrives_though_it_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    size_t n = 700000;
    char *body = calloc(1, n);
    client_send(&c, "PUT /v1/kv/x HTTP/1.1\r\nHost: h\r\nContent-Length: 700000\r\n\r\n");
    client_send_n(&c, body, n);
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 413);
    assert_string_equal(header(&a, "Connection"), "close");
    assert_non_null(strstr(a.body, "(700000 bytes) too large, max size: 524288 bytes"));
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
    free(body);
}

static void large_and_chunked_bodies_arrive_whole(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    size_t n = 524288;
    char *body = malloc(n);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 26);
    client_send(&c, "PUT /v1/kv/a%2Fb HTTP/1.1\r\nHost: h\r\nContent-Length: 524288\r\n\r\n");
    client_send_n(&c, body, n);
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 200);
    assert_string_equal(header(&a, "X-Tail"), "a/b");
    assert_int_equal(a.body_n, n);
    assert_memory_equal(a.body, body, n);
    free(a.body);
    client_send(&c, "PUT /v1/kv/c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < n; at += 65536) {
        client_send(&c, "10000\r\n");
        client_send_n(&c, body + at, 65536);
        client_send(&c, "\r\n");
    }
    client_send(&c, "0\r\n\r\n");
    a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_n, n);
    assert_memory_equal(a.body, body, n);
    free(a.body);
    client_close(&c);
    free(body);
}

static void continue_is_sent_before_a_wanted_body(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                    "Content-Length: 2\r\n\r\n");
    struct answer a = client_answer_to(&c, "PUT");
    assert_int_equal(a.status, 100);
    free(a.body);
    client_send(&c, "ok");
    a = client_answer_to(&c, "PUT");
    assert_string_equal(a.body, "ok");
    free(a.body);
    client_close(&c);
}

/* --- connections ------------------------------------------------------------------------------ */

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    struct buf text = BUF_INIT(1 << 20);
    for (int i = 0; i < 500; i++)
        buf_printf(&text, "GET /v1/kv/%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
    client_send_n(&c, text.p, text.n);
    buf_deinit(&text);
    for (int i = 0; i < 500; i++) {
        struct answer a = client_answer_to(&c, "GET");
        assert_int_equal(a.status, 200);
        assert_int_equal((int)strtol(header(&a, "X-Tail"), NULL, 10), i);
        free(a.body);
    }
    client_close(&c);
}

static void requests_behind_a_parked_one_wait(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    client_send(&c, "PUT /v1/kv/late HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab");
    client_send(&c, "c");
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    client_receive(&c);
    assert_int_equal(c.in.n, 0);
    api_reply_empty(f->parked, 200);
    struct answer a = client_answer_to(&c, "GET");
    assert_int_equal(a.body_n, 0);
    free(a.body);
    a = client_answer_to(&c, "PUT");
    assert_string_equal(header(&a, "X-Tail"), "late");
    assert_string_equal(a.body, "abc");
    free(a.body);
    client_close(&c);
}

static void flood_behind_a_parked_request_is_left_to_the_socket(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    struct buf text = BUF_INIT(4 << 20);
    int n = 6000;
    for (int i = 0; i < n; i++)
        buf_printf(&text, "GET /v1/kv/%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
    size_t at = 0;
    for (int i = 0; i < 50; i++) {
        ssize_t sent = send(c.fd, text.p + at, text.n - at, MSG_NOSIGNAL);
        if (sent > 0) at += (size_t)sent;
        net_world_poll(f->world);
    }
    api_reply_empty(f->parked, 200);
    client_send_n(&c, text.p + at, text.n - at);
    buf_deinit(&text);
    struct answer a = client_answer_to(&c, "GET");
    free(a.body);
    for (int i = 0; i < n; i++) {
        a = client_answer_to(&c, "GET");
        assert_int_equal((int)strtol(header(&a, "X-Tail"), NULL, 10), i);
        free(a.body);
    }
    client_close(&c);
}

static void client_that_leaves_aborts_its_parked_request(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    assert_int_equal(f->aborted, 0);
    struct linger reset = { 1, 0 };
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(&c);
    WAIT_FOR(f->world, f->aborted == 1);
    assert_null(f->parked);
}

static void half_closed_read_is_answered_or_given_up_soon(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n");
    shutdown(c.fd, SHUT_WR);
    WAIT_FOR(f->world, f->parked);
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    assert_int_equal(f->aborted, 0);
    api_reply_text(f->parked, 200, "in time");
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "in time");
    free(a.body);
    WAIT_FOR(f->world, f->aborted == 1);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
}

static void half_closed_write_is_answered(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "PUT /v1/park?abort HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    shutdown(c.fd, SHUT_WR);
    WAIT_FOR(f->world, f->parked);
    uint64_t now = world_now_ms(f->world);
    WAIT_FOR(f->world, world_now_ms(f->world) > now + 1500);
    assert_int_equal(f->aborted, 0);
    api_reply_text(f->parked, 200, "written");
    struct answer a = client_answer_to(&c, "PUT");
    assert_string_equal(a.body, "written");
    free(a.body);
    client_close(&c);
}

static void request_without_abort_hook_outlives_its_client(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    struct linger reset = { 1, 0 };
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(&c);
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    api_reply_text(f->parked, 200, "nobody hears this");
}

static void half_closed_client_gets_its_answers(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/hello HTTP/1.1\r\nHost: h\r\n"
                    "\r\n");
    shutdown(c.fd, SHUT_WR);
    WAIT_FOR(f->world, f->parked);
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    api_reply_text(f->parked, 200, "late");
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "late");
    free(a.body);
    a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
}

static void slow_client_gets_a_large_answer_and_the_next(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/big?size=20000000 HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /v1/hello HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 20; i++)
        net_world_poll(f->world);
    struct answer a = client_answer_to(&c, "GET");
    assert_int_equal(a.body_n, 20000000);
    free(a.body);
    a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    free(a.body);
    client_close(&c);
}

static void malformed_requests_are_answered_and_closed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        int status;
        const char *body;
    } rows[] = {
        { "GET /v1/hello HTTP/1.1\r\n\r\n", 400, "400 Bad Request: missing required Host header" },
        { "GARBAGE\r\n\r\n", 400, "400 Bad Request" },
        { "GET /v1/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "400 Bad Request" },
        { "GET /v1/hello HTTP/3.7\r\nHost: a\r\n\r\n", 505,
            "505 HTTP Version Not Supported: unsupported protocol version" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client c = dial(f);
        client_send(&c, rows[i].text);
        struct answer a = client_answer_to(&c, "GET");
        assert_int_equal(a.status, rows[i].status);
        assert_string_equal(a.body, rows[i].body);
        assert_string_equal(header(&a, "Connection"), "close");
        assert_string_equal(header(&a, "Content-Type"), "text/plain; charset=utf-8");
        free(a.body);
        WAIT_FOR(f->world, client_ended(&c));
        client_close(&c);
    }
}

static void old_and_absolute_forms_work(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET http://other/v1/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    assert_string_equal(header(&a, "Connection"), "close");
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
    c = dial(f);
    client_send(&c, "GET /v1/hello HTTP/1.0\r\n\r\n");
    a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "[\"dc1\"]");
    assert_memory_equal(a.head, "HTTP/1.0 200 OK", 15);
    assert_string_equal(header(&a, "Connection"), "(none)");
    free(a.body);
    WAIT_FOR(f->world, client_ended(&c));
    client_close(&c);
}

static bool served(struct fixture *f)
{
    struct answer a = ask(f, "GET", "/v1/hello", "");
    free(a.body);
    return a.status == 200;
}

static void connections_over_the_limit_are_told_so(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    o.max_conns_per_client = 1;
    configure(f, &o);
    struct client held = dial(f), over[20];
    for (int i = 0; i < 20; i++)
        over[i] = dial(f);
    for (int i = 0; i < 20; i++) {
        client_send(&over[i], "GET /v1/hello HTTP/1.1\r\nHost: h\r\n\r\n");
        WAIT_FOR(f->world, client_ended(&over[i]));
    }
    int told = 0;
    for (int i = 0; i < 20; i++) {
        struct answer a = { 0 };
        if (client_take(&over[i], false, &a)) {
            told++;
            assert_int_equal(a.status, 429);
            assert_string_equal(header(&a, "Connection"), "close");
            assert_non_null(strstr(a.body, "too many connections from this address"));
            free(a.body);
        }
        client_close(&over[i]);
    }
    assert_int_equal(told, 16); /* the rest is closed: telling takes room too */
    client_close(&held);
    WAIT_FOR(f->world, served(f));
}

static void connections_over_the_limit_are_closed_silently_if_so_configured(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    o.max_conns_per_client = 3;
    o.refuse_silently = true;
    configure(f, &o);
    struct client c[4];
    for (int i = 0; i < 3; i++) {
        c[i] = dial(f);
        client_send(&c[i], "GET /v1/hello HTTP/1.1\r\nHost: h\r\n\r\n");
        struct answer a = client_answer_to(&c[i], "GET");
        assert_int_equal(a.status, 200);
        free(a.body);
    }
    c[3] = dial(f);
    WAIT_FOR(f->world, client_ended(&c[3]));
    assert_int_equal(c[3].in.n, 0);
    client_close(&c[3]);
    client_close(&c[0]);
    WAIT_FOR(f->world, served(f));
    client_close(&c[1]);
    client_close(&c[2]);
}

static void shared_body_reaches_all_that_wait(void **state)
{
    struct fixture *f = *state;
    struct client c[8];
    for (int i = 0; i < 8; i++) {
        c[i] = dial(f);
        client_send(&c[i], i % 2 ? "GET /v1/share HTTP/1.1\r\nHost: h\r\n"
                                   "Accept-Encoding: gzip\r\n\r\n"
                                 : "GET /v1/share HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    WAIT_FOR(f->world, f->n_waiting == 8);
    f->shared = shared_body_create(STR("[1,2,3]"));
    for (size_t i = 0; i < 8; i++)
        api_reply_shared(f->waiting[i], 200, f->shared);
    for (int i = 0; i < 8; i++) {
        struct answer a = client_answer_to(&c[i], "GET");
        assert_int_equal(a.status, 200);
        assert_string_equal(header(&a, "Content-Encoding"), i % 2 ? "gzip" : "(none)");
        if (i % 2 == 0) assert_string_equal(a.body, "[1,2,3]");
        free(a.body);
        client_close(&c[i]);
    }
    assert_int_equal(f->shared->refs, 1);
}

static void endless_answer_streams_until_the_client_leaves(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/stream HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, (client_receive(&c), c.in.n > 0));
    assert_int_equal(api_stream_write(f->parked, STR("one\n")), 0);
    assert_int_equal(api_stream_write(f->parked, STR("two\n")), 0);
    WAIT_FOR(f->world, (client_receive(&c), str_find(buf_str(&c.in), STR("two")) > 0));
    client_close(&c);
    WAIT_FOR(f->world, f->aborted == 1);

    c = dial(f);
    client_send(&c, "GET /v1/stream HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    api_stream_write(f->parked, STR("last"));
    api_stream_end(f->parked);
    struct answer a = client_answer_to(&c, "GET");
    assert_string_equal(a.body, "last");
    free(a.body);
    client_close(&c);
}

static void stream_to_a_client_that_does_not_read_is_full(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/stream HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    static char block[65536];
    memset(block, 'x', sizeof block);
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        rc = api_stream_write(f->parked, (struct str){ block, sizeof block });
        net_world_poll(f->world);
    }
    assert_int_equal(rc, ERR_FULL);
    client_close(&c);
    WAIT_FOR(f->world, f->aborted == 1);
}

static void destroy_aborts_what_is_parked(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park?abort HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    api_destroy(f->api, on_destroyed, f);
    WAIT_FOR(f->world, f->destroyed);
    assert_int_equal(f->aborted, 1);
    f->destroyed = false;
    client_close(&c);
    struct api_options o = options(f);
    f->api = api_create(f->world, &o, NULL);
}

static void late_answer_ends_a_front_that_was_destroyed(void **state)
{
    struct fixture *f = *state;
    struct client c = dial(f);
    client_send(&c, "GET /v1/park HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_FOR(f->world, f->parked);
    api_destroy(f->api, on_destroyed, f);
    WAIT_FOR(f->world, client_ended(&c));
    assert_false(f->destroyed);
    struct json_writer *w = api_json_begin(f->parked);
    json_bool(w, true);
    api_json_end(f->parked, 200);
    WAIT_FOR(f->world, f->destroyed);
    f->destroyed = false;
    client_close(&c);
    struct api_options o = options(f);
    f->api = api_create(f->world, &o, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(bodies_over_the_limit_are_413),
        FRONT_TEST(answer_to_a_huge_body_arrives_though_it_is_not_read),
        FRONT_TEST(large_and_chunked_bodies_arrive_whole),
        FRONT_TEST(continue_is_sent_before_a_wanted_body),
        FRONT_TEST(pipelined_requests_are_answered_in_order),
        FRONT_TEST(requests_behind_a_parked_one_wait),
        FRONT_TEST(flood_behind_a_parked_request_is_left_to_the_socket),
        FRONT_TEST(client_that_leaves_aborts_its_parked_request),
        FRONT_TEST(half_closed_read_is_answered_or_given_up_soon),
        FRONT_TEST(half_closed_write_is_answered),
        FRONT_TEST(request_without_abort_hook_outlives_its_client),
        FRONT_TEST(half_closed_client_gets_its_answers),
        FRONT_TEST(slow_client_gets_a_large_answer_and_the_next),
        FRONT_TEST(malformed_requests_are_answered_and_closed),
        FRONT_TEST(old_and_absolute_forms_work),
        FRONT_TEST(connections_over_the_limit_are_told_so),
        FRONT_TEST(connections_over_the_limit_are_closed_silently_if_so_configured),
        FRONT_TEST(shared_body_reaches_all_that_wait),
        FRONT_TEST(endless_answer_streams_until_the_client_leaves),
        FRONT_TEST(stream_to_a_client_that_does_not_read_is_full),
        FRONT_TEST(destroy_aborts_what_is_parked),
        FRONT_TEST(late_answer_ends_a_front_that_was_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
