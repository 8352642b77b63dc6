/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/mux/http.h"

static void assert_str(struct str got, const char *want)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", STR_ARG(got));
    assert_string_equal(text, want);
}

/* Feeds `text` in pieces of `step` bytes up to the next event other than MORE. */
static enum http_event next_event(struct http_server *m, struct str *in, size_t step)
{
    while (in->n) {
        struct str piece = str_slice(*in, 0, step < in->n ? step : in->n);
        size_t before = piece.n;
        enum http_event ev = http_server_recv(m, &piece);
        *in = str_slice(*in, before - piece.n, in->n);
        if (ev != HTTP_EVENT_MORE) return ev;
    }
    struct str none = STR("");
    return http_server_recv(m, &none);
}

static int refusal_of(const char *text)
{
    struct http_server m;
    http_server_init(&m);
    struct str in = str_of(text);
    enum http_event ev = next_event(&m, &in, in.n);
    int status = ev == HTTP_EVENT_REFUSED ? m.refusal : 0;
    http_server_deinit(&m);
    return status;
}

static void request_is_the_same_in_pieces_of_any_size(void **state)
{
    (void)state;
    const char *text = "\r\nPUT /v1/kv/a?x=1 HTTP/1.1\r\nHost: h\r\nX-Empty:\r\n"
                       "Content-Type:  text/plain \r\nContent-Length: 5\r\n\r\nhelloGET";
    for (size_t step = 1; step <= strlen(text); step++) {
        struct http_server m;
        http_server_init(&m);
        struct str in = str_of(text);
        assert_int_equal(next_event(&m, &in, step), HTTP_EVENT_HEAD);
        assert_str(http_server_method(&m), "PUT");
        assert_str(http_server_target(&m), "/v1/kv/a?x=1");
        assert_str(http_server_field(&m, "content-type"), "text/plain");
        assert_str(http_server_field(&m, "HOST"), "h");
        assert_int_equal(http_server_field(&m, "x-empty").n, 0);
        assert_null(http_server_field(&m, "absent").p);
        assert_int_equal(m.content_length, 5);
        http_server_collect(&m, 100);
        assert_int_equal(next_event(&m, &in, step), HTTP_EVENT_END);
        assert_str(http_server_body(&m), "hello");
        assert_true(m.keep_alive);
        assert_str(in, "GET");
        http_server_next(&m);
        assert_true(http_server_idle(&m));
        http_server_deinit(&m);
    }
}

static void nothing_may_come_within_a_body(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_HEAD);
    http_server_collect(&m, 100);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_MORE);
    struct str nothing = STR_NIL, rest = STR("llo");
    assert_int_equal(http_server_recv(&m, &nothing), HTTP_EVENT_MORE);
    assert_int_equal(http_server_recv(&m, &rest), HTTP_EVENT_END);
    assert_str(http_server_body(&m), "hello");
    http_server_deinit(&m);
}

static void pipelined_requests_come_one_at_a_time(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nBREW /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const char *targets[] = { "/1", "/2", "/3" };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_HEAD);
        assert_str(http_server_target(&m), targets[i]);
        http_server_discard(&m);
        assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_END);
        assert_int_equal(m.keep_alive, i < 2);
        http_server_next(&m);
    }
    assert_int_equal(in.n, 0);
    http_server_deinit(&m);
}

static void chunked_body_is_collected_and_trailers_are_ignored(void **state)
{
    (void)state;
    const char *text = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
    for (size_t step = 1; step <= strlen(text); step++) {
        struct http_server m;
        http_server_init(&m);
        struct str in = str_of(text);
        assert_int_equal(next_event(&m, &in, step), HTTP_EVENT_HEAD);
        assert_int_equal(m.content_length, -1);
        http_server_collect(&m, 5);
        assert_int_equal(next_event(&m, &in, step), HTTP_EVENT_END);
        assert_str(http_server_body(&m), "abcde");
        assert_false(m.cut);
        assert_null(http_server_field(&m, "trailer").p);
        http_server_deinit(&m);
    }
}

static void chunked_body_over_its_limit_is_cut(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "6\r\nabcdef\r\n0\r\n\r\n");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_HEAD);
    http_server_collect(&m, 5);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_CUT);
    assert_true(m.cut);
    assert_false(m.keep_alive);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_MORE);
    http_server_deinit(&m);
}

static void small_body_over_its_limit_is_drained_and_the_connection_goes_on(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_HEAD);
    http_server_collect(&m, 5);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_END);
    assert_true(m.cut);
    assert_true(m.keep_alive);
    assert_int_equal(http_server_body(&m).n, 0);
    http_server_deinit(&m);
}

static void big_body_nobody_wants_is_cut_at_once(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 262145\r\n\r\nabc");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_HEAD);
    http_server_discard(&m);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_CUT);
    http_server_deinit(&m);
}

static void continue_is_asked_for_once_when_the_body_is_wanted(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                        "Content-Length: 2\r\n\r\n");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_HEAD);
    http_server_collect(&m, 5);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_CONTINUE);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_MORE);
    in = STR("ab");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_END);
    assert_str(http_server_body(&m), "ab");
    http_server_deinit(&m);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    assert_int_equal(refusal_of("GARBAGE\r\n\r\n"), 400);
    assert_int_equal(refusal_of("G(T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_int_equal(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET / HTTP/3.7\r\nHost: a\r\n\r\n"), 505);
    assert_int_equal(refusal_of("GET / HTTP/x\r\nHost: a\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET nothing HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n"), 400);
    assert_int_equal(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n"),
        400);
    assert_int_equal(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                                "Content-Length: 2\r\n\r\n"),
        400);
    assert_int_equal(refusal_of("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n"), 417);
}

static void head_over_a_mebibyte_is_refused(void **state)
{
    (void)state;
    static char filler[64 * 1024];
    memset(filler, 'x', sizeof filler);
    const char *starts[] = { "GET /",
        "GET / HTTP/1.1\r\nHost: a\r\nX: ", "GET / HTTP/1.1\r\nHost: a\r\n" };
    for (size_t i = 0; i < 3; i++) {
        struct http_server m;
        http_server_init(&m);
        struct str in = str_of(starts[i]);
        assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_MORE);
        enum http_event ev = HTTP_EVENT_MORE;
        for (int n = 0; n < 17 && ev == HTTP_EVENT_MORE; n++) {
            in = (struct str){ filler, sizeof filler };
            ev = http_server_recv(&m, &in);
        }
        assert_int_equal(ev, HTTP_EVENT_REFUSED);
        assert_int_equal(m.refusal, 431);
        http_server_deinit(&m);
    }
}

static void many_fields_are_kept_in_order(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("GET / HTTP/1.1\r\nHost: a\r\n");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_MORE);
    char text[64], name[32];
    for (int i = 0; i < 100; i++) {
        in = (struct str){ text, (size_t)snprintf(text, sizeof text, "X-%d: %d\r\n", i, i) };
        assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_MORE);
    }
    in = STR("\r\n");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_HEAD);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "x-%d", i);
        snprintf(text, sizeof text, "%d", i);
        assert_str(http_server_field(&m, name), text);
    }
    http_server_discard(&m);
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_END);
    http_server_next(&m);
    assert_null(http_server_field(&m, "x-1").p);
    http_server_deinit(&m);
}

static void refusal_is_a_whole_answer(void **state)
{
    (void)state;
    struct http_server m;
    http_server_init(&m);
    struct str in = STR("GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(http_server_recv(&m, &in), HTTP_EVENT_REFUSED);
    struct buf out = BUF_INIT(1024);
    http_server_refusal(&m, &out);
    assert_str(buf_str(&out),
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 45\r\nConnection: close\r\n\r\n"
        "400 Bad Request: missing required Host header");
    buf_deinit(&out);
    http_server_deinit(&m);
}

static void targets_split_into_path_and_query(void **state)
{
    (void)state;
    struct str path, query;
    assert_true(http_target_split(STR("/a/b?x=1?y"), &path, &query));
    assert_str(path, "/a/b");
    assert_str(query, "x=1?y");
    assert_true(http_target_split(STR("http://host:1/a?"), &path, &query));
    assert_str(path, "/a");
    assert_non_null(query.p);
    assert_true(http_target_split(STR("http://host"), &path, &query));
    assert_str(path, "/");
    assert_null(query.p);
    assert_true(http_target_split(STR("*"), &path, &query));
    assert_false(http_target_split(STR(""), &path, &query));
    assert_false(http_target_split(STR("/%4"), &path, &query));
    assert_true(http_target_split(STR("/?%4"), &path, &query));
}

static void escapes_are_undone(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct str out;
    assert_true(http_unescape(&a, STR("a%2Fb+c"), false, &out));
    assert_str(out, "a/b+c");
    assert_true(http_unescape(&a, STR("a%2fb+c"), true, &out));
    assert_str(out, "a/b c");
    assert_false(http_unescape(&a, STR("a%2"), true, &out));
    assert_false(http_unescape(&a, STR("%g0"), true, &out));
    arena_free(&a);
}

static void answer_head_names_its_framing(void **state)
{
    (void)state;
    struct http_header h[] = { { STR("A"), STR("1") } };
    struct http_answer a = {
        .status = 404,
        .minor = 1,
        .keep_alive = true,
        .length = 7,
        .date = STR("D"),
        .headers = h,
        .n_headers = 1,
    };
    struct buf out = BUF_INIT(1024);
    http_answer_head(&a, &out);
    assert_str(
        buf_str(&out), "HTTP/1.1 404 Not Found\r\nA: 1\r\nDate: D\r\nContent-Length: 7\r\n\r\n");
    buf_clear(&out);
    a.framing = HTTP_CHUNKED;
    a.keep_alive = false;
    a.n_headers = 0;
    http_answer_head(&a, &out);
    assert_str(buf_str(&out), "HTTP/1.1 404 Not Found\r\nDate: D\r\nTransfer-Encoding: chunked\r\n"
                              "Connection: close\r\n\r\n");
    buf_clear(&out);
    a.minor = 0;
    http_answer_head(&a, &out);
    assert_str(buf_str(&out), "HTTP/1.0 404 Not Found\r\nDate: D\r\n\r\n");
    buf_deinit(&out);
    char date[HTTP_DATE_LEN + 1];
    http_date(784111777, date);
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_the_same_in_pieces_of_any_size),
        cmocka_unit_test(nothing_may_come_within_a_body),
        cmocka_unit_test(pipelined_requests_come_one_at_a_time),
        cmocka_unit_test(chunked_body_is_collected_and_trailers_are_ignored),
        cmocka_unit_test(chunked_body_over_its_limit_is_cut),
        cmocka_unit_test(small_body_over_its_limit_is_drained_and_the_connection_goes_on),
        cmocka_unit_test(big_body_nobody_wants_is_cut_at_once),
        cmocka_unit_test(continue_is_asked_for_once_when_the_body_is_wanted),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(head_over_a_mebibyte_is_refused),
        cmocka_unit_test(many_fields_are_kept_in_order),
        cmocka_unit_test(refusal_is_a_whole_answer),
        cmocka_unit_test(targets_split_into_path_and_query),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(answer_head_names_its_framing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
